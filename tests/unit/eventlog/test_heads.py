"""Where an embedded log keeps its remembered heads: in a table of the file, and in a file beside it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledgerlb.core.errors import BadInput, TopicMisconfigured
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.ledger.entry import digest
from ledgerlb.core.ledger.heads import RememberedHeads, encode_head
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.embedded.backup import backup, restore
from ledgerlb.eventlog.embedded.heads import heads_path
from ledgerlb.eventlog.heads import highest_heads, read_heads
from ledgerlb.eventlog.lost import require_ledger
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import LEDGER

NET = "net/ext"


def head(seq: int, value: bytes) -> NewRecord:
    return NewRecord(NET, encode_head(NET, Head(seq, digest(value)), datetime(2026, 1, 1, tzinfo=UTC)))


async def fill(path: Path, *values: bytes) -> None:
    """Append entries, and remember the last as the head."""
    async with SqliteLog(path) as log:
        for value in values:
            await log.append(LEDGER, [NewRecord(NET, value)])
        await log.remember_heads([head(await log.end(LEDGER), values[-1])])


async def remembered(path: Path) -> tuple[Head | None, list[str]]:
    heads = RememberedHeads()
    async with SqliteLog(path) as log:
        unusable = await read_heads(log, heads)
    return heads.of(NET), unusable


@pytest.mark.parametrize("lost", ["table", "file"])
async def test_either_place_alone_is_enough(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "l.db"
    await fill(path, b"1", b"2")
    if lost == "file":
        heads_path(path).unlink()
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute("DROP TABLE head")
    assert await remembered(path) == (Head(2, digest(b"2")), [])


async def test_a_log_from_before_heads_were_remembered_has_none(tmp_path: Path) -> None:
    async with SqliteLog(tmp_path / "l.db") as log:
        await log.append(LEDGER, [NewRecord(NET, b"1")])
    assert await remembered(tmp_path / "l.db") == (None, [])


async def test_a_lower_head_replaces_none_and_forgetting_removes_it_from_both_places(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    await fill(path, b"1", b"2", b"3")
    async with SqliteLog(path) as log:
        await log.remember_heads([head(2, b"2")])
        assert [one.seq for one in await highest_heads(log)] == [3]
        await log.remember_heads([NewRecord(NET, None)])
    assert await remembered(path) == (None, [])
    assert b"digest" not in heads_path(path).read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"heads": [{"network": "n"}]}', b"\xff", b"[" * 100_000])
async def test_a_file_that_cannot_be_read_is_reported_and_the_table_still_counts(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "l.db"
    await fill(path, b"1")
    heads_path(path).write_bytes(content)
    found, unusable = await remembered(path)
    assert found == Head(1, digest(b"1"))
    assert len(unusable) == 1


async def test_a_pipe_in_the_place_of_the_file_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    await fill(path, b"1")
    heads_path(path).unlink()
    os.mkfifo(heads_path(path))
    found, unusable = await remembered(path)
    assert (found, len(unusable)) == (Head(1, digest(b"1")), 1)


async def test_an_empty_log_beside_remembered_heads_has_lost_its_ledger(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    await fill(path, b"1")
    path.unlink()
    async with SqliteLog(path) as log:
        with pytest.raises(TopicMisconfigured, match="the remembered heads"):
            await require_ledger(log)


async def test_a_backup_that_lacks_a_remembered_head_is_restored_by_force_alone(tmp_path: Path) -> None:
    path, old = tmp_path / "l.db", tmp_path / "old"
    await fill(path, b"1")
    backup(path, old)
    await fill(path, b"2")
    path.unlink()  # the log itself can no longer tell
    with pytest.raises(BadInput, match=r"remembers entry net/ext#2, which .* lacks"):
        restore(old, path)
    restore(old, path, force=True)
    assert await remembered(path) == (Head(1, digest(b"1")), [])


async def test_a_backup_with_every_remembered_head_is_restored(tmp_path: Path) -> None:
    path, new = tmp_path / "l.db", tmp_path / "new"
    await fill(path, b"1", b"2")
    backup(path, new)
    path.write_bytes(b"")
    path.unlink()
    restore(new, path)
    assert await remembered(path) == (Head(2, digest(b"2")), [])
