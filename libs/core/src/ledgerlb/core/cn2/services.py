"""InstanceIPs and FloatingIPs of a Service: for each family in which it holds an address, one pair for its cluster
address on the service network and one for the held address on the external network.

While a Service moves it holds addresses of two networks, and both have their objects; an address that is being
released has none. Services that share an address share its InstanceIP and have a FloatingIP each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from ledgerlb.core.backend_facts import parsed
from ledgerlb.core.cn2.backends import Forwarding, ObjectFacts, forwarding
from ledgerlb.core.cn2.model import DEFAULT_VERSION, OWNER_ANNOTATION, Note, Wanted, object_name, reference
from ledgerlb.core.facts import Family, ServiceFact
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.settings import DomainSettings

DIRECTION: Final = "ingress"

Sharers = Callable[[str, str], Iterable[str]]
"""(network, address) → the Services that hold it."""


@dataclass(frozen=True, slots=True)
class ServiceObjects:
    """What a Service needs: parents before those that refer to them; and what is to be told about it."""

    objects: tuple[Wanted, ...] = ()
    notes: tuple[Note, ...] = ()


def service_objects(
    facts: ObjectFacts,
    service: ServiceFact,
    holdings: Iterable[Holding],
    sharers: Sharers,
    settings: DomainSettings,
    *,
    version: str = DEFAULT_VERSION,
) -> ServiceObjects:
    """See module. ``holdings`` are the Service's over all networks."""
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
        external = maker.instance(
            object_name(*_network_parts(holding.network), _dashed(holding.address)),
            holding.address,
            holding.network,
            sorted({*sharers(holding.network, holding.address), service.full_name}),
        )
        name = object_name(*_parts(service), *_network_parts(holding.network), _dashed(holding.address))
        instances[external.name] = external
        floats[name] = maker.floating(name, external.name, holding.address, found, found.outward)
        cluster_ip = _cluster_ip(service, holding.family)
        name = object_name(*_parts(service), f"clusterip-v{holding.family}")
        # Of two networks during a move, the first one's view of the backends serves the cluster address.
        if cluster_ip and name not in instances:
            instances[name] = maker.instance(name, cluster_ip, settings.service_network, [service.full_name])
            floats[name] = maker.floating(name, name, cluster_ip, found, found.interfaces)
    return ServiceObjects((*instances.values(), *floats.values()), tuple(notes))


def _same(left: str, right: str) -> bool:
    """Whether two uids may be the same object's (an unknown one may be anybody's)."""
    return not left or not right or left == right


def _parts(service: ServiceFact) -> tuple[str, str]:
    return service.namespace, service.name


def _network_parts(network: str) -> tuple[str, str]:
    namespace, _, name = network.partition("/")
    return namespace, name


def _dashed(address: str) -> str:
    """The address as it may stand in a name, in full length: no two addresses look alike."""
    return ip_address(address).exploded.replace(".", "-").replace(":", "-")


def _cluster_ip(service: ServiceFact, family: Family) -> str:
    """The Service's cluster address of a family, empty where it has none (a headless Service says ``None``)."""
    found = (parsed(address) for address in service.cluster_ips)
    return next((str(address) for address in found if address is not None and address.version == family), "")


@dataclass(frozen=True, slots=True)
class _Maker:
    service: ServiceFact
    version: str

    def instance(self, name: str, address: str, network: str, owners: Sequence[str]) -> Wanted:
        spec = {
            "instanceIPAddress": address,
            "instanceIPFamily": "v6" if ":" in address else "v4",
            "virtualNetworkReference": reference("VirtualNetwork", network, self.version),
        }
        return self._wanted("InstanceIP", name, owners, spec)

    def floating(
        self, name: str, parent: str, address: str, found: Forwarding, interfaces: Sequence[str]
    ) -> Wanted:
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
