"""The event-log port: all that LedgerLB asks of a log.

A log holds named topics; a topic is one ordered sequence of records with offsets from 0 upwards (gaps are allowed
after compaction). Every topic has exactly one partition: the order of all decisions is the order of the audit, and one
partition carries far more than any cluster decides.

Concurrency: one reader is used by one task; appends may come from several tasks and are kept in the order of their
calls. Every call is bounded in time and raises ``LogUnavailable`` past its bound. After ``LogUnavailable`` from
``append`` nobody knows whether the records are in the log: the caller catches up and decides again, and never resends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from ledgerlb.core.errors import LogUnavailable, RecordTooLarge
from ledgerlb.eventlog.topics import Topic

MAX_KEY_BYTES: Final = 16 * 1024
SILENCE: Final = 30.0
"""Seconds without a record, short of the end, after which a read to the end gives up."""


class PositionLost(LogUnavailable):
    """The log no longer holds the position to read on from (records before it were removed, or the log was replaced):
    forget what was folded and read from the beginning.
    """


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to append; ``value`` None is a tombstone."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read. ``key`` is decoded leniently (undecodable bytes are replaced) so that no record can stop a
    reader; ``raw_key`` is what stood there. ``timestamp`` is milliseconds since the epoch, from the log: for people,
    not for decisions.
    """

    topic: str
    offset: int
    key: str
    value: bytes | None
    timestamp: int
    raw_key: bytes = b""


class Reader(Protocol):
    """A tailing reader of one or more topics, each from its own offset.

    ``poll`` raises LogUnavailable when the log has not answered for a few seconds; the same reader may be polled again
    and recovers by itself. PositionLost is final for the reader.
    """

    async def poll(self, timeout: float, max_records: int = 2000) -> list[Record]:  # noqa: ASYNC109
        """The next records (per topic in order), waiting up to ``timeout`` seconds for the first; [] when none came."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether every topic has been read to the end that it had when the reader was opened (stays true)."""
        ...

    def position(self, topic: Topic) -> int:
        """The offset of the next record that ``poll`` will return for the topic."""
        ...

    async def close(self) -> None:
        """Stop reading; idempotent."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class EventLog(Protocol):
    """A connection to a log. Use as an async context manager: entering connects, leaving closes."""

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """Append in order and return the offsets. Durable when it returns. Raises RecordTooLarge before anything is
        sent, LogUnavailable when the outcome is unknown (a part may have been appended).
        """
        ...

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        """A reader that begins at ``start[topic.name]`` (default, or 0: the earliest record there is). Raises
        LogUnavailable; PositionLost where the log does not hold that offset.
        """
        ...

    async def end(self, topic: Topic) -> int:
        """The offset after the last record (0 for an empty topic)."""
        ...

    async def provision(self, *, replication: int = 1) -> list[str]:
        """Create what is missing with its declared settings; returns a line per topic that was made or changed."""
        ...

    async def check(self) -> list[str]:
        """What is wrong with the topics (missing, dangerous settings), a line each; [] when all is well."""
        ...

    async def maintain(self, limit: int = 10_000) -> int:
        """Drop records that the topics' declarations no longer keep, at most ``limit`` of each topic, and return how
        many. A log whose server does this by itself returns 0. Raises LogUnavailable.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


async def read_to_end(
    log: EventLog,
    topics: Sequence[Topic],
    take: Callable[[Record], None],
    start: Mapping[str, int] | None = None,
    *,
    silence: float = SILENCE,
) -> dict[str, int]:
    """Hand ``take`` every record up to the ends that the topics have now, and return the position after them by topic
    name. ``start`` is that of ``EventLog.open``.

    Raises LogUnavailable when no record arrives for ``silence`` seconds before the end: a long topic may take longer.
    """
    async with await log.open(topics, start) as reader:
        heard = time.monotonic()
        while not reader.caught_up:
            remaining = heard + silence - time.monotonic()
            if remaining <= 0:
                names = ", ".join(topic.name for topic in topics)
                raise LogUnavailable(
                    f"{names}: no record arrived for {silence:g} s before the end; check that the log is reachable"
                )
            records = await reader.poll(min(remaining, 1.0))
            for record in records:
                take(record)
            if records:
                heard = time.monotonic()
        return {topic.name: reader.position(topic) for topic in topics}


async def latest(log: EventLog, topic: Topic, timeout: float = SILENCE) -> dict[str, Record]:  # noqa: ASYNC109
    """The last record under each key, read to the present end; keys whose last record is a tombstone are left out.
    Raises LogUnavailable after ``timeout`` seconds without a record.
    """
    found: dict[str, Record] = {}

    def take(record: Record) -> None:
        if record.value is None:
            found.pop(record.key, None)
        else:
            found[record.key] = record

    await read_to_end(log, [topic], take, silence=timeout)
    return found


def encode_records(topic: Topic, records: Sequence[NewRecord]) -> list[tuple[bytes, bytes | None]]:
    """(key, value) bytes of each record; raises RecordTooLarge naming topic and key."""
    encoded = []
    for record in records:
        key = record.key.encode("utf-8", "replace")
        size = len(record.value or b"")
        if size > topic.max_bytes or len(key) > MAX_KEY_BYTES:
            raise RecordTooLarge(
                f"topic {topic.name}, key {record.key[:200]!r}: {size} bytes of value (at most {topic.max_bytes}), "
                f"{len(key)} bytes of key (at most {MAX_KEY_BYTES}); split it into smaller records"
            )
        encoded.append((key, record.value))
    return encoded


def check_start(topic: Topic, start: int, beginning: int, end: int) -> int:
    """The offset to read from when ``start`` is asked of a topic that holds ``beginning``..``end``; raises
    PositionLost. 0 always means the earliest record there is.
    """
    if start <= 0:
        return beginning
    if start < beginning or start > end:
        raise PositionLost(
            f"topic {topic.name}: offset {start} is not in the log, which holds {beginning} to {end}; "
            "read it from the beginning"
        )
    return start
