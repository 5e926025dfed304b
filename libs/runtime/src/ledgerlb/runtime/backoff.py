"""Back-off with jitter: how long to wait before the next try."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

FIRST: Final = 0.2
LONGEST: Final = 5.0


class Backoff:
    """Doubles from ``first`` to ``longest`` seconds; each wait is a random share of it, from half to all, so that
    processes which failed together do not come back together.
    """

    def __init__(
        self, first: float = FIRST, longest: float = LONGEST, share: Callable[[], float] | None = None
    ) -> None:
        self._first = first
        self._longest = longest
        self._share = share if share is not None else lambda: random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._next = first

    def next(self) -> float:
        """Seconds to wait now."""
        wait = self._next * self._share()
        self._next = min(self._next * 2, self._longest)
        return wait

    def reset(self) -> None:
        """The last try succeeded."""
        self._next = self._first
