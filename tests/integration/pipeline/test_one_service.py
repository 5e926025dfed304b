"""The way of one Service through the whole pipeline: real broker, real API server, every service a process of its own."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledgerlb.core.cluster.facts import ServiceFact, decode_fact
from ledgerlb.core.ledger.events import AddressAllocated, AddressReleased, AddressReleasing, NetworkDefined
from ledgerlb.core.paths.pathset import Report
from ledgerlb.eventlog.topics import FACTS
from tests.support import scene
from tests.support.containers import KubeApiServer
from tests.support.kube_objects import FINALIZER, Cluster, Object, addresses_of, condition_of
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ADDRESS = scene.nth_address(0)
WRITES = ("publish", "status", "release", "refused")


def test_a_service_gets_its_address_and_gives_it_back(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
        scene.set_up(cluster)
        cluster.create_all(scene.shop_service("web"))

        published(cluster)
        explained_on_the_object(cluster)
        decided_in_the_ledger(kafka)
        forwarded(kafka)

        cluster.delete("Service", scene.SHOP, "web")
        eventually(lambda: cluster.get("Service", scene.SHOP, "web") is None, "the Service is gone")
        given_back(kafka)
        assert kafka.dead_letters() == []
        assert pipeline.pids()
    report = kafka.verify()
    assert report["clean"], report


def test_a_service_costs_one_write_to_serve_and_one_to_let_go(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    # A Service whose CN2 objects are not gone yet loses its address in a write of its own, before the finalizer.
    watcher = {"LEDGERLB_CN2_OBJECTS": "off"}
    with Pipeline(
        tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path, environment={"watcher": watcher}
    ) as pipeline:
        scene.set_up(cluster)
        scene.serve_one(cluster, "before")  # Until the network is known, a Service shows that it waits.
        before = writes(pipeline)
        scene.serve_one(cluster, "web")
        assert writes(pipeline) - before == Counter(publish=1)
        cluster.delete("Service", scene.SHOP, "web")
        eventually(lambda: cluster.get("Service", scene.SHOP, "web") is None, "the Service is gone")
        assert writes(pipeline) - before == Counter(publish=1, release=1)


def writes(pipeline: Pipeline) -> Counter[str]:
    """What the watcher wrote to Services so far."""
    metric = pipeline["watcher"].metric
    return Counter({what: int(metric("ledgerlb_cluster_writes_total", what=what)) for what in WRITES})


def published(cluster: Cluster) -> None:
    def shown() -> Object:
        found = cluster.get("Service", scene.SHOP, "web")
        assert found is not None
        assert addresses_of(found), found.get("status")
        return found

    found = eventually(shown, "the Service publishes an address")
    assert found["status"]["loadBalancer"]["ingress"] == [{"ip": ADDRESS, "ipMode": "VIP"}]
    assert FINALIZER in found["metadata"]["finalizers"]


def explained_on_the_object(cluster: Cluster) -> None:
    found = cluster.get("Service", scene.SHOP, "web") or {}
    selected = condition_of(found, "ledgerlb.io/NetworkSelected")
    assert (selected.get("status"), selected.get("reason")) == ("True", "NetworkSelected"), found["status"]
    assert scene.NETWORK in selected["message"]
    assert "default-selector" in selected["message"]
    allocated = condition_of(found, "ledgerlb.io/AddressAllocated")
    assert (allocated.get("status"), allocated.get("reason")) == ("True", "AddressAllocated"), found["status"]
    assert ADDRESS in allocated["message"]

    def said() -> bool:
        events = {event["reason"]: event for event in cluster.events_about(scene.SHOP, "web")}
        assert {"NetworkSelected", "AddressAllocated"} <= events.keys(), sorted(events)
        assert ADDRESS in events["AddressAllocated"]["message"]
        assert events["AddressAllocated"]["involvedObject"]["uid"] == found["metadata"]["uid"]
        return True

    eventually(said, "Events tell of the choice and of the address")


def decided_in_the_ledger(log: LogView) -> None:
    ledger = log.ledger()
    defined = next(ledger.events(NetworkDefined))
    assert [prefix.prefix for prefix in defined.prefixes] == [scene.PREFIX]
    given = list(ledger.events(AddressAllocated))
    assert [(event.address, event.service, event.choice) for event in given] == [(ADDRESS, "shop/web", "never-used")]
    assert ledger.held() == {"shop/web": (ADDRESS,)}
    # No version of the Service shows an address without our finalizer.
    facts = [decode_fact(record.key, record.value) for record in log.records(FACTS)]
    seen = [fact for fact in facts if isinstance(fact, ServiceFact) and fact.full_name == "shop/web"]
    assert [fact.has_finalizer for fact in seen] == [bool(fact.ingress) for fact in seen]


def forwarded(log: LogView) -> None:
    scene.wait_programmed(log, [ADDRESS])
    path_set = log.path_sets()[ADDRESS]
    local = path_set.local()
    hops = {hop.node: (hop.via, hop.weight, local[hop.node].backends) for hop in path_set.next_hops}
    assert hops == {
        "node-1": ("10.10.0.1", 1, ("10.20.1.1:8080",)),
        "node-2": ("10.10.0.2", 2, ("10.20.2.1:8080", "10.20.2.2:8080")),
    }
    assert path_set.services == ("shop/web",)
    assert not path_set.withdraw


def given_back(log: LogView) -> None:
    ledger = log.ledger()
    assert ledger.held() == {}
    leaving = list(ledger.events(AddressReleasing))
    assert [(event.address, event.service) for event in leaving] == [(ADDRESS, "shop/web")]
    left = list(ledger.events(AddressReleased))
    assert [(event.address, event.confirmed, event.dead) for event in left] == [(ADDRESS, ("fabric",), ())]
    assert left[0].quarantine_until > datetime.now(UTC)

    withdrawn = [report for report in log.reports() if isinstance(report, Report) and report.state == "withdrawn"]
    release = next(entry for entry in ledger.entries if any(isinstance(e, AddressReleasing) for e in entry.events))
    assert [(report.address, report.agent, report.release) for report in withdrawn] == [
        (ADDRESS, "fabric", f"{scene.NETWORK}#{release.seq}")
    ]
    eventually(lambda: ADDRESS not in log.path_sets(), "no path set is left for the address")
