"""A Service that ceases to be a LoadBalancer just while its address is shown: no finalizer stays."""

from __future__ import annotations

import asyncio

from ledgerlb.core.cluster.facts import FINALIZER
from ledgerlb.core.intents.model import Selection
from tests.unit.watcher.publisher_rig import Rig, short


async def test_a_service_whose_type_changed_just_before_gets_nothing():
    rig = Rig()

    def changed_just_before(write):
        if short(write) == "publish":
            rig.service(type="ClusterIP")

    rig.writer.before = changed_just_before
    rig.service()
    await rig.select()
    await rig.allocate("192.0.2.1")
    await rig.observe()
    await rig.fold()
    async with asyncio.timeout(5):
        while not rig.publisher.queue.counts["failed"]:
            await asyncio.sleep(0.001)
    await rig.turn()
    assert rig.obj()["spec"]["type"] == "ClusterIP"
    assert not rig.has_finalizer()
    assert rig.publisher.counts["refused"] == 0


async def test_a_restart_in_between_does_not_leave_it_either():
    rig = Rig()
    rig.service()
    uid = rig.obj()["metadata"]["uid"]
    await rig.intend(Selection(service="a/web", revision=1, uid=uid, network="contrail/ext"))
    put_on_by_the_one_before(rig)
    await rig.turn()
    assert rig.writer.take() == ["release"]
    assert not rig.has_finalizer()


async def test_the_finalizer_of_a_service_that_was_never_ours_is_left_alone():
    rig = Rig()
    rig.service()
    put_on_by_the_one_before(rig)
    await rig.turn()
    assert rig.writer.take() == []
    assert rig.has_finalizer()


def put_on_by_the_one_before(rig: Rig) -> None:
    """The Service is a ClusterIP, and carries the finalizer."""
    obj = rig.obj()
    metadata = {**obj["metadata"], "finalizers": [FINALIZER]}
    rig.cluster.apply({**obj, "metadata": metadata, "spec": {**obj["spec"], "type": "ClusterIP"}})
