"""Decide which Events follow from a change of a Service's conditions: one for each change of state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledgerlb.core.cluster.facts import PORTS_ERROR, Condition
from ledgerlb.core.publication.conditions import (
    ADDRESS_ALLOCATED,
    DEGRADED,
    MENDED,
    NETWORK_SELECTED,
    PROGRAMMED,
    SELECTION_DRIFTED,
)
from ledgerlb.core.reasons import Reason, is_warning

_ORDER: Final = (NETWORK_SELECTED, ADDRESS_ALLOCATED, PROGRAMMED, SELECTION_DRIFTED, PORTS_ERROR, DEGRADED)
_OF_ALL: Final = (Reason.RECORD_ONLY, Reason.NO_AGENTS)
"""Reasons that concern every Service at once: an Event each would tell nothing about the one Service."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """An Event to write: a stable reason, a sentence, and whether it is a warning."""

    reason: str
    message: str
    warning: bool


def announcements(shown: Iterable[Condition], now: Iterable[Condition]) -> tuple[Announcement, ...]:
    """Return the Events for the change from ``shown`` to ``now``: one for each reason, none for waiting."""
    before = {condition.type: condition for condition in shown}
    # A Service may show conditions of types that only another version of LedgerLB knows.
    known = [condition for condition in now if condition.type in _ORDER]
    found: dict[str, Announcement] = {}
    for condition in sorted(known, key=lambda c: _ORDER.index(c.type)):
        if condition.status == "Unknown" or condition.reason in {*MENDED, *_OF_ALL}:
            continue
        if condition.type == PROGRAMMED and condition.status == "True" and not _failed(before.get(PROGRAMMED)):
            continue  # the usual way of a new Service
        if _shown_by(before.get(condition.type)) != _shown_by(condition):
            event = Announcement(condition.reason, condition.message, is_warning(condition.reason))
            found.setdefault(condition.reason, event)
    return tuple(found.values())


def _failed(condition: Condition | None) -> bool:
    return condition is not None and condition.status == "False" and condition.reason not in _OF_ALL


def _shown_by(condition: Condition | None) -> tuple[str, str, str] | None:
    return (condition.status, condition.reason, condition.message) if condition else None
