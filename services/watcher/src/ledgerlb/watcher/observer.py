"""The observer keeps the facts topic equal to the objects of a source.

It has one row for each record key: what the log has, and what it should have. Batches from the source change the
second, and a flush appends the difference: the oldest change first, up to ``MAX_RECORDS`` in one call, and Synced
markers behind the objects that they cover. So the observer only ever writes differences. A restart over an unchanged
cluster appends nothing, and objects that were deleted meanwhile become tombstones when the first full list ends.

A fact that can wait (see ``echoes``) joins the next append that cannot.

A fact is state, so the observer never resends a failed append. It reads the log again and takes the difference again.

Concurrency: ``take`` is a plain function on the event loop of ``run``. Only ``run``, or the caller of ``start`` and
``flush``, appends. Memory: one encoded fact for each object, and one mark for each changed object.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledgerlb.core.cluster.facts import KINDS, AnyFact, Gone, Synced, decode_fact, encode_fact, fact_key, key_of
from ledgerlb.core.cluster.stub import stub_of
from ledgerlb.core.errors import BadInput, LogUnavailable, RecordTooLarge
from ledgerlb.eventlog.port import EventLog, NewRecord, latest
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.kube.kinds import BY_KIND
from ledgerlb.kube.pods import PodFilter
from ledgerlb.kube.source import Batch, Listed, ObjectSource, ProblemLog
from ledgerlb.runtime.backoff import Backoff
from ledgerlb.runtime.pace import Pace
from ledgerlb.runtime.stopping import sleep_or_stop
from ledgerlb.watcher.echoes import Echoes, is_echo

MAX_RECORDS: Final = 2000
"""Most records of one append."""
BACK_OFF: Final = (0.1, 5.0)
"""Seconds before trying again after LogUnavailable: first, and at most."""
RECHECK_SECONDS: Final = 30.0
"""Seconds between a failed append and one more comparison with the log: what was on its way may have arrived late."""
_MARKER: Final = "Synced"

_logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Row:
    """What the log has under one key and what it should have, as encoded facts; None: nothing.

    ``from_source``: the source has reported the object, which outranks what the log has.
    """

    logged: bytes | None = None
    wanted: bytes | None = None
    from_source: bool = False


@dataclass(slots=True)
class _Kind:
    """The rows of one kind.

    ``listed``: a list of it has ended since the start. ``complete``: a full list has, so objects that the source does
    not report are gone. ``uncovered``: the observer has appended a fact since the last marker.
    """

    rows: dict[str, _Row] = field(default_factory=dict)
    listed: bool = False
    complete: bool = False
    uncovered: bool = False


class Observer:
    """See module. ``clock`` gives monotonic seconds; ``translate`` changes a fact before it is written."""

    def __init__(
        self,
        source: ObjectSource | None = None,
        *,
        problems: ProblemLog | None = None,
        clock: Callable[[], float] = time.monotonic,
        translate: Callable[[AnyFact], AnyFact] | None = None,
    ) -> None:
        self._source = source
        self._translate = translate
        self._problems = problems or ProblemLog()
        self._clock = clock
        self._pods = PodFilter()
        self._kinds: dict[str, _Kind] = {}
        self._differing: dict[str, None] = {}
        """Keys whose rows differ from the log, the oldest change first, and markers that are due."""
        self._echoes = Echoes()
        self._woken = asyncio.Event()
        self._pace = Pace()
        self._recheck_at: float | None = None
        self.appended = 0
        """Records appended since the start."""
        self.failures = 0
        """Appends that failed since the start."""

    @property
    def pending(self) -> int:
        """Records that a flush would append."""
        return len(self._differing)

    @property
    def synced(self) -> bool:
        """Whether every kind of the source was listed at least once and all of it is in the log."""
        return not self.pending and all(self._kind(kind).listed for kind in KINDS)

    def held(self, kind: str) -> Mapping[str, bytes]:
        """Return the encoded facts of one kind by record key."""
        return {key: row.wanted for key, row in self._kind(kind).rows.items() if row.wanted is not None}

    # From the source

    def take(self, batch: Batch) -> None:
        """Note the changes of a batch of the source (see ``ledgerlb.kube.source``)."""
        for passed in self._pods.pass_on(batch):
            for fact in passed.upserts:
                self._put(self._translate(fact) if self._translate is not None else fact)
            for namespace, name in passed.gone:
                self._want(fact_key(passed.kind, namespace, name), None)
            if passed.listed is not None:
                self._end_of_list(passed.kind, passed.listed)
        if self.pending:
            self._woken.set()

    def recheck(self) -> None:
        """Compare with the log soon: it may be another log than the one we wrote to."""
        self._recheck_at = self._clock()
        self._woken.set()

    def _put(self, fact: AnyFact) -> None:
        key = key_of(fact)
        try:
            value = encode_fact(fact)
        except ValueError as error:
            self._problems(BadInput(key, "", f"cannot be written as JSON ({error})", "correct the object"))
            return
        if len(value) > FACTS.max_bytes:
            problem = f"is larger than {FACTS.max_bytes} bytes as a fact"
            self._problems(BadInput(key, "", problem, "make the object smaller; LedgerLB keeps its last good state"))
            stub = stub_of(fact, len(value), FACTS.max_bytes, self._last_good(key))
            if stub is None:
                return
            fact, value = stub, encode_fact(stub)
        row = self._row(key)
        can_wait = value != row.logged and is_echo(key, fact, row.logged)
        self._want(key, value)
        if can_wait:
            self._echoes.add(key, self._clock())

    def _last_good(self, key: str) -> AnyFact | None:
        """Return what is known of an object, None where that is nothing or cannot be read."""
        row = self._kind(_kind_of(key)).rows.get(key)
        if row is None or row.wanted is None:
            return None
        try:
            fact = decode_fact(key, row.wanted)
        except BadInput:
            return None
        return None if isinstance(fact, Synced | Gone) else fact

    def _end_of_list(self, name: str, listed: Listed) -> None:
        kind = self._kind(name)
        kind.listed = True
        if listed.complete:
            present = {fact_key(name, namespace, each) for namespace, each in listed.names}
            for key in sorted(key for key, row in kind.rows.items() if row.wanted is not None and key not in present):
                self._want(key, None)
            kind.complete = True
        marker = Synced(of=name, present=listed.present, version=_version(name, listed))
        self._want(key_of(marker), encode_fact(marker))
        if kind.uncovered or any(_kind_of(key) == name for key in self._differing):
            self._differing[key_of(marker)] = None

    # Rows

    def _kind(self, name: str) -> _Kind:
        return self._kinds.setdefault(name, _Kind())

    def _row(self, key: str) -> _Row:
        return self._kind(_kind_of(key)).rows.setdefault(key, _Row())

    def _rows(self) -> Iterator[tuple[str, _Row]]:
        for kind in self._kinds.values():
            yield from kind.rows.items()

    def _want(self, key: str, value: bytes | None) -> None:
        row = self._row(key)
        self._echoes.forget(key)
        row.from_source = True
        row.wanted = row.logged if value == row.logged else value  # Equal bytes are kept once.
        self._compare(key, row)

    def _compare(self, key: str, row: _Row) -> None:
        """Note whether the row differs from the log, and drop a row without a fact."""
        if row.logged != row.wanted:
            self._differing.setdefault(key)
            return
        self._differing.pop(key, None)
        self._echoes.forget(key)
        if row.wanted is None:
            self._kind(_kind_of(key)).rows.pop(key, None)

    # To the log

    async def start(self, log: EventLog) -> None:
        """Read the log, and count its facts as wanted until a full list of their kind lacks them.

        Raises LogUnavailable.
        """
        await self._read(log)

    async def recover(self, log: EventLog) -> None:
        """Read the log again and compare again. Raises LogUnavailable."""
        await self._read(log)
        for name in sorted(self._kinds):
            if self._kinds[name].complete and self._kinds[name].uncovered:
                self._differing[f"{_MARKER}//{name}"] = None

    async def _read(self, log: EventLog) -> None:
        found = await latest(log, FACTS)
        for _, row in self._rows():
            row.logged = None
        for key, record in found.items():
            if record.value is None:
                continue
            row = self._row(key)
            row.logged = record.value
            if not row.from_source and not self._kind(_kind_of(key)).complete:
                row.wanted = record.value
        for key, row in list(self._rows()):
            self._compare(key, row)
        behind = _kinds_behind_their_marker({key: record.offset for key, record in found.items()})
        for name, kind in self._kinds.items():
            kind.uncovered = name in behind

    async def flush(self, log: EventLog) -> int:
        """Append what differs and return how many records that were. Raises LogUnavailable (call ``recover`` then)."""
        total = 0
        while self._differing:
            total += await self._flush_once(log)
        return total

    async def _flush_once(self, log: EventLog) -> int:
        """Append once. What changes meanwhile, or does not fit, is left for the next time."""
        keys = self._next_keys()
        records = [NewRecord(key, self._row(key).wanted) for key in keys]
        for key in keys:
            del self._differing[key]
            self._echoes.forget(key)
        try:
            await log.append(FACTS, records)
        except RecordTooLarge as error:
            # The log sent nothing. We checked the sizes before, so the limit of the log is set lower than ours.
            self._problems(BadInput(f"topic {FACTS.name}", "max.message.bytes", str(error), "raise it"))
            self._give_up_largest(records)
            return 0
        except BaseException:
            self._differing = dict.fromkeys([*keys, *self._differing])
            raise
        for record in records:
            self._appended(record)
        self.appended += len(records)
        return len(records)

    def _next_keys(self) -> list[str]:
        """Return the next keys to append: a marker only once no fact of its kind is left behind."""
        facts = [key for key in self._differing if _kind_of(key) != _MARKER]
        keys, rest = facts[:MAX_RECORDS], facts[MAX_RECORDS:]
        left_behind = {_kind_of(key) for key in rest}
        markers = [key for key in self._differing if _kind_of(key) == _MARKER]
        return keys + [key for key in markers if _covered_by(key) not in left_behind]

    def _appended(self, record: NewRecord) -> None:
        """Note that the record is in the log. Its row may have changed while it was on its way."""
        row = self._row(record.key)
        row.logged = record.value
        if _kind_of(record.key) != _MARKER:
            self._kind(_kind_of(record.key)).uncovered = True
            self._compare(record.key, row)
            return
        # A marker that became due while this one was on its way stays due, although it reads the same.
        self._kind(_covered_by(record.key)).uncovered = False
        if row.logged != row.wanted:
            self._differing.setdefault(record.key)

    def _give_up_largest(self, records: list[NewRecord]) -> None:
        """Leave the largest record as the log has it, and put the others back."""
        largest = max(records, key=lambda record: len(record.value or b""))
        row = self._row(largest.key)
        row.wanted = row.logged
        self._compare(largest.key, row)
        others = [record.key for record in records if record.key != largest.key]
        self._differing = dict.fromkeys([*others, *self._differing])

    # As a task

    async def run(self, log: EventLog, stop: asyncio.Event) -> None:
        """Follow the source into the log until ``stop``; survives LogUnavailable for any length of time."""
        assert self._source is not None, "an observer without a source is fed by take and flush"
        if not await self._keep_trying(self.start, log, stop):
            return
        feeding = asyncio.create_task(self._source.run(self.take, stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if feeding.done():
                    feeding.result()
                    break
                await self._wait(feeding, stopping)
                appended = await self._append(log, stop)
                await asyncio.sleep(self._pace.rest(appended, self._clock()))
            with contextlib.suppress(LogUnavailable):
                await self.flush(log)
        finally:
            stopping.cancel()
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding

    async def _wait(self, *others: asyncio.Task[Any]) -> None:
        """Wait until something differs, another task ends, or what can wait, or a look at the log, is due."""
        moments = [at for at in (self._recheck_at, self._echoes.at) if at is not None]
        timeout = max(0.0, min(moments) - self._clock()) if moments else None
        waking = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait({waking, *others}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        self._woken.clear()

    async def _append(self, log: EventLog, stop: asyncio.Event) -> int:
        """Append once, so that in a storm the rest after it lets more gather; return how many records that were."""
        try:
            if self._recheck_at is not None and self._clock() >= self._recheck_at:
                self._recheck_at = None
                await self.recover(log)
            appended = await self._flush_once(log) if self._is_urgent() else 0
        except LogUnavailable as error:
            self.failures += 1
            _logger.warning("cannot append facts; reading the log again", error=str(error))
            if await self._keep_trying(self.recover, log, stop):
                self._recheck_at = self._clock() + RECHECK_SECONDS
                self._woken.set()
            return 0
        if self._is_urgent():
            self._woken.set()
        return appended

    def _is_urgent(self) -> bool:
        """Return whether to append now: something cannot wait, or has waited long enough."""
        return self._echoes.due(self._clock()) or len(self._differing) > len(self._echoes)

    async def _keep_trying(self, step: Callable[[EventLog], Any], log: EventLog, stop: asyncio.Event) -> bool:
        """Call ``step`` until the log answers, with growing pauses; False when stopped first."""
        backoff = Backoff(*BACK_OFF)
        while not stop.is_set():
            try:
                await step(log)
            except LogUnavailable as error:
                wait = backoff.next()
                _logger.warning("cannot reach the log; trying again", error=str(error), seconds=round(wait, 2))
                await sleep_or_stop(stop, wait)
            else:
                return True
        return False


def _kind_of(key: str) -> str:
    return key.partition("/")[0]


def _covered_by(marker: str) -> str:
    """Return the kind that a marker is about."""
    return marker.rpartition("/")[2]


def _version(kind: str, listed: Listed) -> str:
    """Return the API version that was listed, for kinds that have another one from cluster to cluster."""
    declared = BY_KIND.get(kind)
    return listed.version if declared is not None and declared.optional else ""


def _kinds_behind_their_marker(offsets: Mapping[str, int]) -> set[str]:
    """Return the kinds that have a record after their Synced marker, from the offset of each key's latest record."""
    newest: dict[str, int] = {}
    for key, offset in offsets.items():
        newest[_kind_of(key)] = max(newest.get(_kind_of(key), -1), offset)
    return {
        kind
        for kind, offset in newest.items()
        if kind != _MARKER and offsets.get(f"{_MARKER}//{kind}", offset) < offset
    }
