"""The address plan of a network: which addresses it can give out, and why not the others.

Reserved, by family: IPv4 up to /30 reserves network, broadcast and gateway; IPv6 up to /126 reserves the first address
(subnet-router anycast) and the gateway. Where no gateway is set, network+1 is taken for it. In /31, /32, /127 and
/128 every address is usable unless it is the explicit gateway.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from ledgerlb.core.addresses import BITS, Family, Span, cidr_of, family_of, spelled, to_int
from ledgerlb.core.ledger.events import Prefix
from ledgerlb.core.ledger.intervals import Interval, contains, intersect, normalise, subtract
from ledgerlb.core.reasons import Reason

OUTSIDE: Final = Reason.REQUESTED_ADDRESS_OUTSIDE_NETWORK
RESERVED: Final = Reason.REQUESTED_ADDRESS_RESERVED


@lru_cache(maxsize=4096)
def span(prefix: Prefix) -> tuple[Interval, ...]:
    """What prefix and ranges cover, before anything is reserved: outside of it, a holder is cut off."""
    cidr = cidr_of(prefix.prefix)
    whole: Interval = (cidr.low, cidr.high)
    if not prefix.ranges:
        return (whole,)
    return intersect((whole,), ((to_int(low), to_int(high)) for low, high in prefix.ranges))


def _reserved(prefix: Prefix) -> Iterable[Interval]:
    cidr = cidr_of(prefix.prefix)
    first, last = cidr.low, cidr.high
    roomy = cidr.length <= BITS[cidr.family] - 2
    if prefix.gateway:
        yield (to_int(prefix.gateway),) * 2
    elif roomy:
        yield first + 1, first + 1
    if roomy:
        yield first, first
        if prefix.family == 4:
            yield last, last
    for low, high in prefix.excluded:
        yield to_int(low), to_int(high)


@lru_cache(maxsize=4096)
def usable(prefix: Prefix) -> tuple[Interval, ...]:
    """The addresses that may be given out, as disjoint inclusive intervals, ascending."""
    return subtract(span(prefix), _reserved(prefix))


def common(old: Iterable[Prefix], new: Iterable[Prefix], family: Family) -> tuple[Interval, ...]:
    """What both plans can give out in a family."""
    return intersect(usable_of(old, family), usable_of(new, family))


def span_of(prefixes: Iterable[Prefix], family: Family) -> tuple[Interval, ...]:
    """What prefixes and ranges of one family of a plan cover, before anything is reserved."""
    return normalise(pair for prefix in prefixes if prefix.family == family for pair in span(prefix))


def usable_of(prefixes: Iterable[Prefix], family: Family) -> tuple[Interval, ...]:
    """The usable addresses of one family of a plan."""
    return normalise(pair for prefix in prefixes if prefix.family == family for pair in usable(prefix))


def covers(prefixes: Iterable[Prefix], address: str) -> bool:
    """Whether prefix and ranges of the plan hold the address (reserved or not)."""
    family, value = family_of(address), to_int(address)
    return any(prefix.family == family and contains(span(prefix), value) for prefix in prefixes)


def refusal_of(prefixes: Iterable[Prefix], address: str) -> str | None:
    """Why the plan cannot give out this very address (``RequestedAddress…``), or None."""
    family, value = family_of(address), to_int(address)
    held = [prefix for prefix in prefixes if prefix.family == family and contains(span(prefix), value)]
    if not held:
        return OUTSIDE
    return None if any(contains(usable(prefix), value) for prefix in held) else RESERVED


def extent_of(prefixes: Iterable[Prefix]) -> str:
    """What the plan covers, as a person writes it: its prefixes, or, where a family has several, the merged spans."""
    found = tuple(prefixes)
    texts: list[str] = []
    for family in dict.fromkeys(prefix.family for prefix in found):
        own = [prefix for prefix in found if prefix.family == family]
        if len(own) == 1:
            texts.append(own[0].prefix)
        else:
            texts += [spelled(Span(family, low, high)) for low, high in span_of(own, family)]
    return ", ".join(texts)


def size_of(prefixes: Iterable[Prefix]) -> int:
    """How many addresses the plan can give out over both families."""
    found = tuple(prefixes)
    return sum(high - low + 1 for family in (4, 6) for low, high in usable_of(found, family))
