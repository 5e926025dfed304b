"""A log that signs what this process appends to the ledger, its heads, the path sets and the reports."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from ledgerlb.eventlog.delegating import DelegatingLog
from ledgerlb.eventlog.keys import ROLE_OF, SigningKey
from ledgerlb.eventlog.port import EventLog, NewRecord
from ledgerlb.eventlog.topics import HEADS, Topic


class SigningLog(DelegatingLog):
    """See module. Entering and leaving it opens and closes the log behind it."""

    def __init__(self, log: EventLog, key: SigningKey) -> None:
        super().__init__(log)
        self._key = key

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog."""
        return await super().append(topic, self._signed(topic, records) if topic.name in ROLE_OF else records)

    async def remember_heads(self, heads: Sequence[NewRecord]) -> None:
        """See EventLog."""
        await super().remember_heads(self._signed(HEADS, heads))

    def _signed(self, topic: Topic, records: Sequence[NewRecord]) -> list[NewRecord]:
        self._key.refresh()
        return [
            NewRecord(one.key, one.value, (*one.headers, *self._key.headers(topic.name, one.key, one.value)))
            for one in records
        ]

    async def __aenter__(self) -> Self:
        await self._log.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._log.__aexit__(kind, error, trace)
