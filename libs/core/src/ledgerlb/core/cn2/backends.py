"""Which interfaces of CN2 forward for a Service, and to which port: the part of a FloatingIP that follows endpoints.

A FloatingIP has one port map for all its interfaces. So pods on which a named target port means different numbers
cannot all be served: the largest group of pods that agree on every port is taken (the lowest numbers among equals), and
the others are told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ledgerlb.core.backend_facts import parsed
from ledgerlb.core.cn2.model import TARGET_PORTS_DIFFER, Note
from ledgerlb.core.facts import (
    Endpoint,
    EndpointPort,
    EndpointsFact,
    EndpointSliceFact,
    Family,
    NodeFact,
    PodFact,
    ServiceFact,
    ServicePort,
    VirtualMachineInterfaceFact,
)
from ledgerlb.core.reachability import (
    PRIMARY,
    Interface,
    Joint,
    RouteTargets,
    resolve,
)
from ledgerlb.core.services import SUPPORTED_PROTOCOLS

DEFAULT_POD_NETWORK: Final = "default-podnetwork"
"""How CN2 names the pods' primary network, in a namespace that differs from cluster to cluster."""
_SLICE_TYPES: Final = {4: "IPv4", 6: "IPv6"}
_SHOWN: Final = 5

Numbers = tuple[int, ...]
"""The target port of each port of the Service, 0 where a pod has none."""


class ObjectFacts(Protocol):
    """What is read of the cluster. Services, pods and networks are named ``namespace/name``."""

    def slices_of(self, service: str) -> Sequence[EndpointSliceFact]:
        """Every EndpointSlice of the Service."""
        ...

    def endpoints_of(self, service: str) -> EndpointsFact | None:
        """The raw Endpoints of the Service's name that no slice mirrors."""
        ...

    def pod(self, name: str) -> PodFact | None:
        """The Pod, None where it is not known."""
        ...

    def node(self, name: str) -> NodeFact | None:
        """The Node, None where it is not known."""
        ...

    def interfaces_at(self, address: str) -> Sequence[Interface]:
        """Every pod interface that has the address."""
        ...

    def interfaces_of(self, pod: str) -> Sequence[VirtualMachineInterfaceFact]:
        """CN2's interfaces of a pod, by name."""
        ...

    def targets_of(self, network: str) -> RouteTargets | None:
        """The route targets of a network, None where there is none of that name."""
        ...


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The part of a FloatingIP that follows endpoints: (protocol, port, target port), and interfaces by full name.
    ``outward`` are those that outside traffic may take: a node may be excluded from that.
    """

    ports: tuple[tuple[str, int, int], ...]
    interfaces: tuple[str, ...]
    outward: tuple[str, ...]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class _Backend:
    pod: str
    network: str
    node: str
    numbers: Numbers
    ready: bool


def forwarding(facts: ObjectFacts, service: ServiceFact, family: Family, external: str) -> Forwarding:
    """What forwards for one family of the Service, as seen from the external network."""
    wanted = _frontends(service)
    backends = list(_backends(facts, service, wanted, family, external))
    # Where nothing is ready, a backend on its way out is better than none.
    serving = [backend for backend in backends if backend.ready] or backends
    numbers, notes = _agreed(service, wanted, serving)
    chosen = [backend for backend in serving if backend.numbers == numbers]
    found = {backend: _interface(facts, backend) for backend in chosen}
    names = sorted({name for name in found.values() if name})
    outward = sorted({name for backend, name in found.items() if name and not _excluded(facts, backend.node)})
    ports = tuple((p.protocol, p.port, number) for p, number in zip(wanted, numbers, strict=True) if number)
    return Forwarding(ports, tuple(names), tuple(outward), notes)


def _frontends(service: ServiceFact) -> tuple[ServicePort, ...]:
    """The Service's ports that can be forwarded, one for each (protocol, port)."""
    found: dict[tuple[str, int], ServicePort] = {}
    for port in service.ports:
        if port.protocol in SUPPORTED_PROTOCOLS:
            found.setdefault((port.protocol, port.port), port)
    return tuple(found.values())


def _agreed(
    service: ServiceFact, wanted: Sequence[ServicePort], serving: Sequence[_Backend]
) -> tuple[Numbers, tuple[Note, ...]]:
    """The target ports that most pods have; without pods, the numbers that the Service itself states."""
    groups: dict[Numbers, set[str]] = {}
    for backend in serving:
        groups.setdefault(backend.numbers, set()).add(backend.pod)
    if not groups:
        return tuple(_stated(port) for port in wanted), ()
    numbers = min(groups, key=lambda group: (-len(groups[group]), group))
    others = sorted(pod for group, pods in groups.items() if group != numbers for pod in pods)
    if not others:
        return numbers, ()
    shown = ", ".join(others[:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
    text = (
        f"spec.ports: a FloatingIP has one target port for each port, and {len(others)} pod(s) of {service.full_name} "
        f"resolve a named target port differently and get no traffic through it: {shown}; "
        "let every pod use the same container port"
    )
    return numbers, (Note(TARGET_PORTS_DIFFER, text),)


def _stated(port: ServicePort) -> int:
    """The target port by number; 0 for a named one, which only endpoints can tell."""
    return (port.target_port or port.port) if isinstance(port.target_port, int) else 0


def _backends(
    facts: ObjectFacts, service: ServiceFact, wanted: Sequence[ServicePort], family: Family, external: str
) -> Iterator[_Backend]:
    """One for each pod interface that an endpoint names, with what all endpoints say of it."""
    found: dict[tuple[str, str], list[tuple[Endpoint, Numbers]]] = {}
    joint: Joint | None = None
    for endpoint, ports in _endpoints(facts, service, family):
        address = parsed(endpoint.addresses[0]) if endpoint.addresses else None
        if address is None or address.version != family:
            continue
        if joint is None:
            joint = Joint(external, facts.targets_of(external) or RouteTargets())
        place = _place(facts, service, endpoint, str(address), joint)
        if place is not None:
            found.setdefault(place, []).append((endpoint, tuple(_number(port, ports) for port in wanted)))
    for (pod, network), sightings in sorted(found.items()):
        # Terminating is final: where two slices disagree about one pod, the one that says so is the newer.
        own = [sighting for sighting in sightings if sighting[0].terminating] or sightings
        ready = any(endpoint.ready for endpoint, _ in own)
        if not ready and not any(endpoint.terminating and endpoint.serving for endpoint, _ in own):
            continue
        numbers = tuple(
            min((number for number in column if number), default=0) for column in zip(*(n for _, n in own), strict=True)
        )
        node = min((endpoint.node for endpoint, _ in own if endpoint.node), default="")
        yield _Backend(pod, network, node, numbers, ready)


def _endpoints(
    facts: ObjectFacts, service: ServiceFact, family: Family
) -> Iterator[tuple[Endpoint, tuple[EndpointPort, ...]]]:
    for fact in facts.slices_of(service.full_name):
        if fact.address_type == _SLICE_TYPES[family]:
            for endpoint in fact.endpoints:
                yield endpoint, fact.ports
    raw = facts.endpoints_of(service.full_name)
    for subset in raw.subsets if raw is not None else ():
        for endpoint in subset.endpoints:
            yield endpoint, subset.ports


def _number(port: ServicePort, offered: Sequence[EndpointPort]) -> int:
    """The number that the endpoints offer for a port of the Service; 0 where they offer none."""
    matching = [o for o in offered if (o.name, o.protocol) == (port.name, port.protocol)]
    return min((o.port or _stated(port) or port.port for o in matching), default=0)


def _place(
    facts: ObjectFacts, service: ServiceFact, endpoint: Endpoint, address: str, external: Joint
) -> tuple[str, str] | None:
    """(pod, network) of the interface that the endpoint means, None where that cannot be told or reached."""
    pod = ""
    if endpoint.target_kind == "Pod" and endpoint.target_name:
        pod = f"{endpoint.target_namespace or service.namespace}/{endpoint.target_name}"
    found = resolve(address, facts.interfaces_at(address), external, facts.targets_of, pod)
    if isinstance(found, Interface):
        return found.pod, found.network
    if pod and ((fact := facts.pod(pod)) is None or not fact.ips):
        return pod, PRIMARY  # the endpoint is all that is known of the pod's addresses
    return None


def _interface(facts: ObjectFacts, backend: _Backend) -> str:
    """The full name of CN2's interface of the pod on the backend's network, empty where there is none (yet)."""
    here = [vmi for vmi in facts.interfaces_of(backend.pod) if not vmi.deleting]
    network = backend.network or _primary(facts, backend.pod, here)
    return min((vmi.full_name for vmi in here if vmi.network == network), default="")


def _primary(facts: ObjectFacts, pod: str, here: Sequence[VirtualMachineInterfaceFact]) -> str:
    """The network of the pod's primary interface: as its network-status says, else by CN2's name for it, else the
    only one there is. Never another one of several.
    """
    fact = facts.pod(pod)
    said = _said(fact.network_status) if fact is not None else ""
    if said:
        return said
    networks = sorted({vmi.network for vmi in here if vmi.network})
    named = [network for network in networks if network.rpartition("/")[2] == DEFAULT_POD_NETWORK]
    candidates = named or networks
    return candidates[0] if len(candidates) == 1 else ""


def _said(network_status: str) -> str:
    """The network of the interface that the network-status calls the default one, empty where it calls none so."""
    try:
        entries = json.loads(network_status) if network_status else []
    except (ValueError, RecursionError):
        return ""
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("default") is True:
            name = entry.get("name")
            return name if isinstance(name, str) and "/" in name else ""
    return ""


def _excluded(facts: ObjectFacts, node: str) -> bool:
    fact = facts.node(node) if node else None
    return fact is not None and fact.excluded

