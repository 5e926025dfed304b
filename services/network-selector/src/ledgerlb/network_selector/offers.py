"""What must be said about networks: an offer for each, where it says something new. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledgerlb.core.intent_fold import IntentFold
from ledgerlb.core.intents import NetworkOffer
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.networks import ExternalNetwork, OrphanedAddress, gone_offer, to_offer, without_orphaned


def offers_of(
    networks: Mapping[str, ExternalNetwork],
    orphans: Sequence[OrphanedAddress],
    intents: IntentFold,
    fold: LedgerFold,
    revisions: Mapping[str, int],
) -> list[NetworkOffer]:
    """The offers to write. ``revisions`` are those that the ledger names. A network that was offered, or that
    the ledger knows, and that is no more, is said to be gone; that stays said, so that a reader of the topic
    alone knows it too.
    """

    def revision(name: str) -> int:
        return intents.next_revision(f"{name}|", revisions.get(name, 0))

    offers: list[NetworkOffer] = []
    for name, network in networks.items():
        old = intents.offers.get(name)
        offered = without_orphaned(network, orphans)
        if old is None or to_offer(offered, old.revision, old.problem_since) != old:
            fresh = revision(name)
            problem = (offered.problem, offered.message, offered.carrier)
            lasts = old is not None and (old.problem, old.message, old.carrier) == problem
            offers.append(to_offer(offered, fresh, old.problem_since if old is not None and lasts else fresh))
    for name in sorted({*intents.offers, *fold.networks} - networks.keys()):
        old = intents.offers.get(name)
        known_as_gone = old.gone if old is not None else fold.networks[name].gone
        if not known_as_gone:
            offers.append(gone_offer(name, revision(name), old.uid if old is not None else ""))
    return offers
