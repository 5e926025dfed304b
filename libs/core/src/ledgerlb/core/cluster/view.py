"""``ClusterView``: the fold of the facts topic, with every index derived in one place.

``take`` folds one record and returns what changed, so that a caller looks again only at what the change concerns. The
result does not depend on the order of records with different keys. Not safe for concurrent use: one event loop
changes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, cast

from ledgerlb.core.addresses import canonical
from ledgerlb.core.cluster.facts import (
    KINDS,
    AddressPoolFact,
    AnyFact,
    EndpointsFact,
    EndpointSliceFact,
    FactRecord,
    Gone,
    KubemanagerFact,
    NamespaceFact,
    NetworkAttachmentDefinitionFact,
    NodeFact,
    PodFact,
    ServiceFact,
    SubnetFact,
    Synced,
    VirtualMachineInterfaceFact,
    VirtualNetworkFact,
    VirtualNetworkRouterFact,
    WithheldFact,
)
from ledgerlb.core.cluster.in_use import AddressesInUse
from ledgerlb.core.cluster.reachability import Interface, interface_of_vmi, interfaces_of
from ledgerlb.core.cluster.routers import NO_ROUTERS, RouterTargets, router_targets
from ledgerlb.core.index import Index
from ledgerlb.core.settings import DomainSettings

SERVICE_NETWORK: Final = "default-servicenetwork"
"""The VirtualNetwork of cluster addresses, which CN2 creates in the contrail namespace."""
_ROUTED: Final = ("VirtualNetworkRouter", "VirtualNetwork", "NetworkAttachmentDefinition", "Namespace")
"""Kinds on which it depends what VirtualNetworkRouters join."""
NAMESPACE_NAME_LABEL: Final = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Change:
    """What one record did to the view. ``name`` is ``namespace/name`` (cluster-scoped: ``name``). ``old`` and
    ``new`` are the facts before and after; both None for a ``Synced`` marker (its ``kind`` is ``Synced``, its
    ``name`` the kind that was listed).
    """

    kind: str
    name: str
    old: AnyFact | None = None
    new: AnyFact | None = None

    @property
    def same(self) -> bool:
        """Return whether nothing changed."""
        return self.kind != "Synced" and self.old == self.new


class ClusterView:
    """See module. Lookups take ``namespace/name`` (Nodes and Namespaces: ``name``) and return None for an unknown
    object. Iterators and tuples are sorted by name.
    """

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, AnyFact]] = {}
        self._synced: dict[str, bool] = {}
        self._services_in: Index[str, str, None] = Index()
        self._slices_of: Index[str, str, None] = Index()
        self._attached: Index[str, tuple[str, str], tuple[Interface, ...]] = Index()
        self._nodes_at: Index[str, str, None] = Index()
        self._routers: dict[str, RouterTargets] | None = None
        """What VirtualNetworkRouters join; None until it is asked for again."""
        self._service_networks: dict[str, None] = {}
        """Namespaces that hold CN2's service network."""
        self.in_use = AddressesInUse()
        """The addresses that the cluster itself uses."""

    def take(self, key: str, record: FactRecord) -> Change:
        """Fold one decoded record of the facts topic; ``key`` is its record key."""
        if isinstance(record, Synced):
            self._synced[record.of] = record.present
            return Change("Synced", record.of)
        if isinstance(record, Gone):
            if record.kind == "Synced":
                return Change("Synced", record.name)
            name, new = record.full_name, None
        else:
            name, new = record.full_name, record
        kind = key.partition("/")[0]
        if kind in _ROUTED:
            self._routers = None
        store = self._facts.setdefault(kind, {})
        old = store.pop(name, None)
        if old is not None:
            self._index(old, add=False)
        if new is not None:
            store[name] = new
            self._index(new, add=True)
        return Change(kind, name, old, new)

    def _index(self, fact: AnyFact, *, add: bool) -> None:
        name = fact.full_name
        if isinstance(fact, ServiceFact | NodeFact):
            (self.in_use.add if add else self.in_use.discard)(fact)
        match fact:
            case ServiceFact():
                (self._services_in.add if add else self._services_in.discard)(fact.namespace, name)
            case EndpointSliceFact():
                (self._slices_of.add if add else self._slices_of.discard)(f"{fact.namespace}/{fact.service}", name)
            case PodFact():
                self._attach(("Pod", name), interfaces_of(fact), add=add)
            case VirtualMachineInterfaceFact():
                self._attach(("VirtualMachineInterface", name), interface_of_vmi(fact), add=add)
            # One that a NetworkAttachmentDefinition made does not count: tenants may create those.
            case VirtualNetworkFact(nad="", deleting=False) if fact.name == SERVICE_NETWORK:
                if add:
                    self._service_networks[fact.namespace] = None
                else:
                    self._service_networks.pop(fact.namespace, None)
            case NodeFact():
                for address in fact.addresses:
                    (self._nodes_at.add if add else self._nodes_at.discard)(canonical(address), name)

    def _attach(self, source: tuple[str, str], interfaces: tuple[Interface, ...], *, add: bool) -> None:
        for address in dict.fromkeys(address for interface in interfaces for address in interface.addresses):
            if add:
                here = tuple(interface for interface in interfaces if address in interface.addresses)
                self._attached.put(address, source, here)
            else:
                self._attached.discard(address, source)

    # -- lookups -----------------------------------------------------------------------------------------------

    def synced(self) -> bool:
        """Return whether every kind that decisions need has been listed."""
        return all(kind in self._synced for kind in KINDS)

    def missing(self) -> tuple[str, ...]:
        """Return the kinds that have not been listed yet, in the order in which they are listed."""
        return tuple(kind for kind in KINDS if kind not in self._synced)

    def served(self, kind: str) -> bool:
        """Return whether the cluster serves the kind. True until a marker tells otherwise."""
        return self._synced.get(kind, True)

    def withheld(self) -> WithheldFact | None:
        """Return the mass deletion that the watcher holds back, if any."""
        return cast("WithheldFact | None", self._get("Withheld", "deletions"))

    def _get(self, kind: str, name: str) -> AnyFact | None:
        return self._facts.get(kind, {}).get(name)

    def _all(self, kind: str) -> Iterator[AnyFact]:
        facts = self._facts.get(kind, {})
        return (facts[name] for name in sorted(facts))

    def service(self, name: str) -> ServiceFact | None:
        """A Service of any type."""
        return cast("ServiceFact | None", self._get("Service", name))

    def services(self) -> Iterator[ServiceFact]:
        """Every Service."""
        return cast("Iterator[ServiceFact]", self._all("Service"))

    def services_in(self, namespace: str) -> tuple[str, ...]:
        """Names of the Services of a namespace."""
        return tuple(sorted(self._services_in.of(namespace)))

    def namespace(self, name: str) -> NamespaceFact | None:
        """A Namespace."""
        return cast("NamespaceFact | None", self._get("Namespace", name))

    def namespace_labels(self, name: str) -> dict[str, str]:
        """Return the labels of a Namespace, with the name label that the API server adds to each."""
        fact = self.namespace(name)
        return {**(fact.labels if fact is not None else {}), NAMESPACE_NAME_LABEL: name}

    def slices_of(self, service: str) -> tuple[EndpointSliceFact, ...]:
        """Return every EndpointSlice of the Service."""
        slices = self._facts.get("EndpointSlice", {})
        return tuple(cast("EndpointSliceFact", slices[name]) for name in sorted(self._slices_of.of(service)))

    def endpoints_of(self, service: str) -> EndpointsFact | None:
        """Return the raw Endpoints with the Service's name, if no slices mirror them."""
        return cast("EndpointsFact | None", self._get("Endpoints", service))

    def pod(self, name: str) -> PodFact | None:
        """A Pod."""
        return cast("PodFact | None", self._get("Pod", name))

    def interfaces_at(self, address: str) -> tuple[Interface, ...]:
        """Return every pod interface with the address, primary or secondary, on any network; by pod, then network."""
        found = {
            (interface.pod, interface.network): interface
            for interfaces in self._attached.of(canonical(address)).values()
            for interface in interfaces
        }
        return tuple(found[place] for place in sorted(found))

    def node(self, name: str) -> NodeFact | None:
        """A Node."""
        return cast("NodeFact | None", self._get("Node", name))

    def nodes_at(self, address: str) -> tuple[str, ...]:
        """Return the names of the Nodes that have the address as an InternalIP, sorted."""
        return tuple(sorted(self._nodes_at.of(canonical(address))))

    def nodes(self) -> Iterator[NodeFact]:
        """Every Node."""
        return cast("Iterator[NodeFact]", self._all("Node"))

    def nad(self, name: str) -> NetworkAttachmentDefinitionFact | None:
        """A NetworkAttachmentDefinition."""
        return cast("NetworkAttachmentDefinitionFact | None", self._get("NetworkAttachmentDefinition", name))

    def nads(self) -> Iterator[NetworkAttachmentDefinitionFact]:
        """Every NetworkAttachmentDefinition."""
        return cast("Iterator[NetworkAttachmentDefinitionFact]", self._all("NetworkAttachmentDefinition"))

    def virtual_network(self, name: str) -> VirtualNetworkFact | None:
        """A VirtualNetwork."""
        return cast("VirtualNetworkFact | None", self._get("VirtualNetwork", name))

    def routers_of(self, network: str) -> RouterTargets:
        """Return what VirtualNetworkRouters let a network (``namespace/name``) import and export."""
        if self._routers is None:
            routers = tuple(cast("Iterator[VirtualNetworkRouterFact]", self._all("VirtualNetworkRouter")))
            spaces = {fact.namespace: self.namespace_labels(fact.namespace) for fact in routers}
            networks = (*self.virtual_networks(), *self.nads()) if routers else ()
            self._routers = router_targets(routers, networks, spaces)
        return self._routers.get(network, NO_ROUTERS)

    def service_network_namespaces(self) -> tuple[str, ...]:
        """Return the namespaces that hold CN2's service network, sorted."""
        return tuple(sorted(self._service_networks))

    def virtual_networks(self) -> Iterator[VirtualNetworkFact]:
        """Every VirtualNetwork."""
        return cast("Iterator[VirtualNetworkFact]", self._all("VirtualNetwork"))

    def subnet(self, name: str) -> SubnetFact | None:
        """A Subnet."""
        return cast("SubnetFact | None", self._get("Subnet", name))

    def subnets(self) -> Iterator[SubnetFact]:
        """Every Subnet."""
        return cast("Iterator[SubnetFact]", self._all("Subnet"))

    def pool(self, name: str) -> AddressPoolFact | None:
        """An AddressPool."""
        return cast("AddressPoolFact | None", self._get("AddressPool", name))

    def pools(self) -> Iterator[AddressPoolFact]:
        """Every AddressPool."""
        return cast("Iterator[AddressPoolFact]", self._all("AddressPool"))

    def kubemanager(self, settings: DomainSettings) -> KubemanagerFact | None:
        """The Kubemanager that the settings name."""
        name = f"{settings.kubemanager.namespace}/{settings.kubemanager.name}"
        return cast("KubemanagerFact | None", self._get("Kubemanager", name))
