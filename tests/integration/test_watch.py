"""The watch on a real API server: what stands in the cluster becomes facts, whatever happens to the watcher meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from ledgerlb.core.cluster.facts import FINALIZER, KINDS, Synced, decode_fact
from ledgerlb.eventlog.embedded.memory import MemoryLog
from ledgerlb.eventlog.port import latest
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.kube.api.client import ApiConnection
from ledgerlb.kube.api.listwatch import WatchSettings
from ledgerlb.kube.api.source import ApiSource
from ledgerlb.watcher.observer import Observer
from tests.builders.objects import bare_service
from tests.support.containers import KubeApiServer

pytestmark = pytest.mark.integration

DEADLINE = 60.0
SETTINGS = WatchSettings(pause=(0.1, 1.0), absent=0.2)
NAMESPACE = "watch-tests"
GROUP = "core.contrail.juniper.net"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"


class Facts:
    """The facts that stand in a log, by key; read anew on demand."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.by_key: dict[str, Any] = {}

    async def until(self, condition: Callable[[dict[str, Any]], Any], seconds: float = DEADLINE) -> dict[str, Any]:
        """Wait until the facts are as wanted; fails with what stands there instead."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = await latest(self.log, FACTS)
            self.by_key = {key: decode_fact(key, record.value) for key, record in found.items()}
            if condition(self.by_key):
                return self.by_key
            await asyncio.sleep(0.05)
        pytest.fail(f"not so within {seconds} s; there are {sorted(self.by_key)[:50]}")


class Cluster:
    """Requests to the API server over connections that stay open."""

    def __init__(self, server: KubeApiServer, connection: ApiConnection) -> None:
        self.server = server
        self._connection = connection

    async def send(self, method: str, path: str, body: Any = None, *, allowed: tuple[int, ...] = ()) -> Any:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        url = f"{self._connection.client.configuration.host}{path}"
        session = self._connection.client.rest_client.pool_manager
        data = None if body is None else json.dumps(body)
        async with session.request(method, url, data=data, headers={"Content-Type": kind}) as answer:
            found = await answer.json()
            assert answer.status < 300 or answer.status in allowed, found
            return found

    async def each(self, work: Callable[[int], Coroutine[Any, Any, None]], count: int) -> None:
        """Do ``work`` for each number, eight at a time."""
        numbers = iter(range(count))

        async def worker() -> None:
            for number in numbers:
                await work(number)

        await asyncio.gather(*(worker() for _ in range(8)))


@contextlib.asynccontextmanager
async def watching(cluster: Cluster, log: MemoryLog, settings: WatchSettings) -> AsyncIterator[Observer]:
    stop = asyncio.Event()
    async with ApiConnection(cluster.server.kubeconfig_path) as connection:
        observer = Observer(ApiSource(connection, settings=settings))
        task = asyncio.create_task(observer.run(log, stop))
        try:
            yield observer
        finally:
            stop.set()
            await asyncio.wait_for(task, DEADLINE)


def labelled_service(name: str, **spec: Any) -> dict[str, Any]:
    fields = {"ports": [{"port": 80}], "allocateLoadBalancerNodePorts": False} | spec
    return bare_service(f"{NAMESPACE}/{name}", metadata={"labels": {"suite": "watch"}}, **fields)


@pytest.fixture
async def cluster(api_server: KubeApiServer) -> AsyncIterator[Cluster]:
    async with ApiConnection(api_server.kubeconfig_path) as connection:
        cluster = Cluster(api_server, connection)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await cluster.send("POST", "/api/v1/namespaces", body, allowed=(409,))
        yield cluster
        names = [entry["metadata"]["name"] for entry in (await cluster.send("GET", SERVICES))["items"]]

        async def remove(number: int) -> None:
            path = f"{SERVICES}/{names[number]}"
            await cluster.send("PATCH", path, {"metadata": {"finalizers": None}})
            await cluster.send("DELETE", path, allowed=(404,))

        await cluster.each(remove, len(names))


def definition(kind: str, plural: str, *versions: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {"name": version, "served": True, "storage": version == versions[-1], "schema": schema}
                for version in versions
            ],
        },
    }


async def test_the_kinds_of_kubernetes(cluster):
    async with MemoryLog() as log, watching(cluster, log, SETTINGS):
        facts = Facts(log)
        await facts.until(lambda found: all(f"Synced//{kind}" in found for kind in KINDS))
        assert facts.by_key["Synced//Service"] == Synced(of="Service", present=True)
        await cluster.send(
            "POST", SERVICES, labelled_service("dual", ipFamilyPolicy="RequireDualStack", selector={"a": "b"})
        )
        await cluster.send(
            "PATCH",
            f"{SERVICES}/dual/status",
            {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7", "ipMode": "VIP"}]}}},
        )
        await cluster.send("PATCH", f"{SERVICES}/dual", {"metadata": {"finalizers": [FINALIZER]}})
        await cluster.send(
            "POST",
            f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "dual-1", "labels": {"kubernetes.io/service-name": "dual"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.1.0.4"], "targetRef": {"kind": "Pod", "name": "backend"}}],
                "ports": [{"name": "", "port": 8080}],
            },
        )
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        for name, annotations in (
            ("backend", {}),
            ("bystander", {}),
            ("multi", {"k8s.v1.cni.cncf.io/network-status": "[]"}),
        ):
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "annotations": annotations},
                "spec": {"containers": [{"name": "c", "image": "none"}]},
            }
            await cluster.send("POST", pods, pod)
        await cluster.send(
            "POST",
            f"/api/v1/namespaces/{NAMESPACE}/endpoints",
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"name": "raw", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
                "subsets": [{"addresses": [{"ip": "172.16.23.0"}], "ports": [{"port": 80}]}],
            },
        )
        wanted = {f"{kind}/{NAMESPACE}/{name}" for kind, name in (
            ("Service", "dual"), ("EndpointSlice", "dual-1"), ("Pod", "backend"), ("Pod", "multi"), ("Endpoints", "raw"),
        )}  # fmt: skip
        found = await facts.until(
            lambda found: wanted <= found.keys() and found[f"Service/{NAMESPACE}/dual"].has_finalizer
        )
        fact = found[f"Service/{NAMESPACE}/dual"]
        assert (fact.ip_families, len(fact.cluster_ips), fact.ingress) == ((4, 6), 2, ("192.0.2.7",))
        assert fact.requester
        assert f"Pod/{NAMESPACE}/bystander" not in found
        for name in ("backend", "bystander", "multi"):
            await cluster.send("DELETE", f"{pods}/{name}?gracePeriodSeconds=0")
        await cluster.send("DELETE", f"{SERVICES}/dual")
        await facts.until(lambda found: found[f"Service/{NAMESPACE}/dual"].deleting)
        await cluster.send("PATCH", f"{SERVICES}/dual", {"metadata": {"finalizers": None}})
        await facts.until(lambda found: not {f"Service/{NAMESPACE}/dual", f"Pod/{NAMESPACE}/multi"} & found.keys())


async def test_definitions_come_and_go(cluster):
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with MemoryLog() as log, watching(cluster, log, SETTINGS):
        facts = Facts(log)
        await facts.until(lambda found: "Synced//Subnet" in found)
        assert facts.by_key["Synced//Subnet"].present is False
        await cluster.send("POST", definitions, definition("Subnet", "subnets", "v1alpha1", "v2"))
        await facts.until(lambda found: found["Synced//Subnet"].present)
        subnets = f"/apis/{GROUP}/v1alpha1/namespaces/{NAMESPACE}/subnets"
        for name, cidr in (("good", "192.0.2.0/24"), ("broken", 24)):
            body = {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "Subnet",
                "metadata": {"name": name},
                "spec": {"cidr": cidr},
            }
            await cluster.send("POST", subnets, body)
        await facts.until(lambda found: f"Subnet/{NAMESPACE}/good" in found)
        await facts.until(lambda found: f"Subnet/{NAMESPACE}/broken" in found)
        broken = facts.by_key[f"Subnet/{NAMESPACE}/broken"]
        assert [field for field, _ in broken.malformed] == ["spec.cidr"]
        await cluster.send("DELETE", f"{definitions}/subnets.{GROUP}")
        await facts.until(lambda found: not found["Synced//Subnet"].present)
        assert not {f"Subnet/{NAMESPACE}/good", f"Subnet/{NAMESPACE}/broken"} & facts.by_key.keys()


async def test_what_happens_while_the_watcher_is_down_is_found(cluster):
    async with MemoryLog() as log:
        facts = Facts(log)
        for name in ("stays", "goes", "again"):
            await cluster.send("POST", SERVICES, labelled_service(name))
        async with watching(cluster, log, SETTINGS):
            await facts.until(lambda found: "Synced//Service" in found and f"Service/{NAMESPACE}/goes" in found)
        old = facts.by_key[f"Service/{NAMESPACE}/again"].uid
        await cluster.send("DELETE", f"{SERVICES}/goes")
        await cluster.send("DELETE", f"{SERVICES}/again")
        await cluster.send("POST", SERVICES, labelled_service("again"))
        async with watching(cluster, log, SETTINGS):
            found = await facts.until(
                lambda found: (
                    f"Service/{NAMESPACE}/goes" not in found and found[f"Service/{NAMESPACE}/again"].uid != old
                )
            )
            assert f"Service/{NAMESPACE}/stays" in found


async def test_watches_that_end_all_the_time_lose_nothing(cluster):
    short = replace(SETTINGS, watch=(1.0, 1.0), healthy=0.5, page=3)
    names = [f"s{number:02}" for number in range(20)]
    async with MemoryLog() as log, watching(cluster, log, short):
        facts = Facts(log)
        for name in names:
            await cluster.send("POST", SERVICES, labelled_service(name))
            await asyncio.sleep(0.15)
        for name in names[:10]:
            await cluster.send("DELETE", f"{SERVICES}/{name}")
        wanted = {f"Service/{NAMESPACE}/{name}" for name in names[10:]}
        await facts.until(
            lambda found: wanted == {key for key in found if key.startswith(f"Service/{NAMESPACE}/")},
        )


async def test_a_burst_of_500_services_and_their_updates(cluster):
    """500 Services, each created, claimed with a finalizer and given a status: 1,500 changes."""
    count = 500

    async def create(number: int) -> None:
        name = f"b{number:03}"
        await cluster.send("POST", SERVICES, labelled_service(name))
        await cluster.send("PATCH", f"{SERVICES}/{name}", {"metadata": {"finalizers": [FINALIZER]}})
        ingress = [{"ip": f"198.51.100.{number % 250}"}]
        await cluster.send("PATCH", f"{SERVICES}/{name}/status", {"status": {"loadBalancer": {"ingress": ingress}}})

    async with MemoryLog() as log, watching(cluster, log, SETTINGS) as observer:
        facts = Facts(log)
        await facts.until(lambda found: "Synced//Service" in found)
        cpu = time.process_time()
        began = time.monotonic()
        await cluster.each(create, count)
        sent = time.monotonic() - began
        spent = time.process_time() - cpu
        found = await facts.until(
            lambda found: (
                sum(key.startswith(f"Service/{NAMESPACE}/b") and fact.ingress != () for key, fact in found.items())
                == count
            )
        )
        assert all(f"Service/{NAMESPACE}/b{number:03}" in found for number in range(count))
        print(f"{3 * count} changes in {sent:.1f} s, {observer.appended} records, {spent:.2f} s CPU with the requests")
