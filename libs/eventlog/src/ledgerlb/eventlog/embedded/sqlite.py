"""A log in one SQLite file.

Several processes may append to and read the same file at the same time (WAL, ``synchronous=FULL``: an append that
returned survives a power cut). The file must be on a local file system: SQLite's locks do not work on network file
systems.

Concurrency: each ``SqliteLog`` has one connection that appends and one that all its readers share, each in a thread of
its own, so no SQLite call blocks the event loop. A waiting reader is woken at once by an append of this process;
appends of others are noticed through ``PRAGMA data_version``, looked at every ``TAIL_INTERVAL`` seconds while somebody
waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.embedded import statements
from ledgerlb.eventlog.embedded.connection import Connection
from ledgerlb.eventlog.embedded.waiters import Waiters
from ledgerlb.eventlog.port import NewRecord, Reader, Record, check_start, encode_records
from ledgerlb.eventlog.reader import BaseReader
from ledgerlb.eventlog.topics import ALL_TOPICS, Topic

TAIL_INTERVAL: Final = 0.025
"""Seconds between two looks for appends of other processes."""

_OPEN_LOGS: Final[dict[Path, weakref.WeakSet[SqliteLog]]] = {}
"""The logs of this process by file, so that an append wakes the readers of all of them."""


class SqliteLog:
    """See module. ``clock`` gives the timestamps (aware UTC)."""

    def __init__(self, path: Path | str, clock: Callable[[], datetime] | None = None) -> None:
        self._path = Path(path).absolute()
        self._clock = clock or (lambda: datetime.now(UTC))
        self._writer = Connection(self._path)
        self._readers = Connection(self._path)
        self._waiters = Waiters()
        self._changes = 0
        self._watcher: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- the port --------------------

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog. One transaction: all of the records or none."""
        encoded = encode_records(topic, records)
        if not encoded:
            return []
        timestamp = self._now_ms()
        first = await self._writer.run(lambda database: statements.append(database, topic.name, encoded, timestamp))
        for log in tuple(_OPEN_LOGS.get(self._path, ())):
            log.wake()
        return list(range(first, first + len(encoded)))

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        """See EventLog."""
        wanted = start or {}
        positions: dict[str, int] = {}
        ends: dict[str, int] = {}
        for topic in topics:
            beginning, end = await self._bounds(topic)
            # A compacted topic may have lost its first records; what they said stands further on.
            lowest = beginning if topic.cleanup == "delete" else 0
            positions[topic.name] = check_start(topic, wanted.get(topic.name, 0), lowest, end)
            ends[topic.name] = end
        return _SqliteReader(self, positions, ends)

    async def end(self, topic: Topic) -> int:
        """See EventLog."""
        return (await self._bounds(topic))[1]

    async def provision(self, *, replication: int = 1) -> list[str]:
        """Nothing to make: a topic begins with its first record."""
        del replication
        return []

    async def check(self) -> list[str]:
        """Whether the file is in the state in which an append is durable."""
        journal, synchronous = await self._writer.run(statements.durability)
        problems = []
        if journal != "wal":
            problems.append(f"{self._path}: journal_mode is {journal}, wanted wal; put the file on a local file system")
        if synchronous < statements.SYNCHRONOUS_FULL:
            problems.append(
                f"{self._path}: synchronous is {synchronous}, wanted FULL; open the file with LedgerLB only"
            )
        return problems

    async def maintain(self, limit: int = 10_000) -> int:
        """Remove what the topics' declarations let go, at most ``limit`` records of each topic, and return how many
        went.

        Compacted topics lose records that a later one of the same key replaced before ``min_compaction_lag_ms`` ago,
        and tombstones older than that and a day. Topics with a retention time lose older records. Topics kept for ever
        (the ledger) are never touched, and the last record of a topic always stays: offsets are never used twice.
        """
        removed = 0
        now = self._now_ms()
        for topic in ALL_TOPICS:
            removed += await self._writer.run(functools.partial(_maintain, topic=topic, now_ms=now, limit=limit))
        return removed

    # -- for the readers --------------------

    @property
    def changes(self) -> int:
        """Counts up whenever something may have been appended."""
        return self._changes

    async def read(self, positions: Mapping[str, int], max_records: int) -> list[Record]:
        """The next records of each topic from its position on."""
        return await self._readers.run(lambda database: statements.read(database, positions, max_records))

    async def changed(self, seen: int, seconds: float) -> None:
        """Return once ``changes`` differs from ``seen``, or after ``seconds``."""
        if self._changes != seen:
            return
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch(), name=f"tail {self._path.name}")
        await self._waiters.wait(seconds)

    def wake(self) -> None:
        """Wake the readers of this log; may be called from any event loop of the process."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if loop is asyncio.get_running_loop():
            self._notify()
        else:
            loop.call_soon_threadsafe(self._notify)

    # -- inside --------------------

    def _notify(self) -> None:
        self._changes += 1
        self._waiters.wake()

    async def _watch(self) -> None:
        """Look for appends of other processes while somebody waits."""
        seen = -1
        while self._waiters:
            try:
                version = await self._readers.run(statements.data_version)
            except LogUnavailable:
                self._notify()  # whoever waits meets the error in its own read, and tells it
                return
            if version != seen:
                # The first look has nothing to compare with: an append may have come in before it.
                seen = version
                self._notify()
            await asyncio.sleep(TAIL_INTERVAL)

    async def _bounds(self, topic: Topic) -> tuple[int, int]:
        return await self._readers.run(lambda database: statements.bounds(database, topic.name))

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)

    async def __aenter__(self) -> Self:
        await self._writer.open()
        try:
            await self._readers.open()
        except BaseException:
            await self._writer.close()
            raise
        self._loop = asyncio.get_running_loop()
        _OPEN_LOGS.setdefault(self._path, weakref.WeakSet()).add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logs = _OPEN_LOGS.get(self._path)
        if logs is not None:
            logs.discard(self)
            if not logs:
                del _OPEN_LOGS[self._path]
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        await self._readers.close()
        await self._writer.close()
        self._notify()


def _maintain(database: sqlite3.Connection, *, topic: Topic, now_ms: int, limit: int) -> int:
    return statements.maintain(database, topic, now_ms, limit)


class _SqliteReader(BaseReader):
    def __init__(self, log: SqliteLog, positions: dict[str, int], ends: dict[str, int]) -> None:
        super().__init__(positions, ends)
        self._log = log

    async def poll(self, timeout: float, max_records: int = 2000) -> list[Record]:  # noqa: ASYNC109 - the port's
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            if self._closed:
                raise LogUnavailable("the reader is closed; open a new one")
            seen = self._log.changes
            batch = await self._log.read(self._positions, max_records)
            if batch:
                self._advance(batch, max_records)
                return batch
            remaining = deadline - loop.time()
            if remaining <= 0:
                return []
            await self._log.changed(seen, remaining)

    def _advance(self, batch: list[Record], max_records: int) -> None:
        for name, last in {record.topic: record.offset for record in batch}.items():
            self._stand_at(name, last + 1)
        if len(batch) >= max_records:
            # A busy topic must not starve the others: another one comes first next time.
            first = next(iter(self._positions))
            self._positions[first] = self._positions.pop(first)


__all__ = ["TAIL_INTERVAL", "SqliteLog"]
