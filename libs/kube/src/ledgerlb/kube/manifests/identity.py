"""The identity of a folder of manifests: a file with a UUID that LedgerLB writes at the first use of the folder.

An unmounted volume leaves an empty mount point without that file, so we never take it for the folder.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Final

from ledgerlb.core.errors import BadInput, ClusterUnavailable
from ledgerlb.runtime.files import read_regular

FILE: Final = ".ledgerlb-source"
_MAX_BYTES: Final = 1024


def file_identity(root: Path) -> str:
    """Return ``folder:UUID`` as the folder's identity file gives it, empty where there is no such file. Raises
    ClusterUnavailable where the file cannot be read or holds something else.
    """
    path = root / FILE
    if not os.path.lexists(path):
        return ""
    try:
        text = read_regular(path, inside=root, max_bytes=_MAX_BYTES).decode().strip()
        return f"folder:{uuid.UUID(text)}"
    except (BadInput, ValueError) as error:
        raise ClusterUnavailable(f"identity file {path} cannot be used ({error}); restore it with its UUID") from error


def identity_of(root: Path, known: str, *, renew: bool) -> str:
    """Return the identity of a folder (or of a single file, which has the identity of its path).

    ``known`` is what the log says of its source, empty where it says nothing. A folder without an identity file gets
    one where nothing is known, or with ``renew``; where it cannot be written (a read-only volume) the path counts.
    Empty: the folder has no identity file although the log knows one. Raises ClusterUnavailable: no folder there.
    """
    by_path = f"path:{os.path.realpath(root)}"
    try:
        if not root.is_dir():
            root.stat()
            return by_path
    except OSError as error:
        raise ClusterUnavailable(f"folder {root} cannot be read ({error.strerror}); is it mounted?") from error
    found = file_identity(root)
    if found:
        return found
    if known and not renew:
        return by_path if known == by_path else ""
    return _made(root) or by_path


def _made(root: Path) -> str:
    made = str(uuid.uuid4())
    draft = root / f"{FILE}.{made}"
    try:
        draft.write_text(f"{made}\n", "utf-8")
        try:
            os.link(draft, root / FILE)  # never replaces a file that another process made meanwhile
        finally:
            draft.unlink()
    except FileExistsError:
        return file_identity(root)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        return ""
    return f"folder:{made}"
