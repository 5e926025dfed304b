"""Whose an object is, which numbers are free, what is unused, and how weights are scaled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core.errors import DataPathError
from ledgerlb.ecmp_programmer.backends import fabric_state
from ledgerlb.ecmp_programmer.backends.fabric_state import FabricState, Gateway, scaled
from ledgerlb.ecmp_programmer.netlink.wire import NextHopObject, RouteObject

BASE = 1 << 24
GROUPS = BASE + (1 << 16)
OURS, TABLE = 76, 254


def hop(number: int, via: str = "10.0.0.1", protocol: int = OURS) -> NextHopObject:
    return NextHopObject(id=number, protocol=protocol, gateway=via, interface=3)


def group(number: int, *members: tuple[int, int], protocol: int = OURS, resilient: bool = True) -> NextHopObject:
    return NextHopObject(id=number, protocol=protocol, members=members, resilient=resilient)


def route(address: str, nexthop: int, protocol: int = OURS, table: int = TABLE, length: int = 32) -> RouteObject:
    return RouteObject(destination=address, length=length, protocol=protocol, table=table, kind=1, nexthop=nexthop)


def state(nexthops: list[NextHopObject], routes: list[RouteObject] | None = None) -> FabricState:
    return FabricState.from_dump(nexthops, routes or [], OURS, TABLE, BASE)


def test_only_our_protocol_in_our_range_is_ours() -> None:
    found = state(
        [hop(BASE), hop(BASE + 1, protocol=4), hop(7), hop(BASE + (1 << 20)), group(GROUPS, (BASE, 1)), group(GROUPS + 1, (7, 1), protocol=4)],
        [route("192.0.2.1", GROUPS), route("192.0.2.2", 7, protocol=4), route("192.0.2.3", GROUPS, table=9), route("192.0.2.0", GROUPS, length=24)],
    )  # fmt: skip
    assert list(found.hops) == [BASE]
    assert list(found.groups) == [GROUPS]
    assert found.routes == {"192.0.2.1": GROUPS}


def test_a_new_number_is_one_that_nobody_has() -> None:
    found = state([hop(BASE), hop(BASE + 1, protocol=4), group(GROUPS, (BASE, 1))])
    assert found.new_hop_id() == BASE + 2
    assert found.new_hop_id() == BASE + 3
    assert found.new_group_id() == GROUPS + 1


def test_when_every_number_is_taken_it_says_which_setting_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fabric_state, "HOP_BITS", 1)
    found = FabricState(BASE)
    for number in (BASE, BASE + 1):
        found.put_hop(number, Gateway(f"10.0.0.{number - BASE + 1}", 1))
    with pytest.raises(DataPathError, match="LEDGERLB_FABRIC_ID_BASE"):
        found.new_hop_id()


def test_what_nothing_uses_is_unused_and_a_shared_hop_stays_while_one_group_needs_it() -> None:
    found = state(
        [hop(BASE), hop(BASE + 1, "10.0.0.2"), group(GROUPS, (BASE, 1), (BASE + 1, 2)), group(GROUPS + 1, (BASE, 1))],
        [route("192.0.2.1", GROUPS)],
    )
    assert list(found.unused_groups()) == [GROUPS + 1]
    found.drop_route("192.0.2.1")
    found.drop_group(GROUPS)
    assert list(found.unused_hops()) == [BASE + 1]
    found.drop_group(GROUPS + 1)
    assert list(found.unused_hops()) == [BASE, BASE + 1]


def test_a_group_of_an_earlier_release_that_is_not_resilient_gives_way_to_a_new_one() -> None:
    found = state([hop(BASE), group(GROUPS, (BASE, 1), resilient=False)], [route("192.0.2.1", GROUPS)])
    assert found.group_id("192.0.2.1") is None
    assert list(found.unused_groups()) == []
    found.drop_route("192.0.2.1")
    assert list(found.unused_groups()) == [GROUPS]


def test_the_second_hop_of_a_gateway_is_its_twin_and_takes_over_when_the_first_goes() -> None:
    found = state([hop(BASE), hop(BASE + 5), hop(BASE + 1, "10.0.0.2")])
    gateway = found.hops[BASE]
    assert (found.hop_id(gateway), found.twin_id(gateway)) == (BASE, BASE + 5)
    found.drop_hop(BASE)
    assert (found.hop_id(gateway), found.twin_id(gateway)) == (BASE + 5, None)


def test_a_group_belongs_to_one_address_only() -> None:
    found = state([hop(BASE), group(GROUPS, (BASE, 1))], [route("192.0.2.1", GROUPS), route("192.0.2.2", GROUPS)])
    assert found.group_id("192.0.2.1") == GROUPS
    assert found.group_id("192.0.2.2") is None
    assert found.group_id("192.0.2.3") is None


@given(st.dictionaries(st.integers(1, 50), st.integers(1, 10**6), min_size=1), st.sampled_from([256, 65535]))
def test_scaled_weights_fit_keep_every_next_hop_and_stay_in_proportion(weights: dict[int, int], limit: int) -> None:
    found = scaled(weights, limit)
    assert found.keys() == weights.keys()
    assert all(1 <= weight <= limit for weight in found.values())
    largest = max(weights.values())
    if largest <= limit:
        assert found == weights
        return
    for member, weight in weights.items():
        assert found[member] == 1 or abs(found[member] - weight * limit / largest) <= 0.5
