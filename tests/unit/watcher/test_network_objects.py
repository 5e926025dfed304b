"""A NAD's VirtualNetwork and Subnets are made, made again, changed with it and removed before its finalizer."""

from __future__ import annotations

from typing import Any

import pytest

from ledgerlb.core.errors import ClusterRefused
from tests.unit.watcher.objects_rig import ObjectsRig

FOUR = '{"ipamV4Subnet": "192.0.2.0/24"}'
DUAL = '{"ipamV4Subnet": "192.0.2.0/24", "ipamV6Subnet": "2001:db8::/64"}'
FINALIZER = "ledgerlb.io/virtual-network"
STATUS = "juniper.net/networks-status"
CN2_FINALIZER = "virtual-network.finalizers.kube-manager.juniper.net"


@pytest.fixture
def rig() -> ObjectsRig:
    return ObjectsRig()


def metadata(rig: ObjectsRig) -> dict[str, Any]:
    found = rig.cluster.get("NetworkAttachmentDefinition", "a", "net")
    assert found is not None
    return found["metadata"]


def status(rig: ObjectsRig) -> str:
    return metadata(rig).get("annotations", {}).get(STATUS, "")


def standing(rig: ObjectsRig) -> list[str]:
    return rig.names("VirtualNetwork") + rig.names("Subnet")


async def test_a_nad_gets_finalizer_subnets_network_and_status_in_this_order(rig):
    rig.nad(DUAL, labels={"team": "x"})
    await rig.turn()
    assert rig.wrote() == [
        "apply-metadata NetworkAttachmentDefinition net",
        "create Subnet net-v4",
        "create Subnet net-v6",
        "create VirtualNetwork net",
        "apply-metadata NetworkAttachmentDefinition net",
    ]
    assert metadata(rig)["finalizers"] == [FINALIZER]
    assert status(rig) == "success creating VirtualNetwork net v4Subnet: 192.0.2.0/24 v6Subnet: 2001:db8::/64"
    network = rig.cluster.get("VirtualNetwork", "a", "net")
    assert network["metadata"]["labels"] == {"team": "x", "app.kubernetes.io/managed-by": "ledgerlb"}
    assert network["spec"]["v6SubnetReference"]["name"] == "net-v6"
    await rig.turn()
    assert rig.wrote() == []
    assert rig.events() == []


async def test_a_network_or_subnet_that_somebody_deletes_is_made_again(rig):
    rig.nad(DUAL)
    await rig.turn()
    rig.wrote()
    rig.cluster.delete("VirtualNetwork", "a", "net")
    await rig.turn()
    assert rig.wrote() == ["create VirtualNetwork net"]
    rig.cluster.delete("Subnet", "a", "net-v6")
    await rig.turn()
    assert rig.wrote() == ["create Subnet net-v6"]
    assert rig.events() == [("net", "ForeignChangeReverted")] * 2


async def test_a_foreign_change_is_reverted_and_what_a_server_adds_stays(rig):
    rig.nad(FOUR, labels={"team": "x"})
    await rig.turn()
    rig.wrote()
    rig.foreign_edit("Subnet", "net-v4", "a", spec={"cidr": "198.51.100.0/24"})
    await rig.turn()
    assert rig.spec("Subnet", "net-v4", "a") == {"cidr": "192.0.2.0/24"}
    rig.foreign_edit("VirtualNetwork", "net", "a", metadata={"labels": {"team": None}})
    rig.foreign_edit("Subnet", "net-v4", "a", spec={"defaultGateway": "192.0.2.1"})
    await rig.turn()
    assert rig.cluster.get("VirtualNetwork", "a", "net")["metadata"]["labels"]["team"] == "x"
    assert rig.wrote() == ["patch Subnet net-v4", "patch VirtualNetwork net"]
    assert rig.spec("Subnet", "net-v4", "a")["defaultGateway"] == "192.0.2.1"
    rig.foreign_edit("VirtualNetwork", "net", "a", spec={"routeTargetList": ["target:6:6"]})
    await rig.turn()
    assert "routeTargetList" not in rig.spec("VirtualNetwork", "net", "a")


async def test_objects_follow_an_edited_nad(rig):
    rig.nad(DUAL[:-1] + ', "routeTargetList": ["target:1:1"]}', labels={"team": "x", "tier": "y"})
    await rig.turn()
    assert rig.spec("VirtualNetwork", "net", "a")["routeTargetList"] == ["target:1:1"]
    rig.nad('{"ipamV4Subnet": "192.0.2.0/25"}', labels={"tier": "z"})
    await rig.turn()
    network = rig.cluster.get("VirtualNetwork", "a", "net")
    assert network["metadata"]["labels"] == {"tier": "z", "app.kubernetes.io/managed-by": "ledgerlb"}
    assert set(network["spec"]) == {"v4SubnetReference"}
    assert rig.names("Subnet") == ["net-v4"]
    assert rig.spec("Subnet", "net-v4", "a") == {"cidr": "192.0.2.0/25"}
    assert status(rig) == "success creating VirtualNetwork net v4Subnet: 192.0.2.0/25"
    assert rig.events() == []


async def test_the_nad_takes_them_with_it_and_the_finalizer_goes_last(rig):
    rig.nad(DUAL)
    await rig.turn()
    rig.wrote()
    rig.cluster.delete("NetworkAttachmentDefinition", "a", "net")
    await rig.turn()
    wrote = rig.wrote()
    assert wrote[0] == "delete VirtualNetwork net"
    assert sorted(wrote[1:3]) == ["delete Subnet net-v4", "delete Subnet net-v6"]
    assert wrote[3:] == ["apply-metadata NetworkAttachmentDefinition net"]
    assert standing(rig) == rig.names("NetworkAttachmentDefinition") == []


async def test_the_finalizer_waits_for_finalizers_of_others_on_the_network(rig):
    rig.nad(FOUR)
    await rig.turn()
    held = rig.cluster.get("VirtualNetwork", "a", "net")
    rig.cluster._store(
        ("VirtualNetwork", "a", "net"), {**held, "metadata": {**held["metadata"], "finalizers": ["example.com/x"]}}
    )
    rig.cluster.delete("NetworkAttachmentDefinition", "a", "net")
    await rig.turn()
    assert standing(rig) == ["net", "net-v4"]
    assert metadata(rig)["finalizers"] == [FINALIZER]
    rig.cluster.patch_metadata("VirtualNetwork", "a", "net", {"finalizers": []})
    await rig.turn()
    assert standing(rig) == rig.names("NetworkAttachmentDefinition") == []


async def test_what_a_crash_left_without_its_nad_is_removed(rig):
    rig.nad(FOUR)
    await rig.turn()
    rig.cluster.patch_metadata("NetworkAttachmentDefinition", "a", "net", {"finalizers": []})
    rig.cluster.delete("NetworkAttachmentDefinition", "a", "net")
    rig.restart_objects()
    await rig.turn()
    assert standing(rig) == []


async def test_a_broken_nad_makes_nothing_and_says_why_until_it_is_mended(rig):
    rig.nad("{")
    await rig.turn()
    assert standing(rig) == []
    assert status(rig).startswith("failed: NetworkAttachmentDefinition a/net, annotation juniper.net/networks")
    assert "finalizers" not in metadata(rig)
    rig.nad(FOUR)
    await rig.turn()
    assert standing(rig) == ["net", "net-v4"]
    assert status(rig).startswith("success")


async def test_a_nad_that_breaks_keeps_what_it_had(rig):
    rig.nad(FOUR)
    await rig.turn()
    rig.nad("{")
    await rig.turn()
    assert standing(rig) == ["net", "net-v4"]
    assert status(rig).startswith("failed")
    assert metadata(rig)["finalizers"] == [FINALIZER]
    rig.cluster.delete("NetworkAttachmentDefinition", "a", "net")
    await rig.turn()
    assert standing(rig) == rig.names("NetworkAttachmentDefinition") == []


async def test_where_cn2_keeps_the_nad_everything_is_cn2s(rig):
    rig.nad(FOUR, finalizers=[CN2_FINALIZER])
    rig.nad(FOUR, name="other")
    notes = {"juniper.net/nad-name": "other", "juniper.net/nad-namespace": "a"}
    rig.apply("VirtualNetwork", "other", "a", metadata={"annotations": notes}, spec={})
    await rig.turn()
    assert rig.wrote() == []
    rig.cluster.delete("NetworkAttachmentDefinition", "a", "other")
    await rig.turn()
    assert rig.names("VirtualNetwork") == ["other"]


async def test_a_network_that_somebody_made_by_hand_is_not_taken_over(rig):
    rig.apply("VirtualNetwork", "net", "a", spec={"x": 1})
    rig.nad(FOUR)
    await rig.turn()
    assert rig.spec("VirtualNetwork", "net", "a") == {"x": 1}
    assert rig.names("Subnet") == []
    assert status(rig) == "failed: VirtualNetwork a/net exists already and is not LedgerLB's; remove it"
    rig.cluster.delete("VirtualNetwork", "a", "net")
    await rig.turn()
    assert standing(rig) == ["net", "net-v4"]


async def test_a_subnet_that_somebody_made_by_hand_is_used_as_it_is(rig):
    theirs = {"cidr": "192.0.2.0/24", "defaultGateway": "192.0.2.254"}
    rig.apply("Subnet", "net-v4", "a", spec=theirs)
    rig.nad(FOUR)
    await rig.turn()
    assert rig.spec("Subnet", "net-v4", "a") == theirs
    assert rig.spec("VirtualNetwork", "net", "a")["v4SubnetReference"]["name"] == "net-v4"
    rig.cluster.delete("NetworkAttachmentDefinition", "a", "net")
    await rig.turn()
    assert standing(rig) == ["net-v4"]


async def test_nads_of_other_plugins_are_nobodys_business(rig):
    rig.apply(
        "NetworkAttachmentDefinition", "net", "a", api_version="k8s.cni.cncf.io/v1",
        spec={"config": '{"type": "macvlan"}'},
    )  # fmt: skip
    await rig.turn()
    assert rig.wrote() == []


async def test_the_finalizers_and_annotations_of_others_stay(rig):
    rig.nad(FOUR, finalizers=["example.com/x"], annotations={"example.com/note": "n"})
    await rig.turn()
    assert metadata(rig)["finalizers"] == ["example.com/x", FINALIZER]
    assert metadata(rig)["annotations"]["example.com/note"] == "n"
    rig.cluster.delete("NetworkAttachmentDefinition", "a", "net")
    await rig.turn()
    assert metadata(rig)["finalizers"] == ["example.com/x"]


@pytest.mark.parametrize("count", range(5))
async def test_a_crash_between_two_writes_changes_nothing_in_the_end(count):
    rig = ObjectsRig()
    rig.objects.before = rig.dies_after(count)
    rig.nad(DUAL)
    await rig.turn()
    assert len(rig.wrote()) == count
    rig.objects.before = lambda _write: None
    rig.restart_objects()
    await rig.turn()
    assert standing(rig) == ["net", "net-v4", "net-v6"]
    assert status(rig).startswith("success")


async def test_a_refused_network_leaves_the_status_silent_and_is_tried_again(rig):
    rig.objects.before = lambda write: _refuse() if (write.verb, write.kind) == ("create", "VirtualNetwork") else None
    rig.nad(FOUR)
    await rig.turn()
    assert status(rig) == ""
    assert ("net", "ObjectRefused") in rig.events()
    rig.objects.before = lambda _write: None
    rig.pass_time(61)
    await rig.turn()
    assert status(rig).startswith("success")


async def _refuse() -> None:
    raise ClusterRefused("forbidden")


async def test_turned_off_nothing_is_made_and_what_was_made_still_goes_with_its_nad(rig):
    rig.nad(FOUR)
    await rig.turn()
    rig.enabled = False
    rig.restart_objects()
    rig.wrote()
    rig.nad(FOUR, name="new")
    await rig.turn()
    assert rig.wrote() == []
    rig.cluster.delete("NetworkAttachmentDefinition", "a", "net")
    await rig.turn()
    assert standing(rig) == []
    assert rig.names("NetworkAttachmentDefinition") == ["new"]
