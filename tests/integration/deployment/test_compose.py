"""``make up``: images built, containers started, a Service served; ``make down``: nothing left.

The API server is on the loopback address of this machine, so this is also the test of docker-compose.loopback.yml.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import scene
from tests.support.containers import KubeApiServer
from tests.support.engine import free_port
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
PROJECT = "ledgerlb-test"
SERVICES = ("watcher", "network-selector", "ipam", "planner", "agent")


def script(name: str, *arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / name, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=560
    )


def containers() -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return listed.stdout.split()


@pytest.fixture
def environment() -> dict[str, str]:
    """A project, ports and image tags of the test's own: a system that somebody runs here is left alone."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LEDGERLB_LOG", "COMPOSE_"))}
    ports = {f"LEDGERLB_{name.replace('-', '_').upper()}_PORT": str(free_port()) for name in (*SERVICES, "kafka")}
    return inherited | ports | {"COMPOSE_PROJECT_NAME": PROJECT, "LEDGERLB_TAG": "test"}


@pytest.fixture
def composed(api_server: KubeApiServer, cluster: Cluster, environment: dict[str, str]) -> Iterator[str]:
    """The composed system against the API server; gives what ``make up`` said at its end."""
    try:
        done = script("up.sh", str(api_server.kubeconfig_path), environment=environment)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        yield done.stdout
    finally:
        down = script("down.sh", "--volumes", environment=environment)
    assert down.returncode == 0, down.stderr
    assert containers() == []


def test_a_service_gets_its_address_from_the_composed_system(
    composed: str, cluster: Cluster, environment: dict[str, str]
) -> None:
    everything_runs_without_rights_to_spare(environment)
    assert f"127.0.0.1:{environment['LEDGERLB_KAFKA_PORT']}" in composed

    scene.set_up(cluster)
    cluster.create_all(scene.shop_service("web"))
    assert scene.wait_served(cluster, ["web"]) == {"web": scene.nth_address(0)}

    log = LogView(f"kafka://127.0.0.1:{environment['LEDGERLB_KAFKA_PORT']}")
    scene.wait_programmed(log, [scene.nth_address(0)])
    cluster.delete("Service", scene.SHOP, "web")
    eventually(lambda: cluster.get("Service", scene.SHOP, "web") is None, "the Service is gone")
    report = log.verify()
    assert report["clean"], report
    assert log.dead_letters() == []


def everything_runs_without_rights_to_spare(environment: Mapping[str, str]) -> None:
    inspected = subprocess.run(
        ["docker", "inspect", *containers()], capture_output=True, text=True, check=True, timeout=60
    )
    by_service = {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in json.loads(inspected.stdout)}
    assert set(by_service) == {*SERVICES, "kafka", "topics"}
    for name in (*SERVICES, "topics"):
        item = by_service[name]
        assert item["Config"]["User"] == "10001:10001", name
        assert item["HostConfig"]["ReadonlyRootfs"], name
        assert item["HostConfig"]["CapDrop"] == ["ALL"], name
    for item in by_service.values():
        published = [port for ports in item["HostConfig"]["PortBindings"].values() for port in ports]
        assert all(port["HostIp"] == "127.0.0.1" for port in published)
    for name in SERVICES:
        port = environment[f"LEDGERLB_{name.replace('-', '_').upper()}_PORT"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            assert answer.status == 200
