"""The cluster as far as CN2 objects depend on it, and which of it one Service's objects were made from.

``ObjectsView.take`` names what a record touches; ``Looked`` remembers what was asked. Both speak in the same keys
(``pod a/b``, ``address 192.0.2.1``, ``node n1``, ``network a/b``), so that a change leads to the Services that it
concerns and to no others. What stands under a Service's own name (slices, Endpoints) is named ``service a/b``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledgerlb.core.facts import (
    AnyFact,
    EndpointsFact,
    EndpointSliceFact,
    FactRecord,
    NodeFact,
    PodFact,
    VirtualMachineInterfaceFact,
)
from ledgerlb.core.networks.derive import derive
from ledgerlb.core.reachability import Interface, RouteTargets, interface_of_vmi, interfaces_of
from ledgerlb.core.settings import DomainSettings
from ledgerlb.core.view import ClusterView


class ObjectsView:
    """See module. Not safe for concurrent use; a processor owns its view."""

    def __init__(self, settings: DomainSettings) -> None:
        self.cluster = ClusterView()
        self._settings = settings
        self._interfaces: dict[str, dict[str, VirtualMachineInterfaceFact]] = {}

    def take(self, key: str, record: FactRecord) -> frozenset[str]:
        """Fold one decoded record; returns the keys (see module) whose answers may have changed."""
        change = self.cluster.take(key, record)
        if change.same or change.kind == "Synced":
            return frozenset()
        touched: set[str] = set()
        for fact in (change.old, change.new):
            if fact is not None:
                touched |= _touched(fact)
        for fact in (change.old, change.new):
            if isinstance(fact, VirtualMachineInterfaceFact) and fact.pod:
                self._file(fact, add=fact is change.new)
        return frozenset(touched)

    def _file(self, fact: VirtualMachineInterfaceFact, *, add: bool) -> None:
        found = self._interfaces.setdefault(fact.pod, {})
        if add:
            found[fact.full_name] = fact
            return
        found.pop(fact.full_name, None)
        if not found:
            del self._interfaces[fact.pod]

    def interfaces_of(self, pod: str) -> tuple[VirtualMachineInterfaceFact, ...]:
        """CN2's interfaces of a pod, by name."""
        found = self._interfaces.get(pod, {})
        return tuple(found[name] for name in sorted(found))

    def targets_of(self, network: str) -> RouteTargets | None:
        """The route targets of a network, None where there is none of that name."""
        found = derive(self.cluster, network, self._settings)
        return found.targets if found is not None else None


def _touched(fact: AnyFact) -> set[str]:
    match fact:
        case PodFact():
            addresses = {address for interface in interfaces_of(fact) for address in interface.addresses}
            return {f"pod {fact.full_name}", *(f"address {address}" for address in addresses)}
        case VirtualMachineInterfaceFact():
            addresses = {address for interface in interface_of_vmi(fact) for address in interface.addresses}
            return {f"pod {fact.pod}", *(f"address {address}" for address in addresses)}
        case NodeFact():
            return {f"node {fact.full_name}"}
        case EndpointSliceFact():
            return {f"service {fact.namespace}/{fact.service}"}
        case EndpointsFact():
            return {f"service {fact.full_name}"}
        case _ if fact.kind in {"NetworkAttachmentDefinition", "VirtualNetwork"}:
            return {f"network {fact.full_name}"}
        case _:
            return set()


class Looked:
    """ObjectFacts that remembers what it was asked, in ``keys``."""

    def __init__(self, view: ObjectsView) -> None:
        self._view = view
        self.keys: set[str] = set()

    def slices_of(self, service: str) -> Sequence[EndpointSliceFact]:
        """See ObjectFacts."""
        self.keys.add(f"service {service}")
        return self._view.cluster.slices_of(service)

    def endpoints_of(self, service: str) -> EndpointsFact | None:
        """See ObjectFacts."""
        self.keys.add(f"service {service}")
        return self._view.cluster.endpoints_of(service)

    def pod(self, name: str) -> PodFact | None:
        """See ObjectFacts."""
        self.keys.add(f"pod {name}")
        return self._view.cluster.pod(name)

    def node(self, name: str) -> NodeFact | None:
        """See ObjectFacts."""
        self.keys.add(f"node {name}")
        return self._view.cluster.node(name)

    def interfaces_at(self, address: str) -> Sequence[Interface]:
        """See ObjectFacts."""
        self.keys.add(f"address {address}")
        return self._view.cluster.interfaces_at(address)

    def interfaces_of(self, pod: str) -> Sequence[VirtualMachineInterfaceFact]:
        """See ObjectFacts."""
        self.keys.add(f"pod {pod}")
        return self._view.interfaces_of(pod)

    def targets_of(self, network: str) -> RouteTargets | None:
        """See ObjectFacts."""
        self.keys.add(f"network {network}")
        return self._view.targets_of(network)
