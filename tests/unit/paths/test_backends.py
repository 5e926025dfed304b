"""Which backends of a Service take new flows, which drain, and where they are."""

from __future__ import annotations

from ledgerlb.core.cluster.facts import EndpointPort, ServicePort
from tests.builders.facts import endpoint, endpoint_slice, service
from tests.unit.paths.facts import ADDRESS6, NODES, Hold, hops, node, planned, pod, raw_endpoints, weights


def test_every_slice_of_the_service_counts_and_a_repeated_endpoint_counts_once() -> None:
    shared = endpoint("10.1.1.1", "n1", "shop/a")
    path_set = planned(
        *NODES,
        service(),
        endpoint_slice("web-1", shared, endpoint("10.1.2.1", "n2", "shop/b")),
        endpoint_slice("web-2", shared, endpoint("10.1.2.2", "n2", "shop/c")),
    )
    assert weights(path_set) == {"n1": 1, "n2": 2}
    assert hops(path_set)["n2"].backends == ("10.1.2.1:8080", "10.1.2.2:8080")
    assert hops(path_set)["n1"].via == "10.0.0.1"


def test_a_slice_of_another_service_or_family_is_not_used() -> None:
    path_set = planned(
        *NODES,
        service(),
        endpoint_slice("web-1", endpoint("10.1.1.1", "n1", "shop/a")),
        endpoint_slice("other-1", endpoint("10.1.1.2", "n1", "shop/b"), of="shop/other"),
        endpoint_slice("elsewhere", endpoint("10.1.1.3", "n1", "else/b"), of="else/web"),
        endpoint_slice("web-6", endpoint("fd01::1", "n1", "shop/a"), address_type="IPv6"),
    )
    assert weights(path_set) == {"n1": 1}
    assert hops(path_set)["n1"].backends == ("10.1.1.1:8080",)


def test_the_other_family_has_its_own_path_set_with_its_own_next_hops() -> None:
    facts = (
        *NODES,
        service(),
        endpoint_slice("web-4", endpoint("10.1.1.1", "n1", "shop/a"), endpoint("10.1.2.1", "n2", "shop/b")),
        endpoint_slice("web-6", endpoint("fd01:0::1", "n1", "shop/a"), address_type="IPv6"),
    )
    six = planned(*facts, address=ADDRESS6)
    assert weights(six) == {"n1": 1}
    assert hops(six)["n1"].via == "fd00::1"
    assert hops(six)["n1"].backends == ("[fd01::1]:8080",)


def test_a_pod_with_several_ports_counts_once_and_each_port_is_a_backend() -> None:
    ports = (
        ServicePort(name="http", port=80, target_port="web"),
        ServicePort(name="https", port=443, target_port=8443),
    )
    path_set = planned(
        *NODES,
        service(ports=ports),
        endpoint_slice(
            "web-1", endpoint("10.1.1.1", "n1", "shop/a"),
            ports=(EndpointPort(name="http", port=8080), EndpointPort(name="https", port=8443), EndpointPort(name="admin", port=9)),
        ),
    )  # fmt: skip
    assert weights(path_set) == {"n1": 1}
    assert hops(path_set)["n1"].backends == ("10.1.1.1:8080", "10.1.1.1:8443")


def test_a_named_port_may_be_another_number_on_each_pod() -> None:
    path_set = planned(
        *NODES,
        service(ports=(ServicePort(name="http", port=80, target_port="web"),)),
        endpoint_slice("web-1", endpoint("10.1.1.1", "n1", "shop/a"), ports=(EndpointPort(name="http", port=8080),)),
        endpoint_slice("web-2", endpoint("10.1.1.2", "n1", "shop/b"), ports=(EndpointPort(name="http", port=9090),)),
    )
    assert hops(path_set)["n1"].backends == ("10.1.1.1:8080", "10.1.1.2:9090")


def test_ports_match_by_name_and_protocol_and_what_nobody_offers_is_noted() -> None:
    ports = (
        ServicePort(name="dns", protocol="UDP", port=53, target_port=53),
        ServicePort(name="dns-tcp", protocol="TCP", port=53, target_port=53),
    )
    path_set = planned(
        *NODES,
        service(ports=ports),
        endpoint_slice(
            "web-1", endpoint("10.1.1.1", "n1", "shop/a"), ports=(EndpointPort(name="dns", protocol="UDP", port=5353),)
        ),
    )
    assert hops(path_set)["n1"].backends == ("10.1.1.1:5353",)
    assert path_set.notes == ("Service shop/web: no endpoint names port dns-tcp/TCP",)


def test_a_slice_for_all_ports_takes_the_services_target_port() -> None:
    path_set = planned(
        *NODES,
        service(),
        endpoint_slice("web-1", endpoint("10.1.1.1", "n1"), ports=(EndpointPort(name="http", port=0),)),
    )
    assert hops(path_set)["n1"].backends == ("10.1.1.1:8080",)


def test_what_is_not_ready_is_no_backend() -> None:
    path_set = planned(
        *NODES,
        service(),
        endpoint_slice(
            "web-1", endpoint("10.1.1.1", "n1", "shop/a"), endpoint("10.1.2.1", "n2", "shop/b", ready=False)
        ),
    )
    assert weights(path_set) == {"n1": 1}


def test_a_terminating_backend_that_serves_drains_while_another_is_ready() -> None:
    leaving = endpoint("10.1.2.1", "n2", "shop/b", ready=False, serving=True, terminating=True)
    path_set = planned(*NODES, service(), endpoint_slice("web-1", endpoint("10.1.1.1", "n1", "shop/a"), leaving))
    assert weights(path_set) == {"n1": 1, "n2": 0}
    assert hops(path_set)["n2"].backends == ()
    assert hops(path_set)["n2"].draining == ("10.1.2.1:8080",)


def test_draining_backends_take_new_flows_when_nothing_is_ready() -> None:
    leaving = endpoint("10.1.2.1", "n2", "shop/b", ready=False, serving=True, terminating=True)
    dead = endpoint("10.1.1.1", "n1", "shop/a", ready=False, serving=False, terminating=True)
    path_set = planned(*NODES, service(), endpoint_slice("web-1", leaving, dead))
    assert weights(path_set) == {"n2": 1}
    assert hops(path_set)["n2"].backends == ("10.1.2.1:8080",)
    assert hops(path_set)["n2"].draining == ()


def test_where_two_slices_disagree_about_a_pod_terminating_is_the_newer_word() -> None:
    stale = endpoint("10.1.2.1", "n2", "shop/b")
    leaving = endpoint("10.1.2.1", "n2", "shop/b", ready=False, serving=True, terminating=True)
    path_set = planned(
        *NODES,
        service(),
        endpoint_slice("web-1", stale, endpoint("10.1.1.1", "n1", "shop/a")),
        endpoint_slice("web-2", leaving),
    )
    assert weights(path_set) == {"n1": 1, "n2": 0}


def test_an_excluded_node_is_no_next_hop_and_its_ready_pods_do_not_keep_others_from_serving() -> None:
    leaving = endpoint("10.1.2.1", "n2", "shop/b", ready=False, serving=True, terminating=True)
    path_set = planned(
        node("n1", "10.0.0.1", excluded=True),
        NODES[1],
        service(),
        endpoint_slice("web-1", endpoint("10.1.1.1", "n1", "shop/a"), leaving),
    )
    assert weights(path_set) == {"n2": 1}
    assert path_set.notes == ("Service shop/web: node n1 is excluded by its label and gets no traffic",)


def test_an_endpoint_without_node_is_placed_by_the_pod_that_has_its_address() -> None:
    path_set = planned(
        *NODES,
        service(has_selector=False),
        pod("shop/a", "n3", "10.1.3.1", "fd01::31"),
        endpoint_slice("manual", endpoint("10.1.3.1")),
    )
    assert weights(path_set) == {"n3": 1}
    assert path_set.notes == ()


def test_an_ended_pod_does_not_stand_for_its_address() -> None:
    path_set = planned(
        *NODES,
        service(),
        pod("shop/old", "n1", "10.1.3.1", phase="Succeeded"),
        endpoint_slice("manual", endpoint("10.1.3.1")),
    )
    assert path_set.next_hops == ()


def test_an_endpoint_that_nobody_knows_is_noted_and_not_used() -> None:
    path_set = planned(*NODES, service(has_selector=False), endpoint_slice("manual", endpoint("172.16.23.0")))
    assert path_set.next_hops == ()
    assert path_set.notes == ("Service shop/web: no pod or node is known for 1 endpoint(s): 172.16.23.0",)


def test_the_same_pod_by_reference_and_by_address_is_one_pod() -> None:
    path_set = planned(
        *NODES,
        service(),
        pod("shop/a", "n1", "10.1.1.1"),
        endpoint_slice("web-1", endpoint("10.1.1.1", "n1", "shop/a")),
        endpoint_slice("manual", endpoint("10.1.1.1")),
    )
    assert weights(path_set) == {"n1": 1}


def test_raw_endpoints_are_read_with_all_their_subsets_and_only_their_family() -> None:
    path_set = planned(
        *NODES,
        service(has_selector=False),
        pod("shop/a", "n1", "10.1.1.1"),
        raw_endpoints(endpoint("10.1.1.1"), endpoint("10.1.2.1", "n2"), endpoint("fd01::1", "n3")),
    )
    assert weights(path_set) == {"n1": 1, "n2": 1}
    assert path_set.notes == ()


def test_a_bad_endpoint_address_is_noted_and_the_others_are_used() -> None:
    path_set = planned(*NODES, service(), endpoint_slice("web-1", endpoint("10.1.1", "n1"), endpoint("10.1.1.1", "n1")))
    assert weights(path_set) == {"n1": 1}
    assert path_set.notes == ("Service shop/web: endpoint '10.1.1' is not an IPv4 address",)


def test_a_node_without_an_address_of_the_family_is_no_next_hop() -> None:
    path_set = planned(
        node("n1", "10.0.0.1"),
        service(),
        endpoint_slice("six", endpoint("fd01::1", "n1"), address_type="IPv6"),
        address=ADDRESS6,
    )
    assert path_set.next_hops == ()
    assert path_set.notes == ("Service shop/web: node n1 has no usable InternalIP of IPv6: it cannot be a next hop",)
    assert [(one.service, one.reason) for one in path_set.unserved] == [("shop/web", "NoUsableBackend")]


def test_sharers_add_up_and_a_pod_behind_both_counts_once() -> None:
    both = endpoint("10.1.1.1", "n1", "shop/a")
    path_set = planned(
        *NODES,
        service("shop/web"),
        service("shop/dns", ports=(ServicePort(name="dns", protocol="UDP", port=53, target_port=53),)),
        endpoint_slice("web-1", both, endpoint("10.1.2.1", "n2", "shop/b")),
        endpoint_slice("dns-1", both, of="shop/dns", ports=(EndpointPort(name="dns", protocol="UDP", port=53),)),
        holds=[Hold(service="shop/web", seq=7), Hold(service="shop/dns", seq=9)],
    )
    assert weights(path_set) == {"n1": 1, "n2": 1}
    assert hops(path_set)["n1"].backends == ("10.1.1.1:53", "10.1.1.1:8080")
    assert path_set.services == ("shop/dns", "shop/web")
    assert [(f.service, f.protocol, f.port) for f in path_set.frontends] == [
        ("shop/dns", "UDP", 53),
        ("shop/web", "TCP", 80),
    ]
    assert path_set.allocation == "contrail/external#7"
