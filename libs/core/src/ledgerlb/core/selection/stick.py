"""Anchors: the network that a Service keeps, because it holds an address there under its present annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import chose_alike
from ledgerlb.core.intents.model import AddressIntent, ServiceIntent, Withdrawal
from ledgerlb.core.ledger.records import Holding


@dataclass(frozen=True, slots=True)
class Anchor:
    """The network that was chosen under the Service's present basis and of which it holds an address. ``rung`` chose it
    (empty: no longer known).
    """

    network: str
    rung: str = ""


def anchor_of(service: ServiceFact, holdings: Iterable[Holding], intents: Mapping[str, ServiceIntent]) -> Anchor | None:
    """Return the Service's anchor, None if it has none. ``intents`` are those about the Service, by network.

    A network counts if this Service (not an earlier one of its name) holds an address there, no Withdrawal names the
    network, and the address or the intent has the Service's present basis. Of several, a network with such an intent
    takes precedence, then the latest.
    """
    found: list[tuple[bool, datetime, str]] = []
    for holding in holdings:
        intent = intents.get(holding.network)
        if holding.state != "held" or holding.uid != service.uid or isinstance(intent, Withdrawal):
            continue
        asked = isinstance(intent, AddressIntent) and chose_alike(intent.basis, service)
        if asked or chose_alike(holding.basis, service):
            found.append((asked, holding.since, holding.network))
    if not found:
        return None
    network = max(found)[2]
    intent = intents.get(network)
    return Anchor(network, intent.rung if isinstance(intent, AddressIntent) else "")
