"""Reading a log to its end, for the commands that answer once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from ledgerlb.core.errors import BadInput, InvalidSetting, LogUnavailable
from ledgerlb.eventlog.connect import connect, sqlite_path
from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import Topic

SILENCE: Final = 30.0
"""Seconds without a record, short of the end, after which a log counts as unreachable."""


@asynccontextmanager
async def existing_log(url: str) -> AsyncIterator[EventLog]:
    """Connect to a log that must exist already: a question must not make a file. Raises InvalidSetting."""
    if url.startswith("sqlite:"):
        path = sqlite_path(url)
        if not path.is_file():
            raise InvalidSetting(
                "option --log", "", f"there is no file {path}", "start ledgerlb run first, or name its log with --log"
            )
    async with connect(url) as log:
        yield log


async def read_all(log: EventLog, topics: Sequence[Topic], take: Callable[[Record], None]) -> int:
    """Hand every record up to the present end to ``take``, and return how many it could not use (BadInput).

    Raises LogUnavailable when nothing comes for ``SILENCE`` seconds.
    """
    unusable = 0
    heard = time.monotonic()
    async with await log.open(topics) as reader:
        while not reader.caught_up:
            records = await reader.poll(1.0)
            if records:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE:
                raise LogUnavailable(f"the log gave no record for {SILENCE:g} s; is it reachable?")
            for record in records:
                try:
                    take(record)
                except BadInput:
                    unusable += 1
    return unusable
