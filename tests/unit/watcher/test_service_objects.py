"""InstanceIPs and FloatingIPs are made, kept in step, defended and removed; nobody else's are touched."""

from __future__ import annotations

import asyncio

import pytest

from ledgerlb.core.errors import ClusterRefused, ClusterUnavailable
from ledgerlb.core.ledger.events import HolderLeft
from ledgerlb.kube.source import Batch, Listed
from tests.unit.watcher.objects_rig import OURS, ObjectsRig

EXTERNAL = "ledgerlb.contrail.ext.192-0-2-1"
CLUSTER = "ledgerlb.contrail.default-servicenetwork.10-96-0-10"
FLOAT = "ledgerlb.a.web.contrail.ext.192-0-2-1"
CLUSTER_FLOAT = "ledgerlb.a.web.contrail.default-servicenetwork.10-96-0-10"


@pytest.fixture
def rig() -> ObjectsRig:
    return ObjectsRig()


async def serve(rig: ObjectsRig, name: str = "web", address: str = "192.0.2.1", *, sharing_key: str = "") -> None:
    rig.service(name)
    await rig.turn(1)
    await rig.select(name)
    await rig.allocate(address, name, sharing_key=sharing_key)
    await rig.turn()


def references(rig: ObjectsRig, name: str = FLOAT) -> list[str]:
    return [entry["name"] for entry in rig.spec("FloatingIP", name)["virtualMachineInterfaceReferences"]]


async def test_an_address_brings_two_pairs_parents_first_each_written_once(rig):
    await serve(rig)
    assert rig.wrote() == [
        f"create InstanceIP {EXTERNAL}",
        f"create InstanceIP {CLUSTER}",
        f"create FloatingIP {FLOAT}",
        f"create FloatingIP {CLUSTER_FLOAT}",
    ]
    assert rig.spec("FloatingIP", FLOAT)["floatingIPPortMappings"] == {
        "portMappings": [{"protocol": "TCP", "srcPort": 80, "dstPort": 80}]
    }
    await rig.turn()
    assert rig.wrote() == []
    assert rig.events() == []


async def test_nothing_is_made_before_an_address_is_held(rig):
    rig.service()
    await rig.turn()
    assert rig.wrote() == []


async def test_floating_ips_follow_endpoints_interfaces_and_ports(rig):
    await serve(rig)
    rig.wrote()
    rig.endpoints("p", "q")
    rig.interface("p")
    await rig.turn()
    assert references(rig) == references(rig, CLUSTER_FLOAT) == ["p-eth0"]
    rig.interface("q")
    await rig.turn()
    assert references(rig) == ["p-eth0", "q-eth0"]
    rig.endpoints("q")
    await rig.turn()
    assert references(rig) == ["q-eth0"]
    rig.wrote()
    rig.service(ports=[{"port": 81, "targetPort": 80}])
    await rig.turn()
    assert rig.spec("FloatingIP", FLOAT)["floatingIPPortMappings"]["portMappings"][0]["srcPort"] == 81
    assert sorted(rig.wrote()) == [f"patch FloatingIP {CLUSTER_FLOAT}", f"patch FloatingIP {FLOAT}"]
    assert rig.events() == [], "what we change ourselves is no foreign change"


async def test_an_interface_of_nobody_behind_a_service_causes_no_work(rig):
    await serve(rig)
    rig.wrote()
    rig.interface("stranger")
    await rig.turn()
    assert rig.wrote() == []


async def test_a_foreign_change_is_reverted_and_told(rig):
    await serve(rig)
    rig.wrote()
    rig.foreign_edit("FloatingIP", FLOAT, spec={"floatingIPAddress": "203.0.113.1"})
    await rig.turn()
    assert rig.spec("FloatingIP", FLOAT)["floatingIPAddress"] == "192.0.2.1"
    assert rig.wrote() == [f"patch FloatingIP {FLOAT}"]
    assert rig.events() == [("web", "ForeignChangeReverted")]


async def test_a_field_that_is_not_ours_may_be_anything(rig):
    await serve(rig)
    rig.wrote()
    rig.foreign_edit("FloatingIP", FLOAT, spec={"fqName": [FLOAT]}, metadata={"labels": {"x": "y"}})
    await rig.turn()
    assert rig.wrote() == []
    assert rig.spec("FloatingIP", FLOAT)["fqName"] == [FLOAT]


async def test_what_somebody_deletes_is_made_again_and_told(rig):
    await serve(rig)
    rig.wrote()
    rig.cluster.delete("InstanceIP", "", EXTERNAL)
    await rig.turn()
    assert rig.wrote() == [f"create InstanceIP {EXTERNAL}"]
    assert rig.events() == [("web", "ForeignChangeReverted")]


async def test_whoever_fights_waits_longer_and_loses_in_the_end(rig):
    await serve(rig)
    for turn in range(4):
        rig.foreign_edit("FloatingIP", FLOAT, spec={"floatingIPAddress": f"203.0.113.{turn}"})
        await rig.turn()
    assert rig.spec("FloatingIP", FLOAT)["floatingIPAddress"] == "203.0.113.3", "the fourth waits"
    rig.pass_time(5)
    await rig.turn()
    assert rig.spec("FloatingIP", FLOAT)["floatingIPAddress"] == "192.0.2.1"


async def test_they_are_gone_before_the_finalizer_is(rig):
    await serve(rig)
    rig.cluster.delete("Service", "a", "web")
    await rig.withdraw()
    await rig.releasing("192.0.2.1")
    await rig.released("192.0.2.1")
    await rig.observe()
    await rig.fold()
    assert await rig.publisher.idle(5.0)
    assert rig.has_finalizer(), "objects stand"
    rig.wrote()
    await rig.fold_objects()
    assert rig.names("FloatingIP") == rig.names("InstanceIP") == []
    kinds = [line.split()[1] for line in rig.wrote()]
    assert kinds == ["FloatingIP"] * 2 + ["InstanceIP"] * 2, "children first"
    await rig.turn()
    assert rig.cluster.get("Service", "a", "web") is None


async def test_an_address_that_is_released_loses_its_objects_and_the_service_stays(rig):
    await serve(rig)
    await rig.withdraw()
    await rig.releasing("192.0.2.1")
    await rig.turn()
    assert rig.names("FloatingIP") == rig.names("InstanceIP") == []


async def test_a_move_adds_the_new_pair_and_then_removes_the_old_one(rig):
    await serve(rig)
    await rig.allocate("198.51.100.1", network="contrail/two")
    await rig.turn()
    assert len(rig.names("FloatingIP")) == 3
    await rig.releasing("192.0.2.1")
    await rig.turn()
    assert rig.names("FloatingIP") == [CLUSTER_FLOAT, "ledgerlb.a.web.contrail.two.198-51-100-1"]


async def test_sharers_share_the_instance_ip_until_the_last_one_goes(rig):
    await serve(rig, "web", sharing_key="k")
    await serve(rig, "other", sharing_key="k")

    def owners() -> str:
        found = rig.cluster.get("InstanceIP", "", EXTERNAL)
        return found["metadata"]["annotations"]["ledgerlb.io/service"] if found else ""

    assert owners() == "a/other,a/web"
    assert len(rig.names("InstanceIP")) == 3
    assert len(rig.names("FloatingIP")) == 4
    await rig.enter(HolderLeft("192.0.2.1", "a/web"))
    await rig.turn()
    assert owners() == "a/other"
    assert rig.names("FloatingIP") == [name for name in rig.names("FloatingIP") if ".other." in name]
    await rig.releasing("192.0.2.1", "other")
    await rig.turn()
    assert rig.names("InstanceIP") == rig.names("FloatingIP") == []


async def test_what_a_crash_left_behind_is_found_by_its_label(rig):
    metadata = {"labels": OURS, "annotations": {"ledgerlb.io/service": "a/gone"}}
    rig.apply("InstanceIP", "left-behind", metadata=metadata, spec={})
    rig.apply("FloatingIP", "left-behind", metadata=metadata, spec={})
    await rig.turn()
    assert rig.names("InstanceIP") == rig.names("FloatingIP") == []


async def test_a_crash_between_two_writes_changes_nothing_in_the_end(rig):
    for count in range(4):
        crashed = ObjectsRig()
        crashed.objects.before = crashed.dies_after(count)
        await serve(crashed)
        assert len(crashed.wrote()) == count
        crashed.objects.before = lambda _write: None
        crashed.restart_objects()
        await crashed.turn()
        assert crashed.names("InstanceIP") == sorted([CLUSTER, EXTERNAL])
        assert crashed.names("FloatingIP") == sorted([CLUSTER_FLOAT, FLOAT])
        assert ("web", "ForeignChangeReverted") not in crashed.events(), "what was ours is no foreign change"


async def test_somebody_elses_objects_are_never_touched(rig):
    rig.apply("InstanceIP", EXTERNAL, spec={"instanceIPAddress": "203.0.113.9"})
    rig.apply("FloatingIP", "theirs", metadata={"annotations": {"ledgerlb.io/service": "a/web"}}, spec={"x": 1})
    await serve(rig)
    rig.pass_time(5)
    await rig.turn()
    assert rig.spec("InstanceIP", EXTERNAL) == {"instanceIPAddress": "203.0.113.9"}
    assert rig.spec("FloatingIP", "theirs") == {"x": 1}
    assert ("web", "ObjectNotOurs") in rig.events()
    assert FLOAT in rig.names("FloatingIP"), "the others are made all the same"
    rig.cluster.delete("InstanceIP", "", EXTERNAL)
    await rig.turn()
    rig.pass_time(61)
    await rig.turn()
    assert rig.spec("InstanceIP", EXTERNAL)["instanceIPAddress"] == "192.0.2.1"


async def test_the_objects_of_another_instances_services_are_left_alone(rig):
    rig.service(loadBalancerClass="example.com/other")
    metadata = {"labels": OURS, "annotations": {"ledgerlb.io/service": "a/web"}}
    rig.apply("InstanceIP", "of-another-class", metadata=metadata, spec={})
    await rig.turn()
    assert rig.names("InstanceIP") == ["of-another-class"]


async def test_a_refusal_is_told_once_and_tried_again_later(rig):
    rig.objects.errors = [ClusterRefused("forbidden") for _ in range(4)]
    await serve(rig)
    assert rig.events() == [("web", "ObjectRefused")], "the same words once"
    assert rig.wrote() == []
    await rig.turn()
    assert rig.wrote() == [], "not before its time"
    rig.pass_time(61)
    await rig.turn()
    assert len(rig.wrote()) == 4


async def test_an_api_server_that_is_away_is_tried_until_it_is_back(rig):
    rig.objects.errors = [ClusterUnavailable("away") for _ in range(3)]
    await serve(rig)
    assert len(rig.wrote()) == 4


async def test_a_server_that_keeps_less_than_was_said_is_not_written_to_again(rig):
    await serve(rig)
    pruned = rig.cluster.patch

    def prune(kind, namespace, name, body):
        after = pruned(kind, namespace, name, body)
        spec = {**after["spec"], "parent": {k: v for k, v in after["spec"]["parent"].items() if k != "fqName"}}
        return rig.cluster._store((kind, namespace, name), {**after, "spec": spec})

    rig.cluster.patch = prune
    rig.wrote()
    rig.endpoints("p")
    rig.interface("p")
    await rig.turn()
    await rig.turn()
    assert sorted(rig.wrote()) == [f"patch FloatingIP {CLUSTER_FLOAT}", f"patch FloatingIP {FLOAT}"]


async def test_turned_off_none_are_made_and_those_of_before_are_removed(rig):
    await serve(rig)
    rig.enabled = False
    rig.restart_objects()
    await rig.turn()
    assert rig.names("FloatingIP") == rig.names("InstanceIP") == []
    assert rig.ingress() == ["192.0.2.1"]


async def test_where_the_kinds_are_not_served_nothing_is_written(rig):
    for kind in ("InstanceIP", "FloatingIP"):
        rig.observer.take(Batch(kind, listed=Listed(frozenset(), present=False)))
    observe = rig.source.pump
    rig.source.pump = lambda sink: observe(
        lambda batch: sink(batch) if batch.kind not in {"InstanceIP", "FloatingIP"} else None
    )
    await serve(rig)
    assert rig.wrote() == []
    assert rig.ingress() == ["192.0.2.1"]
    for kind in ("InstanceIP", "FloatingIP"):
        rig.observer.take(Batch(kind, listed=Listed(frozenset(), version="v3")))
    await rig.turn()
    assert len(rig.wrote()) == 4, "from when they are served"
    assert rig.cluster.get("InstanceIP", "", EXTERNAL)["apiVersion"] == "core.contrail.juniper.net/v3"
    assert rig.spec("FloatingIP", FLOAT)["parent"]["apiVersion"] == "core.contrail.juniper.net/v3"


async def test_the_latest_state_wins_over_facts_that_were_on_their_way(rig):
    """Endpoints change again while the fact of the first patch has not come yet."""
    await serve(rig)
    rig.interface("p")
    rig.interface("q")
    rig.endpoints("p")
    await rig.observe()
    await rig.fold_objects()
    rig.endpoints("p", "q")
    await asyncio.sleep(0)
    await rig.turn()
    assert references(rig) == ["p-eth0", "q-eth0"]
    assert rig.events() == []


async def test_pods_with_different_target_ports_are_told_of(rig):
    rig.endpoints("p")
    rig.apply(
        "EndpointSlice", "web-2", "a", api_version="discovery.k8s.io/v1", addressType="IPv4",
        metadata={"labels": {"kubernetes.io/service-name": "web"}}, ports=[{"port": 81, "protocol": "TCP"}],
        endpoints=[{"addresses": ["10.0.0.9"], "targetRef": {"kind": "Pod", "name": "z", "namespace": "a"}}],
    )  # fmt: skip
    await serve(rig)
    assert rig.events() == [("web", "TargetPortsDiffer")]
