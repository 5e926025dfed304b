"""What a decision may depend on besides the state and the intent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from ledgerlb.core.intents.model import NetworkOffer
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.settings import Defaults


@dataclass(frozen=True, slots=True)
class Terms:
    """``now`` is aware UTC; ``offer`` is what the selector last said of the network (None: nothing yet, so nothing
    new is given out); ``defaults`` fill what the offer leaves open; ``agent_timeout`` in seconds.
    """

    now: datetime
    offer: NetworkOffer | None
    defaults: Defaults = field(default_factory=Defaults)
    agents: AgentTable = field(default_factory=AgentTable)
    agent_timeout: float = 300.0

    @property
    def quarantine(self) -> float:
        """Seconds during which a released address goes to nobody but its former holder."""
        said = self.offer.quarantine if self.offer is not None else None
        return self.defaults.quarantine if said is None else said

    @property
    def lease(self) -> float:
        """Seconds during which a released address is softly reserved for its former holder."""
        said = self.offer.lease if self.offer is not None else None
        return self.defaults.lease if said is None else said


class Denial(NamedTuple):
    """Why something cannot be given: a stable reason, and a sentence that names the object and the remedy."""

    reason: str
    message: str
