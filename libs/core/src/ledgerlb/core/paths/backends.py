"""Backends of a Service: merge its EndpointSlices, Endpoints and pods, and tell which may carry which flows.

``backends_of`` answers for one Service, one address family and one external network. The order in which facts came
never matters: the content decides every choice.

A hand-written endpoint may mean any interface of a pod, so its address is looked up among the pods' interfaces that
the external network reaches (``cluster.reachability``). The endpoints of Kubernetes' own controller are on the pods'
primary network by definition. An endpoint on that network whose address is a Node's own is on the host network of
that Node, whatever its other fields say: only that Node answers for the address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from ledgerlb.core.addresses import Family, address_order, parse
from ledgerlb.core.cluster.facts import Endpoint, EndpointPort, ServiceFact, ServicePort
from ledgerlb.core.cluster.reachability import PRIMARY, Interface, Unreachable, resolve
from ledgerlb.core.cluster.services import SUPPORTED_PROTOCOLS
from ledgerlb.core.paths.backend_facts import Lookups

State = Literal["ready", "draining", "out"]
"""``ready`` takes new flows, ``draining`` keeps its flows (terminating, still serving), ``out`` carries nothing."""

_SLICE_TYPES: Final = {4: "IPv4", 6: "IPv6"}
_CONTROLLER: Final = "endpointslice-controller.k8s.io"
"""Who manages the EndpointSlices that Kubernetes makes from a Service's selector."""


class Target(NamedTuple):
    """A port of the Service, and the number under which the backend serves it."""

    protocol: str
    port: int
    number: int


@dataclass(frozen=True, slots=True)
class Backend:
    """One pod (or bare address) behind a Service.

    ``pod`` is its identity for counting: ``namespace/name`` of the Pod, or the address where no Pod is known.
    ``node`` is empty where no fact names it. ``targets`` are sorted. ``network`` is that of the interface with the
    address: ``namespace/name``, or ``PRIMARY``.
    """

    pod: str
    node: str
    address: str
    targets: tuple[Target, ...]
    state: State
    network: str = PRIMARY


@dataclass(frozen=True, slots=True)
class Placement:
    """Which pod an endpoint is, where it runs (either may be empty), and on which network its interface is."""

    pod: str = ""
    node: str = ""
    network: str = PRIMARY


class Backends(NamedTuple):
    """The backends of a Service that a network reaches, by address and pod; ``notes`` on everything that is unusable;
    and why the network does not reach endpoints that could carry flows.
    """

    found: tuple[Backend, ...]
    notes: tuple[str, ...]
    unreachable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Sighting:
    endpoint: Endpoint
    placement: Placement
    targets: frozenset[Target]


def backends_of(facts: Lookups, service: ServiceFact, family: Family, external: str) -> Backends:
    """Return the Service's backends of one family that the external network reaches.

    ``external`` is ``namespace/name``. All slices are merged and de-duplicated.
    """
    wanted = [port for port in service.ports if port.protocol in SUPPORTED_PROTOCOLS]
    seen: dict[str, list[_Sighting]] = {}
    named: set[ServicePort] = set()
    notes: set[str] = set()
    unreachable: set[str] = set()
    for endpoint, ports, by_hand in _endpoints(facts, service, family):
        matches = [(port, number) for port in wanted for number in _numbers(port, ports)]
        named.update(port for port, _ in matches)
        address = parse(endpoint.addresses[0]) if endpoint.addresses else None
        if address is None or address.family != family:
            text = endpoint.addresses[0] if endpoint.addresses else ""
            notes.add(f"Service {service.full_name}: endpoint {text!r} is not an IPv{family} address")
            continue
        placement = (
            _looked_up(facts, service, endpoint, address.text, external)
            if by_hand
            else _stated_place(facts, service, endpoint)
        )
        if isinstance(placement, Unreachable):
            notes.add(f"Service {service.full_name}: {placement.message}")
            unreachable.update([placement.message] if _state([endpoint]) != "out" else [])
            continue
        placement = _on_host_network(facts, placement, address.text)
        targets = frozenset(Target(port.protocol, port.port, number) for port, number in matches)
        sighting = _Sighting(endpoint, placement, targets)
        seen.setdefault(address.text, []).append(sighting)
    if seen:
        notes.update(
            f"Service {service.full_name}: no endpoint names port {port.name or port.port}/{port.protocol}"
            for port in wanted
            if port not in named
        )
    found = [backend for address, sightings in seen.items() for backend in _merged(address, sightings)]
    ordered = tuple(sorted(found, key=lambda backend: (address_order(backend.address), backend.pod)))
    return Backends(ordered, tuple(sorted(notes)), tuple(sorted(unreachable)))


def _endpoints(
    facts: Lookups, service: ServiceFact, family: Family
) -> Iterator[tuple[Endpoint, tuple[EndpointPort, ...], bool]]:
    """Yield every endpoint with the ports that it offers, and whether it was written by hand."""
    for fact in facts.slices_of(service.full_name):
        if fact.address_type == _SLICE_TYPES[family]:
            for endpoint in fact.endpoints:
                yield endpoint, fact.ports, fact.managed_by != _CONTROLLER or not _pod_of(service, endpoint)
    raw = facts.endpoints_of(service.full_name)
    for subset in raw.subsets if raw is not None else ():
        for endpoint in subset.endpoints:
            address = parse(endpoint.addresses[0]) if endpoint.addresses else None
            # Raw Endpoints mix families: an address of the other one belongs to the other path set.
            if address is None or address.family == family:
                yield endpoint, subset.ports, True


def _pod_of(service: ServiceFact, endpoint: Endpoint) -> str:
    """Return the Pod that an endpoint refers to, or empty."""
    if endpoint.target_kind != "Pod" or not endpoint.target_name:
        return ""
    return f"{endpoint.target_namespace or service.namespace}/{endpoint.target_name}"


def _stated_place(facts: Lookups, service: ServiceFact, endpoint: Endpoint) -> Placement:
    """Place an endpoint by its own fields: a pod on the primary network, or a bare address."""
    name = _pod_of(service, endpoint)
    return Placement(name, endpoint.node or _node_of(facts, name))


def _looked_up(
    facts: Lookups, service: ServiceFact, endpoint: Endpoint, address: str, external: str
) -> Placement | Unreachable:
    """Find the interface that a hand-written address means, by network and address. Only this function decides that.

    Where no known pod has the address, trust the endpoint: it may be a machine, or a pod that is not known yet. Do not
    trust it if the pod that it names is known by other addresses.
    """
    name = _pod_of(service, endpoint)
    here = [interface for interface in facts.interfaces_at(address) if not name or interface.pod == name]
    if not here and (service.has_selector or not _has_addresses(facts, name)):
        return _stated_place(facts, service, endpoint)
    here = list(_likely(facts, service, endpoint, here))
    primary = [interface for interface in here if interface.primary]
    # Pods on the host network share their node's address: which of them is meant stays open, the node does not.
    shared = primary if len(primary) > 1 else []
    candidates = [interface for interface in here if interface not in shared]
    candidates += [Interface("", PRIMARY, (address,))] if shared else []
    found = resolve(address, candidates, facts.joint_of(external), facts.targets_of, name)
    if isinstance(found, Unreachable):
        return found
    nodes = {_node_of(facts, interface.pod) for interface in ([found] if found.pod else shared)}
    return Placement(found.pod, endpoint.node or (min(nodes) if len(nodes) == 1 else ""), found.network)


def _on_host_network(facts: Lookups, placement: Placement, address: str) -> Placement:
    """Return the placement on the Node that has the address itself, where one has.

    Two Nodes with one address are one machine under two names: the endpoint's own word decides, then the name.
    """
    owners = facts.nodes_at(address) if placement.network == PRIMARY else ()
    if not owners or placement.node in owners:
        return placement
    return replace(placement, node=owners[0])


def _likely(facts: Lookups, service: ServiceFact, endpoint: Endpoint, here: Sequence[Interface]) -> Sequence[Interface]:
    """Narrow several owners of an address down to the likely ones.

    These are the owners on the endpoint's node, where it names one, and, for a Service with a selector, those on the
    primary network.
    """
    if endpoint.node:
        here = [interface for interface in here if _node_of(facts, interface.pod) == endpoint.node] or here
    if service.has_selector:
        here = [interface for interface in here if interface.primary] or here
    return here


def _has_addresses(facts: Lookups, pod: str) -> bool:
    fact = facts.pod(pod) if pod else None
    return fact is not None and bool(fact.ips or fact.network_status)


def _node_of(facts: Lookups, pod: str) -> str:
    fact = facts.pod(pod) if pod else None
    return fact.node if fact is not None else ""


def _numbers(port: ServicePort, offered: Sequence[EndpointPort]) -> Iterator[int]:
    for candidate in offered:
        if (candidate.name, candidate.protocol) == (port.name, port.protocol):
            target = port.target_port if isinstance(port.target_port, int) else 0
            yield candidate.port or target or port.port  # an endpoint port without a number means "all ports"


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
            targets=tuple(sorted({target for s in own for target in s.targets})),
            state=_state([s.endpoint for s in own]),
            network=min(s.placement.network for s in own),
        )


def _state(endpoints: Sequence[Endpoint]) -> State:
    if any(endpoint.ready for endpoint in endpoints):
        return "ready"
    return "draining" if any(endpoint.terminating and endpoint.serving for endpoint in endpoints) else "out"
