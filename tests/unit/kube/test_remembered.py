"""A cluster in memory that gets back, from the facts of the log, what LedgerLB wrote in an earlier life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledgerlb.core.cluster.facts import FINALIZER
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.normalise.dispatch import fact_of
from tests.builders.objects import bare_service, nad, pod, subnet, vn

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
OURS = {"app.kubernetes.io/managed-by": "ledgerlb"}
STATUS = {
    "loadBalancer": {"ingress": [{"ip": "192.0.2.7", "ipMode": "VIP"}]},
    "conditions": [
        {
            "type": "ledgerlb.io/NetworkSelected", "status": "True", "reason": "NetworkSelected", "message": "m",
            "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:05Z",
        }
    ],
}  # fmt: skip


def lived() -> MemoryCluster:
    """A cluster in which LedgerLB has served a Service and a network."""
    cluster = MemoryCluster(lambda: BEGIN)
    cluster.apply(bare_service("a/first", ipFamilyPolicy="PreferDualStack"))
    cluster.apply(bare_service("a/web", ports=[{"port": 80}]))
    cluster.apply(bare_service("a/web", ports=[{"port": 81}]))
    cluster.patch_status("Service", "a", "web", STATUS, finalizers=[FINALIZER, "example.com/x"])
    cluster.apply(nad("net/ext"))
    network = {"finalizers": ["ledgerlb.io/virtual-network"], "annotations": {"juniper.net/networks-status": "success"}}
    cluster.patch_metadata("NetworkAttachmentDefinition", "net", "ext", network)
    made = vn("net/ext", "net/ext-v4", labels=OURS, routeTargetList=["64512:1"], version="v1alpha1")
    cluster.create(made)
    plan = subnet("net/ext-v4", "192.0.2.0/24", gateway="192.0.2.1", ranges=[("192.0.2.9", "192.0.2.20")])
    cluster.create({**plan, "metadata": {**plan["metadata"], "labels": OURS}})
    cluster.create(
        {"kind": "InstanceIP", "metadata": {"name": "i", "labels": OURS}, "spec": {"instanceIPAddress": "192.0.2.7"}}
    )
    cluster.apply(pod("a/p", "10.1.0.1"))
    return cluster


def facts(cluster: MemoryCluster) -> dict:
    found = [fact_of(obj) for kind in cluster.kinds() for obj in cluster.list(kind)]
    return {(fact.kind, fact.full_name): fact for fact in found if fact is not None}


def reborn(before: MemoryCluster, *manifests: dict) -> MemoryCluster:
    cluster = MemoryCluster(lambda: BEGIN + timedelta(hours=1))
    cluster.remember(facts(before).values())
    for obj in manifests:
        cluster.apply(obj)
    return cluster


MANIFESTS = (
    nad("net/ext"),
    pod("a/p", "10.1.0.1"),
    bare_service("a/web", ports=[{"port": 81}]),
    bare_service("a/first", ipFamilyPolicy="PreferDualStack"),
)


def test_the_same_manifests_give_the_same_facts_in_any_order():
    before = lived()
    assert facts(reborn(before, *MANIFESTS)) == facts(before)
    assert facts(reborn(before, *reversed(MANIFESTS))) == facts(before)


def test_what_no_manifest_names_any_more_is_gone_and_what_we_made_is_there():
    found = facts(reborn(lived()))
    assert {kind for kind, _ in found} == {"VirtualNetwork", "Subnet", "InstanceIP"}


def test_a_service_that_is_no_load_balancer_any_more_shows_no_address_but_keeps_the_finalizer():
    cluster = reborn(lived(), bare_service("a/web", type="ClusterIP"))
    fact = facts(cluster)["Service", "a/web"]
    assert (fact.ingress, fact.has_finalizer) == ((), True)


def test_a_status_or_an_age_in_the_manifest_counts():
    stated = {**bare_service("a/web"), "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}}
    stated["metadata"] = {**stated["metadata"], "creationTimestamp": "2020-01-01T00:00:00Z"}
    fact = facts(reborn(lived(), stated))["Service", "a/web"]
    assert (fact.ingress, fact.created) == (("198.51.100.1",), "2020-01-01T00:00:00Z")


@pytest.mark.parametrize("births", [1, 3])
def test_an_object_that_is_made_again_gets_a_uid_that_it_never_had(births):
    before = MemoryCluster(lambda: BEGIN)
    uids = set()
    for _ in range(births):
        before.delete("Service", "a", "web")
        uids.add(before.apply(bare_service("a/web"))["metadata"]["uid"])
    cluster = reborn(before, bare_service("a/web"))
    assert cluster.get("Service", "a", "web")["metadata"]["uid"] in uids
    cluster.delete("Service", "a", "web")
    assert cluster.apply(bare_service("a/web"))["metadata"]["uid"] not in uids
    assert len(uids) == births


def test_an_object_that_was_being_deleted_is_not_remembered():
    before = lived()
    before.delete("Service", "a", "web")
    fact = facts(reborn(before, bare_service("a/web")))["Service", "a/web"]
    assert (fact.ingress, fact.has_finalizer) == ((), False)


def test_a_new_service_gets_no_cluster_address_of_an_earlier_one():
    cluster = reborn(lived(), bare_service("a/aaa", ipFamilyPolicy="PreferDualStack"), *MANIFESTS)
    given = [address for obj in cluster.list("Service") for address in obj["spec"]["clusterIPs"]]
    assert len(given) == len(set(given))
