"""Decide how long a loop lets records gather before it looks again.

The loop handles a record that comes alone at once. The faster records come, the longer it rests after each batch, up
to ``LONGEST``. Handling fifty records costs little more than handling one: most of the price is the requests to the
log, and every later reader pays it too. A loop on which no new address depends rests earlier (low priority), and
leaves the cores to the others.
"""

from __future__ import annotations

import math
from typing import Final

LONGEST: Final = 0.04
"""Seconds of rest at ``BUSY`` records per second and above."""
CALM: Final = 200.0
"""Records per second up to which there is no rest."""
BUSY: Final = 400.0
LOW_PRIORITY_LONGEST: Final = 0.2
"""``LONGEST`` of a low-priority loop."""
LOW_PRIORITY_CALM: Final = 12.0
"""``CALM`` of a low-priority loop."""
LOW_PRIORITY_BUSY: Final = 24.0
"""``BUSY`` of a low-priority loop."""
_MEMORY: Final = 0.25
"""Seconds over which the rate is measured."""


class Pace:
    """See module. The caller passes the end of each batch, in monotonic seconds."""

    def __init__(self, *, low_priority: bool = False) -> None:
        self._calm, self._busy = (LOW_PRIORITY_CALM, LOW_PRIORITY_BUSY) if low_priority else (CALM, BUSY)
        self._longest = LOW_PRIORITY_LONGEST if low_priority else LONGEST
        self._at = 0.0
        self._rate = 0.0

    def rest(self, records: int, now: float) -> float:
        """Return the seconds to rest after a batch of ``records`` that ended at ``now``."""
        kept = math.exp(-max(0.0, now - self._at) / _MEMORY)
        self._at = now
        self._rate = self._rate * kept + records / _MEMORY
        return self._longest * min(1.0, max(0.0, (self._rate - self._calm) / (self._busy - self._calm)))
