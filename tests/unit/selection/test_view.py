"""The view: lookups follow every change, whatever came first."""

from __future__ import annotations

from ledgerlb.core.cluster.facts import (
    KINDS,
    EndpointsFact,
    EndpointSliceFact,
    NodeFact,
    PodFact,
    Synced,
    VirtualMachineInterfaceFact,
    key_of,
)
from ledgerlb.core.cluster.view import ClusterView
from tests.unit.selection.world import World, namespace, service


def test_nothing_is_synced_before_every_kind_was_listed():
    view = ClusterView()
    for kind in KINDS:
        assert not view.synced()
        assert view.missing()[0] == kind
        view.take(f"Synced//{kind}", Synced(of=kind, present=kind != "Kubemanager"))
    assert view.synced()
    assert view.served("Service")
    assert not view.served("Kubemanager")


def test_take_tells_what_changed():
    view = ClusterView()
    first, second = service("a/s"), service("a/s", {"x": "y"})
    change = view.take(key_of(first), first)
    assert (change.kind, change.name, change.old, change.new) == ("Service", "a/s", None, first)
    assert view.take(key_of(first), first).same
    change = view.take(key_of(second), second)
    assert (change.old, change.new, change.same) == (first, second, False)


def test_services_are_found_by_namespace_until_they_go():
    world = World(service("a/two"), service("a/one"), service("b/three"))
    assert world.view.services_in("a") == ("a/one", "a/two")
    world.drop("Service", "a/one")
    assert world.view.services_in("a") == ("a/two",)
    assert [fact.full_name for fact in world.view.services()] == ["a/two", "b/three"]
    world.drop("Service", "a/two").drop("Service", "a/two")
    assert world.view.services_in("a") == ()


def test_a_slice_that_changes_its_service_moves():
    one = EndpointSliceFact(namespace="a", name="s-1", service="s")
    world = World(one, EndpointSliceFact(namespace="a", name="s-2", service="s"))
    assert [fact.name for fact in world.view.slices_of("a/s")] == ["s-1", "s-2"]
    world.put(one.model_copy(update={"service": "t"}))
    assert [fact.name for fact in world.view.slices_of("a/s")] == ["s-2"]
    assert [fact.name for fact in world.view.slices_of("a/t")] == ["s-1"]


def test_endpoints_before_their_service_are_not_lost():
    world = World(EndpointsFact(namespace="a", name="s"), NodeFact(name="n1"))
    assert world.view.endpoints_of("a/s") is not None
    assert world.view.node("n1") is not None
    assert [node.name for node in world.view.nodes()] == ["n1"]


def test_pods_are_found_by_every_address_in_any_spelling():
    world = World(PodFact(namespace="a", name="p", ips=("10.0.0.4", "2001:DB8::0:4")))
    assert [one.pod for one in world.view.interfaces_at("2001:db8::4")] == ["a/p"]
    world.put(PodFact(namespace="a", name="p", ips=("10.0.0.5",)))
    assert world.view.interfaces_at("10.0.0.4") == ()
    assert [one.pod for one in world.view.interfaces_at("10.0.0.5")] == ["a/p"]
    world.drop("Pod", "a/p")
    assert world.view.interfaces_at("10.0.0.5") == ()


STATUS = """[
  {"name": "cluster-net", "interface": "eth0", "ips": ["10.0.0.4"], "default": true},
  {"name": "my-lb/pod-subnet", "interface": "net1", "ips": ["172.16.23.0"]},
  {"name": "bare", "ips": ["172.16.25.7"]}
]"""


def test_interfaces_are_found_by_network_and_address():
    world = World(PodFact(namespace="a", name="p", ips=("10.0.0.4",), network_status=STATUS))
    assert [(i.network, i.primary) for i in world.view.interfaces_at("10.0.0.4")] == [("", True)]
    assert [(i.pod, i.network) for i in world.view.interfaces_at("172.16.23.0")] == [("a/p", "my-lb/pod-subnet")]
    assert [i.network for i in world.view.interfaces_at("172.16.25.7")] == ["a/bare"]
    assert world.view.interfaces_at("172.16.23.1") == ()


def test_an_interface_known_from_both_sources_is_one():
    vmi = VirtualMachineInterfaceFact(
        namespace="a", name="v", pod="a/p", network="my-lb/pod-subnet", address="172.16.23.0"
    )
    world = World(PodFact(namespace="a", name="p", ips=("10.0.0.4",), network_status=STATUS), vmi)
    assert len(world.view.interfaces_at("172.16.23.0")) == 1
    world.put(PodFact(namespace="a", name="p", ips=("10.0.0.4",)))
    assert [i.pod for i in world.view.interfaces_at("172.16.23.0")] == ["a/p"]
    world.drop("VirtualMachineInterface", "a/v")
    assert world.view.interfaces_at("172.16.23.0") == ()


def test_a_network_status_that_cannot_be_read_leaves_the_primary_interface():
    for status in ("{", "{}", "[1]", "[" * 100_000, '[{"name": "x", "ips": "10.0.0.9"}]'):
        world = World(PodFact(namespace="a", name="p", ips=("10.0.0.4",), network_status=status))
        assert [i.network for i in world.view.interfaces_at("10.0.0.4")] == [""]


def test_every_namespace_has_its_name_as_a_label():
    world = World(namespace("a", {"x": "y"}))
    assert world.view.namespace_labels("a") == {"x": "y", "kubernetes.io/metadata.name": "a"}
    assert world.view.namespace_labels("unknown") == {"kubernetes.io/metadata.name": "unknown"}
