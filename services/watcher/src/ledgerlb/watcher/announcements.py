"""Decide which Events follow from a change of a Service's conditions: one for each change of state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledgerlb.core.cluster.facts import PORTS_ERROR, Condition
from ledgerlb.core.publication.publish import ADDRESS_ALLOCATED, MENDED, NETWORK_SELECTED, PROGRAMMED, SELECTION_DRIFTED
from ledgerlb.core.reasons import is_warning

_ORDER: Final = (NETWORK_SELECTED, ADDRESS_ALLOCATED, PROGRAMMED, SELECTION_DRIFTED, PORTS_ERROR)


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
        if condition.status == "Unknown" or condition.reason in MENDED:
            continue
        if _shown_by(before.get(condition.type)) != _shown_by(condition):
            event = Announcement(condition.reason, condition.message, is_warning(condition.reason))
            found.setdefault(condition.reason, event)
    return tuple(found.values())


def _shown_by(condition: Condition | None) -> tuple[str, str, str] | None:
    return (condition.status, condition.reason, condition.message) if condition else None
