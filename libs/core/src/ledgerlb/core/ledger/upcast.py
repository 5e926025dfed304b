"""Reading entries of older versions: raw data of version n becomes raw data of version n + 1, up to the newest.

A stored entry is never rewritten: its bytes, its hash and its ``v`` stay. Only what a reader sees of it is brought up
to date, before it is decoded into today's types, so that no other module knows an older version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

VERSION: Final = 2
"""The version that this code writes. A released version is never changed: a new field or event that an older reader
cannot decode belongs to the next version, and that version gets a step in ``STEPS`` and a golden file in the tests.
"""


def _to_2(entry: dict[str, Any]) -> dict[str, Any]:
    """Version 2 only adds events and fields with defaults, so an entry of version 1 is one already."""
    return entry


STEPS: Final[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {1: _to_2}
"""By version: the step to the next one."""


def is_older(version: int) -> bool:
    """Return whether entries of this version are brought up to date."""
    return version in STEPS


def upcast(raw: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the raw entry in the form of ``VERSION``; its field ``v`` stays as it was written."""
    for step in range(version, VERSION):
        raw = STEPS[step](raw)
    return raw
