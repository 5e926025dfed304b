"""InstanceIPs and FloatingIPs of a Service: for each family in which it holds an address, one pair for its cluster
address on the service network and one for the held address on the external network.

While a Service moves it holds addresses of two networks, and both have their objects; an address that is being
released has none. Services that share an address share its InstanceIP and have a FloatingIP each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledgerlb.cn2.forwarding import Forwarding, forwarding
from ledgerlb.cn2.model import DEFAULT_VERSION, OWNER_ANNOTATION, Note, Wanted, object_name, reference
from ledgerlb.cn2.view import TrackedLookups
from ledgerlb.core.addresses import Family, dashed, parse
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.settings import DomainSettings

DIRECTION: Final = "ingress"

Sharers = Callable[[str, str], Iterable[str]]
"""(network, address) → the Services that hold it."""


@dataclass(frozen=True, slots=True)
class ServiceObjects:
    """The objects that a Service needs, parents before those that refer to them, and the notes about it."""

    objects: tuple[Wanted, ...] = ()
    notes: tuple[Note, ...] = ()


def service_objects(
    facts: TrackedLookups,
    service: ServiceFact,
    holdings: Iterable[Holding],
    sharers: Sharers,
    settings: DomainSettings,
    *,
    version: str = DEFAULT_VERSION,
) -> ServiceObjects:
    """Return the objects of a Service. ``holdings`` are the Service's over all networks."""
    held = [holding for holding in holdings if holding.state == "held" and _same(holding.uid, service.uid)]
    if not held:
        return ServiceObjects()
    instances: dict[str, Wanted] = {}
    floats: dict[str, Wanted] = {}
    notes: dict[Note, None] = {}
    maker = _Maker(service, version)
    for holding in sorted(held, key=lambda h: (h.family, h.network, h.address)):
        found = forwarding(facts, service, holding.family, holding.network)
        notes.update(dict.fromkeys(found.notes))
        owners = sorted({*sharers(holding.network, holding.address), service.full_name})
        pairs = [(holding.network, holding.address, owners, found.outward)]
        cluster_ip = _cluster_ip(service, holding.family)
        network = facts.service_network(settings) if cluster_ip else ""
        if network:
            pairs.append((network, cluster_ip, [service.full_name], found.interfaces))
        for network, address, names, interfaces in pairs:
            instance = maker.instance(network, address, names)
            floating = maker.floating(network, address, instance.name, found, interfaces)
            # Of two networks during a move, the first one's view of the backends serves the cluster address.
            instances.setdefault(instance.name, instance)
            floats.setdefault(floating.name, floating)
    return ServiceObjects((*instances.values(), *floats.values()), tuple(notes))


def _same(left: str, right: str) -> bool:
    """Return whether two uids may be the same object's (an unknown one may be any object's)."""
    return not left or not right or left == right


def _cluster_ip(service: ServiceFact, family: Family) -> str:
    """Return the Service's cluster address of a family, empty where it has none (a headless one has ``None``)."""
    found = (parse(address) for address in service.cluster_ips)
    return next((address.text for address in found if address is not None and address.family == family), "")


@dataclass(frozen=True, slots=True)
class _Maker:
    service: ServiceFact
    version: str

    def instance(self, network: str, address: str, owners: Sequence[str]) -> Wanted:
        spec = {
            "instanceIPAddress": address,
            "instanceIPFamily": "v6" if ":" in address else "v4",
            "virtualNetworkReference": reference("VirtualNetwork", network, self.version),
        }
        # The name holds the fields that cannot be changed, so that another address means another object.
        name = object_name(*network.split("/", 1), dashed(address))
        return self._wanted("InstanceIP", name, owners, spec)

    def floating(self, network: str, address: str, parent: str, found: Forwarding, interfaces: Sequence[str]) -> Wanted:
        owner = (self.service.namespace, self.service.name)
        name = object_name(*owner, *network.split("/", 1), dashed(address))
        mappings = [
            {"protocol": protocol, "srcPort": port, "dstPort": target} for protocol, port, target in found.ports
        ]
        spec = {
            "parent": reference("InstanceIP", parent, self.version),
            "floatingIPAddress": address,
            "floatingIPPortMappingsEnable": True,
            "floatingIPPortMappings": {"portMappings": mappings},
            "floatingIPTrafficDirection": DIRECTION,
            "virtualMachineInterfaceReferences": [
                reference("VirtualMachineInterface", interface, self.version) for interface in interfaces
            ],
        }
        return self._wanted("FloatingIP", name, [self.service.full_name], spec)

    def _wanted(self, kind: str, name: str, owners: Sequence[str], spec: dict[str, Any]) -> Wanted:
        return Wanted(kind, "", name, {OWNER_ANNOTATION: ",".join(owners)}, spec=spec, version=self.version)
