"""Which Pods become facts: those with secondary interfaces, and those behind a LoadBalancer Service.

A cluster has many Pods, and LedgerLB needs few of them. The filter keeps all as small facts, and passes a Pod on only
while something needs it. So a change of a Service, an EndpointSlice or Endpoints may add a Pod or take it back.

A Pod is behind a Service if an endpoint refers to it, or if it has the address of a hand-written endpoint that refers
to no Pod. The filter passes the full list of Pods on after the lists of the other three kinds: only then does it know
which Pods are behind a Service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from ledgerlb.core.addresses import canonical
from ledgerlb.core.cluster.facts import AnyFact, Endpoint, EndpointsFact, EndpointSliceFact, PodFact, ServiceFact
from ledgerlb.core.index import Dependencies, Index
from ledgerlb.kube.source import Batch, Listed, Name

_LISTS: Final = ("EndpointSlice", "Endpoints")
"""Kinds that list endpoints."""
_FIRST: Final = frozenset({"Service", *_LISTS})

Claim = Name | str
"""How an endpoint names its Pod: by name, or by an address."""
_Source = tuple[str, Name]
"""The kind and name of an object that lists endpoints."""


class PodFilter:
    """See module. Pass every batch in order."""

    def __init__(self) -> None:
        self._balanced: set[Name] = set()
        self._sources: dict[_Source, tuple[Name, frozenset[Claim]]] = {}
        """EndpointSlice or Endpoints -> (its Service, the Pods that it claims)"""
        self._of_service: Index[Name, _Source, None] = Index()
        self._wanted: Counter[Claim] = Counter()
        """How many sources of LoadBalancer Services make a claim."""
        self._pods: dict[Name, AnyFact] = {}
        self._addresses: Dependencies[Name, str] = Dependencies()
        """The addresses of each Pod."""
        self._passed: set[Name] = set()
        self._awaited = set(_FIRST)
        self._held_back: Listed | None = None

    def pass_on(self, batch: Batch) -> tuple[Batch, ...]:
        """Return the batch, then a batch of Pods if it changes which are needed. A batch of Pods shrinks to those."""
        if batch.kind == "Pod":
            return self._pod_batch(batch)
        touched: set[Claim] = set()
        if batch.kind == "Service":
            self._services(batch, touched)
        elif batch.kind in _LISTS:
            self._endpoints(batch, touched)
        else:
            return (batch,)
        if batch.listed is not None:
            self._awaited.discard(batch.kind)
        follow = self._follow(touched)
        return (batch, follow) if follow is not None else (batch,)

    def _services(self, batch: Batch, touched: set[Claim]) -> None:
        for fact in batch.upserts:
            if isinstance(fact, ServiceFact):
                self._balance((fact.namespace, fact.name), fact.type == "LoadBalancer", touched)
        for name in batch.gone:
            self._balance(name, balanced=False, touched=touched)
        if batch.listed is not None and batch.listed.complete:
            for name in sorted(self._balanced - batch.listed.names):
                self._balance(name, balanced=False, touched=touched)

    def _balance(self, service: Name, balanced: bool, touched: set[Claim]) -> None:
        if balanced == (service in self._balanced):
            return
        (self._balanced.add if balanced else self._balanced.discard)(service)
        for entry in sorted(self._of_service.of(service)):
            self._count(self._sources[entry][1], 1 if balanced else -1, touched)

    def _endpoints(self, batch: Batch, touched: set[Claim]) -> None:
        for fact in batch.upserts:
            name = (fact.namespace, fact.name)
            self._source((batch.kind, name), _claims_of(fact), touched)
        gone = list(batch.gone)
        if batch.listed is not None and batch.listed.complete:
            gone += sorted(
                name for kind, name in self._sources if kind == batch.kind and name not in batch.listed.names
            )
        for name in gone:
            self._source((batch.kind, name), None, touched)

    def _source(self, source: _Source, after: tuple[Name, frozenset[Claim]] | None, touched: set[Claim]) -> None:
        before = self._sources.pop(source, None)
        if before is not None and before == after:
            self._sources[source] = before
            return
        if before is not None:
            self._of_service.discard(before[0], source)
            if before[0] in self._balanced:
                self._count(before[1], -1, touched)
        if after is not None:
            self._sources[source] = after
            self._of_service.add(after[0], source)
            if after[0] in self._balanced:
                self._count(after[1], 1, touched)

    def _count(self, claims: frozenset[Claim], change: int, touched: set[Claim]) -> None:
        for claim in claims:
            self._wanted[claim] += change
            if not self._wanted[claim]:
                del self._wanted[claim]
        touched |= claims

    def _needed(self, name: Name) -> bool:
        fact = self._pods.get(name)
        return fact is not None and (
            name in self._wanted
            or any(address in self._wanted for address in _addresses_of(fact))
            or (isinstance(fact, PodFact) and bool(fact.network_status))
        )

    def _follow(self, touched: set[Claim]) -> Batch | None:
        """Return the Pods whose need has changed, and the full list that had to wait."""
        upserts, gone = [], []
        names: set[Name] = set()
        for claim in touched:
            names.update(self._addresses.dependents_on(claim) if isinstance(claim, str) else (claim,))
        for name in sorted(names):
            if self._needed(name) == (name in self._passed):
                continue
            if name in self._passed:
                self._passed.discard(name)
                gone.append(name)
            else:
                self._passed.add(name)
                upserts.append(self._pods[name])
        listed = self._listed()
        return Batch("Pod", tuple(upserts), tuple(gone), listed) if upserts or gone or listed else None

    def _listed(self) -> Listed | None:
        if self._awaited or self._held_back is None:
            return None
        held, self._held_back = self._held_back, None
        # Include the Pods that came after the list and before its turn.
        return replace(held, names=frozenset(self._passed))

    def _pod_batch(self, batch: Batch) -> tuple[Batch, ...]:
        upserts, gone = [], []
        for fact in batch.upserts:
            name = (fact.namespace, fact.name)
            self._keep(name, fact)
            if self._needed(name):
                self._passed.add(name)
                upserts.append(fact)
            elif name in self._passed:
                self._passed.discard(name)
                gone.append(name)
        whole = batch.listed is not None and batch.listed.complete
        lost = sorted(self._pods.keys() - batch.listed.names) if batch.listed and whole else []
        for name in [*batch.gone, *lost]:
            self._keep(name, None)
            if name in self._passed:
                self._passed.discard(name)
                gone.append(name)
        if batch.listed is not None:
            self._held_back = batch.listed
        listed = self._listed()
        return (Batch("Pod", tuple(upserts), tuple(gone), listed),) if upserts or gone or listed else ()

    def _keep(self, name: Name, fact: AnyFact | None) -> None:
        self._pods.pop(name, None)
        if fact is not None:
            self._pods[name] = fact
        self._addresses.assign(name, _addresses_of(fact))


def _addresses_of(fact: AnyFact | None) -> Iterable[str]:
    """Return the distinct addresses of a Pod."""
    return {canonical(ip) for ip in fact.ips} if isinstance(fact, PodFact) else ()


def _claims_of(fact: AnyFact) -> tuple[Name, frozenset[Claim]] | None:
    """Return the Service of a source and the Pods that it claims; None for any other fact."""
    match fact:
        case EndpointSliceFact():
            service, listed = fact.service, fact.endpoints
        case EndpointsFact():
            service, listed = fact.name, tuple(entry for subset in fact.subsets for entry in subset.endpoints)
        case _:
            return None
    claims = (_claim(fact.namespace, entry) for entry in listed)
    return (fact.namespace, service), frozenset(claim for claim in claims if claim)


def _claim(namespace: str, endpoint: Endpoint) -> Claim:
    if endpoint.target_kind == "Pod" and endpoint.target_name:
        return (endpoint.target_namespace or namespace, endpoint.target_name)
    return canonical(endpoint.addresses[0]) if endpoint.addresses else ""
