"""A simulated process: the parts of one service, stepped in virtual time.

``Process`` drives the same steppers as the loop of a real process. Its processors share one reader; each late processor
gets a reader of its own once it is needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from ledgerlb.core.errors import BadInput
from ledgerlb.eventlog.port import EventLog, Reader, Record
from ledgerlb.runtime.metrics import Metrics
from ledgerlb.runtime.parts import Parts
from ledgerlb.runtime.processor import Processor
from ledgerlb.runtime.stepper import Stepper
from ledgerlb.simulator.clock import START, VirtualClock
from ledgerlb.simulator.faults import Killed

_P = TypeVar("_P", bound=Parts)


@dataclass(frozen=True, slots=True)
class World:
    """What simulated processes share. ``remember`` bounds how many inputs of each may be delivered again."""

    clock: VirtualClock
    metrics: Metrics
    tell: Callable[[str], None]
    """Gets a message for each record that a processor could not use."""
    remember: int

    def seconds(self) -> float:
        """Return the seconds of virtual time since the start."""
        return (self.clock() - START).total_seconds()

    def reject(self, name: str, record: Record, error: Exception) -> None:
        """Report a record that a processor could not use. Raise any other error again, because it is a bug."""
        del record
        if not isinstance(error, BadInput):
            raise error
        self.tell(f"{name}: {error}")


class Process(Generic[_P]):
    """See module. ``make`` assembles the parts at each start.

    ``finish`` completes the writes that a settle started, and returns whether one of them killed the process.
    """

    def __init__(
        self,
        make: Callable[[], _P],
        log: EventLog,
        world: World,
        finish: Callable[[_P], Awaitable[bool]] | None = None,
    ) -> None:
        self.parts = make()
        self._make = make
        self._log = log
        self._world = world
        self._finish = finish
        self._lane = self._new_lane()

    def _new_lane(self) -> _Lane:
        return _Lane(self.parts.processors, self._log, self._world)

    def due(self) -> datetime | None:
        """Return when the process wants to be called without new records."""
        return self._lane.due()

    async def step(self) -> bool:
        """Fold everything that is new and settle; False where there was nothing to do.

        A process that is killed on the way starts again from the log at once.
        """
        await self._lane.fold()
        if not self._lane.is_due():
            return False
        await self._settle()
        return True

    async def deliver_again(self, count: int) -> None:
        """Deliver the last ``count`` inputs a second time, and settle."""
        if count:
            self._lane.take_again(count)
            await self._settle()

    async def restart(self) -> None:
        """Drop everything in memory and begin again from the log."""
        await self.close()
        self.parts = self._make()
        self._lane = self._new_lane()

    async def close(self) -> None:
        """Stop reading, and close the parts."""
        await self._lane.close()
        await self.parts.close()

    async def _settle(self) -> None:
        """Settle what is due. A process that is killed meanwhile starts again."""
        try:
            await self._lane.settle()
            died = self._finish is not None and await self._finish(self.parts)
        except Killed:
            died = True
        if died:
            await self.restart()


class _Lane:
    """Steppers that share a reader."""

    def __init__(self, processors: Sequence[Processor], log: EventLog, world: World) -> None:
        self.steppers = [
            Stepper(one, log, metrics=world.metrics, clock=world.seconds, now=world.clock, on_reject=world.reject)
            for one in processors
        ]
        self._log = log
        self._world = world
        self._inputs: deque[Record] = deque(maxlen=world.remember)
        self._reader: Reader | None = None

    async def fold(self) -> None:
        """Fold everything that is new."""
        if self._reader is None:
            topics = dict.fromkeys(topic for stepper in self.steppers for topic in stepper.reads)
            self._reader = await self._log.open(tuple(topics))
        while records := await self._reader.poll(0.0):
            for record in records:
                self._inputs.append(record)
                self._take(record)

    def take_again(self, count: int) -> None:
        """Fold the last inputs a second time, as copies: a record of its own each."""
        for record in list(self._inputs)[-count:]:
            self._take(replace(record))

    def _take(self, record: Record) -> None:
        for stepper in self.steppers:
            if any(topic.name == record.topic for topic in stepper.reads):
                stepper.take(record)

    def is_due(self) -> bool:
        """Return whether there is something to settle. Virtual time does not pass while records gather."""
        return any(self._is_due(stepper) for stepper in self.steppers)

    def _is_due(self, stepper: Stepper) -> bool:
        at = self._wake_up(stepper)
        return stepper.has_news or (at is not None and at <= self._world.clock())

    async def settle(self) -> None:
        """Settle the steppers that are due."""
        for stepper in self.steppers:
            if self._is_due(stepper):
                await stepper.settle()
                await stepper.flush()

    def due(self) -> datetime | None:
        """Return the next wake-up time."""
        return min((at for stepper in self.steppers if (at := self._wake_up(stepper)) is not None), default=None)

    def _wake_up(self, stepper: Stepper) -> datetime | None:
        """Return a wake-up time in whole microseconds, as the clock has them."""
        return None if stepper.wake_at is None else START + timedelta(seconds=stepper.wake_at)

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()
            self._reader = None
