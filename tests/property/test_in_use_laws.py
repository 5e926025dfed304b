"""The index of addresses in use answers as a plain list does, whatever came and went."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core.addresses import cidr_of, to_text
from ledgerlb.core.cluster.facts import NodeFact
from ledgerlb.core.cluster.in_use import AddressesInUse

_SMALL = 0xC0000200
cidrs = st.builds(
    lambda low, length: cidr_of(f"{to_text(_SMALL + (low >> (32 - length) << (32 - length)), 4)}/{length}"),
    st.integers(0, 255),
    st.integers(22, 32),
)
nodes = st.builds(
    lambda name, single, ranges: NodeFact(
        name=name,
        addresses=tuple(to_text(_SMALL + value, 4) for value in single),
        pod_cidrs=tuple(cidr.text for cidr in ranges),
    ),
    st.sampled_from(("n1", "n2", "n3")),
    st.lists(st.integers(0, 255), max_size=4),
    st.lists(cidrs, max_size=2),
)


@given(steps=st.lists(nodes, max_size=8), prefix=cidrs)
def test_within_finds_every_use_and_no_other(steps: list[NodeFact], prefix):
    index = AddressesInUse()
    known: dict[str, NodeFact] = {}
    for node in steps:
        if node.name in known:
            index.discard(known.pop(node.name))
        if node.addresses:
            known[node.name] = node
            index.add(node)
    used = {
        value
        for node in known.values()
        for text in (*(f"{address}/32" for address in node.addresses), *node.pod_cidrs)
        for value in range(cidr_of(text).low, cidr_of(text).high + 1)
        if prefix.low <= value <= prefix.high
    }
    found = list(index.within(prefix))
    assert {value for use in found for value in range(use.low, use.high + 1)} == used
    assert all(use.users for use in found)
