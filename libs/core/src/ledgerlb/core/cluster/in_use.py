"""Addresses that the cluster itself uses: those of Nodes, their podCIDRs, and ClusterIPs.

A network whose prefix covers some of them (a pool in the Nodes' own LAN is common) must never give these out.

Everything is kept as a prefix (an address is one of full length). Two prefixes are nested or disjoint, so those that a
network covers are one stretch of a sorted list, and those that cover the network have a shorter form of its own bits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ledgerlb.core.addresses import BITS, Cidr, Family, cidr_of, parse
from ledgerlb.core.cluster.facts import Fact, NodeFact, ServiceFact
from ledgerlb.core.index import Index

_Place = tuple[int, int]
"""The first address of a prefix, and its length."""


class Use(NamedTuple):
    """Addresses in use, ``low`` to ``high`` inclusive, and by what: ``InternalIP of Node n1``."""

    low: int
    high: int
    users: tuple[str, ...]


class AddressesInUse:
    """See module. ``add`` and ``discard`` take the uses of one object; both cost a bisection a prefix."""

    def __init__(self) -> None:
        self._places: Final[dict[Family, list[_Place]]] = {4: [], 6: []}
        self._users: Final[Index[tuple[Family, _Place], str, None]] = Index()

    def add(self, fact: Fact) -> None:
        """Note what the object uses."""
        for cidr, user in uses_of(fact):
            place = (cidr.low, cidr.length)
            if (cidr.family, place) not in self._users:
                insort(self._places[cidr.family], place)
            self._users.add((cidr.family, place), user)

    def discard(self, fact: Fact) -> None:
        """Forget what the object used."""
        for cidr, user in uses_of(fact):
            place = (cidr.low, cidr.length)
            self._users.discard((cidr.family, place), user)
            if (cidr.family, place) not in self._users:
                places = self._places[cidr.family]
                at = bisect_left(places, place)
                if at < len(places) and places[at] == place:
                    del places[at]

    def within(self, prefix: Cidr) -> Iterator[Use]:
        """Yield the uses inside a prefix, by address; one that covers the whole prefix is cut to it."""
        bits = BITS[prefix.family]
        for length in range(prefix.length):
            users = self._users.of((prefix.family, (prefix.low >> (bits - length) << (bits - length), length)))
            if users:
                yield Use(prefix.low, prefix.high, tuple(users))
        places = self._places[prefix.family]
        first = bisect_left(places, (prefix.low, prefix.length))
        for low, length in places[first : bisect_right(places, (prefix.high, bits))]:
            yield Use(low, low | ((1 << (bits - length)) - 1), tuple(self._users.of((prefix.family, (low, length)))))


def uses_of(fact: Fact) -> Iterable[tuple[Cidr, str]]:
    """Return the prefixes that a Node or a Service uses, and how. Text that spells none uses nothing."""
    match fact:
        case NodeFact():
            found = [(text, f"address of Node {fact.name}") for text in (*fact.addresses, *fact.other_addresses)]
            found += [(text, f"podCIDR of Node {fact.name}") for text in fact.pod_cidrs]
        case ServiceFact():
            found = [(text, f"ClusterIP of Service {fact.full_name}") for text in fact.cluster_ips]
        case _:
            found = []
    return tuple((cidr, user) for text, user in found if (cidr := _prefix(text)) is not None)


def _prefix(text: str) -> Cidr | None:
    address = parse(text)
    try:
        return cidr_of(text if address is None else f"{address.text}/{BITS[address.family]}")
    except ValueError:
        return None
