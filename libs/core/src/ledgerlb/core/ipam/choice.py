"""Which address: the order of preference, and why a requested one cannot be had.

Automatic order in a family: an address shared under the Service's key; its own former address within the lease
window; never used, lowest first; idle, longest free first; leased to another Service, longest free first; and only
when the family is otherwise full, out of quarantine, oldest first. Every step looks at one end of an index and never
enumerates a prefix. No step gives out an address that the network gives to no newcomer any more, even while a holder
keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from ledgerlb.core.addresses import Family, to_text
from ledgerlb.core.intents.model import AddressIntent
from ledgerlb.core.ipam.terms import Denial
from ledgerlb.core.ledger.events import AllocationRule
from ledgerlb.core.ledger.intervals import contains
from ledgerlb.core.ledger.plan import OUTSIDE, extent_of, refusal_of
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import FreeStatus, NetworkState
from ledgerlb.core.reasons import Reason

_FREE: Final[tuple[tuple[FreeStatus, AllocationRule], ...]] = (
    ("idle", "longest-free"),
    ("leased", "leased-to-other"),
    ("quarantined", "quarantine-cut"),
)


class AddressChoice(NamedTuple):
    """An address and the rule that found it."""

    address: str
    rule: AllocationRule | Literal["adopted"]


def choose(state: NetworkState, intent: AddressIntent, family: Family) -> AddressChoice | Denial:
    """Choose the Service's address in a family for which it requested none."""
    return next(_candidates(state, intent, family), None) or Denial(
        Reason.NETWORK_FULL,
        f"network {state.network} has no free IPv{family} address left; "
        "enlarge the network or delete a Service that uses it",
    )


def _candidates(state: NetworkState, intent: AddressIntent, family: Family) -> Iterator[AddressChoice]:
    assignable = state.assignable(family)
    if intent.sharing_key:
        for record in state.shared_under(namespace_of(intent.service), intent.sharing_key):
            if record.family == family and contains(assignable, record.value) and not clash(record, intent):
                yield AddressChoice(record.address, "shared")
    for record in state.formerly_of(intent.service):
        if record.family == family and contains(assignable, record.value):
            yield AddressChoice(record.address, "former")
    value = state.lowest_never_used(family)
    if value is not None:
        yield AddressChoice(to_text(value, family), "never-used")
    for status, rule in _FREE:
        for record in state.free(family, status):
            if contains(assignable, record.value):
                yield AddressChoice(record.address, rule)


def grant(state: NetworkState, intent: AddressIntent, address: str) -> AddressChoice | Denial:
    """Return the address that the Service requests, or why it cannot have it."""
    problem = withheld(state, address)
    if problem is not None:
        return Denial(problem, why_not_given(state, address, problem))
    record = state.records.get(address)
    if record is None or record.status in {"idle", "leased"}:
        return AddressChoice(address, "requested")
    if record.status == "quarantined":
        if record.former == intent.service:
            return AddressChoice(address, "requested")
        return Denial(
            Reason.REQUESTED_ADDRESS_QUARANTINED,
            f"address {address} was released by {record.former} and is in quarantine until "
            f"{record.quarantine_until:%Y-%m-%dT%H:%M:%SZ}; it is given out by itself then",
        )
    return join(state, intent, record)


def withheld(state: NetworkState, address: str) -> str | None:
    """Return why the network gives this address to no newcomer (``RequestedAddress…``), or None."""
    problem = refusal_of(state.plan, address)
    if problem is None and state.change_refused is not None:
        problem = refusal_of(state.change_refused.prefixes, address)
    return problem


def join(state: NetworkState, intent: AddressIntent, record: AddressRecord) -> AddressChoice | Denial:
    """Let the Service join the holders of an address, or return why it may not."""
    holders = ", ".join(holder.service for holder in record.holders)
    same_key = (
        record.status == "held"
        and intent.sharing_key != ""
        and record.sharing_key == intent.sharing_key
        and namespace_of(record.holders[0].service) == namespace_of(intent.service)
    )
    if not same_key:
        return Denial(
            Reason.REQUESTED_ADDRESS_IN_USE,
            f"address {record.address} of network {state.network} is held by {holders}; request another one",
        )
    taken = clash(record, intent)
    if taken:
        return Denial(
            Reason.SHARING_CONFLICT,
            f"address {record.address} is shared under key {intent.sharing_key!r} by {holders}, and {taken} is taken; "
            "use another port or another key",
        )
    return AddressChoice(record.address, "shared")


def clash(record: AddressRecord, intent: AddressIntent) -> str:
    """Return the (protocol, port) pairs that other holders use already, as text; empty where ports are disjoint."""
    taken = {pair for holder in record.holders if holder.service != intent.service for pair in holder.ports}
    return ", ".join(f"{protocol}/{port}" for protocol, port in intent.ports if (protocol, port) in taken)


def why_not_given(state: NetworkState, address: str, problem: str) -> str:
    """Put a problem that ``withheld`` found into a sentence."""
    prefixes = extent_of(state.plan) or "no prefix"
    if state.change_refused is not None:
        prefixes += f"; only what the refused change to {extent_of(state.change_refused.prefixes)} leaves"
    if problem == OUTSIDE:
        return f"address {address} is outside what network {state.network} gives out ({prefixes}); request one inside"
    return (
        f"address {address} of network {state.network} ({prefixes}) is reserved "
        "(network, broadcast, gateway or excluded); request another one"
    )


def namespace_of(service: str) -> str:
    """Return the namespace of ``namespace/name``."""
    return service.partition("/")[0]
