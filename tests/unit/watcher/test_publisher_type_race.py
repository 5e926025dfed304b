"""A Service that ceases to be a LoadBalancer just while our finalizer is put on it: the finalizer must not stay for ever."""

from __future__ import annotations

from ledgerlb.core.facts import FINALIZER
from ledgerlb.core.intents import Selection
from tests.unit.watcher.publisher_rig import Rig, short


async def test_a_finalizer_that_came_after_the_type_changed_goes_again():
    rig = Rig()

    def changed_just_before(write):
        if short(write) == "finalizer on":
            rig.service(type="ClusterIP")

    rig.writer.before = changed_just_before
    rig.service()
    await rig.turn()
    assert rig.obj()["spec"]["type"] == "ClusterIP"
    assert rig.writer.take() == ["finalizer on", "finalizer off"]
    assert not rig.has_finalizer()


async def test_a_restart_in_between_does_not_leave_it_either():
    rig = Rig()
    rig.service()
    uid = rig.obj()["metadata"]["uid"]
    await rig.intend(Selection(service="a/web", revision=1, uid=uid, network="contrail/ext"))
    put_on_by_the_one_before(rig)
    await rig.turn()
    assert rig.writer.take() == ["finalizer off"]
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
