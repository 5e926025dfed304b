"""Changes of the network itself: its address plan appears, changes, or goes."""

from __future__ import annotations

from ledgerlb.core.intents import NetworkOffer
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.events import Event, Prefix
from ledgerlb.core.ledger.plan import covers, family_of
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import NetworkState


def take_offer(state: NetworkState, offer: NetworkOffer) -> list[Event]:
    """Bring the ledger's address plan up to what the selector says; [] when it is.

    A plan that would cut a holder off is refused with the list of holders, unless it is forced; a family that goes as a
    whole, or comes again, is not refused, because its holders move. A network with a problem keeps the plan that it
    had.
    """
    if offer.gone:
        return [] if state.gone or not state.seq else [ev.NetworkGone()]
    if offer.problem is not None:
        return []
    wanted = prefixes_of(offer)
    if wanted == state.plan and not state.gone and state.change_refused is None:
        return []
    stranded = _stranded(state, wanted)
    # A network that went and comes again is another one: no change of its plan, and its former holders move.
    cut_off = () if state.gone else _cut_off(state, wanted, stranded)
    if not cut_off or _forced(offer, wanted, cut_off):
        return [ev.NetworkDefined(wanted, offer.uid, tuple(record.address for record in stranded))]
    if state.change_refused is not None and state.change_refused.prefixes == wanted:
        return []
    return [ev.PrefixChangeRefused(wanted, cut_off)]


def prefixes_of(offer: NetworkOffer) -> tuple[Prefix, ...]:
    """The offer's prefixes as the ledger writes them."""
    return tuple(Prefix(p.family, p.prefix, p.gateway, tuple(p.ranges), tuple(p.excluded)) for p in offer.prefixes)


def _stranded(state: NetworkState, wanted: tuple[Prefix, ...]) -> list[AddressRecord]:
    """Held addresses that the new plan does not cover, those of a family that goes as a whole among them."""
    return [record for record in state.records.values() if record.holders and not covers(wanted, record.address)]


def _cut_off(
    state: NetworkState, wanted: tuple[Prefix, ...], stranded: list[AddressRecord]
) -> tuple[tuple[str, str], ...]:
    """(address, holders) of those stranded that the old plan covers and whose family the new one keeps."""
    kept_families = {prefix.family for prefix in wanted}
    return tuple(
        (record.address, ", ".join(holder.service for holder in record.holders))
        for record in stranded
        if record.family in kept_families and covers(state.plan, record.address)
    )


def _forced(offer: NetworkOffer, wanted: tuple[Prefix, ...], cut_off: tuple[tuple[str, str], ...]) -> bool:
    """Whether the new prefix of every family in which holders are cut off is forced; how the other one changes cuts
    nobody off.
    """
    families = {family_of(address) for address, _ in cut_off}
    return all(prefix.prefix in offer.force_prefix for prefix in wanted if prefix.family in families)
