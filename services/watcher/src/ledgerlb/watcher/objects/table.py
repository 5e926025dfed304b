"""The current objects: as the facts have them, and for a while as our own writes left them.

A fact needs a moment from the cluster through the log. Until it comes, the table assumes that the object is what the
write returned. Facts that were on their way before the write do not change that. An assumption that no fact confirms
ends after ``TRUST`` seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ledgerlb.core.cluster.facts import AnyFact
from ledgerlb.core.index import Dependencies
from ledgerlb.runtime.due import is_due

TRUST: Final = 30.0
"""Seconds for which the table trusts a write without a fact that confirms it."""
_MAX_BEFORE: Final = 8

Key = tuple[str, str]
"""(kind, full name)"""


@dataclass(frozen=True, slots=True)
class _Assumed:
    fact: AnyFact | None
    before: tuple[AnyFact | None, ...]
    until: datetime


class ObjectTable:
    """See module. ``owners`` returns the owners of an object; ``clock`` gives aware UTC."""

    def __init__(self, owners: Callable[[AnyFact], tuple[str, ...]], clock: Callable[[], datetime]) -> None:
        self._owners = owners
        self._clock = clock
        self._facts: dict[Key, AnyFact] = {}
        self._assumed: dict[Key, _Assumed] = {}
        self._filed: Dependencies[Key, str] = Dependencies()

    def take(self, key: Key, fact: AnyFact | None) -> tuple[str, ...]:
        """Note a fact (None: the object is gone), and return the owners that it concerns."""
        if fact is None:
            self._facts.pop(key, None)
        else:
            self._facts[key] = fact
        assumed = self._assumed.get(key)
        if assumed is not None and (fact == assumed.fact or fact not in assumed.before):
            del self._assumed[key]
        return self._file(key)

    def wrote(self, key: Key, fact: AnyFact | None) -> None:
        """Note the object as a write left it."""
        earlier = self._assumed.get(key)
        before = (*earlier.before, earlier.fact) if earlier is not None else ()
        before = (*before, self._facts.get(key))[-_MAX_BEFORE:]
        self._assumed[key] = _Assumed(fact, before, self._clock() + timedelta(seconds=TRUST))
        self._file(key)

    def current(self, key: Key) -> AnyFact | None:
        """Return the object as it is now, as far as we know."""
        assumed = self._assumed.get(key)
        if assumed is not None and not is_due(assumed.until, self._clock(), TRUST):
            return assumed.fact
        return self._facts.get(key)

    def of_owner(self, owner: str) -> tuple[Key, ...]:
        """Return the keys of the objects that belong, or lately belonged, to the owner."""
        return tuple(sorted(self._filed.dependents_on(owner)))

    def owners(self) -> tuple[str, ...]:
        """Return every owner that has objects."""
        return tuple(sorted(self._filed.keys()))

    def doubtful(self) -> tuple[str, ...]:
        """Forget assumptions that have lasted too long, and return the owners of those objects."""
        now = self._clock()
        late = [key for key, assumed in self._assumed.items() if is_due(assumed.until, now, TRUST)]
        found: dict[str, None] = {}
        for key in late:
            found.update(dict.fromkeys(self._filed.keys_of(key)))
            del self._assumed[key]
            self._file(key)
        return tuple(found)

    def assumes(self) -> bool:
        """Return whether a write still waits for its fact."""
        return bool(self._assumed)

    def _file(self, key: Key) -> tuple[str, ...]:
        """Keep the index by owner, and return the owners before and after."""
        assumed = self._assumed.get(key)
        states = (self._facts.get(key), assumed.fact if assumed is not None else None)
        after = dict.fromkeys(owner for state in states if state is not None for owner in self._owners(state))
        before = self._filed.assign(key, after)
        return tuple(dict.fromkeys((*before, *after)))
