"""Facts that differ from the log and are not appended at once, because one record may then do for two.

A *claimed* Service is one that the log does not know and on which our finalizer is being put: without it it concerns
nobody, so its fact waits for what that write returns. A *patient* fact is one that nobody waits for: it goes with the
next that somebody does. Both waits are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Final

CLAIM_SECONDS: Final = 1.0
"""How long a claimed Service waits at most."""
PATIENT_SECONDS: Final = 0.2
"""How long a patient fact waits at most."""


class Waits:
    """See module. Record keys of facts, each with the moment at which its wait ends; ``clock`` as the observer's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Either table is in the order of its moments, since all of its waits are of one length.
        self._claimed: dict[str, float] = {}
        self._patient: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._claimed) + len(self._patient)

    def __iter__(self) -> Iterator[str]:
        yield from self._claimed
        yield from self._patient

    def __contains__(self, key: str) -> bool:
        return key in self._claimed or key in self._patient

    def claim(self, key: str) -> None:
        """The fact waits for a write; a wait that has begun is not made longer."""
        self._patient.pop(key, None)
        self._claimed.setdefault(key, self._clock() + CLAIM_SECONDS)

    def be_patient(self, key: str) -> None:
        """The fact waits for company; a wait that has begun is not made longer."""
        self._claimed.pop(key, None)
        self._patient.setdefault(key, self._clock() + PATIENT_SECONDS)

    def is_patient(self, key: str) -> bool:
        """Whether the fact waits for company."""
        return key in self._patient

    def end(self, key: str) -> None:
        """The fact waits for nothing any more."""
        self._claimed.pop(key, None)
        self._patient.pop(key, None)

    def end_all(self) -> list[str]:
        """End every wait; the keys."""
        keys = list(self)
        self._claimed.clear()
        self._patient.clear()
        return keys

    def end_due(self) -> list[str]:
        """End those that have lasted long enough; the keys."""
        now = self._clock()
        keys: list[str] = []
        for waits in (self._claimed, self._patient):
            keys += [key for key, _ in takewhile(lambda wait: wait[1] <= now, waits.items())]
        for key in keys:
            self.end(key)
        return keys

    def end_patient(self) -> list[str]:
        """There is company: end the waits for it; the keys."""
        keys = list(self._patient)
        self._patient.clear()
        return keys

    def next_end(self) -> float | None:
        """When the next wait ends, None where nothing waits."""
        return min((next(iter(waits.values())) for waits in (self._claimed, self._patient) if waits), default=None)
