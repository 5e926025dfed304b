"""A queue of work on names for a bounded number of tasks: the publisher writes without holding up the fold.

``add`` queues a name. At most one task works on a name at a time. A name that is added meanwhile gets one more turn
afterwards, so the work function always sees the latest state and no name is queued twice.

*Background tasks* come after all names: they run when the queue has been quiet for ``quiet`` seconds, or have waited
``patience`` seconds. One runs at a time and then rests for as long as it took, so that they never take more than half
of one connection. At most ``max_background`` wait; beyond that the oldest is dropped and counted.

After ClusterUnavailable the queue tries the name again, after a pause that doubles up to ``longest`` seconds. After
``OUTAGE`` failures in a row it tries one name at a time; the first success lets all others continue at once. Names
that have failed come after those that have not: names that fail for their own reason (an admission webhook that does
not answer for them) do not hold up the others.

Concurrency: everything happens on one event loop; only ``work`` and background tasks wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog

from ledgerlb.core.errors import ClusterUnavailable, LedgerLBError
from ledgerlb.runtime.backoff import KeyedBackoff, doubled

OUTAGE: Final = 8
BACKGROUND_TRIES: Final = 5

_logger = structlog.get_logger(__name__)

Work = Callable[[str], Awaitable[None]]
BackgroundTask = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a queue; times in seconds."""

    concurrency: int = 16
    first: float = 0.2
    longest: float = 30.0
    quiet: float = 0.25
    patience: float = 15.0
    max_background: int = 5000
    between: float = 1.0
    """Between two writes of one AddressPool's status, which changes with every address that is given out."""


@dataclass(slots=True)
class _Waiting:
    task: BackgroundTask
    since: float
    not_before: float = 0.0
    tries: int = 0


class WorkQueue:
    """See module. ``counts``: ``failed`` and ``dropped`` (background tasks), for metrics."""

    def __init__(self, work: Work, limits: Limits | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._work = work
        self._limits = limits or Limits()
        self._pending: dict[str, None] = {}
        self._failed_before: dict[str, None] = {}
        """Names that are pending too, but failed the last time."""
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._backoff = KeyedBackoff(self._limits.first, self._limits.longest)
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._background: deque[_Waiting] = deque()
        self._background_runs = False
        self._rested_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._busy_at = float("-inf")
        self._changed = asyncio.Event()
        self._closed = False

    # For callers

    def add(self, name: str) -> None:
        """Work on the name as soon as possible (a pause after a failure goes on)."""
        if name in self._running:
            self._again.add(name)
        elif name not in self._delayed:
            self._queue(name)
        self._start()

    def _queue(self, name: str) -> None:
        (self._failed_before if name in self._backoff else self._pending)[name] = None

    def add_background(self, task: BackgroundTask) -> None:
        """Run the task when there is time."""
        if len(self._background) >= self._limits.max_background:
            self._background.popleft()
            self.counts["dropped"] += 1
        self._background.append(_Waiting(task, asyncio.get_running_loop().time()))
        self._start()

    def clear(self) -> None:
        """Forget what waits; finish what runs."""
        self._pending.clear()
        self._failed_before.clear()
        self._again.clear()
        self._backoff.clear()
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        self._background.clear()

    def waiting(self) -> int:
        """Return how many names and background tasks are not done yet."""
        return (
            len(self._pending) + len(self._failed_before) + len(self._running) + len(self._delayed) + self.background()
        )

    def background(self) -> int:
        """Return how many background tasks are not done yet."""
        return len(self._background) + int(self._background_runs)

    async def idle(self, within: float) -> bool:
        """Wait until nothing waits or runs, at most ``within`` seconds; return whether that is so."""
        try:
            async with asyncio.timeout(within):
                while self.waiting():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def close(self, within: float = 5.0) -> None:
        """Start nothing more, and cancel what still runs after ``within`` seconds."""
        self._closed = True
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # The tasks

    def _start(self) -> None:
        if self._closed:
            return
        limit = 1 if self._failures >= OUTAGE else self._limits.concurrency
        while (waiting := self._pending or self._failed_before) and len(self._running) < limit:
            name = next(iter(waiting))
            del waiting[name]
            self._running.add(name)
            self._spawn(self._run(name))
        if self._running:
            self._busy_at = asyncio.get_running_loop().time()
        self._start_background()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str) -> None:
        try:
            await self._work(name)
        except ClusterUnavailable as error:
            self._failed(name, error)
        except LedgerLBError as error:
            _logger.error("work failed", name=name, error=str(error))  # noqa: TRY400 - an error that we raise
        except Exception:
            self.counts["failed"] += 1
            _logger.exception("unexpected error; this is a bug", name=name)
        else:
            self._succeeded(name)
        finally:
            self._running.discard(name)
            self._busy_at = asyncio.get_running_loop().time()
            if name in self._again:
                self._again.discard(name)
                if name not in self._delayed:
                    self._queue(name)
            self._changed.set()
            self._start()

    def _failed(self, name: str, error: ClusterUnavailable) -> None:
        self.counts["failed"] += 1
        self._failures += 1
        delay = self._backoff.next(name, getattr(error, "retry_after", 0.0))
        _logger.warning(
            "the cluster is unavailable; trying again", name=name, error=str(error), seconds=round(delay, 1)
        )
        self._delayed[name] = asyncio.get_running_loop().call_later(delay, self._resume, name)

    def _resume(self, name: str) -> None:
        if self._delayed.pop(name, None) is not None:
            self.add(name)

    def _succeeded(self, name: str) -> None:
        self._backoff.reset(name)
        if self._failures >= OUTAGE:
            for waiting in list(self._delayed):
                self._delayed[waiting].cancel()
                self._resume(waiting)
        self._failures = 0

    def _start_background(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._background or self._background_runs:
            return
        first = self._background[0]
        quiet = min(self._busy_at + self._limits.quiet, first.since + self._limits.patience)
        due = max(first.not_before, self._rested_at, quiet)
        if due <= now:
            self._background_runs = True
            self._spawn(self._run_background(self._background.popleft()))
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(due, self._background_due)

    def _background_due(self) -> None:
        self._timer = None
        self._start()

    async def _run_background(self, waiting: _Waiting) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await waiting.task()
        except ClusterUnavailable as error:
            waiting.tries += 1
            if waiting.tries < BACKGROUND_TRIES:
                delay = doubled(self._limits.first, self._limits.longest, waiting.tries)
                waiting.not_before = asyncio.get_running_loop().time() + delay
                self._background.append(waiting)
            else:
                self.counts["dropped"] += 1
                _logger.warning("gave up a background task", error=str(error), tries=waiting.tries)
        except LedgerLBError as error:
            self.counts["dropped"] += 1
            _logger.warning("gave up a background task", error=str(error))
        except Exception:
            self.counts["failed"] += 1
            _logger.exception("unexpected error in a background task; this is a bug")
        finally:
            self._background_runs = False
            now = asyncio.get_running_loop().time()
            self._rested_at = now + (now - began)
            self._changed.set()
            self._start()
