"""Whether the clock that decisions are made by has leapt into the future.

A quarantine that is counted from a clock one year ahead lasts for a year, and every agent looks dead by that clock. A
log that was idle for a day looks the same from within: the newest time that it knows is a day old. What tells them
apart is what other processes say now. So only a heartbeat that arrives while this process follows the log, and that
says another time, stops decisions.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ledgerlb.core.paths.pathset import Heartbeat
from ledgerlb.core.reasons import Reason
from ledgerlb.core.text import timestamp

BOUND: Final = timedelta(hours=1)
"""How far the clock may be ahead of every other time that is known."""


class ClockWatch:
    """The newest time of the ledger, and the heartbeats that arrived since the log was read to its end. All times are
    aware UTC.
    """

    def __init__(self) -> None:
        self._decided: datetime | None = None
        self._beats: dict[str, tuple[datetime, datetime]] = {}
        """By agent: the time in its last heartbeat, and the time by our clock when that was read."""

    def decided(self, at: datetime) -> None:
        """Note when an accepted entry was decided."""
        if self._decided is None or at > self._decided:
            self._decided = at

    def heard(self, beat: Heartbeat, read_at: datetime) -> None:
        """Note a heartbeat that arrived now."""
        if beat.stopped:
            self._beats.pop(beat.agent, None)
        else:
            self._beats[beat.agent] = (beat.at, read_at)

    def leap(self, now: datetime, agent_timeout: float) -> str | None:
        """Return what is wrong with the clock, for people; None if nothing is known to be.

        One agent that agrees is enough. Agents that were silent for ``agent_timeout`` seconds have no say.
        """
        limit = now - timedelta(seconds=agent_timeout)
        heard = {agent: at for agent, (at, read_at) in self._beats.items() if read_at >= limit}
        known = max([*heard.values(), *([self._decided] if self._decided is not None else [])], default=now)
        if not heard or now - known <= BOUND:
            return None
        agent = max(heard, key=lambda name: (heard[name], name))
        return (
            f"{Reason.CLOCK_AHEAD}: the clock of this process says {timestamp(now)}, but agent {agent} says "
            f"{timestamp(heard[agent])}, and the ledger knows no later time; nothing is decided; correct the clock "
            f"(or that of {agent})"
        )
