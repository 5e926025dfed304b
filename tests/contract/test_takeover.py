"""A takeover from MetalLB on a real API server: import from the cluster, apply what it wrote, start."""

from __future__ import annotations

import http
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ledgerlb.cli.main import app
from tests.builders.objects import Object
from tests.support.containers import KubeApiServer
from tests.support.environment import remove_settings
from tests.support.foreign import metallb
from tests.support.kube_objects import Cluster, addresses_of, path_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

COUNT = 40
POOLS = "/apis/metallb.io/v1beta1/ipaddresspools"


def define_metallb(cluster: Cluster) -> None:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    names = {"kind": "IPAddressPool", "listKind": "IPAddressPoolList", "plural": "ipaddresspools"}
    spec = {"group": "metallb.io", "scope": "Namespaced", "names": names, "versions": [version]}
    metadata = {"name": "ipaddresspools.metallb.io"}
    cluster.create(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": metadata,
            "spec": spec,
        }
    )
    eventually(lambda: cluster.request("GET", POOLS)[0] == http.HTTPStatus.OK, "MetalLB's kind is served")


def server_side_apply(cluster: Cluster, obj: Object) -> None:
    meta = obj["metadata"]
    path = path_of(obj["kind"], meta.get("namespace", ""), meta["name"]) + "?fieldManager=ledgerlb-import"
    status, answer = cluster.request("PATCH", path, obj, "application/apply-patch+yaml")
    assert status in {http.HTTPStatus.OK, http.HTTPStatus.CREATED}, answer


def documents(path: Path) -> list[Any]:
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


def test_every_service_keeps_its_address(
    server: KubeApiServer, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_settings(monkeypatch)
    define_metallb(cluster)
    objects = metallb(COUNT)
    spaces = [obj for obj in objects if obj["kind"] == "Namespace"]
    cluster.ensure_namespaces(*spaces, {"kind": "Namespace", "metadata": {"name": "metallb-system"}})
    for obj in objects:
        if obj["kind"] == "IPAddressPool":
            obj["metadata"]["name"] = obj["metadata"]["name"].replace("_", "-")
            path = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools"
            assert cluster.request("POST", path, obj)[0] == http.HTTPStatus.CREATED
    cluster.create_all(obj for obj in objects if obj["kind"] == "Service")
    before = shown(cluster)
    out, log = tmp_path / "out", f"sqlite://{tmp_path / 'ledger.db'}"
    kubeconfig = str(server.kubeconfig_path)
    done = CliRunner().invoke(app, ["import", "metallb", "--kubeconfig", kubeconfig, "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert f"{COUNT} of {COUNT} Services keep their address" in done.stdout
    assert shown(cluster) == before
    for obj in (*documents(out / "pools.yaml"), *documents(out / "services.yaml")):
        server_side_apply(cluster, obj)
    started = CliRunner().invoke(
        app,
        ["run", "--kubeconfig", kubeconfig, "--log", log, "--until-settled", "--require-ready", "-o", "json"],
    )
    assert started.exit_code == 0, started.output[-2000:]
    assert shown(cluster) == before
    services = json.loads(started.stdout)["services"]
    assert {line["state"] for line in services.values() if line["addresses"]} == {"Ready"}


def shown(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    found = cluster.objects("Service")
    return {f"{obj['metadata']['namespace']}/{obj['metadata']['name']}": addresses_of(obj) for obj in found}
