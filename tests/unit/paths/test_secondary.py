"""Services without a selector: endpoints written by hand mean pods' interfaces, found by network and address."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster.facts import AnyFact, EndpointSliceFact, PodFact, VirtualMachineInterfaceFact
from ledgerlb.core.paths.pathset import PathSet
from tests.builders.facts import endpoint, endpoint_slice, service
from tests.unit.paths.facts import ADDRESS6, NODES, Hold, hops, multi, nad, planned, raw_endpoints, vn, weights

EXTERNAL = "my-lb/lb-subnet"
JOINED = "my-lb/pod-subnet"
APART = "other/net"
COMMON = {"routeTargetList": ["target:64512:1600"]}
ONE, TWO = "172.16.23.0", "172.16.24.0"


LB = service("my-lb/service-lb", has_selector=False)
NADS = (nad(EXTERNAL, **COMMON), nad(JOINED, **COMMON), nad(APART, routeTargetList=["target:64512:9"]))
PODS = (
    multi("my-lb/backend-1", "n1", "10.20.1.11", nets={JOINED: ONE}),
    multi("my-lb/backend-2", "n2", "10.20.2.11", nets={JOINED: TWO}),
)


def by_hand(*addresses: str, **more: object) -> EndpointSliceFact:
    slice_ = endpoint_slice("service-lb-m", *(endpoint(one, **more) for one in addresses), of="my-lb/service-lb")
    return slice_.model_copy(update={"managed_by": "endpointslicemirroring-controller.k8s.io"})


def plan_of(*facts: AnyFact, address: str = "192.168.120.2") -> PathSet:
    return planned(*NODES, LB, *facts, holds=[Hold(network=EXTERNAL, service="my-lb/service-lb")], address=address)


def backends(path_set: PathSet) -> dict[str, tuple[str, ...]]:
    return {name: hop.backends for name, hop in hops(path_set).items()}


def test_secondary_addresses_are_resolved_to_the_nodes_of_their_pods() -> None:
    path_set = plan_of(*NADS, *PODS, by_hand(ONE, TWO))
    assert backends(path_set) == {"n1": ("172.16.23.0:8080",), "n2": ("172.16.24.0:8080",)}
    assert path_set.notes == ()


def test_raw_endpoints_that_nobody_mirrors_are_resolved_alike() -> None:
    raw = raw_endpoints(endpoint(ONE), endpoint(TWO, ready=False, serving=False), of="my-lb/service-lb")
    assert backends(plan_of(*NADS, *PODS, raw)) == {"n1": ("172.16.23.0:8080",)}


def test_the_conditions_of_the_endpoint_count() -> None:
    assert weights(plan_of(*NADS, *PODS, by_hand(ONE))) == {"n1": 1}
    assert weights(plan_of(*NADS, *PODS, by_hand(ONE, ready=False, serving=False))) == {}


def test_an_endpoint_on_a_network_that_is_not_reached_is_reported_and_not_programmed() -> None:
    far = multi("other/pod", "n3", "10.20.3.11", nets={APART: "172.30.0.7"})
    path_set = plan_of(*NADS, *PODS, far, by_hand(ONE, "172.30.0.7"))
    assert backends(path_set) == {"n1": ("172.16.23.0:8080",)}
    (note,) = path_set.notes
    assert "my-lb/service-lb" in note
    for part in ("172.30.0.7", APART, EXTERNAL, "route target"):
        assert part in note


@pytest.mark.parametrize(
    ("external", "inner", "reached"),
    [
        ({"importRouteTargetList": ["t:1"]}, {"exportRouteTargetList": ["t:1"]}, True),
        ({"routeTargetList": ["t:1"]}, {"exportRouteTargetList": ["t:1"]}, True),
        ({"importRouteTargetList": ["t:1"]}, {"routeTargetList": ["t:1"]}, True),
        ({"routeTargetList": "t:2, t:1"}, {"routeTargetList": ["t:1"]}, True),
        ({"exportRouteTargetList": ["t:1"]}, {"importRouteTargetList": ["t:1"]}, False),
        ({"routeTargetList": ["t:1"]}, {"routeTargetList": ["t:2"]}, False),
        ({"routeTargetList": ["t:1"]}, {"routeTargetList": None}, False),
        ({"routeTargetList": ["t:1"]}, {"routeTargetList": 7}, False),
    ],
)
def test_what_the_inner_network_exports_must_meet_what_the_external_one_imports(
    external: dict[str, object], inner: dict[str, object], reached: bool
) -> None:
    path_set = plan_of(nad(EXTERNAL, **external), nad(JOINED, **inner), *PODS, by_hand(ONE))
    assert (weights(path_set), bool(path_set.notes)) == (({"n1": 1}, False) if reached else ({}, True))


def test_route_targets_of_a_virtual_network_count_like_those_of_its_nad() -> None:
    bare = (vn(EXTERNAL, import_route_targets=("t:1",)), vn(JOINED, route_targets=("t:1",)))
    assert weights(plan_of(*bare, *PODS, by_hand(ONE))) == {"n1": 1}
    mixed = (nad(EXTERNAL), vn(EXTERNAL, route_targets=("t:1",)), nad(JOINED, routeTargetList=["t:1"]))
    assert weights(plan_of(*mixed, *PODS, by_hand(ONE))) == {"n1": 1}


def test_a_network_that_is_being_deleted_is_reached_until_it_is_gone() -> None:
    leaving = NADS[0].model_copy(update={"deleting": True})
    assert weights(plan_of(leaving, NADS[1], *PODS, by_hand(ONE))) == {"n1": 1}
    assert weights(plan_of(NADS[1], *PODS, by_hand(ONE))) == {}


def test_an_interface_on_the_external_network_itself_is_reached_without_route_targets() -> None:
    pod = multi("my-lb/backend-1", "n1", "10.20.1.11", nets={EXTERNAL: "192.168.120.200"})
    assert weights(plan_of(nad(EXTERNAL), pod, by_hand("192.168.120.200"))) == {"n1": 1}


def test_a_primary_address_is_reached_from_everywhere() -> None:
    assert backends(plan_of(nad(EXTERNAL), *PODS, by_hand("10.20.1.11"))) == {"n1": ("10.20.1.11:8080",)}


def test_an_address_that_stands_on_two_unconnected_networks_is_that_of_the_reached_one() -> None:
    twin = multi("other/pod", "n3", "10.20.3.11", nets={APART: ONE})
    assert backends(plan_of(*NADS, twin, *PODS, by_hand(ONE))) == {"n1": ("172.16.23.0:8080",)}
    alone = plan_of(*NADS, twin, by_hand(ONE))
    assert (backends(alone), len(alone.notes)) == ({}, 1)


def test_another_interface_of_the_named_pod_is_never_taken() -> None:
    path_set = plan_of(*NADS, *PODS, by_hand("172.16.99.9", pod="my-lb/backend-1", node="n1"))
    assert path_set.next_hops == ()
    assert "Pod my-lb/backend-1 has no interface with this address" in path_set.notes[0]


def test_an_address_with_two_reached_owners_is_reported_unless_the_endpoint_says_which() -> None:
    twin = multi("my-lb/backend-3", "n3", "10.20.3.11", nets={JOINED: ONE})
    unclear = plan_of(*NADS, *PODS, twin, by_hand(ONE))
    assert unclear.next_hops == ()
    assert "ambiguous" in unclear.notes[0]
    assert weights(plan_of(*NADS, *PODS, twin, by_hand(ONE, node="n3"))) == {"n3": 1}
    assert weights(plan_of(*NADS, *PODS, twin, by_hand(ONE, pod="my-lb/backend-1"))) == {"n1": 1}


def test_the_endpoints_own_node_goes_before_that_of_the_pod() -> None:
    assert weights(plan_of(*NADS, *PODS, by_hand(ONE, node="n3"))) == {"n3": 1}


def test_an_ended_pod_leaves_its_secondary_address_to_its_successor() -> None:
    ended = PODS[0].model_copy(update={"phase": "Succeeded"})
    fresh = multi("my-lb/backend-3", "n3", "10.20.3.11", nets={JOINED: ONE})
    assert weights(plan_of(*NADS, ended, by_hand(ONE))) == {}
    assert weights(plan_of(*NADS, ended, fresh, by_hand(ONE))) == {"n3": 1}


def test_pods_on_the_host_network_share_their_nodes_address() -> None:
    hosts = [multi(f"my-lb/host-{number}", "n2", "10.0.0.2") for number in range(3)]
    assert weights(plan_of(*NADS, *hosts, by_hand("10.0.0.2"))) == {"n2": 1}


def test_cn2s_interfaces_are_as_good_as_network_status() -> None:
    plain = PodFact(namespace="my-lb", name="backend-1", node="n1", ips=("10.20.1.11",), phase="Running")
    interface = VirtualMachineInterfaceFact(
        namespace="my-lb", name="vmi-1", pod="my-lb/backend-1", network=JOINED, address=ONE
    )
    assert weights(plan_of(*NADS, plain, interface, by_hand(ONE))) == {"n1": 1}
    assert weights(plan_of(*NADS, plain, by_hand(ONE))) == {}


def test_a_bare_address_is_taken_at_its_word_where_it_names_its_node() -> None:
    assert weights(plan_of(*NADS, *PODS, by_hand("203.0.113.9", node="n2"))) == {"n2": 1}
    assert weights(plan_of(*NADS, *PODS, by_hand("203.0.113.9"))) == {}


def test_the_same_pods_serve_another_service_over_their_primary_interface() -> None:
    primary = service("my-lb/service-primary")
    slices = endpoint_slice(
        "service-primary-x",
        endpoint("10.20.1.11", "n1", "my-lb/backend-1"),
        endpoint("10.20.2.11", "n2", "my-lb/backend-2"),
        of="my-lb/service-primary",
    ).model_copy(update={"managed_by": "endpointslice-controller.k8s.io"})
    facts = (*NODES, *NADS, *PODS, LB, primary, by_hand(ONE, TWO), slices)
    one = planned(*facts, holds=[Hold(network=EXTERNAL, service="my-lb/service-lb")])
    two = planned(*facts, holds=[Hold(network=EXTERNAL, service="my-lb/service-primary", seq=2)])
    assert backends(one) == {"n1": ("172.16.23.0:8080",), "n2": ("172.16.24.0:8080",)}
    assert backends(two) == {"n1": ("10.20.1.11:8080",), "n2": ("10.20.2.11:8080",)}


def test_a_selectors_endpoint_is_the_primary_interface_whoever_has_its_address_elsewhere() -> None:
    twin = multi("my-lb/other", "n3", "10.20.3.11", nets={JOINED: "10.20.1.11"})
    slices = endpoint_slice("x", endpoint("10.20.1.11"), of="my-lb/web")
    path_set = planned(
        *NODES, *NADS, *PODS, twin, service("my-lb/web"), slices, holds=[Hold(network=EXTERNAL, service="my-lb/web")]
    )
    assert weights(path_set) == {"n1": 1}


def test_ipv6_interfaces_are_found_in_any_spelling() -> None:
    pod = multi("my-lb/backend-1", "n1", "10.20.1.11", nets={JOINED: "2001:DB8:0:0::17"})
    six = endpoint_slice("m6", endpoint("2001:db8::17"), of="my-lb/service-lb", address_type="IPv6")
    held = [Hold(network=EXTERNAL, service="my-lb/service-lb", family=6)]
    path_set = planned(*NODES, *NADS, pod, LB, six, holds=held, address=ADDRESS6)
    assert backends(path_set) == {"n1": ("[2001:db8::17]:8080",)}


def test_a_moving_service_is_seen_from_each_of_its_networks() -> None:
    facts = (*NODES, *NADS, *PODS, LB, by_hand(ONE))
    there = planned(*facts, holds=[Hold(network=EXTERNAL, service="my-lb/service-lb")])
    elsewhere = planned(*facts, holds=[Hold(network=APART, service="my-lb/service-lb")])
    assert (weights(there), weights(elsewhere)) == ({"n1": 1}, {})
    assert APART in elsewhere.notes[0]


def test_sharers_are_named_in_the_order_in_which_they_came() -> None:
    holds = [Hold(service="shop/web", seq=9), Hold(service="shop/api", seq=4), Hold(service="shop/dns", seq=7)]
    path_set = planned(*NODES, service("shop/web"), holds=holds)
    assert (path_set.allocation, path_set.sharers) == (
        "contrail/external#4", ("contrail/external#7", "contrail/external#9"),
    )  # fmt: skip
