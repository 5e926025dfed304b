"""Which interfaces of CN2 forward for a Service, and to which port: the part of a FloatingIP that follows endpoints.

A FloatingIP has one port map for all its interfaces. So it cannot serve pods on which a named target port means
different numbers. The largest group of pods that agree on every port gets the traffic (among equals the one with most
ports, then the one with the lowest numbers), and a note names the others. Pods without any of the ports do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledgerlb.cn2.model import Note
from ledgerlb.cn2.view import TrackedLookups
from ledgerlb.core.addresses import Family, parse
from ledgerlb.core.cluster.facts import EndpointPort, ServiceFact, ServicePort, VirtualMachineInterfaceFact
from ledgerlb.core.cluster.services import SUPPORTED_PROTOCOLS
from ledgerlb.core.paths.backends import Backend, backends_of
from ledgerlb.core.reasons import Reason
from ledgerlb.core.text import load_json

DEFAULT_POD_NETWORK: Final = "default-podnetwork"
"""How CN2 names the pods' primary network, in a namespace that differs from cluster to cluster."""
_SLICE_TYPES: Final = {4: "IPv4", 6: "IPv6"}
_SHOWN: Final = 5

Numbers = tuple[int, ...]
"""The target port of each port of the Service, 0 where a pod has none."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """(protocol, port, target port) of each port, and interfaces by full name.

    ``outward`` are the interfaces for traffic from outside, without those on excluded nodes.
    """

    ports: tuple[tuple[str, int, int], ...]
    interfaces: tuple[str, ...]
    outward: tuple[str, ...]
    notes: tuple[Note, ...] = ()


def forwarding(facts: TrackedLookups, service: ServiceFact, family: Family, external: str) -> Forwarding:
    """Return what forwards for one family of the Service, as seen from the external network."""
    wanted = _frontends(service)
    found = backends_of(facts, service, family, external).found
    alive = [backend for backend in found if backend.state != "out" and backend.targets]
    # Where nothing is ready, a backend on its way out is better than none.
    serving = [backend for backend in alive if backend.state == "ready"] or alive
    offers = _offers(facts, service, wanted, family) if serving else {}
    pairs = [(backend, offers.get(backend.address, ())) for backend in serving]
    numbers, notes = _agreed(service, wanted, pairs)
    chosen = [backend for backend, offered in pairs if offered == numbers]
    interfaces = [(name, backend) for backend in chosen if (name := _interface(facts, backend))]
    outward = {name for name, backend in interfaces if not _excluded(facts, backend.node)}
    ports = tuple((p.protocol, p.port, number) for p, number in zip(wanted, numbers, strict=True) if number)
    return Forwarding(ports, tuple(sorted({name for name, _ in interfaces})), tuple(sorted(outward)), notes)


def _frontends(service: ServiceFact) -> tuple[ServicePort, ...]:
    """Return the Service's ports that can be forwarded, one for each (protocol, port)."""
    found: dict[tuple[str, int], ServicePort] = {}
    for port in service.ports:
        if port.protocol in SUPPORTED_PROTOCOLS:
            found.setdefault((port.protocol, port.port), port)
    return tuple(found.values())


def _agreed(
    service: ServiceFact, wanted: Sequence[ServicePort], serving: Sequence[tuple[Backend, Numbers]]
) -> tuple[Numbers, tuple[Note, ...]]:
    """Return the target ports that most pods have; without pods, the numbers in the Service itself."""
    groups: dict[Numbers, set[str]] = {}
    for backend, offered in serving:
        groups.setdefault(offered, set()).add(backend.pod)
    if not groups:
        return tuple(_stated(port) for port in wanted), ()
    numbers = min(groups, key=lambda group: (-len(groups[group]), group.count(0), group))
    others = sorted(pod for group, pods in groups.items() if group != numbers for pod in pods)
    if not others:
        return numbers, ()
    shown = ", ".join(others[:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
    text = (
        f"spec.ports: a FloatingIP has one target port for each port, and {len(others)} pod(s) of {service.full_name} "
        f"resolve a named target port differently and get no traffic through it: {shown}; "
        "let every pod use the same container port"
    )
    return numbers, (Note(Reason.TARGET_PORTS_DIFFER, text),)


def _stated(port: ServicePort) -> int:
    """Return the target port by number; 0 for a named one, which only endpoints resolve."""
    return (port.target_port or port.port) if isinstance(port.target_port, int) else 0


def _offers(
    facts: TrackedLookups, service: ServiceFact, wanted: Sequence[ServicePort], family: Family
) -> dict[str, Numbers]:
    """Return the ports that endpoints offer at each address; the lowest number where they contradict each other."""
    found: dict[str, Numbers] = {}
    for text, ports in _endpoints(facts, service, family):
        address = parse(text)
        if address is None or address.family != family:
            continue
        numbers = tuple(_number(port, ports) for port in wanted)
        before = found.get(address.text, numbers)
        found[address.text] = tuple(min(a or b, b or a) for a, b in zip(before, numbers, strict=True))
    return found


def _endpoints(
    facts: TrackedLookups, service: ServiceFact, family: Family
) -> Iterator[tuple[str, tuple[EndpointPort, ...]]]:
    for fact in facts.slices_of(service.full_name):
        if fact.address_type == _SLICE_TYPES[family]:
            yield from ((endpoint.addresses[0], fact.ports) for endpoint in fact.endpoints if endpoint.addresses)
    raw = facts.endpoints_of(service.full_name)
    for subset in raw.subsets if raw is not None else ():
        yield from ((endpoint.addresses[0], subset.ports) for endpoint in subset.endpoints if endpoint.addresses)


def _number(port: ServicePort, offered: Sequence[EndpointPort]) -> int:
    """Return the number that the endpoints offer for a port of the Service; 0 where they offer none."""
    matching = [o for o in offered if (o.name, o.protocol) == (port.name, port.protocol)]
    return min((o.port or _stated(port) or port.port for o in matching), default=0)


def _interface(facts: TrackedLookups, backend: Backend) -> str:
    """Return the full name of CN2's interface of the pod on the backend's network, empty while there is none."""
    here = [vmi for vmi in facts.interfaces_of(backend.pod) if not vmi.deleting]
    network = backend.network or _primary(facts, backend.pod, here)
    return min((vmi.full_name for vmi in here if vmi.network == network), default="")


def _primary(facts: TrackedLookups, pod: str, here: Sequence[VirtualMachineInterfaceFact]) -> str:
    """Return the network of the pod's primary interface, empty where several networks leave it open.

    The network-status decides, else CN2's name for the network, else the only network that the pod has.
    """
    fact = facts.pod(pod)
    default = _default_network(fact.network_status) if fact is not None else ""
    if default:
        return default
    networks = sorted({vmi.network for vmi in here if vmi.network})
    named = [network for network in networks if network.rpartition("/")[2] == DEFAULT_POD_NETWORK]
    candidates = named or networks
    return candidates[0] if len(candidates) == 1 else ""


def _default_network(network_status: str) -> str:
    """Return the network of the interface that the network-status marks as default, empty where it marks none."""
    try:
        entries = load_json(network_status) if network_status else []
    except (ValueError, RecursionError):
        return ""
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("default") is True:
            name = entry.get("name")
            return name if isinstance(name, str) and "/" in name else ""
    return ""


def _excluded(facts: TrackedLookups, node: str) -> bool:
    fact = facts.node(node) if node else None
    return fact is not None and fact.excluded
