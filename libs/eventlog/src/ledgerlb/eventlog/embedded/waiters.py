"""The tasks that wait for the next append. Concurrency: one event loop, no threads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection


class Waiters:
    """See module."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], frozenset[str] | None] = {}

    def wake(self, topics: Collection[str] | None = None) -> None:
        """Wake the tasks that wait for one of ``topics`` (None: all), in the order in which they began to wait."""
        for waiter, wanted in self._waiting.items():
            if not waiter.done() and (topics is None or wanted is None or not wanted.isdisjoint(topics)):
                waiter.set_result(None)

    async def wait(self, seconds: float, topics: frozenset[str] | None = None) -> None:
        """Return at the next ``wake`` for one of ``topics`` (None: at any), or after ``seconds``."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = topics
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            pass
        finally:
            self._waiting.pop(waiter, None)
