"""The network-selector: reads facts, writes intents.

It asks its projection about the facts that a choice depends on, the intents (its own and those of other replicas), the
ledger and the agents' reports. Once every kind of fact has been listed, it writes one offer per network, and one
Selection and the intents of each Service. It writes a record only if that says something new, so restarts,
repetitions and second replicas write nothing.

Each record leads to what it concerns and no further: a Service's fact or ledger entry to that Service, a Namespace to
its Services, a network or the Kubemanager to all Services. ``Agenda`` holds what is to be looked at, and
``DerivedNetworks`` what all choices share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from ledgerlb.core.cluster.contrail import contrail_home
from ledgerlb.core.cluster.facts import OWN_CONDITIONS, AddressPoolFact, NamespaceFact, ServiceFact, Synced, fact_key
from ledgerlb.core.cluster.services import is_ours
from ledgerlb.core.cluster.view import Change
from ledgerlb.core.intents.model import (
    Dropped,
    FactPosition,
    IntentRecord,
    IntentsSynced,
    NetworkOffer,
    encode_intent,
    intent_key,
)
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.events import AddressAdopted, AddressAllocated
from ledgerlb.core.ledger.fold import Accepted
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.networks import Coverage, OrphanedAddress, orphaned_addresses
from ledgerlb.core.paths.pathset import Heartbeat, Report
from ledgerlb.core.reasons import Reason
from ledgerlb.core.selection import (
    DerivedNetworks,
    IntentPlan,
    SelectionContext,
    ServiceContext,
    WithdrawalCause,
    anchor_of,
    not_ours,
    plan_end,
    plan_intents,
    plan_offers,
    plan_takeover,
    reserve_everywhere,
    select,
    unheld_addresses,
)
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, REPORTS, Topic
from ledgerlb.network_selector.agenda import Agenda
from ledgerlb.network_selector.room import LedgerRoom
from ledgerlb.runtime.projection import Projection
from ledgerlb.runtime.size_guard import SizeGuard

OFFERS: Final = ""
"""The offers of all networks, as one name on the agenda; the other names are Services."""

_NETWORK_KINDS: Final = (
    "NetworkAttachmentDefinition",
    "VirtualNetwork",
    "Subnet",
    "AddressPool",
    "VirtualNetworkRouter",
)
_USING_KINDS: Final = ("Service", "Node")
"""Kinds that use addresses, which a network must then not give out."""
_KINDS: Final = ("Namespace", "Kubemanager", "Synced", *_USING_KINDS, *_NETWORK_KINDS)
_KIND_PREFIXES: Final = tuple(f"{kind}/" for kind in _KINDS)
_SERVICES_PER_APPEND: Final = 200
_RECORDS_PER_APPEND: Final = 500
_MOVE_CHECK: Final = 1.0
"""Seconds after which a Service that moves is looked at again without a record: an agent may have died meanwhile."""
_DISPUTE_CHECK: Final = 5.0
"""Seconds after which a record of another replica is checked: two replicas that disagree, for example while settings
are rolled out, then write slowly.
"""


class NetworkSelector:
    """See module. ``clock`` returns aware UTC; it decides only which agents are alive and when to look again."""

    name = "network-selector"
    reads: tuple[Topic, ...] = (FACTS, INTENTS, LEDGER, REPORTS)
    low_priority = False

    def __init__(
        self, settings: DomainSettings, clock: Callable[[], datetime], projection: Projection | None = None
    ) -> None:
        self._projection = projection or Projection(clock)
        self._settings = settings
        self._clock = clock
        self._size_guard = SizeGuard(INTENTS)
        self.reset()

    def reset(self) -> None:
        """See Processor."""
        self._projection.reset()
        self.view = self._projection.cluster
        self.intents = self._projection.intents
        self.fold = self._projection.ledger
        self.agents = self._projection.agents
        self._room = LedgerRoom(self.fold)
        self._networks = DerivedNetworks(self.view, self._settings, self._room)
        self._agenda = Agenda()
        self._positions: dict[str, int] = {}
        """Offset of each fact, by record key."""
        self._owned: dict[str, str] = {}
        """uid of each Service that a network ever gave an address to."""
        self._moving: dict[str, None] = {}
        self._by_room: dict[str, None] = {}
        """Services whose choice depends on which AddressPools are full."""
        self._orphans: tuple[OrphanedAddress, ...] = ()
        self._coverage = Coverage()
        """Addresses of the networks that were last offered."""
        self._looked_at = (0, 0)
        """The network objects and the context (as ``DerivedNetworks`` counts them) that were last acted on."""

    # -- folding ---------------------------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Fold one record of the facts, the intents, the ledger or the reports."""
        if record.topic == FACTS.name:
            self._take_fact(record)
        elif record.topic == INTENTS.name:
            self._take_intent(record)
        elif record.topic == LEDGER.name:
            outcome = self._projection.entry(record)
            if isinstance(outcome, Accepted):
                self._take_entry(outcome.entry)
        else:
            self._take_report(record)

    def _take_fact(self, record: Record) -> None:
        if not record.key.startswith(_KIND_PREFIXES):
            return
        news = self._projection.fact(record)
        fact, change = news.fact, news.change
        if change.kind == "Synced":
            # What a VirtualNetwork without its NAD means depends on whether the cluster has NADs at all.
            if isinstance(fact, Synced) and fact.of in _NETWORK_KINDS:
                self._networks.objects_changed()
            return
        if change.new is None:
            self._positions.pop(record.key, None)
        else:
            self._positions[record.key] = record.offset
        if not change.same:
            self._note(change)

    def _note(self, change: Change) -> None:
        """Put what a changed fact concerns on the agenda."""
        if change.kind in _USING_KINDS and self._coverage.concerns(change):
            self._agenda.add((OFFERS,))
        if change.kind == "Node":
            return
        if change.kind == "Service":
            if not self._is_status_only(change):
                self._agenda.add((change.name,))
        elif change.kind == "Namespace":
            self._agenda.add(self.view.services_in(change.name))
            relabelled = self._was_relabelled(change)
            if change.name in contrail_home(self.view, self._settings).candidates or relabelled:
                self._networks.surroundings_changed()
            if relabelled:
                self._networks.objects_changed()  # its networks may be admitted now, or no longer
        elif change.kind in _NETWORK_KINDS:
            if not _is_pool_status_only(change):
                self._networks.objects_changed()
        else:
            self._networks.surroundings_changed()

    def _is_status_only(self, change: Change) -> bool:
        """Return whether only status and finalizer changed, and the Service is none to which they matter: one that
        moves, that no network gave an address yet, or that leaves and may still show marks of ours.
        """
        old, new = change.old, change.new
        if not isinstance(old, ServiceFact) or not isinstance(new, ServiceFact):
            return False
        if change.name in self._moving or self._owned.get(change.name) != new.uid or self._adopts(change.name):
            return False
        if new.deleting or not is_ours(new, self._settings):
            return False
        shown = {"ingress": new.ingress, "conditions": new.conditions, "has_finalizer": new.has_finalizer}
        return old.model_copy(update=shown) == new

    def _adopts(self, name: str) -> bool:
        """Return whether an intent of the Service names an address to adopt that it does not hold."""
        named = [a for intent in self.intents.intents_of(name).values() for a in getattr(intent, "adopt", ())]
        return bool(named) and not {holding.address for holding in self.fold.holdings_of(name)}.issuperset(named)

    def _was_relabelled(self, change: Change) -> bool:
        """Return whether the labels of a Namespace with networks changed: selectors may match others of them now."""
        return _labels(change.old) != _labels(change.new) and any(
            network.namespace == change.name for network in self._networks.last.values()
        )

    def _take_intent(self, record: Record) -> None:
        news = self._projection.intent(record)
        intent = news.change.record
        if not news.own and not isinstance(intent, IntentsSynced):
            self._agenda.later(OFFERS if isinstance(intent, NetworkOffer) else intent.service, _DISPUTE_CHECK)

    def _take_entry(self, entry: Entry) -> None:
        for event in entry.events:
            service = getattr(event, "service", None)
            if service is not None:
                self._agenda.add((service,))
            if isinstance(event, AddressAllocated | AddressAdopted):
                self._owned[event.service] = event.uid
        if entry.network not in self._networks.last or any(one.network == entry.network for one in self._orphans):
            # An orphaned address, which other networks had to leave out, may have been released.
            self._agenda.add((OFFERS,))
        self._networks.set_holding(entry.network, holds=self.fold.networks[entry.network].allocated() > 0)
        if self._by_room and self._room.changed(entry.network):
            self._agenda.add(self._by_room)

    def _take_report(self, record: Record) -> None:
        report = self._projection.report(record)
        if not self._moving:
            return
        if isinstance(report, Report):
            holders = (holding.service for holding in self.fold.holding(report.address))
            self._agenda.add(service for service in holders if service in self._moving)
        elif isinstance(report, Heartbeat) and report.stopped:
            self._agenda.add(self._moving)

    # -- writing ---------------------------------------------------------------------------------------------------

    async def settle(self, log: EventLog) -> float | None:
        """See Processor."""
        if not self.view.synced():
            return None
        now = self._clock()
        self._agenda.advance(now)
        context = self._look_around()
        await self._write_offers(log, context)
        await self._write_intents(log, context, now)
        # A record that came late with an older revision must not win when the log is compacted.
        await self._append(log, self.intents.restatements())
        if not self.intents.synced:
            await self._append(log, (IntentsSynced(),))
        return self._agenda.wake_up(now)

    def _look_around(self) -> SelectionContext:
        """Return the context; what its changes concern goes on the agenda."""
        context = self._networks.context
        seen = (self._networks.objects, self._networks.version)
        if seen[0] != self._looked_at[0]:
            # The message about a missing network describes the objects, so it may change although no network did.
            self._agenda.add(self._missing_their_network())
        if seen[1] != self._looked_at[1]:
            self._agenda.add((OFFERS,))
            self._agenda.add(self._all_services())
        self._looked_at = seen
        return context

    def _missing_their_network(self) -> Iterable[str]:
        for name, verdict in self.intents.selections.items():
            if Reason.NETWORK_NOT_FOUND in {verdict.reason, verdict.drift_reason}:
                yield name

    def _all_services(self) -> Iterable[str]:
        yield from (service.full_name for service in self.view.services())
        yield from self.intents.services()
        yield from (holding.service for holding in self.fold.holdings())

    async def _write_offers(self, log: EventLog, context: SelectionContext) -> None:
        if not self._agenda.is_dirty(OFFERS):
            return
        self._orphans = orphaned_addresses(context.networks, self.fold.holdings())
        await self._append(log, plan_offers(context.networks, self._orphans, self.view.in_use, self.intents, self.fold))
        self._coverage = Coverage(context.networks.values())
        self._agenda.done(OFFERS)

    async def _write_intents(self, log: EventLog, context: SelectionContext, now: datetime) -> None:
        again: list[str] = []
        names = iter(sorted(self._agenda.dirty(), key=self._turn))
        # A Service leaves the agenda only when its records are in the log.
        while batch := tuple(islice(names, _SERVICES_PER_APPEND)):
            plans = [(name, self._plan_for(name, context, now)) for name in batch]
            await self._append(log, [record for _, plan in plans for record in plan.records])
            for name, plan in plans:
                self._agenda.done(name)
                again += [name] if plan.again else []
                self._note_move(name, moving=plan.moving)
        self._agenda.add(again)

    def _note_move(self, name: str, *, moving: bool) -> None:
        if moving:
            self._moving[name] = None
            self._agenda.later(name, _MOVE_CHECK)
        else:
            self._moving.pop(name, None)

    def _turn(self, name: str) -> tuple[int, str]:
        """Return the order of Services that take several appends, between which IPAM may decide: first those that are
        gone (they free addresses), then those whose status shows an address that they may keep, then the rest; the
        oldest first.
        """
        service = self.view.service(name)
        if service is None:
            return (0, "")
        may_keep = bool(service.ingress) and self._owned.get(name) != service.uid
        return (1 if may_keep else 2, service.created)

    def _plan_for(self, name: str, context: SelectionContext, now: datetime) -> IntentPlan:
        service = self.view.service(name)
        about = self._service_context(name, service, now)
        if service is None:
            if not about.holdings:
                self._owned.pop(name, None)
            self._by_room.pop(name, None)
            return plan_end(about, WithdrawalCause.SERVICE_DELETED)
        shown = unheld_addresses(service, about.holdings)
        marked = _is_marked(service)
        if service.deleting:
            reserved = reserve_everywhere(context, service, shown if about.new_to_ledger else ())
            return plan_end(about, WithdrawalCause.SERVICE_DELETED, service.uid, marked=marked, reserved=reserved)
        if not is_ours(service, self._settings):
            verdict = not_ours(service, about, self._settings)
            cause = WithdrawalCause.RELEASE_ALL if self._settings.is_releasing else WithdrawalCause.NOT_OURS
            reserved = reserve_everywhere(context, service, shown)
            return plan_end(about, cause, service.uid, verdict=verdict, marked=marked, reserved=reserved)
        anchor = anchor_of(service, about.holdings, about.intents)
        choice = select(context, service, anchor, about.held_networks)
        if choice.by_room:
            self._by_room[name] = None
        else:
            self._by_room.pop(name, None)
        facts = self._facts(fact_key("Service", service.namespace, service.name), *choice.objects)
        takeover = plan_takeover(context, service, shown if about.new_to_ledger else (), choice)
        return plan_intents(about, service, choice, choice.to_selection(about.revision(""), facts), takeover)

    def _service_context(self, name: str, service: ServiceFact | None, now: datetime) -> ServiceContext:
        timeout = self._settings.agent_timeout
        holdings = self.fold.holdings_of(name)

        def programmed(holding: Holding) -> bool:
            # Of a Service that holds one address of two networks, the data path serves the older holding.
            own = [other.allocation for other in holdings if other.address == holding.address]
            return self.agents.programmed(holding.address, now, timeout, allocations=own)

        def revision(network: str) -> int:
            state = self.fold.networks.get(network)
            known = state.revisions.get(name, 0) if state is not None else 0
            return self.intents.next_revision(f"{network}|{name}", known)

        return ServiceContext(
            service=name,
            intents=self.intents.intents_of(name),
            selection=self.intents.selections.get(name),
            holdings=holdings,
            refusals=self.fold.refusals_of(name),
            revision=revision,
            programmed=programmed,
            namespace_labels=self.view.namespace_labels(name.partition("/")[0]),
            facts=self._facts(f"Service/{name}"),
            new_to_ledger=service is not None and self._owned.get(name) != service.uid,
        )

    def _facts(self, *keys: str) -> tuple[FactPosition, ...]:
        return tuple(
            FactPosition(topic=FACTS.name, offset=self._positions[key]) for key in keys if key in self._positions
        )

    async def _append(self, log: EventLog, records: Sequence[IntentRecord]) -> None:
        """Write in bounded pieces, and fold each piece as soon as it is in the log."""
        new = ((record, NewRecord(intent_key(record), _value(record))) for record in records)
        fitting = [(record, written) for record, written in new if self._size_guard.fits(written.key, written.value)]
        for start in range(0, len(fitting), _RECORDS_PER_APPEND):
            piece = fitting[start : start + _RECORDS_PER_APPEND]
            offsets = await log.append(INTENTS, [written for _, written in piece])
            for (record, _), offset in zip(piece, offsets, strict=True):
                self._projection.note(record, offset)


def _labels(fact: object) -> dict[str, str]:
    return dict(fact.labels) if isinstance(fact, NamespaceFact) else {}


def _is_pool_status_only(change: Change) -> bool:
    old, new = change.old, change.new
    if not isinstance(old, AddressPoolFact) or not isinstance(new, AddressPoolFact):
        return False
    return old.model_copy(update={"status": new.status, "generation": new.generation}) == new


def _is_marked(service: ServiceFact) -> bool:
    """Return whether the Service still shows something that the publisher may have written."""
    return service.has_finalizer or any(c.type.startswith(OWN_CONDITIONS) for c in service.conditions)


def _value(record: IntentRecord) -> bytes | None:
    return None if isinstance(record, Dropped) else encode_intent(record)
