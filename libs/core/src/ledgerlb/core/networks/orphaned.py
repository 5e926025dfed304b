"""Orphaned addresses: still held, although their network may no longer give them out (it is gone, its prefix changed,
it conflicts with a network that comes first, or it has another problem).

Holders keep an orphaned address until they have moved. Until then, a network that covers the address now (for
example the old network under a new name) must not give it to another Service, so it is excluded there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ledgerlb.core.addresses import Family, cidr_of, to_int, to_text
from ledgerlb.core.cluster.reachability import RouteTargets
from ledgerlb.core.intents.model import PrefixOffer
from ledgerlb.core.ledger.intervals import Interval, normalise
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.networks.model import ExternalNetwork


@dataclass(frozen=True, slots=True)
class OrphanedAddress:
    """One orphaned address, ``value`` as an integer. ``targets`` None: its network is gone, so the routing context
    is unknown.
    """

    network: str
    family: Family
    value: int
    targets: RouteTargets | None


def orphaned_addresses(
    found: Mapping[str, ExternalNetwork], holdings: Iterable[Holding]
) -> tuple[OrphanedAddress, ...]:
    """Return the orphaned addresses among the holdings, in the order of the holdings."""
    prefixes = {name: tuple(cidr_of(prefix.prefix) for prefix in network.prefixes) for name, network in found.items()}
    orphans: dict[tuple[str, str], OrphanedAddress] = {}
    for holding in holdings:
        network = found.get(holding.network)
        value = to_int(holding.address)
        if (
            network is None
            or network.problem is not None
            or not any(cidr.covers(holding.family, value) for cidr in prefixes[network.name])
        ):
            targets = network.targets if network is not None else None
            orphan = OrphanedAddress(holding.network, holding.family, value, targets)
            orphans[holding.network, holding.address] = orphan
    return tuple(orphans.values())


def without_orphaned(network: ExternalNetwork, orphans: Sequence[OrphanedAddress]) -> ExternalNetwork:
    """Return the network, with the orphaned addresses of other networks in its routing context excluded."""
    foreign = [orphan for orphan in orphans if orphan.network != network.name and _share_context(network, orphan)]
    if not foreign:
        return network
    prefixes = tuple(_without(prefix, foreign) for prefix in network.prefixes)
    return network if prefixes == network.prefixes else replace(network, prefixes=prefixes)


def _without(prefix: PrefixOffer, orphans: Sequence[OrphanedAddress]) -> PrefixOffer:
    cidr = cidr_of(prefix.prefix)
    inside: list[Interval] = [
        (orphan.value, orphan.value) for orphan in orphans if cidr.covers(orphan.family, orphan.value)
    ]
    if not inside:
        return prefix
    excluded = [(to_int(low), to_int(high)) for low, high in prefix.excluded]
    texts = tuple(
        (to_text(low, prefix.family), to_text(high, prefix.family)) for low, high in normalise((*excluded, *inside))
    )
    return prefix.model_copy(update={"excluded": texts})


def _share_context(network: ExternalNetwork, orphan: OrphanedAddress) -> bool:
    if not network.targets or not orphan.targets:
        return True
    return not set(network.targets.named).isdisjoint(orphan.targets.named)
