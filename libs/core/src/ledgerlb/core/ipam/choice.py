"""Which address: the order of preference, and why a requested one cannot be had.

Automatic order in a family: an address shared under the Service's key; its own former address within the lease
window; never used, lowest first; idle, longest free first; leased to another Service, longest free first; and only
when the family is otherwise full, out of quarantine, oldest first, unless the network's quarantine is strict. Every
step looks at one end of an index and never enumerates a prefix. No step gives out an address that the network gives to
no newcomer any more, even while a holder keeps it, and none takes an address that another Service asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from ledgerlb.core.addresses import Family, to_text
from ledgerlb.core.intents.model import AddressIntent, ServiceIntent, Withdrawal
from ledgerlb.core.ipam.sharing import clash, may_share, namespace_of
from ledgerlb.core.ipam.terms import Denial, Terms
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


_BARRED: Final = (Reason.QUOTA_EXCEEDED, Reason.NETWORK_NOT_ALLOWED)
"""Refusals of Services to which the network gives no address at all."""


class AddressChoice(NamedTuple):
    """An address and the rule that found it."""

    address: str
    rule: AllocationRule | Literal["adopted"]


def choose(state: NetworkState, intent: AddressIntent, family: Family, terms: Terms) -> AddressChoice | Denial:
    """Choose the Service's address in a family for which it requested none."""
    claimed = 0
    for candidate in _candidates(state, intent, family, terms):
        if candidate.rule == "quarantine-cut" and terms.strict_quarantine:
            return _resting(state, family)
        if not _claimed(state, intent, candidate, terms):
            return candidate
        claimed += 1
    others = f" ({claimed} are left for Services that ask for just these)" if claimed else ""
    return Denial(
        Reason.NETWORK_FULL,
        f"network {state.network} has no free IPv{family} address left{others}; "
        "enlarge the network or delete a Service that uses it",
    )


def _resting(state: NetworkState, family: Family) -> Denial:
    """Refuse a Service because all free addresses of the family are in a strict quarantine."""
    record = next(iter(state.free(family, "quarantined")))
    return Denial(
        Reason.NETWORK_FULL,
        f"network {state.network} has no free IPv{family} address left, and its quarantine is strict: "
        f"{record.address} is given out after {record.quarantine_until:%Y-%m-%dT%H:%M:%SZ}; "
        "wait, enlarge the network, or delete a Service that uses it",
    )


def _candidates(state: NetworkState, intent: AddressIntent, family: Family, terms: Terms) -> Iterator[AddressChoice]:
    assignable = state.assignable(family)
    if intent.sharing_key:
        for record in state.shared_under(namespace_of(intent.service), intent.sharing_key):
            given_out = record.family == family and contains(assignable, record.value)
            if given_out and not clash(record, intent, terms.known):
                yield AddressChoice(record.address, "shared")
    for record in state.formerly_of(intent.service):
        if record.family == family and contains(assignable, record.value):
            yield AddressChoice(record.address, "former")
    for value in state.never_used(family):
        yield AddressChoice(to_text(value, family), "never-used")
    for status, rule in _FREE:
        for record in state.free(family, status):
            if contains(assignable, record.value):
                yield AddressChoice(record.address, rule)


def _claimed(state: NetworkState, intent: AddressIntent, choice: AddressChoice, terms: Terms) -> bool:
    """Return whether another Service asks for this very address and does not have it yet.

    A Service that may not have any address now, because of a quota for example, keeps none from others.
    """
    record = state.records.get(choice.address)
    for service in terms.claims.on(choice.address):
        if service == intent.service or (record is not None and any(h.service == service for h in record.holders)):
            continue
        refusal = state.refusals.get(service)
        if refusal is not None and refusal.reason in _BARRED:
            continue
        other = terms.known.get(service)
        if choice.rule == "shared" and may_share(intent, other):
            continue
        return True
    return False


def grant(state: NetworkState, intent: AddressIntent, address: str, terms: Terms) -> AddressChoice | Denial:
    """Return the address that the Service requests, or why it cannot have it."""
    problem = withheld(state, address)
    if problem is not None:
        return Denial(problem, why_not_given(state, address, problem))
    shower = shown_by(state, intent, address, terms)
    if shower is not None:
        return still_shown(address, shower.service)
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
    return join(state, intent, record, terms)


def shown_by(state: NetworkState, intent: AddressIntent, address: str, terms: Terms) -> ServiceIntent | None:
    """Return the intent of another Service whose status shows the address, which it does not hold; None if there is
    none.
    """
    record = state.records.get(address)
    holders = {holder.service for holder in record.holders} if record is not None else set()
    for service in terms.claims.on(address):
        other = terms.known.get(service)
        if service == intent.service or service in holders or other is None:
            continue
        if address in (other.shows if isinstance(other, Withdrawal) else other.adopt):
            return other
    return None


def still_shown(address: str, service: str) -> Denial:
    """Return the denial of an address that the status of another Service shows."""
    return Denial(
        Reason.REQUESTED_ADDRESS_IN_USE,
        f"the status of Service {service} shows address {address}, which it does not hold; take it out there first",
    )


def withheld(state: NetworkState, address: str) -> str | None:
    """Return why the network gives this address to no newcomer (``RequestedAddress…``), or None."""
    problem = refusal_of(state.plan, address)
    if problem is None and state.change_refused is not None:
        problem = refusal_of(state.change_refused.prefixes, address)
    return problem


def join(state: NetworkState, intent: AddressIntent, record: AddressRecord, terms: Terms) -> AddressChoice | Denial:
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
    problem = clash(record, intent, terms.known)
    if problem:
        return Denial(
            Reason.SHARING_CONFLICT,
            f"address {record.address} is shared under key {intent.sharing_key!r} by {holders}, and {problem}; "
            "use another port or another key",
        )
    return AddressChoice(record.address, "shared")


def why_not_given(state: NetworkState, address: str, problem: str) -> str:
    """Put a problem that ``withheld`` found into a sentence."""
    prefixes = extent_of(state.plan) or "no prefix"
    if state.change_refused is not None:
        prefixes += f"; only what the refused change to {extent_of(state.change_refused.prefixes)} leaves"
    if problem == OUTSIDE:
        return f"address {address} is outside what network {state.network} gives out ({prefixes}); request one inside"
    return (
        f"address {address} of network {state.network} ({prefixes}) is reserved "
        "(network, broadcast or gateway address, excluded, or in use by the cluster); request another one"
    )
