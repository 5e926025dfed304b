"""Backends by node and by port: the next hops and frontends of one external address.

Each port of each Service keeps its own backends, source ranges, affinity and drain. The fabric sees addresses only, so
a node's weight counts the pods behind any port. Bounds: ``MAX_NEXT_HOPS`` nodes a path set (those with most backends,
then by name), ``MAX_WEIGHT`` a node, ``MAX_LISTED`` backends written out (weights stay exact past it).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ledgerlb.core.addresses import Family, source_ranges
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.nodes import internal_ip
from ledgerlb.core.cluster.services import SUPPORTED_PROTOCOLS, source_ranges_problem
from ledgerlb.core.paths.backend_facts import Lookups
from ledgerlb.core.paths.backends import Backend
from ledgerlb.core.paths.pathset import Frontend, LocalBackends, NextHop, in_order, join_backend
from ledgerlb.core.reasons import Reason

MAX_NEXT_HOPS: Final = 1024
MAX_WEIGHT: Final = 65535
MAX_LISTED: Final = 10_000
_NAMED_IN_NOTE: Final = 3

_Port = tuple[str, int]
"""(protocol, port) of a Service."""


class Placed(NamedTuple):
    """Whether any backend has a usable node, and why others have none."""

    usable: bool
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Local:
    """What one port has on one node, as ``ip:port``."""

    backends: set[str] = field(default_factory=set)
    draining: set[str] = field(default_factory=set)
    unready: set[str] = field(default_factory=set)

    def listed(self, node: str, room: int) -> LocalBackends:
        """Return as many of them as there is room for, the serving ones first."""
        backends = in_order(self.backends)[:room]
        draining = in_order(self.draining - self.backends)[: room - len(backends)]
        unready = in_order(self.unready - self.backends - self.draining)[: room - len(backends) - len(draining)]
        return LocalBackends(node=node, backends=backends, draining=draining, unready=unready)

    def __len__(self) -> int:
        return len(self.backends | self.draining | self.unready)


class PathTable:
    """See module. Filled Service by Service with ``add``."""

    def __init__(self, facts: Lookups, family: Family) -> None:
        self._facts = facts
        self._family = family
        self._pods: dict[str, set[str]] = {}
        """Pods that take new flows, by next hop; a node with draining pods only has none."""
        self._local: dict[tuple[str, _Port], dict[str, _Local]] = {}
        self._services: dict[str, ServiceFact] = {}

    def add(self, service: ServiceFact, backends: Sequence[Backend]) -> Placed:
        """Place one Service's backends on their nodes, as far as these can be next hops."""
        self._services[service.full_name] = service
        alive = [backend for backend in backends if backend.state != "out" and backend.targets]
        homeless = [backend.address for backend in alive if not backend.node]
        names = sorted({backend.node for backend in alive if backend.node})
        problems = {name: problem for name in names if (problem := self._unusable(name))}
        eligible = [backend for backend in alive if backend.node and backend.node not in problems]
        for port in _ports(service):
            here = [one for one in backends if one.node and any(target[:2] == port for target in one.targets)]
            self._place(service, port, here, problems)
        found = list(problems.values())
        if homeless:
            shown = ", ".join(homeless[:_NAMED_IN_NOTE]) + (", …" if len(homeless) > _NAMED_IN_NOTE else "")
            found.append(f"no pod or node is known for {len(homeless)} endpoint(s): {shown}")
        return Placed(bool(eligible), tuple(found))

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

    def _place(
        self, service: ServiceFact, port: _Port, backends: Sequence[Backend], problems: Mapping[str, str]
    ) -> None:
        """Sort the backends of one port by what they may carry. On a node that is no next hop they only drain."""
        # Where nothing is ready, a backend on its way out is better than none.
        some_are_ready = any(backend.state == "ready" and backend.node not in problems for backend in backends)
        by_node = self._local.setdefault((service.full_name, port), {})
        for backend in backends:
            local = by_node.setdefault(backend.node, _Local())
            texts = {join_backend(backend.address, target.number) for target in backend.targets if target[:2] == port}
            if backend.state == "out":
                local.unready |= texts
            elif backend.node in problems:
                local.draining |= texts
            else:
                pods = self._pods.setdefault(backend.node, set())
                if some_are_ready and backend.state == "draining":
                    local.draining |= texts
                else:
                    local.backends |= texts
                    pods.add(backend.pod)

    def result(self) -> tuple[tuple[NextHop, ...], tuple[Frontend, ...], set[str]]:
        """Return the next hops and the frontends, in order and within the bounds, and notes on them."""
        notes = set()
        nodes = sorted(self._pods, key=lambda name: (-len(self._pods[name]), name))
        if len(nodes) > MAX_NEXT_HOPS:
            notes.add(f"{len(nodes)} nodes have backends: the {MAX_NEXT_HOPS} with most of them are next hops")
        chosen = sorted(nodes[:MAX_NEXT_HOPS])
        hops = tuple(
            NextHop(node=name, via=self._via(name), weight=min(len(self._pods[name]), MAX_WEIGHT)) for name in chosen
        )
        frontends, remarks = self._frontends(set(self._pods).difference(chosen))
        return hops, frontends, notes | remarks

    def _frontends(self, cut: Container[str]) -> tuple[tuple[Frontend, ...], set[str]]:
        """Return every port with its backends, except on the nodes that were cut off."""
        found = []
        notes = set()
        room = MAX_LISTED
        for (name, port), by_node in sorted(self._local.items()):
            local = []
            for node in sorted(node for node in by_node if node not in cut):
                if len(by_node[node]) > room:
                    notes.add(f"only the first {MAX_LISTED} backends are listed; weights count all of them")
                listed = by_node[node].listed(node, room)
                room -= len(listed.backends) + len(listed.draining) + len(listed.unready)
                local.append(listed)
            frontend, problem = _frontend(self._services[name], port, self._family, local)
            notes |= problem
            found.append(frontend)
        return tuple(found), notes


def _frontend(
    service: ServiceFact, port: _Port, family: Family, local: Sequence[LocalBackends]
) -> tuple[Frontend, set[str]]:
    ranges, problem = _source_ranges(service, family)
    protocol, number = port
    fields = {
        "service": service.full_name,
        "protocol": protocol,
        "port": number,
        "source_ranges": ranges,
        "affinity": service.session_affinity == "ClientIP",
        "affinity_timeout": service.session_affinity_timeout,
        "external_traffic_policy": service.external_traffic_policy or "Cluster",
        "local": tuple(local),
    }
    return Frontend.model_validate(fields), problem


def _ports(service: ServiceFact) -> Iterable[_Port]:
    return sorted({(p.protocol, p.port) for p in service.ports if p.protocol in SUPPORTED_PROTOCOLS and p.port})


def _source_ranges(service: ServiceFact, family: Family) -> tuple[tuple[str, ...] | None, set[str]]:
    """Return the clients of this family that the Service admits (None: all), and a note on invalid ranges.

    A Service with an invalid range admits no client; the other Services of its address are not concerned.
    """
    if not service.source_ranges:
        return None, set()
    notes = set()
    if problem := source_ranges_problem(service):
        notes.add(f"{Reason.INVALID_SOURCE_RANGE}: Service {service.full_name}, {problem}")
    admitted = source_ranges(service.source_ranges).admitted
    return tuple(one.text for one in admitted if one.family == family), notes
