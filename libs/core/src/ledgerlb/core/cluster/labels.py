"""Kubernetes LabelSelectors: as objects (``matchLabels``, ``matchExpressions``) and in string form
(``team=a,env in (dev,test),!x``).

Both forms parse to the same value, which matches labels, compares, and prints itself in a canonical string form
that parses back. Parsing refuses whatever Kubernetes refuses, and names the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ledgerlb.core.errors import BadInput

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]

OPERATORS: Final[tuple[Operator, ...]] = ("In", "NotIn", "Exists", "DoesNotExist")

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_DNS_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_KEY: Final = re.compile(rf"(?:{_DNS_LABEL}(?:\.{_DNS_LABEL})*/)?{_NAME}\Z")
_VALUE: Final = re.compile(rf"(?:{_NAME})?\Z")
_MAX_KEY_PREFIX: Final = 253
_MAX_TEXT: Final = 8192
"""Longest string form that is parsed; a longer one is a mistake."""

_ABSENT: Final = re.compile(r"!\s*(?P<key>\S+)\Z")
_SET: Final = re.compile(r"(?P<key>[^\s!=(),]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)\Z")
_EQUAL: Final = re.compile(r"(?P<key>[^\s!=(),]+)\s*(?P<operator>==|!=|=)\s*(?P<value>[^\s!=(),]*)\Z")
_PRESENT: Final = re.compile(r"(?P<key>[^\s!=(),]+)\Z")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label key. ``values`` are sorted and distinct; empty for Exists and DoesNotExist."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet the requirement. As in Kubernetes, an absent key meets NotIn."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case _:
                return value is None

    def __str__(self) -> str:
        match self.operator:
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case "In" if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case "NotIn" if len(self.values) == 1:
                return f"{self.key}!={self.values[0]}"
            case _:
                return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A conjunction of requirements; without any, everything matches. Requirements are sorted, so two spellings of a
    selector are equal.
    """

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING: Final = LabelSelector()


def _selector(requirements: list[Requirement]) -> LabelSelector:
    return LabelSelector(tuple(sorted(requirements, key=lambda r: (r.key, r.operator, r.values))))


def parse_selector(raw: Any, subject: str = "label selector", field: str = "") -> LabelSelector:
    """Parse a raw Kubernetes object (decoded JSON or YAML). ``{}`` matches everything.

    ``subject`` and ``field`` name the place in messages. Raises BadInput for anything that Kubernetes would
    refuse and for unknown keys.
    """
    if not isinstance(raw, Mapping):
        raise BadInput(subject, field, "is not a label selector", "write matchLabels and matchExpressions")
    unknown = sorted(str(key) for key in raw if key not in {"matchLabels", "matchExpressions"})
    if unknown:
        raise BadInput(
            subject, _in(field, unknown[0]), "is unknown in a label selector", "use matchLabels or matchExpressions"
        )
    labels = raw.get("matchLabels")
    expressions = raw.get("matchExpressions")
    return _selector(
        [
            *_match_labels({} if labels is None else labels, subject, _in(field, "matchLabels")),
            *_match_expressions([] if expressions is None else expressions, subject, _in(field, "matchExpressions")),
        ]
    )


def _in(field: str, part: str) -> str:
    return f"{field}.{part}" if field else part


def _match_labels(raw: Any, subject: str, field: str) -> Iterator[Requirement]:
    if not isinstance(raw, Mapping):
        raise BadInput(subject, field, "is not a mapping of labels", "write key: value")
    for key, value in raw.items():
        place = _in(field, str(key))
        yield Requirement(_key(key, subject, place), "In", (_value(value, subject, place),))


def _match_expressions(raw: Any, subject: str, field: str) -> Iterator[Requirement]:
    if not isinstance(raw, list | tuple):
        raise BadInput(subject, field, "is not a list", "write a list of {key, operator, values}")
    for index, item in enumerate(raw):
        yield _expression(item, subject, f"{field}[{index}]")


def _expression(raw: Any, subject: str, field: str) -> Requirement:
    if not isinstance(raw, Mapping):
        raise BadInput(subject, field, "is not a mapping", "write {key, operator, values}")
    unknown = sorted(str(key) for key in raw if key not in {"key", "operator", "values"})
    if unknown:
        raise BadInput(
            subject, f"{field}.{unknown[0]}", "is unknown in a match expression", "use key, operator, values"
        )
    operator = raw.get("operator")
    if operator not in OPERATORS:
        raise BadInput(subject, f"{field}.operator", f"{operator!r} is unknown", f"use one of {', '.join(OPERATORS)}")
    listed = raw.get("values")
    values = [] if listed is None else listed
    if not isinstance(values, list | tuple):
        raise BadInput(subject, f"{field}.values", "is not a list", "write a list of strings")
    found = tuple(_value(value, subject, f"{field}.values[{at}]") for at, value in enumerate(values))
    return _requirement(_key(raw.get("key"), subject, f"{field}.key"), operator, found, subject, f"{field}.values")


def _requirement(key: str, operator: Operator, values: tuple[str, ...], subject: str, field: str) -> Requirement:
    takes_values = operator in {"In", "NotIn"}
    if takes_values and not values:
        raise BadInput(subject, field, f"is empty, but {operator} needs values", "list at least one, or use Exists")
    if not takes_values and values:
        raise BadInput(subject, field, f"has values, but {operator} takes none", "remove them, or use In")
    return Requirement(key, operator, tuple(sorted(set(values))))


def _key(key: Any, subject: str, field: str) -> str:
    prefix, slash, _ = str(key).partition("/")
    if not isinstance(key, str) or not _KEY.match(key) or (slash and len(prefix) > _MAX_KEY_PREFIX):
        raise BadInput(subject, field, f"{key!r} is not a label key", "write name or prefix.example/name")
    return key


def _value(value: Any, subject: str, field: str) -> str:
    if not isinstance(value, str) or not _VALUE.match(value):
        raise BadInput(
            subject,
            field,
            f"{value!r} is not a label value",
            "use up to 63 letters, digits, '-', '_' and '.', in quotes where YAML would read another type",
        )
    return value


def parse_selector_text(text: str, subject: str = "label selector", field: str = "") -> LabelSelector:
    """Parse the string form: terms ``key``, ``!key``, ``key=value``, ``key==value``, ``key!=value``,
    ``key in (a,b)``, ``key notin (a,b)``, joined by commas. Blanks around commas and operators are fine; an
    empty text matches everything.

    Raises BadInput.
    """
    if len(text) > _MAX_TEXT:
        raise BadInput(subject, field, f"is longer than {_MAX_TEXT} characters", "use fewer terms")
    if not text.strip():
        return EVERYTHING
    return _selector([_term(term.strip(), subject, field) for term in _terms(text)])


def _terms(text: str) -> Iterator[str]:
    """Split at the commas that are not inside parentheses."""
    depth = start = 0
    for at, letter in enumerate(text):
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def _term(term: str, subject: str, field: str) -> Requirement:
    if found := _ABSENT.match(term):
        return Requirement(_key(found["key"], subject, field), "DoesNotExist")
    if found := _SET.match(term):
        key = _key(found["key"], subject, field)
        values = tuple(_listed(found["values"], term, subject, field))
        return _requirement(key, "In" if found["operator"] == "in" else "NotIn", values, subject, field)
    if found := _EQUAL.match(term):
        key = _key(found["key"], subject, field)
        operator: Operator = "NotIn" if found["operator"] == "!=" else "In"
        return Requirement(key, operator, (_value(found["value"], subject, field),))
    if found := _PRESENT.match(term):
        return Requirement(_key(found["key"], subject, field), "Exists")
    raise BadInput(
        subject,
        field,
        f"{term!r} is not a term of a label selector",
        "write key, !key, key=value, key!=value, key in (a,b) or key notin (a,b), joined by commas",
    )


def _listed(text: str, term: str, subject: str, field: str) -> Iterator[str]:
    for part in text.split(","):
        if not part.strip():
            raise BadInput(subject, field, f"{term!r} lists an empty value", "write key in (a,b)")
        yield _value(part.strip(), subject, field)
