"""The facts that path sets depend on, folded, and which of them were looked at."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol, TypeVar

from ledgerlb.core.facts import (
    KINDS,
    EndpointsFact,
    EndpointSliceFact,
    FactRecord,
    Gone,
    NodeFact,
    PodFact,
    ServiceFact,
    Synced,
    fact_key,
)

_Fact = TypeVar("_Fact", PodFact, EndpointSliceFact)


class BackendFacts(Protocol):
    """What the planner reads of the cluster. Services and pods are named ``namespace/name``."""

    def service(self, name: str) -> ServiceFact | None:
        """The Service, None where it is not there."""
        ...

    def slices_of(self, service: str) -> Iterable[EndpointSliceFact]:
        """Every EndpointSlice of the Service, in any order."""
        ...

    def endpoints_of(self, service: str) -> EndpointsFact | None:
        """The raw Endpoints of the Service's name (those that no slice mirrors)."""
        ...

    def pod(self, name: str) -> PodFact | None:
        """The Pod, None where it is not known."""
        ...

    def pods_at(self, address: str) -> Iterable[PodFact]:
        """Pods with the (canonical) address among their primary addresses, in any order."""
        ...

    def node(self, name: str) -> NodeFact | None:
        """The Node, None where it is not known."""
        ...


class BackendView:
    """A fold of the facts topic, restricted to what path sets depend on."""

    def __init__(self) -> None:
        self._services: dict[str, ServiceFact] = {}
        self._slices: dict[str, EndpointSliceFact] = {}
        self._slices_of: dict[str, dict[str, EndpointSliceFact]] = {}
        self._endpoints: dict[str, EndpointsFact] = {}
        self._pods: dict[str, PodFact] = {}
        self._pods_at: dict[str, dict[str, PodFact]] = {}
        self._nodes: dict[str, NodeFact] = {}
        self._unlisted = set(KINDS)

    def take(self, record: FactRecord) -> frozenset[str]:
        """Fold one fact; returns the keys (see ``Lookups``) whose answer may have changed."""
        if isinstance(record, Synced):
            self._unlisted.discard(record.of)
            return frozenset()
        if isinstance(record, Gone):
            return self._forget(record)
        name = record.full_name
        if isinstance(record, ServiceFact):
            self._services[name] = record
            return frozenset((_key("Service", name),))
        if isinstance(record, EndpointSliceFact):
            return self._swap_slice(name, record)
        if isinstance(record, EndpointsFact):
            self._endpoints[name] = record
            return frozenset((_key("Service", name),))
        if isinstance(record, PodFact):
            return self._swap_pod(name, record)
        if isinstance(record, NodeFact):
            old, self._nodes[name] = self._nodes.get(name), record
            same = old is not None and (old.addresses, old.excluded) == (record.addresses, record.excluded)
            return frozenset() if same else frozenset((_key("Node", name),))
        return frozenset()

    def _forget(self, gone: Gone) -> frozenset[str]:
        name = gone.full_name
        match gone.kind:
            case "Service":
                self._services.pop(name, None)
            case "Endpoints":
                self._endpoints.pop(name, None)
                return frozenset((_key("Service", name),))
            case "Node":
                self._nodes.pop(name, None)
            case "EndpointSlice":
                return self._swap_slice(name, None)
            case "Pod":
                return self._swap_pod(name, None)
        return frozenset((_key(gone.kind, name),))

    def _swap_slice(self, name: str, fact: EndpointSliceFact | None) -> frozenset[str]:
        touched = set()
        old = self._slices.pop(name, None)
        if old is not None:
            owner = f"{old.namespace}/{old.service}"
            _discard(self._slices_of, owner, name)
            touched.add(_key("Service", owner))
        if fact is not None:
            owner = f"{fact.namespace}/{fact.service}"
            self._slices[name] = fact
            self._slices_of.setdefault(owner, {})[name] = fact
            touched.add(_key("Service", owner))
        return frozenset(touched)

    def _swap_pod(self, name: str, fact: PodFact | None) -> frozenset[str]:
        old = self._pods.pop(name, None)
        before = _canonical(old.ips) if old is not None else ()
        after = _canonical(fact.ips) if fact is not None else ()
        for address in before:
            _discard(self._pods_at, address, name)
        if fact is not None:
            self._pods[name] = fact
            for address in after:
                self._pods_at.setdefault(address, {})[name] = fact
        return frozenset((_key("Pod", name), *(_key("Address", address) for address in (*before, *after))))

    def synced(self) -> bool:
        """Whether every kind has been listed once."""
        return not self._unlisted

    def service(self, name: str) -> ServiceFact | None:
        """See BackendFacts."""
        return self._services.get(name)

    def slices_of(self, service: str) -> Iterable[EndpointSliceFact]:
        """See BackendFacts."""
        return self._slices_of.get(service, {}).values()

    def endpoints_of(self, service: str) -> EndpointsFact | None:
        """See BackendFacts."""
        return self._endpoints.get(service)

    def pod(self, name: str) -> PodFact | None:
        """See BackendFacts."""
        return self._pods.get(name)

    def pods_at(self, address: str) -> Iterable[PodFact]:
        """See BackendFacts."""
        return self._pods_at.get(address, {}).values()

    def node(self, name: str) -> NodeFact | None:
        """See BackendFacts."""
        return self._nodes.get(name)


class Lookups:
    """BackendFacts that remembers what it was asked.

    ``keys`` name every answer, present or not: ``Service/ns/name`` (with its slices and Endpoints), ``Pod/ns/name``,
    ``Node//name``, ``Address//<ip>``.
    """

    def __init__(self, facts: BackendFacts) -> None:
        self._facts = facts
        self.keys: set[str] = set()

    def service(self, name: str) -> ServiceFact | None:
        """See BackendFacts."""
        self.keys.add(_key("Service", name))
        return self._facts.service(name)

    def slices_of(self, service: str) -> Iterable[EndpointSliceFact]:
        """See BackendFacts."""
        self.keys.add(_key("Service", service))
        return self._facts.slices_of(service)

    def endpoints_of(self, service: str) -> EndpointsFact | None:
        """See BackendFacts."""
        self.keys.add(_key("Service", service))
        return self._facts.endpoints_of(service)

    def pod(self, name: str) -> PodFact | None:
        """See BackendFacts."""
        self.keys.add(_key("Pod", name))
        return self._facts.pod(name)

    def pods_at(self, address: str) -> Iterable[PodFact]:
        """See BackendFacts."""
        self.keys.add(_key("Address", address))
        return self._facts.pods_at(address)

    def node(self, name: str) -> NodeFact | None:
        """See BackendFacts."""
        self.keys.add(_key("Node", name))
        return self._facts.node(name)


@lru_cache(maxsize=1 << 16)
def parsed(address: str) -> IPv4Address | IPv6Address | None:
    """The address, None for text that is none."""
    try:
        return ip_address(address) if "%" not in address else None  # a zone means nothing on another machine
    except ValueError:
        return None


def _canonical(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(found) for found in map(parsed, addresses) if found is not None))


def _discard(table: dict[str, dict[str, _Fact]], owner: str, name: str) -> None:
    members = table[owner]
    del members[name]
    if not members:
        del table[owner]


def _key(kind: str, name: str) -> str:
    return fact_key(kind, *name.split("/", 1)) if "/" in name else fact_key(kind, "", name)
