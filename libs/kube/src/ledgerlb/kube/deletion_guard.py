"""Hold back mass deletions until an operator has had time to look: an empty answer is rarely what people meant.

A change takes away some of the Services that LedgerLB holds. If that is more than ``SHARE`` of them and at least
``FEWEST``, the guard refuses the deletion for a grace period, or until an operator confirms. The period starts again
when further Services go missing. A Service that comes back in time was never gone.

Pure: the caller passes the clock. The guard judges each *scope* (the lists of the cluster, the folder of manifests) by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

Name = tuple[str, str]
"""(namespace, name) of a Service."""

SHARE: Final = 0.2
"""Largest part of the Services held that one change may take away without confirmation."""
FEWEST: Final = 5
"""Fewer Services than this may always go."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """Services that are missing from the source and not deleted yet. ``number`` counts the incidents of a process,
    ``seconds_left`` is what is left of the grace period.
    """

    number: int
    gone: tuple[Name, ...]
    held: int
    seconds_left: float


@dataclass(slots=True)
class _Scope:
    gone: frozenset[Name] = frozenset()
    held: int = 0
    since: float = 0.0
    confirmed: bool = False


@dataclass(slots=True)
class DeletionGuard:
    """See module. ``grace`` is in seconds, ``clock`` gives monotonic seconds."""

    grace: float
    clock: Callable[[], float]
    on_change: Callable[[], None] = lambda: None
    """Called when the guard begins or ends to hold something back, or holds back more."""
    _scopes: dict[str, _Scope] = field(default_factory=dict)
    _number: int = 0

    def judge(self, scope: str, gone: Collection[Name], held: int) -> bool:
        """Return whether the Services ``gone`` may be deleted now. ``held`` counts the Services of the scope with the
        missing ones. Call it again at every look, with everything that is missing then.
        """
        missing = frozenset(gone)
        known = self._scopes.get(scope)
        large = len(missing) >= FEWEST and len(missing) > SHARE * held
        if not large or (known is not None and missing <= known.gone and self._is_over(known)):
            if known is not None:
                del self._scopes[scope]
                self.on_change()
            return True
        if known is None:
            self._number += 1
        if known is None or not missing <= known.gone:
            self._scopes[scope] = _Scope(missing, held, self.clock())
            self.on_change()
        else:
            known.gone, known.held = missing, held
        return False

    def is_over(self, scope: str) -> bool:
        """Return whether what the scope holds back may go: its grace period is over, or a person confirmed."""
        known = self._scopes.get(scope)
        return known is not None and self._is_over(known)

    def _is_over(self, scope: _Scope) -> bool:
        return scope.confirmed or self.clock() >= scope.since + self.grace

    def confirm(self) -> None:
        """Let everything go that is held back now."""
        for scope in self._scopes.values():
            scope.confirmed = True

    @property
    def withheld(self) -> Withheld | None:
        """The Services held back, over all scopes; None if there are none."""
        if not self._scopes:
            return None
        scopes = self._scopes.values()
        gone = sorted({name for scope in scopes for name in scope.gone})
        left = max(scope.since + self.grace - self.clock() for scope in scopes)
        return Withheld(self._number, tuple(gone), max(scope.held for scope in scopes), max(0.0, left))
