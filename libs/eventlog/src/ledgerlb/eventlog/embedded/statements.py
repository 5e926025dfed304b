"""The SQL of the SQLite log: plain functions on a connection, each one transaction or less."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ledgerlb.core.errors import TopicMisconfigured
from ledgerlb.core.signatures import Headers
from ledgerlb.eventlog.port import Encoded, Record
from ledgerlb.eventlog.topics import Topic

SCHEMA_VERSION: Final = 2
"""2: records have headers."""
APPLICATION_ID: Final = 0x4C4C4231
"""``LLB1``: tells this file from any other SQLite file."""
SYNCHRONOUS_FULL: Final = 2
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""A read stops after this many bytes of values."""

CHECKPOINT_PAGES: Final = 16 * 1024
"""Pages in the write-ahead log at which an append copies them into the file. The log does that in the background long
before: with SQLite's default of 1000 pages an append every few seconds would wait for it."""
WAL_BYTES: Final = 16 * 1024 * 1024
"""The write-ahead log is cut to this size when it starts over."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS record (
  topic TEXT NOT NULL, offset INTEGER NOT NULL, key BLOB NOT NULL, value BLOB, timestamp INTEGER NOT NULL,
  headers BLOB, PRIMARY KEY (topic, offset)
)
"""
_RECORDS: Final = "FROM record WHERE topic=? AND typeof(offset)='integer'"
"""The records of a topic. SQLite lets an editor put text into a column of numbers. Such a row is no record; of a ledger
entry, the gap in its chain shows that it is gone."""
_ADD_HEADERS: Final = "ALTER TABLE record ADD COLUMN headers BLOB"


def prepare(database: sqlite3.Connection, path: Path) -> None:
    """Set up the connection, and the tables of a new file. Raises TopicMisconfigured for a file of another kind or
    version.
    """
    version = _version(database, path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    database.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    if version < SCHEMA_VERSION:
        with _Transaction(database):
            database.execute(_SCHEMA)
            if not has_headers(database):
                database.execute(_ADD_HEADERS)
            database.execute(f"PRAGMA application_id={APPLICATION_ID}")
            database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def require_log(database: sqlite3.Connection, path: Path) -> None:
    """Raise TopicMisconfigured where the file is not a log of a version that this code knows."""
    if _version(database, path) == 0:
        raise TopicMisconfigured(
            f"{path} holds no log: it is empty, or was copied without its -wal file; name another file"
        )


def _version(database: sqlite3.Connection, path: Path) -> int:
    """The format of the log, 0 for a file without any table; raises TopicMisconfigured for anything else."""
    application, version, tables = _what_it_is(database)
    if tables and application != APPLICATION_ID:
        raise TopicMisconfigured(f"{path} is a database of another application; name another file")
    if version > SCHEMA_VERSION:
        raise TopicMisconfigured(f"{path} was written by a newer LedgerLB (format {version}); upgrade this one")
    return version


def is_blank(database: sqlite3.Connection) -> bool:
    """Whether the file has no table at all."""
    return _what_it_is(database)[2] == 0


def _what_it_is(database: sqlite3.Connection) -> tuple[int, int, int]:
    """Return (application_id, user_version, number of tables) as of one moment: another process may be setting up the
    same new file.
    """
    database.execute("BEGIN")
    try:
        return (
            database.execute("PRAGMA application_id").fetchone()[0],
            database.execute("PRAGMA user_version").fetchone()[0],
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0],
        )
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK where something is raised."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            try:
                self._database.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")


def has_headers(database: sqlite3.Connection) -> bool:
    """Whether the log was made, or opened, by a version that keeps headers."""
    return any(column[1] == "headers" for column in database.execute("PRAGMA table_info(record)"))


def append(database: sqlite3.Connection, appends: Sequence[tuple[str, Sequence[Encoded]]], timestamp: int) -> list[int]:
    """Append the records of each topic in one transaction, and return the first offset of each append."""
    firsts = []
    with _Transaction(database):
        for topic, records in appends:
            first = _end(database, topic)
            database.executemany(
                "INSERT INTO record (topic, offset, key, value, timestamp, headers) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (topic, offset, key, value, timestamp, pack_headers(headers))
                    for offset, (key, value, headers) in enumerate(records, first)
                ],
            )
            firsts.append(first)
    return firsts


_UNPACK: Final = msgspec.msgpack.Decoder(Headers)


def pack_headers(headers: Headers) -> bytes | None:
    """Return headers as they are stored; None for none."""
    return msgspec.msgpack.encode(headers) if headers else None


def unpack_headers(packed: bytes) -> Headers:
    """Return stored headers; none where another program changed their bytes into something else."""
    try:
        return _UNPACK.decode(packed)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ()


def _end(database: sqlite3.Connection, topic: str) -> int:
    """The offset after the last record."""
    last: int | None = database.execute(f"SELECT max(offset) {_RECORDS}", (topic,)).fetchone()[0]
    return 0 if last is None else last + 1


def bounds(database: sqlite3.Connection, topic: str) -> tuple[int, int]:
    """Return the first offset and the offset after the last; (0, 0) for an empty topic."""
    # Two queries: SQLite answers a lone min() or max() from the index, but scans for both together.
    first = database.execute(f"SELECT min(offset) {_RECORDS}", (topic,)).fetchone()[0]
    return (0, 0) if first is None else (first, _end(database, topic))


def read(database: sqlite3.Connection, positions: Mapping[str, int], max_records: int) -> list[Record]:
    """Return the next records of each topic from its position on, as many as fit."""
    batch: list[Record] = []
    size = 0
    for topic, position in positions.items():
        rows = database.execute(
            # A value that was edited with SQL is text now. The readers judge its bytes.
            "SELECT offset, CAST(key AS BLOB), CAST(value AS BLOB), CAST(timestamp AS INTEGER), CAST(headers AS BLOB)"
            f" {_RECORDS} AND offset>=? ORDER BY offset LIMIT ?",
            (topic, position, max_records - len(batch)),
        )
        for offset, key, value, timestamp, packed in rows:
            headers = unpack_headers(packed) if packed else ()
            batch.append(Record(topic, offset, key.decode("utf-8", "replace"), value, timestamp, key, headers))
            size += len(value or b"")
            if size >= MAX_BATCH_BYTES:
                rows.close()
                return batch
    return batch


def checkpoint(database: sqlite3.Connection) -> None:
    """Copy what the write-ahead log holds into the file, as far as no reader still needs it. Holds up no writer."""
    database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def data_version(database: sqlite3.Connection) -> int:
    """Return a number that changes when another connection commits."""
    version: int = database.execute("PRAGMA data_version").fetchone()[0]
    return version


def durability(database: sqlite3.Connection) -> tuple[str, int]:
    """Return (journal mode, synchronous level)."""
    journal: str = database.execute("PRAGMA journal_mode").fetchone()[0]
    synchronous: int = database.execute("PRAGMA synchronous").fetchone()[0]
    return journal, synchronous


def maintain(database: sqlite3.Connection, topic: Topic, now_ms: int, limit: int) -> int:
    """Remove at most ``limit`` records that the topic's declaration no longer keeps; return how many."""
    if topic.cleanup == "delete":
        return 0 if topic.retention_ms < 0 else _expire(database, topic, now_ms, limit)
    return _compact(database, topic, now_ms, limit)


def _expire(database: sqlite3.Connection, topic: Topic, now_ms: int, limit: int) -> int:
    with _Transaction(database):
        last = bounds(database, topic.name)[1] - 1
        # From the oldest on, without gaps: a clock that went back must not make holes.
        return database.execute(
            "DELETE FROM record WHERE topic=?1 AND offset IN ("
            " SELECT offset FROM record WHERE topic=?1 AND offset<?2 AND offset<coalesce("
            "  (SELECT min(offset) FROM record WHERE topic=?1 AND timestamp>=?3), ?2) ORDER BY offset LIMIT ?4)",
            (topic.name, last, now_ms - topic.retention_ms, limit),
        ).rowcount


def _compact(database: sqlite3.Connection, topic: Topic, now_ms: int, limit: int) -> int:
    # A record goes once its successor is older than the lag. Until then history shows the time between the two.
    settled = now_ms - topic.min_compaction_lag_ms
    buried = min(settled, now_ms - topic.tombstone_ms)
    with _Transaction(database):
        last = bounds(database, topic.name)[1] - 1
        return database.execute(
            "DELETE FROM record WHERE topic=?1 AND offset IN ("
            " SELECT offset FROM ("
            "  SELECT offset, timestamp, value IS NULL AS tombstone,"
            "   max(CASE WHEN timestamp<?2 THEN offset END) OVER (PARTITION BY key) AS newest"
            "  FROM record WHERE topic=?1)"
            " WHERE offset<?4 AND (offset<newest OR (tombstone AND offset=newest AND timestamp<?3))"
            " ORDER BY offset LIMIT ?5)",
            (topic.name, settled, buried, last, limit),
        ).rowcount
