"""Backups of an SQLite log: a consistent copy while processes append, and a way back that loses nothing by mistake.

A copy of the file alone is no backup: until a checkpoint, records are in the ``-wal`` file beside it. Every function
blocks; call it where nothing else has to go on.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledgerlb.core.errors import BadInput, EventLogError, LogUnavailable, TopicMisconfigured, UndecodableRecord
from ledgerlb.core.ledger.entry import digest
from ledgerlb.core.ledger.heads import RememberedHeads, decode_head
from ledgerlb.eventlog.embedded import heads, statements
from ledgerlb.eventlog.topics import LEDGER

_BUSY_TIMEOUT: Final = 5.0
_SIDE_FILES: Final = ("-wal", "-shm")
_OR_FORCE: Final = "or use --force (the former log is kept beside it)"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a log file holds: records by topic, and the offset after the ledger's last entry."""

    records: dict[str, int]
    ledger_end: int


def backup(source: Path, target: Path, *, replace: bool = False) -> Contents:
    """Copy the log ``source`` to the new file ``target`` as of one moment; processes may go on appending.

    Raises BadInput where ``target`` exists (unless ``replace``), TopicMisconfigured where ``source`` is not a log,
    LogUnavailable where it cannot be read or ``target`` not be written.
    """
    if target.exists() and not replace:
        raise BadInput(str(target), "", "exists already", "name another file, or replace it with --force")
    with _errors(source), closing(_open_log(source)) as database:
        _copy(database, target)
    return contents(target)


def contents(path: Path) -> Contents:
    """What the log file ``path`` holds. Raises TopicMisconfigured where it is not a log or is damaged."""
    with _errors(path), closing(_open_log(path)) as database:
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise TopicMisconfigured(f"{path} is damaged: {damage}; use another backup")
        return _contents(database)


def restore(source: Path, target: Path, *, force: bool = False) -> tuple[Contents, Path | None]:
    """Put the backup ``source`` in the place of the log ``target``, which no process may have open.

    Returns what it holds, and where the former log is kept (None where there was none). Unless ``force``, raises
    BadInput where the former ledger has entries that the backup lacks, or cannot be read, and where the backup lacks a
    remembered head of the log. Raises LogUnavailable where a process has the log open; else as ``backup``. With
    ``force``, the heads of the backup replace the remembered ones.
    """
    restored = contents(source)
    if source.exists() and target.exists() and source.samefile(target):
        raise BadInput(str(source), "", "is the log itself", "name a backup")
    if not force:
        if target.exists():
            _require_known_history(source, target)
        _require_heads(source, target)
    partial = _partial(target)
    with _errors(source), closing(_open_log(source)) as database:
        _copy(database, partial)
    try:
        kept = _set_aside(target)
        partial.replace(target)
        if force:
            _replace_heads(target, kept)
        _sync_folder(target.parent)
    except OSError as error:
        raise LogUnavailable(f"{target} cannot be replaced: {error}; correct its rights and try again") from error
    return restored, kept


def _require_known_history(source: Path, target: Path) -> None:
    """Raise BadInput unless every ledger entry of ``target`` is in ``source``."""
    try:
        with _errors(source), _errors(target), closing(_open_log(source)) as new, closing(_open_log(target)) as old:
            old_end, new_end = _contents(old).ledger_end, _contents(new).ledger_end
            if old_end > new_end:
                problem = f"has {old_end - new_end} ledger entries that {source} lacks: restoring forgets allocations"
                raise BadInput(str(target), "", problem, f"use a newer backup, {_OR_FORCE}")
            last = old_end - 1
            if old_end and _entry(old, last) != _entry(new, last):
                problem = f"differs from {source} in ledger entry {last}: the backup is of another log"
                raise BadInput(str(target), "", problem, f"name a backup of this log, {_OR_FORCE}")
    except TopicMisconfigured as error:
        problem = f"cannot be compared with {source} ({error})"
        raise BadInput(str(target), "", problem, f"check the path, {_OR_FORCE}") from error


def _require_heads(source: Path, target: Path) -> None:
    """Raise BadInput unless ``source`` has every remembered head of the log ``target``."""
    wanted = RememberedHeads()
    for record in heads.read_file(target):
        with contextlib.suppress(UndecodableRecord):
            wanted.remember(record.key, decode_head(record.key, record.value or b"").head)
    missing = {(network, head.digest): head.seq for network, head in wanted.items()}
    if not missing:
        return
    with _errors(source), closing(_open_log(source)) as database:
        rows = database.execute(
            "SELECT CAST(key AS BLOB), CAST(value AS BLOB) FROM record WHERE topic=?", (LEDGER.name,)
        )
        for key, value in rows:
            missing.pop((key.decode("utf-8", "replace"), digest(value or b"")), None)
    for (network, _), seq in missing.items():
        problem = f"remembers entry {network}#{seq}, which {source} lacks: restoring forgets allocations"
        raise BadInput(str(heads.heads_path(target)), "", problem, f"use a newer backup, {_OR_FORCE}")


def _replace_heads(target: Path, kept: Path | None) -> None:
    """Remember the heads that the restored log remembers. The former file stays beside the former log."""
    path = heads.heads_path(target)
    if path.exists() and kept is not None:
        path.rename(heads.heads_path(kept))
    with closing(_open_log(target)) as database:
        heads.write_file(target, heads.kept(database))


def _set_aside(target: Path) -> Path | None:
    """Keep the log under a second name, and move its side files away: they would spoil another file in its place."""
    number = 1
    while (kept := target.with_name(f"{target.name}.before-restore-{number}")).exists():
        number += 1
    is_there = target.exists()
    if is_there:
        _require_unused(target)
    for suffix in _SIDE_FILES:
        side = target.with_name(target.name + suffix)
        if side.exists():
            side.rename(kept.with_name(kept.name + suffix))
    if not is_there:
        return None
    kept.hardlink_to(target)  # so that there is a log under the old name at every moment
    return kept


def _require_unused(path: Path) -> None:
    """Raise LogUnavailable where a process has the log open. Leaves all records in the file where it can."""
    with contextlib.suppress(sqlite3.DatabaseError), closing(_connect(path)) as database:
        try:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("BEGIN EXCLUSIVE")
            database.execute("COMMIT")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise
            raise LogUnavailable(f"{path} is open in another process; stop it first") from error


def _copy(database: sqlite3.Connection, target: Path) -> None:
    """Copy the database to ``target``, complete or not at all, and on the disk when this returns."""
    partial = _partial(target)
    try:
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(partial, isolation_level=None)) as copy:
            database.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file holds everything
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        if partial != target:
            partial.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise LogUnavailable(
            f"{target} cannot be written: {error}; correct its folder's rights or free space"
        ) from error


def _partial(target: Path) -> Path:
    return target if target.name.endswith(".partial") else target.with_name(target.name + ".partial")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_log(path: Path) -> sqlite3.Connection:
    """A connection to a file that is a log; raises TopicMisconfigured for anything else."""
    try:
        found = path.stat()
    except OSError as error:
        raise TopicMisconfigured(f"{path} cannot be read: {error.strerror}; name a LedgerLB log") from error
    if not stat.S_ISREG(found.st_mode):
        raise TopicMisconfigured(f"{path} is not a regular file; name a LedgerLB log")
    database = _connect(path)
    try:
        statements.require_log(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)


def _contents(database: sqlite3.Connection) -> Contents:
    records = dict(database.execute("SELECT topic, count(*) FROM record GROUP BY topic ORDER BY topic"))
    return Contents(records, statements.bounds(database, LEDGER.name)[1])


def _entry(database: sqlite3.Connection, offset: int) -> object:
    return database.execute(
        "SELECT CAST(key AS BLOB), CAST(value AS BLOB) FROM record WHERE topic=? AND offset=?", (LEDGER.name, offset)
    ).fetchone()


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except EventLogError:
        raise
    except sqlite3.OperationalError as error:
        raise LogUnavailable(f"{path}: {error}; check the file and its rights") from error
    except sqlite3.DatabaseError as error:
        raise TopicMisconfigured(f"{path} is not a LedgerLB log, or is damaged: {error}; name another file") from error
