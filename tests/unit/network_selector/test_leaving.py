"""A Service that ceases to be ours: what was said of it stays until our finalizer is off."""

from __future__ import annotations

import pytest

from tests.unit.network_selector.stage import Stage
from tests.unit.selection.world import service


@pytest.mark.parametrize("leaving", [{"type": "ClusterIP"}, {"type": "ClusterIP", "deleting": True}])
async def test_the_verdict_stays_while_the_finalizer_does(leaving):
    stage = await Stage().start(service("a/s", has_finalizer=False))
    assert await stage.said("|a/s") is not None
    await stage.put(service("a/s", **leaving))
    await stage.run()
    assert (await stage.said("|a/s")).uid == "uid-a/s"
    await stage.put(service("a/s", **leaving, has_finalizer=False))
    await stage.run()
    assert await stage.said("|a/s") is None


async def test_nothing_is_left_of_one_that_is_gone_with_its_finalizer():
    stage = await Stage().start(service("a/s"))
    await stage.put(service("a/s", deleting=True))
    await stage.run()
    await stage.drop("Service", "a/s")
    await stage.run()
    assert await stage.said("|a/s") is None
