"""Changes of the network itself: its address plan appears, changes, or goes."""

from __future__ import annotations

from ledgerlb.core.addresses import family_of
from ledgerlb.core.intents.model import NetworkOffer
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.events import Event, Prefix
from ledgerlb.core.ledger.plan import covers
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import NetworkState


def take_offer(state: NetworkState, offer: NetworkOffer) -> list[Event]:
    """Bring the ledger's address plan up to what the selector says; [] when it is.

    A prefix that would cut a holder off is refused with the list of holders, unless it is forced, and that family
    keeps the one that it had; what the same plan says of the other family holds. A family that goes as a whole, or
    comes again, is not refused, because its holders move. A network with a problem keeps the plan that it had.
    """
    if offer.gone:
        return [] if state.gone or not state.seq else [ev.NetworkGone()]
    if offer.problem is not None:
        return []
    wanted = prefixes_of(offer)
    if wanted == state.plan and not state.gone and state.change_refused is None:
        return []
    # A network that went and comes again is another one: no change of its plan, and its former holders move.
    cut_off = () if state.gone else _cut_off(state, offer, wanted)
    refused = {family_of(address) for address, _ in cut_off}
    plan = tuple(kept for prefix in wanted for kept in (_had(state, prefix) if prefix.family in refused else (prefix,)))
    events: list[Event] = []
    if plan != state.plan or state.gone or (state.change_refused is not None and not cut_off):
        events.append(ev.NetworkDefined(plan, offer.uid, tuple(record.address for record in _stranded(state, plan))))
    if cut_off and (events or state.change_refused is None or state.change_refused.prefixes != wanted):
        events.append(ev.PrefixChangeRefused(wanted, cut_off))
    return events


def prefixes_of(offer: NetworkOffer) -> tuple[Prefix, ...]:
    """The offer's prefixes as the ledger writes them."""
    return tuple(Prefix(p.family, p.prefix, p.gateway, tuple(p.ranges), tuple(p.excluded)) for p in offer.prefixes)


def _had(state: NetworkState, prefix: Prefix) -> tuple[Prefix, ...]:
    """What the network has had in the family of the prefix."""
    return tuple(old for old in state.plan if old.family == prefix.family)


def _stranded(state: NetworkState, plan: tuple[Prefix, ...]) -> list[AddressRecord]:
    """Held addresses that a plan does not cover, those of a family that it lacks as a whole among them."""
    return [record for record in state.records.values() if record.holders and not covers(plan, record.address)]


def _cut_off(state: NetworkState, offer: NetworkOffer, wanted: tuple[Prefix, ...]) -> tuple[tuple[str, str], ...]:
    """(address, holders) of those that the wanted plan strands, although the old one covers them, and although it
    keeps their family with a prefix that is not forced.
    """
    bound = {prefix.family for prefix in wanted if prefix.prefix not in offer.force_prefix}
    return tuple(
        (record.address, ", ".join(holder.service for holder in record.holders))
        for record in _stranded(state, wanted)
        if record.family in bound and covers(state.plan, record.address)
    )
