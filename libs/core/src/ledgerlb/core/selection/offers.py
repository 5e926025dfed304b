"""Offers: the network-selector's record about each network, where it differs from the last one written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledgerlb.core.cluster.in_use import AddressesInUse
from ledgerlb.core.intents.fold import IntentFold
from ledgerlb.core.intents.model import NetworkOffer
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.networks import (
    ExternalNetwork,
    OrphanedAddress,
    gone_offer,
    to_offer,
    without_orphaned,
    without_used,
)


def plan_offers(
    networks: Mapping[str, ExternalNetwork],
    orphans: Sequence[OrphanedAddress],
    used: AddressesInUse,
    intents: IntentFold,
    ledger: LedgerFold,
) -> list[NetworkOffer]:
    """Return the offers to write.

    A network that was offered, or that the ledger knows, and that no longer exists gets an offer with ``gone`` set.
    That offer stays in the topic, so that a reader of the topic alone knows it too.
    """
    offers: list[NetworkOffer] = []
    for name, network in networks.items():
        old = intents.offers.get(name)
        offered = without_used(without_orphaned(network, orphans), used)
        if old is None or to_offer(offered, old.revision, old.problem_since) != old:
            revision = _next_revision(name, intents, ledger)
            problem = (offered.problem, offered.message, offered.carrier)
            lasts = old is not None and (old.problem, old.message, old.carrier) == problem
            offers.append(to_offer(offered, revision, old.problem_since if old is not None and lasts else revision))
    for name in sorted({*intents.offers, *ledger.networks} - networks.keys()):
        old = intents.offers.get(name)
        known_as_gone = old.gone if old is not None else ledger.networks[name].gone
        if not known_as_gone:
            revision = _next_revision(name, intents, ledger)
            offers.append(gone_offer(name, revision, old.uid if old is not None else ""))
    return offers


def _next_revision(network: str, intents: IntentFold, ledger: LedgerFold) -> int:
    state = ledger.networks.get(network)
    return intents.next_revision(f"{network}|", state.offer_revision if state is not None else 0)
