"""The back end of agents that act, in a simulation, as if they programmed their machine, or failed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledgerlb.ecmp_programmer.backends.base import Outcome, Wanted
from ledgerlb.ecmp_programmer.backends.record import RecordBackend

_REFUSED: Final = Outcome("failed", {}, "the machine refuses it (simulated)")


class SimulatedBackend(RecordBackend):
    """Reports what ``record`` does under another name, so that it counts as programmed. ``fails``: programs nothing."""

    name = "simulated"

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails

    async def reconcile(self, wanted: Wanted) -> Mapping[str, Outcome]:
        """See DataPath."""
        outcomes = await super().reconcile(wanted)
        if not self._fails:
            return outcomes
        return {at: _REFUSED if outcome.state == "programmed" else outcome for at, outcome in outcomes.items()}
