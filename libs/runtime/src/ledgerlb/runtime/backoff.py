"""Back-off: how long to wait before the next try, for one thing or for each of many."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Final

FIRST: Final = 0.2
LONGEST: Final = 5.0
_MOST_DOUBLINGS: Final = 30
"""Doublings after which a wait has reached every sensible ``longest``; bounds the number that is computed."""


def doubled(first: float, longest: float, times: int) -> float:
    """Return ``first`` seconds doubled ``times`` times, at most ``longest``."""
    return min(longest, first * 2.0 ** min(times, _MOST_DOUBLINGS))


class Backoff:
    """Waits that double from ``first`` to ``longest`` seconds.

    Each wait is a random share of that, from half to all: processes that failed together do not come back together.
    """

    def __init__(
        self, first: float = FIRST, longest: float = LONGEST, share: Callable[[], float] | None = None
    ) -> None:
        self._first = first
        self._longest = longest
        self._share = share if share is not None else lambda: random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._failures = 0

    def next(self, at_least: float = 0.0) -> float:
        """Count a failure and return the seconds to wait: ``at_least`` (capped at the longest wait) or more."""
        wait = doubled(self._first, self._longest, self._failures) * self._share()
        self._failures += 1
        return max(wait, min(at_least, self._longest))

    def reset(self) -> None:
        """Start again at the first wait, after a try that succeeded."""
        self._failures = 0


class KeyedBackoff:
    """A back-off for each of many keys.

    The share of each wait comes from the key and the number of its failures. So keys that failed together spread out,
    and the same failures lead to the same waits. Memory: one number for each key that failed and has not succeeded.
    """

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._failures: dict[str, int] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._failures

    def next(self, key: str, at_least: float = 0.0) -> float:
        """Count a failure of ``key`` and return the seconds to wait. See ``Backoff.next``."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        share = 0.5 + zlib.crc32(f"{key}/{failures + 1}".encode()) / 2**33
        return max(doubled(self._first, self._longest, failures) * share, min(at_least, self._longest))

    def reset(self, key: str) -> None:
        """Forget the failures of ``key``."""
        self._failures.pop(key, None)

    def clear(self) -> None:
        """Forget all failures."""
        self._failures.clear()
