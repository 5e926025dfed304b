"""Whether a moment has come, by a clock that may be set back."""

from __future__ import annotations

from datetime import datetime


def is_due(at: datetime, now: datetime, within: float) -> bool:
    """Whether ``at`` has come, which lay at most ``within`` seconds ahead when it was chosen. Where it lies further
    ahead, the clock was set back since: whoever waited on would wait for as long again.
    """
    ahead = (at - now).total_seconds()
    return ahead <= 0 or ahead > within
