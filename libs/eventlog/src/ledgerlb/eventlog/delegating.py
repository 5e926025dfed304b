"""A log that passes every call on to another log: the base of logs that add something to some calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from ledgerlb.eventlog.port import EventLog, NewRecord, Reader, Record
from ledgerlb.eventlog.topics import Topic


class DelegatingLog:
    """See module. Entering and leaving it does nothing: the owner of the other log opens and closes that."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog."""
        return await self._log.append(topic, records)

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        """See EventLog."""
        return await self._log.open(topics, start)

    async def end(self, topic: Topic) -> int:
        """See EventLog."""
        return await self._log.end(topic)

    async def provision(self, *, replication: int = 1) -> list[str]:
        """See EventLog."""
        return await self._log.provision(replication=replication)

    async def check(self) -> list[str]:
        """See EventLog."""
        return await self._log.check()

    async def maintain(self, limit: int = 10_000) -> int:
        """See EventLog."""
        return await self._log.maintain(limit)

    async def remember_heads(self, heads: Sequence[NewRecord]) -> None:
        """See EventLog."""
        await self._log.remember_heads(heads)

    async def read_heads(self, take: Callable[[Record], None]) -> None:
        """See EventLog."""
        await self._log.read_heads(take)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the log behind it open."""
