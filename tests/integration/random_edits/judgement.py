"""What must hold when everything rests. Each function gives a sentence per violation; [] is what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ledgerlb.cn2.compare import covers
from ledgerlb.cn2.model import OWNER_ANNOTATION, Wanted
from ledgerlb.cn2.service_objects import service_objects
from ledgerlb.cn2.view import ObjectsView, TrackedLookups
from ledgerlb.core.addresses import to_text
from ledgerlb.core.cluster.facts import ServiceFact, decode_fact
from ledgerlb.core.cluster.services import basis_of, families_of, is_ours
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.networks import ExternalNetwork
from ledgerlb.core.publication.doubles import shown_twice
from ledgerlb.core.reasons import REASONS, Reason, is_warning
from ledgerlb.core.selection import Choice, SelectionContext, anchor_of, select
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.kube.normalise.dispatch import fact_of
from tests.integration.random_edits.snapshot import KINDS, Snapshot
from tests.support.kube_objects import FINALIZER, Object, addresses_of, condition_of

_SELECTED: Final = "ledgerlb.io/NetworkSelected"
_ALLOCATED: Final = "ledgerlb.io/AddressAllocated"
_DRIFTED: Final = "ledgerlb.io/SelectionDrifted"


@dataclass(frozen=True)
class Case:
    """One Service that is ours: what the API server shows, its fact, its holdings, a choice that knows nothing of
    them, and the one that stands by them."""

    name: str
    shown: Object
    fact: ServiceFact
    holdings: tuple[Holding, ...]
    fresh: Choice
    sticky: Choice

    @property
    def networks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(holding.network for holding in self.holdings))

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason."""
        found = condition_of(self.shown, kind)
        return found.get("status", ""), found.get("reason", "")


class Judgement:
    """See module."""

    def __init__(self, snapshot: Snapshot, settings: DomainSettings) -> None:
        self._snapshot = snapshot
        self._settings = settings
        holders = {holding.network for holding in snapshot.fold.holdings()}
        cluster = ClusterView()
        self._objects_view = ObjectsView(cluster)
        for record in snapshot.records[FACTS.name]:
            self._objects_view.take(cluster.take(record.key, decode_fact(record.key, record.value)))
        self.context = SelectionContext.of(snapshot.view, settings, holders)
        self.cases = [self._case(name, obj) for name, obj in snapshot.services() if self._is_ours(name)]

    def _is_ours(self, name: str) -> bool:
        fact = self._snapshot.view.service(name)
        return fact is not None and is_ours(fact, self._settings)

    def _case(self, name: str, shown: Object) -> Case:
        fact = self._snapshot.view.service(name)
        assert fact is not None
        holdings = self._snapshot.fold.holdings_of(name)
        anchor = anchor_of(fact, holdings, self._snapshot.intents.intents_of(name))
        fresh, sticky = select(self.context, fact), select(self.context, fact, anchor)
        return Case(name, shown, fact, holdings, fresh, sticky)

    def violations(self) -> list[str]:
        """All of them."""
        checks: tuple[Callable[[], Iterator[str]], ...] = (
            self.the_facts_are_the_cluster, self.nothing_is_on_its_way, self.choices_stand, self.stays_are_justified,
            self.moves_are_over, self.the_status_is_the_ledger, self.whoever_has_nothing_says_why,
            self.nobody_else_has_anything, self.no_address_is_shown_twice,
            self.no_address_has_two_holders, self.quotas_hold_for_newcomers,
            self.paths_are_those_of_the_ledger, self.the_objects_are_those_of_the_ledger,
        )  # fmt: skip
        return [f"{check.__name__}: {sentence}" for check in checks for sentence in check()]

    # The log and the cluster

    def the_facts_are_the_cluster(self) -> Iterator[str]:
        """What the log says of each object is what stands there now, and nothing else."""
        logged: dict[str, bytes | None] = {}
        for record in self._snapshot.records["ledgerlb.facts.v1"]:
            logged[record.key] = record.value
        standing = {key for key, value in logged.items() if value and key.partition("/")[0] in KINDS}
        for kind in KINDS:
            for obj in self._snapshot.objects[kind]:
                fact = fact_of({**obj, "kind": kind})
                if fact is None:
                    continue
                key = f"{kind}/{fact.namespace}/{fact.name}"
                standing.discard(key)
                view = self._snapshot.view
                known = view._get(kind, fact.full_name)
                if known != fact:
                    yield f"{key} stands as {fact}, the log says {known}"
        for key in sorted(standing):
            yield f"{key} is in the log and not in the cluster"

    def nothing_is_on_its_way(self) -> Iterator[str]:
        """Deletions are complete, releases too."""
        for name, obj in self._snapshot.services():
            if "deletionTimestamp" in obj["metadata"]:
                yield f"Service {name} is still being deleted, finalizers {obj['metadata'].get('finalizers')}"
        for holding in self._snapshot.fold.holdings():
            if holding.state == "releasing":
                yield f"{holding.address} of {holding.network} is still being released by {holding.service}"

    # Choices

    def choices_stand(self) -> Iterator[str]:
        """The verdict that was said is the one that follows from the state at rest."""
        for case in self.cases:
            said = self._snapshot.selection(case.name)
            wanted = case.sticky.to_selection(said.revision if said else 0, said.facts if said else ())
            if said != wanted:
                yield f"{case.name}: said {said}, follows {wanted}"

    def stays_are_justified(self) -> Iterator[str]:
        """Whoever holds something else than a fresh choice says so, and has a right to it."""
        for case in self.cases:
            if not case.networks or case.networks == (case.fresh.network,):
                if case.networks and case.condition(_DRIFTED)[0] == "True":
                    yield f"{case.name} shows that it drifted, and holds the fresh choice {case.fresh.network}"
                continue
            if case.sticky.network not in case.networks:
                continue  # it is to move: see the next check
            network = self.context.networks.get(case.sticky.network)
            if case.sticky.network != case.fresh.network and case.condition(_DRIFTED)[0] != "True":
                yield f"{case.name} keeps {case.sticky.network}, fresh {_told(case.fresh)}; shows no drift"
            if network is None:
                yield f"{case.name} keeps {case.sticky.network}, which is gone"
            elif network.problem != Reason.INVALID_ANNOTATION and not _serves(network, case.fact):
                yield f"{case.name} keeps {network.name}, which has only {network.families}"
            kept = [holding for holding in case.holdings if holding.network == case.sticky.network]
            if (
                all(holding.basis != basis_of(case.fact) for holding in kept)
                and case.sticky.network != case.fresh.network
            ):
                word = self._snapshot.intents.intents_of(case.name).get(case.sticky.network)
                if getattr(word, "basis", None) != basis_of(case.fact):
                    yield f"{case.name} keeps {case.sticky.network} although its own wishes changed"

    def moves_are_over(self) -> Iterator[str]:
        """Something of a network that is not wanted is kept only while the wanted one cannot be had, with a reason."""
        for case in self.cases:
            left = [network for network in case.networks if network != case.sticky.network]
            if not left:
                continue
            if len(left) > 1 and case.sticky.network in case.networks:
                yield f"{case.name} holds addresses of {case.networks}"
            status, reason = case.condition(_ALLOCATED)
            if status != "False" or not is_warning(reason):
                yield f"{case.name} holds {case.networks}, is to have {_told(case.sticky)}; shows {status} {reason}"
            if case.sticky.network is not None and not self._refusals(case, case.sticky.network):
                yield f"{case.name} holds {case.networks}; {case.sticky.network} never refused it"

    def _refusals(self, case: Case, network: str) -> list[str]:
        return [
            refusal.reason
            for refusal in self._snapshot.fold.refusals_of(case.name)
            if refusal.network == network and refusal.uid == case.fact.uid
        ]

    # What is shown

    def the_status_is_the_ledger(self) -> Iterator[str]:
        """Addresses shown are held; addresses held of the network that is shown are shown."""
        for case in self.cases:
            shown = addresses_of(case.shown)
            held = {holding.address: holding for holding in case.holdings if holding.uid == case.fact.uid}
            for address in shown:
                if address not in held:
                    yield f"{case.name} shows {address}, and holds {sorted(held)}"
            if held and not shown:
                yield f"{case.name} holds {sorted(held)}, and shows nothing"
            if len(case.holdings) != len(held):
                yield f"{case.name} ({case.fact.uid}): {case.holdings} are of an earlier Service of that name"
            if case.condition(_ALLOCATED)[0] == "True":
                missing = [address for address in held if address not in shown]
                if missing:
                    yield f"{case.name} is ready with {shown}, and holds {missing} too"
                _, required = families_of(case.fact)
                families = {held[address].family for address in shown if address in held}
                if not set(required) <= families:
                    yield f"{case.name} is ready with {shown}, and needs families {required}"

    def whoever_has_nothing_says_why(self) -> Iterator[str]:
        """No Service of ours is without addresses and without a reason, and the reason is the right one."""
        for case in self.cases:
            if (FINALIZER in case.shown["metadata"].get("finalizers", ())) != bool(case.holdings):
                yield f"{case.name} holds {case.holdings}, and its finalizers are {case.shown['metadata']}"
            if case.holdings:
                continue
            status, reason = case.condition(_ALLOCATED)
            if status != "False" or reason not in REASONS or not is_warning(reason):
                yield f"{case.name} has nothing and shows {status} {reason!r}"
                continue
            selected, why = case.condition(_SELECTED)
            if case.fresh.network is None and (selected, why, reason) != (
                "False",
                case.fresh.reason,
                case.fresh.reason,
            ):
                yield f"{case.name} has no network ({case.fresh.reason}), and shows {selected} {why}, {reason}"
            if case.fresh.network is not None and reason not in self._refusals(case, case.fresh.network):
                yield f"{case.name} shows {reason}; {case.fresh.network}: {self._refusals(case, case.fresh.network)}"

    def nobody_else_has_anything(self) -> Iterator[str]:
        """What is no LoadBalancer has no finalizer, address or condition of ours; what is gone holds nothing."""
        standing = {case.name for case in self.cases}
        for name, obj in self._snapshot.services():
            if name in standing:
                continue
            kinds = [c["type"] for c in obj.get("status", {}).get("conditions") or () if "ledgerlb.io/" in c["type"]]
            if FINALIZER in obj["metadata"].get("finalizers", ()) or addresses_of(obj) or kinds:
                yield f"{name} is a {obj['spec']['type']} with {obj['metadata'].get('finalizers')}, {obj.get('status')}"
        for holding in self._snapshot.fold.holdings():
            if holding.service not in standing:
                yield f"{holding.service} is gone, and holds {holding.address} of {holding.network}"
        for name in self._snapshot.intents.services():
            if name not in standing and (said := self._snapshot.selection(name)) is not None:
                yield f"{name} is not ours, and {said} is said of it"

    # Addresses

    def no_address_is_shown_twice(self) -> Iterator[str]:
        """Not in the statuses of two Services that do not both hold it."""
        yield from (
            f"{one.address} {one.text()}" for one in shown_twice(self._snapshot.view.services(), self._snapshot.fold)
        )

    def no_address_has_two_holders(self) -> Iterator[str]:
        """Unless they share it: one namespace, one key, no port in common; or its networks never meet."""
        by_address: dict[str, list[Holding]] = {}
        for holding in self._snapshot.fold.holdings():
            by_address.setdefault(holding.address, []).append(holding)
        for address, holdings in by_address.items():
            for number, one in enumerate(holdings):
                for other in holdings[:number]:
                    if one.network != other.network:
                        if not self._apart(one.network, other.network):
                            yield f"{address} is held in {one.network} and {other.network}"
                    elif not _shared(one, other):
                        yield f"{address} is held by {one.service} and {other.service}"

    def _apart(self, left: str, right: str) -> bool:
        one, other = self.context.networks.get(left), self.context.networks.get(right)
        if one is None or other is None:
            return False
        mine, theirs = set(one.targets.named), set(other.targets.named)
        return bool(mine) and bool(theirs) and mine.isdisjoint(theirs)

    def quotas_hold_for_newcomers(self) -> Iterator[str]:
        """Nobody is refused for want of room in a network in which there is room for it."""
        for case in self.cases:
            for refusal in self._snapshot.fold.refusals_of(case.name):
                state = self._snapshot.fold.networks[refusal.network]
                claims = self._snapshot.intents.claims_on(refusal.network)
                if refusal.reason == "NetworkFull" and all(
                    any(not claims.on(to_text(value, family)) for value in state.never_used(family))
                    for family in refusal.families
                ):
                    yield f"{case.name} is told that {refusal.network} is full, which has never-used addresses"

    def paths_are_those_of_the_ledger(self) -> Iterator[str]:
        """There is a path set for each held address, and for no other; the agents forward each as it was given."""
        held = {holding.address for holding in self._snapshot.fold.holdings() if holding.state == "held"}
        for address in sorted(held ^ self._snapshot.path_sets.keys()):
            yield f"{address}: held: {address in held}, path set: {address in self._snapshot.path_sets}"
        for address in sorted(held & self._snapshot.path_sets.keys()):
            if self._snapshot.path_sets[address].withdraw:
                yield f"{address} is held, and its path set withdraws it"
            if any(report.state != "programmed" for report in self._snapshot.agents.reports(address)):
                yield f"{address} is held; {self._snapshot.agents.reports(address)}"

    def the_objects_are_those_of_the_ledger(self) -> Iterator[str]:
        """InstanceIPs and FloatingIPs, where the kinds exist: those that the holdings call for, as they are called for,
        and none for a Service that is gone."""
        if self._snapshot.cn2_objects is None:
            return
        wanted = {one.key: one for case in self.cases for one in self._objects_of(case)}
        for obj in self._snapshot.cn2_objects:
            owners = obj["metadata"].get("annotations", {}).get(OWNER_ANNOTATION, "")
            one = wanted.pop((obj["kind"], obj["metadata"]["name"]), None)
            if one is None:
                yield f"{obj['kind']} {obj['metadata']['name']} is an orphan; there for {owners}"
                continue
            actual, called_for = fact_of(obj), fact_of(one.body())
            if actual is None or called_for is None or not covers(actual, called_for):
                yield f"{obj['kind']} {obj['metadata']['name']} of {owners} is {obj['spec']}, to be {dict(one.spec)}"
        for kind, name in wanted:
            yield f"{kind} {name} is missing"

    def _objects_of(self, case: Case) -> tuple[Wanted, ...]:
        looked = TrackedLookups(self._objects_view)
        return service_objects(looked, case.fact, case.holdings, self._sharers, self._settings).objects

    def _sharers(self, network: str, address: str) -> tuple[str, ...]:
        holdings = self._snapshot.fold.networks[network].holdings_at(address)
        return tuple(holding.service for holding in holdings if holding.state == "held")


def _told(choice: Choice) -> str:
    return choice.network or f"none ({choice.reason})"


def _serves(network: ExternalNetwork, fact: ServiceFact) -> bool:
    families, required = families_of(fact)
    if required:
        return set(required) <= set(network.families)
    return bool(set(families) & set(network.families))


def _shared(one: Holding, other: Holding) -> bool:
    return (
        one.sharing_key == other.sharing_key != ""
        and one.service.partition("/")[0] == other.service.partition("/")[0]
        and not set(one.ports) & set(other.ports)
    )
