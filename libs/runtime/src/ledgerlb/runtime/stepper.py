"""One processor, step by step: take records, keep those that cannot be used, settle, and know when to settle again.

A driver owns the time and the reader. It hands every record to ``take``, and calls ``settle`` when ``is_due`` says so
and the log was read to its end. ``loop`` drives steppers in real time, the simulator in virtual time.

A record that the processor cannot use becomes a dead letter, and stepping goes on. LedgerCorrupt is raised.

Concurrency: none of its own; a driver calls one method at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from ledgerlb.core.errors import LedgerCorrupt
from ledgerlb.eventlog.port import EventLog, Record
from ledgerlb.eventlog.topics import Topic
from ledgerlb.runtime.deadletters import DeadLetters
from ledgerlb.runtime.metrics import MeasuredLog, Metrics
from ledgerlb.runtime.pace import Pace
from ledgerlb.runtime.processor import Processor

SHORTEST_WAKE_UP: Final = 0.01
"""Seconds: a processor that asks to be called again at once waits at least this long, so that it cannot spin."""

OnReject = Callable[[str, Record, Exception], None]
"""Gets the name of the processor, the record that it could not use, and why (BadInput, or an unexpected error)."""


class Stepper:
    """See module. ``clock`` gives seconds that never go back, ``now`` aware UTC; ``on_reject`` may raise."""

    def __init__(
        self,
        processor: Processor,
        log: EventLog,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        on_reject: OnReject,
    ) -> None:
        self.name = processor.name
        self.processor = processor
        self.wake_at: float | None = None
        """When (by ``clock``) the processor wants to settle without new records."""
        self._log = MeasuredLog(log, self.name, metrics)
        self._metrics = metrics
        self._clock = clock
        self._on_reject = on_reject
        self._dead_letters = DeadLetters(self._log, self.name, metrics, clock, now)
        self._pace = Pace(low_priority=processor.low_priority)
        self._settled = False
        self._taken = 0
        """Records since the last settle."""
        self._uncounted: dict[str, int] = {}
        """Records by topic since the last ``count``."""
        self._rests_until = 0.0

    @property
    def reads(self) -> tuple[Topic, ...]:
        """The topics of the processor."""
        return self.processor.reads

    @property
    def has_news(self) -> bool:
        """Whether records came since the last settle, or none succeeded yet."""
        return bool(self._taken) or not self._settled

    def take(self, record: Record) -> None:
        """Fold one record."""
        self._taken += 1
        self._uncounted[record.topic] = self._uncounted.get(record.topic, 0) + 1
        try:
            self.processor.take(record)
        except LedgerCorrupt:
            raise
        except Exception as error:  # noqa: BLE001 - the record is kept, and the driver decides about bugs
            self._metrics.unusable.labels(self.name, record.topic).inc()
            self._dead_letters.add(record, error)
            self._on_reject(self.name, record, error)

    def count(self) -> None:
        """Add the records of this batch to the metrics."""
        for topic, count in self._uncounted.items():
            self._metrics.folded.labels(self.name, topic).inc(count)
        self._uncounted.clear()

    def next_at(self) -> float | None:
        """Return when the next settle is due by ``clock``, provided that the log is read to its end; None: only after
        another record.
        """
        if not self._settled:
            return self._clock()
        moments = [self._rests_until] if self.has_news else []
        if self.wake_at is not None:
            moments.append(self.wake_at)
        return min(moments, default=None)

    def is_due(self) -> bool:
        """Return whether to settle now, provided that the log is read to its end."""
        at = self.next_at()
        return at is not None and self._clock() >= at

    async def settle(self) -> None:
        """Let the processor write what follows from the records; raises what its ``settle`` raises."""
        started = time.perf_counter()
        delay = await self.processor.settle(self._log)
        self._metrics.settle.labels(self.name).observe(time.perf_counter() - started)
        now = self._clock()
        self.wake_at = None if delay is None else now + max(delay, SHORTEST_WAKE_UP)
        self._rests_until = now + self._pace.rest(self._taken, now)
        self._taken = 0
        self._settled = True

    def rest(self) -> float:
        """Return for how many seconds records may gather before the next settle."""
        return max(0.0, self._rests_until - self._clock())

    async def flush(self) -> None:
        """Write the dead letters; raises LogUnavailable, after which they are still kept."""
        await self._dead_letters.flush()

    def settle_again(self) -> None:
        """Make the next settle due even if no record comes: what the last one wrote may not have arrived."""
        self._settled = False

    def reset(self) -> None:
        """Forget everything that was folded."""
        self.processor.reset()
        self._taken = 0
        self._settled = False
        self.wake_at = None
