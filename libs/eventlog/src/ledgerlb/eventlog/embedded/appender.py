"""Appends of one SQLite log, grouped: what waits while a transaction is under way goes into the next one together.

A transaction costs one write to the disk that must finish before it counts, however many appends are in it. Appends
keep the order of their calls. A lone append does not wait for others. Concurrency: one event loop; the transactions run
in the connection's thread, one after the other. Bounds: ``GROUP_BYTES`` and ``GROUP_RECORDS`` per transaction (one
append may exceed them), ``CALL_TIMEOUT`` seconds per append, queueing included.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.embedded import connection, statements
from ledgerlb.eventlog.embedded.connection import Connection
from ledgerlb.eventlog.embedded.filewatch import FileState, file_state, wal_path
from ledgerlb.eventlog.port import Encoded, Record
from ledgerlb.eventlog.topics import Topic

GROUP_BYTES: Final = 1024 * 1024
GROUP_RECORDS: Final = 1000


@dataclass(eq=False, slots=True)
class _Waiting:
    """An append that was not written yet. ``written`` is resolved with the offset of its first record."""

    topic: str
    records: Sequence[Encoded]
    written: asyncio.Future[int]


@dataclass(frozen=True, slots=True)
class Written:
    """What one transaction appended: the records by topic, and the state of the WAL file after it."""

    records: dict[str, list[Record]]
    wal: FileState
    size: int


class Appender:
    """See module. ``now_ms`` gives the timestamps; ``on_written`` is called after each transaction, also when the
    caller of an append gave up meanwhile.
    """

    def __init__(
        self, path: Path, database: Connection, now_ms: Callable[[], int], on_written: Callable[[Written], None]
    ) -> None:
        self._path = path
        self._wal = wal_path(path)
        self._database = database
        self._now_ms = now_ms
        self._on_written = on_written
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is under way."""
        return self._writing is not None

    async def append(self, topic: Topic, records: Sequence[Encoded]) -> list[int]:
        """Append records and return their offsets once they are durable. Raises LogUnavailable."""
        waiting = _Waiting(topic.name, records, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name=f"append to {self._path.name}")
        try:
            async with asyncio.timeout(connection.CALL_TIMEOUT):
                first = await waiting.written
        except TimeoutError as error:
            raise LogUnavailable(
                f"{self._path} did not answer within {connection.CALL_TIMEOUT:g} s; check the disk"
            ) from error
        return list(range(first, first + len(records)))

    async def close(self) -> None:
        """Wait for the appends that are under way."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def _write(self) -> None:
        try:
            while group := self._next_group():
                await self._write_group(group)
        finally:
            self._writing = None

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        records = size = 0
        while self._waiting and records < GROUP_RECORDS and size < GROUP_BYTES:
            waiting = self._waiting.popleft()
            if waiting.written.done():
                continue  # its caller gave up before anything was written
            group.append(waiting)
            records += len(waiting.records)
            size += sum(len(value or b"") for _, value, _ in waiting.records)
        return group

    async def _write_group(self, group: list[_Waiting]) -> None:
        appends = [(waiting.topic, waiting.records) for waiting in group]
        timestamp = self._now_ms()
        try:
            firsts, wal = await self._database.run(
                lambda database: (statements.append(database, appends, timestamp), file_state(self._wal))
            )
            records, size = _records(appends, firsts, timestamp)
            self._on_written(Written(records, wal, size))
            for waiting, first in zip(group, firsts, strict=True):
                if not waiting.written.done():
                    waiting.written.set_result(first)
        except LogUnavailable as error:
            _fail(group, str(error))
        finally:
            _fail(group, f"{self._path}: an append was interrupted; whether it is in the log is unknown")


def _fail(group: Sequence[_Waiting], message: str) -> None:
    for waiting in group:
        if not waiting.written.done():
            waiting.written.set_exception(LogUnavailable(message))


def _records(
    appends: Sequence[tuple[str, Sequence[Encoded]]], firsts: Sequence[int], timestamp: int
) -> tuple[dict[str, list[Record]], int]:
    """The records as readers get them by topic, and the bytes of their values."""
    found: dict[str, list[Record]] = {}
    size = 0
    for (topic, encoded), first in zip(appends, firsts, strict=True):
        kept = found.setdefault(topic, [])
        for offset, (key, value, headers) in enumerate(encoded, first):
            kept.append(Record(topic, offset, key.decode("utf-8", "replace"), value, timestamp, key, headers))
            size += len(value or b"")
    return found, size
