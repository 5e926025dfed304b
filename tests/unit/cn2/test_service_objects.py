"""InstanceIPs and FloatingIPs of a Service, as a pure function of facts and holdings."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from ledgerlb.cn2 import ObjectsView, ServiceObjects, TrackedLookups, Wanted, service_objects
from ledgerlb.cn2.model import MAX_NAME, object_name
from ledgerlb.core.cluster.facts import (
    AnyFact,
    Endpoint,
    EndpointPort,
    EndpointSliceFact,
    NetworkAttachmentDefinitionFact,
    NodeFact,
    PodFact,
    ServiceFact,
    ServicePort,
    VirtualMachineInterfaceFact,
    key_of,
)
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.settings import DomainSettings
from tests.builders import entries, facts

NET = "contrail/ext"
PODS = "contrail/default-podnetwork"
CONTROLLER = "endpointslice-controller.k8s.io"


holding = functools.partial(entries.holding, network=NET, uid="u")


service = functools.partial(
    facts.service,
    "a/web",
    uid="u",
    ports=(ServicePort(port=80, target_port=8080),),
    cluster_ips=("10.96.0.10",),
    ip_families=(4,),
)


def endpoint(pod: str, address: str, **more: Any) -> Endpoint:
    return Endpoint(addresses=(address,), target_kind="Pod", target_namespace="a", target_name=pod, **more)


def slice_of(*endpoints: Endpoint, name: str = "s", ports: Any = None, **more: Any) -> EndpointSliceFact:
    ports = ports if ports is not None else (EndpointPort(port=8080),)
    fields = {"managed_by": CONTROLLER} | more
    return EndpointSliceFact(namespace="a", name=name, service="web", ports=ports, endpoints=endpoints, **fields)


def vmi(name: str, pod: str, network: str = PODS, **more: Any) -> VirtualMachineInterfaceFact:
    return VirtualMachineInterfaceFact(namespace="a", name=name, pod=f"a/{pod}", network=network, **more)


def made(
    fact: ServiceFact, *facts: AnyFact, holdings: tuple[Holding, ...] = (), sharers: tuple[str, ...] = (), **more: Any
) -> ServiceObjects:
    view = ObjectsView(ClusterView())
    for one in (fact, *facts):
        view.take(view.cluster.take(key_of(one), one))
    held = holdings or (holding("192.0.2.2"),)
    return service_objects(TrackedLookups(view), fact, held, lambda _n, _a: sharers, DomainSettings(), **more)


def floats(found: ServiceObjects) -> dict[str, dict[str, Any]]:
    """Specs of the FloatingIPs by address."""
    return {one.spec["floatingIPAddress"]: dict(one.spec) for one in found.objects if one.kind == "FloatingIP"}


def interfaces(found: ServiceObjects, address: str = "192.0.2.2") -> list[str]:
    return [reference["name"] for reference in floats(found)[address]["virtualMachineInterfaceReferences"]]


def mappings(found: ServiceObjects, address: str = "192.0.2.2") -> list[tuple[str, int, int]]:
    listed = floats(found)[address]["floatingIPPortMappings"]["portMappings"]
    return [(one["protocol"], one["srcPort"], one["dstPort"]) for one in listed]


def test_one_family_has_two_instance_ips_and_two_floating_ips():
    found = made(service(), slice_of(endpoint("p", "10.0.0.1")), vmi("p-eth0", "p"), version="v3")
    instances = {one.name: one for one in found.objects if one.kind == "InstanceIP"}
    assert {name: one.spec for name, one in instances.items()} == {
        "ledgerlb.contrail.ext.192-0-2-2": {
            "instanceIPAddress": "192.0.2.2",
            "instanceIPFamily": "v4",
            "virtualNetworkReference": {
                "apiVersion": "core.contrail.juniper.net/v3",
                "kind": "VirtualNetwork",
                "namespace": "contrail",
                "name": "ext",
                "fqName": ["default-domain", "contrail", "ext"],
            },
        },
        "ledgerlb.contrail.default-servicenetwork.10-96-0-10": {
            "instanceIPAddress": "10.96.0.10",
            "instanceIPFamily": "v4",
            "virtualNetworkReference": {
                "apiVersion": "core.contrail.juniper.net/v3",
                "kind": "VirtualNetwork",
                "namespace": "contrail",
                "name": "default-servicenetwork",
                "fqName": ["default-domain", "contrail", "default-servicenetwork"],
            },
        },
    }
    assert floats(found)["192.0.2.2"] == {
        "parent": {
            "apiVersion": "core.contrail.juniper.net/v3",
            "kind": "InstanceIP",
            "name": "ledgerlb.contrail.ext.192-0-2-2",
            "fqName": ["ledgerlb.contrail.ext.192-0-2-2"],
        },
        "floatingIPAddress": "192.0.2.2",
        "floatingIPPortMappingsEnable": True,
        "floatingIPPortMappings": {"portMappings": [{"protocol": "TCP", "srcPort": 80, "dstPort": 8080}]},
        "floatingIPTrafficDirection": "ingress",
        "virtualMachineInterfaceReferences": [
            {
                "apiVersion": "core.contrail.juniper.net/v3",
                "kind": "VirtualMachineInterface",
                "namespace": "a",
                "name": "p-eth0",
                "fqName": ["default-domain", "a", "p-eth0"],
            }
        ],
    }
    assert floats(found)["10.96.0.10"]["parent"]["name"] == "ledgerlb.contrail.default-servicenetwork.10-96-0-10"
    assert [one.kind for one in found.objects] == ["InstanceIP"] * 2 + ["FloatingIP"] * 2, "parents first"
    assert all(
        one.body()["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "ledgerlb"} for one in found.objects
    )
    assert all(one.annotations == {"ledgerlb.io/service": "a/web"} for one in found.objects)
    assert found.notes == ()


def test_dual_stack_has_two_pairs_of_each():
    fact = service(cluster_ips=("10.96.0.10", "fd00::a"), ip_families=(4, 6))
    six = slice_of(endpoint("p", "fd01::1"), name="six", address_type="IPv6", ports=(EndpointPort(port=9090),))
    found = made(
        fact, slice_of(endpoint("p", "10.0.0.1")), six, vmi("p-eth0", "p"),
        holdings=(holding("192.0.2.2"), holding("2001:db8::2")),
    )  # fmt: skip
    assert len(found.objects) == 8
    assert set(floats(found)) == {"192.0.2.2", "10.96.0.10", "2001:db8::2", "fd00::a"}
    assert mappings(found, "2001:db8::2") == [("TCP", 80, 9090)]
    families = {one.spec["instanceIPAddress"]: one.spec["instanceIPFamily"] for one in found.objects[:4]}
    assert families == {"192.0.2.2": "v4", "10.96.0.10": "v4", "2001:db8::2": "v6", "fd00::a": "v6"}
    assert len({one.key for one in found.objects}) == 8


@pytest.mark.parametrize("cluster_ips", [(), ("None",), ("",), ("fd00::a",)])
def test_without_a_cluster_address_of_the_family_there_is_only_the_external_pair(cluster_ips):
    found = made(service(cluster_ips=cluster_ips))
    assert set(floats(found)) == {"192.0.2.2"}
    assert len(found.objects) == 2


@pytest.mark.parametrize(
    "holdings", [(holding("192.0.2.2", state="releasing"),), (holding("192.0.2.2", uid="former"),)]
)
def test_what_is_released_or_a_namesakes_has_no_objects(holdings):
    assert made(service(), holdings=holdings).objects == ()


def test_while_moving_both_networks_have_their_pair():
    found = made(service(), holdings=(holding("192.0.2.2"), holding("198.51.100.2", network="contrail/two")))
    assert set(floats(found)) == {"192.0.2.2", "198.51.100.2", "10.96.0.10"}
    assert len(found.objects) == 6


def test_sharers_share_the_instance_ip_and_have_floating_ips_of_their_own():
    found = made(service(), sharers=("a/web", "a/other"))
    owners = {(one.kind, one.name): one.annotations["ledgerlb.io/service"] for one in found.objects}
    assert owners["InstanceIP", "ledgerlb.contrail.ext.192-0-2-2"] == "a/other,a/web"
    assert owners["FloatingIP", "ledgerlb.a.web.contrail.ext.192-0-2-2"] == "a/web"


def test_ports_of_all_protocols_map_and_others_are_left_out():
    ports = (
        ServicePort(name="t", port=80, target_port=8080),
        ServicePort(name="u", port=80, protocol="UDP", target_port=5353),
        ServicePort(name="s", port=90, protocol="SCTP", target_port="sctp"),
        ServicePort(name="x", port=91, protocol="ICMP"),
    )
    offered = (
        EndpointPort(name="t", port=8080),
        EndpointPort(name="u", protocol="UDP", port=5353),
        EndpointPort(name="s", protocol="SCTP", port=3868),
    )
    found = made(service(ports=ports), slice_of(endpoint("p", "10.0.0.1"), ports=offered), vmi("p-eth0", "p"))
    assert mappings(found) == [("TCP", 80, 8080), ("UDP", 80, 5353), ("SCTP", 90, 3868)]


def test_without_endpoints_numbers_are_mapped_and_names_cannot_be():
    ports = (ServicePort(name="t", port=80, target_port=8080), ServicePort(name="n", port=81, target_port="named"))
    found = made(service(ports=ports))
    assert mappings(found) == [("TCP", 80, 8080)]
    assert interfaces(found) == []


def test_pods_that_resolve_a_named_port_differently_are_reported_and_the_larger_group_is_served():
    fact = service(ports=(ServicePort(port=80, target_port="http"),))
    old = slice_of(endpoint("p1", "10.0.0.1"), name="old", ports=(EndpointPort(port=8000),))
    new = slice_of(endpoint("p2", "10.0.0.2"), endpoint("p3", "10.0.0.3"), name="new", ports=(EndpointPort(port=9000),))
    found = made(fact, old, new, *(vmi(f"{pod}-eth0", pod) for pod in ("p1", "p2", "p3")))
    assert mappings(found) == [("TCP", 80, 9000)]
    assert interfaces(found) == ["p2-eth0", "p3-eth0"]
    (note,) = found.notes
    assert note.reason == "TargetPortsDiffer"
    assert "a/p1" in note.message
    assert "a/p2" not in note.message


@pytest.mark.parametrize("without", [1, 2])
def test_pods_that_have_none_of_the_ports_do_not_stand_in_the_way_of_one_that_has(without):
    fact = service(ports=(ServicePort(name="web", port=80, target_port="http"),))
    serving = slice_of(endpoint("p", "10.0.0.9"), name="a", ports=(EndpointPort(name="web", port=8080),))
    bare = slice_of(*(endpoint(f"q{n}", f"10.0.0.{n}") for n in range(1, without + 1)), name="b", ports=())
    found = made(fact, serving, bare, vmi("p-eth0", "p"), vmi("q1-eth0", "q1"), vmi("q2-eth0", "q2"))
    assert mappings(found) == [("TCP", 80, 8080)]
    assert interfaces(found) == ["p-eth0"]
    assert found.notes == ()


def test_a_ready_pod_that_has_none_of_the_ports_does_not_keep_a_draining_one_from_serving():
    fact = service(ports=(ServicePort(name="web", port=80, target_port="http"),))
    draining = endpoint("p", "10.0.0.9", ready=False, serving=True, terminating=True)
    serving = slice_of(draining, name="a", ports=(EndpointPort(name="web", port=8080),))
    bare = slice_of(endpoint("q", "10.0.0.1"), name="b", ports=())
    assert interfaces(made(fact, serving, bare, vmi("p-eth0", "p"), vmi("q-eth0", "q"))) == ["p-eth0"]


def test_of_groups_of_one_size_the_one_with_more_ports_is_served():
    fact = service(
        ports=[ServicePort(name=name, port=port, target_port=name) for name, port in (("web", 80), ("adm", 90))]
    )
    web, adm = EndpointPort(name="web", port=8080), EndpointPort(name="adm", port=9090)
    both = slice_of(endpoint("p", "10.0.0.9"), name="a", ports=(web, adm))
    one = slice_of(endpoint("q", "10.0.0.1"), name="b", ports=(adm,))
    found = made(fact, both, one, vmi("p-eth0", "p"), vmi("q-eth0", "q"))
    assert mappings(found) == [("TCP", 80, 8080), ("TCP", 90, 9090)]
    assert interfaces(found) == ["p-eth0"]


def test_only_ready_pods_forward_and_draining_ones_where_none_is_ready():
    ready = endpoint("p1", "10.0.0.1")
    out = endpoint("p2", "10.0.0.2", ready=False, serving=False)
    draining = endpoint("p3", "10.0.0.3", ready=False, serving=True, terminating=True)
    interfaces_of_all = [vmi(f"{pod}-eth0", pod) for pod in ("p1", "p2", "p3")]
    assert interfaces(made(service(), slice_of(ready, out, draining), *interfaces_of_all)) == ["p1-eth0"]
    assert interfaces(made(service(), slice_of(out, draining), *interfaces_of_all)) == ["p3-eth0"]


def test_a_pod_in_two_slices_is_referred_to_once():
    one, two = slice_of(endpoint("p", "10.0.0.1")), slice_of(endpoint("p", "10.0.0.1"), name="again")
    assert interfaces(made(service(), one, two, vmi("p-eth0", "p"))) == ["p-eth0"]


def test_of_several_interfaces_the_one_on_the_pods_primary_network_is_taken():
    both = (vmi("a-first", "p", "a/secondary"), vmi("b-second", "p", PODS))
    assert interfaces(made(service(), slice_of(endpoint("p", "10.0.0.1")), *both)) == ["b-second"]
    said = '[{"name": "x/podnet", "ips": ["10.0.0.1"], "default": true}, {"name": "a/secondary", "ips": ["10.9.0.1"]}]'
    pod = PodFact(namespace="a", name="p", ips=("10.0.0.1",), network_status=said)
    both = (vmi("a-first", "p", "a/secondary"), vmi("c-third", "p", "x/podnet"))
    assert interfaces(made(service(), slice_of(endpoint("p", "10.0.0.1")), pod, *both)) == ["c-third"]


def test_which_of_several_is_primary_is_never_guessed():
    both = (vmi("x", "p", "a/one"), vmi("y", "p", "a/two"))
    assert interfaces(made(service(), slice_of(endpoint("p", "10.0.0.1")), *both)) == []


def test_an_endpoint_on_a_secondary_network_means_the_interface_there():
    status = '[{"name": "a/lb", "ips": ["10.9.0.1"], "interface": "net1"}]'
    pod = PodFact(namespace="a", name="p", ips=("10.0.0.1",), network_status=status)
    networks = [
        NetworkAttachmentDefinitionFact(
            namespace=namespace, name=name,
            networks=f'{{"ipamV4Subnet": "{prefix}", "routeTargetList": ["target:1:{target}"]}}',
        )
        for namespace, name, prefix, target in (("contrail", "ext", "192.0.2.0/24", 1), ("a", "lb", "10.9.0.0/24", 1))
    ]  # fmt: skip
    by_hand = slice_of(Endpoint(addresses=("10.9.0.1",)), managed_by="")
    fact = service(has_selector=False)
    both = (vmi("primary", "p", PODS), vmi("secondary", "p", "a/lb"))
    assert interfaces(made(fact, by_hand, pod, *networks, *both)) == ["secondary"]


def test_a_pod_without_an_interface_of_cn2_or_with_one_that_goes_is_left_out():
    assert interfaces(made(service(), slice_of(endpoint("p", "10.0.0.1")))) == []
    going = vmi("p-eth0", "p", deleting=True)
    assert interfaces(made(service(), slice_of(endpoint("p", "10.0.0.1")), going)) == []


def test_pods_on_excluded_nodes_serve_the_cluster_address_only():
    node = NodeFact(name="n1", excluded=True)
    found = made(service(), slice_of(endpoint("p", "10.0.0.1", node="n1")), vmi("p-eth0", "p"), node)
    assert interfaces(found) == []
    assert interfaces(found, "10.96.0.10") == ["p-eth0"]


def test_names_are_bounded_unique_and_fit_for_kubernetes():
    long = "n" * 250
    one, other = object_name("ns", long, "192-0-2-1"), object_name("ns", long, "192-0-2-2")
    assert len(one) <= MAX_NAME
    assert one != other
    found = made(service(), holdings=(holding("2001:db8::"),))
    assert {one.name for one in found.objects} == {
        "ledgerlb.contrail.ext.2001-0db8-0000-0000-0000-0000-0000-0000",
        "ledgerlb.a.web.contrail.ext.2001-0db8-0000-0000-0000-0000-0000-0000",
    }


def test_what_was_looked_at_is_remembered_and_what_changes_it_is_named():
    view = ObjectsView(ClusterView())
    for one in (service(), slice_of(endpoint("p", "10.0.0.1"))):
        view.take(view.cluster.take(key_of(one), one))
    looked = TrackedLookups(view)
    service_objects(looked, service(), (holding("192.0.2.2"),), lambda _n, _a: (), DomainSettings())
    new = vmi("p-eth0", "p")
    assert view.take(view.cluster.take(key_of(new), new)) & looked.keys
    assert not view.take(view.cluster.take(key_of(new), new)), "nothing changed"
    other = vmi("q-eth0", "q")
    assert not view.take(view.cluster.take(key_of(other), other)) & looked.keys
    changed = slice_of(endpoint("p", "10.0.0.1", ready=False))
    assert view.take(view.cluster.take(key_of(changed), changed)) & looked.keys


def test_the_body_is_the_whole_object():
    body = Wanted("Subnet", "a", "n-v4", {"x": "y"}, {"l": "m"}, {"cidr": "192.0.2.0/24"}, "v1").body()
    assert body == {
        "apiVersion": "core.contrail.juniper.net/v1",
        "kind": "Subnet",
        "metadata": {
            "namespace": "a",
            "name": "n-v4",
            "labels": {"l": "m", "app.kubernetes.io/managed-by": "ledgerlb"},
            "annotations": {"x": "y"},
        },
        "spec": {"cidr": "192.0.2.0/24"},
    }
