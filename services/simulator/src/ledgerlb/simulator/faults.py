"""Kill a simulated process right after an append or a write."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledgerlb.core.errors import LedgerLBError
from ledgerlb.eventlog.delegating import DelegatingLog
from ledgerlb.eventlog.port import EventLog, NewRecord
from ledgerlb.eventlog.topics import Topic
from ledgerlb.kube.writer import ClusterWriter, Object, Write

Fault = Callable[[str, str], bool]
"""(name of the process, topic or verb) after each append and write: True kills the process right there."""


class Killed(LedgerLBError):
    """A fault killed the process right after an append or a write, so none of its later work happens."""


class FaultyLog(DelegatingLog):
    """A log that kills the process that appends, where ``fault`` says so; it passes all calls on."""

    def __init__(self, log: EventLog, name: str, fault: Fault) -> None:
        super().__init__(log)
        self._name = name
        self._fault = fault

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog; raises Killed once the records are in the log."""
        offsets = await super().append(topic, records)
        if records and self._fault(self._name, topic.name):
            raise Killed(f"{self._name} was killed after an append to {topic.name}")
        return offsets


class FaultyWriter:
    """A writer that dies after a write, where ``fault`` says so; it writes nothing more then."""

    def __init__(self, writer: ClusterWriter, name: str, fault: Fault) -> None:
        self.dead = False
        self._writer = writer
        self._name = name
        self._fault = fault

    async def write(self, write: Write) -> Object | None:
        """See ClusterWriter; raises Killed once the write is done, and before every later one."""
        if self.dead:
            raise Killed(f"{self._name} is dead")
        result = await self._writer.write(write)
        if self._fault(self._name, write.verb):
            self.dead = True
            raise Killed(f"{self._name} was killed after it wrote {write.kind} {write.name}")
        return result

    async def close(self) -> None:
        """See ClusterWriter."""
        await self._writer.close()
