"""Stopping aiokafka's clients within a bound.

Their ``stop`` may wait for a broker that is gone, and a consumer without a group raises CancelledError from ``stop``
right after ``start``: neither must reach the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

STOP_TIMEOUT: Final = 3.0


async def stop_client(client: Any) -> None:
    """``client.stop()``, for at most STOP_TIMEOUT seconds, whatever it raises."""
    await finish(client.stop())


async def finish(step: Coroutine[Any, Any, Any], seconds: float = STOP_TIMEOUT) -> None:
    """Run ``step`` for at most ``seconds``, whatever it raises; only the caller's own cancellation passes through."""
    task = asyncio.ensure_future(step)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if task.done():
            if not task.cancelled():
                task.exception()  # seen: asyncio must not complain about it
        else:
            task.cancel()
