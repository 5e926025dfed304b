"""LedgerLB's annotations on a network: exclusions, allowed Namespaces, quota, durations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ledgerlb.core.addresses import Family, Span, parse_cidr, parse_spans, split_list
from ledgerlb.core.cluster.facts import Fact
from ledgerlb.core.cluster.labels import LabelSelector, parse_selector_text
from ledgerlb.core.cluster.services import (
    ANNOTATION_ALLOWED_NAMESPACES,
    ANNOTATION_EXCLUDE,
    ANNOTATION_FORCE_PREFIX,
    ANNOTATION_LEASE,
    ANNOTATION_QUARANTINE,
    ANNOTATION_QUOTA,
    ANNOTATION_STRICT_QUARANTINE,
)
from ledgerlb.core.errors import BadInput
from ledgerlb.core.settings import parse_duration

_T = TypeVar("_T")
_SWITCH: Final = {"true": True, "false": False}
_NUMBER: Final = re.compile(r"[0-9]{1,18}\Z")


@dataclass(frozen=True, slots=True)
class NetworkTerms:
    """The annotations of one network, parsed. ``excluded`` pairs each span with its text."""

    excluded: tuple[tuple[Span, str], ...] = ()
    allowed_namespaces: LabelSelector | None = None
    quota_per_namespace: int | None = None
    quarantine: float | None = None
    lease: float | None = None
    strict_quarantine: bool | None = None
    force_prefix: tuple[str, ...] = ()


def terms_of(carriers: Sequence[tuple[str, Fact]], problems: list[BadInput]) -> NetworkTerms:
    """Read the terms from the carriers (name for messages, fact). If several carry a key, the first one counts.

    A value that does not parse is left at its default and added to ``problems``.
    """

    def read(key: str, parse: Callable[[str, str, str], _T], default: _T) -> _T:
        for subject, fact in carriers:
            text = fact.annotations.get(key)
            if text is not None:
                try:
                    return parse(text, subject, f"annotation {key}")
                except BadInput as problem:
                    problems.append(problem)
                    return default
        return default

    return NetworkTerms(
        excluded=read(ANNOTATION_EXCLUDE, _exclusions, ()),
        allowed_namespaces=read(ANNOTATION_ALLOWED_NAMESPACES, _allowed, None),
        quota_per_namespace=read(ANNOTATION_QUOTA, _quota, None),
        quarantine=read(ANNOTATION_QUARANTINE, _duration, None),
        lease=read(ANNOTATION_LEASE, _duration, None),
        strict_quarantine=read(ANNOTATION_STRICT_QUARANTINE, _switch, None),
        force_prefix=read(ANNOTATION_FORCE_PREFIX, _forced, ()),
    )


def _exclusions(text: str, subject: str, field: str) -> tuple[tuple[Span, str], ...]:
    return tuple(parse_spans(text, subject, field))


def _allowed(text: str, subject: str, field: str) -> LabelSelector | None:
    if not text.strip():
        raise BadInput(
            subject, field, "is empty", "name the labels of the allowed namespaces, or remove it to allow all"
        )
    return parse_selector_text(text, subject, field)


def _quota(text: str, subject: str, field: str) -> int | None:
    if not _NUMBER.match(text.strip()):
        raise BadInput(subject, field, f"{text!r} is not a number of addresses", "write a whole number such as 10")
    return int(text)


def _duration(text: str, subject: str, field: str) -> float | None:
    try:
        return parse_duration(text)
    except BadInput as error:
        raise BadInput(subject, field, error.problem, error.remedy) from error


def _switch(text: str, subject: str, field: str) -> bool | None:
    if text not in _SWITCH:
        raise BadInput(subject, field, f"{text!r} is neither true nor false", 'write "true" or "false"')
    return _SWITCH[text]


def _forced(text: str, subject: str, field: str) -> tuple[str, ...]:
    found: dict[Family, str] = {}
    for item in split_list(text, subject, field):
        cidr = parse_cidr(item, subject, field)
        if cidr.family in found:
            raise BadInput(
                subject, field, f"names two IPv{cidr.family} prefixes", "name the new prefix, one per family"
            )
        found[cidr.family] = cidr.text
    return tuple(found.values())
