"""Addresses still held although their network no longer has them: it is gone, or its prefix changed under the
holder.

Their holders keep them until they have moved. A network that covers such an address now (the old one under a
new name, for one) must not give it to anybody meanwhile: it is excluded there until it is released.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from ledgerlb.core.facts import Family
from ledgerlb.core.intents import PrefixOffer
from ledgerlb.core.ledger.intervals import Interval, normalise
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.networks.model import ExternalNetwork
from ledgerlb.core.networks.parse import Cidr, address_text, parse_cidr
from ledgerlb.core.reachability import RouteTargets


@dataclass(frozen=True, slots=True)
class Stray:
    """One such address. ``targets`` None: its network is gone, and with it what its routing context was."""

    network: str
    family: Family
    value: int
    targets: RouteTargets | None


def strays_of(found: Mapping[str, ExternalNetwork], holdings: Iterable[Holding]) -> tuple[Stray, ...]:
    """The stray addresses among the holdings, in their order."""
    prefixes = {name: tuple(map(_cidr, network.prefixes)) for name, network in found.items()}
    strays: dict[tuple[str, str], Stray] = {}
    for holding in holdings:
        network = found.get(holding.network)
        value = int(ip_address(holding.address))
        if network is None or not any(_covers(cidr, holding.family, value) for cidr in prefixes[network.name]):
            targets = network.targets if network is not None else None
            strays[holding.network, holding.address] = Stray(holding.network, holding.family, value, targets)
    return tuple(strays.values())


def without_strays(network: ExternalNetwork, strays: Sequence[Stray]) -> ExternalNetwork:
    """The network with the strays of other networks in its routing context excluded."""
    foreign = [stray for stray in strays if stray.network != network.name and _same_context(network.targets, stray)]
    if not foreign:
        return network
    prefixes = tuple(_without(prefix, foreign) for prefix in network.prefixes)
    return network if prefixes == network.prefixes else replace(network, prefixes=prefixes)


def _without(prefix: PrefixOffer, strays: Sequence[Stray]) -> PrefixOffer:
    cidr = _cidr(prefix)
    inside: list[Interval] = [
        (stray.value, stray.value) for stray in strays if _covers(cidr, stray.family, stray.value)
    ]
    if not inside:
        return prefix
    said = [(int(ip_address(low)), int(ip_address(high))) for low, high in prefix.excluded]
    texts = tuple(
        (address_text(low, prefix.family), address_text(high, prefix.family))
        for low, high in normalise((*said, *inside))
    )
    return prefix.model_copy(update={"excluded": texts})


def _same_context(targets: RouteTargets, stray: Stray) -> bool:
    if not targets or not stray.targets:
        return True
    return not set(targets.named).isdisjoint(stray.targets.named)


def _cidr(prefix: PrefixOffer) -> Cidr:
    return parse_cidr(prefix.prefix, "prefix", "", prefix.family)


def _covers(cidr: Cidr, family: Family, value: int) -> bool:
    return cidr.family == family and cidr.low <= value <= cidr.high
