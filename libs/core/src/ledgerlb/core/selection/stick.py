"""Stickiness: the network that a Service stays with because it holds an address there by its present wishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ledgerlb.core.facts import ServiceFact
from ledgerlb.core.intents import AddressIntent, Withdrawal
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.services import basis_of


@dataclass(frozen=True, slots=True)
class Anchor:
    """The network that was chosen under the Service's present wishes and of which it holds an address; ``rung``
    chose it then (empty: no longer known).
    """

    network: str
    rung: str = ""


def anchor_of(
    service: ServiceFact, holdings: Iterable[Holding], words: Mapping[str, AddressIntent | Withdrawal]
) -> Anchor | None:
    """The Service's anchor, None where it has none. ``words`` is the last that was said to each network about
    the Service.

    A network counts if the Service (this one, not an earlier one of its name) holds an address there, was not
    withdrawn from it, and was given it, or asked for it, with the wishes that it has now. Of several, what was
    asked for goes before what is merely held, then the latest.
    """
    basis = basis_of(service)
    found: list[tuple[bool, datetime, str]] = []
    for holding in holdings:
        word = words.get(holding.network)
        if holding.state != "held" or holding.uid != service.uid or isinstance(word, Withdrawal):
            continue
        asked = word is not None and word.basis == basis
        if asked or holding.basis == basis:
            found.append((asked, holding.since, holding.network))
    if not found:
        return None
    network = max(found)[2]
    word = words.get(network)
    return Anchor(network, word.rung if isinstance(word, AddressIntent) else "")
