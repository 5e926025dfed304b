"""Many intents of one network in one decision: the throughput lever, and still one atomic entry.

Later intents see the effect of earlier ones: each event is evolved speculatively, and all of it is undone before the
decision is returned. The order is fixed: the network's own change, completed releases, expiries; then adoptions before
newcomers; oldest Service first, then by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ledgerlb.core.intents.model import AddressIntent, Withdrawal
from ledgerlb.core.ipam.clock import complete_releases, expire
from ledgerlb.core.ipam.offer import take_offer
from ledgerlb.core.ipam.terms import Terms
from ledgerlb.core.ipam.want import want
from ledgerlb.core.ipam.withdraw import withdraw
from ledgerlb.core.ledger.entry import MAX_EVENTS, Cause
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.evolve import evolve
from ledgerlb.core.ledger.state import NetworkState

_EVENTS_OF_ONE_INTENT = 12
"""No intent leads to more events than this; a batch stops before it could pass the entry's limit."""
_INTENTS_OF_ONE_ENTRY = 200
_EXPLANATION = 1000
"""Characters of an explanation that an entry keeps: with the bound above, an entry stays well under its size limit."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to append: events with their causes. ``considered`` are the Services that were looked at.

    ``complete`` False: the entry is full, and the next decision takes the Services that are left.
    """

    events: tuple[Event, ...]
    causes: tuple[Cause, ...]
    considered: tuple[str, ...]
    complete: bool


def decide(state: NetworkState, intents: Iterable[AddressIntent | Withdrawal], terms: Terms) -> Decision:
    """Decide as much as fits one entry; the state is unchanged afterwards."""
    events: list[Event] = []
    causes: list[Cause] = []
    considered: list[str] = []
    complete = True

    def apply(found: list[Event], cause: Cause) -> None:
        room = MAX_EVENTS - len(events)
        for event in found[:room]:
            evolve(state, event, terms.now, state.seq + 1)
        if found:
            events.extend(found[:room])
            causes.append(cause)

    with state.speculate():
        if terms.offer is not None:
            apply(take_offer(state, terms.offer), Cause("network", terms.offer.revision, uid=terms.offer.uid))
        apply(complete_releases(state, terms), Cause("report"))
        apply(expire(state, terms), Cause("clock"))
        for intent in in_order(intents):
            if len(events) + _EVENTS_OF_ONE_INTENT > MAX_EVENTS or len(causes) >= _INTENTS_OF_ONE_ENTRY:
                complete = False
                break
            considered.append(intent.service)
            if isinstance(intent, Withdrawal):
                apply(withdraw(state, intent), cause_of(intent))
            elif terms.offer is not None:
                apply(want(state, intent, terms), cause_of(intent))
    return Decision(tuple(events), tuple(causes), tuple(considered), complete)


def in_order(intents: Iterable[AddressIntent | Withdrawal]) -> list[AddressIntent | Withdrawal]:
    """Sort: withdrawals first (they free), then adoptions, then the rest; the oldest Service first, then by name."""

    def rank(intent: AddressIntent | Withdrawal) -> tuple[int, str, str]:
        if isinstance(intent, Withdrawal):
            return (0, "", intent.service)
        return (1 if intent.adopt else 2, intent.created, intent.service)

    return sorted(intents, key=rank)


def cause_of(intent: AddressIntent | Withdrawal) -> Cause:
    """Return the cause that an entry records for the events of this intent."""
    return Cause(
        intent=intent.type,
        revision=intent.revision,
        service=intent.service,
        uid=intent.uid,
        requester=intent.requester,
        rung=intent.rung if isinstance(intent, AddressIntent) else "",
        explanation=(intent.explanation if isinstance(intent, AddressIntent) else intent.why)[:_EXPLANATION],
        facts=tuple((position.topic, position.partition, position.offset) for position in intent.facts),
    )
