"""The networks and the selection context, derived from the cluster view and worked out again only if an input changed.

Inputs: the network objects, the networks that have holders, and what else a choice reads besides the Service (the
Kubemanager, labels of namespaces with networks, the contrail Namespace). Each input has a counter; each derived value
remembers the counters that it was worked out from.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.networks import ExternalNetwork, derive_all, with_conflicts
from ledgerlb.core.selection.context import Room, SelectionContext
from ledgerlb.core.settings import DomainSettings

_T = TypeVar("_T")


class Derived(Generic[_T]):
    """A value that ``compute`` gives, and that is kept until ``inputs`` gives something else."""

    def __init__(self, initial: _T, compute: Callable[[], _T], inputs: Callable[[], Hashable]) -> None:
        self._value = initial
        self._compute = compute
        self._inputs = inputs
        self._used: Hashable = None
        self._version = 0

    @property
    def last(self) -> _T:
        """The value as it was last worked out, which may be out of date."""
        return self._value

    def __call__(self) -> _T:
        """Return the value, up to date."""
        inputs = self._inputs()
        if inputs != self._used:
            value = self._compute()
            if self._used is None or value != self._value:
                self._value = value
                self._version += 1
            self._used = inputs
        return self._value

    @property
    def version(self) -> int:
        """Rises whenever the value changes; at least 1."""
        self()
        return self._version


class DerivedNetworks:
    """See module. The caller reports changed inputs and asks for ``context``; ``version`` rises with each new one."""

    def __init__(self, view: ClusterView, settings: DomainSettings, room: Room | None = None) -> None:
        self._holders: set[str] = set()
        self._objects = self._surroundings = self._conflict_inputs = 0
        self._found: Derived[dict[str, ExternalNetwork]] = Derived(
            {}, lambda: derive_all(view, settings), lambda: self._objects
        )
        self._networks: Derived[dict[str, ExternalNetwork]] = Derived(
            {},
            lambda: with_conflicts(self._found(), self._holders),
            lambda: (self._found.version, self._conflict_inputs),
        )
        self._context: Derived[SelectionContext | None] = Derived(
            None,
            lambda: SelectionContext(view, settings, self._networks(), room),
            lambda: (self._networks.version, self._surroundings),
        )

    def objects_changed(self) -> None:
        """Report that a network's object (such as a Subnet or an AddressPool) changed, or that its kind was listed."""
        self._objects += 1

    def surroundings_changed(self) -> None:
        """Report a change of anything else that a choice reads besides the Service."""
        self._surroundings += 1

    def set_holding(self, network: str, *, holds: bool) -> None:
        """Report whether any Service holds an address of the network."""
        if holds == (network in self._holders):
            return
        (self._holders.add if holds else self._holders.discard)(network)
        # Holders decide only which of two overlapping networks counts as the older.
        if any(found.conflict for found in self._networks.last.values()):
            self._conflict_inputs += 1

    @property
    def objects(self) -> int:
        """How often network objects have changed."""
        return self._objects

    @property
    def version(self) -> int:
        """Rises with every new context, that is, whenever any Service may get another answer."""
        return self._context.version

    @property
    def context(self) -> SelectionContext:
        """The context for choices, up to date."""
        context = self._context()
        assert context is not None
        return context

    @property
    def last(self) -> dict[str, ExternalNetwork]:
        """The networks as they were last worked out, which may be out of date."""
        return self._networks.last
