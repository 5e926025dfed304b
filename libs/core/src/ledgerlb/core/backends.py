"""Backends of a Service: what its EndpointSlices, Endpoints and pods say, merged and told apart by what they may carry.

``backends_of`` answers for one Service and one address family. Nothing depends on the order in which facts came: every
choice is made by content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ledgerlb.core.backend_facts import BackendFacts, parsed
from ledgerlb.core.facts import Endpoint, EndpointPort, Family, ServiceFact, ServicePort
from ledgerlb.core.services import SUPPORTED_PROTOCOLS

State = Literal["ready", "draining", "out"]
"""``ready`` takes new flows, ``draining`` keeps its flows (terminating, still serving), ``out`` carries nothing."""

_SLICE_TYPES: Final = {4: "IPv4", 6: "IPv6"}
_ENDED: Final = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Backend:
    """One pod (or bare address) behind a Service.

    ``pod`` is its identity for counting: ``namespace/name`` of the Pod, or the address where no Pod is known.
    ``node`` is empty where nobody knows it. ``ports`` are target port numbers, sorted.
    """

    pod: str
    node: str
    address: str
    ports: tuple[int, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Placement:
    """Which pod an endpoint is and where it runs; either may be empty."""

    pod: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class _Sighting:
    endpoint: Endpoint
    placement: Placement
    ports: frozenset[int]


def backends_of(
    facts: BackendFacts, service: ServiceFact, family: Family
) -> tuple[tuple[Backend, ...], tuple[str, ...]]:
    """Every backend of the Service in one family, and notes on what could not be used.

    All slices are merged and de-duplicated; the result is sorted by address and pod.
    """
    wanted = [port for port in service.ports if port.protocol in SUPPORTED_PROTOCOLS]
    seen: dict[str, list[_Sighting]] = {}
    named: set[ServicePort] = set()
    notes: set[str] = set()
    for endpoint, ports in _endpoints(facts, service, family):
        matches = [(port, number) for port in wanted for number in _numbers(port, ports)]
        named.update(port for port, _ in matches)
        address = parsed(endpoint.addresses[0]) if endpoint.addresses else None
        if address is None or address.version != family:
            said = endpoint.addresses[0] if endpoint.addresses else ""
            notes.add(f"Service {service.full_name}: endpoint {said!r} is not an IPv{family} address")
            continue
        placement = locate(facts, service, endpoint, str(address))
        sighting = _Sighting(endpoint, placement, frozenset(number for _, number in matches))
        seen.setdefault(str(address), []).append(sighting)
    if seen:
        notes.update(
            f"Service {service.full_name}: no endpoint names port {port.name or port.port}/{port.protocol}"
            for port in wanted
            if port not in named
        )
    found = [backend for address, sightings in seen.items() for backend in _merged(address, sightings)]
    return tuple(sorted(found, key=lambda backend: (address_order(backend.address), backend.pod))), tuple(sorted(notes))


def locate(facts: BackendFacts, service: ServiceFact, endpoint: Endpoint, address: str) -> Placement:
    """The pod and node of an endpoint: by its reference to a Pod, else by the pod that has the address.

    This is the one place where an address is resolved to a pod's interface; it looks at primary addresses only.
    """
    if endpoint.target_kind == "Pod" and endpoint.target_name:
        name = f"{endpoint.target_namespace or service.namespace}/{endpoint.target_name}"
        if endpoint.node:
            return Placement(name, endpoint.node)
        pod = facts.pod(name)
        return Placement(name, pod.node if pod is not None else "")
    here = [pod for pod in facts.pods_at(address) if pod.phase not in _ENDED]
    nodes = {pod.node for pod in here}
    # Pods on the host network share their node's address: which of them is meant stays open, the node does not.
    name = here[0].full_name if len(here) == 1 else ""
    return Placement(name, endpoint.node or (min(nodes) if len(nodes) == 1 else ""))


def _endpoints(
    facts: BackendFacts, service: ServiceFact, family: Family
) -> Iterator[tuple[Endpoint, tuple[EndpointPort, ...]]]:
    for fact in facts.slices_of(service.full_name):
        if fact.address_type == _SLICE_TYPES[family]:
            for endpoint in fact.endpoints:
                yield endpoint, fact.ports
    raw = facts.endpoints_of(service.full_name)
    for subset in raw.subsets if raw is not None else ():
        for endpoint in subset.endpoints:
            address = parsed(endpoint.addresses[0]) if endpoint.addresses else None
            # Raw Endpoints mix families: an address of the other one belongs to the other path set.
            if address is None or address.version == family:
                yield endpoint, subset.ports


def _numbers(port: ServicePort, offered: Sequence[EndpointPort]) -> Iterator[int]:
    for candidate in offered:
        if (candidate.name, candidate.protocol) == (port.name, port.protocol):
            target = port.target_port if isinstance(port.target_port, int) else 0
            yield candidate.port or target or port.port  # no number stands for "all ports"


def _merged(address: str, sightings: Sequence[_Sighting]) -> Iterator[Backend]:
    """One backend per pod seen at the address; sightings that name no pod belong to the first of those that do."""
    pods = sorted({sighting.placement.pod for sighting in sightings if sighting.placement.pod}) or [address]
    for index, pod in enumerate(pods):
        own = [s for s in sightings if s.placement.pod == pod or (index == 0 and not s.placement.pod)]
        # Terminating is final: where two slices disagree about one pod, the one that says so is the newer.
        own = [s for s in own if s.endpoint.terminating] or own
        nodes = sorted({s.placement.node for s in own if s.placement.node})
        yield Backend(
            pod=pod,
            node=nodes[0] if nodes else "",
            address=address,
            ports=tuple(sorted({number for s in own for number in s.ports})),
            state=_state([s.endpoint for s in own]),
        )


def _state(endpoints: Sequence[Endpoint]) -> State:
    if any(endpoint.ready for endpoint in endpoints):
        return "ready"
    return "draining" if any(endpoint.terminating and endpoint.serving for endpoint in endpoints) else "out"


def address_order(address: str) -> tuple[int, int]:
    """Sort key of a canonical address: IPv4 first, then by number."""
    number = parsed(address)
    assert number is not None, f"{address} was to be canonical"
    return number.version, int(number)
