"""Hold back mass deletions until an operator has had time to look: an empty answer is rarely what people meant.

A change takes away some of the Services that LedgerLB holds. If that is more than ``SHARE`` of them and at least
``FEWEST``, the guard refuses the deletion for a grace period, or until an operator confirms. The period starts again
when further Services go missing. A Service that comes back in time was never gone.

A network that goes takes away the addresses of its holders. So the guard judges the objects of networks by the Services
that they would strand.

Pure: the caller passes the clock. The guard judges each *scope* (the lists of the cluster, the folder of manifests) by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ledgerlb.core.networks import POOL_PREFIX

Name = tuple[str, str]
"""(namespace, name) of a Service."""

NETWORK_KINDS: Final = frozenset({"NetworkAttachmentDefinition", "VirtualNetwork", "AddressPool"})
"""Kinds whose objects are external networks."""
Holders = Callable[[], Mapping[str, Collection[Name]] | None]
"""Return the Services that hold an address, by network; None while that is not known yet."""

SHARE: Final = 0.2
"""Largest part of the Services held that one change may take away without confirmation."""
FEWEST: Final = 5
"""Fewer Services than this may always go."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """Services that are missing from the source, or hold an address of ``networks`` that are missing, and not deleted
    yet. ``number`` counts the incidents of a process, ``seconds_left`` is what is left of the grace period.
    """

    number: int
    gone: tuple[Name, ...]
    held: int
    seconds_left: float
    networks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Scope:
    gone: frozenset[Name] = frozenset()
    held: int = 0
    since: float = 0.0
    confirmed: bool = False
    networks: frozenset[str] = frozenset()


@dataclass(slots=True)
class DeletionGuard:
    """See module. ``grace`` is in seconds, ``clock`` gives monotonic seconds."""

    grace: float
    clock: Callable[[], float]
    on_change: Callable[[], None] = lambda: None
    """Called when the guard begins or ends to hold something back, or holds back more."""
    holders: Holders = dict
    """Set by the watcher, which knows the ledger."""
    _scopes: dict[str, _Scope] = field(default_factory=dict)
    _number: int = 0

    def judge_networks(self, scope: str, objects: Iterable[tuple[str, Name]], leaving: Collection[Name] = ()) -> bool:
        """Return whether objects of networks, by (kind, name), may be deleted now. Services that are ``leaving`` anyway
        do not count as stranded. Call it again at every look, as ``judge``.
        """
        networks = frozenset(_network_of(kind, name) for kind, name in objects if kind in NETWORK_KINDS)
        holders = self.holders() if networks else {}
        if holders is None:
            return False
        stranded = {name for network in networks for name in holders.get(network, ())}.difference(leaving)
        held = len({name for names in holders.values() for name in names}) if stranded else 0
        return self.judge(scope, stranded, held, networks if stranded else frozenset())

    def judge(self, scope: str, gone: Collection[Name], held: int, networks: frozenset[str] = frozenset()) -> bool:
        """Return whether the Services ``gone`` may be deleted now, or stranded by the loss of ``networks``. ``held``
        counts the Services of the scope with the missing ones. Call it again at every look, with everything that is
        missing then.
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
            self._scopes[scope] = _Scope(missing, held, self.clock(), networks=networks)
            self.on_change()
        else:
            known.gone, known.held, known.networks = missing, held, networks
        return False

    def holds_back(self, scope: str) -> bool:
        """Return whether the scope has deletions that wait."""
        return scope in self._scopes

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
        networks = sorted({network for scope in scopes for network in scope.networks})
        held = max(scope.held for scope in scopes)
        return Withheld(self._number, tuple(gone), held, max(0.0, left), tuple(networks))


def _network_of(kind: str, name: Name) -> str:
    """Return the network that an object is."""
    return f"{POOL_PREFIX}{name[1]}" if kind == "AddressPool" else "/".join(name)
