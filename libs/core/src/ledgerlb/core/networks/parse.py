"""Prefixes, ranges and addresses in the forms in which people write them. Strict: nothing is guessed.

Every function names ``subject`` (the object) and ``field`` (the place in it) in the BadInput that it raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from ledgerlb.core.errors import BadInput
from ledgerlb.core.facts import Family

_CIDR: Final = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}\Z", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f:.]+\Z", re.ASCII)
_EXAMPLES: Final = {4: "192.0.2.0/24", 6: "2001:db8::/64"}
MAX_ITEMS: Final = 1000
"""Most items of one comma-separated list."""


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses ``low`` to ``high`` of one family, as integers, inclusive."""

    family: Family
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Cidr:
    """A prefix in canonical form. ``cleared``: it was written with host bits, which are gone now."""

    family: Family
    text: str
    low: int
    high: int
    length: int
    cleared: bool

    def holds(self, span: Span) -> bool:
        """Whether the whole span lies inside."""
        return self.family == span.family and self.low <= span.low and span.high <= self.high


def parse_cidr(text: str, subject: str, field: str, family: Family | None = None) -> Cidr:
    """A prefix such as ``192.0.2.0/24``, of the given family where one is given."""
    cleaned = text.strip()
    example = _EXAMPLES[family] if family is not None else f"{_EXAMPLES[4]} or {_EXAMPLES[6]}"
    try:
        if not _CIDR.match(cleaned):
            raise ValueError(cleaned)  # noqa: TRY301 - one message for everything that is no prefix
        found: IPv4Network | IPv6Network = ip_network(cleaned, strict=False)
    except ValueError as error:
        raise BadInput(subject, field, f"{text!r} is not a prefix", f"write {example}") from error
    if family is not None and found.version != family:
        raise BadInput(subject, field, f"{text!r} is not an IPv{family} prefix", f"write {example}")
    low, high = int(found.network_address), int(found.broadcast_address)
    cleared = int(ip_address(cleaned.partition("/")[0])) != low
    return Cidr(_family(found), str(found), low, high, found.prefixlen, cleared)


def parse_address(text: str, subject: str, field: str) -> Span:
    """One address, as a span of one."""
    cleaned = text.strip()
    try:
        if not _ADDRESS.match(cleaned):
            raise ValueError(cleaned)  # noqa: TRY301 - one message for everything that is no address
        found = ip_address(cleaned)
    except ValueError as error:
        raise BadInput(subject, field, f"{text!r} is not an IP address", "write 192.0.2.7 or 2001:db8::7") from error
    return Span(_family(found), int(found), int(found))


def parse_range(low: str, high: str, subject: str, field: str) -> Span:
    """An inclusive range from one address to another of the same family."""
    first, last = parse_address(low, subject, field), parse_address(high, subject, field)
    if first.family != last.family or first.low > last.low:
        raise BadInput(
            subject,
            field,
            f"{low.strip()}-{high.strip()} is not a range",
            "write the lower address first, both of one family",
        )
    return Span(first.family, first.low, last.low)


def parse_addresses(text: str, subject: str, field: str) -> Iterator[tuple[Span, str]]:
    """The items of a comma-separated list of addresses, ranges ``a-b`` and prefixes, each with the text that
    said it (host bits of prefixes cleared).
    """
    for item in split_list(text, subject, field):
        if "/" in item:
            cidr = parse_cidr(item, subject, field)
            yield Span(cidr.family, cidr.low, cidr.high), item
        elif "-" in item:
            low, _, high = item.partition("-")
            yield parse_range(low, high, subject, field), item
        else:
            yield parse_address(item, subject, field), item


def split_list(text: str, subject: str, field: str) -> list[str]:
    """The items of a comma-separated list without the blanks around them; none may be empty."""
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise BadInput(subject, field, "lists an empty item", "remove the annotation, or the superfluous comma")
    if len(items) > MAX_ITEMS:
        raise BadInput(subject, field, f"lists more than {MAX_ITEMS} items", "use ranges or prefixes")
    return items


def address_text(value: int, family: Family) -> str:
    """The canonical text of an address."""
    return str(IPv4Address(value) if family == 4 else IPv6Address(value))


def _family(found: IPv4Network | IPv6Network | IPv4Address | IPv6Address) -> Family:
    return 4 if found.version == 4 else 6
