"""Notice that a file was written, without looking at it all the time: Linux's inotify.

Where inotify cannot be had (another system, no more watches), ``start`` returns False and the caller has to look by
itself. Concurrency: one event loop; no threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_IN_MODIFY: Final = 0x2
_READ_BYTES: Final = 4096
LOOK_INTERVAL: Final = 0.01
"""Seconds between two calls of ``on_write`` while the file is written all the time."""


FileState = tuple[int, int]
"""Size in bytes and time of the last write in nanoseconds; (-1, -1) for a file that does not exist."""


def file_state(path: Path) -> FileState:
    """What tells whether the file was written since an earlier call."""
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def wal_path(path: Path) -> Path:
    """The write-ahead log of an SQLite file."""
    return path.with_name(path.name + "-wal")


class FileWatch:
    """See module. ``on_write`` is called in the event loop that called ``start``."""

    def __init__(self, path: Path, on_write: Callable[[], None]) -> None:
        self._path = path
        self._on_write = on_write
        self._descriptor = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> bool:
        """Begin to watch the file, which must exist; returns False where that is not possible."""
        self._descriptor = _watch_descriptor(self._path)
        if self._descriptor < 0:
            return False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._readable)
        return True

    def stop(self) -> None:
        """Stop watching; idempotent."""
        if self._descriptor < 0 or self._loop is None:
            return
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    def _readable(self) -> None:
        assert self._loop is not None
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, _READ_BYTES)
        self._loop.remove_reader(self._descriptor)
        self._resume = self._loop.call_later(LOOK_INTERVAL, self._look_again)
        self._on_write()

    def _look_again(self) -> None:
        assert self._loop is not None
        self._resume = None
        self._loop.add_reader(self._descriptor, self._readable)


def _watch_descriptor(path: Path) -> int:
    """An inotify descriptor that is readable once the file was written, -1 where there is none."""
    if sys.platform != "linux":
        return -1
    try:
        library = ctypes.CDLL(None)
        descriptor: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            return -1
        if library.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
            os.close(descriptor)
            return -1
    except (OSError, AttributeError):
        return -1
    return descriptor
