"""Sets of integers as sorted, disjoint, inclusive intervals: what is usable, what was ever used.

Adding and looking up cost one bisection (and a list shift); nothing ever enumerates the members.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

Interval = tuple[int, int]


def normalise(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Sorted, merged and disjoint; empty ones (low > high) are dropped."""
    merged: list[Interval] = []
    for low, high in sorted(pair for pair in intervals if pair[0] <= pair[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def subtract(minuend: Iterable[Interval], subtrahend: Iterable[Interval]) -> tuple[Interval, ...]:
    """What of ``minuend`` is not in ``subtrahend``."""
    holes = normalise(subtrahend)
    left: list[Interval] = []
    for low, high in normalise(minuend):
        start = low
        for hole_low, hole_high in holes:
            if hole_high < start or hole_low > high:
                continue
            left.append((start, hole_low - 1))
            start = hole_high + 1
        left.append((start, high))
    return normalise(left)


def intersect(left: Iterable[Interval], right: Iterable[Interval]) -> tuple[Interval, ...]:
    """What both have."""
    others = normalise(right)
    return normalise(
        (max(low, other_low), min(high, other_high))
        for low, high in normalise(left)
        for other_low, other_high in others
    )


def contains(intervals: tuple[Interval, ...], value: int) -> bool:
    """Whether ``value`` is in one of the (normalised) intervals."""
    at = bisect_right(intervals, value, key=lambda pair: pair[0]) - 1
    return at >= 0 and value <= intervals[at][1]


def overlaps(intervals: tuple[Interval, ...], low: int, high: int) -> bool:
    """Whether any of the values from ``low`` to ``high`` is in one of the (normalised) intervals."""
    at = bisect_right(intervals, high, key=lambda pair: pair[0]) - 1
    return at >= 0 and low <= intervals[at][1]


class IntervalSet:
    """A growing set of integers. Removal exists so that a speculative addition can be undone."""

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []

    def __contains__(self, value: int) -> bool:
        at = bisect_right(self._lows, value) - 1
        return at >= 0 and value <= self._highs[at]

    def add(self, value: int) -> None:
        """Put ``value`` in, merging with its neighbours."""
        lows, highs = self._lows, self._highs
        at = bisect_right(lows, value) - 1
        if at >= 0 and value <= highs[at]:
            return
        joins_left = at >= 0 and highs[at] == value - 1
        joins_right = at + 1 < len(lows) and lows[at + 1] == value + 1
        if joins_left and joins_right:
            highs[at] = highs[at + 1]
            del lows[at + 1], highs[at + 1]
        elif joins_left:
            highs[at] = value
        elif joins_right:
            lows[at + 1] = value
        else:
            lows.insert(at + 1, value)
            highs.insert(at + 1, value)

    def discard(self, value: int) -> None:
        """Take ``value`` out, splitting its interval where needed."""
        lows, highs = self._lows, self._highs
        at = bisect_right(lows, value) - 1
        if at < 0 or value > highs[at]:
            return
        low, high = lows[at], highs[at]
        if low == high:
            del lows[at], highs[at]
        elif value == low:
            lows[at] = value + 1
        elif value == high:
            highs[at] = value - 1
        else:
            highs[at] = value - 1
            lows.insert(at + 1, value + 1)
            highs.insert(at + 1, high)

    def first_absent(self, low: int, high: int) -> int | None:
        """The smallest integer of [low, high] that is not in the set."""
        at = bisect_right(self._lows, low) - 1
        candidate = self._highs[at] + 1 if at >= 0 and low <= self._highs[at] else low
        return candidate if candidate <= high else None

    def intervals(self) -> tuple[Interval, ...]:
        """The members as disjoint inclusive intervals, ascending."""
        return tuple(zip(self._lows, self._highs, strict=True))
