"""How long a loop lets records gather before it looks again.

A record that comes alone is looked at at once. The faster records come, the longer the rest after each batch, up to
``LONGEST``: handling fifty records costs little more than handling one, since most of the price is that of the
requests to the log, and it is paid by every reader behind as well. A loop that nobody waits for on the way to an
address begins to rest earlier: it leaves the cores to those that somebody does wait for.
"""

from __future__ import annotations

import math
from typing import Final

LONGEST: Final = 0.04
"""Seconds of rest at ``BUSY`` records per second and above."""
CALM: Final = 200.0
"""Records per second up to which there is no rest."""
BUSY: Final = 400.0
UNHURRIED_LONGEST: Final = 0.2
"""``LONGEST`` of an low_priority loop."""
UNHURRIED_CALM: Final = 12.0
"""``CALM`` of an low_priority loop."""
UNHURRIED_BUSY: Final = 24.0
"""``BUSY`` of an low_priority loop."""
_MEMORY: Final = 0.25
"""Seconds over which the rate is taken."""


class Pace:
    """See module. The caller says when each batch was done, in monotonic seconds."""

    def __init__(self, *, low_priority: bool = False) -> None:
        self._calm, self._busy = (UNHURRIED_CALM, UNHURRIED_BUSY) if low_priority else (CALM, BUSY)
        self._longest = UNHURRIED_LONGEST if low_priority else LONGEST
        self._at = 0.0
        self._rate = 0.0

    def rest(self, records: int, now: float) -> float:
        """Seconds to rest after a batch of ``records`` that was done at ``now``."""
        kept = math.exp(-max(0.0, now - self._at) / _MEMORY)
        self._at = now
        self._rate = self._rate * kept + records / _MEMORY
        return self._longest * min(1.0, max(0.0, (self._rate - self._calm) / (self._busy - self._calm)))
