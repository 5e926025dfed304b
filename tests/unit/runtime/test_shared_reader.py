"""Several processors of one process share one reader."""

from __future__ import annotations

import asyncio
from typing import Self

import pytest

from ledgerlb.core.errors import LedgerCorrupt, LogAccessDenied, LogUnavailable
from ledgerlb.eventlog.port import PositionLost
from ledgerlb.eventlog.topics import FACTS, INTENTS, PATHS
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.loop import Timing, run_processors
from ledgerlb.runtime.pace import LOW_PRIORITY_LONGEST
from tests.unit.runtime.parts import FlakyLog, Recorder, new, now, sample, until
from tests.unit.runtime.virtual import clock, virtual_time


class Two:
    """Two processors in one loop, on a log that can fail."""

    def __init__(self, *, second_unhurried: bool = False) -> None:
        self.log = FlakyLog()
        self.first = Recorder("first", (FACTS,))
        self.second = Recorder("second", (FACTS, INTENTS))
        self.second.low_priority = second_unhurried
        self.health = Health(clock)
        self.stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.log.__aenter__()
        timing = Timing(clock=clock, now=now)
        self.task = asyncio.create_task(
            run_processors(self.log, [self.first, self.second], self.health, self.stop, timing)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await self.task


@virtual_time
async def test_each_processor_gets_the_records_of_its_topics_from_one_reader() -> None:
    async with Two() as two:
        await two.log.append(FACTS, new("a", "b"))
        await two.log.append(INTENTS, new("c"))
        await two.log.append(PATHS, new("d"))
        await until(lambda: len(two.second.taken) == 3 and not two.health.not_ready())
        assert two.first.taken == ["a", "b"]
        assert sorted(two.second.taken) == ["a", "b", "c"]
        assert len(two.log.opened) == 1
        assert sample(two.health, "ledgerlb_records_folded_total", processor="first", topic=FACTS.name) == 2
        assert sample(two.health, "ledgerlb_records_folded_total", processor="second", topic=FACTS.name) == 2


@virtual_time
async def test_only_those_settle_that_got_a_record_or_are_due() -> None:
    async with Two() as two:
        await until(lambda: two.first.settles and two.second.settles)
        two.first.settles.clear()
        two.second.settles.clear()
        await two.log.append(INTENTS, new("c"))
        await until(lambda: two.second.settles)
        assert two.first.settles == []
        two.first.wake_up = 3.0
        await two.log.append(FACTS, new("a"))
        await until(lambda: len(two.first.settles) == 2)
        assert two.first.settles[1][0] - two.first.settles[0][0] == pytest.approx(3.0, abs=0.05)
        assert len(two.second.settles) == 2


@virtual_time
async def test_an_unhurried_processor_lets_records_gather_and_holds_up_nobody() -> None:
    async with Two(second_unhurried=True) as two:
        await until(lambda: two.first.settles and two.second.settles)
        began = clock()
        for number in range(100):
            await two.log.append(FACTS, new(str(number)))
            await asyncio.sleep(0.01)
        took = clock() - began
        await until(lambda: two.second.settles[-1][1] == 100)
        first = [at for at, _ in two.first.settles if at >= began]
        second = [at for at, _ in two.second.settles if at >= began]
        assert len(first) > 50
        assert len(second) < 3 + 2 * took / LOW_PRIORITY_LONGEST
        assert two.second.settles[-1][0] - began - took <= LOW_PRIORITY_LONGEST + 0.02


@virtual_time
async def test_an_error_of_one_makes_all_catch_up_and_settle_again() -> None:
    async with Two() as two:
        await until(lambda: not two.health.not_ready())
        failures = [LogUnavailable("refused")]

        async def fail(_log: object) -> None:
            if failures:
                raise failures.pop()

        two.second.on_settle = fail
        settled = len(two.first.settles)
        await two.log.append(INTENTS, new("c"))
        await until(lambda: not failures)
        assert [line.split(":")[0] for line in two.health.not_ready()] in ([], ["first", "second"])
        await until(lambda: not two.health.not_ready() and len(two.first.settles) > settled)
        assert two.second.taken == ["c"], "nothing is folded twice"
        assert len(two.log.opened) == 2


@virtual_time
async def test_a_lost_position_resets_all() -> None:
    async with Two() as two:
        await two.log.append(FACTS, new("a"))
        await until(lambda: two.first.taken and two.second.taken)
        two.log.poll_errors.append(PositionLost("gone"))
        await until(lambda: two.first.resets and two.second.resets)
        await until(lambda: two.first.taken == ["a"] == two.second.taken)


@virtual_time
async def test_each_processor_keeps_its_own_dead_letters() -> None:
    async with Two() as two:
        await two.log.append(FACTS, new("a", value=b"bad"))
        await until(
            lambda: all(
                sample(two.health, "ledgerlb_dead_letters_total", processor=name, outcome="written") == 1
                for name in ("first", "second")
            )
        )


@virtual_time
async def test_settles_of_one_pass_wait_side_by_side() -> None:
    """As for the log: their appends then travel together."""
    async with Two() as two:
        await until(lambda: two.first.settles and two.second.settles)
        both_wait = asyncio.Barrier(2)

        async def wait_for_the_other(_log: object) -> None:
            await both_wait.wait()

        two.first.on_settle = two.second.on_settle = wait_for_the_other
        await two.log.append(FACTS, new("a"))
        await until(lambda: len(two.first.settles) == len(two.second.settles) == 2 and not both_wait.n_waiting)


@virtual_time
async def test_nothing_is_folded_while_a_settle_waits() -> None:
    async with Two() as two:
        await until(lambda: two.first.settles and two.second.settles)
        release = asyncio.Event()
        two.second.on_settle = lambda _log: release.wait()
        await two.log.append(INTENTS, new("c"))
        await until(lambda: len(two.second.settles) == 2)
        await two.log.append(FACTS, new("a"))
        await asyncio.sleep(1.0)
        assert two.first.taken == []
        release.set()
        await until(lambda: two.first.taken == ["a"])


@virtual_time
async def test_a_bug_of_one_outweighs_what_the_other_could_recover_from() -> None:
    async def unavailable(_log: object) -> None:
        raise LogUnavailable("refused")

    async def corrupt(_log: object) -> None:
        await asyncio.sleep(0.5)
        raise LedgerCorrupt("a bug")

    two = Two()
    two.first.on_settle, two.second.on_settle = unavailable, corrupt
    with pytest.raises(LedgerCorrupt, match="a bug"):
        await run_processors(two.log, [two.first, two.second], two.health, two.stop, Timing(clock=clock, now=now))


@virtual_time
async def test_the_success_of_one_does_not_hurry_the_retries_of_the_other() -> None:
    async with Two() as two:
        await until(lambda: not two.health.not_ready())

        async def denied(_log: object) -> None:
            raise LogAccessDenied("not permitted")

        two.second.on_settle = denied
        await two.log.append(FACTS, new("a"))
        await until(lambda: len(two.second.settles) >= 3)
        opened = len(two.log.opened)
        await asyncio.sleep(60.0)
        assert len(two.log.opened) - opened < 30, "the waits grow"
        two.second.on_settle = None
        await until(lambda: not two.health.not_ready())
