"""Conflicts: of two networks whose prefixes overlap in one routing context, the younger gives out nothing.

Two networks share a routing context unless both list route targets and the lists have nothing in common. Admitted
networks come first: otherwise a tenant could switch off a network with a prefix of his own. Then a network that has
holders counts as older than one that has none; then age decides, then the name.

Prefixes overlap exactly if one contains the other. So each network looks for older ones among the prefixes that
contain its own (at most 128 lengths) and among those that its own contains (every prefix is filed under all its
ancestors). The cost grows with the number of networks, not of pairs.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ledgerlb.core.addresses import BITS, Family, cidr_of
from ledgerlb.core.networks.model import ExternalNetwork
from ledgerlb.core.reasons import Reason

_Place = tuple[Family, int, int]
"""Family, prefix length, the network's leading bits of that length."""


@dataclass(slots=True)
class _Filed:
    """Ranks of the oldest networks at one place: of all, of those without route targets, and per route target."""

    oldest: int
    without: int | None = None
    by_target: dict[str, int] = field(default_factory=dict)

    def add(self, rank: int, targets: tuple[str, ...]) -> None:
        # Networks come oldest first, so what is filed already is older than what is added.
        if not targets and self.without is None:
            self.without = rank
        for target in targets:
            self.by_target.setdefault(target, rank)

    def clashing(self, targets: tuple[str, ...]) -> Iterator[int]:
        if not targets:
            yield self.oldest
            return
        if self.without is not None:
            yield self.without
        for target in targets:
            if target in self.by_target:
                yield self.by_target[target]


def with_conflicts(found: Mapping[str, ExternalNetwork], holders: Container[str] = ()) -> dict[str, ExternalNetwork]:
    """Return the same networks, in the order of names, with those marked that conflict.

    A network that gives out nothing (it has a problem, or conflicts itself) puts no other into conflict. Its holders
    keep their addresses, which count as orphaned until the network counts again.
    """
    ranked = sorted(
        (network for network in found.values() if network.problem is None),
        key=lambda network: (not network.admitted, network.name not in holders, *network.age),
    )
    exact: dict[_Place, _Filed] = {}
    below: dict[_Place, _Filed] = {}
    conflicts: dict[str, ExternalNetwork] = {}
    for rank, network in enumerate(ranked):
        targets = network.targets.named
        places = [_place(prefix.prefix, prefix.family) for prefix in network.prefixes]
        older = [
            clash
            for place in places
            for filed in _overlapping(place, exact, below)
            for clash in filed.clashing(targets)
        ]
        if older:
            conflicts[network.name] = ranked[min(older)]
            continue
        for place in places:
            exact.setdefault(place, _Filed(rank)).add(rank, targets)
            for ancestor in _ancestors(place):
                below.setdefault(ancestor, _Filed(rank)).add(rank, targets)
    return {name: _marked(found[name], conflicts.get(name)) for name in sorted(found)}


def _place(prefix: str, family: Family) -> _Place:
    cidr = cidr_of(prefix)
    return family, cidr.length, cidr.low >> (BITS[family] - cidr.length)


def _ancestors(place: _Place) -> Iterator[_Place]:
    family, length, bits = place
    return ((family, shorter, bits >> (length - shorter)) for shorter in range(length))


def _overlapping(place: _Place, exact: Mapping[_Place, _Filed], below: Mapping[_Place, _Filed]) -> Iterator[_Filed]:
    for at in (place, *_ancestors(place)):
        if at in exact:
            yield exact[at]
    if place in below:
        yield below[place]


def _rank(network: ExternalNetwork, older: ExternalNetwork) -> str:
    return "admitted" if older.admitted and not network.admitted else "older"


def _marked(network: ExternalNetwork, older: ExternalNetwork | None) -> ExternalNetwork:
    if older is None:
        return network
    if network.pool is not None or older.pool is not None:
        remedy = "change the addresses of one of them"  # pools have no route targets
    else:
        remedy = "change one of the prefixes, or give both networks route targets that have nothing in common"
    return replace(
        network,
        conflict=older.name,
        problem=network.problem or Reason.NETWORK_CONFLICT,
        message=network.message
        or f"network {network.name} ({network.extent}) overlaps with the {_rank(network, older)} network {older.name} "
        f"({older.extent}); {remedy}",
    )
