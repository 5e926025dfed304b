"""The data path of a Linux gateway, driven by the whole pipeline, in a network namespace of the test's own.

The namespace has one link to the network of the nodes. The agent is the only thing that changes routes in it; the
machine's own routes are never touched.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tests.support import kube_objects as kube
from tests.support import scene
from tests.support.kube_objects import Cluster, Object
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.dataplane]

ADDRESS = scene.nth_address(0)
GATEWAY = "10.10.0.254/24"
WEB_WITH_ONE_EACH = (("10.20.1.1", "node-1"), ("10.20.2.1", "node-2"))
WEB_ON_NODE_2 = (("10.20.2.1", "node-2"),)


class World(Protocol):
    """A cluster, whatever it is made of."""

    def put(self, *objects: Object) -> None: ...

    def remove_web(self) -> None: ...


class Manifests:
    """A folder of manifests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def put(self, *objects: Object) -> None:
        for obj in objects:
            metadata = obj["metadata"]
            name = f"{obj['kind']}-{metadata.get('namespace', '')}-{metadata['name']}.yaml"
            (self.folder / name).write_text(yaml.safe_dump(obj), "utf-8")

    def remove_web(self) -> None:
        (self.folder / f"Service-{scene.SHOP}-web.yaml").unlink()


class Server:
    """An API server."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def put(self, *objects: Object) -> None:
        for obj in objects:
            if obj["kind"] == "Namespace":
                self.cluster.ensure_namespaces(obj)
            else:
                self.cluster.apply(obj)

    def remove_web(self) -> None:
        self.cluster.delete("Service", scene.SHOP, "web")


@pytest.fixture
def gateway() -> Iterator[str]:
    """The name of a network namespace with a link to the nodes' network."""
    name = f"llb-gw-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "add", "nodes0", "type", "veth", "peer", "name", "nodes1")
        ip("-n", name, "addr", "add", GATEWAY, "dev", "nodes0")
        for link in ("nodes0", "nodes1"):
            ip("-n", name, "link", "set", link, "up")
        yield name
    finally:
        ip("netns", "del", name)


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def listed(namespace: str, *what: str) -> list[dict[str, Any]]:
    return list(json.loads(ip("-n", namespace, "-j", *what) or "[]"))


def forwarded(namespace: str) -> dict[str, dict[str, int]]:
    """Address → gateway → weight, as the kernel's routes and next hops have it."""
    objects = {entry["id"]: entry for entry in listed(namespace, "nexthop", "show")}
    found: dict[str, dict[str, int]] = {}
    for route in listed(namespace, "route", "show"):
        if "nhid" in route:
            members = objects[route["nhid"]]["group"]
            found[route["dst"]] = {objects[one["id"]]["gateway"]: one.get("weight", 1) for one in members}
    return found


def wait_forwarded(namespace: str, wanted: dict[str, dict[str, int]]) -> None:
    def as_wanted() -> bool:
        found = forwarded(namespace)
        assert found == wanted, found
        return True

    eventually(as_wanted, f"the kernel forwards {wanted}")


def the_kernel_follows(world: World, log: LogView, gateway: str) -> None:
    before = listed(gateway, "route", "show"), listed(gateway, "nexthop", "show")
    world.put(*scene.namespaces(), *scene.infrastructure(), *scene.shop_service("web"))
    wait_forwarded(gateway, {ADDRESS: {"10.10.0.1": 1, "10.10.0.2": 2}})
    group = next(entry for entry in listed(gateway, "nexthop", "show") if "group" in entry)
    scene.wait_programmed(log, [ADDRESS], agent="gateway")

    world.put(kube.endpoint_slice(scene.SHOP, "web", WEB_WITH_ONE_EACH))
    wait_forwarded(gateway, {ADDRESS: {"10.10.0.1": 1, "10.10.0.2": 1}})
    world.put(kube.endpoint_slice(scene.SHOP, "web", WEB_ON_NODE_2))
    wait_forwarded(gateway, {ADDRESS: {"10.10.0.2": 1}})
    # The group was changed in place: its route never went.
    assert [entry["id"] for entry in listed(gateway, "nexthop", "show") if "group" in entry] == [group["id"]]

    world.remove_web()
    eventually(
        lambda: (listed(gateway, "route", "show"), listed(gateway, "nexthop", "show")) == before,
        "nothing is left in the kernel of what the agent put there",
    )
    eventually(lambda: log.ledger().held() == {}, "the address is released once the agent has withdrawn it")
    assert log.verify()["clean"]


def test_an_agent_that_lives_in_the_namespace(gateway: str, tmp_path: Path) -> None:
    """On the embedded log, which is a file: it can be reached from every namespace."""
    world = Manifests(tmp_path / "manifests")
    log = LogView(f"sqlite://{tmp_path}/ledger.db")
    agent = {
        "LEDGERLB_BACKEND": "fabric-linux",
        "LEDGERLB_AGENT_NAME": "gateway",
        # Where process 1 cannot be seen, every namespace is taken for the machine's own.
        "LEDGERLB_FABRIC_ALLOW_HOST_NAMESPACE": "true",
    }
    with Pipeline(
        tmp_path,
        log.url,
        manifests=world.folder,
        environment={"agent": agent},
        prefix={"agent": ["ip", "netns", "exec", gateway]},
    ) as pipeline:
        assert network_of(pipeline["agent"].pid) != network_of(os.getpid())
        the_kernel_follows(world, log, gateway)
        assert pipeline.pids()


def network_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def test_an_agent_that_reaches_into_the_namespace(
    gateway: str, cluster: Cluster, kafka: LogView, api_server: Any, tmp_path: Path
) -> None:
    """On the broker, which the namespace itself cannot reach: only the agent's kernel sockets are in there."""
    agent = {
        "LEDGERLB_BACKEND": "fabric-linux",
        "LEDGERLB_AGENT_NAME": "gateway",
        "LEDGERLB_FABRIC_NETNS": gateway,
    }
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path, environment={"agent": agent}) as pipeline:
        the_kernel_follows(Server(cluster), kafka, gateway)
        assert pipeline.pids()
