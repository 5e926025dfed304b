"""Slots: which backend takes the flows whose hash falls on it, by Google's Maglev hashing (NSDI 2016, section 3.4).

Each backend fills slots in an order of its own, one slot a turn, so that all have the same number within one. A backend
that comes or goes moves little more than its own share of slots. The answer follows from the backends alone: agents
agree on it without talking, and a restart changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

SIZES: Final = (251, 2039, 16381)
"""Numbers of slots, all prime, so that every step visits every slot."""
SLOTS_PER_BACKEND: Final = 10
"""The fewest slots of a backend, which keeps the busiest one within a tenth of the idlest (while a size is left)."""


def slot_count(backends: int) -> int:
    """Return the number of slots for so many backends: the smallest of ``SIZES`` that gives each enough."""
    return next((size for size in SIZES if size >= backends * SLOTS_PER_BACKEND), SIZES[-1])


def slots(backends: Iterable[str]) -> tuple[str, ...]:
    """Return the backend of each slot; () without backends. Order and repetition of the backends do not matter.

    Past ``SIZES[-1]`` backends some get no slot.
    """
    names = sorted(set(backends))
    if not names:
        return ()
    size = slot_count(len(names))
    table: list[str] = [""] * size
    places = [_places(name, size) for name in names]
    turns = [0] * len(names)
    left = size
    while True:
        for index, name in enumerate(names):
            start, step = places[index]
            turn = turns[index]
            while table[(start + turn * step) % size]:
                turn += 1
            table[(start + turn * step) % size] = name
            turns[index] = turn + 1
            left -= 1
            if not left:
                return tuple(table)


@lru_cache(maxsize=1 << 16)
def _places(name: str, size: int) -> tuple[int, int]:
    """Return the first slot that a backend wants, and the step to the next one."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big") % size, int.from_bytes(digest[8:], "big") % (size - 1) + 1
