"""The chart's ClusterRole on a real API server: enough for the watcher, and no more."""

from __future__ import annotations

import http
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import scene
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import FINALIZER, Cluster
from tests.support.logview import empty_log
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
NAMESPACE, ACCOUNT, ROLE = "lb", "ledgerlb-watcher", "ledgerlb-watcher"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module")
def watcher_account(cluster: Cluster) -> Iterator[None]:
    """The chart's ServiceAccount, ClusterRole and ClusterRoleBinding."""
    rendered = subprocess.run(
        [ROOT / "scripts" / "helm.sh", "template", "ledgerlb", ROOT / "helm" / "ledgerlb", "--namespace", NAMESPACE],
        capture_output=True,
        text=True,
        check=True,
        timeout=580,
    )
    objects = {item["kind"]: item for item in yaml.safe_load_all(rendered.stdout) if item}
    cluster.ensure_namespaces({"kind": "Namespace", "metadata": {"name": NAMESPACE}})
    paths = {
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts": "ServiceAccount",
        f"{RBAC}/clusterroles": "ClusterRole",
        f"{RBAC}/clusterrolebindings": "ClusterRoleBinding",
    }
    for path, kind in paths.items():
        status, answer = cluster.request("POST", path, objects[kind])
        assert status == http.HTTPStatus.CREATED, answer
    yield
    for path, kind in paths.items():
        cluster.request("DELETE", f"{path}/{objects[kind]['metadata']['name']}")


@pytest.mark.usefixtures("watcher_account")
def test_the_watcher_needs_nothing_but_what_the_chart_grants(
    cluster: Cluster, broker: KafkaBroker, api_server: KubeApiServer, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(api_server.token_kubeconfig(api_server.service_account_token(NAMESPACE, ACCOUNT)), "utf-8")
    kafka = empty_log(broker.bootstrap)
    with Pipeline(tmp_path / "run", kafka.url, kubeconfig=kubeconfig) as pipeline:
        scene.set_up(cluster)
        cluster.create_all(scene.shop_service("web"))
        assert scene.wait_served(cluster, ["web"]) == {"web": scene.nth_address(0)}
        shown = cluster.get("Service", scene.SHOP, "web") or {}
        assert FINALIZER in shown["metadata"]["finalizers"]
        assert {condition["type"] for condition in shown["status"]["conditions"]} >= {"ledgerlb.io/AddressAllocated"}
        eventually(
            lambda: {"AddressAllocated"} <= {event["reason"] for event in cluster.events_about(scene.SHOP, "web")},
            "the Event is there",
        )
        cluster.delete("Service", scene.SHOP, "web")
        eventually(lambda: cluster.get("Service", scene.SHOP, "web") is None, "the finalizer is gone")
        assert pipeline["watcher"].metric("ledgerlb_cluster_writes_total", what="refused") == 0
        assert "forbidden" not in pipeline["watcher"].log_text().lower()


@pytest.mark.usefixtures("watcher_account")
@pytest.mark.parametrize(
    ("verb", "group", "resource", "subresource", "allowed"),
    [
        ("patch", "", "services", "status", True),
        ("list", "", "services", "", True),
        ("watch", "", "services", "", True),
        ("patch", "", "services", "", False),
        ("update", "", "services", "", False),
        ("update", "", "services", "status", False),
        ("list", "", "secrets", "", False),
        ("get", "", "secrets", "", False),
        ("delete", "", "services", "", False),
        ("create", "", "services", "", False),
        ("patch", "", "pods", "", False),
        ("patch", "", "nodes", "", False),
        ("delete", "", "events", "", False),
        ("list", "ledgerlb.io", "addresspools", "", True),
        ("patch", "ledgerlb.io", "addresspools", "status", True),
        ("patch", "ledgerlb.io", "addresspools", "", False),
        ("create", "ledgerlb.io", "addresspools", "", False),
        ("delete", "k8s.cni.cncf.io", "network-attachment-definitions", "", False),
        ("create", "core.contrail.juniper.net", "virtualmachineinterfaces", "", False),
        ("patch", "rbac.authorization.k8s.io", "clusterroles", "", False),
    ],
)
def test_the_account_may_do_nothing_else(
    cluster: Cluster, verb: str, group: str, resource: str, subresource: str, *, allowed: bool
) -> None:
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": "shop"}
    review: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"],
            "resourceAttributes": attributes,
        },
    }
    status, answer = cluster.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert status == http.HTTPStatus.CREATED, answer
    assert answer["status"]["allowed"] is allowed, answer["status"]
