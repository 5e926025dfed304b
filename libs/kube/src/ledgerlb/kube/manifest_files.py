"""Manifest files: bytes in, plain JSON-like objects with their line out.

YAML is read as Kubernetes reads it: into JSON values, so dates stay text. A file is foreign input: its size, depth
and expansion of aliases are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ledgerlb.core.errors import InvalidManifest
from ledgerlb.kube.yaml_loader import loader_class

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_VALUES: Final = 2_000_000
MAX_DEPTH: Final = 60
SUFFIXES: Final = (".yaml", ".yml", ".json")

_Loader: Final = loader_class()
# SafeLoader's scalars without dates: Kubernetes' objects know text only.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


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


def read_documents(path: Path) -> tuple[list[Document], list[InvalidManifest]]:
    """(objects of a file with ``List`` kinds unfolded, problems of single documents). Raises InvalidManifest where
    the file as a whole cannot be read or is no YAML or JSON.
    """
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise InvalidManifest(
            str(path), "", f"cannot be read ({error.strerror})", "check the path and its rights"
        ) from error
    if raw is None:
        raise InvalidManifest(str(path), "", f"is larger than {MAX_BYTES} bytes", "split the file")
    found: list[Document] = []
    problems: list[InvalidManifest] = []
    for value, line in _values(path, raw):
        try:
            found.extend(_unfolded(path, _plain(path, line, value), line))
        except InvalidManifest as problem:
            problems.append(problem)
    return found, problems


def _values(path: Path, raw: bytes) -> list[tuple[Any, int]]:
    try:
        if path.suffix == ".json":
            return [(json.loads(raw), 1)] if raw.strip() else []
        return _yaml_values(raw)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InvalidManifest(f"{path}:{line}", "", f"is no YAML ({error.problem})", "mend the file") from error
    except json.JSONDecodeError as error:
        raise InvalidManifest(f"{path}:{error.lineno}", "", f"is no JSON ({error.msg})", "mend the file") from error
    except (yaml.YAMLError, ValueError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidManifest(str(path), "", f"is no YAML ({said})", "mend the file") from error
    except RecursionError as error:
        raise InvalidManifest(str(path), "", "is nested too deeply", "flatten it") from error


def _yaml_values(raw: bytes) -> list[tuple[Any, int]]:
    loader = _Loader(raw)
    try:
        values = []
        while loader.check_node():
            node = loader.get_node()
            values.append((loader.construct_document(node), node.start_mark.line + 1))
        return values
    finally:
        loader.dispose()


def _unfolded(path: Path, value: Any, line: int) -> Iterator[Document]:
    if value is None:
        return
    if not isinstance(value, dict):
        raise InvalidManifest(f"{path}:{line}", "", "holds no Kubernetes object", "write apiVersion, kind and metadata")
    if str(value.get("apiVersion", "")).startswith("ledgerlb.io/"):
        return  # a scenario that lies beside the manifests that it applies is no object of the cluster
    kind = value.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        for entry in value["items"]:
            yield from _unfolded(path, entry, line)
        return
    yield Document(value, path, line)


def _plain(path: Path, line: int, value: Any) -> Any:
    """The value as a tree of JSON types: aliases are copied, so nothing is shared and nothing is circular."""
    return _Copier(f"{path}:{line}").copy(value, 0)


class _Copier:
    def __init__(self, place: str) -> None:
        self._place = place
        self._budget = MAX_VALUES

    def copy(self, value: Any, depth: int) -> Any:
        self._budget -= 1
        if self._budget < 0 or depth > MAX_DEPTH:
            raise self._refusal("expands to too many or too deeply nested values")
        if isinstance(value, dict):
            return {self._key(key): self.copy(child, depth + 1) for key, child in value.items()}
        if isinstance(value, list):
            return [self.copy(child, depth + 1) for child in value]
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        raise self._refusal(f"holds a {type(value).__name__}, which is no JSON value")

    def _key(self, key: Any) -> str:
        if not isinstance(key, str):
            raise self._refusal(f"has the key {key!r}, which is no string (quote it)")
        return self._text(key)

    def _text(self, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self._refusal("holds text that is no Unicode") from error
        return value

    def _refusal(self, problem: str) -> InvalidManifest:
        return InvalidManifest(self._place, "", problem, "mend the file")
