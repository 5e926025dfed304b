"""The writer's contract on a cluster in memory: patches merge, preconditions hold, repeats do nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledgerlb.core.cluster.facts import FINALIZER, Condition, ServiceFact
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MAX_EVENTS, MemoryWriter
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.writer import About, Write, event_write, service_write

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FOREIGN = {"type": "example.com/X", "status": "True"}


def condition(name: str, status: str = "True") -> Condition:
    return Condition(type=f"ledgerlb.io/{name}", status=status, reason="R", message="m", since="2026-01-02T03:04:05Z")


class World:
    def __init__(self) -> None:
        self.cluster = MemoryCluster(lambda: AT)
        self.records: list = []
        self.writer = MemoryWriter(self.cluster, self.records.append)

    def make(self, **more: object) -> ServiceFact:
        meta = {"name": "web", "namespace": "a", **more.pop("metadata", {})}
        obj = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"type": "LoadBalancer"}, **more}
        fact = fact_of(self.cluster.apply(obj), "Service")
        assert isinstance(fact, ServiceFact)
        return fact

    @property
    def obj(self) -> dict:
        found = self.cluster.get("Service", "a", "web")
        assert found is not None
        return found


@pytest.fixture
def world() -> World:
    return World()


async def test_the_finalizer_joins_those_of_others_and_goes_alone(world):
    fact = world.make(metadata={"finalizers": ["example.com/other"]})
    await world.writer.write(service_write(fact, finalizer=True))
    await world.writer.write(service_write(fact, finalizer=True))
    assert world.obj["metadata"]["finalizers"] == ["example.com/other", FINALIZER]
    after = await world.writer.write(service_write(fact, finalizer=False))
    assert after["metadata"]["finalizers"] == ["example.com/other"]


async def test_the_last_finalizer_completes_a_deletion(world):
    fact = world.make(metadata={"finalizers": [FINALIZER]})
    world.cluster.delete("Service", "a", "web")
    await world.writer.write(service_write(fact, finalizer=False))
    assert world.cluster.get("Service", "a", "web") is None
    assert await world.writer.write(service_write(fact, finalizer=False)) is None


async def test_conditions_merge_by_type_and_the_ingress_is_replaced(world):
    fact = world.make(status={"conditions": [FOREIGN], "loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}})
    await world.writer.write(service_write(fact, ("192.0.2.1", "2001:db8::1"), [condition("A"), condition("B")]))
    await world.writer.write(service_write(fact, None, [condition("A", "False")], ["ledgerlb.io/B"]))
    status = world.obj["status"]
    assert status["loadBalancer"]["ingress"] == [
        {"ip": "192.0.2.1", "ipMode": "VIP"},
        {"ip": "2001:db8::1", "ipMode": "VIP"},
    ]
    assert [(c["type"], c["status"]) for c in status["conditions"]] == [
        ("example.com/X", "True"),
        ("ledgerlb.io/A", "False"),
    ]
    await world.writer.write(service_write(fact, (), ()))
    assert not world.obj["status"]["loadBalancer"].get("ingress")


async def test_a_namesake_made_anew_is_left_alone(world):
    fact = world.make().model_copy(update={"uid": "another"})
    for write in (
        service_write(fact, finalizer=True),
        service_write(fact, ("192.0.2.1",), ()),
        service_write(fact, finalizer=False),
    ):
        assert await world.writer.write(write) is None
    assert "status" not in world.obj
    assert "finalizers" not in world.obj["metadata"]


async def test_what_is_not_there_is_none(world):
    absent = ServiceFact(namespace="a", name="nope")
    assert await world.writer.write(service_write(absent, finalizer=True)) is None
    assert await world.writer.write(Write("Service", "a", "nope", "delete", {})) is None


async def test_an_event_said_twice_is_one_event_and_another_cause_makes_another(world):
    about = About("Service", "v1", "a", "web", "u")

    def event(identity: str) -> Write:
        return event_write(about, "NetworkFull", "m" * 2000, warning=True, at=AT, identity=identity)

    assert await world.writer.write(event("n#1")) is not None
    assert await world.writer.write(event("n#1")) is None
    assert await world.writer.write(event("n#2")) is not None
    first, second = world.writer.events
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert (first["type"], first["reason"], len(first["message"])) == ("Warning", "NetworkFull", 1024)
    assert first["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "name": "web",
        "namespace": "a",
        "uid": "u",
    }


async def test_events_are_bounded(world):
    about = About("Service", "v1", "a", "web", "u")
    for number in range(MAX_EVENTS + 5):
        await world.writer.write(event_write(about, "R", "m", warning=False, at=AT, identity=str(number)))
    assert len(world.writer.events) == MAX_EVENTS


async def test_every_write_is_recorded_as_the_whole_object(world):
    fact = world.make()
    await world.writer.write(service_write(fact, finalizer=True))
    await world.writer.write(service_write(fact, ("192.0.2.1",), ()))
    await world.writer.write(
        event_write(About("Service", "v1", "a", "web"), "R", "m", warning=False, at=AT, identity="")
    )
    assert [(r["kind"], r.get("subresource")) for r in world.records] == [
        ("Service", "status"),
        ("Service", "status"),
        ("Event", None),
    ]
    assert world.records[1]["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.1"
    assert world.records[1]["metadata"]["name"] == "web"


async def test_a_custom_resource_is_merge_patched_with_its_uid_as_precondition(world):
    made = world.cluster.apply(
        {"kind": "FloatingIP", "metadata": {"name": "f", "labels": {"x": "y"}}, "spec": {"a": 1, "b": [1, 2]}}
    )
    patch = {"metadata": {"labels": {"x": None}, "annotations": {"n": "m"}}, "spec": {"a": None, "b": [3]}}
    assert await world.writer.write(Write("FloatingIP", "", "f", "patch", patch, "another")) is None
    after = await world.writer.write(Write("FloatingIP", "", "f", "patch", patch, made["metadata"]["uid"]))
    assert after["spec"] == {"b": [3]}
    assert (after["metadata"]["labels"], after["metadata"]["annotations"]) == ({}, {"n": "m"})
    assert world.records[-1] is after


async def test_applied_metadata_is_ours_and_that_of_others_stays(world):
    meta = {"name": "n", "namespace": "a", "finalizers": ["example.com/x"], "annotations": {"theirs": "1"}}
    world.cluster.apply({"kind": "NetworkAttachmentDefinition", "metadata": meta})

    def apply(*finalizers: str) -> Write:
        body = {"metadata": {"annotations": {"ours": "2"}, "finalizers": list(finalizers)}}
        return Write("NetworkAttachmentDefinition", "a", "n", "apply-metadata", body)

    after = await world.writer.write(apply("ledgerlb.io/f"))
    assert after["metadata"]["finalizers"] == ["example.com/x", "ledgerlb.io/f"]
    assert after["metadata"]["annotations"] == {"theirs": "1", "ours": "2"}
    after = await world.writer.write(apply())
    assert after["metadata"]["finalizers"] == ["example.com/x"]
