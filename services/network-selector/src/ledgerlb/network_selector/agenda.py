"""What the selector still has to look at: now (dirty), later (due), and when to wake up for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from heapq import heappop, heappush

from ledgerlb.runtime.due import is_due


class Agenda:
    """Names to look at, each at most once. A name that is added or due is dirty until ``done`` takes it off.

    The agenda has no clock: ``later`` counts from the next ``advance`` or ``wake_up``, which are told the time.
    """

    def __init__(self) -> None:
        self._dirty: dict[str, None] = {}
        self._unscheduled: dict[str, float] = {}
        """Names with the seconds from the next ``advance``."""
        self._due: dict[str, datetime] = {}
        self._queue: list[tuple[datetime, str, float]] = []
        """Heap of (due, name, seconds). An entry counts only while ``_due`` agrees, so that ``done`` stays cheap."""

    def add(self, names: Iterable[str]) -> None:
        """Make these names dirty."""
        self._dirty.update(dict.fromkeys(names))

    def later(self, name: str, seconds: float) -> None:
        """Make the name dirty in so many seconds, unless it is due already."""
        if name not in self._due:
            self._unscheduled[name] = min(seconds, self._unscheduled.get(name, seconds))

    def done(self, name: str) -> None:
        """Take the name off, also if it was due later."""
        self._dirty.pop(name, None)
        self._unscheduled.pop(name, None)
        self._due.pop(name, None)

    def advance(self, now: datetime) -> None:
        """Make every name dirty that is due."""
        self._schedule(now)
        while self._queue and is_due(self._queue[0][0], now, self._queue[0][2]):
            at, name, _ = heappop(self._queue)
            if self._due.get(name) == at:
                del self._due[name]
                self._dirty[name] = None

    def dirty(self) -> tuple[str, ...]:
        """Return the names to look at now, in the order in which they became dirty."""
        return tuple(self._dirty)

    def is_dirty(self, name: str) -> bool:
        """Return whether the name is to be looked at now."""
        return name in self._dirty

    def wake_up(self, now: datetime) -> float | None:
        """Return in how many seconds there is something to look at, None if nothing waits for time to pass."""
        self._schedule(now)
        while self._queue and self._due.get(self._queue[0][1]) != self._queue[0][0]:
            heappop(self._queue)
        if self._dirty:
            return 0.0
        return max(0.0, (self._queue[0][0] - now).total_seconds()) if self._queue else None

    def _schedule(self, now: datetime) -> None:
        for name, seconds in self._unscheduled.items():
            self._due[name] = at = now + timedelta(seconds=seconds)
            heappush(self._queue, (at, name, seconds))
        self._unscheduled.clear()
