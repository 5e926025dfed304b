"""Addresses, ranges, prefixes and source ranges: the one module that parses and spells them.

netaddr does the work and stays inside: other modules see text, integers and the small values below. Parsing is
strict. It accepts what Kubernetes accepts of the forms that people write, and guesses nothing: no short forms, no
leading zeros, no zones (``fe80::1%eth0`` means nothing on another machine), no netmasks.

*Canonical* text is what ``to_text`` writes. The ledger, the path sets and the status of Services all use it, so two
texts of one address are never taken for two addresses.

Functions that take ``subject`` (the object) and ``field`` (the place in it) name both in the BadInput that they raise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from netaddr import AddrFormatError, IPAddress, IPNetwork, iprange_to_cidrs

from ledgerlb.core.errors import BadInput

Family = Literal[4, 6]

BITS: Final[dict[Family, int]] = {4: 32, 6: 128}
MAX_ITEMS: Final = 1000
"""Most items of one comma-separated list."""

_ADDRESS: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}\Z")
_CIDR: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}\Z")
_UNROUTABLE: Final = (
    ("0.0.0.0/8", "addresses of this host"),
    ("127.0.0.0/8", "loopback addresses"),
    ("169.254.0.0/16", "link-local addresses"),
    ("224.0.0.0/4", "multicast addresses"),
    ("240.0.0.0/4", "reserved and broadcast addresses"),
    ("::/127", "unspecified and loopback addresses"),
    ("::ffff:0:0/96", "IPv4-mapped addresses"),
    ("fe80::/10", "link-local addresses"),
    ("ff00::/8", "multicast addresses"),
)
_EXAMPLES: Final[dict[Family, str]] = {4: "192.0.2.0/24", 6: "2001:db8::/64"}


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """One address; addresses sort by family, then by value. ``text`` is canonical."""

    family: Family
    value: int
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses ``low`` to ``high`` of one family, as integers, inclusive."""

    family: Family
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Cidr:
    """A prefix; ``text`` is canonical. ``cleared``: it was written with host bits, which were dropped."""

    family: Family
    text: str
    low: int
    high: int
    length: int
    cleared: bool

    def holds(self, span: Span) -> bool:
        """Return whether the whole span lies inside."""
        return self.family == span.family and self.low <= span.low and span.high <= self.high

    def covers(self, family: Family, value: int) -> bool:
        """Return whether one address lies inside."""
        return self.family == family and self.low <= value <= self.high


def cidrs_in(span: Span) -> tuple[Cidr, ...]:
    """Return the fewest prefixes that cover exactly the span, ascending."""
    ends = IPAddress(span.low, span.family), IPAddress(span.high, span.family)
    return tuple(cidr_of(str(found)) for found in iprange_to_cidrs(*ends))


def spelled(span: Span) -> str:
    """Return the span as a person writes it: one address, a prefix, or ``a-b``."""
    prefixes = cidrs_in(span)
    if span.low == span.high:
        return to_text(span.low, span.family)
    return (
        prefixes[0].text
        if len(prefixes) == 1
        else f"{to_text(span.low, span.family)}-{to_text(span.high, span.family)}"
    )


# -- single addresses --------------------------------------------------------------------------------------------------


def to_int(address: str) -> int:
    """Return the integer of canonical text; raises ValueError. IPv4 has a short cut for the fold of the ledger."""
    if ":" not in address:
        a, b, c, d = address.split(".")
        return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)
    try:
        return int(IPAddress(address, 6))
    except AddrFormatError as error:
        raise ValueError(f"{address!r} is not an IP address") from error


def to_text(value: int, family: Family) -> str:
    """Return the canonical text of an address."""
    if family == 4:
        return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
    return str(IPAddress(value, 6))


def family_of(address: str) -> Family:
    """Return the family of canonical address text."""
    return 6 if ":" in address else 4


@lru_cache(maxsize=1 << 16)
def parse(text: str) -> Address | None:
    """Return the address that a text spells, None if it spells none."""
    if not _ADDRESS.match(text):
        return None
    try:
        value = int(IPAddress(text))
    except (AddrFormatError, ValueError):
        return None
    return Address(family_of(text), value, to_text(value, family_of(text)))


def address_order(address: str) -> tuple[int, int]:
    """Sort key of a canonical address: IPv4 first, then by number."""
    number = parse(address)
    assert number is not None, f"{address} was to be canonical"
    return number.family, number.value


def is_address(text: str) -> bool:
    """Return whether the text spells an address."""
    return parse(text) is not None


def is_canonical(text: str) -> bool:
    """Return whether the text is an address in canonical spelling."""
    found = parse(text)
    return found is not None and found.text == text


def canonical(text: str) -> str:
    """Return the canonical text of an address. A text that spells none is returned unchanged: it equals only itself."""
    found = parse(text)
    return found.text if found is not None else text


def packed(address: str) -> bytes:
    """Return canonical address text as 4 or 16 bytes in network order."""
    return to_int(address).to_bytes(BITS[family_of(address)] // 8)


def unpacked(data: bytes) -> str:
    """Return the canonical text of 4 or 16 bytes, empty text for any other length."""
    if len(data) not in (4, 16):
        return ""
    return to_text(int.from_bytes(data), 4 if len(data) == 4 else 6)


def dashed(address: str) -> str:
    """Return canonical address text in full length with dashes, for names of objects: no two addresses share one."""
    if family_of(address) == 4:
        return address.replace(".", "-")
    digits = f"{to_int(address):032x}"
    return "-".join(digits[at : at + 4] for at in range(0, 32, 4))


# -- prefixes ----------------------------------------------------------------------------------------------------------


def unroutable(family: Family, low: int, high: int) -> str:
    """Return what no router forwards of the addresses from ``low`` to ``high``, such as ``loopback addresses``; empty
    where routers forward all of them.
    """
    return next(
        (meaning for bad, meaning in _unroutable() if bad.family == family and low <= bad.high and bad.low <= high), ""
    )


@lru_cache(maxsize=1)
def _unroutable() -> tuple[tuple[Cidr, str], ...]:
    return tuple((cidr_of(prefix), meaning) for prefix, meaning in _UNROUTABLE)


@lru_cache(maxsize=1 << 12)
def cidr_of(text: str) -> Cidr:
    """Return the prefix that a text spells; raises ValueError."""
    try:
        if not _CIDR.match(text):
            raise ValueError(text)  # noqa: TRY301 - one message for everything that spells no prefix
        found = IPNetwork(text)
    except (AddrFormatError, ValueError) as error:
        raise ValueError(f"{text!r} is not a CIDR") from error
    family = family_of(text)
    low, high = int(found.first), int(found.last)
    spelled = f"{to_text(low, family)}/{found.prefixlen}"
    return Cidr(family, spelled, low, high, int(found.prefixlen), cleared=int(found.ip) != low)


@dataclass(frozen=True, slots=True)
class SourceRanges:
    """The clients that a Service admits: ``admitted``, sorted and distinct. ``invalid`` are entries that spell no
    CIDR, verbatim; if there is any, the Service admits no client at all, since the intent is unknown.
    """

    admitted: tuple[Cidr, ...] = ()
    invalid: tuple[str, ...] = ()


def source_ranges(texts: Iterable[str]) -> SourceRanges:
    """Parse ``loadBalancerSourceRanges``. Blanks around an entry are ignored and host bits dropped, as Kubernetes
    does.
    """
    found: dict[str, Cidr] = {}
    invalid: dict[str, None] = {}
    for text in texts:
        try:
            cidr = cidr_of(text.strip())
        except ValueError:
            invalid[text] = None
        else:
            found[cidr.text] = cidr
    return SourceRanges(() if invalid else _sorted(found.values()), tuple(invalid))


def _sorted(found: Iterable[Cidr]) -> tuple[Cidr, ...]:
    return tuple(sorted(found, key=lambda cidr: (cidr.family, cidr.low, cidr.length)))


# -- what people write -------------------------------------------------------------------------------------------------


def parse_cidr(text: str, subject: str, field: str, family: Family | None = None) -> Cidr:
    """Parse a prefix such as ``192.0.2.0/24``, of the given family if one is given."""
    example = _EXAMPLES[family] if family is not None else f"{_EXAMPLES[4]} or {_EXAMPLES[6]}"
    try:
        cidr = cidr_of(text.strip())
    except ValueError as error:
        raise BadInput(subject, field, f"{text!r} is not a prefix", f"write {example}") from error
    if family is not None and cidr.family != family:
        raise BadInput(subject, field, f"{text!r} is not an IPv{family} prefix", f"write {example}")
    return cidr


def parse_address(text: str, subject: str, field: str) -> Address:
    """Parse one address."""
    found = parse(text.strip())
    if found is None:
        raise BadInput(subject, field, f"{text!r} is not an IP address", "write 192.0.2.7 or 2001:db8::7")
    return found


def parse_span(text: str, subject: str, field: str) -> Span:
    """Parse one address as a span of one."""
    found = parse_address(text, subject, field)
    return Span(found.family, found.value, found.value)


def parse_range(low: str, high: str, subject: str, field: str) -> Span:
    """Parse an inclusive range from one address to another of the same family."""
    first, last = parse_address(low, subject, field), parse_address(high, subject, field)
    if first.family != last.family or first.value > last.value:
        raise BadInput(
            subject,
            field,
            f"{low.strip()}-{high.strip()} is not a range",
            "write the lower address first, both of one family",
        )
    return Span(first.family, first.value, last.value)


def parse_spans(text: str, subject: str, field: str) -> Iterator[tuple[Span, str]]:
    """Parse a comma-separated list of addresses, ranges ``a-b`` and prefixes (host bits are dropped). Yield each
    span with the text of its item.
    """
    for item in split_list(text, subject, field):
        yield parse_item(item, subject, field), item


def parse_item(item: str, subject: str, field: str) -> Span:
    """Parse one address, one range ``a-b`` or one prefix (host bits are dropped)."""
    if "/" in item:
        cidr = parse_cidr(item, subject, field)
        return Span(cidr.family, cidr.low, cidr.high)
    if "-" in item:
        low, _, high = item.partition("-")
        return parse_range(low, high, subject, field)
    return parse_span(item, subject, field)


def split_list(text: str, subject: str, field: str) -> list[str]:
    """Split a comma-separated list and strip its items; no item may be empty."""
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise BadInput(subject, field, "lists an empty item", "remove the annotation, or the superfluous comma")
    if len(items) > MAX_ITEMS:
        raise BadInput(subject, field, f"lists more than {MAX_ITEMS} items", "use ranges or prefixes")
    return items
