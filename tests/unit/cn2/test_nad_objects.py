"""VirtualNetwork and Subnets of a NAD, and when an object shows what is wanted of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledgerlb.cn2 import covers, nad_objects
from ledgerlb.cn2.compare import includes
from ledgerlb.core.cluster.facts import CN2ObjectFact, NetworkAttachmentDefinitionFact, SubnetFact, VirtualNetworkFact
from ledgerlb.core.settings import DomainSettings

CONFIG = '{"type": "contrail-k8s-cni"}'


def nad(networks: Any = None, **more: Any) -> NetworkAttachmentDefinitionFact:
    text = networks if isinstance(networks, str) or networks is None else json.dumps(networks)
    return NetworkAttachmentDefinitionFact(namespace="a", name="net", uid="u", networks=text, config=CONFIG, **more)


def test_a_dual_stack_nad_becomes_two_subnets_and_a_network_that_refers_to_them():
    said = {
        "ipamV4Subnet": "192.0.2.0/24",
        "ipamV6Subnet": "2001:db8::/64",
        "routeTargetList": ["target:1:1"],
        "importRouteTargetList": "target:1:2, target:1:3",
        "exportRouteTargetList": None,
        "fabricSNAT": True,
        "podNetwork": None,
    }
    labels = {"team": "x", "app.kubernetes.io/managed-by": "Helm"}
    found = nad_objects(nad(said, labels=labels), DomainSettings(), version="v2")
    assert found is not None
    four, six, network = (one.body() for one in found.objects)
    assert (four["metadata"]["name"], four["spec"]) == ("net-v4", {"cidr": "192.0.2.0/24"})
    assert (six["metadata"]["name"], six["spec"]) == ("net-v6", {"cidr": "2001:db8::/64"})
    assert network["metadata"] == {
        "namespace": "a",
        "name": "net",
        "labels": {"team": "x", "app.kubernetes.io/managed-by": "ledgerlb"},
        "annotations": {
            "juniper.net/nad-name": "net",
            "juniper.net/nad-namespace": "a",
            "ledgerlb.io/carried-labels": "team",
        },
    }
    reference = {"apiVersion": "core.contrail.juniper.net/v2", "kind": "Subnet", "namespace": "a"}
    assert network["spec"] == {
        "v4SubnetReference": {**reference, "name": "net-v4", "fqName": ["default-domain", "a", "net-v4"]},
        "v6SubnetReference": {**reference, "name": "net-v6", "fqName": ["default-domain", "a", "net-v6"]},
        "routeTargetList": ["target:1:1"],
        "importRouteTargetList": ["target:1:2", "target:1:3"],
        "fabricSNAT": True,
    }
    assert found.status == "success creating VirtualNetwork net v4Subnet: 192.0.2.0/24 v6Subnet: 2001:db8::/64"


def test_host_bits_are_cleared_and_one_family_is_enough():
    found = nad_objects(nad({"ipamV4Subnet": "192.0.2.77/24", "ipamV6Subnet": None}), DomainSettings())
    assert found is not None
    assert [one.name for one in found.objects] == ["net-v4", "net"]
    assert found.objects[0].spec == {"cidr": "192.0.2.0/24"}


@pytest.mark.parametrize(
    ("networks", "says"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a JSON object"),
        ({}, "names no prefix"),
        ({"ipamV4Subnet": "192.0.2.0"}, "is not a prefix"),
        ({"ipamV4Subnet": "2001:db8::/64"}, "is not an IPv4 prefix"),
        ({"ipamV4Subnet": "192.0.2.0/24", "routeTargetList": 7}, "is not a list of route targets"),
    ],
)
def test_a_broken_nad_makes_nothing_and_says_why(networks, says):
    found = nad_objects(nad(networks), DomainSettings())
    assert found is not None
    assert (found.objects, found.valid) == ((), False)
    assert found.status.startswith("failed: NetworkAttachmentDefinition a/net, annotation juniper.net/networks")
    assert says in found.status


def test_what_defines_no_network_is_nobodys_business():
    other = NetworkAttachmentDefinitionFact(namespace="a", name="net", config='{"type": "macvlan"}')
    assert nad_objects(other, DomainSettings()) is None
    assert nad_objects(nad({"ipamV4Subnet": "192.0.2.0/24"}, deleting=True), DomainSettings()) is None


def test_what_a_server_adds_is_no_difference_and_what_it_changes_is():
    wanted = CN2ObjectFact(
        kind="FloatingIP", name="f", ours=True, annotations={"ledgerlb.io/service": "a/web"},
        spec={"parent": {"apiVersion": "g/v1", "name": "i"}, "refs": [{"name": "p"}], "on": True},
    )  # fmt: skip
    server = {
        "parent": {"apiVersion": "g/v3", "name": "i", "uid": "1"},
        "refs": [{"name": "p", "resourceVersion": "7"}],
        "on": True,
        "fqName": ["f"],
    }
    assert covers(wanted.model_copy(update={"spec": server, "uid": "1"}), wanted)
    for change in (
        {"on": False},
        {"refs": []},
        {"refs": [{"name": "q"}]},
        {"refs": [{"name": "p"}, {"name": "q"}]},
        {"parent": None},
        {"parent": {"apiVersion": "other/v1", "name": "i"}},
    ):
        assert not covers(wanted.model_copy(update={"spec": {**server, **change}}), wanted)
    assert not covers(wanted.model_copy(update={"annotations": {}}), wanted)
    assert not covers(wanted.model_copy(update={"ours": False}), wanted)
    assert not includes(1, True), "JSON tells them apart"


def test_networks_and_subnets_are_compared_by_what_their_facts_keep():
    network = VirtualNetworkFact(
        namespace="a", name="n", v4_subnet="a/n-v4", route_targets=("target:1:1",), labels={"x": "y"}
    )
    more = network.model_copy(update={"labels": {"x": "y", "back-reference": "z"}})
    assert covers(more, network)
    for change in ({"v4_subnet": ""}, {"v6_subnet": "a/n-v6"}, {"route_targets": ()}, {"labels": {}}):
        assert not covers(more.model_copy(update=change), network)
    subnet = SubnetFact(namespace="a", name="n-v4", cidr="192.0.2.0/24", ours=True)
    assert covers(subnet.model_copy(update={"default_gateway": "192.0.2.1"}), subnet)
    assert not covers(subnet.model_copy(update={"cidr": "192.0.2.0/25"}), subnet)
