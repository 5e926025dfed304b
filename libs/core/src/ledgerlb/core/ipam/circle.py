"""Circles: Services that wait for each other's address.

a/s holds .10 and requests .11, a/t holds .11 and requests .10: neither request could ever be met. So the oldest Service
of the circle steps aside: it takes a free address, and then leaves its own to the one that waits for it. From there on
each member gets what it requests when the one before has left, as with any request.
"""

from __future__ import annotations

from ledgerlb.core.addresses import Family, family_of
from ledgerlb.core.intents.model import AddressIntent
from ledgerlb.core.ipam.choice import AddressChoice, choose, withheld
from ledgerlb.core.ipam.terms import Terms
from ledgerlb.core.ledger.events import AddressAllocated, Event
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import NetworkState

Circle = tuple[AddressIntent, ...]
"""Intents of Services of which each requests the address that the next one holds, and the last one the first one's."""


def circle_of(state: NetworkState, intent: AddressIntent, family: Family, terms: Terms) -> Circle | None:
    """Return the circle in which the Service waits for an address of the family; None if it waits in none.

    The members hold one address of the family each, alone. One that has stepped aside already holds two.
    """
    members = {intent.service: intent}
    current = intent
    while True:
        wanted, own = _requested(current, family), _only_holding(state, current.service, family)
        if wanted is None or own is None or own.address == wanted or withheld(state, wanted) is not None:
            return None
        record = state.records.get(wanted)
        if record is None or record.status != "held" or len(record.holders) != 1:
            return None
        holder = record.holders[0].service
        if holder == intent.service:
            return tuple(members.values())
        following = terms.known.get(holder)
        if holder in members or not isinstance(following, AddressIntent):
            return None
        current = members[holder] = following


def step_aside(state: NetworkState, circle: Circle, family: Family, terms: Terms) -> tuple[AddressIntent, list[Event]]:
    """Return the oldest member's intent, and the event that gives it a free address ([] where there is none)."""
    oldest = min(circle, key=lambda intent: (intent.created, intent.service))
    choice = choose(state, oldest, family, terms)
    if not isinstance(choice, AddressChoice) or choice.rule == "adopted":
        return oldest, []
    event = AddressAllocated(
        choice.address,
        family,
        oldest.service,
        oldest.uid,
        choice.rule,
        oldest.sharing_key,
        oldest.ports,
        oldest.basis,
    )
    return oldest, [event]


def why_step_aside(circle: Circle, family: Family) -> str:
    """Put the circle into a sentence for the entry."""
    waits = ", ".join(f"{intent.service} requests {_requested(intent, family)}" for intent in circle)
    return f"steps aside because these Services wait for each other's address: {waits}."


def is_awaited(record: AddressRecord, service: str, terms: Terms) -> bool:
    """Return whether another Service requests the address."""
    claimants = (terms.known.get(name) for name in terms.claims.on(record.address) if name != service)
    return any(isinstance(intent, AddressIntent) and record.address in intent.requested for intent in claimants)


def note_on_exchange(state: NetworkState, intent: AddressIntent, events: list[Event], terms: Terms) -> str:
    """Return a sentence for the entry where a Service of a circle gets what it requests; empty elsewhere.

    ``state`` is the one before the events.
    """
    for event in events:
        if not isinstance(event, AddressAllocated) or event.choice != "requested":
            continue
        record = state.records.get(event.address)
        if record is None or not record.former:
            continue
        before = terms.known.get(record.former)
        if isinstance(before, AddressIntent) and _waits_for(state, before, intent.service, event.family):
            return f"takes over what {record.former} left, which requests the address of {intent.service} in exchange."
        aside = next((one for one in state.held_by(intent.service) if _is_aside(one, intent, event.family)), None)
        if aside is not None:
            return f"ends the exchange for which {intent.service} stepped aside to {aside.address}."
    return ""


def _waits_for(state: NetworkState, intent: AddressIntent, holder: str, family: Family) -> bool:
    wanted = _requested(intent, family)
    record = state.records.get(wanted) if wanted is not None else None
    return record is not None and any(one.service == holder for one in record.holders)


def _is_aside(record: AddressRecord, intent: AddressIntent, family: Family) -> bool:
    """Return whether the Service got this address under its present intent, which requests another one."""
    given = next((one for one in record.holders if one.service == intent.service), None)
    own = record.family == family and record.address not in intent.requested
    return own and given is not None and given.choice != "adopted" and given.basis == intent.basis


def _requested(intent: AddressIntent, family: Family) -> str | None:
    return next((address for address in intent.requested if family_of(address) == family), None)


def _only_holding(state: NetworkState, service: str, family: Family) -> AddressRecord | None:
    held = [record for record in state.held_by(service) if record.family == family]
    if len(held) == 1 and held[0].status == "held" and len(held[0].holders) == 1:
        return held[0]
    return None
