"""The cluster in memory keeps the API server's rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerlb.core.cluster.facts import FINALIZER
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.api.refusals import ApiRefused
from ledgerlb.kube.kinds import WATCHED
from ledgerlb.kube.memory.cluster import MemoryCluster, merge
from ledgerlb.kube.source import Batch, ClusterSource
from tests.builders.objects import bare_service


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(clock: Clock) -> MemoryCluster:
    return MemoryCluster(clock)


KEY = ("Service", "a", "x")


def test_a_new_object_gets_what_the_server_sets(cluster):
    made = cluster.apply(bare_service("a/x"))
    meta = made["metadata"]
    assert meta["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert (meta["generation"], meta["resourceVersion"], len(meta["uid"])) == (1, "1", 36)
    assert cluster.get(*KEY) is made
    assert cluster.list("Service") == [made]


def test_uids_are_the_same_in_every_run_and_new_for_a_new_object(clock):
    def uids() -> list[str]:
        cluster = MemoryCluster(clock)
        first = cluster.apply(bare_service("a/x"))["metadata"]["uid"]
        cluster.delete(*KEY)
        return [
            first,
            cluster.apply(bare_service("a/x"))["metadata"]["uid"],
            cluster.apply(bare_service("a/y"))["metadata"]["uid"],
        ]

    assert uids() == uids()
    assert len(set(uids())) == 3


def test_applying_again_keeps_what_others_set(cluster, clock):
    first = cluster.apply(
        bare_service("a/x", metadata={"labels": {"mine": "1", "old": "1"}, "annotations": {"drop": "1"}})
    )
    cluster.patch_status(*KEY, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    cluster.patch_metadata(*KEY, {"finalizers": [FINALIZER], "annotations": {"theirs": "1"}})
    clock.now += timedelta(hours=1)
    again = cluster.apply(bare_service("a/x", metadata={"labels": {"mine": "2"}}, loadBalancerIP="192.0.2.9"))
    meta = again["metadata"]
    assert (meta["uid"], meta["creationTimestamp"]) == (first["metadata"]["uid"], "2026-01-01T00:00:00Z")
    assert meta["finalizers"] == [FINALIZER]
    assert (meta["labels"], meta["annotations"]) == ({"mine": "2"}, {"theirs": "1"})
    assert again["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.1"}]
    assert (again["spec"]["loadBalancerIP"], meta["generation"]) == ("192.0.2.9", 2)


def test_applying_the_same_is_no_change(cluster):
    first = cluster.apply(bare_service("a/x"))
    cluster.patch_status(*KEY, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    watching = cluster.subscribe()
    assert cluster.apply(bare_service("a/x"))["metadata"]["generation"] == 1
    assert watching.drain() == []
    assert first["spec"]["clusterIP"] == cluster.get(*KEY)["spec"]["clusterIP"]


def test_a_status_stated_by_the_manifest_counts_when_it_is_new(cluster):
    node = {
        "kind": "Node",
        "metadata": {"name": "n"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    }
    cluster.apply(node)
    moved = {**node, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.2"}]}}
    assert cluster.apply(moved)["status"] == moved["status"]
    cluster.patch_status("Node", "", "n", {"phase": "x"})
    assert cluster.apply(moved)["status"] == {**moved["status"], "phase": "x"}


def test_deletion_waits_for_the_finalizers(cluster, clock):
    cluster.apply(bare_service("a/x"))
    cluster.patch_metadata(*KEY, {"finalizers": [FINALIZER]})
    watching = cluster.subscribe()
    assert cluster.delete(*KEY) is True
    assert cluster.get(*KEY)["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    clock.now += timedelta(hours=1)
    cluster.delete(*KEY)
    assert cluster.get(*KEY)["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert watching.drain() == [(KEY, cluster.get(*KEY))]
    last = cluster.patch_metadata(*KEY, {"finalizers": []})
    assert "finalizers" not in last["metadata"]
    assert cluster.get(*KEY) is None
    assert watching.drain() == [(KEY, None)]
    assert cluster.delete(*KEY) is False


def test_status_and_finalizers_are_one_version(cluster):
    before = cluster.apply(bare_service("a/x"))
    after = cluster.patch_status(*KEY, {"a": 1}, finalizers=[FINALIZER])
    assert int(after["metadata"]["resourceVersion"]) == int(before["metadata"]["resourceVersion"]) + 1
    assert (after["metadata"]["finalizers"], after["status"]) == ([FINALIZER], {"a": 1})
    cluster.delete(*KEY)
    last = cluster.patch_status(*KEY, {"a": None}, finalizers=[])
    assert "finalizers" not in last["metadata"]
    assert cluster.get(*KEY) is None


def test_what_is_being_deleted_gets_no_new_finalizer(cluster):
    cluster.apply(bare_service("a/x", metadata={"finalizers": ["example.com/x"]}))
    cluster.delete(*KEY)
    before = cluster.get(*KEY)
    wanted = ["example.com/x", FINALIZER]
    for patch in (
        lambda: cluster.patch_status(*KEY, {"a": 1}, finalizers=wanted),
        lambda: cluster.patch_metadata(*KEY, {"finalizers": wanted}),
    ):
        with pytest.raises(ApiRefused, match="no new finalizers") as refused:
            patch()
        assert refused.value.status == 422
    with pytest.raises(BadInput, match=r"metadata.finalizers"):
        cluster.apply(bare_service("a/x", metadata={"finalizers": wanted}))
    assert cluster.get(*KEY) == before


def test_an_ingress_is_for_load_balancers(cluster):
    cluster.apply(bare_service("a/x", type="ClusterIP"))
    with pytest.raises(ApiRefused, match="LoadBalancer") as refused:
        cluster.patch_status(*KEY, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, finalizers=[FINALIZER])
    assert refused.value.status == 422
    assert "finalizers" not in cluster.get(*KEY)["metadata"]


def test_an_applied_list_of_finalizers_replaces_what_was_applied_before(cluster):
    cluster.apply(bare_service("a/x", metadata={"finalizers": ["example.com/x", "example.com/y"]}))
    cluster.patch_metadata(*KEY, {"finalizers": ["example.com/x", "example.com/y", FINALIZER]})
    cluster.apply(bare_service("a/x", metadata={"finalizers": ["example.com/y"]}))
    assert cluster.get(*KEY)["metadata"]["finalizers"] == [FINALIZER, "example.com/y"]
    cluster.apply(bare_service("a/x"))
    assert cluster.get(*KEY)["metadata"]["finalizers"] == [FINALIZER]
    cluster.delete(*KEY)
    assert cluster.get(*KEY) is not None


def test_an_apply_that_takes_the_last_finalizer_away_completes_a_deletion(cluster):
    cluster.apply(bare_service("a/x", metadata={"finalizers": ["example.com/x"]}))
    cluster.delete(*KEY)
    cluster.apply(bare_service("a/x"))
    assert cluster.get(*KEY) is None


def test_deletion_without_finalizers_is_at_once(cluster):
    cluster.apply(bare_service("a/x"))
    assert cluster.delete(*KEY) is True
    assert cluster.get(*KEY) is None


def test_patches_of_what_is_gone_or_has_changed_are_refused(cluster):
    with pytest.raises(ApiRefused) as missing:
        cluster.patch_status(*KEY, {})
    assert missing.value.status == 404
    version = cluster.apply(bare_service("a/x"))["metadata"]["resourceVersion"]
    cluster.patch_status(*KEY, {"a": 1}, version)
    with pytest.raises(ApiRefused) as conflict:
        cluster.patch_status(*KEY, {"a": 2}, version)
    assert conflict.value.status == 409
    with pytest.raises(ApiRefused) as exists:
        cluster.create(bare_service("a/x"))
    assert exists.value.status == 409


def test_what_a_caller_got_never_changes(cluster):
    before = cluster.apply(bare_service("a/x"))
    copy = repr(before)
    cluster.patch_status(*KEY, {"loadBalancer": {"ingress": []}})
    cluster.patch_metadata(*KEY, {"labels": {"a": "b"}})
    assert repr(before) == copy


def test_a_subscription_shows_the_latest_state_once(cluster):
    watching = cluster.subscribe()
    calls = []
    watching.on_change = lambda: calls.append(1)
    cluster.apply(bare_service("a/x"))
    cluster.apply(bare_service("a/y"))
    cluster.apply(bare_service("a/x", loadBalancerIP="192.0.2.1"))
    cluster.delete("Service", "a", "y")
    assert [(key[2], obj and obj["spec"]["loadBalancerIP"]) for key, obj in watching.drain()] == [
        ("x", "192.0.2.1"),
        ("y", None),
    ]
    assert calls == [1]
    watching.close()
    cluster.delete(*KEY)
    assert watching.drain() == []


@pytest.mark.parametrize(
    ("spec", "families", "policy", "addresses"),
    [
        ({}, ["IPv4"], "SingleStack", 1),
        ({"ipFamilies": ["IPv6"]}, ["IPv6"], "SingleStack", 1),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"], "PreferDualStack", 2),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"], "RequireDualStack", 2),
        ({"ipFamilies": ["IPv6", "IPv4"]}, ["IPv6", "IPv4"], "PreferDualStack", 2),
        ({"ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "SingleStack"}, ["IPv6"], "SingleStack", 1),
        ({"clusterIPs": ["fd00::7", "10.9.9.9"]}, ["IPv6", "IPv4"], "RequireDualStack", 2),
        ({"clusterIPs": ["10.9.9.9"], "ipFamilyPolicy": "PreferDualStack"}, ["IPv4"], "PreferDualStack", 1),
        ({"clusterIP": "fd00::7"}, ["IPv6"], "SingleStack", 1),
    ],
)
def test_families_are_filled_in(cluster, spec, families, policy, addresses):
    stored = cluster.apply(bare_service("a/x", **spec))["spec"]
    assert (stored["ipFamilies"], stored["ipFamilyPolicy"]) == (families, policy)
    assert len(stored["clusterIPs"]) == addresses
    assert stored["clusterIP"] == stored["clusterIPs"][0]
    assert [("IPv6" if ":" in address else "IPv4") for address in stored["clusterIPs"]] == families
    if "clusterIP" in spec:
        assert stored["clusterIP"] == spec["clusterIP"]


def test_the_second_family_comes_and_goes_and_the_first_stays(cluster):
    single = cluster.apply(bare_service("a/x", ipFamilies=["IPv6"]))["spec"]
    dual = cluster.apply(bare_service("a/x", ipFamilyPolicy="PreferDualStack"))["spec"]
    assert dual["ipFamilies"] == ["IPv6", "IPv4"]
    assert dual["clusterIPs"][0] == single["clusterIP"]
    back = cluster.apply(bare_service("a/x", ipFamilyPolicy="SingleStack"))["spec"]
    assert (back["ipFamilies"], back["clusterIPs"]) == (["IPv6"], [single["clusterIP"]])


def test_ports_get_their_defaults(cluster):
    assert cluster.apply(bare_service("a/x", ports=[{"port": 80}]))["spec"]["ports"] == [
        {"port": 80, "protocol": "TCP", "targetPort": 80}
    ]


@pytest.mark.parametrize(
    "spec", [{"type": "ExternalName", "externalName": "x.example"}, {"type": "ClusterIP", "clusterIP": "None"}]
)
def test_no_cluster_address_where_there_is_none(cluster, spec):
    cluster.apply(bare_service("a/x"))
    assert cluster.apply(bare_service("a/x", **spec))["spec"].get("clusterIP", "None") == "None"


def endpoints(*addresses: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "kind": "Endpoints",
        "metadata": {"name": "x", "namespace": "a", "labels": labels or {}},
        "subsets": [{"addresses": [{"ip": address} for address in addresses], "ports": [{"port": 8080}]}],
    }


def mirrored(cluster: MemoryCluster) -> list[tuple[str, list[str]]]:
    return [
        (entry["addressType"], [e["addresses"][0] for e in entry["endpoints"]])
        for entry in cluster.list("EndpointSlice")
    ]


@pytest.mark.parametrize("service_first", [True, False])
def test_manual_endpoints_are_mirrored_whichever_comes_first(cluster, service_first):
    for entry in [bare_service("a/x"), endpoints("172.16.23.0", "fd00::1")][:: 1 if service_first else -1]:
        cluster.apply(entry)
    assert mirrored(cluster) == [("IPv4", ["172.16.23.0"]), ("IPv6", ["fd00::1"])]
    cluster.apply(endpoints("172.16.24.0"))
    assert mirrored(cluster) == [("IPv4", ["172.16.24.0"])]
    cluster.delete("Endpoints", "a", "x")
    assert mirrored(cluster) == []


def test_endpoints_are_not_mirrored_for_a_service_with_a_selector_nor_against_their_label(cluster):
    cluster.apply(endpoints("172.16.23.0"))
    assert mirrored(cluster) == []
    cluster.apply(bare_service("a/x", selector={"app": "web"}))
    assert mirrored(cluster) == []
    cluster.apply(bare_service("a/x"))
    assert len(mirrored(cluster)) == 1
    cluster.apply(endpoints("172.16.23.0", labels={"endpointslice.kubernetes.io/skip-mirror": "true"}))
    assert mirrored(cluster) == []
    cluster.apply(endpoints("172.16.23.0"))
    cluster.delete(*KEY)
    assert mirrored(cluster) == []


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({}, "kind"),
        ({"kind": "Service"}, "metadata.name"),
        ({"kind": "Service", "metadata": {"name": "a/b"}}, "metadata.name"),
        ({"kind": "Service", "metadata": {"name": "a", "namespace": "b/c"}}, "metadata.namespace"),
        ({"kind": "Service", "metadata": {"name": "a", "labels": {"a": 1}}}, "metadata.labels[a]"),
        ({"kind": "Service", "metadata": {"name": "a"}, "spec": []}, "spec"),
        ({"kind": "Service", "metadata": {"name": "a"}, "status": 1}, "status"),
    ],
)
def test_broken_objects_are_refused_and_leave_nothing(cluster, broken, field):
    with pytest.raises(BadInput) as caught:
        cluster.apply(broken)
    assert caught.value.field == field
    assert cluster.kinds() == ()


def test_scope_and_default_namespace(cluster):
    cluster.apply({"kind": "Namespace", "metadata": {"name": "n", "namespace": "ignored"}})
    cluster.apply({"kind": "Subnet", "metadata": {"name": "s"}})
    assert cluster.get("Namespace", "", "n") is not None
    assert cluster.get("Subnet", "default", "s")["metadata"]["namespace"] == "default"


def test_ages_and_uids_may_be_stated(cluster):
    stated = {"uid": "mine", "creationTimestamp": "2020-01-01T00:00:00Z"}
    meta = cluster.apply(bare_service("a/x", metadata=stated))["metadata"]
    assert {key: meta[key] for key in stated} == stated


def test_merge_is_a_json_merge_patch():
    assert merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None}, "d": [2], "e": {"f": None}}) == {
        "a": {"c": 2},
        "d": [2],
        "e": {},
    }


def test_a_source_says_everything_once_and_then_changes(cluster):
    cluster.apply(bare_service("a/x"))
    source = ClusterSource(cluster)
    batches: list[Batch] = []
    source.pump(batches.append)
    assert len(batches) == len(WATCHED)
    assert all(batch.listed is not None and batch.listed.present for batch in batches)
    batches.clear()
    assert source.pump(batches.append) == 0
    cluster.apply(bare_service("a/y"))
    cluster.delete(*KEY)
    source.pump(batches.append)
    [batch] = batches
    assert [entry.name for entry in batch.upserts] == ["y"]
    assert batch.gone == (("a", "x"),)


def test_an_object_that_stops_concerning_us_is_gone(cluster):
    slice_ = {
        "kind": "EndpointSlice",
        "metadata": {"name": "s", "namespace": "a", "labels": {"kubernetes.io/service-name": "x"}},
    }
    cluster.apply(slice_)
    source = ClusterSource(cluster)
    source.pump(lambda _batch: None)
    cluster.apply({**slice_, "metadata": {**slice_["metadata"], "labels": {}}})
    batches: list[Batch] = []
    source.pump(batches.append)
    assert batches[0].gone == (("a", "s"),)
