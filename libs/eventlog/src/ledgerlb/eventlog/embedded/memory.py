"""A log in memory: for the simulator and for tests.

Concurrency: one event loop, no threads. An append never yields, so that a run is as deterministic as its caller; a
poll yields only where it has to wait. Several ``MemoryLog`` on one ``MemoryStore`` are connections to one log: the
store outlives them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.embedded.heads import is_due
from ledgerlb.eventlog.embedded.waiters import Waiters
from ledgerlb.eventlog.port import NewRecord, Reader, Record, check_start, encode_records
from ledgerlb.eventlog.reader import BaseReader
from ledgerlb.eventlog.topics import HEADS, Topic


class MemoryStore:
    """The records of a memory log, and the tasks that wait for more."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Record]] = {}
        self.heads: dict[str, Record] = {}
        self.waiters = Waiters()


class MemoryLog:
    """See module. ``clock`` gives the timestamps (aware UTC)."""

    def __init__(self, store: MemoryStore | None = None, clock: Callable[[], datetime] | None = None) -> None:
        self.store = store if store is not None else MemoryStore()
        self._clock = clock or (lambda: datetime.now(UTC))
        self._closed = False

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog."""
        self._assert_open()
        encoded = encode_records(topic, records)
        if not encoded:
            return []
        stored = self.store.topics.setdefault(topic.name, [])
        first = len(stored)
        timestamp = int(self._clock().timestamp() * 1000)
        for offset, (key, value, headers) in enumerate(encoded, first):
            stored.append(Record(topic.name, offset, key.decode(), value, timestamp, key, headers))
        self.store.waiters.wake()
        return list(range(first, first + len(encoded)))

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        """See EventLog."""
        self._assert_open()
        wanted = start or {}
        ends = {topic.name: await self.end(topic) for topic in topics}
        positions = {topic.name: check_start(topic, wanted.get(topic.name, 0), 0, ends[topic.name]) for topic in topics}
        return _MemoryReader(self, positions, ends)

    async def end(self, topic: Topic) -> int:
        """See EventLog."""
        self._assert_open()
        return len(self.store.topics.get(topic.name, ()))

    async def provision(self, *, replication: int = 1) -> list[str]:
        """Do nothing: a topic begins with its first record."""
        del replication
        return []

    async def check(self) -> list[str]:
        """Return []: a memory log has no settings."""
        return []

    async def maintain(self, limit: int = 10_000) -> int:
        """Keep everything: a memory log lives as long as its process."""
        del limit
        return 0

    async def remember_heads(self, heads: Sequence[NewRecord]) -> None:
        """See EventLog."""
        self._assert_open()
        for head in heads:
            if head.value is None:
                self.store.heads.pop(head.key, None)
            elif is_due(head, self.store.heads.get(head.key)):
                kept = Record(HEADS.name, 0, head.key, head.value, 0, head.key.encode(), head.headers)
                self.store.heads[head.key] = kept

    async def read_heads(self, take: Callable[[Record], None]) -> None:
        """See EventLog."""
        self._assert_open()
        for head in tuple(self.store.heads.values()):
            take(head)

    @property
    def closed(self) -> bool:
        """Whether the log is closed."""
        return self._closed

    def _assert_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the memory log is closed; open a new one on the same store")

    async def __aenter__(self) -> Self:
        self._closed = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self.store.waiters.wake()


class _MemoryReader(BaseReader):
    def __init__(self, log: MemoryLog, positions: dict[str, int], ends: dict[str, int]) -> None:
        super().__init__(positions, ends)
        self._log = log
        self._store = log.store
        self._names = list(positions)

    async def poll(self, timeout: float, max_records: int = 2000) -> list[Record]:  # noqa: ASYNC109 - the port's
        self._assert_open()
        batch = self._read(max_records)
        if batch or timeout <= 0:
            return batch
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not batch and (remaining := deadline - loop.time()) > 0:
            await self._store.waiters.wait(remaining)
            self._assert_open()
            batch = self._read(max_records)
        return batch

    def _read(self, max_records: int) -> list[Record]:
        batch: list[Record] = []
        for name in self._names:
            position = self._positions[name]
            found = self._store.topics.get(name, [])[position : position + max_records - len(batch)]
            if found:
                batch.extend(found)
                self._advance_to(name, position + len(found))
        # A busy topic must not starve the others: another one comes first next time.
        if len(batch) >= max_records:
            self._names.append(self._names.pop(0))
        return batch

    def _assert_open(self) -> None:
        if self._closed or self._log.closed:
            raise LogUnavailable("the reader is closed; open a new one")
