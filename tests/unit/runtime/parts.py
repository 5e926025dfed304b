"""A processor that writes down what happens to it, and a log that fails on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from ledgerlb.core.errors import LogAccessDenied, LogUnavailable, UndecodableRecord
from ledgerlb.eventlog.embedded import MemoryLog, MemoryStore
from ledgerlb.eventlog.port import EventLog, NewRecord, Reader, Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, Topic
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.loop import Timing, run_processors
from tests.unit.runtime.virtual import clock


class Recorder:
    """Folds keys into a list. Records whose value is ``bad`` are bad input, ``bug`` raises KeyError."""

    def __init__(self, name: str = "recorder", reads: tuple[Topic, ...] = (FACTS, INTENTS)) -> None:
        self.name = name
        self.reads = reads
        self.low_priority = False
        self.taken: list[str] = []
        self.resets = 0
        self.settles: list[tuple[float, int]] = []
        """(time, records taken so far) of each settle that was begun."""
        self.on_take: Callable[[Record], None] | None = None
        self.on_settle: Callable[[EventLog], Any] | None = None
        self.wake_up: float | None = None

    def reset(self) -> None:
        self.resets += 1
        self.taken.clear()

    def take(self, record: Record) -> None:
        if self.on_take is not None:
            self.on_take(record)
        if record.value == b"bad":
            raise UndecodableRecord(f"fact {record.key}", "value", "is bad", "mend it")
        if record.value == b"bug":
            raise KeyError("no such thing")
        self.taken.append(record.key)

    async def settle(self, log: EventLog) -> float | None:
        self.settles.append((clock(), len(self.taken)))
        if self.on_settle is not None:
            await self.on_settle(log)
        return self.wake_up


class FlakyLog(MemoryLog):
    """Fails while ``down`` (everything), or while ``refuses`` or ``denies`` names the topic of an append."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__(store, clock=now)
        self.down = False
        self.refuses: set[str] = set()
        self.denies: set[str] = set()
        self.opened: list[Mapping[str, int]] = []
        self.poll_errors: list[Exception] = []

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        self._assert_up()
        if topic.name in self.refuses:
            raise LogUnavailable(f"{topic.name} refused")
        if topic.name in self.denies:
            raise LogAccessDenied(f"{topic.name} denied")
        return await super().append(topic, records)

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        self._assert_up()
        self.opened.append(dict(start or {}))
        return _FlakyReader(self, await super().open(topics, start))

    def _assert_up(self) -> None:
        if self.down:
            raise LogUnavailable("the log is down")


class _FlakyReader:
    def __init__(self, log: FlakyLog, reader: Reader) -> None:
        self._log = log
        self._reader = reader

    async def poll(self, timeout: float, max_records: int = 2000) -> list[Record]:
        self._log._assert_up()
        if self._log.poll_errors:
            raise self._log.poll_errors.pop(0)
        found = await self._reader.poll(timeout, max_records)
        self._log._assert_up()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()


def now() -> datetime:
    return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=clock())


@asynccontextmanager
async def running(log: EventLog, processor: Recorder, health: Health | None = None) -> AsyncIterator[Health]:
    """Run the processor's loop meanwhile; what it raises, this raises."""
    stop = asyncio.Event()
    health = health if health is not None else Health(clock)
    task = asyncio.create_task(run_processors(log, [processor], health, stop, Timing(clock=clock, now=now)))
    try:
        yield health
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait (virtually) until the condition holds."""
    deadline = clock() + seconds
    while not condition():
        assert clock() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


def new(*keys: str, value: bytes = b"good") -> list[NewRecord]:
    return [NewRecord(key, value) for key in keys]


def sample(health: Health, name: str, **labels: str) -> float:
    return health.metrics.registry.get_sample_value(name, labels) or 0.0
