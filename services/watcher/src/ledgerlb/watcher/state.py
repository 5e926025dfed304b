"""The publisher's projection of the log, and the Services that each record concerns: a batch costs what it changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ledgerlb.cn2.model import owners_of
from ledgerlb.core.cluster.facts import (
    AddressPoolFact,
    CN2ObjectFact,
    FactRecord,
    Gone,
    NetworkAttachmentDefinitionFact,
    ServiceFact,
    VirtualNetworkFact,
)
from ledgerlb.core.cluster.services import is_ours
from ledgerlb.core.errors import LedgerDamaged
from ledgerlb.core.index import Dependencies
from ledgerlb.core.intents.fold import IntentChange
from ledgerlb.core.intents.model import AddressIntent, Dropped, Intent, NetworkOffer, Selection, Withdrawal
from ledgerlb.core.ledger.damage import Damage, DamageKind
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.events import (
    AdoptionRefused,
    DamageSetAside,
    NetworkDefined,
    NetworkGone,
    PrefixChangeRefused,
)
from ledgerlb.core.ledger.fold import Accepted
from ledgerlb.core.networks import POOL_PREFIX
from ledgerlb.core.paths.pathset import PathSet, Report, Unserved
from ledgerlb.core.reasons import Reason
from ledgerlb.core.settings import DomainSettings
from ledgerlb.core.text import epoch_moment
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS
from ledgerlb.runtime.projection import Projection
from ledgerlb.watcher.handovers import Handovers

_READ_KINDS = (
    "Service/",
    "NetworkAttachmentDefinition/",
    "VirtualNetwork/",
    "AddressPool/",
    "InstanceIP/",
    "FloatingIP/",
)


@dataclass(frozen=True, slots=True)
class Notice:
    """An event of the ledger that no state keeps, about a Service (with a uid) or a network; it becomes an Event."""

    network: str
    seq: int
    at: datetime
    reason: str
    message: str
    service: str = ""
    uid: str = ""


class PublisherState:
    """See module. ``changed`` collects Services, ``offered`` networks and ``notices`` events, until taken.

    Concurrency: ``take`` and the publisher's own writes change it, on one event loop, never during a decision.
    """

    def __init__(self, settings: DomainSettings, projection: Projection) -> None:
        self._settings = settings
        self._projection = projection
        self.intents = projection.intents
        self.fold = projection.ledger
        self.agents = projection.agents
        self.services: dict[str, ServiceFact] = {}
        self.versions: dict[str, int] = {}
        """The number of the latest fact of each Service, unique among all facts. It shows whether a fact came during a
        write, even one about a new object of the same name."""
        self._facts = 0
        self.problem_at: dict[str, datetime] = {}
        """When the log first had the problem that each network has."""
        self.reserved_at: dict[str, datetime] = {}
        """When the log first had the warning about reserved addresses that each network has."""
        self.objects: dict[tuple[str, str], str] = {}
        """uid of the object behind each network, by (kind, network)."""
        self.pools: dict[str, AddressPoolFact] = {}
        """Every AddressPool, by the name of its network."""
        self.changed_pools: dict[str, None] = {}
        self.awaiting: Dependencies[str, str] = Dependencies()
        """Which addresses the move of each Service waits for."""
        self.changed: dict[str, None] = {}
        self.offered: dict[str, None] = {}
        self.notices: list[Notice] = []
        self._cut_off: set[str] = set()
        """Networks whose chain ended too early."""
        self._made_for: Dependencies[tuple[str, str], str] = Dependencies()
        """Services for which each InstanceIP or FloatingIP of ours exists, by (kind, name)."""
        self.unserved: dict[str, tuple[Unserved, ...]] = {}
        """Services without a usable backend, by address, as the path sets name them."""
        self._handovers = Handovers(settings)
        self._deleted: dict[str, str] = {}
        """uid of each Service that a write found gone, until the facts say so too."""

    def wanting(self, service: str) -> bool:
        """Return whether an intent of the Service still wants addresses."""
        return self.intents.wants(service)

    def has_objects(self, service: str) -> bool:
        """Return whether an InstanceIP or FloatingIP of ours still exists for the Service."""
        return bool(self._made_for.dependents_on(service))

    def known_to_ledger(self, service: str) -> bool:
        """Return whether any ledger entry names the Service. Before the first, its status may still be adopted."""
        return self.fold.mentions(service)

    def may_adopt(self, fact: ServiceFact) -> bool:
        """Return whether IPAM may still adopt an address that the status of this very Service shows."""
        if not fact.ingress:
            return False
        if not self.known_to_ledger(fact.full_name):
            return True
        for network, intent in self.intents.intents_of(fact.full_name).items():
            if isinstance(intent, AddressIntent) and intent.uid == fact.uid:
                state = self.fold.network(network)
                if any(not state.was_refused(fact.full_name, fact.uid, address) for address in intent.adopt):
                    return True
        return False

    def owned(self, fact: ServiceFact) -> bool:
        """Return whether what LedgerLB writes to a Service is ours to remove from this very object.

        It is if the Service is ours, or if the log proves that it was: by a ledger entry, or by a Selection of this
        object. A Service that another controller has taken over is not ours to clean up.
        """
        if self._handovers.done(fact, self.fold.holdings_of(fact.full_name)):
            return False
        selection = self.intents.selections.get(fact.full_name)
        return (
            is_ours(fact, self._settings)
            or self.known_to_ledger(fact.full_name)
            or (selection is not None and selection.ours and selection.uid == fact.uid)
        )

    def mark_published(self, fact: ServiceFact) -> None:
        """Note that our finalizer is on this object. Its type may have changed since, so no fact may ever show that."""
        self._handovers.keep(fact.full_name)

    def mark_deleted(self, fact: ServiceFact) -> None:
        """Note that the cluster has deleted this object, to ignore the facts of it that are still on their way."""
        self._deleted[fact.full_name] = fact.uid
        if self.services.get(fact.full_name, fact).uid == fact.uid:
            self.services.pop(fact.full_name, None)

    def take(self, record: Record) -> None:
        """Fold one record. Raises UndecodableRecord; nothing changed then."""
        if record.topic == FACTS.name:
            if record.key.startswith(_READ_KINDS):
                self._take_fact(self._projection.fact(record).fact)
        elif record.topic == INTENTS.name:
            self._take_intent(self._projection.intent(record).change, record.timestamp)
        elif record.topic == LEDGER.name:
            try:
                taken = self._projection.entry(record)
            except LedgerDamaged:
                self._take_damage(record)
                raise
            if isinstance(taken, Accepted):
                self._take_entry(taken.entry)
        elif record.topic == PATHS.name:
            self._take_path_set(record.key, self._projection.path_set(record))
        else:
            report = self._projection.report(record)
            if isinstance(report, Report):
                self.changed.update(dict.fromkeys(self.awaiting.dependents_on(report.address)))
                self.changed.update((holding.service, None) for holding in self.fold.holding(report.address))

    def _take_path_set(self, address: str, path_set: PathSet | None) -> None:
        before = self.unserved.pop(address, ())
        after = path_set.unserved if path_set is not None else ()
        if after:
            self.unserved[address] = after
        if before != after:
            self.changed.update((one.service, None) for one in (*before, *after))

    def _take_damage(self, record: Record) -> None:
        """Queue the Services of a network whose ledger became damaged, and an Event for the network."""
        damage = self.fold.damage[record.key]
        if damage.offset == record.offset:
            self._note_damage(damage, epoch_moment(record.timestamp / 1000))

    def take_end(self, now: datetime) -> None:
        """Note the networks whose chain ends too early, once the log was read to its end."""
        self._projection.at_end()
        for network, damage in self.fold.damage.items():
            if damage.kind is DamageKind.TRUNCATED and network not in self._cut_off:
                self._cut_off.add(network)
                self._note_damage(damage, now)

    def _note_damage(self, damage: Damage, at: datetime) -> None:
        self._change_all(damage.network)
        self.notices.append(Notice(damage.network, damage.seq, at, damage.reason, damage.text()))

    def _change_all(self, network: str) -> None:
        """Queue every Service that wants or holds an address of the network."""
        concerned = [name for name, selection in self.intents.selections.items() if selection.network == network]
        concerned += [holding.service for holding in self.fold.network(network).holdings()]
        self.changed.update(dict.fromkeys(concerned))
        self.changed_pools[network] = None

    def _take_fact(self, fact: FactRecord) -> None:
        match fact:
            case ServiceFact():
                self._take_service(fact)
            case NetworkAttachmentDefinitionFact() | VirtualNetworkFact():
                self.objects[fact.kind, fact.full_name] = fact.uid
                if fact.full_name in self.intents.offers:
                    self.offered[fact.full_name] = None
            case AddressPoolFact() | Gone(kind="AddressPool"):
                self._take_pool(fact)
            case CN2ObjectFact():
                self._take_object((fact.kind, fact.full_name), owners_of(fact) if fact.ours else ())
            case Gone(kind="InstanceIP" | "FloatingIP"):
                self._take_object((fact.kind, fact.full_name), ())
            case Gone(kind="Service"):
                self._handovers.take(fact)
                for table in (self.services, self.versions, self._deleted):
                    table.pop(fact.full_name, None)
                self.changed[fact.full_name] = None
            case Gone():
                self.objects.pop((fact.kind, fact.full_name), None)
            case _:
                pass

    def _take_pool(self, fact: AddressPoolFact | Gone) -> None:
        network = f"{POOL_PREFIX}{fact.name}"
        if isinstance(fact, Gone):
            self.pools.pop(network, None)
            self.objects.pop(("AddressPool", network), None)
            return
        if self.objects.get(("AddressPool", network)) != fact.uid and network in self.intents.offers:
            self.offered[network] = None
        self.objects["AddressPool", network] = fact.uid
        self.pools[network] = fact
        self.changed_pools[network] = None

    def _take_object(self, key: tuple[str, str], owners: tuple[str, ...]) -> None:
        for owner in self._made_for.assign(key, owners):
            if not self.has_objects(owner):
                self.changed[owner] = None

    def _take_service(self, fact: ServiceFact) -> None:
        name = fact.full_name
        if fact.uid and self._deleted.get(name) == fact.uid:
            return
        self._deleted.pop(name, None)
        if self.services.get(name) != fact:  # else it shows what a write of ours was to make it show
            self.changed[name] = None
        self.services[name] = fact
        self._facts += 1
        self.versions[name] = self._facts
        self._handovers.take(fact)

    def _take_intent(self, change: IntentChange, timestamp: int) -> None:
        if change.outdated:
            return
        match change.record:
            case NetworkOffer() as offer:
                self._take_offer(offer, change.before, timestamp)
            case Dropped(service=""):
                self.problem_at.pop(change.record.network, None)
                self.reserved_at.pop(change.record.network, None)
            case Selection() | Withdrawal() | Dropped():
                self.changed[change.record.service] = None
                self._take_key(change.before)
            case AddressIntent():
                self._take_key(change.before)
                self._take_key(change.record)
            case _:
                pass

    def _take_key(self, intent: object) -> None:
        """Queue the holders under the intent's sharing key: whether they share may show in a status."""
        if not isinstance(intent, AddressIntent) or not intent.sharing_key:
            return
        shared = self.fold.network(intent.network).shared_under(intent.service.partition("/")[0], intent.sharing_key)
        self.changed.update((holder.service, None) for record in shared for holder in record.holders)

    def _take_offer(self, offer: NetworkOffer, before: Intent | None, timestamp: int) -> None:
        if not offer.problem:
            self.problem_at.pop(offer.network, None)
        elif not isinstance(before, NetworkOffer) or problem_of(before) != problem_of(offer):
            self.problem_at[offer.network] = epoch_moment(timestamp / 1000)
        if not offer.reserved:
            self.reserved_at.pop(offer.network, None)
        elif not isinstance(before, NetworkOffer) or before.reserved != offer.reserved:
            self.reserved_at[offer.network] = epoch_moment(timestamp / 1000)
        self.offered[offer.network] = None
        self.changed_pools[offer.network] = None

    def _take_entry(self, entry: Entry) -> None:
        self.changed_pools[entry.network] = None
        for event in entry.events:
            service = getattr(event, "service", None)
            if service is not None:
                self.changed[service] = None
                self._take_key(self.intents.intents_of(service).get(entry.network))
            if (address := getattr(event, "address", None)) is not None:
                # Which network the data path serves may have changed for those who hold the address in others.
                others = self.fold.holding_elsewhere(address, entry.network)
                self.changed.update((holding.service, None) for holding in others)
            match event:
                case AdoptionRefused():
                    text = f"{event.address} is not taken over ({event.reason}): {event.message}"
                    self.notices.append(
                        Notice(
                            entry.network,
                            entry.seq,
                            entry.decided_at,
                            Reason.ADOPTION_REFUSED,
                            text,
                            event.service,
                            event.uid,
                        )
                    )
                case PrefixChangeRefused():
                    holders = ", ".join(f"{address} ({holder})" for address, holder in event.holders)
                    text = f"the new prefixes would cut off {holders}; the old ones stay in force for them"
                    self.notices.append(
                        Notice(entry.network, entry.seq, entry.decided_at, Reason.PREFIX_CHANGE_REFUSED, text)
                    )
                case DamageSetAside():
                    self._change_all(entry.network)
                case NetworkDefined() | NetworkGone():
                    # The refused request is gone, and the object may be another one by now.
                    self.notices = [one for one in self.notices if one.service or one.network != entry.network]
                case _:
                    pass

    def take_changed(self) -> Iterable[str]:
        """Return the Services concerned since the last call, in the order in which they first were."""
        changed, self.changed = self.changed, {}
        return changed

    def take_changed_pools(self) -> Iterable[str]:
        """Return the networks of AddressPools whose status may have changed since the last call."""
        changed, self.changed_pools = self.changed_pools, {}
        return [network for network in changed if network in self.pools]

    def take_offered(self) -> Iterable[str]:
        """Return the networks whose offer or object changed since the last call."""
        offered, self.offered = self.offered, {}
        return offered

    def take_notices(self) -> Iterable[Notice]:
        """Return the notices since the last call."""
        notices, self.notices = self.notices, []
        return notices


def problem_of(offer: NetworkOffer) -> tuple[object, ...]:
    """Return what is wrong with the network, and since which revision: equal while the same problem lasts."""
    return (offer.problem, offer.message, offer.problem_since, offer.carrier)
