"""A log in one SQLite file.

Several processes may append to and read the same file at the same time (WAL, ``synchronous=FULL``: an append that
returned survives a power cut). The file must be on a local file system: SQLite's locks do not work on network file
systems.

Concurrency: each ``SqliteLog`` has one connection that appends and one that all its readers share, each in a thread of
its own, so no SQLite call blocks the event loop. Appends that wait for each other share a transaction (``appender``).
A waiting reader is woken at once by an append of this process to one of its topics and takes the records from memory
(``tail``). Appends of other processes are noticed by a watch on the file (``filewatch``) and, where that fails, by a
look every ``LOOK_INTERVAL`` seconds. The write-ahead log is copied into the file in the background, every
``CHECKPOINT_BYTES`` or so: an append that did it would be late.
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
from ledgerlb.eventlog.embedded import heads as remembered
from ledgerlb.eventlog.embedded import statements
from ledgerlb.eventlog.embedded.appender import Appender, Written
from ledgerlb.eventlog.embedded.connection import Connection
from ledgerlb.eventlog.embedded.filewatch import FileWatch, file_state, wal_path
from ledgerlb.eventlog.embedded.tail import Tail
from ledgerlb.eventlog.embedded.waiters import Waiters
from ledgerlb.eventlog.port import NewRecord, Reader, Record, check_start, encode_records
from ledgerlb.eventlog.reader import BaseReader
from ledgerlb.eventlog.topics import ALL_TOPICS, Topic

LOOK_INTERVAL: Final = 1.0
"""Seconds between two searches for appends of other processes that the file watch missed."""
CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
"""Bytes appended (estimated) after which the write-ahead log is copied into the file."""
_TRANSACTION_BYTES: Final = 16 * 1024
"""What a transaction adds to the write-ahead log on top of its values: it consists of whole pages."""

_OPEN_LOGS: Final[dict[Path, weakref.WeakSet[SqliteLog]]] = {}
"""The logs of this process by file, so that an append wakes the readers of all of them."""


class SqliteLog:
    """See module. ``clock`` gives the timestamps (aware UTC)."""

    def __init__(self, path: Path | str, clock: Callable[[], datetime] | None = None) -> None:
        self._path = Path(path).absolute()
        self._clock = clock or (lambda: datetime.now(UTC))
        self._writer = Connection(self._path)
        self._readers = Connection(self._path)
        self._appender = Appender(self._path, self._writer, self._now_ms, self._written)
        self._tail = Tail()
        self._waiters = Waiters()
        self._changes = 0
        self._foreign = 0
        self._wal = (-1, -1)
        self._since_checkpoint = 0
        self._file_watch = FileWatch(wal_path(self._path), self._look_at_wal)
        self._looking: asyncio.Task[None] | None = None
        self._checkpointing: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- the port --------------------

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog. All of the records are appended or none."""
        encoded = encode_records(topic, records)
        if not encoded:
            return []
        self.require_open()
        return await self._appender.append(topic, encoded)

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        """See EventLog."""
        wanted = start or {}
        positions: dict[str, int] = {}
        ends: dict[str, int] = {}
        for topic in topics:
            beginning, end = await self._bounds(topic)
            # A compacted topic may have lost its first records; later ones of the same keys replaced them.
            lowest = beginning if topic.cleanup == "delete" else 0
            positions[topic.name] = check_start(topic, wanted.get(topic.name, 0), lowest, end)
            ends[topic.name] = end
        return _SqliteReader(self, positions, ends)

    async def end(self, topic: Topic) -> int:
        """See EventLog."""
        return (await self._bounds(topic))[1]

    async def provision(self, *, replication: int = 1) -> list[str]:
        """Do nothing: a topic begins with its first record."""
        del replication
        return []

    async def check(self) -> list[str]:
        """Report settings of the file under which an append is not durable."""
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
        """See EventLog.

        Compacted topics lose records that a later one of the same key replaced before ``min_compaction_lag_ms`` ago,
        and tombstones older than that and ``tombstone_ms``. Topics with a retention time lose older
        records. Topics kept for ever (the ledger) are never touched, and the last record of a topic always stays:
        offsets are never used twice.
        """
        removed = 0
        now = self._now_ms()
        for topic in ALL_TOPICS:
            removed += await self._writer.run(functools.partial(_maintain, topic=topic, now_ms=now, limit=limit))
        if removed:
            self._tail.clear()
            self._notify_foreign()
        await self._readers.run(statements.checkpoint)
        return removed

    async def remember_heads(self, heads: Sequence[NewRecord]) -> None:
        """See EventLog. The heads are in the file, and in a file beside it (``heads``)."""
        now = self._now_ms()
        kept = await self._writer.run(lambda database: remembered.keep(database, heads, now))
        forgotten = {head.key for head in heads if head.value is None}
        # Not in the writer's thread: an append must not wait for a second file.
        await self._readers.run(lambda _: remembered.update_file(self._path, kept, forgotten))

    async def read_heads(self, take: Callable[[Record], None]) -> None:
        """See EventLog."""
        found = await self._readers.run(lambda database: remembered.kept(database) + remembered.read_file(self._path))
        for head in found:
            take(head)

    # -- for the readers --------------------

    def require_open(self) -> None:
        """Raise LogUnavailable where the log is closed."""
        if self._loop is None:
            raise LogUnavailable(f"{self._path} is closed; open the log again")

    @property
    def changes(self) -> int:
        """Counts up whenever something may have been appended."""
        return self._changes

    @property
    def foreign(self) -> int:
        """Counts up whenever another process, or another connection of this one, may have appended."""
        return self._foreign

    @property
    def tail(self) -> Tail:
        """The newest records that this log appended."""
        return self._tail

    async def read(self, positions: Mapping[str, int], max_records: int) -> list[Record]:
        """The next records of each topic from its position on, from the file."""
        return await self._readers.run(lambda database: statements.read(database, positions, max_records))

    async def changed(self, topics: frozenset[str], seen: int, seconds: float) -> None:
        """Return once one of ``topics`` may have changed since ``changes`` was ``seen``, or after ``seconds``."""
        if self._changes != seen:
            return
        if self._looking is None:
            self._wal = file_state(wal_path(self._path))
            self._file_watch.start()
            self._looking = asyncio.create_task(self._look(), name=f"look at {self._path.name}")
        await self._waiters.wait(seconds, topics)

    def wake(self) -> None:
        """Tell the readers of this log that another connection appended; may be called from any event loop of the
        process.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if loop is asyncio.get_running_loop():
            self._notify_foreign()
        else:
            loop.call_soon_threadsafe(self._notify_foreign)

    # -- inside --------------------

    def _written(self, written: Written) -> None:
        """Hand the appended records to the readers of this log, and wake those of the other logs in this process."""
        self._wal = written.wal
        for topic, records in written.records.items():
            self._tail.add(topic, records)
        self._changes += 1
        self._waiters.wake(written.records)
        for log in tuple(_OPEN_LOGS.get(self._path, ())):
            if log is not self:
                log.wake()
        self._since_checkpoint += written.size + _TRANSACTION_BYTES
        if self._since_checkpoint >= CHECKPOINT_BYTES and self._checkpointing is None:
            self._since_checkpoint = 0
            self._checkpointing = asyncio.create_task(self._checkpoint(), name=f"checkpoint {self._path.name}")

    def _notify_foreign(self) -> None:
        self._foreign += 1
        self._changes += 1
        self._waiters.wake()

    def _look_at_wal(self) -> None:
        """Wake the readers if the file was written since they were woken last."""
        if self._appender.is_writing:
            return  # it wakes the readers at its end, and they read everything that came in meanwhile
        state = file_state(wal_path(self._path))
        if state != self._wal:
            self._wal = state
            self._notify_foreign()

    async def _look(self) -> None:
        """Find the appends of other processes that the file watch did not report."""
        # The first look has nothing to compare with, so it wakes the readers: an append may have come in before it.
        seen: int | None = None
        while True:
            try:
                version: int | None = await self._writer.run(statements.data_version)
            except LogUnavailable:
                version = None  # the readers meet the error in their own read
            if version is None or version != seen:
                self._notify_foreign()
            else:
                self._look_at_wal()
            seen = version
            await asyncio.sleep(LOOK_INTERVAL)

    async def _checkpoint(self) -> None:
        try:
            with contextlib.suppress(LogUnavailable):  # the next one copies more
                await self._readers.run(statements.checkpoint)
        finally:
            self._checkpointing = None

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
        self._notify_foreign()  # readers from before it was closed
        _OPEN_LOGS.setdefault(self._path, weakref.WeakSet()).add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop = None
        logs = _OPEN_LOGS.get(self._path)
        if logs is not None:
            logs.discard(self)
            if not logs:
                del _OPEN_LOGS[self._path]
        self._file_watch.stop()
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None
        await self._appender.close()
        if self._checkpointing is not None:
            await asyncio.wait({self._checkpointing})
        await self._readers.close()
        await self._writer.close()
        self._tail.clear()
        self._notify_foreign()


def _maintain(database: sqlite3.Connection, *, topic: Topic, now_ms: int, limit: int) -> int:
    return statements.maintain(database, topic, now_ms, limit)


class _SqliteReader(BaseReader):
    def __init__(self, log: SqliteLog, positions: dict[str, int], ends: dict[str, int]) -> None:
        super().__init__(positions, ends)
        self._log = log
        self._topics = frozenset(positions)
        self._seen_foreign = -1
        """``foreign`` of the log when the file was last read to its end."""

    async def poll(self, timeout: float, max_records: int = 2000) -> list[Record]:  # noqa: ASYNC109 - the port's
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            if self._closed:
                raise LogUnavailable("the reader is closed; open a new one")
            self._log.require_open()
            seen = self._log.changes
            batch = self._log.tail.read(self._positions, max_records)
            if not batch and self._must_read_file():
                batch = await self._read_file(max_records)
            if batch:
                self._advance(batch, max_records)
                return batch
            remaining = deadline - loop.time()
            if remaining <= 0:
                return []
            await self._log.changed(self._topics, seen, remaining)

    def _must_read_file(self) -> bool:
        return self._seen_foreign != self._log.foreign or self._log.tail.is_behind(self._positions)

    async def _read_file(self, max_records: int) -> list[Record]:
        foreign = self._log.foreign
        batch = await self._log.read(self._positions, max_records)
        if not batch:
            self._seen_foreign = foreign
        return batch

    def _advance(self, batch: list[Record], max_records: int) -> None:
        for name, last in {record.topic: record.offset for record in batch}.items():
            self._advance_to(name, last + 1)
        if len(batch) >= max_records:
            # A busy topic must not starve the others: another one comes first next time.
            first = next(iter(self._positions))
            self._positions[first] = self._positions.pop(first)


__all__ = ["LOOK_INTERVAL", "SqliteLog"]
