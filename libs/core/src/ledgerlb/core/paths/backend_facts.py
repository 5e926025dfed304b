"""The facts that path sets depend on: which of them a plan looked at, and which a change touches.

Both use the same keys, so that a caller plans again just those addresses whose plans looked at something that changed:

- ``Service/namespace/name``: the Service, its EndpointSlices and Endpoints;
- ``Pod/namespace/name`` and ``Node//name``;
- ``Address//<canonical address>``: the pod interfaces and the nodes that have it;
- ``Network/namespace/name``: the route targets of a network;
- ``Routers//``: what VirtualNetworkRouters join.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from ledgerlb.core.addresses import canonical
from ledgerlb.core.cluster.facts import (
    AnyFact,
    EndpointsFact,
    EndpointSliceFact,
    NamespaceFact,
    NetworkAttachmentDefinitionFact,
    NodeFact,
    PodFact,
    ServiceFact,
    VirtualMachineInterfaceFact,
    VirtualNetworkFact,
    VirtualNetworkRouterFact,
    fact_key,
)
from ledgerlb.core.cluster.reachability import Interface, Joint, RouteTargets, interface_of_vmi, interfaces_of
from ledgerlb.core.cluster.routers import RouterTargets
from ledgerlb.core.cluster.view import Change
from ledgerlb.core.networks.model import pool_of
from ledgerlb.core.networks.targets import targets_of, with_routers

_ROUTERS: Final = "Routers//"
_ENDED: Final = ("Succeeded", "Failed")
_STATUS: Final = {"ingress": (), "conditions": (), "generation": 0}


class BackendFacts(Protocol):
    """What the planner reads of the cluster (``ClusterView`` implements it).

    Names are ``namespace/name``, except those of nodes. None: the object does not exist.
    """

    def service(self, name: str) -> ServiceFact | None:
        """A Service."""
        ...

    def slices_of(self, service: str) -> Iterable[EndpointSliceFact]:
        """Return every EndpointSlice of the Service, in any order."""
        ...

    def endpoints_of(self, service: str) -> EndpointsFact | None:
        """Return the raw Endpoints of the Service's name (those that no slice mirrors)."""
        ...

    def pod(self, name: str) -> PodFact | None:
        """A Pod."""
        ...

    def interfaces_at(self, address: str) -> tuple[Interface, ...]:
        """Return every pod interface that has the (canonical) address, on any network, by pod and network."""
        ...

    def node(self, name: str) -> NodeFact | None:
        """A Node."""
        ...

    def nodes_at(self, address: str) -> tuple[str, ...]:
        """Return the names of the Nodes that have the (canonical) address as an InternalIP, sorted."""
        ...

    def nad(self, name: str) -> NetworkAttachmentDefinitionFact | None:
        """A NetworkAttachmentDefinition."""
        ...

    def virtual_network(self, name: str) -> VirtualNetworkFact | None:
        """A VirtualNetwork."""
        ...

    def routers_of(self, network: str) -> RouterTargets:
        """Return what VirtualNetworkRouters add to a network's route targets."""
        ...


class Lookups:
    """The same facts, for one plan: ``keys`` name every answer, present or not."""

    def __init__(self, facts: BackendFacts) -> None:
        self._facts = facts
        self._targets: dict[str, RouteTargets] = {}
        self.keys: set[str] = set()

    def service(self, name: str) -> ServiceFact | None:
        """See BackendFacts."""
        self.keys.add(_key("Service", name))
        return self._facts.service(name)

    def slices_of(self, service: str) -> Iterable[EndpointSliceFact]:
        """See BackendFacts."""
        self.keys.add(_key("Service", service))
        return self._facts.slices_of(service)

    def endpoints_of(self, service: str) -> EndpointsFact | None:
        """See BackendFacts."""
        self.keys.add(_key("Service", service))
        return self._facts.endpoints_of(service)

    def pod(self, name: str) -> PodFact | None:
        """See BackendFacts."""
        self.keys.add(_key("Pod", name))
        return self._facts.pod(name)

    def interfaces_at(self, address: str) -> tuple[Interface, ...]:
        """See BackendFacts. Leave out pods that have ended, because another pod may have their addresses by now."""
        self.keys.add(_key("Address", address))
        return tuple(one for one in self._facts.interfaces_at(address) if not _ended(self.pod(one.pod)))

    def node(self, name: str) -> NodeFact | None:
        """See BackendFacts."""
        self.keys.add(_key("Node", name))
        return self._facts.node(name)

    def nodes_at(self, address: str) -> tuple[str, ...]:
        """See BackendFacts."""
        self.keys.add(_key("Address", address))
        return self._facts.nodes_at(address)

    def joint_of(self, external: str) -> Joint:
        """Return what decides which networks an external network reaches.

        An AddressPool has no route targets, and is not the network of that name in a Namespace called ``pool``.
        """
        pool = pool_of(external)
        return Joint(external, self.targets_of(external)) if pool is None else Joint(f"AddressPool {pool}")

    def targets_of(self, network: str) -> RouteTargets:
        """Return the route targets that a network's objects list."""
        found = self._targets.get(network)
        if found is None:
            self.keys.add(_key("Network", network))
            self.keys.add(_ROUTERS)
            own = targets_of(self._facts.nad(network), self._facts.virtual_network(network))
            found = self._targets[network] = with_routers(own, self._facts.routers_of(network))
        return found


def touched_by(change: Change) -> frozenset[str]:
    """Return the keys whose answers a change of the view may have altered; empty where no plan reads what changed."""
    kind, name = change.kind, change.name
    facts = [fact for fact in (change.old, change.new) if fact is not None]
    if _read_of(change.old) == _read_of(change.new):
        return frozenset()
    match kind:
        case "Service":
            return frozenset((_key(kind, name),))
        case "Node":
            own = (canonical(address) for fact in facts if isinstance(fact, NodeFact) for address in fact.addresses)
            return frozenset((_key(kind, name), *(_key("Address", address) for address in own)))
        case "Endpoints":
            return frozenset((_key("Service", name),))
        case "EndpointSlice":
            owners = (f"{fact.namespace}/{fact.service}" for fact in facts if isinstance(fact, EndpointSliceFact))
            return frozenset(_key("Service", owner) for owner in owners)
        case "Pod":
            return frozenset((_key("Pod", name), *_addresses(facts)))
        case "VirtualMachineInterface":
            return frozenset(_addresses(facts))
        case "NetworkAttachmentDefinition" | "VirtualNetwork":
            relabelled = _labels(change.old) != _labels(change.new)
            return frozenset((_key("Network", name), *((_ROUTERS,) if relabelled else ())))
        case "VirtualNetworkRouter" | "Namespace":
            return frozenset((_ROUTERS,))
    return frozenset()


def _read_of(fact: AnyFact | None) -> Any:
    """Return the part of a fact that plans read.

    Of a Service that is all but its status, which follows from plans and changes with each.
    """
    match fact:
        case ServiceFact():
            return fact.model_copy(update=_STATUS)
        case PodFact():
            return fact.node, fact.ips, fact.network_status, _ended(fact)
        case NodeFact():
            return fact.addresses, fact.excluded
        case NetworkAttachmentDefinitionFact():
            return fact.networks, fact.labels
        case VirtualNetworkFact():
            return fact.route_targets, fact.import_route_targets, fact.export_route_targets, fact.labels
        case NamespaceFact():
            return fact.labels
        case VirtualNetworkRouterFact():
            return fact
        case EndpointSliceFact() | EndpointsFact() | VirtualMachineInterfaceFact():
            return fact
    return None


def _addresses(facts: Iterable[AnyFact]) -> Iterable[str]:
    for fact in facts:
        match fact:
            case PodFact():
                interfaces = interfaces_of(fact)
            case VirtualMachineInterfaceFact():
                interfaces = interface_of_vmi(fact)
            case _:
                interfaces = ()
        for interface in interfaces:
            yield from (_key("Address", address) for address in interface.addresses)


def _labels(fact: AnyFact | None) -> Any:
    return fact.labels if fact is not None else None


def _ended(pod: PodFact | None) -> bool:
    return pod is not None and pod.phase in _ENDED


def _key(kind: str, name: str) -> str:
    return fact_key(kind, *name.split("/", 1)) if "/" in name else fact_key(kind, "", name)
