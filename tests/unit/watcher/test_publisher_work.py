"""The work queue: one task a name, bounded concurrency, back-off, background tasks last."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from ledgerlb.core.errors import ClusterRefused, ClusterUnavailable
from ledgerlb.kube.api.refusals import ApiUnavailable
from ledgerlb.watcher.work import OUTAGE, Limits, WorkQueue

QUICK = Limits(concurrency=4, first=0.01, longest=0.05, quiet=0.0, patience=0.0, max_background=3)


class Desk:
    """Work that counts, may be held back, and may fail."""

    def __init__(self, limits: Limits = QUICK) -> None:
        self.done: Counter[str] = Counter()
        self.order: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failing: dict[str, list[Exception]] = {}
        self.running = 0
        self.most = 0
        self.queue = WorkQueue(self.work, limits)

    async def work(self, name: str) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
            self.order.append(name)
            if self.failing.get(name):
                raise self.failing[name].pop(0)
            self.done[name] += 1
        finally:
            self.running -= 1

    def background_task(self, name: str, *errors: Exception) -> None:
        left = list(errors)

        async def run() -> None:
            self.order.append(name)
            if left:
                raise left.pop(0)
            self.done[name] += 1

        self.queue.add_background(run)

    async def finished(self) -> bool:
        return await self.queue.idle(5.0)


async def test_names_are_worked_on_once_however_often_they_are_added():
    desk = Desk()
    desk.open.clear()
    for _ in range(5):
        desk.queue.add("a")
    for number in range(20):
        desk.queue.add(f"n{number}")
        desk.queue.add(f"n{number}")
    await asyncio.sleep(0)
    desk.open.set()
    assert await desk.finished()
    # "a" ran when it was added first; what was asked for meanwhile makes one more run, not four.
    assert desk.done["a"] == 2
    assert {name: count for name, count in desk.done.items() if count > 1 and name != "a"}.keys() <= {"n0", "n1", "n2"}


async def test_never_more_at_a_time_than_allowed():
    desk = Desk()
    desk.open.clear()
    for number in range(50):
        desk.queue.add(f"n{number}")
    await asyncio.sleep(0)
    assert desk.running == 4
    desk.open.set()
    assert await desk.finished()
    assert (desk.most, len(desk.done)) == (4, 50)


async def test_one_name_that_fails_is_tried_again_and_holds_nobody_up():
    desk = Desk()
    desk.failing["bad"] = [ClusterUnavailable("500")] * 3
    for name in ("bad", "good"):
        desk.queue.add(name)
    assert await desk.finished()
    assert desk.done == {"bad": 1, "good": 1}
    assert desk.order.count("bad") == 4
    assert desk.queue.counts["failed"] == 3


async def test_after_an_outage_everything_goes_on_at_the_first_success():
    desk = Desk(Limits(concurrency=16, first=60.0, longest=60.0))
    names = [f"n{number}" for number in range(OUTAGE + 4)]
    for name in names:
        desk.failing[name] = [ClusterUnavailable("down")]
        desk.queue.add(name)
    while len(desk.order) < len(names):
        await asyncio.sleep(0)
    assert not desk.done
    desk.queue.add("another")
    assert await desk.finished()  # nobody waited the 60 s
    assert set(desk.done) == {*names, "another"}


async def test_those_that_failed_come_after_those_that_did_not():
    desk = Desk(Limits(concurrency=1, first=0.01, longest=0.01, quiet=0.0))
    stuck = [f"stuck{number}" for number in range(OUTAGE)]
    for name in stuck:
        desk.failing[name] = [ClusterUnavailable("a webhook does not answer")]
        desk.queue.add(name)
    async with asyncio.timeout(5):
        while len(desk.order) < len(stuck):
            await asyncio.sleep(0)
        desk.open.clear()
        while not desk.running:  # the first of them is tried again, and all others wait behind it
            await asyncio.sleep(0)
        while desk.queue._delayed:
            await asyncio.sleep(0.001)
    desk.queue.add("new")
    desk.open.set()
    assert await desk.finished()
    assert desk.order.index("new") == len(stuck) + 1
    assert all(desk.done[name] == 1 for name in (*stuck, "new"))


async def test_the_server_may_name_the_pause():
    desk = Desk(Limits(first=0.001, longest=5.0))
    desk.failing["a"] = [ApiUnavailable("429", retry_after=0.2)]
    began = asyncio.get_running_loop().time()
    desk.queue.add("a")
    assert await desk.finished()
    assert asyncio.get_running_loop().time() - began >= 0.2


@pytest.mark.parametrize("error", [ClusterRefused("no"), RuntimeError("bug")])
async def test_other_errors_end_that_work_only(error):
    desk = Desk()
    desk.failing["bad"] = [error]
    desk.queue.add("bad")
    desk.queue.add("good")
    assert await desk.finished()
    assert desk.done == {"good": 1}


async def test_background_tasks_wait_for_the_names():
    desk = Desk(Limits(concurrency=1, quiet=0.01, patience=60.0))
    for number in range(5):
        desk.queue.add(f"n{number}")
        desk.background_task("event")
    assert await desk.finished()
    assert "event" not in desk.order[:5]
    assert desk.done["event"] == 5


async def test_background_tasks_do_not_wait_for_ever():
    desk = Desk(Limits(concurrency=1, quiet=60.0, patience=0.05))
    desk.open.clear()
    desk.queue.add("stuck")
    desk.background_task("event")
    async with asyncio.timeout(5):
        while not desk.done["event"]:
            await asyncio.sleep(0.01)
    desk.open.set()
    assert await desk.finished()


async def test_too_many_background_tasks_drop_the_oldest_and_count_it():
    desk = Desk(Limits(quiet=60.0, patience=60.0, max_background=3))
    desk.queue._busy_at = asyncio.get_running_loop().time()
    for number in range(5):
        desk.background_task(f"e{number}")
    assert desk.queue.counts["dropped"] == 2
    assert desk.queue.waiting() == 3
    await desk.queue.close()


async def test_a_background_task_is_tried_again_a_few_times_only():
    desk = Desk(Limits(quiet=0.0, patience=0.0, first=0.001))
    desk.background_task("once", ClusterUnavailable("x"))
    desk.background_task("never", *[ClusterUnavailable("x")] * 99)
    desk.background_task("refused", ClusterRefused("x"))
    assert await desk.finished()
    assert desk.done == {"once": 1}
    assert (desk.order.count("never"), desk.order.count("refused")) == (5, 1)
    assert desk.queue.counts["dropped"] == 2


async def test_idle_says_when_it_is_not():
    desk = Desk()
    desk.open.clear()
    desk.queue.add("a")
    assert not await desk.queue.idle(0.02)
    desk.open.set()
    assert await desk.finished()


async def test_close_ends_what_hangs():
    desk = Desk()
    desk.open.clear()
    desk.queue.add("a")
    desk.queue.add("b")
    await asyncio.sleep(0)
    await desk.queue.close(within=0.05)
    assert not desk.queue._tasks
    desk.queue.add("c")
    assert desk.order == []
