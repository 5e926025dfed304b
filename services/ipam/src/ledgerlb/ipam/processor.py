"""The IPAM service: intents and reports in, chained ledger entries out.

The service folds the ledger, the intents and the agents' reports. ``settle`` asks the domain (``ledgerlb.core.ipam``)
for a decision per network, appends at most one entry per network, and decides nothing more there until it has read
that entry back: an acknowledgement proves nothing, the fold does. When another replica extended the chain first, our
entry is rejected, and the same intents are decided again on the new state. Any number of these processes may run at
once.

A network whose ledger is damaged, or was written by a newer version, gets no more entries; the others go on. The
service decides nothing before the selector has marked the intents topic as complete (``IntentsSynced``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from prometheus_client import Counter, Gauge

from ledgerlb.core.errors import EventLogError, LedgerCorrupt, LedgerDamaged
from ledgerlb.core.intents.model import AddressIntent, NetworkOffer, Withdrawal
from ledgerlb.core.ipam import TICK, NetworkQueue, Proposal, Terms, next_look, propose, woken_by
from ledgerlb.core.ledger.entry import MAX_BYTES, Entry
from ledgerlb.core.ledger.fold import Accepted
from ledgerlb.core.paths.pathset import Heartbeat, Report
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import INTENTS, LEDGER, REPORTS, Topic
from ledgerlb.runtime.projection import Projection

ENTRIES: Final = Counter("ledgerlb_ipam_entries", "Own ledger entries by fate", ["fate"])
EVENTS: Final = Counter("ledgerlb_ipam_events", "Events of accepted ledger entries by type", ["type"])
DAMAGED: Final = Gauge("ledgerlb_ipam_damaged_networks", "Networks that decide nothing because their ledger is damaged")

_log: Final = logging.getLogger("ledgerlb.ipam")


class Ipam:
    """See module. ``decider`` names this process in every entry that it writes."""

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
        self._projection = projection or Projection()
        self._settings = settings
        self._clock = clock
        self._decider = decider
        self.reset()

    def reset(self) -> None:
        """Forget everything that was folded."""
        self._projection.reset()
        self.fold = self._projection.ledger
        DAMAGED.set(0)
        self.intents = self._projection.intents
        self.agents = self._projection.agents
        self.queues: dict[str, NetworkQueue] = {}
        self._touched: dict[str, None] = {}
        self._due: dict[str, datetime] = {}

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
        """The queue of a network that the next ``settle`` looks at."""
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
            case _:
                pass

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
            ENTRIES.labels("accepted" if accepted else "rejected").inc()
        if accepted:
            self._follow(queue, entry)
        queue.read_back(record.offset)

    def _stop_deciding(self, record: Record) -> None:
        """Report a network whose ledger has become damaged: nothing is decided there any more."""
        self._queue(record.key).read_back(record.offset)
        DAMAGED.set(len(self.fold.damage))
        damage = self.fold.damage[record.key]
        if damage.offset == record.offset:
            _log.error("network %s: no more decisions: %s", record.key, damage.text())

    def problems(self) -> list[str]:
        """Lines for the readiness probe, one per network that decides nothing because its ledger is damaged."""
        return [f"network {name}: {damage.reason}: {damage.text()}" for name, damage in self.fold.damage.items()]

    def _follow(self, queue: NetworkQueue, entry: Entry) -> None:
        for event in entry.events:
            EVENTS.labels(type(event).__name__).inc()
        refusals = self.fold.networks[entry.network].refusals
        queue.add(woken_by(entry, refusals, self.intents.intents_for(entry.network)))

    def _take_report(self, record: Record) -> None:
        report = self._projection.report(record)
        if isinstance(report, Report):
            for holding in self.fold.holding(report.address):
                self._touch(holding.network).add((holding.service,))
        elif isinstance(report, Heartbeat) and report.stopped:
            self._touched.update(dict.fromkeys(self.queues))

    # -- deciding --------------------------------------------------------------------------------------------------

    async def settle(self, log: EventLog) -> float | None:
        """Decide in every network that was touched or is due; return the seconds until the next one is due."""
        if not self.intents.synced:
            return None
        now = self._clock()
        self._touched.update(dict.fromkeys(name for name, due in self._due.items() if due <= now))
        proposals: list[tuple[NetworkQueue, Proposal]] = []
        for name in self._touched:
            queue = self._queue(name)
            if queue.awaiting is not None or name in self.fold.damage:
                continue
            try:
                proposal = self._propose(queue, now)
            except LedgerCorrupt as error:  # a bug in the decision: the other networks go on
                _log.exception("network %s: its decision contradicts its state: %s", name, error)
                continue
            if len(proposal.entry) > LEDGER.max_bytes:
                self._set_aside(queue, proposal)
            elif proposal.entry:
                proposals.append((queue, proposal))
            self._schedule(name, now)
        self._touched = {name: None for name in self._touched if self._queue(name).awaiting is not None}
        for name in self.fold.damage:
            self._due.pop(name, None)
        await self._append(log, proposals)
        return self._next_wake_up(now)

    def _propose(self, queue: NetworkQueue, now: datetime) -> Proposal:
        network = queue.network
        settings = self._settings
        terms = Terms(now, self.intents.offers.get(network), settings.defaults, self.agents, settings.agent_timeout)
        intents = queue.intents(self.intents.intents_for(network))
        limit = min(MAX_BYTES, LEDGER.max_bytes)
        proposal = propose(self.fold.network(network), intents, terms, self._decider, limit)
        queue.decided(proposal.decision.considered)
        return proposal

    def _set_aside(self, queue: NetworkQueue, proposal: Proposal) -> None:
        """Keep a proposal that fits no record out of the append, which would fail for all other networks with it."""
        queue.add(proposal.decision.considered)
        seq = self.fold.network(queue.network).seq
        if queue.oversized_at == seq:
            return
        queue.oversized_at = seq
        ENTRIES.labels("too-large").inc()
        _log.error(
            "network %s: no decision is possible, because its entry would have %d bytes and a record holds at most %d; "
            "a change of its prefixes concerns too many holders at once: take it back, or make it in smaller steps",
            queue.network, len(proposal.entry), LEDGER.max_bytes,
        )  # fmt: skip

    async def _append(self, log: EventLog, proposals: list[tuple[NetworkQueue, Proposal]]) -> None:
        if not proposals:
            return
        try:
            offsets = await log.append(LEDGER, [NewRecord(queue.network, entry) for queue, (_, entry) in proposals])
        except EventLogError:
            # Nobody knows whether the log has the entries. If it has, they will be read; deciding again on the old
            # head is harmless, because the chain rejects the second entry.
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
