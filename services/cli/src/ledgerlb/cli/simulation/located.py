"""YAML that remembers where everything stood, so that a message can name file, line and field.

Scalars follow the YAML 1.2 core schema: ``2026-01-01T00:00:00Z`` stays text (Kubernetes' times are strings),
``on`` and ``yes`` stay text, and ``1:2:3:4:5:6:7:8`` is an address, not a number in base sixty.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ledgerlb.core.errors import InvalidManifest
from ledgerlb.kube.yaml_loader import loader_class

Place = tuple[str | int, ...]
"""A way into the data: mapping keys and list indexes."""

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 500_000
"""Aliases let a few lines stand for billions of values: nothing honest needs more than this."""

_INT: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
_BOOL: Final = "tag:yaml.org,2002:bool"
_NULL: Final = "tag:yaml.org,2002:null"


_Loader: Final = loader_class()
_Loader.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_INT, re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


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


def load_documents(text: str, file: str) -> list[Document]:
    """Every non-empty document of ``text``. Raises InvalidManifest with file and line."""
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
        return [_construct(node, file) for node in nodes]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or error.context or "is no YAML"
        raise InvalidManifest(f"{file}:{line}", "", f"is no YAML: {problem}", "mend the syntax") from error
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise InvalidManifest(f"{file}:1", "", f"is no YAML: {first}", "save it as plain UTF-8 text") from error
    except RecursionError as error:
        raise InvalidManifest(f"{file}:1", "", "is nested too deeply", "") from error


def read_documents(path: Path) -> list[Document]:
    """Read the documents of a file. Raises InvalidManifest, also where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "is not UTF-8 text"
        raise InvalidManifest(str(path), "", f"cannot be read: {why}", "check the path") from error
    return load_documents(text, str(path))


def _construct(root: Node, file: str) -> Document:
    lines: dict[Place, int] = {}
    document = Document(file=file, data=None, lines=lines)
    values = 0

    def build(node: Node, place: Place) -> Any:
        nonlocal values
        values += 1
        lines[place] = node.start_mark.line + 1
        if len(place) > MAX_DEPTH:
            raise document.error(place, f"is nested more than {MAX_DEPTH} deep")
        if values > MAX_VALUES:
            raise document.error(place, f"the file stands for more than {MAX_VALUES} values", "split it")
        if isinstance(node, MappingNode):
            return mapping(node, place)
        if isinstance(node, SequenceNode):
            return [build(item, (*place, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return _scalar(node, document, place)

    def mapping(node: MappingNode, place: Place) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                lines[(*place, "?")] = key_node.start_mark.line + 1
                raise document.error((*place, "?"), "a key must be plain text")
            key = str(key_node.value)
            inner = (*place, key)
            if key in data:
                lines[inner] = key_node.start_mark.line + 1
                raise document.error(inner, "stands here twice", "remove one")
            data[key] = build(value_node, inner)
            lines[inner] = key_node.start_mark.line + 1
        return data

    return Document(file=file, data=build(root, ()), lines=lines)


def _scalar(node: ScalarNode, document: Document, place: Place) -> Hashable:
    text = str(node.value)
    match node.tag:
        case "tag:yaml.org,2002:str":
            return text
        case "tag:yaml.org,2002:null":
            return None
        case "tag:yaml.org,2002:bool":
            return text.lower() == "true"
        case "tag:yaml.org,2002:int":
            return _integer(text, document, place)
        case "tag:yaml.org,2002:float":
            return float(text)
        case _:
            raise document.error(place, f"tag {node.tag!r} is not understood", "write a plain value")


def _integer(text: str, document: Document, place: Place) -> int:
    try:
        return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)
    except ValueError as error:
        raise document.error(place, f"{text[:20]!r}… is no number that can be used") from error
