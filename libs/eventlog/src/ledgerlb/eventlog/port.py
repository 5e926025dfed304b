"""The event-log port: everything that LedgerLB needs from a log.

A log holds named topics. A topic is one ordered sequence of records with offsets from 0 upwards; compaction leaves
gaps. Every topic has exactly one partition, so that all decisions have one order, which is also the order of the audit.
One partition carries far more than any cluster decides.

Concurrency: one task uses a reader. Several tasks may append; the log keeps the order of their calls. Every call has a
time limit and raises ``LogUnavailable`` beyond it. After ``LogUnavailable`` from ``append`` the records may or may not
be in the log: the caller catches up and decides again, and never resends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from ledgerlb.core.errors import LogUnavailable, RecordTooLarge
from ledgerlb.core.signatures import Headers
from ledgerlb.eventlog.topics import Topic

MAX_KEY_BYTES: Final = 16 * 1024
MAX_HEADER_BYTES: Final = 4 * 1024
"""Bytes of all names and values of a record's headers."""
SILENCE: Final = 30.0
"""Seconds without a record, short of the end, after which a read to the end gives up."""


class PositionLost(LogUnavailable):
    """The log does not hold the position to read from: records were removed, or the log was replaced. Discard the fold
    and read from the beginning.
    """


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to append. ``value`` None is a tombstone."""

    key: str
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read. ``key`` has replacement characters for bytes that are not UTF-8, so that no record can stop a
    reader; ``raw_key`` has the bytes. ``timestamp`` is milliseconds since the epoch, set by the log: show it to people,
    do not decide by it.
    """

    topic: str
    offset: int
    key: str
    value: bytes | None
    timestamp: int
    raw_key: bytes = b""
    headers: Headers = ()


class Reader(Protocol):
    """A tailing reader of one or more topics, each from its own offset.

    ``poll`` raises LogUnavailable when the log has not answered for a few seconds. Poll the same reader again: it
    recovers by itself. PositionLost is final for the reader.
    """

    async def poll(self, timeout: float, max_records: int = 2000) -> list[Record]:  # noqa: ASYNC109
        """Return the next records, in order within each topic. Wait up to ``timeout`` seconds for the first; return []
        when none arrives.
        """
        ...

    @property
    def caught_up(self) -> bool:
        """Whether the reader has reached the end that each topic had when it was opened. Once true, stays true."""
        ...

    def position(self, topic: Topic) -> int:
        """Return the offset of the next record that ``poll`` returns for the topic."""
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
        """Append the records in order and return their offsets, once they are durable. Raises RecordTooLarge before
        it sends anything, and LogUnavailable when the outcome is unknown (some of the records may be in the log).
        """
        ...

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        """Open a reader that begins at ``start[topic.name]``; 0, the default, is the earliest record. Raises
        LogUnavailable, and PositionLost where the log does not hold that offset.
        """
        ...

    async def end(self, topic: Topic) -> int:
        """Return the offset after the last record, 0 for an empty topic."""
        ...

    async def provision(self, *, replication: int = 1) -> list[str]:
        """Create missing topics and correct wrong settings; return a line for each change."""
        ...

    async def check(self) -> list[str]:
        """Return a line for each missing topic and each setting that endangers records."""
        ...

    async def maintain(self, limit: int = 10_000) -> int:
        """Drop records that the topics' declarations no longer keep, at most ``limit`` of each topic, and return how
        many. A log whose server does this by itself returns 0. Raises LogUnavailable.
        """
        ...

    async def remember_heads(self, heads: Sequence[NewRecord]) -> None:
        """Keep heads of the ledger's chains (``ledgerlb.core.ledger.heads``), key = network, apart from the ledger.
        ``value`` None forgets the network's head. Raises LogUnavailable, after which some of them may be kept.
        """
        ...

    async def read_heads(self, take: Callable[[Record], None]) -> None:
        """Hand ``take`` every head that was kept, and where the log keeps them what was forgotten, oldest first. Their
        bytes are as anybody wrote them. Raises LogUnavailable.
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
    """Return the last record under each key up to the present end, without the keys that end with a tombstone.
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


Encoded = tuple[bytes, bytes | None, Headers]
"""Key, value and headers of a record to append."""


def encode_records(topic: Topic, records: Sequence[NewRecord]) -> list[Encoded]:
    """Return each record as adapters take it; raises RecordTooLarge, which names topic and key."""
    encoded = []
    for record in records:
        key = record.key.encode("utf-8", "replace")
        size = len(record.value or b"")
        extra = sum(len(name) + len(value) for name, value in record.headers)
        if size > topic.max_bytes or len(key) > MAX_KEY_BYTES or extra > MAX_HEADER_BYTES:
            raise RecordTooLarge(
                f"topic {topic.name}, key {record.key[:200]!r}: {size} bytes of value (at most {topic.max_bytes}), "
                f"{len(key)} bytes of key (at most {MAX_KEY_BYTES}), {extra} bytes of headers (at most "
                f"{MAX_HEADER_BYTES}); split it into smaller records"
            )
        encoded.append((key, record.value, record.headers))
    return encoded


def check_start(topic: Topic, start: int, beginning: int, end: int) -> int:
    """Return the offset to read from when a caller asks for ``start`` and the topic holds ``beginning``..``end``.
    0 means the earliest record. Raises PositionLost.
    """
    if start <= 0:
        return beginning
    if start < beginning or start > end:
        raise PositionLost(
            f"topic {topic.name}: offset {start} is not in the log, which holds {beginning} to {end}; "
            "read it from the beginning"
        )
    return start
