"""What a service's image is made of, as the members' pyproject files say.

members.py SERVICE              the folders of the service and of every sibling that it depends on, one a line
members.py --command SERVICE    the name of the command that starts it
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def project(folder: Path) -> dict[str, Any]:
    """Return the project table of a member."""
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def folder_of(name: str) -> Path:
    """Return the folder of a member by its name."""
    for parent in ("libs", "services"):
        if (ROOT / parent / name / "pyproject.toml").is_file():
            return ROOT / parent / name
    raise SystemExit(f"members.py: {name!r} is not a member of the workspace: name a folder of services/")


def members_of(name: str) -> set[Path]:
    """Return the folder of a member and those of the siblings that it depends on."""
    folder = folder_of(name)
    found = {folder}
    for text in project(folder)["dependencies"]:
        sibling = re.match(r"ledgerlb-([\w-]+)", text)
        if sibling:
            found |= members_of(sibling[1])
    return found


def main(arguments: list[str]) -> None:
    """See module."""
    match arguments:
        case ["--command", name]:
            print(next(iter(project(folder_of(name))["scripts"])))
        case [name]:
            print("\n".join(sorted(map(str, members_of(name)))))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
