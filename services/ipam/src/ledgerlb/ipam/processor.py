"""The IPAM service: intents and reports in, chained ledger entries out.

The service folds the ledger, the intents and the agents' reports. ``settle`` asks the domain (``ledgerlb.core.ipam``)
for a decision per network, appends at most one entry per network, and decides nothing more there until it has read
that entry back: only the fold proves that the chain accepted it. When another replica has extended the chain first,
the fold rejects our entry, and we decide the same intents again on the new state. Any number of these processes may
run at once.

A network whose ledger is damaged, or was written by a newer version, gets no more entries. The others continue. The
service decides nothing before the selector has marked the intents topic as complete (``IntentsSynced``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from ledgerlb.core.errors import EventLogError, LedgerCorrupt, LedgerDamaged
from ledgerlb.core.intents.claims import claimed_by
from ledgerlb.core.intents.fold import IntentChange
from ledgerlb.core.intents.model import AddressIntent, Dropped, NetworkOffer, Withdrawal
from ledgerlb.core.ipam import (
    TICK,
    ClockWatch,
    NetworkQueue,
    Proposal,
    Terms,
    decision_time,
    next_look,
    propose,
    woken_by,
)
from ledgerlb.core.ipam.sharing import namespace_of
from ledgerlb.core.ledger.entry import MAX_BYTES, Entry
from ledgerlb.core.ledger.fold import Accepted
from ledgerlb.core.paths.pathset import Heartbeat, Report
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import INTENTS, LEDGER, REPORTS, Topic
from ledgerlb.runtime.projection import Projection

FATES: Final = ("accepted", "rejected", "too-large")
"""What can become of an entry that this process writes."""

_LEAP_CHECK: Final = 5.0
"""Seconds between two looks at a clock that is wrong."""

_logger = structlog.get_logger(__name__)


class Ipam:
    """See module.

    ``decider`` names this process in every entry that it writes. ``entries`` counts those by fate (``FATES``),
    ``events`` the events of all accepted entries by type.
    """

    name = "ipam"
    reads: tuple[Topic, ...] = (INTENTS, LEDGER, REPORTS)
    low_priority = False

    def __init__(
        self,
        settings: DomainSettings,
        clock: Callable[[], datetime],
        decider: str,
        projection: Projection | None = None,
    ) -> None:
        self._projection = projection or Projection(clock)
        self._settings = settings
        self._clock = clock
        self._decider = decider
        self.entries: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget everything that was folded."""
        self._projection.reset()
        self.fold = self._projection.ledger
        self.intents = self._projection.intents
        self.agents = self._projection.agents
        self.queues: dict[str, NetworkQueue] = {}
        self._touched: dict[str, None] = {}
        self._due: dict[str, datetime] = {}
        self._damaged: set[str] = set()
        """Networks whose damage was logged."""
        self.watch = ClockWatch()
        self.leap: str | None = None
        """What is wrong with the clock; None if nothing is known to be."""
        self._at_end = False
        """Whether the log was read to its end once: heartbeats that come from then on are new."""

    # -- folding ---------------------------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Fold one record of the intents, the ledger or the reports."""
        if record.topic == LEDGER.name:
            self._take_entry(record)
        elif record.topic == INTENTS.name:
            self._take_intent(record)
        else:
            self._take_report(record)

    def _touch(self, network: str) -> NetworkQueue:
        """Mark the network for the next ``settle`` and return its queue."""
        self._touched[network] = None
        return self._queue(network)

    def _queue(self, network: str) -> NetworkQueue:
        queue = self.queues.get(network)
        if queue is None:
            queue = self.queues[network] = NetworkQueue(network)
        return queue

    def _take_intent(self, record: Record) -> None:
        change = self._projection.intent(record).change
        if change.outdated:
            return
        match change.record:
            case NetworkOffer(network=network):
                self._touch(network).add(self.intents.intents_for(network))
            case AddressIntent() | Withdrawal() as intent:
                self._touch(intent.network).add((intent.service,))
                self._take_claims(intent.network, change)
            case Dropped(network=network, service=service) if network and service:
                self._take_claims(network, change)
            case _:
                pass

    def _take_claims(self, network: str, change: IntentChange) -> None:
        """Queue the Services that wait in the network if an address is claimed by one Service less."""
        if not set(claimed_by(change.before)).issubset(claimed_by(change.record)):
            self._touch(network).add(self.fold.network(network).refusals)

    def _take_entry(self, record: Record) -> None:
        try:
            outcome = self._projection.entry(record)
        except LedgerDamaged:
            self._stop_deciding(record)
            raise
        entry = outcome.entry
        queue = self._touch(entry.network)
        accepted = isinstance(outcome, Accepted)
        if entry.decider == self._decider:
            self.entries["accepted" if accepted else "rejected"] += 1
        if accepted:
            self._follow(queue, entry)
        queue.read_back(record.offset)

    def _stop_deciding(self, record: Record) -> None:
        """Stop deciding in a network whose ledger is damaged, and report it once."""
        self._queue(record.key).read_back(record.offset)
        self._report_damage()

    def _report_damage(self) -> None:
        if self.fold.damage.keys() == self._damaged:
            return
        self._damaged &= self.fold.damage.keys()
        for network, damage in self.fold.damage.items():
            if network not in self._damaged:
                self._damaged.add(network)
                _logger.error("the ledger is damaged; nothing is decided here", network=network, error=damage.text())

    def agents_alive(self) -> tuple[str, ...]:
        """Return the agents that releases wait for, sorted."""
        return self.agents.alive(self._clock(), self._settings.agent_timeout)

    def agents_heard(self, within: timedelta) -> tuple[str, ...]:
        """Return the agents with a heartbeat in this time and without a goodbye, also those that are dead by now."""
        return self.agents.heard_since(self._clock() - within)

    def problems(self) -> list[str]:
        """Return a line for the readiness probe for a wrong clock and for each network whose ledger is damaged."""
        damaged = [f"network {name}: {damage.reason}: {damage.text()}" for name, damage in self.fold.damage.items()]
        return damaged if self.leap is None else [self.leap, *damaged]

    def _follow(self, queue: NetworkQueue, entry: Entry) -> None:
        if not self._at_end or entry.decider != self._decider:
            # What this process decides while its clock is wrong must not vouch for that clock.
            self.watch.decided(entry.decided_at)
        for event in entry.events:
            self.events[type(event).__name__] += 1
        refusals = self.fold.networks[entry.network].refusals
        queue.add(woken_by(entry, refusals, self.intents.intents_for(entry.network)))

    def _take_report(self, record: Record) -> None:
        report = self._projection.report(record)
        if isinstance(report, Report):
            for holding in self.fold.holding(report.address):
                self._touch(holding.network).add((holding.service,))
        elif isinstance(report, Heartbeat):
            if self._at_end:
                self.watch.heard(report, self._clock())
            if report.stopped:
                self._touched.update(dict.fromkeys(self.queues))

    def _has_leapt(self, now: datetime) -> bool:
        """Return whether the clock is known to be far ahead; report the beginning and the end of that once."""
        before, self.leap = self.leap, self.watch.leap(now, self._settings.agent_timeout)
        if self.leap is not None and before is None:
            _logger.error("the clock is wrong; nothing is decided", error=self.leap)
        elif self.leap is None and before is not None:
            _logger.info("the clock is right again; decisions go on")
        return self.leap is not None

    # -- deciding --------------------------------------------------------------------------------------------------

    async def settle(self, log: EventLog) -> float | None:
        """Decide in every network that was touched or is due; return the seconds until the next one is due."""
        self._projection.at_end()
        self._report_damage()
        self._at_end = True
        if not self.intents.synced:
            return None
        now = self._clock()
        if self._has_leapt(now):
            return _LEAP_CHECK
        self._touched.update(dict.fromkeys(name for name, due in self._due.items() if due <= now))
        proposals: list[tuple[NetworkQueue, Proposal]] = []
        spent = self._spent(now)
        for name in self._touched:
            queue = self._queue(name)
            if queue.awaiting is not None or name in self.fold.damage:
                continue
            try:
                proposal = self._propose(queue, now, spent)
            except LedgerCorrupt as error:  # a bug in the decision: continue with the other networks
                _logger.exception("a decision contradicts the state; this is a bug", network=name, error=str(error))
                continue
            if len(proposal.entry) > LEDGER.max_bytes:
                self._set_aside(queue, proposal)
            elif proposal.entry:
                proposals.append((queue, proposal))
            self._schedule(name, now)
            self._wake_postponed(name, proposal, now)
        self._touched = {name: None for name in self._touched if self._queue(name).awaiting is not None}
        for name in self.fold.damage:
            self._due.pop(name, None)
        await self._append(log, proposals)
        return self._next_wake_up(now)

    def _spent(self, now: datetime) -> Counter[str]:
        """Return the decisions of the last minute by namespace; nothing where no setting bounds them."""
        return Counter() if self._settings.defaults.decisions_per_minute is None else self.fold.pace.counts(now)

    def _wake_postponed(self, name: str, proposal: Proposal, now: datetime) -> None:
        """Look at the network again when the first namespace may cause decisions again."""
        limit = self._settings.defaults.decisions_per_minute
        if limit is None or not proposal.decision.postponed:
            return
        namespaces = dict.fromkeys(namespace_of(service) for service in proposal.decision.postponed)
        # What was just proposed counts too, once it is read back: the network is looked at again then.
        free = max(now + TICK, min(self.fold.pace.free_at(namespace, limit, now) for namespace in namespaces))
        self._due[name] = min(free, self._due.get(name, free))

    def _propose(self, queue: NetworkQueue, now: datetime, spent: Counter[str]) -> Proposal:
        network = queue.network
        settings = self._settings
        known = self.intents.intents_for(network)
        state = self.fold.network(network)
        terms = Terms(
            decision_time(state, now),
            self.intents.offers.get(network),
            settings.defaults,
            self.agents,
            settings.agent_timeout,
            known,
            self.intents.claims_on(network),
            now,
            spent,
        )
        intents = queue.intents(known)
        limit = min(MAX_BYTES, LEDGER.max_bytes)
        proposal = propose(state, intents, terms, self._decider, limit)
        queue.decided(proposal.decision.considered)
        spent.update(namespace_of(cause.service) for cause in proposal.decision.causes if cause.service)
        return proposal

    def _set_aside(self, queue: NetworkQueue, proposal: Proposal) -> None:
        """Keep a proposal that fits no record out of the append, which would fail for all other networks with it."""
        queue.add(proposal.decision.considered)
        seq = self.fold.network(queue.network).seq
        if queue.oversized_at == seq:
            return
        queue.oversized_at = seq
        self.entries["too-large"] += 1
        _logger.error(
            "a decision does not fit into a record: its prefixes change for too many holders at once; undo the change, "
            "or make it in smaller steps",
            network=queue.network,
            bytes=len(proposal.entry),
            limit=LEDGER.max_bytes,
        )

    async def _append(self, log: EventLog, proposals: list[tuple[NetworkQueue, Proposal]]) -> None:
        if not proposals:
            return
        try:
            offsets = await log.append(LEDGER, [NewRecord(queue.network, entry) for queue, (_, entry) in proposals])
        except EventLogError:
            # The log may or may not have the entries. If it has, this process will read them. Deciding again on the
            # old head is harmless, because the chain rejects the second entry.
            for queue, (decision, _) in proposals:
                self._touch(queue.network).add(decision.considered)
            raise
        for (queue, (decision, _)), offset in zip(proposals, offsets, strict=True):
            self._touch(queue.network).sent(offset, decision.considered)

    # -- time ------------------------------------------------------------------------------------------------------

    def _schedule(self, name: str, now: datetime) -> None:
        due = next_look(self.fold.network(name), self.agents, now, self._settings.agent_timeout)
        if due is not None:
            self._due[name] = due
        else:
            self._due.pop(name, None)

    def _next_wake_up(self, now: datetime) -> float | None:
        if not self._due:
            return None
        return max(TICK.total_seconds(), (min(self._due.values()) - now).total_seconds())
