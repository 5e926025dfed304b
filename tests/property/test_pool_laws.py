"""Laws of AddressPools: a pool gives out exactly what it lists, whatever the ranges."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core.addresses import Family, Span, cidrs_in, parse_item, spelled, to_text
from ledgerlb.core.cluster.facts import AddressPoolFact
from ledgerlb.core.ipam.offer import prefixes_of
from ledgerlb.core.ledger.plan import covers, refusal_of, size_of, usable_of
from ledgerlb.core.networks import to_offer
from ledgerlb.core.networks.pools import derive_pool
from ledgerlb.core.settings import DomainSettings

BASE: dict[Family, int] = {4: 203 << 24, 6: 0x20010DB8 << 96}


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """A short range near the base of its family, so that ranges meet and overlap."""
    family: Family = draw(st.sampled_from((4, 6)))
    low = draw(st.integers(0, 700))
    return Span(family, BASE[family] + low, BASE[family] + low + draw(st.integers(0, 300)))


def written(span: Span) -> str:
    return f"{to_text(span.low, span.family)}-{to_text(span.high, span.family)}"


def members(listed: list[Span]) -> set[tuple[int, int]]:
    return {(span.family, value) for span in listed for value in range(span.low, span.high + 1)}


@given(st.lists(spans(), min_size=1, max_size=8), st.lists(spans(), max_size=4))
def test_a_pool_gives_out_exactly_what_it_lists(listed: list[Span], excluded: list[Span]) -> None:
    fact = AddressPoolFact(
        name="p", addresses=tuple(map(written, listed)), exclude=tuple(map(written, excluded)), uid="u"
    )
    network = derive_pool(fact, DomainSettings())
    assert network.problem is None
    plan = prefixes_of(to_offer(network, 1))
    wanted = members(listed) - members(excluded)
    found = {
        (family, value) for family in (4, 6) for low, high in usable_of(plan, family) for value in range(low, high + 1)
    }
    assert found == wanted
    assert size_of(plan) == len(wanted)
    for family, value in members(listed):
        address = to_text(value, 4 if family == 4 else 6)
        assert covers(plan, address)
        assert (refusal_of(plan, address) is None) == ((family, value) in wanted)


@given(spans())
def test_the_prefixes_of_a_span_cover_it_once(span: Span) -> None:
    found = cidrs_in(span)
    assert [found[0].low, found[-1].high] == [span.low, span.high]
    assert all(left.high + 1 == right.low for left, right in pairwise(found))
    assert parse_item(spelled(span), "", "") == span
