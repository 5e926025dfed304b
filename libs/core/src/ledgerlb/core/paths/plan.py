"""The planner: how one external address is reached, from the ledger (who holds it) and the cluster (who answers).

``plan`` is pure, and its answer depends on what the facts say and never on the order in which they came, so equal
inputs give equal bytes. Bounds: ``MAX_NEXT_HOPS`` nodes a path set (those with most backends, then by name),
``MAX_WEIGHT`` a node, ``MAX_LISTED`` backends written out (weights stay exact past it), ``MAX_NOTES`` notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from ledgerlb.core.addresses import Cidr, Family, common, source_ranges
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.nodes import internal_ip
from ledgerlb.core.cluster.services import SUPPORTED_PROTOCOLS, source_ranges_problem
from ledgerlb.core.paths.backend_facts import BackendFacts, Lookups
from ledgerlb.core.paths.backends import Backend, address_order, backends_of
from ledgerlb.core.paths.pathset import Frontend, NextHop, PathSet, Unserved
from ledgerlb.core.reasons import Reason
from ledgerlb.core.text import shortened

MAX_NEXT_HOPS: Final = 1024
MAX_WEIGHT: Final = 65535
MAX_LISTED: Final = 10_000
MAX_NOTES: Final = 32
_NAMED_IN_NOTE: Final = 3


class Held(Protocol):
    """What the planner reads of a holding."""

    @property
    def network(self) -> str:
        """Who gave the address out (``namespace/name``)."""
        ...

    @property
    def service(self) -> str:
        """Who holds it (``namespace/name``)."""
        ...

    @property
    def address(self) -> str:
        """The address that is held."""
        ...

    @property
    def family(self) -> Family:
        """4 or 6."""
        ...

    @property
    def state(self) -> str:
        """``held`` or ``releasing``."""
        ...

    @property
    def address_since(self) -> datetime:
        """When the network gave the address to its first sharer."""
        ...

    @property
    def seq(self) -> int:
        """The ledger entry that gave it out."""
        ...

    @property
    def allocation(self) -> str:
        """``network#seq``."""
        ...

    @property
    def release(self) -> str:
        """``network#seq`` of the entry that began the release, or empty."""
        ...


class Holdings(Protocol):
    """What the planner reads of the ledger."""

    def holding(self, address: str) -> Sequence[Held]:
        """Return every holding of the address, over all networks; [] where no Service holds it."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """A path set (None: no Service holds the address) and the keys (see ``Lookups``) of the facts behind it."""

    path_set: PathSet | None
    made_from: frozenset[str]


def plan(facts: BackendFacts, ledger: Holdings, address: str) -> PathSet | None:
    """Return the path set of a canonical address; None where no Service holds it."""
    return plan_from(facts, ledger, address).path_set


def plan_from(facts: BackendFacts, ledger: Holdings, address: str) -> Planned:
    """Return the path set like ``plan``, and the keys of the facts that it looked at."""
    lookups = Lookups(facts)
    holdings = sorted(ledger.holding(address), key=lambda held: (held.network, held.service, held.seq))
    if not holdings:
        return Planned(None, frozenset())
    path_set = _withdrawal(address, holdings) or _forwarding(lookups, address, holdings)
    return Planned(path_set, frozenset(lookups.keys))


def _withdrawal(address: str, holdings: Sequence[Held]) -> PathSet | None:
    """Return the order to withdraw the address, if its owner (see ``owner_of``) releases it, else None."""
    network = owner_of(holdings)
    here = [held for held in holdings if held.network == network]
    if any(held.state != "releasing" for held in here):
        return None
    last = max(here, key=lambda held: held.seq)
    return PathSet(
        address=address,
        family=last.family,
        network=network,
        services=tuple(sorted({held.service for held in here})),
        allocation=last.allocation,
        withdraw=True,
        release=last.release,
    )


def owner_of(holdings: Sequence[Held]) -> str:
    """Return the network whose holding of an address the data path serves.

    Networks with separate route targets may hold the same address, and a gateway or node has one routing context. The
    network that has held the address for longest owns it until it has released it. Only time compares: sequence numbers
    of different chains say nothing about each other, so a fresh chain must not take over a live address.
    """
    return min((held.address_since, held.network) for held in holdings)[1]


def owners_elsewhere(ledger: Holdings, holdings: Iterable[Held]) -> dict[tuple[str, str], str]:
    """Return the network that the data path serves, by (network, address) of each of the holdings that it does not
    serve.

    A holder of both is left out: it moves between the two networks and keeps the address.
    """
    found = {}
    for held in holdings:
        everyone = ledger.holding(held.address)
        owner = owner_of(everyone)
        if owner != held.network and not any(one.network == owner and one.service == held.service for one in everyone):
            found[held.network, held.address] = owner
    return found


def _forwarding(facts: Lookups, address: str, holdings: Sequence[Held]) -> PathSet:
    owner = owner_of(holdings)
    others = sorted({held.network for held in holdings} - {owner})
    holders = [held for held in holdings if held.network == owner and held.state == "held"]
    first = min(holders, key=_rank)
    names = sorted({held.service for held in holders})
    services = [service for service in map(facts.service, names) if service is not None]
    hops = _HopTable(facts, first.family)
    unserved: list[Unserved] = []
    missing = [name for name in names if facts.service(name) is None]
    notes = {f"Service {name} does not exist: nothing is forwarded to it" for name in missing}
    notes.update(f"network {name} holds the address too, but {owner} has held it for longer" for name in others)
    for service in services:
        notes.update(_unsupported(service))
        found = backends_of(facts, service, first.family, first.network)
        placed = hops.add(found.found)
        notes.update(found.notes)
        notes.update(f"Service {service.full_name}: {problem}" for problem in placed.problems)
        problems = (*placed.problems, *found.unreachable)
        if problems and not placed.usable:
            unserved.append(_unserved(service, problems))
    next_hops, cut = hops.next_hops()
    ranges, refused = _source_ranges(services, first.family)
    return PathSet(
        address=address,
        family=first.family,
        network=first.network,
        services=tuple(names),
        frontends=_frontends(services),
        next_hops=next_hops,
        source_ranges=ranges,
        affinity=any(service.session_affinity == "ClientIP" for service in services),
        affinity_timeout=max((service.session_affinity_timeout for service in services), default=0),
        external_traffic_policy="Local" if any(s.external_traffic_policy == "Local" for s in services) else "Cluster",
        allocation=first.allocation,
        unserved=tuple(unserved),
        sharers=tuple(held.allocation for held in sorted(holders, key=_rank) if held is not first),
        notes=_bounded({*notes, *cut, *refused}),
    )


def _rank(held: Held) -> tuple[int, str]:
    return held.seq, held.service


def _unserved(service: ServiceFact, problems: Sequence[str]) -> Unserved:
    shown = "; ".join(problems[:_NAMED_IN_NOTE]) + (
        f"; and {more} more" if (more := len(problems) - _NAMED_IN_NOTE) > 0 else ""
    )
    message = shortened(f"no backend of Service {service.full_name} can be programmed: {shown}")
    return Unserved(service=service.full_name, reason=Reason.NO_USABLE_BACKEND, message=message)


def _frontends(services: Iterable[ServiceFact]) -> tuple[Frontend, ...]:
    found = {
        (service.full_name, port.protocol, port.port)
        for service in services
        for port in service.ports
        if port.protocol in SUPPORTED_PROTOCOLS
    }
    return tuple(Frontend(service=name, protocol=protocol, port=port) for name, protocol, port in sorted(found))


def _unsupported(service: ServiceFact) -> set[str]:
    return {
        f"{Reason.UNSUPPORTED_PROTOCOL}: Service {service.full_name}, port {port.port}/{port.protocol}: "
        "only TCP, UDP and SCTP are forwarded"
        for port in service.ports
        if port.protocol not in SUPPORTED_PROTOCOLS
    }


class _Placed(NamedTuple):
    """Whether any backend has a usable node, and why others have none."""

    usable: bool
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Hop:
    via: str
    pods: set[str] = field(default_factory=set)
    backends: set[tuple[str, int]] = field(default_factory=set)
    draining: set[tuple[str, int]] = field(default_factory=set)


class _HopTable:
    """Backends gathered by node, over all Services of an address."""

    def __init__(self, facts: Lookups, family: Family) -> None:
        self._facts = facts
        self._family = family
        self._hops: dict[str, _Hop] = {}

    def add(self, backends: Sequence[Backend]) -> _Placed:
        """Place one Service's backends on their nodes, as far as these can be next hops."""
        alive = [backend for backend in backends if backend.state != "out" and backend.ports]
        homeless = [backend.address for backend in alive if not backend.node]
        names = sorted({backend.node for backend in alive if backend.node})
        problems = {name: problem for name in names if (problem := self._unusable(name))}
        eligible = [backend for backend in alive if backend.node and backend.node not in problems]
        ready = [backend for backend in eligible if backend.state == "ready"]
        # Where nothing is ready, a backend on its way out is better than none.
        serving = ready or eligible
        for backend in eligible:
            hop = self._hops.setdefault(backend.node, _Hop(self._via(backend.node)))
            pairs = {(backend.address, port) for port in backend.ports}
            if backend.state == serving[0].state:
                hop.pods.add(backend.pod)
                hop.backends |= pairs
            else:
                hop.draining |= pairs
        found = list(problems.values())
        if homeless:
            shown = ", ".join(homeless[:_NAMED_IN_NOTE]) + (", …" if len(homeless) > _NAMED_IN_NOTE else "")
            found.append(f"no pod or node is known for {len(homeless)} endpoint(s): {shown}")
        return _Placed(bool(eligible), tuple(found))

    def _unusable(self, name: str) -> str:
        """Return why the node cannot be a next hop; empty where it can."""
        node = self._facts.node(name)
        if node is None:
            return f"node {name} does not exist"
        if node.excluded:
            return f"node {name} is excluded by its label and gets no traffic"
        if not internal_ip(node, self._family):
            return f"node {name} has no usable InternalIP of IPv{self._family}: it cannot be a next hop"
        return ""

    def _via(self, name: str) -> str:
        node = self._facts.node(name)
        return internal_ip(node, self._family) if node is not None else ""

    def next_hops(self) -> tuple[tuple[NextHop, ...], set[str]]:
        """Next hops sorted by node name, within the bounds, and notes on what was cut off."""
        notes = set()
        names = sorted(self._hops, key=lambda name: (-len(self._hops[name].pods), name))
        if len(names) > MAX_NEXT_HOPS:
            notes.add(f"{len(names)} nodes have backends: the {MAX_NEXT_HOPS} with most of them are next hops")
        found = []
        room = MAX_LISTED
        for name in sorted(names[:MAX_NEXT_HOPS]):
            hop = self._hops[name]
            backends, draining = _listed(hop.backends), _listed(hop.draining - hop.backends)
            if len(backends) + len(draining) > room:
                notes.add(f"only the first {MAX_LISTED} backends are listed; weights count all of them")
                backends, draining = backends[:room], draining[: max(0, room - len(backends))]
            room -= len(backends) + len(draining)
            weight = min(len(hop.pods), MAX_WEIGHT)
            found.append(NextHop(node=name, via=hop.via, weight=weight, backends=backends, draining=draining))
        return tuple(found), notes


def _listed(pairs: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    ordered = sorted(pairs, key=lambda pair: (address_order(pair[0]), pair[1]))
    return tuple(f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in ordered)


def _source_ranges(services: Sequence[ServiceFact], family: Family) -> tuple[tuple[str, ...] | None, set[str]]:
    """Return the clients of this family that every Service of the address admits (None: all), and notes.

    A Service with an invalid range admits no client.
    """
    admitted: tuple[Cidr, ...] | None = None
    notes = set()
    for service in services:
        if not service.source_ranges:
            continue
        if problem := source_ranges_problem(service):
            notes.add(f"{Reason.INVALID_SOURCE_RANGE}: Service {service.full_name}, {problem}")
        ranges = tuple(one for one in source_ranges(service.source_ranges).admitted if one.family == family)
        admitted = ranges if admitted is None else common(admitted, ranges)
    return tuple(one.text for one in admitted) if admitted is not None else None, notes


def _bounded(notes: Iterable[str]) -> tuple[str, ...]:
    ordered = sorted(notes)
    if len(ordered) <= MAX_NOTES:
        return tuple(ordered)
    return (*ordered[: MAX_NOTES - 1], f"… and {len(ordered) - MAX_NOTES + 1} more")
