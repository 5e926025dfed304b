"""One part of the pipeline under the simulator's hand: a processor, its reader, and when it wants to be called."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from ledgerlb.core.errors import BadInput, LedgerLBError
from ledgerlb.eventlog.delegating import DelegatingLog
from ledgerlb.eventlog.port import EventLog, NewRecord, Reader, Record
from ledgerlb.eventlog.topics import Topic
from ledgerlb.kube.writer import ClusterWriter, Object, Write
from ledgerlb.runtime.processor import Processor

SHORTEST_WAKE_UP: Final = 0.01
"""Seconds: as in the real loop, a processor that asks to be called again at once waits at least this long."""

Fault = Callable[[str, str], bool]
"""(name of the unit, topic or verb) after each append and write: True kills the unit right there."""


class Killed(LedgerLBError):
    """The unit was killed right after an append: whatever would have followed does not."""


class FaultyLog(DelegatingLog):
    """A log that kills whoever appends, where the fault says so; all else goes to the log behind it."""

    def __init__(self, log: EventLog, name: str, fault: Fault) -> None:
        super().__init__(log)
        self._name = name
        self._fault = fault

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog; raises Killed once the records stand in the log."""
        offsets = await super().append(topic, records)
        if records and self._fault(self._name, topic.name):
            raise Killed(f"{self._name} was killed after an append to {topic.name}")
        return offsets


class FaultyWriter:
    """A writer that dies after a write, where the fault says so: nothing more is written until ``revive``."""

    def __init__(self, writer: ClusterWriter, name: str, fault: Fault) -> None:
        self._writer = writer
        self._name = name
        self._fault = fault
        self._dead = False

    async def write(self, write: Write) -> Object | None:
        """See ClusterWriter; raises Killed once the write is done, and before every later one."""
        if self._dead:
            raise Killed(f"{self._name} is dead")
        result = await self._writer.write(write)
        if self._fault(self._name, write.verb):
            self._dead = True
            raise Killed(f"{self._name} was killed after it wrote {write.kind} {write.name}")
        return result

    async def close(self) -> None:
        """See ClusterWriter."""
        await self._writer.close()

    def revive(self) -> bool:
        """Let a new process write again; whether the last one had died."""
        died, self._dead = self._dead, False
        return died


class Unit:
    """A processor that is stepped.

    ``make`` builds it; ``remember`` bounds how many inputs may be delivered again; ``finish`` completes what a settle
    left under way, and says whether the processor died of it; ``end`` lets go of a processor that is dropped.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Processor],
        log: EventLog,
        clock: Callable[[], datetime],
        remember: int,
        *,
        finish: Callable[[Processor], Awaitable[bool]] | None = None,
        end: Callable[[Processor], Awaitable[None]] | None = None,
    ) -> None:
        self.name = name
        self.processor = make()
        self.unusable: list[str] = []
        """Messages of records that the processor could not use."""
        self._make = make
        self._finish = finish
        self._end = end
        self._log = log
        self._clock = clock
        self._inputs: deque[Record] = deque(maxlen=remember)
        self._reader: Reader | None = None
        self._settled = False
        self._due: datetime | None = None

    @property
    def due(self) -> datetime | None:
        """When it wants to be called without new records."""
        return self._due

    async def step(self) -> bool:
        """Fold everything that is new and settle; False where there was nothing to do.

        A unit that is killed on the way starts again from the log at once.
        """
        if self._reader is None:
            self._reader = await self._log.open(self.processor.reads)
        took = False
        while records := await self._reader.poll(0.0):
            took = True
            for record in records:
                self._inputs.append(record)
                self._take(record)
        if not took and self._settled and not (self._due is not None and self._due <= self._clock()):
            return False
        await self._settle()
        return True

    async def deliver_again(self, count: int) -> None:
        """Deliver the last ``count`` inputs a second time, and settle."""
        if not count:
            return
        for record in list(self._inputs)[-count:]:
            self._take(record)
        await self._settle()

    async def restart(self) -> None:
        """Drop everything in memory and begin again from the log."""
        await self.close()
        if self._end is not None:
            await self._end(self.processor)
        self.processor = self._make()
        self._settled = False
        self._due = None

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()
            self._reader = None

    def _take(self, record: Record) -> None:
        try:
            self.processor.take(record)
        except BadInput as error:
            self.unusable.append(f"{self.name}: {error}")

    async def _settle(self) -> None:
        try:
            delay = await self.processor.settle(self._log)
            died = self._finish is not None and await self._finish(self.processor)
        except Killed:
            died, delay = True, None
        if died:
            await self.restart()
            return
        self._settled = True
        self._due = None if delay is None else self._clock() + timedelta(seconds=max(delay, SHORTEST_WAKE_UP))
