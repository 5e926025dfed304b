"""Groups, routes and weights as ``ip`` shows them, for what the back end was asked."""

from __future__ import annotations

import pytest

from ledgerlb.ecmp_programmer.backends.fabric_state import DEFAULT_ID_BASE
from tests.dataplane.kernel import everything_else, ours, weights
from tests.dataplane.lab import Driver, Lab, via, via6
from tests.support.waiting import eventually

pytestmark = pytest.mark.dataplane

FOUR = "192.168.102.2"
SIX = "fd00:102::2"


def test_an_address_is_routed_over_the_nodes_by_weight_in_both_families(lab: Lab) -> None:
    driver = Driver(lab)
    driver.reconcile({})
    outcomes = driver.make({FOUR: {"1": 1, "2": 2, "3": 3}, SIX: {"1": 4, "3": 1}})
    assert weights(lab, FOUR) == {via(1): 1, via(2): 2, via(3): 3}
    assert weights(lab, SIX) == {via6(1): 4, via6(3): 1}
    assert outcomes[FOUR] == {"state": "programmed", "weights": {"1": 1, "2": 2, "3": 3}, "message": ""}


def test_a_node_that_loses_its_endpoints_leaves_the_group_and_the_route_stays_the_same(lab: Lab) -> None:
    driver = Driver(lab)
    driver.reconcile({FOUR: {"1": 1, "2": 2}})
    before = lab.json("router", "route", "show", "exact", FOUR)[0]["nhid"]
    driver.make({FOUR: {"1": 1, "2": 0, "3": 5}})
    assert weights(lab, FOUR) == {via(1): 1, via(3): 5}
    assert lab.json("router", "route", "show", "exact", FOUR)[0]["nhid"] == before
    assert via(2) not in str(ours(lab))


def test_after_the_last_endpoint_there_is_no_route_and_after_all_nothing_is_left(lab: Lab) -> None:
    untouched = everything_else(lab)
    driver = Driver(lab)
    driver.reconcile({FOUR: {"1": 1}, SIX: {"2": 1}, "192.168.102.3": {"1": 2}})
    outcomes = driver.make({FOUR: {"1": 0}})
    assert outcomes[FOUR]["state"] == "programmed"
    assert weights(lab, FOUR) is None
    assert weights(lab, "192.168.102.3") == {via(1): 2}
    driver.make({FOUR: None, SIX: None, "192.168.102.3": None})
    assert ours(lab) == []
    assert everything_else(lab) == untouched


def test_what_a_killed_agent_left_behind_is_matched_again(lab: Lab) -> None:
    first = Driver(lab)
    first.reconcile({FOUR: {"1": 1, "2": 1}, SIX: {"3": 1}, "192.168.102.9": {"2": 7}})
    kept = lab.json("router", "route", "show", "exact", FOUR)[0]["nhid"]
    first.kill()
    # A group that no route uses yet: the agent was killed between the two.
    orphan = DEFAULT_ID_BASE + (1 << 16) + 500
    hop = next(one["id"] for one in lab.json("router", "nexthop") if one.get("gateway") == via(2))
    lab.batch("router", f"nexthop add id {orphan} group {hop} proto 76")
    second = Driver(lab)
    second.reconcile({FOUR: {"1": 1, "2": 3}, SIX: {"3": 1}})
    assert weights(lab, FOUR) == {via(1): 1, via(2): 3}
    assert weights(lab, SIX) == {via6(3): 1}
    assert weights(lab, "192.168.102.9") is None
    assert lab.json("router", "route", "show", "exact", FOUR)[0]["nhid"] == kept
    assert orphan not in {one.get("id") for one in ours(lab)}


def test_what_is_not_ledgerlbs_stays_whatever_it_looks_like(lab: Lab) -> None:
    inside_our_range = DEFAULT_ID_BASE
    lab.batch(
        "router",
        "nexthop add id 7 via 172.16.1.2 dev rn1 proto static",
        f"nexthop add id {inside_our_range} via 172.16.2.2 dev rn2 proto static",
        f"nexthop add id {inside_our_range + (1 << 16)} group 7 proto static",
        "route add 192.168.200.0/24 nhid 7 proto static",
        "route add 192.168.201.1/32 via 172.16.1.2 proto bgp",
        "route add fd00:200::/64 via fd00:16:1::2 proto static",
    )
    # In a batch of its own: ip remembers "static" wrongly once it has read a number in the same run.
    lab.batch("router", "nexthop add id 8 via 172.16.1.2 dev rn1 proto 76")
    untouched = everything_else(lab)
    driver = Driver(lab)
    driver.reconcile({FOUR: {"1": 1, "2": 2}})
    assert weights(lab, FOUR) == {via(1): 1, via(2): 2}
    driver.reconcile({})
    assert everything_else(lab) == untouched
    # Our protocol number alone does not make an object ours: its id is outside our range.
    assert [one.get("id", one) for one in ours(lab)] == [8]


def test_a_route_of_somebody_else_to_the_same_address_is_reported_and_kept(lab: Lab) -> None:
    lab.batch(
        "router", f"route add {FOUR}/32 via {via(3)} proto static", f"route add {SIX}/128 via {via6(3)} proto static"
    )
    untouched = everything_else(lab)
    driver = Driver(lab)
    outcomes = driver.reconcile({FOUR: {"1": 1}, SIX: {"1": 1}, "192.168.102.3": {"1": 1}})
    for address in (FOUR, SIX):
        assert outcomes[address]["state"] == "failed"
        assert "not LedgerLB's" in outcomes[address]["message"]
    assert outcomes["192.168.102.3"]["state"] == "programmed"
    assert everything_else(lab) == untouched
    assert not driver.stale()
    lab.batch("router", f"route del {FOUR}/32 proto static")
    assert driver.make({FOUR: {"1": 1}})[FOUR]["state"] == "programmed"


def test_next_hops_that_cannot_be_used_are_left_out_and_named(lab: Lab) -> None:
    lab.batch("router", f"route add 203.0.113.0/24 via {via(1)}")
    driver = Driver(lab)
    outcomes = driver.reconcile(
        {
            FOUR: {"1": 1, "far=203.0.113.9": 1, "me=10.0.0.1": 1, "nowhere=198.51.100.1": 1},
            "192.168.102.3": {"far=203.0.113.9": 1},
        }
    )
    assert outcomes[FOUR]["state"] == "programmed"
    assert outcomes[FOUR]["weights"] == {"1": 1}
    for word in (
        "far (203.0.113.9): is not directly connected",
        "me (10.0.0.1): is an address of this machine",
        "nowhere",
    ):
        assert word in outcomes[FOUR]["message"]
    assert weights(lab, FOUR) == {via(1): 1}
    assert outcomes["192.168.102.3"]["state"] == "failed"
    assert weights(lab, "192.168.102.3") is None


def test_a_link_that_goes_and_comes_back_is_followed(lab: Lab) -> None:
    wanted = {FOUR: {"1": 1, "2": 2}, SIX: {"1": 1, "2": 2}, "192.168.102.3": {"1": 1}}
    driver = Driver(lab)
    driver.reconcile(wanted)
    eventually(lambda: driver.reconcile(wanted) and not driver.stale(), "the links have settled")
    lab.unplug(1)
    eventually(driver.stale, "the back end hears of the link")
    outcomes = driver.reconcile(wanted)
    assert weights(lab, FOUR) == {via(2): 2}
    assert weights(lab, SIX) == {via6(2): 2}
    assert (outcomes["192.168.102.3"]["state"], weights(lab, "192.168.102.3")) == ("failed", None)
    lab.plug(1)
    eventually(driver.stale, "the back end hears of the link")

    def back() -> bool:
        outcomes = driver.reconcile(wanted)
        return all(outcome["state"] == "programmed" and not outcome["message"] for outcome in outcomes.values())

    eventually(back, "every next hop is back")
    assert weights(lab, FOUR) == {via(1): 1, via(2): 2}
    assert weights(lab, SIX) == {via6(1): 1, via6(2): 2}
    assert weights(lab, "192.168.102.3") == {via(1): 1}


def test_a_change_after_somebody_flushed_our_objects_still_succeeds(lab: Lab) -> None:
    driver = Driver(lab)
    driver.reconcile({FOUR: {"1": 1}, SIX: {"1": 1}})
    lab.batch("router", "nexthop flush proto 76")
    assert driver.make({FOUR: {"1": 2, "2": 1}})[FOUR]["state"] == "programmed"
    assert weights(lab, FOUR) == {via(1): 2, via(2): 1}
    driver.reconcile({FOUR: {"1": 2, "2": 1}, SIX: {"1": 1}})
    assert weights(lab, SIX) == {via6(1): 1}


def test_our_route_that_points_elsewhere_is_put_right(lab: Lab) -> None:
    driver = Driver(lab)
    driver.reconcile({FOUR: {"1": 1}, "192.168.102.3": {"2": 1}})
    other = lab.json("router", "route", "show", "exact", "192.168.102.3")[0]["nhid"]
    lab.batch("router", f"route replace {FOUR}/32 nhid {other} proto 76")
    assert weights(lab, FOUR) == {via(2): 1}
    driver.reconcile({FOUR: {"1": 1}, "192.168.102.3": {"2": 1}})
    assert weights(lab, FOUR) == {via(1): 1}
    assert weights(lab, "192.168.102.3") == {via(2): 1}


def test_a_reconcile_that_finds_everything_right_changes_nothing(lab: Lab) -> None:
    wanted = {FOUR: {"1": 1, "2": 300, "3": 65535}, SIX: {"1": 2, "2": 3}, "192.168.102.3": {"1": 0}}
    driver, listener = Driver(lab), Driver(lab)
    assert driver.reconcile(wanted)[FOUR]["weights"] == {"1": 1, "2": 300, "3": 65535}
    listener.reconcile(wanted)
    driver.reconcile(wanted)
    driver.make(wanted)
    assert not listener.stale()
    driver.make({FOUR: {"1": 1, "2": 301, "3": 65535}})
    assert listener.stale()


def test_a_path_set_that_cannot_be_understood_fails_alone(lab: Lab) -> None:
    driver = Driver(lab)
    outcomes = driver.reconcile({FOUR: {"1": 1, "odd=10.0.0": 1}, "somewhere": {"1": 1}, "FD00:102::2": {"1": 1}})
    assert {address: outcome["state"] for address, outcome in outcomes.items()} == {
        FOUR: "programmed", "somewhere": "failed", "FD00:102::2": "failed",
    }  # fmt: skip
    assert "odd (10.0.0): is not an IP address" in outcomes[FOUR]["message"]
    assert weights(lab, FOUR) == {via(1): 1}


def test_large_weights_are_scaled_in_proportion_where_the_kernel_takes_only_small_ones(lab: Lab) -> None:
    driver = Driver(lab, max_weight=256)
    outcomes = driver.reconcile({FOUR: {"1": 1, "2": 500, "3": 1000}})
    assert weights(lab, FOUR) == {via(1): 1, via(2): 128, via(3): 256}
    assert outcomes[FOUR]["weights"] == {"1": 1, "2": 128, "3": 256}
    assert outcomes[FOUR]["message"] == "weights are scaled down to 256 at most"


def test_another_table_and_protocol_are_used_when_told_so(lab: Lab) -> None:
    driver = Driver(lab, table=1234, protocol=77)
    driver.reconcile({FOUR: {"1": 1}})
    assert weights(lab, FOUR) is None
    routes = lab.json("router", "route", "show", "table", "1234")
    assert [(route["dst"], route["protocol"]) for route in routes] == [(FOUR, "77")]
    driver.reconcile({})
    assert lab.json("router", "route", "show", "table", "1234") == []


def test_another_namespace_is_programmed_by_name(lab: Lab) -> None:
    driver = Driver(lab, "outer", netns=lab.ns("router"))
    driver.reconcile({FOUR: {"1": 1}})
    assert weights(lab, FOUR) == {via(1): 1}
    assert ours(lab, "outer") == []


def test_ten_thousand_addresses_are_programmed_and_removed(lab: Lab) -> None:
    driver = Driver(lab)
    wanted: dict[str, dict[str, int] | None] = {
        f"192.168.{number // 250}.{number % 250 + 1}": {"1": number % 7 + 1, "2": number % 5 + 1, "3": 2}
        for number in range(10_000)
    }
    outcomes = driver.reconcile(wanted)
    assert {outcome["state"] for outcome in outcomes.values()} == {"programmed"}
    assert weights(lab, "192.168.0.7") == {via(1): 7, via(2): 2, via(3): 2}
    assert len(ours(lab)) == 2 * 10_000 + 3
    driver.reconcile({})
    assert ours(lab) == []
