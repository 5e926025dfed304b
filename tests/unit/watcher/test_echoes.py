"""Facts in which a Service only shows something else wait for others, for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.eventlog.embedded.memory import MemoryLog
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import FACTS, Topic
from ledgerlb.kube.source import Batch, Sink
from ledgerlb.watcher.echoes import ECHO_SECONDS
from ledgerlb.watcher.observer import Observer
from tests.builders import facts


class CountingLog(MemoryLog):
    """Keeps the keys of each append."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[list[str]] = []

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        self.appends.append([record.key for record in records])
        return await super().append(topic, records)


class FedSource:
    """A source that says what the test hands to its sink."""

    sink: Sink | None = None

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        self.sink = sink
        await stop.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0)


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def shown(fact: ServiceFact, address: str) -> ServiceFact:
    return fact.model_copy(update={"ingress": (address,), "has_finalizer": True})


@pytest.fixture
async def followed():
    """An observer at rest that runs, its clock, and the names of the Services of each append since."""
    clock, stop, source = Seconds(), asyncio.Event(), FedSource()
    observer = Observer(source, clock=clock)
    async with CountingLog() as log:
        running = asyncio.create_task(observer.run(log, stop))
        await until(lambda: source.sink is not None)
        web, api = facts.service("a/web"), facts.service("a/api")
        source.sink(Batch("Service", (web, api)))
        await until(lambda: not observer.pending)
        log.appends.clear()
        yield source, observer, log, clock, web, api
        stop.set()
        await running


async def test_what_only_shows_something_else_joins_the_next_fact(followed):
    source, observer, log, _, web, _ = followed
    source.sink(Batch("Service", (shown(web, "192.0.2.2"),)))
    await turns()
    assert (log.appends, observer.pending) == ([], 1)
    source.sink(Batch("Service", (facts.service("a/new"),)))
    await until(lambda: not observer.pending)
    assert log.appends == [["Service/a/web", "Service/a/new"]]


async def test_what_only_shows_something_else_waits_no_longer_than_its_time(followed):
    source, observer, log, clock, web, api = followed
    source.sink(Batch("Service", (shown(web, "192.0.2.2"),)))
    clock.now += ECHO_SECONDS / 2
    source.sink(Batch("Service", (shown(api, "192.0.2.3"), shown(web, "192.0.2.9"))))
    await turns()
    assert log.appends == []
    clock.now += ECHO_SECONDS / 2
    observer.take(Batch("Service", ()))  # any wake-up; in real time its own timer
    await until(lambda: not observer.pending)
    assert log.appends == [["Service/a/web", "Service/a/api"]]


@pytest.mark.parametrize("change", [{"ports": ()}, {"deleting": True}, {"annotations": {"a": "b"}}])
async def test_any_other_change_of_a_service_goes_at_once(followed, change):
    source, observer, log, _, web, _ = followed
    source.sink(Batch("Service", (shown(web, "192.0.2.2"),)))
    source.sink(Batch("Service", (shown(web, "192.0.2.2").model_copy(update=change),)))
    await until(lambda: not observer.pending)
    assert log.appends == [["Service/a/web"]]


async def test_a_change_that_cannot_wait_is_not_made_to_wait_by_the_next_one(followed):
    source, observer, log, _, web, _ = followed
    edited = web.model_copy(update={"annotations": {"a": "b"}})
    source.sink(Batch("Service", (edited,)))
    source.sink(Batch("Service", (shown(edited, "192.0.2.2"),)))
    await until(lambda: not observer.pending)
    assert log.appends == [["Service/a/web"]]


async def test_what_shows_the_former_status_again_is_not_written(followed):
    source, observer, log, clock, web, _ = followed
    source.sink(Batch("Service", (shown(web, "192.0.2.2"),)))
    source.sink(Batch("Service", (web,)))
    clock.now += 1
    await turns()
    assert (log.appends, observer.pending) == ([], 0)


async def test_a_deleted_service_does_not_wait(followed):
    source, observer, log, _, web, _ = followed
    source.sink(Batch("Service", (shown(web, "192.0.2.2"),)))
    source.sink(Batch("Service", gone=(("a", "web"),)))
    await until(lambda: not observer.pending)
    assert log.appends == [["Service/a/web"]]


async def test_a_record_that_does_not_decode_is_replaced_at_once():
    async with CountingLog() as log:
        await log.append(FACTS, [NewRecord("Service/a/web", b"not a fact")])
        log.appends.clear()
        stop, source = asyncio.Event(), FedSource()
        observer = Observer(source, clock=Seconds())
        running = asyncio.create_task(observer.run(log, stop))
        await until(lambda: source.sink is not None)
        source.sink(Batch("Service", (facts.service("a/web"),)))
        await until(lambda: not observer.pending)
        assert log.appends == [["Service/a/web"]]
        stop.set()
        await running
