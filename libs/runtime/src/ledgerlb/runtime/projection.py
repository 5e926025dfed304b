"""Fold the log once for all processors of a process that share a reader.

A processor asks the projection for the change that a record makes. The first processor that asks decodes and folds the
record; the others get the same answer, or the same error. So each record is decoded once, and no processor keeps a
fold of its own. A record that no processor asks about (a Pod where only the network-selector runs) is never decoded.

Processors that share a projection must get every record in the same order, one record at a time, as ``loop`` and the
simulator hand them out. A processor that gets no projection makes one for itself.

Concurrency: plain data without locks; one event loop changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ledgerlb.core.cluster.facts import FactRecord, decode_fact
from ledgerlb.core.cluster.view import Change, ClusterView
from ledgerlb.core.errors import ForeignRecord
from ledgerlb.core.intents.fold import IntentChange, IntentFold
from ledgerlb.core.intents.model import IntentRecord, decode_intent
from ledgerlb.core.ledger.fold import Accepted, LedgerFold, Rejected
from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.paths.pathset import PathSet, ReportRecord, decode_path_set, decode_report
from ledgerlb.eventlog.port import Record

if TYPE_CHECKING:
    from ledgerlb.eventlog.keys import TrustedKeys  # loads cryptography, which only those need who use keys

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FactNews:
    """A decoded record of the facts topic, and the change that it made to the cluster's view."""

    fact: FactRecord
    change: Change


@dataclass(frozen=True, slots=True)
class IntentNews:
    """The change that a record of the intents topic made. ``own``: this process wrote the record, or has written a
    newer one under its key, and folded that one when it was appended.
    """

    change: IntentChange
    own: bool


class Projection:
    """See module. The folds are read-only for processors; all methods raise UndecodableRecord, and the folds are
    unchanged then. ``clock`` gives aware UTC: a heartbeat from the future counts from when it was read.

    ``heads`` are the heads that the ledger must have. They outlive a reset, and a reset adds those that were folded.
    """

    cluster: ClusterView
    intents: IntentFold
    ledger: LedgerFold
    agents: AgentTable

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._fresh = False
        self._keys: TrustedKeys | None = None
        self.heads = RememberedHeads()
        self.ledger = LedgerFold(self.heads)
        self.reset()

    def reset(self) -> None:
        """Forget everything.

        Every processor that shares the projection may call this: only the first call after a record replaces the
        folds.
        """
        if self._fresh:
            return
        self._fresh = True
        for name, state in self.ledger.networks.items():
            self.heads.remember(name, state.head)
        self.cluster = ClusterView()
        self.intents = IntentFold()
        self.ledger = LedgerFold(self.heads)
        self._ends_checked = False
        self.agents = AgentTable()
        self._answers: dict[str, tuple[Record, Any, Exception | None]] = {}
        """The last record of each topic, with the answer or the error that it led to."""
        self._noted: dict[int, IntentChange] = {}
        """Changes by records of our own that were not read yet, by offset; the oldest first."""

    def fact(self, record: Record) -> FactNews:
        """Return what a record of the facts topic changes."""
        return self._once(record, self._fold_fact)

    def intent(self, record: Record) -> IntentNews:
        """Return what a record of the intents topic changes."""
        return self._once(record, self._fold_intent)

    def entry(self, record: Record) -> Accepted | Rejected:
        """Return what a record of the ledger topic changes. LedgerDamaged is raised once ``ledger.damage`` names it."""
        return self._once(
            record, lambda record: self.ledger.take(record.key, record.value, record.offset, record.headers)
        )

    def report(self, record: Record) -> ReportRecord | None:
        """Return the decoded record of the reports topic; None for a tombstone."""
        return self._once(record, self._fold_report)

    def path_set(self, record: Record) -> PathSet | None:
        """Return the decoded record of the paths topic, which is not folded here; None for a tombstone."""
        return self._once(record, self._decode_path_set)

    def trust(self, keys: TrustedKeys) -> None:
        """Demand that these keys signed path sets and reports. ``heads.signatures`` demands it of ledger entries."""
        self._keys = keys

    def require_author(self, record: Record) -> None:
        """Raise ForeignRecord where keys are trusted, and none of them signed the record."""
        if self._keys is None:
            return
        objection = self._keys.objection(record.topic, record.key, record.value, record.headers)
        if objection is not None:
            remedy = "nobody acts on it; find out who may write to the topic"
            raise ForeignRecord(f"record of {record.topic}, key {record.key!r}", "", objection.message, remedy)

    def at_end(self) -> None:
        """Find chains that end too early. A processor that asks for damage calls it at each settle, when the log was
        read to its end; only the first call after a reset does anything.
        """
        if not self._ends_checked:
            self._ends_checked = True
            self.ledger.check_ends()

    def note(self, intent: IntentRecord, offset: int) -> None:
        """Fold an intent of this process as soon as the log has it at ``offset``.

        Other processors get the change when they read the record.
        """
        self._fresh = False
        self._noted[offset] = self.intents.note(intent, offset)

    def _once(self, record: Record, fold: Callable[[Record], _T]) -> _T:
        last: tuple[Record, Any, Exception | None] | None = self._answers.get(record.topic)
        if last is None or last[0] is not record:
            self._fresh = False
            try:
                last = (record, fold(record), None)
            except Exception as error:  # noqa: BLE001 - raised again below, for each processor that asks
                last = (record, None, error)
            self._answers[record.topic] = last
        if last[2] is not None:
            raise last[2]
        return last[1]

    def _fold_fact(self, record: Record) -> FactNews:
        fact = decode_fact(record.key, record.value)
        return FactNews(fact, self.cluster.take(record.key, fact))

    def _fold_intent(self, record: Record) -> IntentNews:
        change = self.intents.take(record.key, record.value, record.offset)
        noted = self._noted.pop(record.offset, None)
        while self._noted and (oldest := next(iter(self._noted))) < record.offset:
            del self._noted[oldest]  # compacted before it was read
        if change is not None:
            return IntentNews(change, own=False)
        if noted is None:
            # Another process wrote it just before this one wrote a newer record under the key.
            noted = IntentChange(decode_intent(record.key, record.value), None, outdated=True)
        return IntentNews(noted, own=True)

    def _decode_path_set(self, record: Record) -> PathSet | None:
        self.require_author(record)
        return decode_path_set(record.key, record.value)

    def _fold_report(self, record: Record) -> ReportRecord | None:
        self.require_author(record)
        report = decode_report(record.key, record.value)
        self.agents.take(record.key, report, self._clock())
        return report
