"""Many intents of one network in one decision: the throughput lever, and still one atomic entry.

Later intents see the effect of earlier ones: each event is evolved speculatively, and all of it is undone before the
decision is returned. The order is fixed: the network's own change, completed releases, expiries; then adoptions before
newcomers; oldest Service first, then the one that was queued first. Circles of Services that wait for each other's
address come last. Requests need no place of their own: no automatic choice takes an address that a known intent
requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ledgerlb.core.addresses import Family
from ledgerlb.core.intents.model import AddressIntent, Withdrawal
from ledgerlb.core.ipam.circle import Circle, circle_of, note_on_exchange, step_aside, why_step_aside
from ledgerlb.core.ipam.clock import complete_releases, expire
from ledgerlb.core.ipam.offer import take_offer
from ledgerlb.core.ipam.sharing import namespace_of
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

    ``complete`` False: the entry is full, and the next decision takes the Services that are left. ``postponed`` are
    those whose namespace has used up its decisions of this minute.
    """

    events: tuple[Event, ...]
    causes: tuple[Cause, ...]
    considered: tuple[str, ...]
    complete: bool
    postponed: tuple[str, ...] = ()


def decide(state: NetworkState, intents: Iterable[AddressIntent | Withdrawal], terms: Terms) -> Decision:
    """Decide as much as fits one entry; the state is unchanged afterwards."""
    draft = _Draft(state, terms)
    with state.speculate():
        if terms.offer is not None:
            draft.apply(take_offer(state, terms.offer), Cause("network", terms.offer.revision, uid=terms.offer.uid))
        draft.apply(complete_releases(state, terms), Cause("report"))
        draft.apply(expire(state, terms), Cause("clock"))
        for intent in in_order(intents):
            if draft.is_full():
                break
            draft.consider(intent)
        draft.open_circles()
    return draft.decision()


class _Draft:
    """A decision under way, on a state that is changed speculatively."""

    def __init__(self, state: NetworkState, terms: Terms) -> None:
        self.events: list[Event] = []
        self.causes: list[Cause] = []
        self.considered: list[str] = []
        self.complete = True
        self.postponed: list[str] = []
        self._spent = Counter(terms.spent)
        self._state = state
        self._terms = terms
        self._waiting: list[AddressIntent] = []
        """Services that request an address and were refused."""

    def decision(self) -> Decision:
        """Return what was decided."""
        considered, postponed = tuple(self.considered), tuple(self.postponed)
        return Decision(tuple(self.events), tuple(self.causes), considered, self.complete, postponed)

    def is_full(self) -> bool:
        """Return whether the entry has no room for another Service; the decision is incomplete then."""
        full = len(self.events) + _EVENTS_OF_ONE_INTENT > MAX_EVENTS or len(self.causes) >= _INTENTS_OF_ONE_ENTRY
        self.complete = self.complete and not full
        return full

    def apply(self, found: list[Event], cause: Cause) -> None:
        """Add events with their cause, and evolve them."""
        room = MAX_EVENTS - len(self.events)
        for event in found[:room]:
            evolve(self._state, event, self._terms.now, self._state.seq + 1)
        if found:
            self.events.extend(found[:room])
            self.causes.append(cause)
            self._spent[namespace_of(cause.service)] += 1

    def consider(self, intent: AddressIntent | Withdrawal) -> None:
        """Decide about one Service."""
        state, terms = self._state, self._terms
        if isinstance(intent, Withdrawal):
            self.considered.append(intent.service)
            self.apply(withdraw(state, intent), cause_of(intent))
            return
        if self._must_wait(intent):
            self.postponed.append(intent.service)
            return
        self.considered.append(intent.service)
        if terms.offer is not None:
            found = want(state, intent, terms)
            self.apply(found, cause_of(intent, note_on_exchange(state, intent, found, terms)))
            if intent.requested and intent.service in state.refusals:
                self._waiting.append(intent)

    def _must_wait(self, intent: AddressIntent) -> bool:
        """Return whether the namespace has used up its decisions. What a status shows already is never put off: another
        Service could get it meanwhile.
        """
        limit = self._terms.defaults.decisions_per_minute
        return limit is not None and not intent.adopt and self._spent[namespace_of(intent.service)] >= limit

    def open_circles(self) -> None:
        """Let the oldest Service of each circle step aside."""
        for circle, family in _circles(self._state, self._waiting, self._terms):
            if self.is_full():
                return
            oldest, found = step_aside(self._state, circle, family, self._terms)
            self.apply(found, cause_of(oldest, why_step_aside(circle, family)))


def _circles(state: NetworkState, waiting: Iterable[AddressIntent], terms: Terms) -> Iterator[tuple[Circle, Family]]:
    """Yield the circles of the Services, each on the state that earlier ones led to."""
    for intent in waiting:
        for family in intent.families:
            circle = circle_of(state, intent, family, terms)
            if circle is not None:
                yield circle, family


def in_order(intents: Iterable[AddressIntent | Withdrawal]) -> list[AddressIntent | Withdrawal]:
    """Sort: withdrawals first (they free), then adoptions, then the rest; the oldest Service first, then as given."""

    def rank(intent: AddressIntent | Withdrawal) -> tuple[int, str]:
        if isinstance(intent, Withdrawal):
            return (0, "")
        return (1 if intent.adopt else 2, intent.created)

    return sorted(intents, key=rank)


def cause_of(intent: AddressIntent | Withdrawal, note: str = "") -> Cause:
    """Return the cause that an entry records for the events of this intent; ``note`` comes first in its explanation."""
    explanation = intent.explanation if isinstance(intent, AddressIntent) else intent.why
    return Cause(
        intent=intent.type,
        revision=intent.revision,
        service=intent.service,
        uid=intent.uid,
        requester=intent.requester,
        rung=intent.rung if isinstance(intent, AddressIntent) else "",
        explanation=f"{note} {explanation}".strip()[:_EXPLANATION],
        facts=tuple((position.topic, position.partition, position.offset) for position in intent.facts),
    )
