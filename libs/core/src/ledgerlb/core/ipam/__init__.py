"""The allocator: pure decisions about the addresses of one network.

IPAM folds the ledger and the intents, then takes one step at a time: a ``NetworkQueue`` names the Services to decide
about, ``propose`` decides and encodes one entry, and after the entry was read back, ``woken_by`` names the Services
that it concerns. ``next_look`` tells when time alone calls for a decision.

- ``compose``: a decision as an entry within the size limit; ``batch``: many intents in one decision.
- ``want``: one Service's intent against the state; ``withdraw``: its end; ``offer``: changes of the network itself.
- ``choice``: which address; ``clock``: what time and agents' reports change; ``leap``: whether the clock is far ahead;
  ``terms``: what else a decision reads.
- ``repair``: the entry by which an operator ends the damage of a network.
- ``queue``, ``waking``: what to decide about, and when again.

Every function takes the state and the time and returns values; only a ``NetworkQueue`` changes.
"""

from ledgerlb.core.ipam.batch import Decision, decide
from ledgerlb.core.ipam.clock import TICK, decision_time, next_look
from ledgerlb.core.ipam.compose import Proposal, propose
from ledgerlb.core.ipam.leap import ClockWatch
from ledgerlb.core.ipam.queue import NetworkQueue
from ledgerlb.core.ipam.terms import Terms
from ledgerlb.core.ipam.waking import woken_by

__all__ = [
    "TICK",
    "ClockWatch",
    "Decision",
    "NetworkQueue",
    "Proposal",
    "Terms",
    "decide",
    "decision_time",
    "next_look",
    "propose",
    "woken_by",
]
