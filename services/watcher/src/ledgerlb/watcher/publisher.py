"""The publisher shows in the cluster what the log decided.

It brings each Service to its state with one patch (see ``ledgerlb.watcher.patches``): our finalizer appears with the
first address and disappears with the last. Events follow when there is time. It never writes ``spec``.

When a Service's turn comes, the publisher decides its patch from the folded state and writes what differs. So it
recovers from a restart, a foreign change and a lost write in the same way. After a write it assumes that the Service
shows what was written, until the next fact shows the Service as it is. Another processor makes InstanceIPs and
FloatingIPs; the finalizer stays until those of the Service are gone.

Concurrency: ``take`` and ``settle`` never wait for the cluster. ``settle`` hands the names of Services to a
``WorkQueue``, whose tasks read the state between their own waits, on the same event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.errors import ClusterRefused
from ledgerlb.core.ipam.sharing import why_apart
from ledgerlb.core.paths.agents import LiveAgents
from ledgerlb.core.paths.plan import owners_elsewhere
from ledgerlb.core.publication.model import Publication
from ledgerlb.core.publication.publish import publish
from ledgerlb.core.reasons import Reason
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS, REPORTS, Topic
from ledgerlb.kube.writer import ClusterWriter, Object, Write
from ledgerlb.runtime.due import is_due
from ledgerlb.runtime.projection import Projection
from ledgerlb.watcher.announcer import Announcer, about
from ledgerlb.watcher.patches import ServicePatch, due_patch
from ledgerlb.watcher.pool_statuses import PoolStatuses
from ledgerlb.watcher.state import PublisherState
from ledgerlb.watcher.work import Limits, WorkQueue

MOVE_CHECK: Final = 5.0
"""Seconds between two looks at Services that wait for an agent (one that died counts no more) or for a verdict."""
VERDICT_GRACE: Final = 10.0
"""Seconds for which a verdict may be outstanding before the Service's conditions say so."""
RETRY: Final = 60.0
"""Seconds after which the publisher repeats a refused write although nothing changed: no record shows a change of
permissions or admission rules."""
MAX_STEPS: Final = 8
"""Writes for one Service in a row before others get their turn."""

_logger = structlog.get_logger(__name__)

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Refused:
    """A patch that the server refused for the Service as it was at ``version``, and the server's message.

    The publisher does not send it again before ``until`` unless something changes.
    """

    version: int
    write: Write
    message: str
    until: datetime


class Publisher:
    """A Processor; see module.

    ``clock`` gives aware UTC. ``on_reset`` is called when the log that was read is not the one that is there now.
    ``counts`` has the patches by step, ``pools``, ``refused`` and ``events``.
    """

    name = "publisher"
    reads: tuple[Topic, ...] = (FACTS, INTENTS, LEDGER, PATHS, REPORTS)
    low_priority = False

    def __init__(
        self,
        settings: DomainSettings,
        writer: ClusterWriter,
        clock: Clock,
        *,
        on_reset: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        projection: Projection | None = None,
    ) -> None:
        self._projection = projection or Projection(clock)
        self.counts: Counter[str] = Counter()
        self.queue = WorkQueue(self._work, limits)
        self._announcer = Announcer(self.queue, writer, clock, self.counts)
        self.pools = PoolStatuses(writer, self.counts, limits or Limits())
        self._settings = settings
        self._writer = writer
        self._clock = clock
        self._on_reset = on_reset
        self._began = False
        self._state = PublisherState(settings, self._projection)
        self.pools.follow(self._state)
        self._refused: dict[str, _Refused] = {}
        self._undecided: dict[str, datetime] = {}
        self.standing: dict[str, tuple[str, str]] = {}
        """State and reason (empty: none) of each Service that we serve, as its status shows them or soon will."""
        self._look_at: datetime | None = None
        self._live: LiveAgents | None = None
        self._unconfirmed: dict[str, None] = {}
        """Services whose addresses an agent is still to confirm."""

    def reset(self) -> None:
        """See Processor."""
        self._began = False
        self._projection.reset()
        self._state = PublisherState(self._settings, self._projection)
        self.pools.follow(self._state)
        self.queue.clear()
        self._refused.clear()
        self._undecided.clear()
        self._unconfirmed.clear()
        self._live = None
        self.standing.clear()
        self._on_reset()

    def take(self, record: Record) -> None:
        """See Processor."""
        self._state.take(record)

    async def settle(self, log: EventLog) -> float | None:  # noqa: ARG002 - the publisher writes to the cluster only
        """See Processor. Returns without waiting for the writes."""
        first, self._began = not self._began, True
        self._state.take_end(self._clock())
        for name in self._state.take_changed():
            self.queue.add(name)
        now = self._clock()
        if self._look_at is None or is_due(self._look_at, now, MOVE_CHECK):
            self._look_at = now + timedelta(seconds=MOVE_CHECK)
            again = (name for name, refused in self._refused.items() if is_due(refused.until, now, RETRY))
            for name in (*self._state.awaiting, *self._undecided, *again):
                self.queue.add(name)
        self._follow_agents(now)
        self.pools.look_at(self._state.take_changed_pools())
        for network in self._state.take_offered():
            self._announcer.offer(self._state, network, first=first)
        for notice in self._state.take_notices():
            self._announcer.notice(self._state, notice, first=first)
        await asyncio.sleep(0)
        waits = self._state.awaiting or self._undecided or self._refused or self.queue.waiting()
        death = self._state.agents.next_death(self._clock(), self._settings.agent_timeout)
        wake_ups = [seconds for seconds in (MOVE_CHECK if waits else None, death) if seconds is not None]
        return min(wake_ups, default=None)

    def _follow_agents(self, now: datetime) -> None:
        """Look again at the Services to which it matters that agents came or died."""
        live, before = self._state.agents.live(now, self._settings.agent_timeout), self._live
        self._live = live
        if before is None or live == before:
            return
        if (bool(live.programming), bool(live.recording)) != (bool(before.programming), bool(before.recording)):
            concerned = [name for name, fact in self._state.services.items() if fact.has_finalizer]
        else:
            concerned = list(self._unconfirmed)
        for name in concerned:
            self.queue.add(name)

    def holders(self) -> dict[str, set[str]] | None:
        """Return the Services that hold an address, by network; None before the log was read to its end."""
        if not self._began:
            return None
        found: dict[str, set[str]] = {}
        for holding in self._state.fold.holdings():
            found.setdefault(holding.network, set()).add(holding.service)
        return found

    async def idle(self, within: float) -> bool:
        """Wait until every write is done, at most ``within`` seconds; return whether it is."""
        return await self.queue.idle(within) and await self.pools.queue.idle(within)

    async def close(self) -> None:
        """Finish the writes under way within a bound, and begin no others."""
        await self.queue.close()
        await self.pools.close()

    def publication(self, name: str) -> Publication | None:
        """Return what the Service's status must show now; None for an unknown Service."""
        fact = self._state.services.get(name)
        return None if fact is None else self._publication(fact)

    # One Service

    async def _work(self, name: str) -> None:
        for _ in range(MAX_STEPS):
            # Between reset and the next settle the state is half read: nothing may be decided on it.
            patch = self._due(name) if self._began else None
            if patch is None:
                return
            await self._write(name, patch)
        self.queue.add(name)

    def _publication(self, fact: ServiceFact) -> Publication:
        name = fact.full_name
        state = self._state
        holdings = state.fold.holdings_of(name)
        return publish(
            fact,
            state.intents.selections.get(name),
            holdings,
            state.fold.refusals_of(name),
            state.agents,
            self._clock(),
            self._settings,
            wanting=state.wanting(name),
            damaged=state.fold.damage,
            elsewhere=owners_elsewhere(state.fold, holdings),
            pace=state.fold.pace,
            unserved=state.unserved,
            apart=why_apart(state.fold, state.intents, holdings),
        )

    def _due(self, name: str) -> ServicePatch | None:
        """Return the next patch of the Service, None where it shows what it should or the server refuses that."""
        fact = self._state.services.get(name)
        if fact is None:
            self._forget(name)
            return None
        publication = self._publication(fact)
        self._watch_over(name, publication)
        patch = due_patch(self._state, fact, publication, overdue=self._overdue(name))
        if patch is None:
            self._refused.pop(name, None)
        elif self._is_refused(name, patch):
            return None
        return patch

    def _is_refused(self, name: str, patch: ServicePatch) -> bool:
        """Return whether the server has refused this very patch and would do so again."""
        refused = self._refused.get(name)
        if refused is None or is_due(refused.until, self._clock(), RETRY):
            return False
        return (refused.version, refused.write) == (self._version(name), patch.timeless())

    async def _write(self, name: str, patch: ServicePatch) -> None:
        state, version = self._state, self._version(name)
        before = state.services[name]
        try:
            result = await self._writer.write(patch.write)
        except ClusterRefused as refused:
            self._was_refused(name, version, patch, refused)
            return
        self.counts[patch.step] += 1
        self._refused.pop(name, None)
        if result is None or _is_last_sight(result):
            self._state.mark_deleted(before)
            return
        if self._state is state and self._version(name) == version:
            # Else a fact came meanwhile, or the log is read again: look at what the facts show.
            state.services[name] = patch.after
        if patch.step == "publish":
            self._state.mark_published(before)
        self._announcer.status(state, before, patch.after.conditions)

    def _version(self, name: str) -> int:
        return self._state.versions.get(name, 0)

    def _was_refused(self, name: str, version: int, patch: ServicePatch, refused: ClusterRefused) -> None:
        """Report the refusal once. A changed Service, another patch, or ``RETRY`` seconds lead to the next try."""
        self.counts["refused"] += 1
        before, message = self._refused.get(name), str(refused)
        until = self._clock() + timedelta(seconds=RETRY)
        self._refused[name] = _Refused(version, patch.timeless(), message, until)
        _logger.error("the API server refused a write", service=name, step=patch.step, error=str(refused))
        fact = self._state.services.get(name)
        if fact is not None and (before is None or before.message != message):
            self._announcer.event(about(fact), Reason.STATUS_REFUSED, message, warning=True, identity=patch.step)

    def _watch_over(self, name: str, publication: Publication) -> None:
        """Remember to look at the Service again although no record comes."""
        self._state.awaiting.assign(name, publication.awaiting)
        if publication.reachability is not None and publication.reachability.status == "Unknown":
            self._unconfirmed[name] = None
        else:
            self._unconfirmed.pop(name, None)
        if publication.state == "Ignored":
            self.standing.pop(name, None)
        else:
            self.standing[name] = publication.state, publication.reason or ""
        waits = publication.state in {"Pending", "Moving"} and not publication.decided
        if waits:
            self._undecided.setdefault(name, self._clock())
        else:
            self._undecided.pop(name, None)

    def _overdue(self, name: str) -> bool:
        since = self._undecided.get(name)
        return since is not None and (self._clock() - since).total_seconds() >= VERDICT_GRACE

    def _forget(self, name: str) -> None:
        self.standing.pop(name, None)
        self._undecided.pop(name, None)
        self._refused.pop(name, None)
        self._unconfirmed.pop(name, None)
        self._state.awaiting.assign(name, ())


def _is_last_sight(obj: Object) -> bool:
    """Return whether this write removed the last finalizer of a deleted object, and so the object."""
    meta = obj.get("metadata", {})
    return bool(meta.get("deletionTimestamp")) and not meta.get("finalizers")
