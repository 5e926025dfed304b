"""InstanceIPs and FloatingIPs of Services: made when an address is held, kept in step with endpoints, gone before the
Service's finalizer is.

Their label and the Service that their annotation names show which objects are ours, so the next start finds what a
crash left behind. A Service of another load balancer class belongs to another instance, with its objects, unless it
was ours and is not cleaned up yet.
"""

from __future__ import annotations

from typing import Final

from ledgerlb.cn2 import Note, ObjectsView, TrackedLookups, Wanted, service_objects
from ledgerlb.cn2.model import DEFAULT_VERSION, owners_of
from ledgerlb.core.cluster.facts import KINDS, AnyFact, Gone, ServiceFact, Synced
from ledgerlb.core.index import Dependencies
from ledgerlb.core.ledger.fold import Accepted
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import FACTS, LEDGER, Topic
from ledgerlb.kube.writer import About
from ledgerlb.runtime.projection import FactNews
from ledgerlb.watcher.handovers import Handovers
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.objects.table import Key

WRITTEN: Final = ("InstanceIP", "FloatingIP")
"""Kinds that are written, parents first."""
_INPUTS: Final = (*KINDS, "VirtualMachineInterface")


class ServiceObjectReconciler(ObjectProcessor):
    """A Processor; see module. ``enabled`` False: no Service has any, and what an earlier run made is removed."""

    name = "cn2-objects"
    reads: tuple[Topic, ...] = (FACTS, LEDGER)
    needs = WRITTEN

    def _forget(self) -> None:
        super()._forget()
        self._view = ObjectsView(self._projection.cluster)
        self._fold = self._projection.ledger
        self._known_to_ledger: set[str] = set()
        """Services that the ledger has ever named."""
        self._handovers = Handovers(self._settings)
        self._made_from: Dependencies[str, str] = Dependencies()
        self._announced: dict[str, tuple[Note, ...]] = {}

    def take(self, record: Record) -> None:
        """See Processor."""
        if record.topic == LEDGER.name:
            taken = self._projection.entry(record)
            if isinstance(taken, Accepted):
                services = [getattr(event, "service", None) for event in taken.entry.events]
                self._known_to_ledger.update(found := [service for service in services if service])
                self._note(found)
            return
        self._take_fact(self._projection.fact(record))

    def _take_fact(self, news: FactNews) -> None:
        fact = news.fact
        if isinstance(fact, Synced):
            self._mark(fact)
        elif fact.kind in WRITTEN:
            self._take_object(fact)
            return
        if isinstance(fact, ServiceFact) or (isinstance(fact, Gone) and fact.kind == "Service"):
            self._handovers.take(fact)
            self._note((fact.full_name,))
        for touched in self._view.take(news.change):
            self._note(self._made_from.dependents_on(touched))

    def ready(self) -> bool:
        """Also every kind that decisions rest on must have been listed, be it served or not."""
        return super().ready() and all(kind in self._markers for kind in _INPUTS)

    def owners_of(self, fact: AnyFact) -> tuple[str, ...]:
        """See ObjectProcessor."""
        return owners_of(fact)

    def about(self, owner: str) -> About | None:
        """See ObjectProcessor."""
        fact = self._view.cluster.service(owner)
        return None if fact is None else About("Service", "v1", fact.namespace, fact.name, fact.uid)

    async def step(self, owner: str) -> bool:
        """See ObjectProcessor. FloatingIPs go before their InstanceIPs, and come after them."""
        if self._is_others(owner) or self._is_uncertain(owner):
            return False
        wanted = self._wanted(owner)
        left = {key: self._wanted_by_others(owner, key) for key in self._table.of_owner(owner) if key not in wanted}
        due: list[tuple[Key, Wanted | None]] = [
            *((key, one) for key, one in left.items() if key[0] == "FloatingIP"),
            *wanted.items(),
            *((key, one) for key, one in left.items() if key[0] != "FloatingIP"),
        ]
        say = self._say(owner)
        for key, one in due:
            if await self._reconciler.bring(key, one, say, owner):
                return True
        return False

    def _is_uncertain(self, owner: str) -> bool:
        """Return whether a damaged ledger hides what the Service holds, so that its objects must stay as they are."""
        if not self._fold.damage:
            return False
        networks = self._fold.networks_of(owner)
        return not networks or any(network in self._fold.damage for network in networks)

    def _is_others(self, owner: str) -> bool:
        service = self._view.cluster.service(owner)
        if service is None or service.load_balancer_class == self._settings.load_balancer_class:
            return False
        return owner not in self._known_to_ledger or self._handovers.done(service, self._fold.holdings_of(owner))

    def _wanted(self, owner: str) -> dict[Key, Wanted]:
        """Return the objects that the Service needs now, parents first."""
        service = self._view.cluster.service(owner)
        holdings = self._fold.holdings_of(owner)
        if service is None or not holdings or not self._enabled:
            self._made_from.assign(owner, frozenset())
            self._announced.pop(owner, None)
            return {}
        looked = TrackedLookups(self._view)
        version = self._reconciler.versions.get("InstanceIP") or DEFAULT_VERSION
        found = service_objects(looked, service, holdings, self._sharers, self._settings, version=version)
        self._made_from.assign(owner, frozenset(looked.keys))
        self._tell(owner, found.notes)
        return {wanted.key: wanted for wanted in found.objects}

    def _wanted_by_others(self, owner: str, key: Key) -> Wanted | None:
        """Return what a shared object must be without this Service."""
        current = self._table.current(key)
        for other in self.owners_of(current) if current is not None else ():
            if other != owner and not self._is_others(other) and key in (found := self._wanted(other)):
                return found[key]
        return None

    def _sharers(self, network: str, address: str) -> tuple[str, ...]:
        state = self._fold.networks.get(network)
        holdings = state.holdings_at(address) if state is not None else ()
        return tuple(holding.service for holding in holdings if holding.state == "held")

    def _tell(self, owner: str, notes: tuple[Note, ...]) -> None:
        if self._announced.get(owner, ()) == notes:
            return
        self._announced[owner] = notes
        for note in notes:
            self._say(owner)(note.reason, note.message, "")
