"""The invariant of what is published: at rest no two Services show one address in their statuses.

Services that share an address, and networks that route targets keep apart, are no exception: in both cases the ledger
says that each of the Services holds the address.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ledgerlb.core.addresses import parse
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.ledger.fold import LedgerFold


@dataclass(frozen=True, slots=True)
class ShownTwice:
    """An address that several Services show, although not all of them hold it."""

    address: str
    shown: tuple[str, ...]
    held: tuple[str, ...]

    def text(self) -> str:
        """Return a sentence that names the Services and the remedy."""
        holders = f"the ledger says that {', '.join(self.held)} holds it" if self.held else "none of them holds it"
        return f"stands in the statuses of {' and '.join(self.shown)}, and {holders}; take it out of the other statuses"


def shown_twice(services: Iterable[ServiceFact], ledger: LedgerFold) -> list[ShownTwice]:
    """Return the violations, by address. Addresses that no network of the ledger has are not LedgerLB's."""
    showing: dict[str, list[str]] = {}
    for service in services:
        if service.type == "LoadBalancer":
            spelled = (parse(text) for text in service.ingress)
            for address in dict.fromkeys(one.text for one in spelled if one is not None):
                showing.setdefault(address, []).append(service.full_name)
    found = []
    for address, names in sorted(showing.items()):
        holders = {holding.service for holding in ledger.holding(address)}
        if len(names) > 1 and not holders.issuperset(names) and _is_known(ledger, address):
            held = tuple(name for name in names if name in holders)
            found.append(ShownTwice(address, tuple(names), held))
    return found


def _is_known(ledger: LedgerFold, address: str) -> bool:
    """Return whether some network of the ledger gives the address out."""
    spelled = parse(address)
    assert spelled is not None
    return any(
        not state.gone and state.covers(spelled.family, spelled.value) for state in ledger.networks.values()
    ) or bool(ledger.holding(address))
