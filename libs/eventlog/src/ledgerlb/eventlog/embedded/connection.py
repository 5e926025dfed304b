"""One SQLite connection in a thread of its own.

Concurrency: calls run one after the other, in the order of their making. Each has a time limit. A caller that gives up
does not stop the call in the thread: its outcome is unknown.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from ledgerlb.core.errors import LogUnavailable, TopicMisconfigured
from ledgerlb.eventlog.embedded import statements
from ledgerlb.eventlog.embedded.filewatch import wal_path

BUSY_TIMEOUT: Final = 5.0
"""Seconds that SQLite waits for another process's lock."""
CALL_TIMEOUT: Final = 20.0
"""Seconds that a caller waits for its call, including the time in the queue."""

PREPARE_PAUSES: Final = (0.02, 0.1, 0.5)
"""Seconds between tries to set up a file that another process is setting up too: SQLite does not wait for all of it."""

SETUP_TIMEOUT: Final = 2.0
"""Seconds that another process gets for making the tables of a new file."""
SETUP_PAUSE: Final = 0.05

T = TypeVar("T")


class Connection:
    """See module. One event loop opens, uses and closes it. A closed one may be opened again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, or make it. Raises LogUnavailable, and TopicMisconfigured for a file that is not a log."""
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sqlite-{self._path.name}")
        try:
            self._database = await asyncio.get_running_loop().run_in_executor(self._thread, self._connect)
        except BaseException:
            await self.close()
            raise

    async def run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``call`` in the thread and return its result; raises LogUnavailable for every error of SQLite."""
        thread, database = self._thread, self._database
        if thread is None or database is None:
            raise LogUnavailable(f"{self._path} is not open")
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return await asyncio.get_running_loop().run_in_executor(thread, call, database)
        except TimeoutError as error:
            raise LogUnavailable(
                f"{self._path} did not answer within {CALL_TIMEOUT:g} s; is the disk stuck?"
            ) from error
        except sqlite3.Error as error:
            raise LogUnavailable(f"{self._path}: {error}; {_remedy(error)}") from error

    async def close(self) -> None:
        """Close after the calls that are under way; idempotent."""
        thread, database = self._thread, self._database
        self._thread = self._database = None
        if thread is None:
            return
        if database is not None:
            await asyncio.get_running_loop().run_in_executor(thread, database.close)
        thread.shutdown(wait=False)

    def _connect(self) -> sqlite3.Connection:
        # A write-ahead log beside a file without tables is of a process that was killed while it made the file.
        may_be_blank = not self._path.exists() or wal_path(self._path).exists()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise LogUnavailable(
                f"{self._path} cannot be opened: {error}; make its folder writable for this user"
            ) from error
        try:
            if not may_be_blank:
                self._require_content(database)
            self._prepare(database)
        except sqlite3.OperationalError as error:
            database.close()
            raise LogUnavailable(f"{self._path} cannot be prepared: {error}; {_remedy(error)}") from error
        except sqlite3.DatabaseError as error:
            database.close()
            raise TopicMisconfigured(f"{self._path} is not a LedgerLB log: {error}; name another file") from error
        except BaseException:
            database.close()
            raise
        return database

    def _require_content(self, database: sqlite3.Connection) -> None:
        """Refuse a file without a table: taken for a new log, it would give out every address again. Another process
        that is just making the file gets ``SETUP_TIMEOUT`` seconds for it.
        """
        deadline = time.monotonic() + SETUP_TIMEOUT
        while statements.is_blank(database):
            if time.monotonic() > deadline:
                size = self._path.stat().st_size
                raise TopicMisconfigured(
                    f"{self._path} exists ({size} bytes) but holds no log: it was cut off, or copied without its -wal "
                    "file; restore a backup (ledgerlb restore), or delete the file to begin a new log"
                )
            time.sleep(SETUP_PAUSE)

    def _prepare(self, database: sqlite3.Connection) -> None:
        for pause in PREPARE_PAUSES:
            try:
                return statements.prepare(database, self._path)
            except sqlite3.OperationalError as error:
                if not _is_locked(error):
                    raise
            time.sleep(pause)
        return statements.prepare(database, self._path)


def _is_locked(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _remedy(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return "free disk space"
    if _is_locked(error):
        return "another process holds the file: end it if it hangs"
    if name.startswith("SQLITE_READONLY"):
        return "make the file and its folder writable for this user"
    return "check the disk and the file"
