"""The network-selector: facts in, intents out.

It asks its projection about the facts (those kinds that a choice depends on), the intents, the ledger and the agents'
reports, and says what follows, once every kind of fact has been listed: an offer per network, a verdict and a
wish per Service. A record is written only where it says something new, so restarts, repetitions and second
replicas write nothing.

What a record touches is looked at again, and nothing else: a Service's fact or ledger entry that Service, a
Namespace's its Services, a network or the Kubemanager all Services. Which networks and labels there are is
worked out once for all of them (``SelectionContext``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from ledgerlb.core.facts import NamespaceFact, ServiceFact, Synced, fact_key
from ledgerlb.core.intents import (
    Dropped,
    FactPosition,
    IntentRecord,
    IntentsSynced,
    NetworkOffer,
    Selection,
    encode_intent,
    intent_key,
)
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.events import AddressAdopted, AddressAllocated
from ledgerlb.core.ledger.fold import Accepted
from ledgerlb.core.networks import (
    ExternalNetwork,
    OrphanedAddress,
    derive_all,
    orphaned_addresses,
    with_conflicts,
)
from ledgerlb.core.pathset import Heartbeat, Report
from ledgerlb.core.reasons import Reason
from ledgerlb.core.selection import SelectionContext, anchor_of, select
from ledgerlb.core.services import is_ours
from ledgerlb.core.settings import DomainSettings
from ledgerlb.core.view import Change
from ledgerlb.eventlog.port import EventLog, NewRecord, Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, REPORTS, Topic
from ledgerlb.network_selector.offers import offers_of
from ledgerlb.network_selector.wishes import NOT_OURS, SERVICE_DELETED, Situation, ToSay, ending, following
from ledgerlb.runtime.due import is_due
from ledgerlb.runtime.fitting import Fitting
from ledgerlb.runtime.projection import Projection

_NETWORK_KINDS: Final = ("NetworkAttachmentDefinition", "VirtualNetwork", "Subnet")
_KINDS: Final = ("Service", "Namespace", "Kubemanager", "Synced", *_NETWORK_KINDS)
_SERVICES_PER_APPEND: Final = 200
_RECORDS_PER_APPEND: Final = 500
_LOOK_AGAIN: Final = 1.0
"""Seconds after which Services that move are looked at again without a record: agents may have died meanwhile."""
_SET_RIGHT: Final = 5.0
"""Seconds after which what another replica said is looked at: two that disagree (while settings are rolled out)
then write slowly.
"""


class NetworkSelector:
    """See module. ``clock`` tells aware UTC; it decides nothing but which agents still live."""

    name = "network-selector"
    reads: tuple[Topic, ...] = (FACTS, INTENTS, LEDGER, REPORTS)
    unhurried = False

    def __init__(
        self, settings: DomainSettings, clock: Callable[[], datetime], projection: Projection | None = None
    ) -> None:
        self._projection = projection or Projection()
        self._settings = settings
        self._clock = clock
        self._fitting = Fitting(INTENTS)
        self.reset()

    def reset(self) -> None:
        """Forget everything that was folded."""
        self._projection.reset()
        self.view = self._projection.cluster
        self.intents = self._projection.intents
        self.fold = self._projection.ledger
        self.agents = self._projection.agents
        self._positions: dict[str, int] = {}
        self._served: dict[str, str] = {}
        self._offer_revisions: dict[str, int] = {}
        self._holders: set[str] = set()
        self._derived: dict[str, ExternalNetwork] | None = None
        self._networks: dict[str, ExternalNetwork] = {}
        self._landscape: SelectionContext | None = None
        self._orphans: tuple[OrphanedAddress, ...] = ()
        self._conflicts_due = True
        self._offers_due = True
        self._everything = True
        self._dirty: dict[str, None] = {}
        self._moving: dict[str, None] = {}
        self._look_again: datetime | None = None
        self._disputed: dict[str, None] = {}
        self._restate = False
        """Whether to write again what an older record of another replica has overwritten in the log."""
        self._set_right: datetime | None = None

    # -- folding ---------------------------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Fold one record of the facts, the intents, the ledger or the reports."""
        if record.topic == FACTS.name:
            self._take_fact(record)
        elif record.topic == INTENTS.name:
            self._take_intent(record)
        elif record.topic == LEDGER.name:
            self._take_entry(record)
        else:
            self._take_report(record)

    def _take_fact(self, record: Record) -> None:
        if not record.key.startswith(_KIND_PREFIXES):
            return
        news = self._projection.fact(record)
        fact, change = news.fact, news.change
        if change.kind == "Synced":
            # Whether the cluster has NADs at all tells what a VirtualNetwork without its NAD is.
            if isinstance(fact, Synced) and fact.of in _NETWORK_KINDS:
                self._derived = None
            return
        if change.new is None:
            self._positions.pop(record.key, None)
        else:
            self._positions[record.key] = record.offset
        if not change.same:
            self._touch(change)

    def _touch(self, change: Change) -> None:
        """Note what has to be looked at again because of a changed fact."""
        if change.kind == "Service":
            if not self._shows_only(change):
                self._dirty[change.name] = None
        elif change.kind == "Namespace":
            self._touch_namespace(change)
        elif change.kind in _NETWORK_KINDS:
            self._derived = None
        else:
            self._landscape = None
            self._everything = True

    def _shows_only(self, change: Change) -> bool:
        """Whether nothing changed but what the status shows, which concerns nobody but Services that move, and those
        that no network gave an address yet.
        """
        old, new = change.old, change.new
        if not isinstance(old, ServiceFact) or not isinstance(new, ServiceFact):
            return False
        if change.name in self._moving or self._served.get(change.name) != new.uid:
            return False
        return old.model_copy(update={"ingress": new.ingress, "conditions": new.conditions}) == new

    def _touch_namespace(self, change: Change) -> None:
        self._dirty.update(dict.fromkeys(self.view.services_in(change.name)))
        if change.name == self._settings.contrail_namespace:
            self._everything = True
        if _labels(change.old) != _labels(change.new) and any(
            network.namespace == change.name for network in self._networks.values()
        ):
            # Selectors may match its networks now, or no longer.
            self._landscape = None
            self._everything = True

    def _take_intent(self, record: Record) -> None:
        news = self._projection.intent(record)
        intent = news.change.record
        if news.own or isinstance(intent, IntentsSynced):
            return
        self._disputed["" if isinstance(intent, NetworkOffer) else intent.service] = None

    def _take_entry(self, record: Record) -> None:
        outcome = self._projection.entry(record)
        if isinstance(outcome, Accepted):
            self._follow(outcome.entry)

    def _follow(self, entry: Entry) -> None:
        for event in entry.events:
            service = getattr(event, "service", None)
            if service is not None:
                self._dirty[service] = None
            if isinstance(event, AddressAllocated | AddressAdopted):
                self._served[event.service] = event.uid
        for cause in entry.cause:
            if cause.intent == "network":
                known = self._offer_revisions.get(entry.network, 0)
                self._offer_revisions[entry.network] = max(known, cause.revision)
        if entry.network not in self._networks or any(orphan.network == entry.network for orphan in self._orphans):
            self._offers_due = True  # an address that others had to leave out may have been released
        holds = self.fold.networks[entry.network].allocated() > 0
        if holds != (entry.network in self._holders):
            (self._holders.add if holds else self._holders.discard)(entry.network)
            # Holders decide which of two overlapping networks counts as the older, and nothing else.
            if any(network.conflict for network in self._networks.values()):
                self._conflicts_due = True

    def _take_report(self, record: Record) -> None:
        report = self._projection.report(record)
        if not self._moving:
            return
        if isinstance(report, Report):
            holders = (holding.service for holding in self.fold.holding(report.address))
            self._dirty.update((service, None) for service in holders if service in self._moving)
        elif isinstance(report, Heartbeat) and report.stopped:
            self._dirty.update(self._moving)

    # -- saying ----------------------------------------------------------------------------------------------------

    async def settle(self, log: EventLog) -> float | None:
        """Say what is new; returns in how many seconds to look again where something waits for time to pass."""
        if not self.view.synced():
            return None
        now = self._clock()
        self._what_is_due(now)
        context = self._look_around()
        await self._say_offers(log, context)
        await self._say_of_services(log, context, now)
        if self._restate:
            await self._append(log, self.intents.restatements())
            self._restate = False
        if not self.intents.synced:
            await self._append(log, (IntentsSynced(),))
        self._look_again = now + timedelta(seconds=_LOOK_AGAIN) if self._moving else None
        return self._wake_up(now)

    def _what_is_due(self, now: datetime) -> None:
        """Put on the list what waited for time to pass."""
        if self._look_again is not None and is_due(self._look_again, now, _LOOK_AGAIN):
            self._dirty.update(self._moving)
        if self._everything:
            self._disputed.clear()  # what stood in the log at the start is looked at with everything else
            self._restate = True
            self._offers_due = True
        elif self._set_right is not None and is_due(self._set_right, now, _SET_RIGHT):
            self._offers_due = self._offers_due or "" in self._disputed
            self._dirty.update((service, None) for service in self._disputed if service)
            self._disputed.clear()
            self._restate = True
        if not self._disputed:
            self._set_right = None
        elif self._set_right is None:
            self._set_right = now + timedelta(seconds=_SET_RIGHT)

    def _wake_up(self, now: datetime) -> float | None:
        """In how many seconds something is due."""
        if self._dirty:
            return 0.0
        due = [at for at in (self._look_again, self._set_right) if at is not None]
        return max(0.0, (min(due) - now).total_seconds()) if due else None

    def _look_around(self) -> SelectionContext:
        """The networks and selectors as they are now; if they changed, everything is looked at again."""
        if self._derived is None:
            self._derived = derive_all(self.view, self._settings)
            self._conflicts_due = True
            # Why there is no such network is told from the objects, and may read otherwise though no network changed.
            self._dirty.update(dict.fromkeys(self._missing_their_network()))
        if self._conflicts_due:
            found = with_conflicts(self._derived, self._holders)
            if found != self._networks:
                self._networks = found
                self._landscape = None
                self._offers_due = True
                self._everything = True
            self._conflicts_due = False
        if self._landscape is None:
            self._landscape = SelectionContext(self.view, self._settings, self._networks)
        return self._landscape

    async def _say_offers(self, log: EventLog, context: SelectionContext) -> None:
        if not self._offers_due:
            return
        self._orphans = orphaned_addresses(context.networks, self.fold.holdings())
        offers = offers_of(context.networks, self._orphans, self.intents, self.fold, self._offer_revisions)
        await self._append(log, offers)
        self._offers_due = False

    async def _say_of_services(self, log: EventLog, context: SelectionContext, now: datetime) -> None:
        if self._everything:
            self._dirty.update(dict.fromkeys(self._everybody()))
            self._everything = False
        again: list[str] = []
        names = iter(sorted(self._dirty, key=self._turn))
        # A Service leaves the list only when what is to be said of it stands in the log.
        while batch := tuple(islice(names, _SERVICES_PER_APPEND)):
            found = [(name, self._look_at(name, context, now)) for name in batch]
            await self._append(log, [record for _, to_say in found for record in to_say.records])
            for name, to_say in found:
                del self._dirty[name]
                again += [name] if to_say.again else []
                if to_say.moving:
                    self._moving[name] = None
                else:
                    self._moving.pop(name, None)
        self._dirty.update(dict.fromkeys(again))

    def _turn(self, name: str) -> tuple[int, str, str]:
        """When it is a Service's turn, of many that take several appends, between which IPAM may decide: first those
        that are gone (they free), then those that show an address that may be theirs to keep, then the rest; the
        oldest first.
        """
        service = self.view.service(name)
        if service is None:
            return (0, "", name)
        shows_one_from_before = bool(service.ingress) and self._served.get(name) != service.uid
        return (1 if shows_one_from_before else 2, service.created, name)

    def _missing_their_network(self) -> list[str]:
        """Return the Services whose choice, the one in force or a fresh one, names a network that does not exist."""
        return [
            name
            for name, verdict in self.intents.selections.items()
            if Reason.NETWORK_NOT_FOUND in {verdict.reason, verdict.drift_reason}
        ]

    def _everybody(self) -> Iterable[str]:
        yield from (service.full_name for service in self.view.services())
        yield from self.intents.services()
        yield from (holding.service for holding in self.fold.holdings())

    def _look_at(self, name: str, context: SelectionContext, now: datetime) -> ToSay:
        service = self.view.service(name)
        situation = self._situation(name, service, now)
        if service is None:
            if not situation.holdings:
                self._served.pop(name, None)
            return ending(situation, SERVICE_DELETED)
        if service.deleting:
            return ending(situation, SERVICE_DELETED, service.uid, finalizer=service.has_finalizer)
        if not is_ours(service, self._settings):
            verdict = self._not_ours(service, situation)
            return ending(situation, NOT_OURS, service.uid, verdict=verdict, finalizer=service.has_finalizer)
        anchor = anchor_of(service, situation.holdings, situation.words)
        choice = select(context, service, anchor)
        facts = self._facts(fact_key("Service", service.namespace, service.name), *choice.objects)
        verdict = choice.to_selection(situation.revision(""), facts)
        return following(situation, service, choice, verdict)

    def _situation(self, name: str, service: ServiceFact | None, now: datetime) -> Situation:
        timeout = self._settings.agent_timeout

        def revision(network: str) -> int:
            state = self.fold.networks.get(network)
            known = state.revisions.get(name, 0) if state is not None else 0
            return self.intents.next_revision(f"{network}|{name}", known)

        return Situation(
            service=name,
            words=self.intents.intents_of(name),
            selection=self.intents.selections.get(name),
            holdings=self.fold.holdings_of(name),
            refusals=self.fold.refusals_of(name),
            revision=revision,
            programmed=lambda held: self.agents.programmed(held.address, now, timeout, allocation=held.allocation),
            namespace_labels=self.view.namespace_labels(name.partition("/")[0]),
            facts=self._facts(f"Service/{name}"),
            new_to_ledger=service is not None and self._served.get(name) != service.uid,
        )

    def _facts(self, *keys: str) -> tuple[FactPosition, ...]:
        return tuple(
            FactPosition(topic=FACTS.name, offset=self._positions[key]) for key in keys if key in self._positions
        )

    def _not_ours(self, service: ServiceFact, situation: Situation) -> Selection | None:
        """Of a LoadBalancer of another class it is said that it is not ours; of other types nothing."""
        if service.type != "LoadBalancer":
            return None
        theirs = service.load_balancer_class
        return Selection(
            service=service.full_name,
            revision=situation.revision(""),
            uid=service.uid,
            ours=False,
            message=f"loadBalancerClass {theirs!r} is not the one served here ({self._settings.load_balancer_class!r})",
            facts=situation.facts,
        )

    async def _append(self, log: EventLog, records: Sequence[IntentRecord]) -> None:
        """Write, in bounded pieces, and take note of each piece that stands."""
        new = ((record, NewRecord(intent_key(record), _value(record))) for record in records)
        fitting = [(record, written) for record, written in new if self._fitting.fits(written.key, written.value)]
        for start in range(0, len(fitting), _RECORDS_PER_APPEND):
            piece = fitting[start : start + _RECORDS_PER_APPEND]
            offsets = await log.append(INTENTS, [written for _, written in piece])
            for (record, _), offset in zip(piece, offsets, strict=True):
                self._projection.note(record, offset)


_KIND_PREFIXES: Final = tuple(f"{kind}/" for kind in _KINDS)


def _labels(fact: object) -> dict[str, str]:
    return dict(fact.labels) if isinstance(fact, NamespaceFact) else {}


def _value(record: IntentRecord) -> bytes | None:
    return None if isinstance(record, Dropped) else encode_intent(record)
