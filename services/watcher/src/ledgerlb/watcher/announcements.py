"""Which Events follow from a change of what a Service's status says: one for each change of state."""

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
    """An Event to be: a stable reason word, a sentence, and whether it is a warning."""

    reason: str
    message: str
    warning: bool


def announcements(shown: Iterable[Condition], now: Iterable[Condition]) -> tuple[Announcement, ...]:
    """What to say when the conditions ``shown`` become ``now``; each reason once, waiting is not worth saying."""
    before = {condition.type: condition for condition in shown}
    # A Service may show conditions of types that only another version of LedgerLB knows.
    known = [condition for condition in now if condition.type in _ORDER]
    found: dict[str, Announcement] = {}
    for condition in sorted(known, key=lambda c: _ORDER.index(c.type)):
        if condition.status == "Unknown" or condition.reason in MENDED:
            continue
        if _says(before.get(condition.type)) != _says(condition):
            said = Announcement(condition.reason, condition.message, is_warning(condition.reason))
            found.setdefault(condition.reason, said)
    return tuple(found.values())


def _says(condition: Condition | None) -> tuple[str, str, str] | None:
    return (condition.status, condition.reason, condition.message) if condition else None
