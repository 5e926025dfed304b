"""A Service that ceases to be ours: what was said of it stays until our finalizer is off."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster.facts import Condition
from tests.builders.objects import NETWORK
from tests.unit.network_selector.stage import Stage
from tests.unit.selection.world import service, vn

MINE = Condition(type="ledgerlb.io/NetworkSelected", status="True", reason="NetworkSelected")


@pytest.mark.parametrize("leaving", [{"type": "ClusterIP"}, {"type": "ClusterIP", "deleting": True}])
@pytest.mark.parametrize("mark", [{"has_finalizer": True}, {"has_finalizer": False, "conditions": (MINE,)}])
async def test_the_verdict_stays_while_our_marks_do(leaving, mark):
    stage = await Stage().start(service("a/s", has_finalizer=False))
    assert await stage.last_intent("|a/s") is not None
    await stage.put(service("a/s", **leaving, **mark))
    await stage.run()
    assert (await stage.last_intent("|a/s")).uid == "uid-a/s"
    await stage.put(service("a/s", **leaving, has_finalizer=False))
    await stage.run()
    assert await stage.last_intent("|a/s") is None


async def test_of_another_class_it_is_said_not_to_be_ours_once_our_marks_are_gone():
    stage = await Stage().start(service("a/s", has_finalizer=False))
    await stage.put(service("a/s", load_balancer_class="x/y", has_finalizer=False, conditions=(MINE,)))
    await stage.run()
    assert (await stage.last_intent("|a/s")).ours
    await stage.put(service("a/s", load_balancer_class="x/y", has_finalizer=False))
    await stage.run()
    assert not (await stage.last_intent("|a/s")).ours


async def test_nothing_is_left_of_one_that_is_gone_with_its_finalizer():
    stage = await Stage().start(service("a/s"))
    await stage.put(service("a/s", deleting=True))
    await stage.run()
    await stage.drop("Service", "a/s")
    await stage.run()
    assert await stage.last_intent("|a/s") is None


async def test_one_that_held_an_address_is_looked_at_when_its_last_condition_goes():
    wish = {NETWORK: "n/x"}
    stage = await Stage().start(vn("n/x", "10.0.0.0/24"), service("a/s", wish))
    await stage.run()
    assert stage.ipam.processor.fold.holdings_of("a/s")
    leaving = {"annotations": wish, "type": "ClusterIP", "has_finalizer": False}
    await stage.put(service("a/s", **leaving, conditions=(MINE,)))
    await stage.run()
    assert await stage.last_intent("|a/s") is not None
    await stage.put(service("a/s", **leaving))
    await stage.run()
    assert await stage.last_intent("|a/s") is None
