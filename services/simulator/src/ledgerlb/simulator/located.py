"""YAML with the line of every value, so that a message can name file, line and field.

Files are read by ``ledgerlb.runtime.yaml_reader``, with its bounds and its core schema: ``2026-01-01T00:00:00Z`` stays
text (Kubernetes' times are strings), and so do ``on`` and ``yes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledgerlb.core.errors import InvalidManifest
from ledgerlb.runtime.files import read_regular
from ledgerlb.runtime.yaml_reader import CORE, Place, YamlError, read_yaml

__all__ = ["Document", "Place", "field_name", "load_documents", "read_documents"]


@dataclass(frozen=True)
class Document:
    """One YAML document: its data, and the line (from 1) of every value in it."""

    file: str
    data: Any
    lines: dict[Place, int] = field(repr=False)

    def line(self, place: Place) -> int:
        """Return the line of the value at ``place``, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def error(self, place: Place, problem: str, remedy: str = "", *, shown: str | None = None) -> InvalidManifest:
        """Make the error for the value at ``place``; ``shown`` replaces the field's name."""
        where = f"{self.file}:{self.line(place)}"
        return InvalidManifest(where, shown if shown is not None else field_name(place), problem, remedy)


def field_name(place: Place) -> str:
    """``steps[2].apply`` for ("steps", 2, "apply")."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def load_documents(raw: bytes | str, file: str) -> list[Document]:
    """Return every document of a file. Raises InvalidManifest with file and line."""
    found: list[Document] = []
    try:
        for read in read_yaml(raw, CORE, with_lines=True):
            if isinstance(read, YamlError):
                raise _refused(read, file)
            found.append(Document(file=file, data=read.data, lines=read.lines))
    except YamlError as error:
        raise _refused(error, file) from error
    return found


def _refused(error: YamlError, file: str) -> InvalidManifest:
    return InvalidManifest(f"{file}:{error.line}", field_name(error.place), error.problem, error.remedy)


def read_documents(path: Path) -> list[Document]:
    """Read the documents of a file. Raises InvalidManifest, also where the file cannot be read."""
    return load_documents(read_regular(path), str(path))
