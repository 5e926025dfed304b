"""Facts that can wait: a Service that only shows other addresses, conditions or finalizers than the log has.

That is nearly always what the publisher wrote itself, and no new address depends on it. A record of its own for each
would stir every process that reads facts, once more for each new Service. So such a fact waits up to ``ECHO_SECONDS``
for others, and joins them.
"""

from __future__ import annotations

from typing import Final

from ledgerlb.core.cluster.facts import AnyFact, ServiceFact, decode_fact
from ledgerlb.core.errors import BadInput

ECHO_SECONDS: Final = 0.25


class Echoes:
    """The record keys of facts that can wait, and ``at``: when (monotonic seconds) the first must go; None: no key."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self.at: float | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str, now: float) -> None:
        """Let the fact under ``key`` wait."""
        self._keys[key] = None
        if self.at is None:
            self.at = now + ECHO_SECONDS

    def forget(self, key: str) -> None:
        """Note that the fact under ``key`` goes at once, or is in the log."""
        self._keys.pop(key, None)
        if not self._keys:
            self.at = None

    def due(self, now: float) -> bool:
        """Return whether one has waited long enough."""
        return self.at is not None and now >= self.at


def is_echo(key: str, fact: AnyFact, logged: bytes | None) -> bool:
    """Return whether the fact differs from the encoded one in the log only in what status and finalizers show."""
    if not isinstance(fact, ServiceFact) or logged is None:
        return False
    try:
        known = decode_fact(key, logged)
    except BadInput:
        return False  # another program's record: replace it at once
    return isinstance(known, ServiceFact) and _without_status(known) == _without_status(fact)


def _without_status(fact: ServiceFact) -> ServiceFact:
    return fact.model_copy(update={"ingress": (), "conditions": (), "has_finalizer": False})
