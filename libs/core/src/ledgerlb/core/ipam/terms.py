"""What a decision may depend on besides the state and the intent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from ledgerlb.core.intents.claims import Claims
from ledgerlb.core.intents.model import NetworkOffer, ServiceIntent
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.settings import Defaults


@dataclass(frozen=True, slots=True)
class Terms:
    """``now`` (aware UTC) is when the entry is decided, never before the one that it extends. ``clock`` is the time of
    the process, by which agents live or die (None: ``now``). ``offer`` is the selector's last offer of the network
    (None: no offer yet, so the network gives out nothing new). ``defaults`` fill what the offer leaves open;
    ``agent_timeout`` in seconds. ``known`` are the intents of all Services about the network, and ``claims`` the
    addresses that these ask for. ``spent`` counts the decisions of the last minute by namespace.
    """

    now: datetime
    offer: NetworkOffer | None
    defaults: Defaults = field(default_factory=Defaults)
    agents: AgentTable = field(default_factory=AgentTable)
    agent_timeout: float = 300.0
    known: Mapping[str, ServiceIntent] = field(default_factory=dict)
    claims: Claims = field(default_factory=Claims)
    clock: datetime | None = None
    spent: Mapping[str, int] = field(default_factory=dict)

    @property
    def wall(self) -> datetime:
        """Return the time of the process."""
        return self.now if self.clock is None else self.clock

    @property
    def quarantine(self) -> float:
        """Return the seconds during which a released address goes only to its former holder."""
        own = self.offer.quarantine if self.offer is not None else None
        return self.defaults.quarantine if own is None else own

    @property
    def lease(self) -> float:
        """Return the seconds during which a released address is softly reserved for its former holder."""
        own = self.offer.lease if self.offer is not None else None
        return self.defaults.lease if own is None else own

    @property
    def strict_quarantine(self) -> bool:
        """Return whether an address in quarantine goes to no other Service, even where the network is full."""
        own = self.offer.strict_quarantine if self.offer is not None else None
        return self.defaults.strict_quarantine if own is None else own


class Denial(NamedTuple):
    """Why something cannot be given: a stable reason, and a sentence that names the object and the remedy."""

    reason: str
    message: str
