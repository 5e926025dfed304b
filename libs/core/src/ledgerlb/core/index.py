"""Indexes that every fold needs: members by group, and dependents by what they depend on.

All answer in insertion order, so that a decision which iterates over them does not depend on hash seeds. None
keeps an empty group: memory follows what exists now, not what existed once. Not safe for concurrent use.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

_G = TypeVar("_G", bound=Hashable)
_M = TypeVar("_M", bound=Hashable)
_V = TypeVar("_V")

_FEW: Final = 4
"""Members up to which a group of ``SmallGroups`` is a tuple, in which a member is found as fast as in a dict."""
_EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})


class Index(Generic[_G, _M, _V]):
    """Group → member → value. Iteration, ``len`` and ``in`` are about groups; every group has at least one member.

    A plain index without values is an ``Index[G, M, None]``, filled with ``add``.
    """

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[_G, dict[_M, _V]] = {}

    def put(self, group: _G, member: _M, value: _V) -> None:
        """Set the member's value. A member that is known already keeps its place in the order."""
        self._groups.setdefault(group, {})[member] = value

    def add(self: Index[_G, _M, None], group: _G, member: _M) -> None:
        """Add a member that has no value."""
        self._groups.setdefault(group, {})[member] = None

    def discard(self, group: _G, member: _M) -> _V | None:
        """Remove the member, and its group with the last member; return its value, None if there was none."""
        members = self._groups.get(group)
        if members is None:
            return None
        value = members.pop(member, None)
        if not members:
            del self._groups[group]
        return value

    def pop(self, group: _G) -> Mapping[_M, _V]:
        """Remove a whole group; return its members."""
        return self._groups.pop(group, _EMPTY)

    def of(self, group: _G) -> Mapping[_M, _V]:
        """Return the members of a group; empty for an unknown group. A view: copy it before changing the index."""
        return self._groups.get(group, _EMPTY)

    def items(self) -> Iterable[tuple[_G, Mapping[_M, _V]]]:
        """Return every group with its members. A view: copy it before changing the index."""
        return self._groups.items()

    def __contains__(self, group: object) -> bool:
        return group in self._groups

    def __iter__(self) -> Iterator[_G]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)


class SmallGroups(Generic[_G, _M]):
    """Group → members, for groups that mostly have one member: such a group takes a quarter of the memory that it
    takes in an ``Index``. Iteration, ``len`` and ``in`` are about groups.
    """

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[_G, tuple[_M, ...] | dict[_M, None]] = {}

    def add(self, group: _G, member: _M) -> None:
        """Add a member. One that is known already keeps its place in the order."""
        members = self._groups.get(group)
        if members is None:
            self._groups[group] = (member,)
        elif isinstance(members, dict):
            members[member] = None
        elif member not in members:
            more = (*members, member)
            self._groups[group] = more if len(more) <= _FEW else dict.fromkeys(more)

    def discard(self, group: _G, member: _M) -> None:
        """Remove the member, and its group with the last member."""
        members = self._groups.get(group)
        if members is None or member not in members:
            return
        if len(members) == 1:
            del self._groups[group]
        elif isinstance(members, dict):
            del members[member]
        else:
            self._groups[group] = tuple(one for one in members if one != member)

    def of(self, group: _G) -> Collection[_M]:
        """Return the members of a group; empty for an unknown group. A view: copy it before changing the index."""
        return self._groups.get(group, ())

    def __contains__(self, group: object) -> bool:
        return group in self._groups

    def __iter__(self) -> Iterator[_G]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)


class Dependencies(Generic[_M, _G]):
    """Which dependents depend on which keys, looked up both ways. Iteration and ``len`` are about dependents."""

    __slots__ = ("_dependents", "_keys")

    def __init__(self) -> None:
        self._keys: dict[_M, Collection[_G]] = {}
        self._dependents: Index[_G, _M, None] = Index()

    def assign(self, dependent: _M, keys: Iterable[_G]) -> Collection[_G]:
        """Replace the keys that ``dependent`` depends on (none: forget it); return the former ones."""
        new = keys if isinstance(keys, frozenset) else tuple(dict.fromkeys(keys))
        old = self._keys.pop(dependent, ())
        for key in old:
            if key not in new:
                self._dependents.discard(key, dependent)
        for key in new:
            self._dependents.add(key, dependent)
        if new:
            self._keys[dependent] = new
        return old

    def keys_of(self, dependent: _M) -> Collection[_G]:
        """Return what ``dependent`` depends on."""
        return self._keys.get(dependent, ())

    def dependents_on(self, key: _G) -> Collection[_M]:
        """Return everything that depends on ``key``. A view: copy it before changing the dependencies."""
        return self._dependents.of(key).keys()

    def keys(self) -> Iterator[_G]:
        """Return every key that something depends on."""
        return iter(self._dependents)

    def __iter__(self) -> Iterator[_M]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
