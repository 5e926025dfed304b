"""A source that is guarded: its identity first, then what its lists leave out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from ledgerlb.core.cluster.facts import (
    AddressPoolFact,
    NetworkAttachmentDefinitionFact,
    NodeFact,
    ServiceFact,
    SourceFact,
    encode_fact,
    key_of,
)
from ledgerlb.core.errors import ClusterUnavailable
from ledgerlb.kube.deletion_guard import DeletionGuard
from ledgerlb.kube.source import Batch, Listed, Name
from ledgerlb.kube.writer import Write
from ledgerlb.watcher.guarded import RELIST_SECONDS, GuardedSource
from ledgerlb.watcher.source_identity import AdmittedWriter, WrongSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICES = [ServiceFact(namespace="a", name=f"s{number}", type="LoadBalancer") for number in range(10)]
NODES = [NodeFact(name=f"n{number}") for number in range(3)]


class Observed:
    """What an observer would hold."""

    def __init__(self, *facts: Any) -> None:
        self.facts = {key_of(fact): fact for fact in facts}

    def known(self, kind: str) -> dict[str, bytes]:
        return {key: encode_fact(fact) for key, fact in self.facts.items() if fact.kind == kind}

    def take(self, batch: Batch) -> None:
        for entry in batch.upserts:
            self.facts[key_of(entry)] = entry
        for namespace, name in batch.gone:
            self.facts.pop(f"{batch.kind}/{namespace}/{name}", None)
        if batch.listed is not None and batch.listed.complete:
            for key, fact in list(self.facts.items()):
                if fact.kind == batch.kind and (fact.namespace, fact.name) not in batch.listed.names:
                    del self.facts[key]

    def names(self, kind: str) -> list[str]:
        return sorted(fact.name for fact in self.facts.values() if fact.kind == kind)


class Source:
    def __init__(self, identity: str = "cluster:1") -> None:
        self.identity = identity
        self.asked: list[tuple[str, bool]] = []
        self.tell: Any = None
        self.failures = 0

    async def identify(self, known: str, renew: bool) -> str:
        self.asked.append((known, renew))
        if self.failures:
            self.failures -= 1
            raise ClusterUnavailable("no answer")
        return self.identity

    async def run(self, sink: Any, stop: asyncio.Event) -> None:
        self.tell = sink
        await stop.wait()


class Rig:
    def __init__(self, *facts: Any, identity: str = "cluster:1", adopt: bool = False) -> None:
        self.now = 0.0
        self.observed = Observed(*facts)
        self.source = Source(identity)
        self.guard = DeletionGuard(600.0, lambda: self.now)
        self.guarded = GuardedSource(self.source, self.guard, lambda: NOW, identify=self.source.identify, adopt=adopt)
        self.guarded.known = self.observed.known
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self.task = asyncio.create_task(self.guarded.run(self.observed.take, self.stop))
        async with asyncio.timeout(10):
            while self.source.tell is None and not self.task.done():
                await asyncio.sleep(0.01)
        if self.task.done():
            self.task.result()

    async def end(self) -> None:
        self.stop.set()
        if self.task is not None:
            await asyncio.wait([self.task], timeout=10)

    def list(self, kind: str, *facts: Any, complete: bool = True) -> None:
        names: frozenset[Name] = frozenset((fact.namespace, fact.name) for fact in facts)
        self.source.tell(Batch(kind, tuple(facts), listed=Listed(names, complete=complete)))


def known(identity: str) -> SourceFact:
    return SourceFact(identity=identity, by="x", created="2025-01-01T00:00:00Z")


async def test_a_source_that_nothing_is_known_of_is_recorded():
    rig = Rig()
    await rig.begin()
    fact = rig.observed.facts["Source//identity"]
    assert (fact.identity, fact.replaces, fact.created) == ("cluster:1", "", "2026-01-01T00:00:00Z")
    assert fact.by
    assert not rig.guarded.admitted.is_set(), "a folder has no objects yet"
    rig.guarded._pass(Batch("Node", listed=Listed(frozenset())))
    assert rig.guarded.admitted.is_set()
    await rig.end()


async def test_the_known_source_is_not_recorded_again():
    rig = Rig(known("cluster:1"))
    await rig.begin()
    assert rig.observed.facts["Source//identity"] == known("cluster:1")
    await rig.end()


async def test_another_source_is_refused_before_anything_is_told_or_written():
    rig = Rig(known("cluster:2"), *SERVICES)
    with pytest.raises(WrongSource, match="cluster:1: is not the source of this log, which is cluster:2"):
        await rig.begin()
    assert rig.source.tell is None
    assert not rig.guarded.admitted.is_set()


async def test_another_source_is_adopted_where_it_is_said():
    rig = Rig(known("cluster:2"), adopt=True)
    await rig.begin()
    assert rig.observed.facts["Source//identity"].replaces == "cluster:2"
    await rig.end()


async def test_a_source_that_does_not_answer_is_asked_again():
    rig = Rig()
    rig.source.failures = 2
    await rig.begin()
    assert rig.source.asked == [("", False)] * 3
    await rig.end()


async def test_writers_wait_until_the_source_is_known(monkeypatch):
    written = []

    class Writer:
        async def write(self, write: Write) -> None:
            written.append(write)

    admitted = asyncio.Event()
    writer = AdmittedWriter(Writer(), admitted)
    waiting = asyncio.create_task(writer.write("w"))
    await asyncio.sleep(0.05)
    assert not written
    admitted.set()
    await asyncio.wait_for(waiting, 10)
    assert written == ["w"]
    monkeypatch.setattr("ledgerlb.watcher.source_identity.WRITE_SECONDS", 0.01)
    with pytest.raises(ClusterUnavailable):
        await AdmittedWriter(Writer(), asyncio.Event()).write("w")


@pytest.mark.parametrize("nodes_first", [True, False])
async def test_an_empty_cluster_takes_nothing_away_until_the_grace_is_over(nodes_first):
    rig = Rig(known("cluster:1"), *SERVICES, *NODES)
    await rig.begin()
    for kind in ("Node", "Service") if nodes_first else ("Service", "Node"):
        rig.list(kind)
    assert len(rig.observed.names("Service")) == 10
    assert len(rig.observed.names("Node")) == 3
    rig.now = 599.0
    rig.guarded.look()
    assert len(rig.observed.names("Service")) == 10
    rig.now = 600.0
    rig.guarded.look()
    assert rig.observed.names("Service") == []
    assert rig.observed.names("Node") == []
    await rig.end()


async def test_a_later_list_after_the_grace_takes_away_what_is_still_missing():
    rig = Rig(known("cluster:1"), *SERVICES)
    await rig.begin()
    rig.list("Service")
    rig.now = 600.0
    rig.list("Service", *SERVICES[:3])
    assert rig.observed.names("Service") == ["s0", "s1", "s2"]
    await rig.end()


async def test_what_comes_back_stays_and_other_kinds_get_time_to_come_back():
    rig = Rig(known("cluster:1"), *SERVICES, *NODES)
    await rig.begin()
    rig.list("Service")
    rig.list("Node")
    rig.list("Service", *SERVICES)
    assert rig.guard.withheld is None
    rig.guarded.look()
    assert len(rig.observed.names("Node")) == 3
    rig.list("Node", *NODES[:2])
    rig.now = RELIST_SECONDS
    rig.guarded.look()
    assert rig.observed.names("Node") == ["n0", "n1"]
    assert len(rig.observed.names("Service")) == 10
    await rig.end()


async def test_services_that_come_back_one_by_one_end_the_incident():
    rig = Rig(known("cluster:1"), *SERVICES)
    await rig.begin()
    rig.list("Service")
    for fact in SERVICES[:8]:
        rig.source.tell(Batch("Service", (fact,)))
    rig.guarded.look()
    assert rig.guard.withheld is None
    rig.now = RELIST_SECONDS
    rig.guarded.look()
    assert rig.observed.names("Service") == [f"s{number}" for number in range(8)]
    await rig.end()


async def test_single_deletions_and_small_lists_pass():
    rig = Rig(known("cluster:1"), *SERVICES, *NODES)
    await rig.begin()
    rig.list("Node", *NODES[:2])
    rig.list("Service", *SERVICES[2:])
    assert rig.observed.names("Node") == ["n0", "n1"]
    assert len(rig.observed.names("Service")) == 8
    rig.source.tell(Batch("Service", gone=(("a", "s5"),)))
    assert len(rig.observed.names("Service")) == 7
    rig.list("Node", *NODES[:1])
    assert rig.observed.names("Node") == ["n0"]
    await rig.end()


async def test_services_that_are_no_load_balancers_do_not_count():
    internal = [ServiceFact(namespace="a", name=f"i{number}") for number in range(50)]
    rig = Rig(known("cluster:1"), *SERVICES, *internal)
    await rig.begin()
    rig.list("Service", *SERVICES)
    assert len(rig.observed.names("Service")) == 10
    await rig.end()


HELD = [service.model_copy(update={"has_finalizer": True}) for service in SERVICES]


def vanish(rig: Rig, *numbers: int) -> None:
    for number in numbers:
        rig.source.tell(Batch("Service", gone=(("a", f"s{number}"),)))


async def test_a_loss_that_comes_as_events_is_held_back_too():
    rig = Rig(*HELD)
    await rig.begin()
    rig.list("Service", *HELD)
    vanish(rig, *range(8))
    assert rig.observed.names("Service") == [f"s{number}" for number in range(4, 10)], "the first four are gone"
    assert rig.guard.withheld is not None
    assert len(rig.guard.withheld.gone) == 8
    rig.source.tell(Batch("Service", (HELD[5],)))
    rig.now = 601.0
    rig.guarded.look()
    assert rig.observed.names("Service") == ["s5", "s8", "s9"], "one came back; the others go after the grace period"
    await rig.end()


async def test_services_that_vanish_slowly_or_in_order_go_at_once():
    rig = Rig(*HELD)
    await rig.begin()
    rig.list("Service", *HELD)
    for number in range(4):
        vanish(rig, number)
        rig.now += 11.0
    vanish(rig, 4)
    assert rig.observed.names("Service") == [f"s{number}" for number in range(5, 10)]
    for number in range(5, 10):
        rig.source.tell(Batch("Service", (HELD[number].model_copy(update={"deleting": True}),)))
    vanish(rig, *range(5, 10))
    assert rig.observed.names("Service") == []
    assert rig.guard.withheld is None
    await rig.end()


async def test_services_without_an_address_go_at_once():
    rig = Rig(*SERVICES)
    await rig.begin()
    rig.list("Service", *SERVICES)
    vanish(rig, *range(10))
    assert rig.observed.names("Service") == []
    await rig.end()


NAD = NetworkAttachmentDefinitionFact(namespace="net", name="x")
POOL = AddressPoolFact(name="p")


@pytest.mark.parametrize(("lost", "network"), [(NAD, "net/x"), (POOL, "pool/p")])
@pytest.mark.parametrize(("holders", "stays"), [(5, True), (4, False)])
async def test_a_network_that_would_strand_many_waits(lost, network, holders, stays):
    rig = Rig(*SERVICES, NAD, POOL)
    rig.guard.holders = lambda: {network: {("a", f"s{number}") for number in range(holders)}}
    await rig.begin()
    rig.list("Service", *SERVICES)
    rig.list(lost.kind)
    assert rig.observed.names(lost.kind) == ([lost.name] if stays else [])
    if stays:
        assert rig.guard.withheld.networks == (network,)
        assert len(rig.guard.withheld.gone) == 5
        rig.now = 600.0
        rig.guarded.look()
        assert rig.observed.names(lost.kind) == []
        assert rig.guard.withheld is None
    await rig.end()


async def test_networks_wait_until_their_holders_are_known():
    rig = Rig(*SERVICES, NAD)
    holders = None
    rig.guard.holders = lambda: holders
    await rig.begin()
    rig.list("NetworkAttachmentDefinition")
    rig.list("Service", *SERVICES)
    rig.guarded.look()
    assert rig.observed.names("NetworkAttachmentDefinition") == ["x"]
    assert rig.guard.withheld is None
    holders = {"net/x": {("a", "s1")}}
    rig.guarded.look()
    assert rig.observed.names("NetworkAttachmentDefinition") == []
    await rig.end()


async def test_a_network_that_comes_back_was_never_gone():
    rig = Rig(*SERVICES, NAD)
    rig.guard.holders = lambda: {"net/x": {("a", f"s{number}") for number in range(10)}}
    await rig.begin()
    rig.list("Service", *SERVICES)
    rig.list("NetworkAttachmentDefinition")
    assert rig.guard.withheld is not None
    rig.list("NetworkAttachmentDefinition", NAD)
    rig.now = 1000.0
    rig.guarded.look()
    assert rig.observed.names("NetworkAttachmentDefinition") == ["x"]
    assert rig.guard.withheld is None
    await rig.end()
