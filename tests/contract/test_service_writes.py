"""The one patch of a Service's status, on a cluster in memory and on a real API server: both must behave alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from ledgerlb.core.cluster.facts import FINALIZER, Condition, ServiceFact
from ledgerlb.core.errors import BadInput, ClusterUnavailable
from ledgerlb.kube.api.client import ApiConnection
from ledgerlb.kube.api.writer import ApiWriter
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.writer import ClusterWriter, service_write
from tests.builders import objects
from tests.support import kube_objects
from tests.support.containers import KubeApiServer

NAMESPACE, NAME = "one-write", "web"
ADDRESS = "192.0.2.1"
FOREIGN = "example.com/other"
SECOND = "example.com/second"
MINE = Condition(type="ledgerlb.io/X", status="True", reason="R", message="m", since="2026-01-02T03:04:05Z")


class Target(Protocol):
    """A cluster as its users see it."""

    def create(self, obj: dict[str, Any]) -> None: ...

    def get(self) -> dict[str, Any] | None: ...

    def delete(self) -> None: ...

    def set_finalizers(self, *finalizers: str) -> None: ...

    def apply(self, obj: dict[str, Any]) -> bool:
        """Apply as one manager, the same each time; return whether it was accepted."""
        ...

    def set_status(self, status: dict[str, Any]) -> None: ...


class InMemory:
    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster

    def create(self, obj: dict[str, Any]) -> None:
        self._cluster.create(obj)

    def get(self) -> dict[str, Any] | None:
        return self._cluster.get("Service", NAMESPACE, NAME)

    def delete(self) -> None:
        self._cluster.delete("Service", NAMESPACE, NAME)

    def set_finalizers(self, *finalizers: str) -> None:
        self._cluster.patch_metadata("Service", NAMESPACE, NAME, {"finalizers": list(finalizers)})

    def apply(self, obj: dict[str, Any]) -> bool:
        try:
            self._cluster.apply(obj)
        except BadInput:
            return False
        return True

    def set_status(self, status: dict[str, Any]) -> None:
        self._cluster.patch_status("Service", NAMESPACE, NAME, status)


class OnServer:
    def __init__(self, cluster: kube_objects.Cluster) -> None:
        self._cluster = cluster

    def create(self, obj: dict[str, Any]) -> None:
        self._cluster.create(obj)

    def get(self) -> dict[str, Any] | None:
        found = self._cluster.get("Service", NAMESPACE, NAME)
        return None if found is None else dict(found)

    def delete(self) -> None:
        self._cluster.request("DELETE", kube_objects.path_of("Service", NAMESPACE, NAME))

    def set_finalizers(self, *finalizers: str) -> None:
        self._cluster.patch("Service", NAMESPACE, NAME, {"metadata": {"finalizers": list(finalizers) or None}})

    def apply(self, obj: dict[str, Any]) -> bool:
        path = kube_objects.path_of("Service", NAMESPACE, NAME) + "?fieldManager=contract&force=true"
        status, _ = self._cluster.request("PATCH", path, obj, "application/apply-patch+yaml")
        return status < 400

    def set_status(self, status: dict[str, Any]) -> None:
        self._cluster.patch_status("Service", NAMESPACE, NAME, status)


class World:
    def __init__(self, target: Target, writer: ClusterWriter) -> None:
        self.target = target
        self.writer = writer

    def apply(self, *finalizers: str) -> bool:
        metadata = {"namespace": NAMESPACE, "name": NAME, "finalizers": list(finalizers)}
        spec = {
            "type": "LoadBalancer",
            "ports": [{"port": 80, "protocol": "TCP"}],
            "allocateLoadBalancerNodePorts": False,
        }
        return self.target.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})

    @property
    def fact(self) -> ServiceFact:
        found = fact_of(self.obj, "Service")
        assert isinstance(found, ServiceFact)
        return found

    def make(self, *finalizers: str, **spec: Any) -> ServiceFact:
        metadata = {"namespace": NAMESPACE, "name": NAME, **({"finalizers": list(finalizers)} if finalizers else {})}
        full = {"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": False} | spec
        if full["type"] != "LoadBalancer":
            del full["allocateLoadBalancerNodePorts"]
        self.target.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": full})
        return self.fact

    @property
    def obj(self) -> dict[str, Any]:
        found = self.target.get()
        assert found is not None
        return found

    @property
    def finalizers(self) -> list[str]:
        return list(self.obj["metadata"].get("finalizers", ()))

    @property
    def ingress(self) -> list[str]:
        loadbalancer = self.obj.get("status", {}).get("loadBalancer") or {}
        return [entry["ip"] for entry in loadbalancer.get("ingress") or ()]

    @property
    def conditions(self) -> list[str]:
        return [condition["type"] for condition in self.obj.get("status", {}).get("conditions") or ()]

    async def publish(self, fact: ServiceFact) -> Any:
        return await self.writer.write(service_write(fact, (ADDRESS,), [MINE], finalizer=True))

    async def release(self, fact: ServiceFact) -> Any:
        return await self.writer.write(service_write(fact, (), dropped=[MINE.type], finalizer=False))


@pytest.fixture(params=["memory", pytest.param("api", marks=pytest.mark.integration)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        memory = MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))
        yield World(InMemory(memory), MemoryWriter(memory))
        return
    server: KubeApiServer = request.getfixturevalue("server")
    with kube_objects.Cluster(server.kubeconfig) as cluster:
        cluster.ensure_namespaces(objects.namespace(NAMESPACE))
        async with ApiConnection(server.kubeconfig_path) as connection:
            yield World(OnServer(cluster), ApiWriter(connection.client))
        if cluster.get("Service", NAMESPACE, NAME) is not None:
            cluster.delete("Service", NAMESPACE, NAME, force=True)


async def test_finalizer_address_and_conditions_come_in_one_version(world):
    fact = world.make()
    before = world.obj
    after = await world.publish(fact)
    assert world.obj["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    assert (world.finalizers, world.ingress, world.conditions) == ([FINALIZER], [ADDRESS], [MINE.type])
    assert world.obj["spec"] == before["spec"]
    assert world.obj["metadata"].get("generation") == before["metadata"].get("generation")


async def test_the_same_patch_again_changes_nothing(world):
    fact = world.make()
    after = await world.publish(fact)
    assert (await world.publish(fact))["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


async def test_they_go_in_one_version(world):
    fact = world.make()
    await world.publish(fact)
    after = await world.release(fact)
    assert world.obj["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    assert (world.finalizers, world.ingress, world.conditions) == ([], [], [])


async def test_foreign_finalizers_stay(world):
    fact = world.make(FOREIGN)
    await world.publish(fact)
    assert sorted(world.finalizers) == sorted([FOREIGN, FINALIZER])
    await world.release(fact)
    assert world.finalizers == [FOREIGN]


async def test_removing_the_last_finalizer_deletes_what_is_being_deleted(world):
    fact = world.make()
    await world.publish(fact)
    world.target.delete()
    assert world.obj["metadata"]["deletionTimestamp"]
    last = await world.release(fact)
    assert last["metadata"]["deletionTimestamp"]
    assert not last["metadata"].get("finalizers")
    assert world.target.get() is None


async def test_a_foreign_finalizer_keeps_what_is_being_deleted_and_nothing_of_ours(world):
    fact = world.make(FOREIGN)
    await world.publish(fact)
    world.target.delete()
    await world.release(fact)
    assert (world.finalizers, world.ingress, world.conditions) == ([FOREIGN], [], [])


async def test_what_is_being_deleted_gets_no_finalizer_and_no_address(world):
    fact = world.make(FOREIGN)
    world.target.delete()
    before = world.obj
    with pytest.raises(ClusterUnavailable, match="no new finalizers can be added"):
        await world.publish(fact)
    assert world.obj == before


async def test_what_is_no_load_balancer_gets_no_finalizer_and_no_address(world):
    fact = world.make(type="ClusterIP")
    before = world.obj
    with pytest.raises(ClusterUnavailable, match="LoadBalancer"):
        await world.publish(fact)
    assert world.obj == before


async def test_a_namesake_with_another_uid_is_left_alone(world):
    fact = world.make().model_copy(update={"uid": "00000000-0000-0000-0000-000000000000"})
    before = world.obj
    assert await world.publish(fact) is None
    assert await world.release(fact) is None
    assert world.obj == before


async def test_what_has_vanished_is_none(world):
    fact = world.make()
    world.target.delete()
    assert world.target.get() is None
    assert await world.publish(fact) is None
    assert await world.release(fact) is None


async def test_a_removed_finalizer_comes_back_with_the_next_patch(world):
    fact = world.make()
    await world.publish(fact)
    world.target.set_finalizers()
    await world.publish(fact)
    assert world.finalizers == [FINALIZER]


async def test_an_applied_list_of_finalizers_replaces_what_that_apply_put_there(world):
    assert world.apply(FOREIGN, SECOND)
    await world.publish(world.fact)
    assert sorted(world.finalizers) == sorted([FOREIGN, SECOND, FINALIZER])
    assert world.apply(SECOND)
    assert sorted(world.finalizers) == sorted([SECOND, FINALIZER])
    assert world.apply()
    assert world.finalizers == [FINALIZER]
    assert world.ingress == [ADDRESS]


async def test_an_apply_leaves_finalizers_that_others_put_there(world):
    assert world.apply(FOREIGN)
    world.target.set_finalizers(FOREIGN, SECOND)
    assert world.apply()
    assert world.finalizers == [SECOND]


async def test_an_apply_adds_no_finalizer_to_what_is_being_deleted(world):
    assert world.apply(FOREIGN)
    world.target.delete()
    assert not world.apply(FOREIGN, SECOND)
    assert world.finalizers == [FOREIGN]


async def test_an_apply_that_takes_the_last_finalizer_away_ends_the_deletion(world):
    assert world.apply(FOREIGN)
    await world.publish(world.fact)
    world.target.delete()
    assert world.apply()
    assert world.finalizers == [FINALIZER]
    await world.release(world.fact)
    assert world.target.get() is None


async def test_what_others_left_in_the_ingress_is_replaced(world):
    world.make()
    ports = [{"port": 80, "protocol": "TCP"}]
    world.target.set_status(
        {
            "loadBalancer": {
                "ingress": [{"hostname": "lb.example"}, {"ip": "192.0.2.9", "ipMode": "Proxy", "ports": ports}]
            }
        }
    )
    assert world.fact.ingress == ("192.0.2.9",)
    await world.publish(world.fact)
    assert world.obj["status"]["loadBalancer"] == {"ingress": [{"ip": ADDRESS, "ipMode": "VIP"}]}


async def test_nulls_in_the_status_are_read_and_written_over(world):
    world.make()
    world.target.set_status({"loadBalancer": None, "conditions": None})
    assert (world.fact.ingress, world.fact.conditions) == ((), ())
    await world.publish(world.fact)
    assert (world.ingress, world.conditions) == ([ADDRESS], [MINE.type])


async def test_conditions_of_others_stay_when_ours_go(world):
    fact = world.make(FOREIGN)
    theirs = {"type": "example.com/X", "status": "True", "reason": "R", "message": "", "lastTransitionTime": MINE.since}
    world.target.set_status({"conditions": [theirs]})
    await world.publish(fact)
    world.target.delete()
    await world.release(fact)
    assert (world.finalizers, world.ingress, world.conditions) == ([FOREIGN], [], ["example.com/X"])
