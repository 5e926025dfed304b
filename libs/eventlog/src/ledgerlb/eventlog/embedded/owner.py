"""Who runs all services on an embedded log: a lock file beside it, held for as long as the process lives.

The kernel releases the lock when its holder ends, however it ends, so that no lock is ever stale. The file names host,
process id and start of the holder, for people. Only one machine can be told apart: an embedded log is a local file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ledgerlb.core.errors import InvalidSetting

_SUFFIX: Final = ".owner"
_SHOWN: Final = 200
"""Bytes of the file that a message shows."""


@contextlib.contextmanager
def owned(log: Path, *, share: bool) -> Iterator[bool]:
    """Hold the log at this path; yields True, or False where another process holds it and ``share`` allows that.

    Raises InvalidSetting, naming the holder, where another process holds the log and ``share`` is False; and where
    the lock file cannot be written.
    """
    path = log.with_name(log.name + _SUFFIX)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("a+b"))
        except OSError as error:
            raise InvalidSetting(
                "option --log", str(path), f"cannot be written: {error.strerror}", "name another file"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if share:
                yield False
                return
            file.seek(0)
            holder = file.read(_SHOWN).decode("utf-8", "replace").strip() or "another process"
            raise InvalidSetting(
                "option --log",
                str(log),
                f"is in use by {holder}",
                "stop that process, name another log, or give --share-log",
            ) from error
        file.truncate(0)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, started {started}\n".encode())
        file.flush()
        yield True
