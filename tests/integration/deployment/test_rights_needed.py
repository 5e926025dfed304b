"""Each right that the chart grants to the watcher is one that it uses: the API server's audit log tells.

An API server of this test's own notes every request of the watcher's ServiceAccount. The watcher is led through all
that it does: kinds that appear while it runs, Services served and deleted, NetworkAttachmentDefinitions and what follows
from them, changes of its objects by somebody else. What it asked for and what the role grants must be the same.
"""

from __future__ import annotations

import http
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.builders import objects
from tests.support import kube_objects as kube
from tests.support import scene
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster, Object
from tests.support.logview import empty_log
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ROOT: Final = Path(__file__).resolve().parents[3]
NAMESPACE: Final = "lb"
ACCOUNT: Final = "ledgerlb-watcher"
USER: Final = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
POLICY_FILE: Final = "/etc/kubernetes/audit-policy.yaml"
POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [USER]}, {"level": "None"}],
}
CORE: Final = "core.contrail.juniper.net"
OF_CN2: Final = {  # plural → (kind, namespaced); those of them that examples/crds does not define are defined here
    "virtualmachineinterfaces": ("VirtualMachineInterface", True),
    "instanceips": ("InstanceIP", False),
    "floatingips": ("FloatingIP", False),
}

OURS: Final = ("app.kubernetes.io/managed-by", "ledgerlb")
CHANGES: Final[dict[str, Any]] = {
    # What somebody else may do to an object of ours, by a field that the kind has.
    "cidr": "192.0.2.0/24",
    "v4SubnetReference": {"name": "another"},
    "instanceIPAddress": "192.0.2.7",
    "floatingIPAddress": "192.0.2.7",
}

Right = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""


@pytest.fixture(scope="module")
def audited() -> Iterator[KubeApiServer]:
    arguments = (f"--audit-policy-file={POLICY_FILE}", "--audit-log-path=-")
    files = {POLICY_FILE: yaml.safe_dump(POLICY).encode()}
    with KubeApiServer(fsync=False, arguments=arguments, files=files) as started:
        yield started


@pytest.fixture(scope="module")
def chart() -> dict[str, Object]:
    """The chart's objects by kind (one of each kind that matters here)."""
    rendered = subprocess.run(
        [ROOT / "scripts" / "helm.sh", "template", "ledgerlb", ROOT / "helm" / "ledgerlb", "--namespace", NAMESPACE],
        capture_output=True,
        text=True,
        check=True,
        timeout=580,
    )
    return {item["kind"]: item for item in yaml.safe_load_all(rendered.stdout) if item}


def granted(role: Object) -> set[Right]:
    """Every right of the role; fails on wildcards, which nobody could show the need of."""
    found = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert not [right for right in found if "*" in right], found
    return found


def asked_for(server: KubeApiServer) -> dict[Right, set[str]]:
    """Every right that the watcher made use of, or wanted to, and what the API server said to it."""
    found: dict[Right, set[str]] = {}
    for line in server.printed().splitlines():
        event: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
        reference = event.get("objectRef")
        if event.get("kind") != "Event" or reference is None or event["user"]["username"] != USER:
            continue
        resource = reference["resource"] + (f"/{reference['subresource']}" if "subresource" in reference else "")
        decision = event.get("annotations", {}).get("authorization.k8s.io/decision", "")
        found.setdefault((reference.get("apiGroup", ""), resource, event["verb"]), set()).add(decision)
    return found


def test_each_right_of_the_role_is_used(
    chart: dict[str, Object], audited: KubeApiServer, broker: KafkaBroker, tmp_path: Path
) -> None:
    with Cluster(audited.kubeconfig) as cluster:
        grant(cluster, chart)
        kubeconfig = tmp_path / "kubeconfig"
        token = audited.service_account_token(NAMESPACE, ACCOUNT)
        kubeconfig.write_text(audited.token_kubeconfig(token), "utf-8")
        kafka = empty_log(broker.bootstrap)
        role = granted(chart["ClusterRole"])
        with Pipeline(tmp_path / "run", kafka.url, kubeconfig=kubeconfig):
            # The watcher runs before anybody defined CN2's kinds or Multus'.
            define(cluster)
            eventually(lambda: followed(audited, role), "every kind is listed and watched", 40, every=0.5)
            lead_through(cluster, role)
        asked = asked_for(audited)
    for right, decisions in sorted(asked.items()):
        print(right, sorted(decisions))
    refused = {right for right, decisions in asked.items() if decisions != {"allow"}}
    assert not refused, f"the role lacks {sorted(refused)}"
    assert asked.keys() == role, f"granted and never used: {sorted(role - asked.keys())}"


def grant(cluster: Cluster, chart: dict[str, Object]) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    cluster.ensure_namespaces(objects.namespace(NAMESPACE), *scene.namespaces())
    for path, kind in (
        (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", "ServiceAccount"),
        (f"{rbac}/clusterroles", "ClusterRole"),
        (f"{rbac}/clusterrolebindings", "ClusterRoleBinding"),
    ):
        status, answer = cluster.request("POST", path, chart[kind])
        assert status == http.HTTPStatus.CREATED, answer


def define(cluster: Cluster) -> None:
    """Define every kind of the chart's role that the API server does not have of itself."""
    cluster.install_definitions()
    for plural, (kind, namespaced) in OF_CN2.items():
        if cluster.get("CustomResourceDefinition", "", f"{plural}.{CORE}") is None:
            cluster.create(definition(plural, kind, namespaced=namespaced))


def definition(plural: str, kind: str, *, namespaced: bool) -> Object:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    spec = {
        "group": CORE,
        "scope": "Namespaced" if namespaced else "Cluster",
        "names": names,
        "versions": [version],
    }
    return kube.made("CustomResourceDefinition", "", f"{plural}.{CORE}", spec=spec)


def followed(server: KubeApiServer, role: set[Right]) -> bool:
    missing = {right for right in role if right[2] in {"list", "watch"}} - asked_for(server).keys()
    assert not missing, f"not yet: {sorted(missing)}"
    return True


def lead_through(cluster: Cluster, role: set[Right]) -> None:
    """One Service's life, a network's, and what somebody else does to the objects that follow from them."""
    scene.set_up(cluster)
    cluster.create_all(scene.shop_service("web"))
    assert scene.wait_served(cluster, ["web"]) == {"web": scene.nth_address(0)}
    cluster.create(objects.nad("ecmp-project/passing", "192.168.110.0/24"))
    eventually(lambda: cluster.events_about(scene.SHOP, "web"), "Events tell of the Service")
    cluster.create(objects.pool("edge", "203.0.113.0/30"))
    eventually(lambda: size_of_pool(cluster) == "4", "the pool shows its size")
    for plural in sorted({resource for group, resource, verb in role if (group, verb) == (CORE, "create")}):
        disturb(cluster, plural)
    cluster.delete("NetworkAttachmentDefinition", "ecmp-project", "passing")
    cluster.delete("Service", scene.SHOP, "web")
    eventually(lambda: cluster.get("Service", scene.SHOP, "web") is None, "the Service is gone")
    eventually(
        lambda: cluster.get("NetworkAttachmentDefinition", "ecmp-project", "passing") is None, "the network is gone"
    )


def size_of_pool(cluster: Cluster) -> str | None:
    pool = cluster.get("AddressPool", "", "edge") or {}
    size: str | None = pool.get("status", {}).get("size")
    return size


def disturb(cluster: Cluster, plural: str) -> None:
    """Change an object that the watcher made, and wait until it is as it was."""
    before = eventually(lambda: made(cluster, plural), f"the watcher makes {plural}")[0]
    field = next(field for field in CHANGES if field in before["spec"])
    at = path_of_object(plural, before)
    status, answer = cluster.request("PATCH", at, {"spec": {field: CHANGES[field]}}, "application/merge-patch+json")
    assert status == http.HTTPStatus.OK, answer

    def reverted() -> bool:
        _, now = cluster.request("GET", at)
        return bool(now["spec"][field] == before["spec"][field])

    eventually(reverted, f"the change of {plural} {before['metadata']['name']} is reverted")


def made(cluster: Cluster, plural: str) -> list[Object]:
    status, found = cluster.request("GET", f"/apis/{CORE}/v1alpha1/{plural}")
    assert status == http.HTTPStatus.OK, found
    return [obj for obj in found["items"] if obj["metadata"].get("labels", {}).get(OURS[0]) == OURS[1]]


def path_of_object(plural: str, obj: Object) -> str:
    namespace = obj["metadata"].get("namespace")
    place = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{CORE}/v1alpha1/{place}{plural}/{obj['metadata']['name']}"
