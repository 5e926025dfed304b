from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ledgerlb.core.errors import BadInput, LogUnavailable, TopicMisconfigured
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.embedded.backup import backup, contents, restore
from ledgerlb.eventlog.port import NewRecord, Record, read_to_end
from ledgerlb.eventlog.topics import FACTS, LEDGER

WRITER = """
import asyncio, itertools, sys
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import FACTS, LEDGER
async def main():
    async with SqliteLog(sys.argv[1]) as log:
        for number in itertools.count():
            await log.append(LEDGER, [NewRecord("n", f"{number}".encode())])
            await log.append(FACTS, [NewRecord("k", f"{number}".encode())])
            print(number, flush=True)
asyncio.run(main())
"""


async def fill(path: Path, *values: str) -> None:
    async with SqliteLog(path) as log:
        for value in values:
            await log.append(LEDGER, [NewRecord("n", value.encode())])


async def ledger(path: Path) -> list[str]:
    found: list[Record] = []
    async with SqliteLog(path) as log:
        await read_to_end(log, [LEDGER], found.append)
    return [(record.value or b"").decode() for record in found]


async def test_a_copy_of_a_log_in_use_is_a_prefix_of_it_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for number in range(5):
            before = int([writer.stdout.readline() for _ in range(10)][-1])
            found = backup(path, tmp_path / f"{number}.backup")
            assert found.ledger_end > before
            assert found.records[LEDGER.name] - found.records.get(FACTS.name, 0) in {0, 1}  # as of one moment
        writer.kill()
    for number in range(5):
        copy = tmp_path / f"{number}.backup"
        assert not copy.with_name(copy.name + "-wal").exists()
        assert await ledger(copy) == [str(entry) for entry in range(len(await ledger(copy)))]


async def test_a_backup_holds_what_was_only_in_the_side_file_of_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = int([writer.stdout.readline() for _ in range(5)][-1])
        writer.kill()
    shutil.copy(path, tmp_path / "plain-copy.db")
    with pytest.raises(TopicMisconfigured, match="without its -wal"):
        contents(tmp_path / "plain-copy.db")
    assert backup(path, tmp_path / "b").ledger_end > acknowledged


async def test_a_restored_log_goes_on_where_the_backup_ended(tmp_path: Path) -> None:
    path, copy = tmp_path / "l.db", tmp_path / "b"
    await fill(path, "1", "2")
    backup(path, copy)
    path.unlink()
    found, kept = restore(copy, path)
    assert (found.ledger_end, kept) == (2, None)
    await fill(path, "3")
    assert await ledger(path) == ["1", "2", "3"]
    assert await ledger(copy) == ["1", "2"]


async def test_a_log_with_more_entries_is_replaced_only_by_force_and_kept(tmp_path: Path) -> None:
    path, copy = tmp_path / "l.db", tmp_path / "b"
    await fill(path, "1")
    backup(path, copy)
    restore(copy, path)  # nothing to lose
    await fill(path, "2", "3")
    with pytest.raises(BadInput, match="2 ledger entries that"):
        restore(copy, path)
    assert await ledger(path) == ["1", "2", "3"]
    _, kept = restore(copy, path, force=True)
    assert await ledger(path) == ["1"]
    assert kept is not None
    assert await ledger(kept) == ["1", "2", "3"]


async def test_a_backup_of_another_log_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path / "one.db", "1", "2")
    await fill(tmp_path / "two.db", "1", "other", "3")
    backup(tmp_path / "two.db", tmp_path / "b")
    with pytest.raises(BadInput, match=r"differs from .* in ledger entry 1"):
        restore(tmp_path / "b", tmp_path / "one.db")


async def test_what_a_killed_process_left_beside_the_file_does_not_reach_the_restored_log(tmp_path: Path) -> None:
    path, copy = tmp_path / "l.db", tmp_path / "b"
    await fill(path, "old")
    backup(path, copy)
    path.unlink()
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.kill()
    assert path.with_name("l.db-wal").stat().st_size
    restore(copy, path, force=True)
    assert await ledger(path) == ["old"]


async def test_a_log_in_use_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledgerlb.eventlog.embedded.backup._BUSY_TIMEOUT", 0.05)
    path, copy = tmp_path / "l.db", tmp_path / "b"
    await fill(path, "1")
    backup(path, copy)
    async with SqliteLog(path) as log:
        for force in (False, True):
            with pytest.raises(LogUnavailable, match="open in another process"):
                restore(copy, path, force=force)
        await log.append(LEDGER, [NewRecord("n", b"2")])
    assert await ledger(path) == ["1", "2"]


async def test_what_is_no_backup_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    await fill(path, "1")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no database " * 500)
    with closing(sqlite3.connect(tmp_path / "foreign")) as foreign:
        foreign.execute("CREATE TABLE t (x)")
    shutil.copy(path, tmp_path / "cut")
    os.truncate(tmp_path / "cut", (tmp_path / "cut").stat().st_size // 2)
    os.mkfifo(tmp_path / "pipe")
    for name in ("empty", "text", "foreign", "cut", "pipe", "missing"):
        for call in (restore, backup):
            with pytest.raises((TopicMisconfigured, LogUnavailable)):
                call(tmp_path / name, path if call is restore else tmp_path / f"copy-of-{name}")
    assert await ledger(path) == ["1"]
    with pytest.raises(BadInput, match="is the log itself"):
        restore(path, path)


async def test_a_backup_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    path, copy = tmp_path / "l.db", tmp_path / "b"
    await fill(path, "1")
    backup(path, copy)
    await fill(path, "2")
    with pytest.raises(BadInput, match="exists"):
        backup(path, copy)
    assert backup(path, copy, replace=True).ledger_end == 2


async def test_an_empty_file_and_one_without_tables_are_not_new_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledgerlb.eventlog.embedded.connection.SETUP_TIMEOUT", 0.1)
    (tmp_path / "empty.db").touch()
    with closing(sqlite3.connect(tmp_path / "blank.db")) as blank:
        blank.execute("PRAGMA journal_mode=WAL")
    for name in ("empty.db", "blank.db"):
        size = (tmp_path / name).stat().st_size
        with pytest.raises(TopicMisconfigured, match="holds no log"):
            await SqliteLog(tmp_path / name).__aenter__()
        assert (tmp_path / name).stat().st_size == size


async def test_a_file_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    blank = sqlite3.connect(path)
    blank.execute("PRAGMA journal_mode=WAL")
    blank.execute("SELECT count(*) FROM sqlite_master").fetchone()
    shutil.copy(path, tmp_path / "killed.db")
    shutil.copy(tmp_path / "l.db-wal", tmp_path / "killed.db-wal")
    blank.close()
    await fill(tmp_path / "killed.db", "1")
    assert await ledger(tmp_path / "killed.db") == ["1"]
