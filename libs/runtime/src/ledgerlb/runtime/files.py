"""Read files that come from elsewhere.

Opening a FIFO waits for a writer, a device such as ``/dev/zero`` never ends, and a symbolic link may lead to a secret.
So only regular files are read, up to a bound, and with ``inside`` only those that lie in that folder once every link
is resolved (a ConfigMap volume links within itself).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from ledgerlb.core.errors import BadInput, InvalidManifest

MAX_BYTES: Final = 16 * 1024 * 1024
_CHUNK: Final = 1024 * 1024


def read_regular(
    path: Path,
    *,
    inside: Path | None = None,
    max_bytes: int = MAX_BYTES,
    subject: str = "",
    remedy: str = "check the path and its permissions",
    refusal: type[BadInput] = InvalidManifest,
) -> bytes:
    """Return the bytes of a regular file.

    Raises ``refusal`` about ``subject`` (the path by default) if the file cannot be read, is larger than
    ``max_bytes``, is not a regular file, or leads out of ``inside``.
    """
    subject = subject or str(path)
    try:
        real = os.path.realpath(path)
        if inside is not None and not Path(real).is_relative_to(os.path.realpath(inside)):
            raise refusal(subject, "", "is a link to a place outside the folder", "copy the file into the folder")
        # Opening some devices has effects, so the kind is checked before, and again on what was opened.
        _check_kind(Path(real).stat().st_mode, subject, refusal)
        # With O_NONBLOCK an open never waits, also where the file was replaced by a FIFO in between.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            _check_kind(os.fstat(descriptor).st_mode, subject, refusal)
            raw = _read(descriptor, max_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
        raise refusal(subject, "", problem, remedy) from error
    except ValueError as error:  # a path with a null byte
        raise refusal(subject, "", f"cannot be read ({error})", "check the path") from error
    if len(raw) > max_bytes:
        raise refusal(subject, "", f"is larger than {max_bytes} bytes", "split the file")
    return raw


def _check_kind(mode: int, subject: str, refusal: type[BadInput]) -> None:
    if not stat.S_ISREG(mode):
        raise refusal(subject, "", f"is not a regular file but {_kind(mode)}", "put a regular file there")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def _read(descriptor: int, most: int) -> bytes:
    chunks: list[bytes] = []
    left = most
    while left > 0:
        chunk = os.read(descriptor, min(left, _CHUNK))
        if not chunk:
            break
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
