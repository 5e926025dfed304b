"""The loop that runs one processor on a log.

    open a reader from the beginning ──► poll ──► take each record ──► dead letters ──► caught up? settle ──┐
                                          ▲                                                                │
                                          └── records, or the wake-up time ◄── rest (the busier, the longer)┘

Errors, by what they ask for:
- bad input in ``take`` (BadInput), or any other exception there: the record goes to dead letters, the loop goes on; an
  unexpected one is logged with its traceback, since it is a bug and may have left the state half changed;
- LogUnavailable or another error of ours (and OSError): back off, open the reader again where it stood, catch up to
  the end
  that the log has then, and settle again;
- PositionLost: the log is not the one that was read: forget everything and read from the beginning;
- LedgerCorrupt, and an unexpected exception in ``settle``: raised; the process ends, since going on could do harm.

Concurrency: one task per processor; take and settle never overlap. A long fold yields to the event loop every few
milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from ledgerlb.core.errors import BadInput, LedgerCorrupt, LedgerLBError
from ledgerlb.eventlog.port import EventLog, PositionLost, Reader, Record
from ledgerlb.runtime.backoff import Backoff
from ledgerlb.runtime.deadletters import DeadLetters
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.metrics import MeasuredLog
from ledgerlb.runtime.pace import Pace
from ledgerlb.runtime.processor import Processor

POLL_SECONDS: Final = 0.5
"""The longest wait for records: bounds how late a stop or a lost log is noticed."""
SLICE_SECONDS: Final = 0.01
"""How long a fold may keep the event loop to itself."""
SLICE_RECORDS: Final = 50
"""How many records are folded between two looks at the clock."""
SHORTEST_WAKE_UP: Final = 0.01
"""A processor that asks to be called again at once waits at least this long, so that it cannot spin."""
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


async def run_processor(
    log: EventLog, processor: Processor, health: Health, stop: asyncio.Event, timing: Timing | None = None
) -> None:
    """Run ``processor`` until ``stop`` is set. Raises LedgerCorrupt, and what ``settle`` raises unexpectedly."""
    await _Loop(log, processor, health, stop, timing or Timing(clock=health.clock)).run()


class _Loop:
    def __init__(
        self, log: EventLog, processor: Processor, health: Health, stop: asyncio.Event, timing: Timing
    ) -> None:
        name = processor.name
        self._processor = processor
        self._part = health.part(name)
        self._metrics = health.metrics
        self._stop = stop
        self._timing = timing
        self._backoff = timing.backoff()
        self._log = MeasuredLog(log, name, health.metrics)
        self._dead_letters = DeadLetters(self._log, name, health.metrics, timing.clock, timing.now)
        self._positions: dict[str, int] = {}
        self._wake_at: float | None = None
        self._failing = False
        """From an error until the next settle that succeeds: reading alone does not make the process ready again."""
        self._tracebacks = 0
        self._pace = Pace(unhurried=processor.unhurried)
        self._logger = _logger.bind(processor=name)

    async def run(self) -> None:
        while not self._stop.is_set():
            self._part.turned()
            try:
                async with await self._log.open(self._processor.reads, dict(self._positions)) as reader:
                    await self._tail(reader)
            except LedgerCorrupt:
                raise
            except PositionLost as error:
                self._logger.warning("the log is not the one that was read; starting over", error=str(error))
                self._processor.reset()
                self._positions.clear()
                self._wake_at = None
                self._part.caught_up = False
                self._metrics.caught_up.labels(self._processor.name).set(0)
                await self._pause(error)
            except (LedgerLBError, OSError) as error:
                await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        self._failing = True
        self._part.why = str(error) or type(error).__name__
        self._metrics.reconnects.labels(self._processor.name).inc()
        wait = self._backoff.next()
        self._logger.warning("backing off", error=str(error), kind=type(error).__name__, seconds=round(wait, 2))
        if self._timing.sleep is not None:
            await self._timing.sleep(wait)
            return
        try:
            async with asyncio.timeout(wait):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _tail(self, reader: Reader) -> None:
        """Fold and settle until the stop; whatever is raised ends this reader."""
        settled = False
        while not self._stop.is_set():
            self._part.turned()
            records = await reader.poll(self._wait(settled=settled or not reader.caught_up))
            if not self._failing:
                self._part.contact()
            if records:
                await self._fold(records)
            if reader.caught_up and (records or not settled or self._is_due()):
                await self._settle()
                settled = True
                self._now_caught_up()
                # After the settle: dead letters that cannot be written must not keep the processor from its work.
                await self._dead_letters.flush()
                await asyncio.sleep(self._pace.rest(len(records), self._timing.clock()))
            else:
                await asyncio.sleep(0)  # a log in memory answers without yielding

    def _wait(self, *, settled: bool) -> float:
        """Seconds to wait for records: none while there is something to settle."""
        if not settled:
            return 0.0
        if self._wake_at is None:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.0, self._wake_at - self._timing.clock()))

    def _is_due(self) -> bool:
        return self._wake_at is not None and self._timing.clock() >= self._wake_at

    async def _fold(self, records: list[Record]) -> None:
        slice_began = time.perf_counter()
        counts: dict[str, int] = {}
        for number, record in enumerate(records, 1):
            self._take(record)
            self._positions[record.topic] = record.offset + 1
            counts[record.topic] = counts.get(record.topic, 0) + 1
            if number % SLICE_RECORDS == 0 and time.perf_counter() - slice_began > SLICE_SECONDS:
                await asyncio.sleep(0)
                slice_began = time.perf_counter()
        name = self._processor.name
        for topic, count in counts.items():
            self._metrics.folded.labels(name, topic).inc(count)
        age = self._timing.now().timestamp() - records[-1].timestamp / 1000
        self._metrics.lag.labels(name).set(max(0.0, age))

    def _take(self, record: Record) -> None:
        try:
            self._processor.take(record)
        except LedgerCorrupt:
            raise
        except BadInput as error:
            self._reject(record, error)
            self._logger.warning(
                "bad record",
                topic=record.topic,
                offset=record.offset,
                key=record.key,
                error=str(error)[:MAX_LOGGED],
            )
        except Exception as error:
            self._reject(record, error)
            self._tracebacks += 1
            self._logger.exception(
                "unexpected error while folding a record; this is a bug",
                topic=record.topic, offset=record.offset, key=record.key, error=repr(error)[:MAX_LOGGED],
                exc_info=error if self._tracebacks <= MAX_UNEXPECTED_TRACEBACKS else None,
            )  # fmt: skip

    def _reject(self, record: Record, error: Exception) -> None:
        self._metrics.unusable.labels(self._processor.name, record.topic).inc()
        self._dead_letters.add(record, error)

    async def _settle(self) -> None:
        started = time.perf_counter()
        delay = await self._processor.settle(self._log)
        self._metrics.settle.labels(self._processor.name).observe(time.perf_counter() - started)
        self._failing = False
        self._part.contact()
        self._backoff.reset()
        self._wake_at = None if delay is None else self._timing.clock() + max(delay, SHORTEST_WAKE_UP)

    def _now_caught_up(self) -> None:
        self._part.why = ""
        if not self._part.caught_up:
            self._part.caught_up = True
            self._metrics.caught_up.labels(self._processor.name).set(1)
            self._logger.info("caught up", positions=dict(self._positions))
