"""Which Pods become facts: those with secondary interfaces, and those behind a LoadBalancer Service.

A cluster has many Pods and most concern nobody here. All are watched, kept small (as facts), and let through only
while somebody needs them; so a Pod may pass, or be taken back, because a Service or an EndpointSlice changed. The
full list of Pods is passed on only after those of Services and EndpointSlices: before, nobody knows who is behind
what.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from ledgerlb.core.facts import EndpointSliceFact, PodFact, ServiceFact
from ledgerlb.kube.source import Batch, Listed, Name, Seen

_FIRST: Final = frozenset({"Service", "EndpointSlice"})


class PodFilter:
    """Feed it every batch in order; it answers with what goes on."""

    def __init__(self) -> None:
        self._balanced: set[Name] = set()
        self._slices: dict[Name, tuple[Name, frozenset[Name]]] = {}
        """EndpointSlice -> (its Service, the Pods that it names)"""
        self._of_service: dict[Name, set[Name]] = {}
        self._wanted: Counter[Name] = Counter()
        """How many slices of LoadBalancer Services name a Pod."""
        self._pods: dict[Name, Seen] = {}
        self._passed: set[Name] = set()
        self._awaited = set(_FIRST)
        self._held_back: Listed | None = None

    def pass_on(self, batch: Batch) -> tuple[Batch, ...]:
        """The batch itself, then one of Pods where it changes which are needed; a batch of Pods is reduced to
        those.
        """
        if batch.kind == "Pod":
            return self._pod_batch(batch)
        touched: set[Name] = set()
        if batch.kind == "Service":
            self._services(batch, touched)
        elif batch.kind == "EndpointSlice":
            self._endpoint_slices(batch, touched)
        else:
            return (batch,)
        if batch.listed is not None:
            self._awaited.discard(batch.kind)
        follow = self._follow(touched)
        return (batch, follow) if follow is not None else (batch,)

    def _services(self, batch: Batch, touched: set[Name]) -> None:
        for seen in batch.upserts:
            if isinstance(seen.fact, ServiceFact):
                self._balance((seen.fact.namespace, seen.fact.name), seen.fact.type == "LoadBalancer", touched)
        for name, _ in batch.gone:
            self._balance(name, balanced=False, touched=touched)
        if batch.listed is not None and batch.listed.complete:
            for name in sorted(self._balanced - batch.listed.names):
                self._balance(name, balanced=False, touched=touched)

    def _balance(self, service: Name, balanced: bool, touched: set[Name]) -> None:
        if balanced == (service in self._balanced):
            return
        (self._balanced.add if balanced else self._balanced.discard)(service)
        for entry in sorted(self._of_service.get(service, ())):
            self._count(self._slices[entry][1], 1 if balanced else -1, touched)

    def _endpoint_slices(self, batch: Batch, touched: set[Name]) -> None:
        for seen in batch.upserts:
            fact = seen.fact
            if isinstance(fact, EndpointSliceFact):
                pods = frozenset(
                    (entry.target_namespace or fact.namespace, entry.target_name)
                    for entry in fact.endpoints
                    if entry.target_kind == "Pod" and entry.target_name
                )
                self._slice((fact.namespace, fact.name), (fact.namespace, fact.service), pods, touched)
        gone = [name for name, _ in batch.gone]
        if batch.listed is not None and batch.listed.complete:
            gone += sorted(self._slices.keys() - batch.listed.names)
        for name in gone:
            self._slice(name, None, frozenset(), touched)

    def _slice(self, name: Name, service: Name | None, pods: frozenset[Name], touched: set[Name]) -> None:
        before = self._slices.pop(name, None)
        if before == (service, pods):
            self._slices[name] = before
            return
        if before is not None:
            self._of_service[before[0]].discard(name)
            if not self._of_service[before[0]]:
                del self._of_service[before[0]]
            if before[0] in self._balanced:
                self._count(before[1], -1, touched)
        if service is not None:
            self._slices[name] = (service, pods)
            self._of_service.setdefault(service, set()).add(name)
            if service in self._balanced:
                self._count(pods, 1, touched)

    def _count(self, pods: frozenset[Name], change: int, touched: set[Name]) -> None:
        for pod in pods:
            self._wanted[pod] += change
            if not self._wanted[pod]:
                del self._wanted[pod]
        touched |= pods

    def _needed(self, name: Name) -> bool:
        seen = self._pods.get(name)
        return seen is not None and (
            name in self._wanted or (isinstance(seen.fact, PodFact) and bool(seen.fact.network_status))
        )

    def _follow(self, touched: set[Name]) -> Batch | None:
        """Pods that are needed now and were not, or the other way round; and the list that had to wait."""
        upserts, gone = [], []
        for name in sorted(touched):
            if self._needed(name) == (name in self._passed):
                continue
            if name in self._passed:
                self._passed.discard(name)
                gone.append((name, 0))
            else:
                self._passed.add(name)
                upserts.append(self._pods[name])
        listed = self._listed()
        return Batch("Pod", tuple(upserts), tuple(gone), listed) if upserts or gone or listed else None

    def _listed(self) -> Listed | None:
        if self._awaited or self._held_back is None:
            return None
        held, self._held_back = self._held_back, None
        # Also those that came after the list and before its turn.
        return replace(held, names=frozenset(self._passed))

    def _pod_batch(self, batch: Batch) -> tuple[Batch, ...]:
        upserts, gone = [], []
        for seen in batch.upserts:
            name = (seen.fact.namespace, seen.fact.name)
            self._pods[name] = seen
            if self._needed(name):
                self._passed.add(name)
                upserts.append(seen)
            elif name in self._passed:
                self._passed.discard(name)
                gone.append((name, seen.version))
        whole = batch.listed is not None and batch.listed.complete
        lost = [(name, 0) for name in sorted(self._pods.keys() - batch.listed.names)] if batch.listed and whole else []
        for name, version in [*batch.gone, *lost]:
            self._pods.pop(name, None)
            if name in self._passed:
                self._passed.discard(name)
                gone.append((name, version))
        if batch.listed is not None:
            self._held_back = batch.listed
        listed = self._listed()
        return (Batch("Pod", tuple(upserts), tuple(gone), listed),) if upserts or gone or listed else ()
