"""How many decisions the ledger took for each namespace within the last minute, over all networks.

The ledger is kept for ever, so a namespace that creates and deletes Services without end must not fill it.
"""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime, timedelta
from typing import Final

from ledgerlb.core.ledger.entry import Entry

WINDOW: Final = timedelta(minutes=1)
MOST: Final = 50_000
"""Decisions that are remembered: more than any log takes in a minute."""


class DecisionPace:
    """See module. Holds one record for each decision of the last minute of the ledger."""

    def __init__(self) -> None:
        self._recent: deque[tuple[datetime, str]] = deque(maxlen=MOST)

    def note(self, entry: Entry) -> None:
        """Count an accepted entry: one decision for each Service that it is about."""
        recent, at = self._recent, entry.decided_at
        for cause in entry.cause:
            if cause.service:
                recent.append((at, cause.service.partition("/")[0]))
        begin = at - WINDOW
        while recent and recent[0][0] <= begin:
            recent.popleft()

    def counts(self, now: datetime) -> Counter[str]:
        """Return how many decisions each namespace had in the minute before ``now`` (aware UTC)."""
        begin = now - WINDOW
        return Counter(namespace for at, namespace in self._recent if at > begin)

    def free_at(self, namespace: str, limit: int, now: datetime) -> datetime:
        """Return when the namespace has had fewer than ``limit`` decisions within a minute."""
        begin = now - WINDOW
        moments = sorted(at for at, name in self._recent if name == namespace and at > begin)
        return moments[-limit] + WINDOW if len(moments) >= limit else now


def pace_text(namespace: str, limit: int) -> str:
    """Describe to people why a Service of the namespace waits."""
    return (
        f"namespace {namespace} had {limit} decisions within the last minute, as many as the setting "
        "defaults.decisionsPerMinute admits; the Service is served by itself after that"
    )
