from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from ledgerlb.core.errors import ClusterUnavailable, LedgerCorrupt, LogUnavailable
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import EventLog, NewRecord, PositionLost, Record, latest, read_to_end
from ledgerlb.eventlog.topics import DEAD_LETTERS, FACTS, INTENTS, PATHS
from ledgerlb.runtime import deadletters
from ledgerlb.runtime.deadletters import DENIED_WAIT
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.loop import run_processors
from tests.unit.runtime.parts import FlakyLog, Recorder, new, now, running, sample, until
from tests.unit.runtime.virtual import clock, virtual_time


async def letters(log: EventLog) -> list[dict[str, object]]:
    found: list[Record] = []
    await read_to_end(log, [DEAD_LETTERS], found.append)
    return [json.loads(record.value or b"") for record in found]


@virtual_time
async def test_everything_in_the_log_is_folded_before_the_first_settle() -> None:
    log, processor = MemoryLog(clock=now), Recorder()
    await log.append(FACTS, new(*(f"f{number}" for number in range(4500))))
    await log.append(INTENTS, new("i"))
    async with running(log, processor):
        await until(lambda: processor.settles)
        assert processor.settles[0][1] == 4501


@virtual_time
async def test_an_empty_log_is_settled_too() -> None:
    processor = Recorder()
    async with running(MemoryLog(clock=now), processor) as health:
        await until(lambda: processor.settles)
        await until(lambda: not health.not_ready())


@virtual_time
async def test_records_lead_to_a_settle_and_silence_does_not() -> None:
    log, processor = MemoryLog(clock=now), Recorder()
    async with running(log, processor):
        await until(lambda: len(processor.settles) == 1)
        await asyncio.sleep(60)
        assert len(processor.settles) == 1
        await log.append(FACTS, new("a"))
        await until(lambda: len(processor.settles) == 2)
        assert processor.taken == ["a"]


@virtual_time
async def test_a_wake_up_is_honoured_without_records() -> None:
    log, processor = MemoryLog(clock=now), Recorder()
    processor.wake_up = 90.0
    async with running(log, processor):
        await until(lambda: len(processor.settles) == 3, seconds=300)
    first, second, third = (at for at, _ in processor.settles)
    assert second - first == pytest.approx(90, abs=0.1)
    assert third - second == pytest.approx(90, abs=0.1)


@virtual_time
async def test_a_wake_up_at_once_does_not_spin() -> None:
    log, processor = MemoryLog(clock=now), Recorder()
    processor.wake_up = 0.0
    async with running(log, processor):
        await asyncio.sleep(1.0)
    assert 20 < len(processor.settles) < 150


@virtual_time
async def test_a_bad_record_goes_to_dead_letters_and_the_loop_goes_on() -> None:
    log, processor = MemoryLog(clock=now), Recorder()
    await log.append(FACTS, [*new("a"), NewRecord("Service/x/y", b"bad"), *new("b")])
    async with running(log, processor) as health:
        await until(lambda: log.store.topics.get(DEAD_LETTERS.name))
    assert processor.taken == ["a", "b"]
    [letter] = await letters(log)
    assert b64decode(str(letter.pop("raw"))) == b"bad"
    assert b64decode(str(letter.pop("raw_key"))) == b"Service/x/y"
    assert letter.pop("at")
    assert letter.pop("sha256")
    assert letter == {
        "topic": FACTS.name, "offset": 1, "key": "Service/x/y", "truncated": False, "service": "recorder",
        "error": "UndecodableRecord", "message": "fact Service/x/y, value: is bad; mend it",
    }  # fmt: skip
    assert sample(health, "ledgerlb_dead_letters_total", processor="recorder", outcome="written") == 1
    assert sample(health, "ledgerlb_unusable_records_total", processor="recorder", topic=FACTS.name) == 1


@virtual_time
async def test_a_bug_in_take_costs_one_record_and_is_logged_with_its_traceback() -> None:
    log, processor = MemoryLog(clock=now), Recorder()
    await log.append(FACTS, [NewRecord("x", b"bug"), *new("a")])
    with capture_logs() as lines:
        async with running(log, processor):
            await until(lambda: log.store.topics.get(DEAD_LETTERS.name))
    assert processor.taken == ["a"]
    assert (await letters(log))[0]["error"] == "KeyError"
    [line] = [line for line in lines if line["event"].startswith("unexpected")]
    assert isinstance(line["exc_info"], KeyError)
    assert line["log_level"] == "error"


@virtual_time
async def test_a_restart_writes_no_letter_twice_but_another_service_its_own() -> None:
    log = MemoryLog(clock=now)
    await log.append(FACTS, new("x", "y", value=b"bad"))
    for _ in range(3):
        processor = Recorder()
        async with running(log, processor) as health:
            await asyncio.sleep(1)
        assert processor.settles
        assert len(log.store.topics[DEAD_LETTERS.name]) == 2
    assert sample(health, "ledgerlb_dead_letters_total", processor="recorder", outcome="known") == 2
    await log.append(FACTS, new("z", value=b"bad"))
    for name, total in (("recorder", 3), ("other", 6)):
        async with running(log, Recorder(name)):
            await asyncio.sleep(1)
        assert len(log.store.topics[DEAD_LETTERS.name]) == total


@virtual_time
async def test_dead_letters_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "HOURLY_LIMIT", 10)
    log, processor = MemoryLog(clock=now), Recorder()
    async with running(log, processor) as health:
        for number in range(5):
            await log.append(FACTS, new(*(f"{number}.{part}" for part in range(10)), value=b"bad"))
            await asyncio.sleep(1)
        assert len(log.store.topics[DEAD_LETTERS.name]) == 10
        assert sample(health, "ledgerlb_dead_letters_total", processor="recorder", outcome="held back") == 40
        await asyncio.sleep(3600)
        await log.append(FACTS, new("next hour", value=b"bad"))
        await asyncio.sleep(1)
        assert len(log.store.topics[DEAD_LETTERS.name]) == 11


@virtual_time
async def test_a_letter_about_a_record_of_the_largest_size_fits() -> None:
    log, processor = MemoryLog(clock=now), Recorder()

    def bug(_: Record) -> None:
        raise ValueError("x" * 100_000)

    processor.on_take = bug
    await log.append(FACTS, new("x", value=b"\xff" * FACTS.max_bytes))
    await log.append(INTENTS, [NewRecord("t", None)])
    with capture_logs():
        async with running(log, processor):
            await until(lambda: len(log.store.topics.get(DEAD_LETTERS.name, ())) == 2)
    large, tombstone = await letters(log)
    assert b64decode(str(large["raw"])) == b"\xff" * FACTS.max_bytes
    assert tombstone["raw"] is None


@virtual_time
@pytest.mark.parametrize("raw_key", [b"\xff" * 16_000, "\N{NO ENTRY SIGN}".encode() * 200_000])
async def test_a_letter_about_a_foreign_record_with_an_absurd_key_fits(raw_key: bytes) -> None:
    log, processor = MemoryLog(clock=now), Recorder()
    key = raw_key.decode("utf-8", "replace")
    log.store.topics[FACTS.name] = [Record(FACTS.name, 0, key, b"bad", 0, raw_key)]
    await log.append(FACTS, new("a"))
    with capture_logs():
        async with running(log, processor) as health:
            await until(lambda: log.store.topics.get(DEAD_LETTERS.name))
            assert not health.not_ready()
    [letter] = await letters(log)
    assert b64decode(str(letter["raw_key"])) == raw_key[:16384]
    assert letter["truncated"]
    assert processor.taken == ["a"]


@virtual_time
async def test_dead_letters_that_cannot_be_written_do_not_keep_a_processor_from_its_work() -> None:
    log, processor = FlakyLog(), Recorder()
    log.refuses.add(DEAD_LETTERS.name)
    await log.append(FACTS, new("x", value=b"bad"))
    async with running(log, processor):
        await until(lambda: processor.settles)
        await log.append(FACTS, new("a"))
        await until(lambda: processor.settles[-1][1] == 1)
        log.refuses.clear()
        await until(lambda: log.store.topics.get(DEAD_LETTERS.name))
    assert len(await letters(log)) == 1


@virtual_time
async def test_dead_letters_that_are_not_permitted_wait_and_stop_nothing() -> None:
    log, processor = FlakyLog(), Recorder()
    log.denies.add(DEAD_LETTERS.name)
    await log.append(FACTS, new("x", value=b"bad"))
    async with running(log, processor) as health:
        await until(
            lambda: sample(health, "ledgerlb_dead_letters_total", processor="recorder", outcome="not permitted")
        )
        for name in "abc":
            await log.append(FACTS, new(name))
            await until(lambda name=name: name in processor.taken)
        # The processor's reader goes on: reading again would not help. The other one looked for known letters.
        assert [DEAD_LETTERS.name in positions for positions in log.opened] == [False, True]
        assert health.not_ready() == []
        log.denies.clear()
        await asyncio.sleep(DENIED_WAIT)
        await log.append(FACTS, new("d"))
        await until(lambda: log.store.topics.get(DEAD_LETTERS.name))
    assert len(await letters(log)) == 1


@virtual_time
async def test_an_unknown_append_is_followed_by_catching_up_and_another_settle() -> None:
    log, processor = FlakyLog(), Recorder()
    log.refuses.add(INTENTS.name)

    async def write(connection: EventLog) -> None:
        if "mine" not in processor.taken:
            await connection.append(INTENTS, new("mine"))

    processor.on_settle = write
    await log.append(FACTS, new("a", "b"))
    async with running(log, processor) as health:
        await until(lambda: len(processor.settles) >= 5)
        await log.append(FACTS, new("c"))
        log.refuses.clear()
        await until(lambda: "mine" in processor.taken)
        await until(lambda: not health.not_ready())
    assert processor.taken[:3] == ["a", "b", "c"]  # nothing was folded twice
    assert processor.taken.count("mine") == 1
    assert processor.resets == 0
    assert log.opened[1] == {FACTS.name: 2}
    assert sample(health, "ledgerlb_append_errors_total", processor="recorder", topic=INTENTS.name) >= 5


@virtual_time
async def test_back_off_grows_to_its_bound_and_begins_anew_after_a_success() -> None:
    log, processor = FlakyLog(), Recorder()
    async with running(log, processor):
        await until(lambda: processor.settles)
        tries: list[float] = []

        async def refuse(_: EventLog) -> None:
            tries.append(clock())
            raise LogUnavailable("no")

        processor.on_settle = refuse
        await log.append(FACTS, new("a"))
        await until(lambda: len(tries) == 12, seconds=120)
        waits = [after - before for before, after in pairwise(tries)]
        assert 0.1 <= waits[0] <= 0.25
        assert all(2.5 <= wait <= 5.1 for wait in waits[6:]), waits
        processor.on_settle = None
        before = len(processor.settles)
        await until(lambda: len(processor.settles) > before)
        processor.on_settle = refuse
        tries.clear()
        await log.append(FACTS, new("b"))
        await until(lambda: len(tries) == 2)
        assert tries[1] - tries[0] <= 0.25
        processor.on_settle = None


@virtual_time
async def test_readiness_goes_five_seconds_after_the_log_and_comes_back_with_it() -> None:
    log, processor = FlakyLog(), Recorder()
    async with running(log, processor) as health:
        assert health.not_ready() == ["starting"]
        await until(lambda: not health.not_ready())
        await asyncio.sleep(30)
        assert not health.not_ready()  # a silent log is no reason
        log.down = True
        went = clock()
        await until(health.not_ready)
        assert 4.0 < clock() - went < 6.0
        assert "the log is down" in health.not_ready()[0]
        await asyncio.sleep(300)
        assert not health.not_live()  # a restart would not help
        log.down = False
        await until(lambda: not health.not_ready(), seconds=6)


@virtual_time
async def test_a_log_that_can_be_read_but_not_written_makes_unready_as_well() -> None:
    log, processor = FlakyLog(), Recorder()
    processor.wake_up = 1.0
    processor.on_settle = lambda connection: connection.append(PATHS, new("x"))
    async with running(log, processor) as health:
        await until(lambda: not health.not_ready())
        log.refuses.add(PATHS.name)
        await until(health.not_ready, seconds=8)
        log.refuses.clear()
        await until(lambda: not health.not_ready(), seconds=6)


@virtual_time
async def test_a_lost_position_means_starting_over() -> None:
    log, processor = FlakyLog(), Recorder()
    await log.append(FACTS, new("a", "b"))
    async with running(log, processor) as health:
        await until(lambda: processor.settles)
        log.poll_errors.append(PositionLost("gone"))
        await until(lambda: processor.resets == 1)
        assert health.not_ready()
        await until(lambda: processor.taken == ["a", "b"])
        await until(lambda: not health.not_ready())
    assert log.opened[-1] == {}


@virtual_time
async def test_other_trouble_of_ours_in_settle_is_tried_again() -> None:
    log, processor = MemoryLog(clock=now), Recorder()
    failures = iter([ClusterUnavailable("later"), OSError("reset")])

    async def fail(_: EventLog) -> None:
        for error in failures:
            raise error

    processor.on_settle = fail
    async with running(log, processor) as health:
        await until(lambda: len(processor.settles) == 3)
        await until(lambda: not health.not_ready())


@virtual_time
async def test_a_corrupt_ledger_ends_the_loop() -> None:
    log, processor = MemoryLog(clock=now), Recorder()

    def corrupt(_: Record) -> None:
        raise LedgerCorrupt("two holders")

    processor.on_take = corrupt
    await log.append(FACTS, new("a"))
    with pytest.raises(LedgerCorrupt, match="two holders"):
        await run_processors(log, [processor], Health(clock), asyncio.Event())
    assert DEAD_LETTERS.name not in log.store.topics


@virtual_time
async def test_a_bug_in_settle_ends_the_loop() -> None:
    log, processor = MemoryLog(clock=now), Recorder()

    async def bug(_: EventLog) -> None:
        raise ZeroDivisionError

    processor.on_settle = bug
    with pytest.raises(ZeroDivisionError):
        await run_processors(log, [processor], Health(clock), asyncio.Event())


@pytest.mark.parametrize("down", [False, True], ids=["tailing", "backing off"])
@virtual_time
async def test_a_stop_ends_the_loop_soon(down: bool) -> None:
    log, processor, stop = FlakyLog(), Recorder(), asyncio.Event()
    task = asyncio.create_task(run_processors(log, [processor], Health(clock), stop))
    await until(lambda: processor.settles)
    log.down = down
    await asyncio.sleep(60)
    began = clock()
    stop.set()
    await task
    assert clock() - began <= 0.6


async def test_a_long_fold_lets_others_run() -> None:
    log, processor, stop = MemoryLog(), Recorder(), asyncio.Event()

    def slow(_: Record) -> None:
        time.sleep(0.0005)

    processor.on_take = slow
    await log.append(FACTS, new(*map(str, range(2000))))
    task = asyncio.create_task(run_processors(log, [processor], Health(), stop))
    longest, last = 0.0, time.perf_counter()
    while not processor.settles:
        await asyncio.sleep(0)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    stop.set()
    await task
    assert longest < 0.5  # the whole fold takes a second


async def test_latest_leaves_out_what_was_deleted() -> None:
    log = MemoryLog()
    await log.append(FACTS, [*new("a", "b"), NewRecord("a", None)])
    assert list(await latest(log, FACTS)) == ["b"]
