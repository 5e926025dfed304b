"""The publisher: what the log decided becomes what the cluster shows.

For each Service, in this order: our finalizer, before anything is allocated; then ``status`` (addresses and
conditions), where it differs from what the Service shows; then, once nothing is held and nothing is wanted any more,
the finalizer goes. Events follow when there is time. ``spec`` is never written.

Every step is decided afresh from the folded state when it is its turn, so a restart, a foreign change and a lost
write all come to the same: what differs is written. After a write the fact is taken to show what was written until
the next fact says what it really shows. Only the finalizer of a Service that the log does not know yet is put on
without the log (see ``claim``): it depends on nothing but the Service. InstanceIPs and FloatingIPs are another
processor's work; the finalizer waits until those of the Service are gone.

Concurrency: ``take`` and ``settle`` never wait for the cluster; ``settle`` hands the names of Services to a
``WorkQueue``, whose tasks read the state between their own waits, on the same event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from ledgerlb.core.errors import ClusterRefused
from ledgerlb.core.facts import OWN_CONDITIONS, Condition, ServiceFact
from ledgerlb.core.publication import Publication, publish
from ledgerlb.core.reasons import Reason
from ledgerlb.core.services import is_ours
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, REPORTS, Topic
from ledgerlb.kube.writer import (
    ClusterWriter,
    Object,
    Write,
    add_finalizer,
    remove_finalizer,
    status_write,
)
from ledgerlb.runtime.due import is_due
from ledgerlb.runtime.projection import Projection
from ledgerlb.watcher.announcer import Announcer, about
from ledgerlb.watcher.state import PublisherState
from ledgerlb.watcher.work import Limits, WorkQueue

MOVE_CHECK: Final = 5.0
"""Seconds between two looks at Services that wait for an agent (one that died counts no more) or for a verdict."""
VERDICT_GRACE: Final = 10.0
"""Seconds for which a verdict may be outstanding before the Service's conditions say so."""
RETRY: Final = 60.0
"""Seconds after which a write that was refused is tried again although nothing changed: permissions and admission rules
change without a word to us."""
MAX_STEPS: Final = 8
"""Writes for one Service in a row before others get their turn."""

_log: Final = logging.getLogger("ledgerlb.watcher")

Step = Literal["finalizer-on", "status", "finalizer-off"]
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Due:
    """One write that is due, what the Service shows once it is done, and what the write was decided on."""

    step: Step
    write: Write
    after: ServiceFact
    publication: Publication


@dataclass(frozen=True, slots=True)
class _Refused:
    """A write that was refused to the Service as it was at ``version``, what the server said, and until when that is
    taken for its last word.
    """

    version: int
    write: Write
    said: str
    until: datetime


class OnObject(Protocol):
    """Gets a Service as a write returned it."""

    def __call__(self, obj: Object, *, awaited: bool) -> None:
        """``awaited``: whether somebody waits for the fact of it."""
        ...


class Publisher:
    """A Processor; see module. ``clock`` gives aware UTC; ``on_object`` gets a Service as a write returned it, so that
    its fact need not wait for the watch; ``on_reset`` is told when the log turns out
    to be another one than was read. ``counts``: writes by step, ``refused``, ``events``.
    """

    name = "publisher"
    reads: tuple[Topic, ...] = (FACTS, INTENTS, LEDGER, REPORTS)
    unhurried = False

    def __init__(
        self,
        settings: DomainSettings,
        writer: ClusterWriter,
        clock: Clock,
        *,
        on_object: OnObject | None = None,
        on_reset: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        projection: Projection | None = None,
    ) -> None:
        self._projection = projection or Projection()
        self.counts: Counter[str] = Counter()
        self.queue = WorkQueue(self._work, limits)
        self._announcer = Announcer(self.queue, writer, clock, self.counts)
        self._settings = settings
        self._writer = writer
        self._clock = clock
        self._on_object = on_object
        self._on_reset = on_reset
        self._began = False
        self._state = PublisherState(settings, self._projection)
        self._refused: dict[tuple[str, Step], _Refused] = {}
        self._undecided: dict[str, datetime] = {}
        self._look_at: datetime | None = None
        self._claimed: dict[str, ServiceFact] = {}
        """Services that the log did not know and that get the finalizer."""

    def reset(self) -> None:
        """See Processor."""
        self._began = False
        self._projection.reset()
        self._state = PublisherState(self._settings, self._projection)
        self.queue.clear()
        self._refused.clear()
        self._undecided.clear()
        self._claimed.clear()
        self._on_reset()

    def take(self, record: Record) -> None:
        """See Processor."""
        self._state.take(record)

    async def settle(self, log: EventLog) -> float | None:  # noqa: ARG002 - the publisher writes to the cluster only
        """See Processor. Returns without waiting for the writes."""
        first, self._began = not self._began, True
        for name in self._state.take_changed():
            self.queue.add(name)
        now = self._clock()
        if self._look_at is None or is_due(self._look_at, now, MOVE_CHECK):
            self._look_at = now + timedelta(seconds=MOVE_CHECK)
            again = (name for (name, _), refused in self._refused.items() if is_due(refused.until, now, RETRY))
            for name in (*self._state.awaiting, *self._undecided, *again):
                self.queue.add(name)
        for network in self._state.take_offered():
            self._announcer.offer(self._state, network, first=first)
        for notice in self._state.take_notices():
            self._announcer.notice(self._state, notice, first=first)
        await asyncio.sleep(0)
        waits = self._state.awaiting or self._undecided or self._refused or self.queue.waiting()
        return MOVE_CHECK if waits else None

    def claim(self, fact: ServiceFact) -> bool:
        """Put our finalizer on a Service that the log does not know yet, if that is due; whether it is. What the write
        returns goes to ``on_object``; where it fails, it is tried again once the log tells of the Service.
        """
        name = fact.full_name
        known = not self._began or name in self._state.services
        if known or fact.has_finalizer or fact.deleting or not is_ours(fact, self._settings):
            return False
        self._claimed[name] = fact
        self.queue.add(name)
        return True

    async def idle(self, within: float) -> bool:
        """Wait until every write is done, at most ``within`` seconds; whether that is so."""
        return await self.queue.idle(within)

    async def close(self) -> None:
        """Finish what is being written (bounded), begin nothing more."""
        await self.queue.close()

    def publication(self, name: str) -> Publication | None:
        """What the Service's status is to say now; None for an unknown one."""
        fact = self._state.services.get(name)
        return None if fact is None else self._publication(fact)

    # One Service

    async def _work(self, name: str) -> None:
        claimed = self._claimed.pop(name, None)
        if claimed is not None and name not in self._state.services:
            await self._put_finalizer_on(claimed)
        for _ in range(MAX_STEPS):
            # Between reset and the next settle the state is half read: nothing may be decided on it.
            due = self._due(name) if self._began else None
            if due is None:
                return
            await self._do(name, due)
        self.queue.add(name)

    async def _put_finalizer_on(self, claimed: ServiceFact) -> None:
        state = self._state
        try:
            result = await self._writer.write(add_finalizer(claimed))
        except ClusterRefused:
            return  # said, and shown on the Service, when the log tells of it
        if result is None:
            return
        self.counts["finalizer-on"] += 1
        state.serve(claimed)
        if self._on_object is not None:
            self._on_object(result, awaited=True)

    def _publication(self, fact: ServiceFact) -> Publication:
        name = fact.full_name
        state = self._state
        return publish(
            fact,
            state.intents.selections.get(name),
            state.fold.holdings_of(name),
            state.fold.refusals_of(name),
            state.agents,
            self._clock(),
            self._settings,
            wanting=state.wanting(name),
        )

    def _due(self, name: str) -> _Due | None:
        """The next write for the Service, None when it shows what it should."""
        fact = self._state.services.get(name)
        if fact is None:
            self._forget(name)
            return None
        publication = self._publication(fact)
        self._watch_over(name, publication)
        for step, decide in self._steps():
            due = decide(fact, publication)
            if due is None:
                self._refused.pop((name, step), None)
            elif not self._is_refused(name, due):
                return due
        return None

    def _steps(self) -> tuple[tuple[Step, Callable[[ServiceFact, Publication], _Due | None]], ...]:
        return (
            ("finalizer-on", self._finalizer_on),
            ("status", self._status),
            ("finalizer-off", self._finalizer_off),
        )

    def _is_refused(self, name: str, due: _Due) -> bool:
        """Whether the server would only say again what it said."""
        refused = self._refused.get((name, due.step))
        if refused is None or is_due(refused.until, self._clock(), RETRY):
            return False
        return (refused.version, refused.write) == (self._version(name), _timeless(due))

    def _finalizer_on(self, fact: ServiceFact, publication: Publication) -> _Due | None:
        if fact.has_finalizer or fact.deleting or not is_ours(fact, self._settings):
            return None
        after = fact.model_copy(update={"has_finalizer": True})
        return _Due("finalizer-on", add_finalizer(fact), after, publication)

    def _status(self, fact: ServiceFact, publication: Publication) -> _Due | None:
        if publication.state in {"Ignored", "Deleted"}:
            return self._status_of_leaving(fact, publication)
        addresses: tuple[str, ...] | None = publication.addresses
        if not addresses and not self._state.spoken(fact.full_name):
            addresses = None  # what it shows from before may yet be adopted
        conditions = publication.conditions if publication.decided or self._overdue(fact.full_name) else ()
        return _status_due(fact, publication, addresses, conditions)

    def _status_of_leaving(self, fact: ServiceFact, publication: Publication) -> _Due | None:
        """A Service on its way out shows what is still held; one that is not ours loses what we once wrote."""
        if fact.type != "LoadBalancer" and not fact.conditions:
            return None
        if not self._state.served(fact):
            return None
        held = {holding.address for holding in self._state.fold.holdings_of(fact.full_name)}
        ours = publication.state == "Deleted" or any(address in held for address in fact.ingress)
        addresses = publication.addresses if ours and fact.type == "LoadBalancer" else None
        dropped: tuple[str, ...] = ()
        if publication.state == "Ignored":
            dropped = tuple(c.type for c in fact.conditions if c.type.startswith(OWN_CONDITIONS))
        return _status_due(fact, publication, addresses, (), dropped)

    def _finalizer_off(self, fact: ServiceFact, publication: Publication) -> _Due | None:
        if not fact.has_finalizer or publication.finalizer:
            return None
        if not self._state.served(fact) or self._state.has_objects(fact.full_name):
            return None
        after = fact.model_copy(update={"has_finalizer": False})
        return _Due("finalizer-off", remove_finalizer(fact), after, publication)

    async def _do(self, name: str, due: _Due) -> None:
        state, version = self._state, self._version(name)
        before = state.services[name]
        try:
            result = await self._writer.write(due.write)
        except ClusterRefused as refused:
            self._was_refused(name, version, due, refused)
            return
        self.counts[due.step] += 1
        self._refused.pop((name, due.step), None)
        if result is None or _is_last_sight(result):
            self._state.bury(before)
            return
        if self._state is state and self._version(name) == version:
            # Else a fact came meanwhile, or the log is read anew: what the facts show is looked at again.
            state.services[name] = due.after
        if due.step == "finalizer-on":
            self._state.serve(before)
        if due.step == "status":
            self._announcer.status(state, before, due.after.conditions)
        if self._on_object is not None:
            self._on_object(result, awaited=due.step != "status")

    def _version(self, name: str) -> int:
        return self._state.versions.get(name, 0)

    def _was_refused(self, name: str, version: int, due: _Due, refused: ClusterRefused) -> None:
        """Shown once; tried again when the Service changes, something else is to be written, or after ``RETRY``."""
        self.counts["refused"] += 1
        before, said = self._refused.get((name, due.step)), str(refused)
        until = self._clock() + timedelta(seconds=RETRY)
        self._refused[name, due.step] = _Refused(version, _timeless(due), said, until)
        _log.error("Service %s: %s", name, refused)
        fact = self._state.services.get(name)
        if fact is not None and (before is None or before.said != said):
            self._announcer.event(about(fact), Reason.STATUS_REFUSED, str(refused), warning=True, identity=due.step)

    def _watch_over(self, name: str, publication: Publication) -> None:
        """Remember what must be looked at again without a record."""
        self._state.awaiting.assign(name, publication.awaiting)
        waits = publication.state in {"Pending", "Moving"} and not publication.decided
        if waits:
            self._undecided.setdefault(name, self._clock())
        else:
            self._undecided.pop(name, None)

    def _overdue(self, name: str) -> bool:
        since = self._undecided.get(name)
        return since is not None and (self._clock() - since).total_seconds() >= VERDICT_GRACE

    def _forget(self, name: str) -> None:
        self._undecided.pop(name, None)
        for step, _ in self._steps():
            self._refused.pop((name, step), None)
        self._state.awaiting.assign(name, ())


def _status_due(
    fact: ServiceFact,
    publication: Publication,
    addresses: tuple[str, ...] | None,
    conditions: Iterable[Condition],
    dropped: tuple[str, ...] = (),
) -> _Due | None:
    """The status write that makes the Service show these, None where it does."""
    shown = {condition.type: condition for condition in fact.conditions}
    changed = tuple(c for c in conditions if _said_by(shown.get(c.type)) != _said_by(c))
    if addresses == fact.ingress:
        addresses = None
    if addresses is None and not changed and not dropped:
        return None
    after = {**shown, **{condition.type: condition for condition in changed}}
    kept = tuple(after[name] for name in sorted(after) if name not in dropped)
    update: dict[str, object] = {"conditions": kept}
    if addresses is not None:
        update["ingress"] = addresses
    write = status_write(fact, addresses, changed, dropped)
    return _Due("status", write, fact.model_copy(update=update), publication)


def _said_by(condition: Condition | None) -> tuple[object, ...]:
    """What a condition says, whenever it began to."""
    if condition is None:
        return ()
    return (condition.status, condition.reason, condition.message, condition.observed_generation)


def _timeless(due: _Due) -> Write:
    """The write without its times, to tell whether it is the same as one that was refused."""
    if due.step != "status":
        return due.write
    status = dict(due.write.body["status"])
    if "conditions" in status:
        status["conditions"] = [
            {field: value for field, value in entry.items() if field != "lastTransitionTime"}
            for entry in status["conditions"]
        ]
    return Write("Service", due.write.namespace, due.write.name, "patch-status", {"status": status}, due.write.uid)


def _is_last_sight(obj: Object) -> bool:
    """Whether the object went with this write: its last finalizer did."""
    meta = obj.get("metadata", {})
    return bool(meta.get("deletionTimestamp")) and not meta.get("finalizers")
