"""The IPAM service: intents and reports in, chained ledger entries out.

It folds the ledger, the intents and the agents' reports. ``settle`` decides per network (pure,
``ledgerlb.core.ipam``), appends at most one entry per network, and decides nothing more there until that entry was
read back: an acknowledgement proves nothing, the fold does. A rejected entry means that somebody else extended the
chain first; the same wishes are then looked at again on the new state. So any number of these processes may run at
once.

Nothing is decided before the selector has said that everything known stands in the intents topic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from ledgerlb.core.agents import AgentTable
from ledgerlb.core.errors import EventLogError
from ledgerlb.core.intents import (
    AddressIntent,
    Dropped,
    IntentsSynced,
    NetworkOffer,
    Selection,
    Withdrawal,
    decode_intent,
)
from ledgerlb.core.ipam.batch import Decision, decide
from ledgerlb.core.ipam.terms import Terms
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.entry import MAX_BYTES, VERSION, Entry, encode_entry
from ledgerlb.core.ledger.fold import Accepted, LedgerFold
from ledgerlb.core.ledger.records import Refusal
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.pathset import Heartbeat, Report, decode_report
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import INTENTS, LEDGER, REPORTS, Topic
from ledgerlb.ipam.desk import NetworkDesk

ENTRIES: Final = Counter("ledgerlb_ipam_entries", "Own ledger entries by fate", ["fate"])
EVENTS: Final = Counter("ledgerlb_ipam_events", "Events of accepted ledger entries by type", ["type"])

_FREEING: Final = (
    ev.AddressReleased,
    ev.QuarantineEnded,
    ev.LeaseEnded,
    ev.HolderLeft,
    ev.HoldingChanged,
    ev.ReleaseCancelled,
    ev.NetworkDefined,
    ev.PrefixChangeRefused,
)
_TAKING: Final = (ev.AddressAllocated, ev.AddressAdopted)
_A_LITTLE: Final = 0.001

_log: Final = logging.getLogger("ledgerlb.ipam")


class Ipam:
    """See module. ``decider`` names this process in every entry that it writes."""

    name = "ipam"
    reads: tuple[Topic, ...] = (INTENTS, LEDGER, REPORTS)
    unhurried = False

    def __init__(self, settings: DomainSettings, clock: Callable[[], datetime], decider: str) -> None:
        self._settings = settings
        self._clock = clock
        self._decider = decider
        self.reset()

    def reset(self) -> None:
        """Forget everything that was folded."""
        self.fold = LedgerFold()
        self.agents = AgentTable()
        self._desks: dict[str, NetworkDesk] = {}
        self._touched: dict[str, None] = {}
        self._due: dict[str, datetime] = {}
        self._synced = False

    def take(self, record: Record) -> None:
        """Fold one record of the intents, the ledger or the reports."""
        if record.topic == LEDGER.name:
            self._take_entry(record)
        elif record.topic == INTENTS.name:
            self._take_intent(record)
        else:
            self._take_report(record)

    # -- folding ---------------------------------------------------------------------------------------------------

    def _desk(self, network: str) -> NetworkDesk:
        self._touched[network] = None
        desk = self._desks.get(network)
        if desk is None:
            desk = self._desks[network] = NetworkDesk(network)
        return desk

    def _take_intent(self, record: Record) -> None:
        match decode_intent(record.key, record.value):
            case NetworkOffer() as offer:
                self._desk(offer.network).put_offer(offer)
            case AddressIntent() | Withdrawal() as intent:
                self._desk(intent.network).put_intent(intent)
            case Dropped() as dropped if dropped.network and dropped.service:
                self._desk(dropped.network).drop_intent(dropped.service)
            case IntentsSynced():
                self._synced = True
            case Selection() | Dropped():
                pass

    def _take_entry(self, record: Record) -> None:
        outcome = self.fold.take(record.key, record.value)
        entry = outcome.entry
        desk = self._desk(entry.network)
        accepted = isinstance(outcome, Accepted)
        if entry.decider == self._decider:
            ENTRIES.labels("accepted" if accepted else "rejected").inc()
        if accepted:
            self._follow(desk, entry)
        desk.read_back(record.offset)

    def _follow(self, desk: NetworkDesk, entry: Entry) -> None:
        """What an accepted entry gives reason to look at again: freed addresses wake those that wait, and taken ones
        may make another reason of theirs true.
        """
        for event in entry.events:
            EVENTS.labels(type(event).__name__).inc()
            service = getattr(event, "service", None)
            if service is not None:
                desk.reconsider((service,))
        refusals = self.fold.networks[entry.network].refusals
        if refusals and any(isinstance(event, _FREEING) for event in entry.events):
            desk.reconsider(refusals)
        elif refusals and any(isinstance(event, _TAKING) for event in entry.events):
            desk.reconsider([name for name, refusal in refusals.items() if _may_turn(refusal, desk.intents.get(name))])

    def _take_report(self, record: Record) -> None:
        report = decode_report(record.key, record.value)
        self.agents.take(record.key, report)
        if isinstance(report, Report):
            for holding in self.fold.holding(report.address):
                self._desk(holding.network).reconsider((holding.service,))
        elif isinstance(report, Heartbeat) and report.stopped:
            self._touched.update(dict.fromkeys(self._desks))

    # -- deciding --------------------------------------------------------------------------------------------------

    async def settle(self, log: EventLog) -> float | None:
        """Decide in every network that something touched or that is due; returns when the next one is due (seconds)."""
        if not self._synced:
            return None
        now = self._clock()
        self._touched.update(dict.fromkeys(name for name, due in self._due.items() if due <= now))
        records: list[NewRecord] = []
        decided: list[tuple[NetworkDesk, Decision]] = []
        for name in self._touched:
            desk = self._desk_of(name)
            if desk.awaiting is not None:
                continue
            decision, entry = self._decide(desk, now)
            desk.looked_at(decision.considered)
            if len(entry) > LEDGER.max_bytes:
                self._set_aside(desk, decision, len(entry))
            elif entry:
                records.append(NewRecord(name, entry))
                decided.append((desk, decision))
            self._schedule(name, now)
        self._touched = {name: None for name in self._touched if self._desk_of(name).awaiting is not None}
        await self._append(log, records, decided)
        return self._next_wake_up(now)

    def _decide(self, desk: NetworkDesk, now: datetime) -> tuple[Decision, bytes]:
        """What is decided in the network now, and its entry (empty: nothing). Where the wishes of many lead to more
        than an entry should hold, to those of fewer: the others come with the next one.
        """
        wishes, terms = desk.wishes(), self._terms(desk, now)
        most = min(MAX_BYTES, LEDGER.max_bytes)
        while True:
            decision = decide(self.fold.network(desk.network), wishes, terms)
            entry = self._entry(desk.network, decision, now) if decision.events else b""
            heard = [cause.service for cause in decision.causes if cause.service]
            if len(entry) <= most or len(heard) <= 1:
                return decision, entry
            now_heard = set(heard[: len(heard) // 2])
            wishes = [wish for wish in wishes if wish.service in now_heard]

    def _set_aside(self, desk: NetworkDesk, decision: Decision, size: int) -> None:
        """Leave a decision that fits no record, so that the log does not refuse those of all other networks with it;
        the network is looked at again when something is said about it.
        """
        desk.reconsider(decision.considered)
        seq = self.fold.network(desk.network).seq
        if desk.oversized_at == seq:
            return
        desk.oversized_at = seq
        ENTRIES.labels("too-large").inc()
        _log.error(
            "network %s: nothing is decided there, since the decision has %d bytes and a record at most %d; an edit of "
            "its prefixes concerns too many holders at once: take it back, or make it in smaller steps",
            desk.network, size, LEDGER.max_bytes,
        )  # fmt: skip

    def _desk_of(self, name: str) -> NetworkDesk:
        desk = self._desks.get(name)
        if desk is None:
            desk = self._desks[name] = NetworkDesk(name)
        return desk

    def _terms(self, desk: NetworkDesk, now: datetime) -> Terms:
        return Terms(now, desk.offer, self._settings.defaults, self.agents, self._settings.agent_timeout)

    def _entry(self, network: str, decision: Decision, now: datetime) -> bytes:
        head = self.fold.network(network).head
        return encode_entry(
            Entry(
                v=VERSION,
                network=network,
                seq=head.seq + 1,
                prev=head.digest,
                decided_at=now,
                decider=self._decider,
                cause=decision.causes,
                events=decision.events,
            )
        )

    async def _append(
        self, log: EventLog, records: list[NewRecord], decided: list[tuple[NetworkDesk, Decision]]
    ) -> None:
        if not records:
            return
        try:
            offsets = await log.append(LEDGER, records)
        except EventLogError:
            # Whether the entries are in the log is unknown. They will be read if they are; deciding again on an old
            # head is harmless, because the chain rejects it.
            for desk, decision in decided:
                desk.sent(0, decision.considered)
                desk.abandon()
                self._touched[desk.network] = None
            raise
        for (desk, decision), offset in zip(decided, offsets, strict=True):
            desk.sent(offset, decision.considered)
            self._touched[desk.network] = None

    # -- time ------------------------------------------------------------------------------------------------------

    def _schedule(self, name: str, now: datetime) -> None:
        """Note when the network needs a look without anything new being said."""
        state = self.fold.network(name)
        moments = [moment for moment in (state.next_due(), self._next_death(state, now)) if moment is not None]
        if moments:
            self._due[name] = min(moments)
        else:
            self._due.pop(name, None)

    def _next_death(self, state: NetworkState, now: datetime) -> datetime | None:
        """When the first silent agent that a release waits for may be declared dead."""
        if not state.releasing():
            return None
        timeout = timedelta(seconds=self._settings.agent_timeout + _A_LITTLE)
        deaths = [beat.at + timeout for beat in self.agents.agents() if not beat.stopped]
        return min((moment for moment in deaths if moment > now), default=None)

    def _next_wake_up(self, now: datetime) -> float | None:
        if not self._due:
            return None
        return max(_A_LITTLE, (min(self._due.values()) - now).total_seconds())


def _may_turn(refusal: Refusal, intent: AddressIntent | Withdrawal | None) -> bool:
    """Whether a refusal may read otherwise because somebody else got an address: not that of the many who wait for
    any address of one family.
    """
    if refusal.reason != "NetworkFull" or not isinstance(intent, AddressIntent):
        return True
    return len(intent.families) > 1 or bool(intent.sharing_key)
