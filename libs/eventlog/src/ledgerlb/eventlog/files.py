"""Small files: read within bounds, written complete or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_bounded(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file. Raises OSError for any other kind, and for more than ``most`` bytes."""
    # With O_NONBLOCK an open never waits, even if a FIFO is there.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "it is not a regular file")
        raw = file.read(most + 1)
    if len(raw) > most:
        raise OSError(None, f"it is larger than {most} bytes")
    return raw


def write_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file, and have its bytes on the disk when this returns. Raises OSError; the former file stays then."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)
