"""From a decision to the entry that records it: within the size limit, on top of the folded head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledgerlb.core.intents.model import ServiceIntent
from ledgerlb.core.ipam.batch import Decision, decide
from ledgerlb.core.ipam.terms import Terms
from ledgerlb.core.ledger.entry import Entry, encode_entry
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.ledger.upcast import VERSION


class Proposal(NamedTuple):
    """A decision and the bytes of its entry (empty: nothing to append)."""

    decision: Decision
    entry: bytes


def propose(
    state: NetworkState, intents: Sequence[ServiceIntent], terms: Terms, decider: str, max_bytes: int
) -> Proposal:
    """Decide, and encode the entry that extends the head of ``state``.

    While the entry is larger than ``max_bytes`` and concerns several Services, decide again for half of them; the next
    entry takes the others. The result may exceed the limit when one Service, or the network itself, needs more.
    """
    while True:
        decision = decide(state, intents, terms)
        entry = _encode(state, decision, terms, decider) if decision.events else b""
        concerned = [cause.service for cause in decision.causes if cause.service]
        if len(entry) <= max_bytes or len(concerned) <= 1:
            return Proposal(decision, entry)
        half = set(concerned[: len(concerned) // 2])
        intents = [intent for intent in intents if intent.service in half]


def _encode(state: NetworkState, decision: Decision, terms: Terms, decider: str) -> bytes:
    return encode_entry(
        Entry(
            v=VERSION,
            network=state.network,
            seq=state.head.seq + 1,
            prev=state.head.digest,
            decided_at=terms.now,
            decider=decider,
            cause=decision.causes,
            events=decision.events,
        )
    )
