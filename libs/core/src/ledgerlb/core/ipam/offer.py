"""Changes of the network itself: its address plan appears, changes, or goes."""

from __future__ import annotations

from collections.abc import Container

from ledgerlb.core.addresses import Family, family_of
from ledgerlb.core.intents.model import NetworkOffer
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.events import Event, Prefix
from ledgerlb.core.ledger.plan import covers
from ledgerlb.core.ledger.records import AddressRecord
from ledgerlb.core.ledger.state import NetworkState


def take_offer(state: NetworkState, offer: NetworkOffer) -> list[Event]:
    """Return the events that bring the ledger's address plan up to the offer; [] when it is up to date.

    Refuse a prefix that would cut a holder off, with the list of holders, unless it is forced. That family then keeps
    its prefix, while the other family takes the new plan. A family that goes as a whole, or comes again, is not
    refused, because its holders move. A network with a problem keeps its plan.
    """
    if offer.gone:
        return [] if state.gone or not state.seq else [ev.NetworkGone()]
    if offer.problem is not None:
        return []
    wanted = prefixes_of(offer)
    if wanted == state.plan and not state.gone and state.change_refused is None:
        return []
    # A network that was deleted and created again is a new network: its plan is no change, and former holders move.
    cut_off = () if state.gone else _cut_off(state, offer, wanted)
    refused = {family_of(address) for address, _ in cut_off}
    plan = _with_kept(state, wanted, refused)
    events: list[Event] = []
    if plan != state.plan or state.gone or (state.change_refused is not None and not cut_off):
        events.append(ev.NetworkDefined(plan, offer.uid, tuple(record.address for record in _stranded(state, plan))))
    if cut_off and (events or state.change_refused is None or state.change_refused.prefixes != wanted):
        events.append(ev.PrefixChangeRefused(wanted, cut_off))
    return events


def prefixes_of(offer: NetworkOffer) -> tuple[Prefix, ...]:
    """Return the offer's prefixes as the ledger writes them."""
    return tuple(Prefix(p.family, p.prefix, p.gateway, tuple(p.ranges), tuple(p.excluded)) for p in offer.prefixes)


def _with_kept(state: NetworkState, wanted: tuple[Prefix, ...], refused: Container[Family]) -> tuple[Prefix, ...]:
    """Return the wanted prefixes, but in the families whose change is refused those that the network has had."""
    plan: list[Prefix] = []
    for family in dict.fromkeys(prefix.family for prefix in wanted):
        source = state.plan if family in refused else wanted
        plan += [prefix for prefix in source if prefix.family == family]
    return tuple(plan)


def _stranded(state: NetworkState, plan: tuple[Prefix, ...]) -> list[AddressRecord]:
    """Return held addresses that a plan does not cover, including those of a family that it lacks as a whole."""
    return [record for record in state.records.values() if record.holders and not covers(plan, record.address)]


def _cut_off(state: NetworkState, offer: NetworkOffer, wanted: tuple[Prefix, ...]) -> tuple[tuple[str, str], ...]:
    """Return (address, holders) of each holding that the wanted plan would cut off.

    The old plan covers these addresses, and the wanted plan keeps their family with a prefix that is not forced.
    """
    bound = {prefix.family for prefix in wanted if prefix.prefix not in offer.force_prefix}
    return tuple(
        (record.address, ", ".join(holder.service for holder in record.holders))
        for record in _stranded(state, wanted)
        if record.family in bound and covers(state.plan, record.address)
    )
