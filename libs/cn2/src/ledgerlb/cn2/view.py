"""The part of the cluster that CN2 objects depend on, and a record of which facts the objects of one Service used."""

from __future__ import annotations

from ledgerlb.core.cluster.contrail import service_network
from ledgerlb.core.cluster.facts import VirtualMachineInterfaceFact
from ledgerlb.core.cluster.view import SERVICE_NETWORK, Change, ClusterView
from ledgerlb.core.index import Index
from ledgerlb.core.paths.backend_facts import Lookups, touched_by
from ledgerlb.core.settings import DomainSettings


class ObjectsView:
    """The facts behind CN2 objects: ``cluster``, which others may share and fold, and CN2's interfaces.

    ``take`` names what a change touches, in the keys that ``TrackedLookups`` remembers, so that a change leads to the
    Services that it concerns and to no others. Not safe for concurrent use; a processor owns its view.
    """

    def __init__(self, cluster: ClusterView) -> None:
        self.cluster = cluster
        self._interfaces: Index[str, str, VirtualMachineInterfaceFact] = Index()

    def take(self, change: Change) -> frozenset[str]:
        """Fold a change that ``cluster`` has folded; returns the keys whose answers may have changed."""
        if change.kind == "VirtualNetwork" and change.name.endswith(f"/{SERVICE_NETWORK}"):
            return touched_by(change) | {SERVICE_NETWORK}
        if change.kind != "VirtualMachineInterface":
            return touched_by(change)
        touched = set(touched_by(change))
        for fact in (change.old, change.new):
            if isinstance(fact, VirtualMachineInterfaceFact) and fact.pod and change.old != change.new:
                touched.add(_key(fact.pod))
                if fact is change.new:
                    self._interfaces.put(fact.pod, fact.full_name, fact)
                else:
                    self._interfaces.discard(fact.pod, fact.full_name)
        return frozenset(touched)

    def interfaces_of(self, pod: str) -> tuple[VirtualMachineInterfaceFact, ...]:
        """Return CN2's interfaces of a pod (``namespace/name``), by name."""
        found = self._interfaces.of(pod)
        return tuple(found[name] for name in sorted(found))


class TrackedLookups(Lookups):
    """Lookups that also find CN2's interfaces, and remember them."""

    def __init__(self, view: ObjectsView) -> None:
        super().__init__(view.cluster)
        self._view = view

    def service_network(self, settings: DomainSettings) -> str:
        """Return CN2's network of cluster addresses; empty where it is unclear."""
        self.keys.add(SERVICE_NETWORK)
        return service_network(self._view.cluster, settings)

    def interfaces_of(self, pod: str) -> tuple[VirtualMachineInterfaceFact, ...]:
        """Return CN2's interfaces of a pod, by name."""
        self.keys.add(_key(pod))
        return self._view.interfaces_of(pod)


def _key(pod: str) -> str:
    return f"VirtualMachineInterfaces of {pod}"
