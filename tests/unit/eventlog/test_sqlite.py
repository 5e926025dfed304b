from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.core.errors import LogUnavailable, TopicMisconfigured
from ledgerlb.eventlog.embedded import SqliteLog, connection, statements
from ledgerlb.eventlog.port import NewRecord, PositionLost, Record, read_to_end
from ledgerlb.eventlog.topics import DEAD_LETTERS, FACTS, INTENTS, LEDGER, Topic

WRITER = """
import asyncio, sys
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import LEDGER
async def main():
    async with SqliteLog(sys.argv[1]) as log:
        print("ready", flush=True)
        for number in range(int(sys.argv[3])):
            await log.append(LEDGER, [NewRecord(sys.argv[2], f"{number}.{part}".encode()) for part in range(5)])
asyncio.run(main())
"""


async def read(log: SqliteLog, topic: Topic) -> list[Record]:
    found: list[Record] = []
    await read_to_end(log, [topic], found.append)
    return found


def writer(path: Path, key: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), key, str(count)], stdout=subprocess.PIPE, text=True
    )


async def test_processes_append_to_one_file_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    processes = [writer(path, f"writer {number}", 40) for number in range(3)]
    async with SqliteLog(path) as log:
        for _ in range(40):
            await log.append(LEDGER, [NewRecord("here", b"x")])
        assert [await asyncio.to_thread(process.wait, 60) for process in processes] == [0, 0, 0]
        found = await read(log, LEDGER)
    assert [record.offset for record in found] == list(range(3 * 40 * 5 + 40))
    for number in range(3):
        assert [record.value for record in found if record.key == f"writer {number}"] == [
            f"{call}.{part}".encode() for call in range(40) for part in range(5)
        ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()


async def test_a_reader_sees_the_appends_of_another_process(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    async with SqliteLog(path) as log, await log.open([FACTS, LEDGER]) as reader:
        assert await reader.poll(0.1) == []
        process = writer(path, "other", 1)
        found = await reader.poll(30.0)
        assert [record.key for record in found] == ["other"] * 5
        assert await asyncio.to_thread(process.wait, 30) == 0
        assert process.stdout is not None
        process.stdout.close()


async def test_a_locked_file_is_told_within_the_bound_and_nothing_is_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT", 0.2)
    async with SqliteLog(tmp_path / "l.db") as log:
        await log.append(LEDGER, [NewRecord("k", b"1")])
        other = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match="another process holds the file"):
            await log.append(LEDGER, [NewRecord("k", b"2")])
        assert len(await read(log, LEDGER)) == 1  # readers are not held up
        other.execute("ROLLBACK")
        other.close()
        assert await log.append(LEDGER, [NewRecord("k", b"3")]) == [1]


async def test_a_call_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CALL_TIMEOUT", 0.1)
    held = connection.Connection(tmp_path / "l.db")
    await held.open()
    release = threading.Event()
    with pytest.raises(LogUnavailable, match="did not answer"):
        await held.run(lambda _: release.wait(10))
    release.set()
    await held.close()


async def test_files_of_others_and_of_the_future_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is not a database at all, it is a letter to a friend. " * 20)
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    async with SqliteLog(tmp_path / "future.db"):
        pass
    future = sqlite3.connect(tmp_path / "future.db")
    future.execute("PRAGMA user_version=99")
    future.close()
    for name, words in (("text", "not a LedgerLB log"), ("foreign", "another application"), ("future", "newer")):
        with pytest.raises(TopicMisconfigured, match=words):
            await SqliteLog(tmp_path / f"{name}.db").__aenter__()


@pytest.mark.parametrize("before", ["PRAGMA application_id", "PRAGMA user_version", "SELECT count"])
def test_a_file_that_another_process_is_just_setting_up_is_not_somebody_elses(tmp_path: Path, before: str) -> None:
    path = tmp_path / "new.db"
    ours, theirs = (sqlite3.connect(path, timeout=0.0, isolation_level=None) for _ in range(2))

    def meanwhile(statement: str) -> None:
        if statement.startswith(before):
            ours.set_trace_callback(None)
            with contextlib.suppress(sqlite3.OperationalError):  # it may find the file locked, and tries again later
                statements.prepare(theirs, path)

    ours.set_trace_callback(meanwhile)
    with contextlib.suppress(sqlite3.OperationalError):
        statements.prepare(ours, path)
    for database in (theirs, ours):
        statements.prepare(database, path)
        assert statements.append(database, [("topic", [(b"key", b"value", ())])], 0)[0] >= 0
        database.close()


async def test_a_file_that_is_locked_while_it_is_set_up_is_tried_again(tmp_path: Path, monkeypatch) -> None:
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorname = "SQLITE_BUSY"
    monkeypatch.setattr(connection, "PREPARE_PAUSES", (0.0, 0.0))
    prepare, errors = statements.prepare, [locked, locked]

    def flaky(*arguments: Any) -> None:
        if errors:
            raise errors.pop()
        prepare(*arguments)

    monkeypatch.setattr(statements, "prepare", flaky)
    async with SqliteLog(tmp_path / "l.db"):
        assert errors == []
    errors[:] = [locked] * 3
    with pytest.raises(LogUnavailable, match="locked"):
        await SqliteLog(tmp_path / "l.db").__aenter__()


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnavailable, match="writable"):
        await SqliteLog(tmp_path / "file" / "l.db").__aenter__()


async def test_an_unsafe_file_is_reported(tmp_path: Path) -> None:
    async with SqliteLog(tmp_path / "l.db") as log:
        assert await log.check() == []
        await log._writer.run(lambda database: database.execute("PRAGMA synchronous=OFF") and None)
        assert "synchronous is 0, wanted FULL" in (await log.check())[0]


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += timedelta(days=days)


async def test_compaction_keeps_the_last_of_each_key_and_history_within_the_lag(tmp_path: Path) -> None:
    clock = Clock()
    async with SqliteLog(tmp_path / "l.db", clock) as log:
        await log.append(FACTS, [NewRecord("a", b"1"), NewRecord("b", b"1"), NewRecord("gone", b"1")])
        await log.append(FACTS, [NewRecord("a", b"2"), NewRecord("gone", None)])
        clock.pass_days(10)
        await log.append(FACTS, [NewRecord("b", b"2")])
        clock.pass_days(5)
        await log.append(FACTS, [NewRecord("c", b"1")])
        # a: both are older than the lag of 14 days; b: its successor is not, so what was true 14 days ago stays.
        assert await log.maintain() == 3
        found = await read(log, FACTS)
        assert [(record.offset, record.key, record.value) for record in found] == [
            (1, "b", b"1"), (3, "a", b"2"), (5, "b", b"2"), (6, "c", b"1"),
        ]  # fmt: skip
        assert await log.maintain() == 0
        async with await log.open([FACTS], {FACTS.name: 2}) as reader:  # a position inside a gap is a position
            assert (await reader.poll(1.0))[0].offset == 3


async def test_compaction_is_bounded_and_offsets_are_never_used_twice(tmp_path: Path) -> None:
    clock = Clock()
    async with SqliteLog(tmp_path / "l.db", clock) as log:
        await log.append(INTENTS, [NewRecord("a", str(number).encode()) for number in range(9)])
        await log.append(INTENTS, [NewRecord("a", None)])
        clock.pass_days(3)
        assert await log.maintain(limit=4) == 4
        assert await log.maintain(limit=100) == 5
        assert [record.offset for record in await read(log, INTENTS)] == [9]  # the last one marks the end
        assert await log.append(INTENTS, [NewRecord("a", b"new")]) == [10]


async def test_the_ledger_is_never_touched_and_dead_letters_expire(tmp_path: Path) -> None:
    clock = Clock()
    async with SqliteLog(tmp_path / "l.db", clock) as log:
        await log.append(LEDGER, [NewRecord("n", b"1"), NewRecord("n", b"2")])
        await log.append(DEAD_LETTERS, [NewRecord("x", b"1"), NewRecord("x", b"2")])
        clock.pass_days(60)
        await log.append(DEAD_LETTERS, [NewRecord("x", b"3")])
        assert await log.maintain() == 0
        clock.pass_days(4000)
        assert await log.maintain() == 2
        assert len(await read(log, LEDGER)) == 2
        assert [record.value for record in await read(log, DEAD_LETTERS)] == [b"3"]
        with pytest.raises(PositionLost):
            await log.open([DEAD_LETTERS], {DEAD_LETTERS.name: 1})


async def test_a_batch_is_bounded_in_bytes(tmp_path: Path) -> None:
    async with SqliteLog(tmp_path / "l.db") as log:
        for _ in range(5):
            await log.append(LEDGER, [NewRecord("n", b"x" * 1_000_000)] * 8)
        async with await log.open([LEDGER]) as reader:
            sizes = []
            while not reader.caught_up:
                sizes.append(len(await reader.poll(1.0)))
    assert sum(sizes) == 40
    assert max(sizes) <= 18


async def test_a_file_from_before_records_had_headers_gets_them_at_its_next_opening(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with contextlib.closing(sqlite3.connect(path)) as old, old:
        old.execute(
            "CREATE TABLE record (topic TEXT NOT NULL, offset INTEGER NOT NULL, key BLOB NOT NULL, value BLOB,"
            " timestamp INTEGER NOT NULL, PRIMARY KEY (topic, offset))"
        )
        old.execute(f"PRAGMA application_id={statements.APPLICATION_ID}")
        old.execute("PRAGMA user_version=1")
        old.execute("INSERT INTO record VALUES (?, 0, ?, ?, 0)", (FACTS.name, b"k", b"old"))
    async with SqliteLog(path) as log:
        await log.append(FACTS, [NewRecord("k", b"new", (("a", b"1"),))])
    found: list[Record] = []
    async with SqliteLog(path) as log:
        await read_to_end(log, [FACTS], found.append)
    assert [(record.value, record.headers) for record in found] == [(b"old", ()), (b"new", (("a", b"1"),))]


async def test_headers_that_somebody_overwrote_are_no_headers(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    async with SqliteLog(path) as log:
        await log.append(FACTS, [NewRecord("k", b"v", (("a", b"1"),))])
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE record SET headers='boom'")
    found: list[Record] = []
    async with SqliteLog(path) as log:
        await read_to_end(log, [FACTS], found.append)
    assert [record.headers for record in found] == [()]
