"""The loop that runs the processors of one process on one reader, in real time.

    open a reader from the beginning ──► poll ──► hand each record to its steppers ──► caught up? settle those due ──┐
                                          ▲                                                                        │
                                          └── records, or the next wake-up ◄── rest (the busier, the longer) ◄───────┘

Errors, by what they ask for:
- bad input in ``take`` (BadInput), or any other exception there: the record goes to dead letters, the loop goes on; an
  unexpected one is logged with its traceback, since it is a bug and may have left the state half changed;
- LogUnavailable or another error of ours (and OSError): back off, open the reader again at the same positions, catch
  up to the end that the log has then, and settle every processor again;
- PositionLost: the log was replaced or truncated: forget everything and read from the beginning;
- LedgerCorrupt, and an unexpected exception in ``settle``: raised; the process ends, since going on could do harm.

Concurrency: one task for all processors of the loop. A take overlaps with nothing, so the processors may share what
they fold. The settles of one pass run side by side and overlap where they wait: what a processor decides between two
waits, it decides on one state. A long fold yields to the event loop every few milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from ledgerlb.core.errors import BadInput, LedgerCorrupt, LedgerLBError
from ledgerlb.eventlog.port import EventLog, PositionLost, Reader, Record
from ledgerlb.eventlog.topics import Topic
from ledgerlb.runtime.backoff import Backoff
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.processor import Processor, Troubled
from ledgerlb.runtime.stepper import Stepper
from ledgerlb.runtime.stopping import sleep_or_stop

POLL_SECONDS: Final = 0.5
"""The longest wait for records: bounds how late a stop or a lost log is noticed."""
SLICE_SECONDS: Final = 0.01
"""How long a fold may keep the event loop to itself."""
SLICE_RECORDS: Final = 50
"""How many records are folded between two looks at the clock."""
MAX_UNEXPECTED_TRACEBACKS: Final = 20
"""Tracebacks logged for unexpected exceptions in ``take`` before only a line each is."""

MAX_LOGGED: Final = 500
"""Characters of an error that a log line shows; the dead letter has more."""

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time comes from; tests put their own here. ``sleep`` None waits in real time, and ends early on a stop."""

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    sleep: Callable[[float], Awaitable[None]] | None = None
    backoff: Callable[[], Backoff] = Backoff


async def run_processors(
    log: EventLog, processors: Sequence[Processor], health: Health, stop: asyncio.Event, timing: Timing | None = None
) -> None:
    """Run the processors on one reader until ``stop`` is set. Raises LedgerCorrupt, and what a ``settle`` raises
    unexpectedly.
    """
    if processors:
        await _Loop(log, processors, health, stop, timing or Timing(clock=health.clock)).run()


class _Loop:
    def __init__(
        self, log: EventLog, processors: Sequence[Processor], health: Health, stop: asyncio.Event, timing: Timing
    ) -> None:
        self._log = log
        self._metrics = health.metrics
        self._stop = stop
        self._timing = timing
        self._backoff = timing.backoff()
        self._rejections = _Rejections()
        self._steppers = [
            Stepper(one, log, metrics=health.metrics, clock=timing.clock, now=timing.now, on_reject=self._rejections)
            for one in processors
        ]
        self._parts = {one.name: health.part(one.name) for one in processors}
        for one in processors:
            if isinstance(one, Troubled):
                self._parts[one.name].trouble = one.problems
        self._topics: dict[Topic, list[Stepper]] = {}
        for stepper in self._steppers:
            for topic in stepper.reads:
                self._topics.setdefault(topic, []).append(stepper)
        self._takers = {topic.name: steppers for topic, steppers in self._topics.items()}
        self._positions: dict[str, int] = {}
        self._failing: set[str] = set()
        """Processors from an error until their next settle that succeeds: reading alone does not make them ready."""
        self._logger = _logger.bind(processor=", ".join(self._parts))

    async def run(self) -> None:
        while not self._stop.is_set():
            self._turned()
            try:
                async with await self._log.open(tuple(self._topics), dict(self._positions)) as reader:
                    await self._tail(reader)
            except LedgerCorrupt:
                raise
            except PositionLost as error:
                self._logger.warning("event log was replaced or truncated; refolding", error=str(error))
                self._forget()
                await self._pause(error)
            except (LedgerLBError, OSError) as error:
                await self._pause(error)

    def _turned(self) -> None:
        for part in self._parts.values():
            part.turned()

    def _forget(self) -> None:
        self._positions.clear()
        for stepper in self._steppers:
            stepper.reset()
            self._parts[stepper.name].caught_up = False
            self._metrics.caught_up.labels(stepper.name).set(0)

    async def _pause(self, error: Exception) -> None:
        for name, part in self._parts.items():
            self._failing.add(name)
            part.why = str(error) or type(error).__name__
            self._metrics.reconnects.labels(name).inc()
        wait = self._backoff.next()
        self._logger.warning("backing off", error=str(error), kind=type(error).__name__, seconds=round(wait, 2))
        if self._timing.sleep is not None:
            await self._timing.sleep(wait)
            return
        await sleep_or_stop(self._stop, wait)

    async def _tail(self, reader: Reader) -> None:
        """Fold and settle until the stop; whatever is raised ends this reader."""
        for stepper in self._steppers:
            stepper.settle_again()
        while not self._stop.is_set():
            self._turned()
            records = await reader.poll(self._wait() if reader.caught_up else POLL_SECONDS)
            for name, part in self._parts.items():
                if name not in self._failing:
                    part.contact()
            if records:
                await self._fold(records)
            due = [stepper for stepper in self._steppers if stepper.is_due()] if reader.caught_up else []
            await self._settle_all(due)
            # After the settles: dead letters that cannot be written must not keep a processor from its work.
            for stepper in due:
                await stepper.flush()
            # A log in memory answers without yielding, so the loop yields where nothing is due, too.
            await asyncio.sleep(min(stepper.rest() for stepper in self._steppers) if due else 0)

    def _wait(self) -> float:
        """Return how many seconds to wait for records: none while there is something to settle."""
        moments = [at for stepper in self._steppers if (at := stepper.next_at()) is not None]
        return min(POLL_SECONDS, max(0.0, min(moments) - self._timing.clock())) if moments else POLL_SECONDS

    async def _fold(self, records: list[Record]) -> None:
        slice_began = time.perf_counter()
        for number, record in enumerate(records, 1):
            for stepper in self._takers[record.topic]:
                stepper.take(record)
            self._positions[record.topic] = record.offset + 1
            if number % SLICE_RECORDS == 0 and time.perf_counter() - slice_began > SLICE_SECONDS:
                await asyncio.sleep(0)
                slice_began = time.perf_counter()
        age = self._timing.now().timestamp() - records[-1].timestamp / 1000
        for stepper in self._steppers:
            stepper.count()
            self._metrics.lag.labels(stepper.name).set(max(0.0, age))

    async def _settle_all(self, due: Sequence[Stepper]) -> None:
        """Settle side by side: while one waits for the log, the next decides, and what they append travels together.

        Raises what calls for the strongest reaction, once all have ended.
        """
        if len(due) == 1:
            await self._settle(due[0])
        elif due:
            outcomes = await asyncio.gather(*map(self._settle, due), return_exceptions=True)
            errors = [outcome for outcome in outcomes if outcome is not None]
            if errors:
                raise next((error for error in errors if not _can_go_on(error)), errors[0])
        if due:
            self._backoff.reset()

    async def _settle(self, stepper: Stepper) -> None:
        await stepper.settle()
        self._failing.discard(stepper.name)
        part = self._parts[stepper.name]
        part.contact()
        part.why = ""
        if not part.caught_up:
            part.caught_up = True
            self._metrics.caught_up.labels(stepper.name).set(1)
            self._logger.info("caught up", positions=dict(self._positions))


def _can_go_on(error: BaseException) -> bool:
    """Return whether the loop survives the error (see module)."""
    return isinstance(error, LedgerLBError | OSError) and not isinstance(error, LedgerCorrupt)


class _Rejections:
    """Logs the records that processors could not use."""

    def __init__(self) -> None:
        self._tracebacks = 0

    def __call__(self, processor: str, record: Record, error: Exception) -> None:
        about = {"processor": processor, "topic": record.topic, "offset": record.offset, "key": record.key}
        if isinstance(error, BadInput):
            _logger.warning("bad record", error=str(error)[:MAX_LOGGED], **about)
            return
        self._tracebacks += 1
        _logger.error(
            "unexpected error while folding a record; this is a bug",
            error=repr(error)[:MAX_LOGGED],
            exc_info=error if self._tracebacks <= MAX_UNEXPECTED_TRACEBACKS else None,
            **about,
        )
