"""Remembered heads of an embedded log: in a table of the SQLite file, and in a file beside it.

The table shows that the ledger in the same file lost its last entries. The file beside it shows that the whole log was
replaced. Both hold the highest head of each network. The file is written after the table, so neither is ever ahead of
the ledger. Of several processes that write the file at the same time, the last one wins: heads of the others may be
missing from it until they write again.

Every function blocks, for as long as the disk takes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from ledgerlb.core.errors import LogUnavailable, UndecodableRecord
from ledgerlb.core.ledger.heads import decode_head
from ledgerlb.core.signatures import Headers
from ledgerlb.eventlog.embedded import statements
from ledgerlb.eventlog.files import read_bounded
from ledgerlb.eventlog.files import write_file as replace_file
from ledgerlb.eventlog.port import NewRecord, Record
from ledgerlb.eventlog.topics import HEADS

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_FORMAT: Final = 1
_SUFFIX: Final = ".heads"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS head (
  network BLOB PRIMARY KEY, seq INTEGER NOT NULL, value BLOB NOT NULL, headers BLOB, timestamp INTEGER NOT NULL
)
"""


def heads_path(log: Path) -> Path:
    """The file of remembered heads beside the log ``log``."""
    return log.with_name(log.name + _SUFFIX)


def is_due(new: NewRecord | Record, old: Record | None) -> bool:
    """Whether a head is to replace the kept one. One of the same ``seq`` does: it may be signed now."""
    return old is None or old.value is None or _seq(new.key, new.value or b"") >= _seq(old.key, old.value)


def _seq(key: str, value: bytes) -> int:
    try:
        return decode_head(key, value).seq
    except UndecodableRecord:
        return 0


def keep(database: sqlite3.Connection, heads: Sequence[NewRecord], timestamp: int) -> list[Record]:
    """Write the heads into the table, value None removing one, and return what the table then holds."""
    database.execute("BEGIN IMMEDIATE")
    try:
        database.execute(_TABLE)
        for head in heads:
            key = head.key.encode()
            if head.value is None:
                database.execute("DELETE FROM head WHERE network=?", (key,))
                continue
            database.execute(
                "INSERT INTO head (network, seq, value, headers, timestamp) VALUES (?, ?, ?, ?, ?) ON CONFLICT"
                " (network) DO UPDATE SET seq=excluded.seq, value=excluded.value, headers=excluded.headers,"
                " timestamp=excluded.timestamp WHERE excluded.seq>=head.seq",
                (key, _seq(head.key, head.value), head.value, statements.pack_headers(head.headers), timestamp),
            )
        rows = kept(database)
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return rows


def kept(database: sqlite3.Connection) -> list[Record]:
    """What the table holds, by network."""
    if database.execute("SELECT count(*) FROM sqlite_master WHERE type='table' AND name='head'").fetchone()[0] == 0:
        return []
    rows = database.execute(
        "SELECT CAST(network AS BLOB), CAST(value AS BLOB), CAST(headers AS BLOB) FROM head ORDER BY network"
    ).fetchall()
    return [_record(key, value, statements.unpack_headers(packed) if packed else ()) for key, value, packed in rows]


def update_file(log: Path, heads: Iterable[Record], forgotten: Container[str]) -> None:
    """Add heads to the file beside the log, and remove those of the networks ``forgotten``. Raises LogUnavailable.

    A head stays unless a higher one replaces it, so that a table that lost a head does not take it from the file. A
    file that cannot be read is set aside.
    """
    merged = {head.key: head for head in read_file(log) if head.key not in forgotten}
    if merged.pop("", None) is not None:
        path = heads_path(log)
        with contextlib.suppress(OSError):
            path.replace(path.with_name(path.name + ".unreadable"))
    for head in heads:
        if head.key not in forgotten and is_due(head, merged.get(head.key)):
            merged[head.key] = head
    write_file(log, [merged[key] for key in sorted(merged)])


def write_file(log: Path, heads: Iterable[Record]) -> None:
    """Replace the file beside the log, complete or not at all. Raises LogUnavailable."""
    path = heads_path(log)
    lines = [_as_json(head) for head in heads]
    content = json.dumps({"v": _FORMAT, "heads": lines}, indent=0).encode()
    try:
        replace_file(path, content)
    except OSError as error:
        raise LogUnavailable(f"{path} cannot be written: {error}; correct its folder's rights or free space") from error


def read_file(log: Path) -> list[Record]:
    """What the file beside the log holds; nothing where there is none. A file that cannot be read is one record without
    a key and with the bytes of the file, which decodes to no head.
    """
    path = heads_path(log)
    try:
        raw = read_bounded(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        return [_record(b"", f"{path}: {error}".encode())]
    try:
        data: Any = json.loads(raw)
        return [_from_json(head) for head in data["heads"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [_record(b"", raw)]


def _as_json(head: Record) -> dict[str, Any]:
    signed = {name: base64.b64encode(value).decode() for name, value in head.headers}
    return {
        "network": head.key,
        "value": (head.value or b"").decode("utf-8", "replace"),
        **({"headers": signed} if signed else {}),
    }


def _from_json(head: Any) -> Record:
    headers = tuple((str(name), base64.b64decode(value)) for name, value in head.get("headers", {}).items())
    return _record(str(head["network"]).encode(), str(head["value"]).encode(), headers)


def _record(key: bytes, value: bytes | None, headers: Headers = ()) -> Record:
    return Record(HEADS.name, 0, key.decode("utf-8", "replace"), value, 0, key, headers)
