"""The one reader of YAML: manifests, scenarios and settings files. A file is foreign input, so every step has a bound.

    bytes      16 MiB a file (see ``files``)
    depth      64 levels
    values     500,000 a document, counted after aliases are expanded
    aliases    10,000 a document
    merges     10,000 pairs taken over by merge keys (``<<``) a document
    time       60 s a file

libyaml parses, Python composes: libyaml's own composer recurses in C, so a file of nothing but brackets would end the
process. Values are built by our own constructor: PyYAML's expands merge keys without a bound, and 471 bytes of them
keep it busy for ever.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import Resolver

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 500_000
MAX_ALIASES: Final = 10_000
MAX_MERGED: Final = 10_000
MAX_SECONDS: Final = 60.0
_CHECK_EVERY: Final = 256
"""Nodes and values between two looks at the clock."""

Place = tuple[str | int, ...]
"""A way into the data: mapping keys and list indexes."""

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = f"{_TAG}merge"


class YamlError(Exception):
    """A file or document that cannot be used. ``line`` counts from 1; ``place`` is the way to the value; ``document``
    is the line on which its document begins, or 0 where the file as a whole cannot be read.
    """

    def __init__(self, problem: str, remedy: str, *, line: int = 1, place: Place = (), document: int = 0) -> None:
        self.problem = problem
        self.remedy = remedy
        self.line = line
        self.place = place
        self.document = document
        super().__init__(problem)


@dataclass(frozen=True)
class Schema:
    """What plain scalars mean, and what a mapping may hold."""

    resolvers: Mapping[str, list[tuple[str, re.Pattern[str]]]]
    scalar: Callable[[ScalarNode], Any]
    merge_keys: bool
    """Whether ``<<`` merges; otherwise it is a key like any other."""
    text_keys: bool
    """Whether every key is the text that was written; otherwise a key that resolves to another type is refused."""
    unique_keys: bool
    """Whether a key that is written twice is refused; otherwise the last one counts."""


@dataclass(frozen=True)
class YamlDocument:
    """One document: its data (JSON types only, nothing shared), the line (from 1) on which it begins, and the line of
    each value where lines were asked for.
    """

    data: Any
    line: int
    lines: dict[Place, int] = field(default_factory=dict, repr=False)


def read_yaml(
    raw: bytes | str, schema: Schema, *, with_lines: bool = False, clock: Callable[[], float] = time.monotonic
) -> Iterator[YamlDocument | YamlError]:
    """Yield each document, or what is wrong with it. Raises YamlError where the file cannot be read
    any further.
    """
    watch = _Watch(clock)
    loader: Any = None
    try:
        loader = _Loader(raw, schema, watch)
        while loader.check_node():
            watch.begin_document()
            node = loader.get_node()
            try:
                yield _Builder(schema, watch, with_lines=with_lines).document(node)
            except YamlError as error:
                error.document = node.start_mark.line + 1
                yield error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"invalid YAML ({error.problem or error.context or 'unknown problem'})"
        raise YamlError(problem, "fix the file", line=mark.line + 1 if mark else 1) from error
    except (yaml.YAMLError, UnicodeError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise YamlError(f"invalid YAML ({first})", "save the file as plain UTF-8 text") from error
    finally:
        if loader is not None:
            loader.dispose()


class _Watch:
    """Counts what one file costs. Raises YamlError past a bound."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = clock() + MAX_SECONDS
        self._steps = 0
        self.nodes = 0
        self.aliases = 0

    def begin_document(self) -> None:
        self.nodes = self.aliases = 0

    def step(self) -> None:
        self._steps += 1
        if self._steps % _CHECK_EVERY == 0 and self._clock() > self._until:
            raise YamlError(f"takes more than {MAX_SECONDS:g} s to read", "split the file")


def _parser_bases() -> tuple[type, ...]:
    if yaml.__with_libyaml__:
        from yaml.cyaml import CParser  # type: ignore[attr-defined]  # noqa: PLC0415 - only where libyaml is

        return (CParser,)
    return (yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser)


_PARSER: Final = _parser_bases()


class _BoundedComposer(Composer):
    """Builds nodes; each step is counted."""

    watch: _Watch
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.watch.step()
        self.watch.nodes += 1
        line = self.peek_event().start_mark.line + 1  # type: ignore[attr-defined]
        if self.watch.nodes > MAX_VALUES:
            raise YamlError(f"holds more than {MAX_VALUES} values", "split the file", line=line)
        if self.depth > MAX_DEPTH:
            raise YamlError(f"is nested more than {MAX_DEPTH} deep", "flatten it", line=line)
        if self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            self.watch.aliases += 1
            if self.watch.aliases > MAX_ALIASES:
                raise YamlError(f"uses more than {MAX_ALIASES} aliases", "write the values out", line=line)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _begin(self: Any, raw: bytes | str, schema: Schema, watch: _Watch) -> None:
    if len(_PARSER) == 1:
        _PARSER[0].__init__(self, raw)  # type: ignore[misc]
    else:
        _PARSER[0].__init__(self, raw)  # type: ignore[misc]
        for base in _PARSER[1:]:
            base.__init__(self)  # type: ignore[misc]
    Composer.__init__(self)
    Resolver.__init__(self)
    self.watch = watch
    self.yaml_implicit_resolvers = schema.resolvers


_Loader: Final[Any] = type("_Loader", (_BoundedComposer, *_PARSER, Resolver), {"__init__": _begin})


class _Builder:
    """Builds the data of one document; aliases are expanded into copies."""

    def __init__(self, schema: Schema, watch: _Watch, *, with_lines: bool) -> None:
        self._schema = schema
        self._watch = watch
        self._lines: dict[Place, int] | None = {} if with_lines else None
        self._values = 0
        self._merged = 0

    def document(self, node: Node) -> YamlDocument:
        data = self._build(node, ())
        return YamlDocument(data, node.start_mark.line + 1, self._lines or {})

    def _build(self, node: Node, place: Place) -> Any:
        self._watch.step()
        self._values += 1
        if self._lines is not None:
            self._lines[place] = node.start_mark.line + 1
        if len(place) > MAX_DEPTH:
            raise _problem(node, place, f"expands to more than {MAX_DEPTH} levels of nesting", "flatten it")
        if self._values > MAX_VALUES:
            raise _problem(node, place, f"expands to more than {MAX_VALUES} values", "split the file")
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            self._check_tag(node, "seq", place)
            return [self._build(item, (*place, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, place)

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        try:
            return self._schema.scalar(node)
        except KeyError as error:
            raise _problem(node, place, f"tag {node.tag!r} is not supported", "write a plain value") from error
        except ValueError as error:
            raise _problem(node, place, f"{node.value[:20]!r}… is not a usable number", "correct it") from error

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        self._check_tag(node, "map", place)
        data: dict[str, Any] = {}
        for key_node, value_node in self._pairs(node, place, 0):
            key = self._key(key_node, place)
            inner = (*place, key)
            if key in data and self._schema.unique_keys:
                raise _problem(key_node, inner, "is given twice", "remove one of them")
            data[key] = self._build(value_node, inner)
            if self._lines is not None:
                self._lines[inner] = key_node.start_mark.line + 1
        return data

    def _pairs(self, node: MappingNode, place: Place, depth: int) -> Iterator[tuple[Node, Node]]:
        """The pairs of a mapping after those that its merge keys take over, so that its own win."""
        if not self._schema.merge_keys:
            yield from node.value
            return
        own: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if key.tag != _MERGE:
                own.append((key, value))
                continue
            if depth >= MAX_DEPTH:
                raise _problem(key, place, f"merges more than {MAX_DEPTH} levels deep", "write the values out")
            sources = reversed(value.value) if isinstance(value, SequenceNode) else (value,)
            for source in sources:
                if not isinstance(source, MappingNode):
                    raise _problem(key, place, "merges something that is not a mapping", "name a mapping")
                for pair in self._pairs(source, place, depth + 1):
                    self._count_merged(key, place)
                    yield pair
        yield from own

    def _count_merged(self, key: Node, place: Place) -> None:
        self._watch.step()
        self._merged += 1
        if self._merged > MAX_MERGED:
            problem = f"takes over more than {MAX_MERGED} pairs by merge keys (<<)"
            raise _problem(key, place, problem, "write the values out")

    def _key(self, node: Node, place: Place) -> str:
        if not isinstance(node, ScalarNode):
            raise _problem(node, (*place, "?"), "a key must be plain text", "quote the key")
        if self._schema.text_keys or node.tag == f"{_TAG}str":
            return str(node.value)
        raise _problem(node, place, f"has the key {node.value}, which is not a string", "quote the key")

    def _check_tag(self, node: Node, expected: str, place: Place) -> None:
        if node.tag != _TAG + expected:
            raise _problem(node, place, f"tag {node.tag!r} is not supported", "write a plain value")


def _problem(node: Node, place: Place, problem: str, remedy: str) -> YamlError:
    return YamlError(problem, remedy, line=node.start_mark.line + 1, place=place)


# What plain scalars mean

_CONSTRUCTOR: Final = SafeConstructor()


def _kubernetes_scalar(node: ScalarNode) -> Any:
    match node.tag.removeprefix(_TAG):
        case "str" | "timestamp" | "value" | "merge":
            return str(node.value)
        case "null":
            return None
        case "bool":
            return _CONSTRUCTOR.bool_values[node.value.lower()]
        case "int":
            return _CONSTRUCTOR.construct_yaml_int(node)
        case "float":
            return _CONSTRUCTOR.construct_yaml_float(node)
        case _:
            raise KeyError(node.tag)


def _core_scalar(node: ScalarNode) -> Any:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)
        case "float":
            return float(text)
        case _:
            raise KeyError(node.tag)


def _core_resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    number = r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    rules = (
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
        ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
        ("float", rf"^(?:{number})$", list("-+.0123456789")),
    )
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for name, pattern, first in rules:
        for character in first:
            found.setdefault(character, []).append((_TAG + name, re.compile(pattern)))
    return found


KUBERNETES: Final = Schema(
    # As kubectl reads it (YAML 1.1), but dates stay text: Kubernetes' objects know no dates.
    resolvers={
        first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    },
    scalar=_kubernetes_scalar,
    merge_keys=True,
    text_keys=False,
    unique_keys=False,
)
CORE: Final = Schema(
    # YAML 1.2's core schema: ``on`` and ``yes`` stay text, and ``1:2:3:4:5:6:7:8`` is an address, not a number in
    # base sixty.
    resolvers=_core_resolvers(),
    scalar=_core_scalar,
    merge_keys=False,
    text_keys=True,
    unique_keys=True,
)
