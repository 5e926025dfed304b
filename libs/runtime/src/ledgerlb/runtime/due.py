"""Check whether a moment has come, by a clock that may be set back."""

from __future__ import annotations

from datetime import datetime


def is_due(at: datetime, now: datetime, within: float) -> bool:
    """Return True once ``at`` has passed, or if it is more than ``within`` seconds away.

    The caller chose ``at`` at most ``within`` seconds ahead, so the clock was set back in the second case, and waiting
    on would take as long again.
    """
    ahead = (at - now).total_seconds()
    return ahead <= 0 or ahead > within
