"""What a path set says besides its backends: holders, release, ports, source ranges, affinity, bounds."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster.facts import EndpointPort, ServicePort
from ledgerlb.core.paths.pathset import encode_path_set
from ledgerlb.core.paths.plan import MAX_NOTES, plan, plan_from
from tests.builders.facts import endpoint, endpoint_slice, service
from tests.unit.paths.facts import ADDRESS, ADDRESS6, NODES, Hold, Ledger, hops, planned, view, weights


def test_nobody_holds_the_address_so_there_is_no_path_set() -> None:
    assert plan(view(*NODES, service()), Ledger(), ADDRESS) is None


def test_an_address_without_any_endpoint_still_has_a_path_set() -> None:
    path_set = planned(service())
    assert path_set.next_hops == ()
    assert (path_set.allocation, path_set.withdraw) == ("contrail/external#1", False)
    assert [(f.port, f.source_ranges) for f in path_set.frontends] == [(80, None)]


def test_a_holder_that_is_not_there_gets_nothing_forwarded() -> None:
    path_set = planned(*NODES, endpoint_slice("web-1", endpoint("10.1.1.1", "n1")))
    assert path_set.services == ("shop/web",)
    assert path_set.next_hops == ()
    assert path_set.notes == ("Service shop/web does not exist: nothing is forwarded to it",)


def test_a_release_is_an_order_to_withdraw_that_names_its_entry() -> None:
    path_set = planned(
        *NODES,
        service(),
        endpoint_slice("web-1", endpoint("10.1.1.1", "n1")),
        holds=[Hold(state="releasing", seq=4, release_seq=9)],
    )
    assert path_set.withdraw
    assert (path_set.release, path_set.allocation) == ("contrail/external#9", "contrail/external#4")
    assert (path_set.next_hops, path_set.frontends) == ((), ())


def test_of_two_networks_with_one_address_the_earlier_one_is_withdrawn_before_the_other_is_served() -> None:
    kept = Hold(network="blue/net", service="shop/web", seq=3)
    leaving = Hold(network="red/net", service="shop/other", state="releasing", seq=2, release_seq=5)
    facts = (*NODES, service(), endpoint_slice("web-1", endpoint("10.1.1.1", "n1")))
    assert planned(*facts, holds=[kept, leaving]).release == "red/net#5"
    later = Hold(network="red/net", service="shop/other", state="releasing", seq=4, release_seq=5)
    assert planned(*facts, holds=[kept, later]).network == "blue/net", (
        "a release elsewhere takes nothing from the owner"
    )
    after = planned(*facts, holds=[kept])
    assert (after.withdraw, after.network, weights(after)) == (False, "blue/net", {"n1": 1})


def test_of_two_networks_that_both_hold_the_address_one_is_served_and_the_other_noted() -> None:
    path_set = planned(
        service(), holds=[Hold(network="blue/net", seq=8), Hold(network="red/net", service="x/y", seq=2)]
    )
    assert path_set.network == "red/net"
    assert "network blue/net holds the address too, but red/net has held it for longer" in path_set.notes


def test_an_unsupported_protocol_is_left_out_and_named() -> None:
    ports = (
        ServicePort(name="a", port=80, target_port=8080),
        ServicePort(name="b", protocol="DCCP", port=81, target_port=81),
    )
    path_set = planned(
        *NODES,
        service(ports=ports),
        endpoint_slice(
            "web-1",
            endpoint("10.1.1.1", "n1"),
            ports=(EndpointPort(name="a", port=8080), EndpointPort(name="b", protocol="DCCP", port=81)),
        ),
    )
    assert [f.port for f in path_set.frontends] == [80]
    assert hops(path_set)["n1"].backends == ("10.1.1.1:8080",)
    assert path_set.notes[0].startswith("UnsupportedProtocol: Service shop/web, port 81/DCCP")


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ((), None),
        (("10.0.0.0/8", "10.0.0.0/8", " 192.0.2.0/24 "), ("10.0.0.0/8", "192.0.2.0/24")),
        (("10.1.2.3/8",), ("10.0.0.0/8",)),
        (("2001:db8::/32",), ()),
        (("10.0.0.0/8", "2001:db8::/32"), ("10.0.0.0/8",)),
        (("0.0.0.0/0",), ("0.0.0.0/0",)),
    ],
)
def test_source_ranges_are_those_of_the_family(ranges: tuple[str, ...], expected: tuple[str, ...] | None) -> None:
    (frontend,) = planned(service(source_ranges=ranges)).frontends
    assert frontend.source_ranges == expected


@pytest.mark.parametrize(
    "bad", ["10.0.0.0/33", "10.0.0.1", "office", "", "10.0.0.0/255.0.0.0", "fe80::%eth0/64", "10.0.0.0/-1"]
)
def test_one_invalid_source_range_admits_nobody_and_says_so(bad: str) -> None:
    path_set = planned(service(source_ranges=("10.0.0.0/8", bad)))
    assert path_set.admits_nobody
    assert path_set.notes[0].startswith("InvalidSourceRange: Service shop/web")


def test_nobody_admitted_is_not_lost_in_the_bytes() -> None:
    closed = encode_path_set(planned(service(source_ranges=("bad",))))
    assert b'"source_ranges":[]' in closed


def test_each_sharer_admits_its_own_clients() -> None:
    holds = [Hold(service="shop/web"), Hold(service="shop/api", seq=2)]
    wide = service("shop/web", source_ranges=("10.0.0.0/8", "192.0.2.0/24"))
    path_set = planned(wide, service("shop/api", source_ranges=("office",)), holds=holds)
    assert {f.service: f.source_ranges for f in path_set.frontends} == {
        "shop/api": (),
        "shop/web": ("10.0.0.0/8", "192.0.2.0/24"),
    }
    assert not path_set.admits_nobody


def test_affinity_and_traffic_policy_are_passed_on() -> None:
    (found,) = planned(
        service(session_affinity="ClientIP", session_affinity_timeout=10800, external_traffic_policy="Local")
    ).frontends
    assert (found.affinity, found.affinity_timeout, found.external_traffic_policy) == (True, 10800, "Local")
    assert planned(service()).frontends[0].external_traffic_policy == "Cluster"


def test_the_bounds_keep_the_nodes_with_most_backends_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledgerlb.core.paths.table.MAX_NEXT_HOPS", 2)
    monkeypatch.setattr("ledgerlb.core.paths.table.MAX_LISTED", 2)
    path_set = planned(
        *NODES,
        service(),
        endpoint_slice("web-1", *(endpoint(f"10.1.{n}.{k}", f"n{n}") for n in (1, 2, 3) for k in range(n))),
    )
    assert weights(path_set) == {"n2": 2, "n3": 3}
    assert sum(len(hop.backends) for hop in hops(path_set).values()) == 2
    assert any("3 nodes have backends" in note for note in path_set.notes)
    assert any("only the first 2 backends are listed" in note for note in path_set.notes)


def test_a_weight_never_exceeds_what_a_kernel_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledgerlb.core.paths.table.MAX_WEIGHT", 3)
    path_set = planned(*NODES, service(), endpoint_slice("web-1", *(endpoint(f"10.1.1.{k}", "n1") for k in range(5))))
    assert weights(path_set) == {"n1": 3}


def test_notes_are_bounded() -> None:
    bad = [endpoint(f"bad-{number}", "n1") for number in range(100)]
    path_set = planned(service(), endpoint_slice("web-1", *bad))
    assert len(path_set.notes) == MAX_NOTES
    assert path_set.notes[-1].endswith("more")


def test_a_plan_names_every_fact_that_could_change_it() -> None:
    facts = view(*NODES, service(), endpoint_slice("web-1", endpoint("10.1.1.1", "n1", "shop/a"), endpoint("10.1.9.9")))
    made_from = plan_from(facts, Ledger({ADDRESS: [Hold()]}), ADDRESS).made_from
    assert {"Service/shop/web", "Node//n1", "Address//10.1.9.9"} <= made_from


def test_an_ipv6_address_is_of_family_6() -> None:
    assert planned(service(), address=ADDRESS6).family == 6
