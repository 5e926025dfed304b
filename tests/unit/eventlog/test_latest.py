from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import pytest

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.delegating import DelegatingLog
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import EventLog, NewRecord, Reader, Record, latest
from ledgerlb.eventlog.topics import FACTS, Topic


async def test_latest_takes_its_time_over_a_long_topic_but_not_over_a_silent_log() -> None:
    log = MemoryLog()
    await log.append(FACTS, [NewRecord(str(number), b"good") for number in range(60_000)])
    slow = _SlowLog(log, seconds=0.02)
    began = time.monotonic()
    assert len(await latest(slow, FACTS, timeout=0.5)) == 60_000
    assert time.monotonic() - began > 0.5
    slow.silent = True
    with pytest.raises(LogUnavailable, match=r"no record arrived for 0\.5 s"):
        await latest(slow, FACTS, timeout=0.5)


class _SlowLog(DelegatingLog):
    """Every poll takes ``seconds``, and finds nothing while ``silent``."""

    def __init__(self, log: EventLog, seconds: float) -> None:
        super().__init__(log)
        self._seconds = seconds
        self.silent = False

    async def open(self, topics: Sequence[Topic], start: Mapping[str, int] | None = None) -> Reader:
        reader = await super().open(topics, start)
        poll = reader.poll

        async def slow_poll(timeout: float, max_records: int = 2000) -> list[Record]:
            await asyncio.sleep(self._seconds)
            return [] if self.silent else await poll(timeout, max_records)

        reader.poll = slow_poll  # type: ignore[method-assign]
        return reader
