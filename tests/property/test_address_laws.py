"""Laws of ``core.addresses``: one spelling an address, one meaning a source range, and no other parser in the tree."""

from __future__ import annotations

import ast
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core import addresses
from ledgerlb.core.errors import BadInput

ROOT = Path(__file__).parents[2]
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
NETWORKS = st.builds(
    lambda address, cut: ip_network((address, max(0, address.max_prefixlen - cut)), strict=False),
    ADDRESSES,
    st.integers(0, 40),
)


@given(ADDRESSES)
def test_every_spelling_of_an_address_is_the_same_address(address: IPv4Address | IPv6Address) -> None:
    spellings = {str(address), address.exploded, address.exploded.upper(), addresses.canonical(str(address))}
    found = {addresses.parse(text) for text in spellings}
    assert len(found) == 1
    one = found.pop()
    assert one is not None
    assert (one.family, one.value) == (address.version, int(address))
    assert addresses.is_canonical(one.text)
    assert addresses.to_int(one.text) == one.value
    assert addresses.to_text(one.value, one.family) == one.text
    assert addresses.family_of(one.text) == one.family
    assert addresses.packed(one.text) == address.packed
    assert addresses.unpacked(address.packed) == one.text
    assert addresses.dashed(one.text) == address.exploded.replace(".", "-").replace(":", "-")


@pytest.mark.parametrize(
    "text", ["", "1", "10.1", "1.2.3.4.5", "010.0.0.1", " 1.2.3.4", "1.2.3.4 ", "fe80::1%eth0", "1::2::3", "x"]
)
def test_what_spells_no_address_is_none(text: str) -> None:
    assert not addresses.is_address(text)
    assert addresses.canonical(text) == text
    with pytest.raises(BadInput, match="not an IP address"):
        addresses.parse_address(f"{text}!", "Service a/b", "field")


@given(NETWORKS)
def test_a_prefix_agrees_with_the_standard_library(network: object) -> None:
    expected = ip_network(str(network))
    cidr = addresses.cidr_of(str(network))
    assert (cidr.family, cidr.low, cidr.length) == (
        expected.version,
        int(expected.network_address),
        expected.prefixlen,
    )
    assert cidr.high == int(expected.broadcast_address)
    assert not cidr.cleared
    assert addresses.cidr_of(cidr.text) == cidr


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10/8", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0.0/ 8", "10.0.0.0/٨", "::/129", "a/8", ""]
)
def test_an_invalid_source_range_admits_nobody(text: str) -> None:
    found = addresses.source_ranges(["192.0.2.0/24", text])
    assert found.invalid == (text,)
    assert found.admitted == ()


def test_no_other_module_parses_addresses() -> None:
    found = [
        str(path.relative_to(ROOT))
        for part in ("libs", "services")
        for path in sorted((ROOT / part).rglob("*.py"))
        if path.name != "addresses.py" and _imports(path) & {"netaddr", "ipaddress"}
    ]
    assert found == [], "use ledgerlb.core.addresses instead"


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
