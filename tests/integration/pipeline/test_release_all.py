"""``ledgerlb release-all`` on a real API server: nothing of LedgerLB is left on any Service, and the ledger says so."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import scene
from tests.support.containers import KubeApiServer
from tests.support.kube_objects import NETWORK_ANNOTATION, Cluster, Object, addresses_of
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline, program
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

STOPPED = ("watcher", "network-selector", "ipam", "planner")


def release_all(log: str, api_server: KubeApiServer, *options: str) -> subprocess.CompletedProcess[str]:
    command = [program("ledgerlb"), "release-all", "--log", log, "--kubeconfig", str(api_server.kubeconfig_path)]
    return subprocess.run(
        [*command, "--timeout", "60", *options],
        capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def marks(service: Object) -> dict[str, Any]:
    conditions = [one["type"] for one in service.get("status", {}).get("conditions", ())]
    return {
        "addresses": addresses_of(service),
        "finalizers": service["metadata"].get("finalizers", []),
        "conditions": [name for name in conditions if name.startswith("ledgerlb.io/")],
    }


def test_nothing_of_ledgerlb_is_left_on_any_service(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
        scene.set_up(cluster)
        for name in ("web", "api"):
            scene.serve_one(cluster, name)
        cluster.create_all(scene.shop_service("waiting", {NETWORK_ANNOTATION: "none/such"}))
        eventually(lambda: marks(get(cluster, "waiting"))["conditions"], "the waiting Service says why")
        for name in STOPPED:
            pipeline[name].terminate()

        asked = release_all(kafka.url, api_server)
        assert asked.returncode == 1
        assert "2 addresses of 3 Services are given up" in asked.stdout
        assert marks(get(cluster, "web"))["addresses"]

        done = release_all(kafka.url, api_server, "--yes", "-o", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["left"] == {}
        for name in ("web", "api", "waiting"):
            assert marks(get(cluster, name)) == {"addresses": (), "finalizers": [], "conditions": []}
        assert list(kafka.ledger().fold.holdings()) == []
        assert kafka.verify()["clean"]
        assert all(path_set.withdraw for path_set in kafka.path_sets().values())
        cluster.delete("Service", scene.SHOP, "web")
        assert cluster.get("Service", scene.SHOP, "web") is None, "a finalizer of a stopped LedgerLB holds it"


def get(cluster: Cluster, name: str) -> Object:
    found = cluster.get("Service", scene.SHOP, name)
    assert found is not None
    return found
