"""Adoption: a Service keeps an address that its status showed before the ledger held one for it.

Every shown address is settled once: the Service adopts it, or ``AdoptionRefused`` says why not, and the publisher takes
it off the status. Adoption does not wait until the whole intent can be met.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledgerlb.core.addresses import Family, family_of
from ledgerlb.core.intents.model import LEFT_ALONE, AddressIntent, Withdrawal
from ledgerlb.core.ipam.choice import AddressChoice, join, shown_by, still_shown, why_not_given, withheld
from ledgerlb.core.ipam.terms import Denial, Terms
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.reasons import Reason


def adoptable(state: NetworkState, intent: AddressIntent, family: Family, terms: Terms) -> str | None:
    """Return the address of a family that the Service's status showed and that the Service may keep."""
    requested = [address for address in intent.requested if family_of(address) == family]
    for address in intent.adopt:
        if family_of(address) != family or (requested and address not in requested):
            continue
        if state.was_refused(intent.service, intent.uid, address):
            continue
        if _problem(state, intent, address, terms) is None:
            return address
    return None


def _problem(state: NetworkState, intent: AddressIntent, address: str, terms: Terms) -> Denial | None:
    """Return why the network does not let the Service keep the address."""
    problem = withheld(state, address)
    if problem is not None:
        return Denial(problem, why_not_given(state, address, problem))
    shower = shown_by(state, intent, address, terms)
    if isinstance(shower, Withdrawal) and shower.why in LEFT_ALONE:
        return still_shown(address, shower.service)
    record = state.records.get(address)
    if record is None or record.status in {"idle", "leased"}:
        return None
    if record.status == "quarantined":
        return None if record.former == intent.service else _in_use(record, f"was released by {record.former} just now")
    answer = join(state, intent, record, terms)
    return answer if isinstance(answer, Denial) else None


def _in_use(record: AddressRecord, how: str) -> Denial:
    return Denial(Reason.REQUESTED_ADDRESS_IN_USE, f"address {record.address} {how}")


def adoptions_refused(
    state: NetworkState,
    intent: AddressIntent,
    mine: Mapping[Family, AddressRecord],
    found: Mapping[Family, AddressChoice | Denial],
    terms: Terms,
) -> list[Event]:
    """Return an event for each shown address that the Service does not adopt, once for each.

    ``mine``: what the Service has; ``found``: what this decision gives it, or refuses, by family.
    """
    events: list[Event] = []
    for address in intent.adopt:
        if state.was_refused(intent.service, intent.uid, address):
            continue
        family = family_of(address)
        denial = _refusal(state, intent, address, terms, kept=mine.get(family), answer=found.get(family))
        if denial is not None:
            events.append(ev.AdoptionRefused(address, intent.service, intent.uid, denial.reason, denial.message))
    return events


def _refusal(
    state: NetworkState,
    intent: AddressIntent,
    address: str,
    terms: Terms,
    *,
    kept: AddressRecord | None,
    answer: AddressChoice | Denial | None,
) -> Denial | None:
    """Return why a shown address is not adopted; None if it is, or was."""
    family = family_of(address)
    has = kept.address if kept is not None else ""
    gets = answer.address if isinstance(answer, AddressChoice) else ""
    if address in {has, gets} or any(record.address == address for record in state.held_by(intent.service)):
        return None
    if family not in intent.families:
        return Denial(Reason.FAMILY_UNAVAILABLE, f"the Service has no IPv{family} family (spec.ipFamilies)")
    problem = _problem(state, intent, address, terms)
    if problem is not None:
        return problem
    if any(family_of(one) == family for one in intent.requested):
        return Denial(
            Reason.ADDRESS_REQUESTED,
            f"the Service requests {', '.join(intent.requested)} (annotation ledgerlb.io/addresses or "
            "spec.loadBalancerIP), not the address that it shows",
        )
    if isinstance(answer, Denial):
        return answer
    return Denial(Reason.SURPLUS_ADDRESS, f"a Service has one IPv{family} address, and this one keeps {gets or has}")
