"""Facts that wait a little so that one record does for two: what they wait for, and that they never wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.core.facts import FINALIZER, ServiceFact, decode_fact
from ledgerlb.eventlog.embedded.memory import MemoryLog
from ledgerlb.eventlog.port import latest
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.kube.source import Batch, Listed, Seen, Sink
from ledgerlb.watcher.observer import Observer
from ledgerlb.watcher.waits import CLAIM_SECONDS, PATIENT_SECONDS

DEADLINE = 5.0


class CountingLog(MemoryLog):
    """A log that tells how often it was appended to, and that does not answer while told so."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[list[str]] = []
        self.away = False

    async def append(self, topic: Any, records: Any) -> list[int]:
        if self.away:
            raise LogUnavailable("the log is away")
        self.appends.append([record.key for record in records])
        return await super().append(topic, records)

    async def open(self, topics: Any, start: Any = None) -> Any:
        if self.away:
            raise LogUnavailable("the log is away")
        return await super().open(topics, start)


class Script:
    """A source that says what the test says."""

    sink: Sink

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        self.sink = sink
        await stop.wait()


class Stage:
    """An observer that runs on a log, with a clock that stands until it is moved."""

    def __init__(self, log: CountingLog) -> None:
        self.log = log
        self.now = 1000.0
        self.claims: Callable[[ServiceFact], bool] = lambda fact: not fact.has_finalizer
        self.script = Script()
        self.observer = Observer(self.script, clock=lambda: self.now)
        self.observer.let_claim(self._claim)

    def _claim(self, fact: ServiceFact) -> bool:
        return self.claims(fact)

    def see(self, *facts: ServiceFact, version: int = 1, listed: Listed | None = None) -> None:
        self.script.sink(Batch("Service", tuple(Seen(fact, version) for fact in facts), listed=listed))

    def pass_time(self, seconds: float) -> None:
        """Move the clock; whoever waits looks at it again."""
        self.now += seconds
        self.observer._woken.set()

    async def until_logged(self, *names: str) -> dict[str, ServiceFact]:
        """Every fact that stands in the log, once those of these names do."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found = {key: decode_fact(key, record.value) for key, record in (await latest(self.log, FACTS)).items()}
                if all(f"Service/a/{name}" in found for name in names):
                    return found
                await asyncio.sleep(0.005)

    async def written(self, name: str) -> int:
        return sum(keys.count(f"Service/a/{name}") for keys in self.log.appends)


def service(name: str, **fields: Any) -> ServiceFact:
    return ServiceFact(namespace="a", name=name, type="LoadBalancer", ports=(), **fields)


def raw(name: str, version: int, *, finalizer: bool = True, ip: str = "") -> dict[str, Any]:
    """The Service as a write returns it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "namespace": "a",
            "name": name,
            "resourceVersion": str(version),
            **({"finalizers": [FINALIZER]} if finalizer else {}),
        },
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": [{"ip": ip}]}} if ip else {},
    }


@asynccontextmanager
async def running() -> AsyncIterator[Stage]:
    async with CountingLog() as log:
        stage = Stage(log)
        stop = asyncio.Event()
        task = asyncio.create_task(stage.observer.run(log, stop))
        async with asyncio.timeout(DEADLINE):
            while not hasattr(stage.script, "sink"):
                await asyncio.sleep(0.001)
        try:
            yield stage
        finally:
            stop.set()
            await asyncio.wait_for(task, DEADLINE)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with running() as stage:
        yield stage


async def test_a_claimed_service_is_one_record_that_has_the_finalizer(stage):
    stage.see(service("web"))
    stage.see(service("other", has_finalizer=True))
    assert "Service/a/web" not in await stage.until_logged("other")
    stage.observer.observe(raw("web", 2))
    found = await stage.until_logged("web")
    assert found["Service/a/web"].has_finalizer
    assert await stage.written("web") == 1


async def test_a_claim_that_comes_to_nothing_ends_by_itself(stage):
    stage.see(service("web"))
    stage.see(service("other", has_finalizer=True))
    await stage.until_logged("other")
    stage.pass_time(CLAIM_SECONDS + 0.1)
    assert not (await stage.until_logged("web"))["Service/a/web"].has_finalizer


async def test_changes_do_not_make_a_claim_longer(stage):
    stage.see(service("web"))
    stage.now += CLAIM_SECONDS / 2
    stage.see(service("web", labels={"edited": "once"}), version=2)
    stage.pass_time(CLAIM_SECONDS / 2 + 0.1)
    assert (await stage.until_logged("web"))["Service/a/web"].labels == {"edited": "once"}


async def test_a_claimed_service_that_goes_leaves_nothing(stage):
    stage.see(service("web"))
    stage.script.sink(Batch("Service", gone=((("a", "web"), 2),)))
    stage.see(service("other", has_finalizer=True))
    await stage.until_logged("other")
    assert stage.observer.pending == 0
    assert await stage.written("web") == 0


async def test_the_marker_stands_behind_claimed_services(stage):
    stage.see(service("web"), listed=Listed(frozenset({("a", "web")})))
    stage.script.sink(Batch("Node", listed=Listed(frozenset())))
    async with asyncio.timeout(DEADLINE):
        while "Synced//Node" not in (keys := await latest(stage.log, FACTS)):
            await asyncio.sleep(0.005)
    assert "Synced//Service" not in keys
    assert not stage.observer.synced
    stage.observer.observe(raw("web", 2))
    await stage.until_logged("web")
    async with asyncio.timeout(DEADLINE):
        while stage.observer.pending:
            await asyncio.sleep(0.005)
    flat = [key for keys in stage.log.appends for key in keys]
    assert flat.index("Service/a/web") < flat.index("Synced//Service")


async def test_a_service_that_the_log_knows_is_not_claimed(stage):
    stage.claims = lambda fact: False
    stage.see(service("web"))
    await stage.until_logged("web")
    stage.claims = lambda fact: True
    stage.see(service("web", labels={"edited": "once"}), version=2)
    async with asyncio.timeout(DEADLINE):
        while await stage.written("web") < 2:
            await asyncio.sleep(0.005)


async def test_nobody_is_claimed_while_the_log_does_not_answer(stage):
    stage.log.away = True
    stage.see(service("first", has_finalizer=True))
    async with asyncio.timeout(DEADLINE):
        while not stage.observer.failures:
            await asyncio.sleep(0.005)
    asked = []
    stage.claims = lambda fact: bool(asked.append(fact.name)) or True
    stage.see(service("web"))
    assert asked == []
    stage.log.away = False
    await stage.until_logged("first", "web")


async def test_what_nobody_waits_for_goes_with_the_next_that_somebody_does(stage):
    stage.see(service("web", has_finalizer=True))
    await stage.until_logged("web")
    stage.observer.observe(raw("web", 3, ip="192.0.2.1"), awaited=False)
    assert stage.observer.pending == 1
    stage.see(service("other", has_finalizer=True))
    await stage.until_logged("other")
    assert sorted(stage.log.appends[-1]) == ["Service/a/other", "Service/a/web"]


async def test_the_watch_that_says_the_same_changes_nothing_about_the_wait(stage):
    stage.see(service("web", has_finalizer=True))
    await stage.until_logged("web")
    stage.observer.observe(raw("web", 3, ip="192.0.2.1"), awaited=False)
    fact = decode_fact("Service/a/web", stage.observer._wanted["Service/a/web"])
    stage.see(fact, version=3)
    assert stage.observer._waits.is_patient("Service/a/web")
    stage.see(service("other", has_finalizer=True))
    await stage.until_logged("other")
    assert await stage.written("web") == 2
    assert stage.observer.pending == 0


async def test_what_nobody_waits_for_is_told_alone_in_the_end(stage):
    stage.see(service("web", has_finalizer=True))
    await stage.until_logged("web")
    stage.observer.observe(raw("web", 3, ip="192.0.2.1"), awaited=False)
    stage.pass_time(PATIENT_SECONDS + 0.1)
    async with asyncio.timeout(DEADLINE):
        while await stage.written("web") < 2:
            await asyncio.sleep(0.005)


async def test_a_change_of_somebody_else_meanwhile_is_told_at_once(stage):
    stage.see(service("web", has_finalizer=True))
    await stage.until_logged("web")
    stage.observer.observe(raw("web", 3, ip="192.0.2.1"), awaited=False)
    stage.see(service("web", has_finalizer=True, labels={"edited": "once"}), version=4)
    async with asyncio.timeout(DEADLINE):
        while await stage.written("web") < 2:
            await asyncio.sleep(0.005)


async def test_a_stop_leaves_nothing_waiting():
    async with running() as stage:
        stage.see(service("web"))
        assert stage.observer.pending == 1
        log = stage.log
    assert ["Service/a/web"] in log.appends
