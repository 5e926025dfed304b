"""How the readers of an SQLite log learn of appends: from memory, from the file watch, and from a slow look."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.embedded import SqliteLog, sqlite, statements, tail
from ledgerlb.eventlog.embedded.connection import Connection
from ledgerlb.eventlog.embedded.filewatch import FileWatch
from ledgerlb.eventlog.port import NewRecord, Reader, Record, read_to_end
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER

NEVER = 3600.0


class Calls:
    """Counts the calls of each connection: ``reads`` by readers, ``writes`` by appends and looks."""

    def __init__(self, log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = self.writes = 0
        run = Connection.run

        async def counted(connection: Connection, call: Callable[[sqlite3.Connection], Any]) -> Any:
            if connection is log._readers:
                self.reads += 1
            elif connection is log._writer:
                self.writes += 1
            return await run(connection, call)

        monkeypatch.setattr(Connection, "run", counted)


def values(records: list[Record]) -> list[str]:
    return [(record.value or b"").decode() for record in records]


def append_as_another_program(path: Path, value: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "INSERT INTO record (topic, offset, key, value, timestamp) SELECT ?1, coalesce(max(offset)+1, 0), ?2, ?3, 0 FROM record WHERE topic=?1",
            (LEDGER.name, b"k", value.encode()),
        )


async def settled_reader(log: SqliteLog, *topics: Any) -> Reader:
    """A reader that has read the file to its end and waited once."""
    reader = await log.open(topics)
    while await reader.poll(0.1):
        pass
    return reader


async def test_a_reader_at_the_end_takes_own_appends_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteLog(tmp_path / "l.db") as log:
        reader = await settled_reader(log, LEDGER, FACTS)
        calls = Calls(log, monkeypatch)
        for number in range(20):
            await log.append(LEDGER, [NewRecord("k", f"{number}.{part}".encode()) for part in range(2)])
            assert values(await reader.poll(5.0)) == [f"{number}.0", f"{number}.1"]
        assert calls.reads == 0


async def test_an_append_wakes_only_the_readers_of_its_topic(tmp_path: Path) -> None:
    async with SqliteLog(tmp_path / "l.db") as log:
        facts, ledger = await settled_reader(log, FACTS), await settled_reader(log, LEDGER)
        polls = 0
        read = log.tail.read

        def counted(positions: Any, limit: int) -> list[Record]:
            nonlocal polls
            polls += FACTS.name in positions
            return read(positions, limit)

        log.tail.read = counted  # type: ignore[method-assign]
        waiting = asyncio.create_task(facts.poll(2.0))
        for number in range(10):
            await log.append(LEDGER, [NewRecord("k", str(number).encode())])
            assert values(await ledger.poll(5.0)) == [str(number)]
        assert polls == 1
        await log.append(FACTS, [NewRecord("k", b"fact")])
        assert values(await waiting) == ["fact"]


async def test_an_idle_log_asks_the_file_once_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOOK_INTERVAL", 0.2)
    async with SqliteLog(tmp_path / "l.db") as log:
        readers = [await settled_reader(log, LEDGER, FACTS) for _ in range(3)]
        calls = Calls(log, monkeypatch)
        began = time.monotonic()
        for _ in range(10):
            assert [await reader.poll(0.02) for reader in readers] == [[]] * 3
        looks = (time.monotonic() - began) / 0.2 + 1
        assert calls.reads == 0
        assert calls.writes <= looks


async def test_the_file_watch_tells_appends_of_others_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOOK_INTERVAL", NEVER)
    path = tmp_path / "l.db"
    async with SqliteLog(path) as log:
        reader = await settled_reader(log, LEDGER)
        for number in range(10):
            waiting = asyncio.create_task(reader.poll(20.0))
            await asyncio.sleep(0.02)
            append_as_another_program(path, str(number))
            assert values(await waiting) == [str(number)]


async def test_without_a_file_watch_a_look_finds_appends_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOOK_INTERVAL", 0.05)
    monkeypatch.setattr(FileWatch, "start", lambda _: False)
    path = tmp_path / "l.db"
    async with SqliteLog(path) as log:
        reader = await settled_reader(log, LEDGER)
        await log.append(LEDGER, [NewRecord("k", b"own")])
        assert values(await reader.poll(5.0)) == ["own"]
        append_as_another_program(path, "other")
        assert values(await reader.poll(20.0)) == ["other"]


@pytest.mark.parametrize("seed", range(6))
async def test_every_reader_gets_every_record_once_and_in_order_whoever_appends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(tail, "MAX_RECORDS", 5)
    chance = random.Random(seed)
    path = tmp_path / "l.db"
    sent: list[str] = []
    async with SqliteLog(path) as log, SqliteLog(path) as second:

        async def follow(limit: int) -> list[Record]:
            found: list[Record] = []
            async with await log.open([INTENTS, LEDGER]) as reader:
                while not found or found[-1].value != b"last":
                    found += await reader.poll(20.0, limit)
                    if limit == 3:
                        await asyncio.sleep(0.001)  # a slow one, which falls behind what is kept in memory
            return found

        followers = [asyncio.create_task(follow(limit)) for limit in (3, 100, 2000)]
        for number in range(60):
            writer = chance.choice(["own", "own", "second", "program"])
            group = [f"{number}.{part}" for part in range(1 if writer == "program" else chance.randint(1, 9))]
            if writer == "program":
                append_as_another_program(path, group[0])
            else:
                connection = log if writer == "own" else second
                await connection.append(LEDGER, [NewRecord("k", value.encode()) for value in group])
            sent += group
            if chance.random() < 0.3:
                await asyncio.sleep(0.002)
        await log.append(LEDGER, [NewRecord("k", b"last")])
        for found in await asyncio.gather(*followers):
            assert values(found) == [*sent, "last"]
            assert [record.offset for record in found] == list(range(len(sent) + 1))


async def test_appends_that_wait_share_a_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    append = statements.append

    def counted(database: sqlite3.Connection, appends: Any, timestamp: int) -> list[int]:
        groups.append(len(appends))
        return append(database, appends, timestamp)

    monkeypatch.setattr(statements, "append", counted)
    async with SqliteLog(tmp_path / "l.db") as log:
        offsets = await asyncio.gather(
            *(log.append((LEDGER, FACTS)[number % 2], [NewRecord("k", str(number).encode())]) for number in range(100))
        )
        assert sum(groups) == 100
        assert len(groups) <= 3
        found: list[Record] = []
        await read_to_end(log, [LEDGER, FACTS], found.append)
    assert {(record.topic, record.offset): record.value for record in found} == {
        ((LEDGER, FACTS)[number % 2].name, offset): str(number).encode() for number, [offset] in enumerate(offsets)
    }


async def test_a_transaction_that_fails_fails_all_of_its_appends_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteLog(tmp_path / "l.db") as log:
        with monkeypatch.context() as broken:

            def full(*_: Any) -> list[int]:
                raise sqlite3.OperationalError("disk full")

            broken.setattr(statements, "append", full)
            results = await asyncio.gather(
                *(log.append(LEDGER, [NewRecord("k", b"1")]) for _ in range(3)), return_exceptions=True
            )
        assert all(isinstance(result, LogUnavailable) and "disk full" in str(result) for result in results)
        assert await log.append(LEDGER, [NewRecord("k", b"2")]) == [0]


async def test_readers_get_what_was_written_for_a_caller_that_gave_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = statements.append

    def slow(*arguments: Any) -> list[int]:
        time.sleep(0.1)
        return append(*arguments)

    async with SqliteLog(tmp_path / "l.db") as log:
        reader = await settled_reader(log, LEDGER)
        monkeypatch.setattr(statements, "append", slow)
        under_way = asyncio.create_task(log.append(LEDGER, [NewRecord("k", b"under way")]))
        await asyncio.sleep(0.02)
        queued = asyncio.create_task(log.append(LEDGER, [NewRecord("k", b"queued")]))
        await asyncio.sleep(0.02)
        under_way.cancel()
        queued.cancel()
        await asyncio.gather(under_way, queued, return_exceptions=True)
        assert values(await reader.poll(5.0)) == ["under way"]
        assert await log.append(LEDGER, [NewRecord("k", b"next")]) == [1]  # what was queued was never written


async def test_the_write_ahead_log_is_copied_into_the_file_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_BYTES", 100_000)
    async with SqliteLog(tmp_path / "l.db") as log:
        for _ in range(10):
            await log.append(LEDGER, [NewRecord("k", b"x" * 5000)])
        async with asyncio.timeout(10):
            while log._checkpointing is not None:
                await asyncio.sleep(0.01)
        shutil.copy(tmp_path / "l.db", tmp_path / "without-wal.db")
        with closing(sqlite3.connect(tmp_path / "without-wal.db")) as copied:
            assert copied.execute("SELECT count(*) FROM record").fetchone()[0] >= 5


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import LEDGER
async def one(log, number):
    [offset] = await log.append(LEDGER, [NewRecord("k", str(number).encode())])
    print(offset, number, flush=True)
async def main():
    async with SqliteLog(sys.argv[1]) as log:
        for start in range(0, 10**9, 20):
            await asyncio.gather(*(one(log, start + number) for number in range(20)))
asyncio.run(main())
"""
    path = tmp_path / "l.db"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(150)]
        process.kill()
        lines += process.stdout.readlines()
    with closing(sqlite3.connect(path)) as database:
        found = dict(database.execute("SELECT offset, CAST(value AS TEXT) FROM record WHERE topic=?", (LEDGER.name,)))
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= 150
    assert all(found[int(offset)] == value for offset, value in acknowledged)


async def test_a_reader_that_fell_behind_what_is_in_memory_reads_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOOK_INTERVAL", NEVER)
    monkeypatch.setattr(tail, "MAX_RECORDS", 5)
    async with SqliteLog(tmp_path / "l.db") as log:
        reader = await settled_reader(log, LEDGER)
        for number in range(20):
            await log.append(LEDGER, [NewRecord("k", str(number).encode())])
        found: list[Record] = []
        async with asyncio.timeout(10):
            while len(found) < 20:
                found += await reader.poll(1.0)
    assert values(found) == [str(number) for number in range(20)]
