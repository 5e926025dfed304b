"""Read raw JSON: check every value where it is read, and name a wrong one by its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

Raw = Mapping[str, Any]
_EMPTY: Final[Mapping[str, Any]] = {}
MAX_DEPTH: Final = 64
"""Levels of a value that is kept unchanged; deeper ones cannot be encoded."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


class WrongField(Exception):
    """Never leaves this library: the normaliser turns it into BadInput.

    ``field`` is the path in the object, ``problem`` what is wrong with its value.
    """

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


def _wrong(value: object, field: str, expected: str) -> WrongField:
    shown = repr(value)
    return WrongField(field, f"{shown if len(shown) <= 60 else shown[:57] + '...'} is not {expected}")


def mapping(value: Any, field: str) -> Raw:
    """Return a JSON object; None counts as empty."""
    if value is None:
        return _EMPTY
    if isinstance(value, dict):
        return value
    raise _wrong(value, field, "a mapping")


def tree(value: Any, field: str, depth: int = 1) -> Any:
    """Return a value of any shape unchanged, where it can be written to the log."""
    if depth > MAX_DEPTH:
        raise WrongField(field, f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, child in value.items():
            _unicode(str(key), field)
            tree(child, field, depth + 1)
    elif isinstance(value, list):
        for child in value:
            tree(child, field, depth + 1)
    elif isinstance(value, str):
        _unicode(value, field)
    return value


def text(value: Any, field: str) -> str:
    """Return a string; None counts as empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _unicode(value, field)
    raise _wrong(value, field, "a string (quote it)")


def _unicode(value: str, field: str) -> str:
    """Return the string where it can be written to the log: JSON's escapes can spell half a character."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _wrong(value, field, "valid Unicode") from None
    return value


def number(value: Any, field: str, default: int = 0) -> int:
    """Return a whole number; None gives the default."""
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _wrong(value, field, "a whole number")


def flag(value: Any, field: str, default: bool) -> bool:
    """Return a boolean; None gives the default."""
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise _wrong(value, field, "true or false")


def items(value: Any, field: str) -> list[Any]:
    """Return a list; None counts as empty."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise _wrong(value, field, "a list")


def mappings(value: Any, field: str) -> Iterator[tuple[Raw, str]]:
    """Yield the mappings of a list, each with its path."""
    for position, entry in enumerate(items(value, field)):
        path = f"{field}[{position}]"
        if not isinstance(entry, dict):
            raise _wrong(entry, path, "a mapping")
        yield entry, path


def texts(value: Any, field: str) -> tuple[str, ...]:
    """Return the strings of a list."""
    return tuple(text(entry, f"{field}[{position}]") for position, entry in enumerate(items(value, field)))


def text_map(value: Any, field: str) -> dict[str, str]:
    """Return a mapping of strings to strings (labels, annotations), sorted by key; null counts as empty."""
    found = mapping(value, field)
    for key, entry in found.items():
        if not isinstance(key, str):
            raise _wrong(key, field, "a string key (quote it)")
        _unicode(key, field)
        text(entry, f"{field}[{key}]")
    return {key: found[key] or "" for key in sorted(found)}


def port_number(value: Any, field: str) -> int:
    """Return a port, 1 to 65535; None gives 0."""
    found = number(value, field)
    if value is not None and not 1 <= found <= 65535:
        raise _wrong(value, field, "a port number (1 to 65535)")
    return found


class Lenient:
    """Note a wrong value (field and problem) in ``wrong``, take the default, and read on.

    For kinds whose wrong types an API server may let through: a Service that refers to such an object can then say
    what is wrong with it.
    """

    def __init__(self) -> None:
        self.wrong: list[tuple[str, str]] = []

    def read(
        self, default: _T, reader: Callable[Concatenate[Any, _P], _T], value: Any, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Return what ``reader`` (a function like those of this module) makes of the value, else the default."""
        try:
            return reader(value, *args, **kwargs)
        except WrongField as wrong:
            self.wrong.append((wrong.field, wrong.problem))
            return default
