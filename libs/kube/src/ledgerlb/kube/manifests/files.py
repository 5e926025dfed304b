"""Manifest files: bytes in, plain JSON-like objects with their line out.

A file is foreign input. ``ledgerlb.runtime.files`` and ``ledgerlb.runtime.yaml_reader`` limit which files we read, and
how much of them. JSON has the same limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledgerlb.core.errors import InvalidManifest
from ledgerlb.runtime.files import read_regular
from ledgerlb.runtime.yaml_reader import KUBERNETES, MAX_DEPTH, MAX_VALUES, YamlError, read_yaml

SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file; ``line`` counts from 1 (1 where it is unknown)."""

    obj: Mapping[str, Any]
    path: Path
    line: int

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.path}:{self.line}"


def read_documents(path: Path, inside: Path | None = None) -> tuple[list[Document], list[InvalidManifest]]:
    """Return the objects of a file, with ``List`` kinds unfolded, and the problems of single documents.

    Raises InvalidManifest if the file as a whole cannot be used, or if it leads out of the folder ``inside``.
    """
    raw = read_regular(path, inside=inside)
    values = _json(path, raw) if path.suffix == ".json" else _yaml(path, raw)
    found: list[Document] = []
    problems: list[InvalidManifest] = []
    for value, line in values:
        if isinstance(value, InvalidManifest):
            problems.append(value)
            continue
        try:
            found.extend(_unfolded(path, value, line))
        except InvalidManifest as problem:
            problems.append(problem)
    return found, problems


def _yaml(path: Path, raw: bytes) -> list[tuple[Any, int]]:
    """Return (data, line) of each document; what cannot be used is an InvalidManifest in place of the data."""
    found: list[tuple[Any, int]] = []
    try:
        for read in read_yaml(raw, KUBERNETES):
            if isinstance(read, YamlError):
                problem = InvalidManifest(f"{path}:{read.document}", "", read.problem, read.remedy)
                found.append((problem, read.document))
            else:
                found.append((read.data, read.line))
    except YamlError as error:
        raise InvalidManifest(f"{path}:{error.line}", "", error.problem, error.remedy) from error
    return found


def _json(path: Path, raw: bytes) -> list[tuple[Any, int]]:
    if not raw.strip():
        return []
    try:
        value = json.loads(raw)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}"
        raise InvalidManifest(place, "", f"invalid JSON ({error.msg})", "fix the file") from error
    except ValueError as error:  # not UTF-8, or a number with thousands of digits
        raise InvalidManifest(f"{path}:1", "", f"invalid JSON ({error})", "fix the file") from error
    except RecursionError as error:
        raise InvalidManifest(f"{path}:1", "", "is nested too deeply", "flatten it") from error
    try:
        _JsonCheck(f"{path}:1").check(value, 0)
    except InvalidManifest as problem:
        return [(problem, 1)]
    return [(value, 1)]


def _unfolded(path: Path, value: Any, line: int) -> Iterator[Document]:
    if value is None:
        return
    if not isinstance(value, dict):
        raise InvalidManifest(f"{path}:{line}", "", "holds no Kubernetes object", "write apiVersion, kind and metadata")
    kind = value.get("kind")
    if kind == "Scenario" and str(value.get("apiVersion", "")).startswith("ledgerlb.io/"):
        return  # a scenario may lie beside its manifests; it is not an object of the cluster
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        for entry in value["items"]:
            yield from _unfolded(path, entry, line)
        return
    yield Document(value, path, line)


class _JsonCheck:
    """The bounds that YAML has from its reader, and text that can be written out again."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._budget = MAX_VALUES

    def check(self, value: Any, depth: int) -> None:
        """Raise InvalidManifest past a bound, or for text that is not Unicode."""
        self._budget -= 1
        if self._budget < 0 or depth > MAX_DEPTH:
            raise self._refusal("holds too many or too deeply nested values", "split the file")
        if isinstance(value, dict):
            for key, child in value.items():
                self._text(key)
                self.check(child, depth + 1)
        elif isinstance(value, list):
            for child in value:
                self.check(child, depth + 1)
        elif isinstance(value, str):
            self._text(value)

    def _text(self, value: str) -> None:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self._refusal("holds text that is not valid Unicode", "correct the text") from error

    def _refusal(self, problem: str, remedy: str) -> InvalidManifest:
        return InvalidManifest(self._place, "", problem, remedy)
