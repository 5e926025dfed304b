"""The observer against the in-memory log: only differences are written, nothing is missed, nothing outdated comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ledgerlb.core.cluster.facts import Gone, NamespaceFact, PodFact, Synced, decode_fact
from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.embedded.memory import MemoryLog
from ledgerlb.eventlog.port import NewRecord, latest
from ledgerlb.eventlog.topics import FACTS, Topic
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.source import Batch, ClusterSource, Listed
from ledgerlb.watcher.observer import RECHECK_SECONDS, Observer
from tests.builders.facts import service

DEADLINE = 5.0


def listed(*names: str) -> Listed:
    return Listed(frozenset(("a", name) for name in names))


async def records(log: MemoryLog) -> list[tuple[str, Any]]:
    async with await log.open([FACTS]) as reader:
        found: list[tuple[str, Any]] = []
        while len(found) < await log.end(FACTS):
            found += [(r.key, decode_fact(r.key, r.value)) for r in await reader.poll(1.0)]
        return found


async def keys(log: MemoryLog) -> list[str]:
    return [key for key, _ in await records(log)]


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def log():
    async with MemoryLog() as opened:
        yield opened


async def test_the_marker_stands_behind_what_it_covers(log):
    observer = Observer()
    await observer.start(log)
    observer.take(Batch("Service", (service("a/x"),)))
    observer.take(Batch("Service", (service("a/y"),), listed=listed("x", "y")))
    assert await observer.flush(log) == 3
    assert await keys(log) == ["Service/a/x", "Service/a/y", "Synced//Service"]


async def test_an_equal_fact_is_not_written_again(log):
    observer = Observer()
    await observer.start(log)
    observer.take(Batch("Service", (service("a/x"),), listed=listed("x")))
    await observer.flush(log)
    observer.take(Batch("Service", (service("a/x"),)))
    assert observer.pending == 0
    assert await observer.flush(log) == 0


async def test_changes_between_two_flushes_are_one_record(log):
    observer = Observer()
    await observer.start(log)
    observer.take(Batch("Service", (service("a/x"),)))
    observer.take(Batch("Service", (service("a/x", load_balancer_ip="192.0.2.1"),)))
    await observer.flush(log)
    [(key, fact)] = await records(log)
    assert (key, fact.load_balancer_ip) == ("Service/a/x", "192.0.2.1")


async def test_a_restart_over_an_unchanged_cluster_writes_nothing(log):
    for _ in range(2):
        observer = Observer()
        await observer.start(log)
        observer.take(Batch("Service", (service("a/x"),), listed=listed("x")))
        observer.take(Batch("Kubemanager", listed=Listed(frozenset(), present=False)))
        await observer.flush(log)
    assert await keys(log) == ["Service/a/x", "Synced//Service", "Synced//Kubemanager"]


async def test_deletions_missed_while_down_become_tombstones_when_the_list_ends(log):
    observer = Observer()
    await observer.start(log)
    observer.take(Batch("Service", (service("a/x"), service("a/y")), listed=listed("x", "y")))
    await observer.flush(log)

    restarted = Observer()
    await restarted.start(log)
    restarted.take(Batch("Service", (service("a/y"),)))
    assert await restarted.flush(log) == 0, "nothing is gone before the list has ended"
    restarted.take(Batch("Service", listed=listed("y")))
    await restarted.flush(log)
    assert (await records(log))[3:] == [
        ("Service/a/x", Gone(kind="Service", namespace="a", name="x")),
        ("Synced//Service", Synced(of="Service")),
    ]
    assert set(await latest(log, FACTS)) == {"Service/a/y", "Synced//Service"}


async def test_a_list_that_is_not_complete_takes_nothing_for_gone(log):
    observer = Observer()
    await observer.start(log)
    observer.take(Batch("Service", (service("a/x"), service("a/y")), listed=listed("x", "y")))
    await observer.flush(log)
    restarted = Observer()
    await restarted.start(log)
    restarted.take(Batch("Service", (service("a/y"),), listed=replace(listed("y"), complete=False)))
    assert await restarted.flush(log) == 0
    restarted.take(Batch("Service", (service("a/y"),), listed=listed("y")))
    assert await restarted.flush(log) == 2
    assert set(await latest(log, FACTS)) == {"Service/a/y", "Synced//Service"}


async def test_a_full_list_repeats_the_marker_only_if_something_stands_behind_it(log):
    observer = Observer()
    await observer.start(log)
    observer.take(Batch("Service", (service("a/x"),), listed=listed("x")))
    await observer.flush(log)
    observer.take(Batch("Service", (service("a/x"),), listed=listed("x")))
    assert observer.pending == 0
    observer.take(Batch("Service", (service("a/x", load_balancer_ip="192.0.2.1"),)))
    await observer.flush(log)
    observer.take(Batch("Service", (service("a/x", load_balancer_ip="192.0.2.1"),), listed=listed("x")))
    await observer.flush(log)
    assert await keys(log) == ["Service/a/x", "Synced//Service", "Service/a/x", "Synced//Service"]


async def test_a_kind_whose_definition_goes_is_empty_and_absent(log):
    observer = Observer()
    await observer.start(log)
    subnet = decode_fact("Subnet/a/s", b'{"kind":"Subnet","namespace":"a","name":"s","cidr":"192.0.2.0/24"}')
    observer.take(Batch("Subnet", (subnet,), listed=listed("s")))
    await observer.flush(log)
    observer.take(Batch("Subnet", listed=Listed(frozenset(), present=False)))
    await observer.flush(log)
    assert (await records(log))[2:] == [
        ("Subnet/a/s", Gone(kind="Subnet", namespace="a", name="s")),
        ("Synced//Subnet", Synced(of="Subnet", present=False)),
    ]


async def current(log: MemoryLog) -> Any:
    return decode_fact("Service/a/x", (await latest(log, FACTS))["Service/a/x"].value)


async def test_pods_become_facts_only_while_somebody_needs_them(log):
    observer = Observer()
    await observer.start(log)
    pod = PodFact(namespace="a", name="p", ips=("10.0.0.1",))
    observer.take(Batch("Pod", (pod,), listed=listed("p")))
    await observer.flush(log)
    assert await keys(log) == [], "not even the marker: who is behind a Service is not known yet"
    slice_ = decode_fact(
        "EndpointSlice/a/x-1",
        b'{"kind":"EndpointSlice","namespace":"a","name":"x-1","service":"x",'
        b'"endpoints":[{"addresses":["10.0.0.1"],"target_kind":"Pod","target_name":"p"}]}',
    )
    observer.take(Batch("Service", (service("a/x"),), listed=listed("x")))
    observer.take(Batch("EndpointSlice", (slice_,), listed=listed("x-1")))
    observer.take(Batch("Endpoints", listed=listed()))
    await observer.flush(log)
    assert (await keys(log))[-3:] == ["Synced//EndpointSlice", "Synced//Endpoints", "Synced//Pod"]
    assert "Pod/a/p" in await latest(log, FACTS)
    observer.take(Batch("Service", gone=(("a", "x"),)))
    await observer.flush(log)
    assert "Pod/a/p" not in await latest(log, FACTS)


class Flaky(MemoryLog):
    """Fails appends: before anything is written, or after ``keep`` records were."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: list[int] = []
        self.hook: Any = None

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        if self.hook:
            self.hook()
        if self.failing:
            keep = self.failing.pop(0)
            if keep:
                await super().append(topic, records[:keep])
            raise LogUnavailable("no answer")
        return await super().append(topic, records)


async def test_pods_that_concern_nobody_leave_nothing_behind(log):
    observer = Observer()
    await observer.start(log)
    for kind in ("Service", "EndpointSlice", "Pod"):
        observer.take(Batch(kind, listed=Listed(frozenset())))
    before = _held_by(observer)
    for version in range(1, 2001, 2):  # jobs come and go, on a cluster with few Services
        observer.take(Batch("Pod", (PodFact(namespace="a", name=f"job-{version}"),)))
        observer.take(Batch("Pod", gone=(("a", f"job-{version}"),)))
    assert _held_by(observer) == before


def _held_by(observer: Observer) -> int:
    return observer.pending + sum(len(kind.rows) for kind in observer._kinds.values())


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_after_a_failed_append_only_what_is_missing_is_written(kept):
    cluster = MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    for name in ("x", "y"):
        cluster.apply({"kind": "Namespace", "metadata": {"name": name}})
    async with Flaky() as log:
        log.failing = [kept]
        observer = Observer(ClusterSource(cluster))
        stop = asyncio.Event()
        task = asyncio.create_task(observer.run(log, stop))

        async def whole() -> bool:
            return "Synced//Namespace" in await latest(log, FACTS) and observer.pending == 0

        await eventually(whole)
        stop.set()
        await asyncio.wait_for(task, DEADLINE)
        written = [key for key in await keys(log) if "Namespace" in key]
        assert sorted(written) == ["Namespace//x", "Namespace//y", "Synced//Namespace"], "each once"
        assert observer.failures == 1


async def test_what_arrives_late_after_a_failed_append_is_corrected():
    now = 0.0
    async with Flaky() as log:
        observer = Observer(ClusterSource(MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))), clock=lambda: now)
        log.failing = [0]
        stop = asyncio.Event()
        task = asyncio.create_task(observer.run(log, stop))

        async def recovered() -> bool:
            return observer.failures == 1 and observer.pending == 0 and bool(await latest(log, FACTS))

        await eventually(recovered)
        ghost = Batch("Namespace", (NamespaceFact(name="ghost"),))
        other = Observer()
        other.take(ghost)
        await other.flush(log)
        now = RECHECK_SECONDS + 1
        observer.take(Batch("Namespace", (NamespaceFact(name="new"),)))

        async def corrected() -> bool:
            return {"Namespace//new"} == {key for key in await latest(log, FACTS) if key.startswith("Namespace/")}

        await eventually(corrected)
        stop.set()
        await asyncio.wait_for(task, DEADLINE)


async def test_a_change_back_while_the_append_is_under_way_is_not_lost():
    async with Flaky() as log:
        observer = Observer()
        await observer.start(log)
        observer.take(Batch("Service", (service("a/x"),)))
        await observer.flush(log)
        observer.take(Batch("Service", (service("a/x", load_balancer_ip="192.0.2.1"),)))

        def meanwhile() -> None:
            log.hook = None
            observer.take(Batch("Service", (service("a/x"),)))

        log.hook = meanwhile
        await observer.flush(log)
        assert (await current(log)).load_balancer_ip == ""


async def test_a_fact_over_the_limit_keeps_its_last_state_and_stops_nothing(log, caplog):
    observer = Observer()
    await observer.start(log)
    huge = NamespaceFact(name="huge", labels={"a": "x" * FACTS.max_bytes})
    observer.take(Batch("Namespace", (huge, NamespaceFact(name="other"))))
    await observer.flush(log)
    assert await keys(log) == ["Namespace//other"]
    assert "Namespace//huge" in caplog.text


async def test_many_facts_go_in_few_appends_and_the_marker_last():
    async with Flaky() as log:
        calls = 0

        def count() -> None:
            nonlocal calls
            calls += 1

        log.hook = count
        observer = Observer()
        await observer.start(log)
        names = [f"s{i:05}" for i in range(4500)]
        observer.take(Batch("Service", tuple(service(f"a/{n}") for n in names), listed=listed(*names)))
        assert await observer.flush(log) == 4501
        assert calls == 3
        assert (await keys(log))[-1] == "Synced//Service"
