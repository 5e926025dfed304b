"""Addresses inside a network that the cluster itself uses (see ``cluster.in_use``): reserved, and in a warning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Final

from ledgerlb.core.addresses import BITS, Family, cidr_of, to_int, to_text
from ledgerlb.core.cluster.in_use import AddressesInUse, Use, uses_of
from ledgerlb.core.cluster.view import Change
from ledgerlb.core.intents.model import PrefixOffer
from ledgerlb.core.ledger.intervals import Interval, normalise, overlaps
from ledgerlb.core.networks.model import ExternalNetwork

_NAMED: Final = 5
"""Most uses that the warning names."""


def without_used(network: ExternalNetwork, used: AddressesInUse) -> ExternalNetwork:
    """Return the network without the addresses that the cluster uses, and with a warning that names them. Holders of
    such addresses keep them.
    """
    found = [tuple(used.within(cidr_of(prefix.prefix))) for prefix in network.prefixes]
    if not any(found):
        return network
    pairs = list(zip(network.prefixes, found, strict=True))
    # An address of a pool may lie in two of its prefixes.
    named = list(
        dict.fromkeys(_described(use, prefix.family) for prefix, uses in pairs for use in islice(uses, _NAMED + 1))
    )
    count = len({(prefix.family, use.low, use.high) for prefix, uses in pairs for use in uses})
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    text = f"the cluster itself uses {', '.join(named[:_NAMED])}{more}: LedgerLB never gives these addresses out"
    prefixes = tuple(_without(prefix, uses) for prefix, uses in pairs)
    return replace(network, prefixes=prefixes, reserved=text)


class Coverage:
    """The addresses that any of some networks covers: tells quickly whether the cluster's use of one concerns them."""

    def __init__(self, networks: Iterable[ExternalNetwork] = ()) -> None:
        prefixes = [cidr_of(prefix.prefix) for network in networks for prefix in network.prefixes]
        self._covered: dict[Family, tuple[Interval, ...]] = {
            family: normalise((cidr.low, cidr.high) for cidr in prefixes if cidr.family == family) for family in BITS
        }

    def concerns(self, change: Change) -> bool:
        """Return whether addresses inside a network came into use or went out of use."""
        before, after = (set(uses_of(fact)) if fact is not None else set() for fact in (change.old, change.new))
        return any(overlaps(self._covered[cidr.family], cidr.low, cidr.high) for cidr, _ in before ^ after)


def _without(prefix: PrefixOffer, uses: Iterable[Use]) -> PrefixOffer:
    taken = [(use.low, use.high) for use in uses]
    if not taken:
        return prefix
    excluded = [(to_int(low), to_int(high)) for low, high in prefix.excluded]
    texts = (
        (to_text(low, prefix.family), to_text(high, prefix.family)) for low, high in normalise((*excluded, *taken))
    )
    return prefix.model_copy(update={"excluded": tuple(texts)})


def _described(use: Use, family: Family) -> str:
    low, high = to_text(use.low, family), to_text(use.high, family)
    span = low if use.low == use.high else f"{low}-{high}"
    others = f" and {len(use.users) - 1} more" if len(use.users) > 1 else ""
    return f"{span} ({use.users[0]}{others})"
