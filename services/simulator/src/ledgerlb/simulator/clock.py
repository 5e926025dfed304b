"""Virtual time: it advances only when a caller moves it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualClock:
    """Call it for the present moment (aware UTC)."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def __call__(self) -> datetime:
        """Return the present moment."""
        return self._now

    def move_to(self, moment: datetime) -> None:
        """Move on; time never goes back."""
        assert moment >= self._now, "virtual time does not go back"
        self._now = moment
