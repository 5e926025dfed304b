"""Small builders of facts and holdings: a test states only what it is about."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ledgerlb.core.addresses import Family
from ledgerlb.core.cluster.facts import (
    AnyFact,
    Endpoint,
    EndpointPort,
    EndpointsFact,
    EndpointsSubset,
    NetworkAttachmentDefinitionFact,
    NodeFact,
    PodFact,
    VirtualNetworkFact,
    key_of,
)
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.paths.pathset import LocalBackends, PathSet
from ledgerlb.core.paths.plan import plan

ADDRESS = "192.168.102.2"
ADDRESS6 = "2001:db8::2"


@dataclass(frozen=True)
class Hold:
    network: str = "contrail/external"
    service: str = "shop/web"
    family: Family = 4
    state: str = "held"
    seq: int = 1
    release_seq: int = 0

    @property
    def address_since(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=self.seq)

    @property
    def allocation(self) -> str:
        return f"{self.network}#{self.seq}"

    @property
    def release(self) -> str:
        return f"{self.network}#{self.release_seq}" if self.release_seq else ""


@dataclass
class Ledger:
    by_address: dict[str, list[Hold]] = field(default_factory=dict)

    def holding(self, address: str) -> list[Hold]:
        return self.by_address.get(address, [])


def raw_endpoints(
    *endpoints: Endpoint, of: str = "shop/web", ports: tuple[EndpointPort, ...] | None = None
) -> EndpointsFact:
    namespace, _, short = of.partition("/")
    offered = ports if ports is not None else (EndpointPort(name="http", port=8080),)
    return EndpointsFact(
        namespace=namespace, name=short, subsets=(EndpointsSubset(ports=offered, endpoints=endpoints),)
    )


def node(name: str, *addresses: str, excluded: bool = False) -> NodeFact:
    return NodeFact(name=name, addresses=addresses, excluded=excluded)


def pod(name: str, node_name: str, *addresses: str, phase: str = "Running") -> PodFact:
    namespace, _, short = name.partition("/")
    return PodFact(namespace=namespace, name=short, node=node_name, ips=addresses, phase=phase)


def nad(name: str, **said: object) -> NetworkAttachmentDefinitionFact:
    namespace, _, short = name.partition("/")
    return NetworkAttachmentDefinitionFact(namespace=namespace, name=short, networks=json.dumps(said))


def vn(name: str, **targets: tuple[str, ...]) -> VirtualNetworkFact:
    namespace, _, short = name.partition("/")
    return VirtualNetworkFact(namespace=namespace, name=short, **targets)


def multi(name: str, node: str, primary: str, **more: object) -> PodFact:
    """A pod with interfaces; ``nets`` maps networks to addresses."""
    nets = more.pop("nets", {})
    status = [{"name": "cluster", "interface": "eth0", "ips": [primary], "default": True}]
    status += [{"name": network, "interface": "net1", "ips": [ip]} for network, ip in nets.items()]
    namespace, _, short = name.partition("/")
    given = {"phase": "Running", "network_status": json.dumps(status), **more}
    return PodFact(namespace=namespace, name=short, node=node, ips=(primary,), **given)


NODES = (node("n1", "10.0.0.1", "fd00::1"), node("n2", "10.0.0.2", "fd00::2"), node("n3", "10.0.0.3", "fd00::3"))


def view(*facts: AnyFact) -> ClusterView:
    made = ClusterView()
    for fact in facts:
        made.take(key_of(fact), fact)
    return made


def planned(*facts: AnyFact, holds: list[Hold] | None = None, address: str = ADDRESS) -> PathSet:
    ledger = Ledger({address: holds if holds is not None else [Hold(family=6 if ":" in address else 4)]})
    path_set = plan(view(*facts), ledger, address)
    assert path_set is not None
    return path_set


@dataclass(frozen=True)
class Hop:
    """A next hop with the backends of all ports on its node."""

    via: str
    weight: int
    backends: tuple[str, ...]
    draining: tuple[str, ...]


def hops(path_set: PathSet) -> dict[str, Hop]:
    local = {hop.node: LocalBackends(node=hop.node) for hop in path_set.next_hops} | path_set.local()
    return {
        hop.node: Hop(hop.via, hop.weight, local[hop.node].backends, local[hop.node].draining)
        for hop in path_set.next_hops
    }


def weights(path_set: PathSet) -> dict[str, int]:
    return {hop.node: hop.weight for hop in path_set.next_hops}
