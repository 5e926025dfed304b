"""A scenario's writes list CN2's objects as whole objects, and each object goes with its owner."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.objects import Object, default_nad, meta, service
from tests.support.simulate import apply, base, delete, run, run_simulation, simulation_of

OURS = {"app.kubernetes.io/managed-by": "ledgerlb"}
KINDS = ("InstanceIP", "FloatingIP", "VirtualNetwork", "Subnet")


def interface(name: str, pod: str) -> Object:
    notes = {"kube-manager.juniper.net/pod-name": pod, "kube-manager.juniper.net/pod-namespace": "a"}
    return {
        "apiVersion": "core.contrail.juniper.net/v1alpha1",
        "kind": "VirtualMachineInterface",
        "metadata": meta(f"a/{name}", annotations=notes),
        "spec": {"virtualNetworkReference": {"namespace": "contrail", "name": "default-podnetwork"}},
    }


def slice_of(*pods: str, name: str = "a/b", family: str = "IPv4", prefix: str = "10.1.0.") -> Object:
    ends = [
        {"addresses": [f"{prefix}{number}"], "targetRef": {"kind": "Pod", "namespace": "a", "name": pod}}
        for number, pod in enumerate(pods, 1)
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(f"{name}-{family.lower()}", labels={"kubernetes.io/service-name": name.partition("/")[2]}),
        "addressType": family,
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": ends,
    }


def written(step: dict[str, Any], kind: str) -> list[Object]:
    return [write for write in step["writes"] if write["kind"] == kind]


def left(simulation: Any) -> list[str]:
    """Return the names of CN2's objects that exist in the end."""
    cluster = simulation.engine._cluster
    return [f"{kind} {obj['metadata']['name']}" for kind in KINDS for obj in cluster.list(kind)]


def test_an_address_brings_two_instance_ips_and_two_floating_ips_per_family():
    dual = service("a/b", ipFamilyPolicy="RequireDualStack")
    v6 = slice_of("p", family="IPv6", prefix="fd01::")
    (step,) = run([
        apply(*base(default_nad("net/ext", "192.0.2.0/24", "2001:db8::/64"), dual, slice_of("p"), v6, interface("p-eth0", "p")))
    ])  # fmt: skip
    instances, floats = written(step, "InstanceIP"), written(step, "FloatingIP")
    assert sorted(one["spec"]["instanceIPAddress"] for one in instances) == [
        "10.96.0.10", "192.0.2.2", "2001:db8::2", "fd00:10:96::a",
    ]  # fmt: skip
    assert {one["spec"]["floatingIPAddress"] for one in floats} == {
        one["spec"]["instanceIPAddress"] for one in instances
    }
    for one in (*instances, *floats):
        assert one["apiVersion"] == "core.contrail.juniper.net/v1alpha1"
        assert one["metadata"]["labels"] == OURS
    for one in floats:
        assert [found["name"] for found in one["spec"]["virtualMachineInterfaceReferences"]] == ["p-eth0"]
        assert one["spec"]["floatingIPPortMappings"]["portMappings"] == [
            {"protocol": "TCP", "srcPort": 80, "dstPort": 8080}
        ]


def test_they_follow_endpoints_and_go_with_the_service():
    steps = [
        apply(*base(service("a/b"), slice_of("p"), interface("p-eth0", "p"), interface("q-eth0", "q"))),
        apply(slice_of("p", "q")),
        delete("Service", "a/b"),
        delete("NetworkAttachmentDefinition", "net/ext"),
    ]
    simulation = simulation_of(steps)
    _, second, third, last = run_simulation(simulation)
    for one in written(second, "FloatingIP"):
        names = [found["name"] for found in one["spec"]["virtualMachineInterfaceReferences"]]
        assert names == ["p-eth0", "q-eth0"]
    assert len(written(second, "FloatingIP")) == 2
    assert written(second, "InstanceIP") == []
    assert third["services"]["a/b"]["state"] == "Deleted"
    assert "net/ext" not in last["networks"]
    assert left(simulation) == []


FOREIGN = {
    "apiVersion": "core.contrail.juniper.net/v1",
    "kind": "InstanceIP",
    "metadata": {"name": "ledgerlb.net.ext.192-0-2-2"},
    "spec": {"instanceIPAddress": "203.0.113.1"},
}


def test_somebody_elses_object_is_left_alone_and_ours_made_as_soon_as_it_goes():
    name = FOREIGN["metadata"]["name"]
    first, second = run([apply(*base(service("a/b"), FOREIGN)), delete("InstanceIP", name)])
    assert name not in {one["metadata"]["name"] for one in written(first, "InstanceIP")}
    assert "ObjectNotOurs" in {event["reason"] for event in written(first, "Event")}
    assert [one["metadata"]["name"] for one in written(second, "InstanceIP")] == [name]


def test_a_change_by_somebody_else_is_reverted_and_told():
    first, second = run([apply(*base(service("a/b"))), apply(FOREIGN)])
    (one,) = (one for one in written(first, "InstanceIP") if one["metadata"]["name"] == FOREIGN["metadata"]["name"])
    (reverted,) = written(second, "InstanceIP")
    assert reverted["spec"] == one["spec"]
    assert reverted["metadata"]["labels"] == OURS
    assert [event["reason"] for event in written(second, "Event")] == ["ForeignChangeReverted"]


def test_a_nad_shows_what_was_made_of_it():
    simulation = simulation_of([apply(*base(default_nad("net/broken", raw="{"))), delete("VirtualNetwork", "net/ext")])
    first, second = run_simulation(simulation)
    assert [one["metadata"]["name"] for one in written(first, "VirtualNetwork")] == ["ext"]
    assert [one["spec"]["cidr"] for one in written(first, "Subnet")] == ["192.0.2.0/24"]
    notes = {
        one["metadata"]["name"]: one["metadata"]["annotations"].get("juniper.net/networks-status", "")
        for one in written(first, "NetworkAttachmentDefinition")
    }
    assert notes["ext"] == "success creating VirtualNetwork ext v4Subnet: 192.0.2.0/24"
    assert notes["broken"].startswith("failed: ")
    assert first["networks"]["net/broken"]["problem"] == "InvalidAnnotation"
    assert [one["metadata"]["name"] for one in written(second, "VirtualNetwork")] == ["ext"], "made again"


@pytest.mark.parametrize("more", [{"restart": "all"}, {"redeliver": 50}, {"advance": "1h"}])
def test_restarts_and_redelivery_write_nothing(more):
    _, step = run([apply(*base(service("a/b"), slice_of("p"), interface("p-eth0", "p"))), more])
    assert step["writes"] == []
