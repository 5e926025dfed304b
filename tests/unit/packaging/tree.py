"""The files of the repository, as git sees them."""

import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def files() -> tuple[Path, ...]:
    """Everything tracked or about to be (not ignored), relative to the root. In an unpacked archive: everything."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.decode().split("\0")
        found = [Path(name) for name in names if name and (ROOT / name).is_file()]
    else:
        hidden = {".venv", ".cache", "__pycache__", ".git"}
        found = [
            path.relative_to(ROOT)
            for path in ROOT.rglob("*")
            if path.is_file() and not hidden & set(path.relative_to(ROOT).parts)
        ]
    return tuple(sorted(found))


def texts() -> dict[Path, str]:
    """Content by path, of every file that is UTF-8 text."""
    found = {}
    for path in files():
        raw = (ROOT / path).read_bytes()
        if b"\0" not in raw:
            found[path] = raw.decode("utf-8", errors="replace")
    return found


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")
