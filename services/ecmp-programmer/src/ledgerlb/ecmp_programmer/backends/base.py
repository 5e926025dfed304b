"""The protocol between the agent and what it programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ledgerlb.core.paths.pathset import PathSet


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one address.

    ``weights`` are per node as they are programmed now, ``message`` says what differs from what was asked (a next hop
    that cannot be reached, scaled weights) or why it failed.
    """

    state: Literal["programmed", "withdrawn", "failed"]
    weights: Mapping[str, int] = field(default_factory=dict)
    message: str = ""


Wanted = Mapping[str, PathSet | None]
"""By address: the path set to match; None, and a path set that says ``withdraw``: forward nothing."""


class DataPath(Protocol):
    """A machine's forwarding state. Nothing here raises for one address: its outcome is ``failed``.

    Every call raises DataPathError when the data path as a whole cannot be changed now; it may be repeated.
    Concurrency: calls never overlap.
    """

    name: str
    watch_seconds: float | None
    """How often ``stale`` is worth a look; None: never."""

    async def open(self) -> None:
        """Get ready; raises DataPathError (or InvalidSetting) where this machine cannot be programmed at all."""
        ...

    async def reconcile(self, wanted: Wanted) -> Mapping[str, Outcome]:
        """Make the machine match exactly ``wanted``, whatever state it is in, and answer for every address of it.

        Leftovers of an earlier run go (``failed`` for those that would not); what is not LedgerLB's stays.
        """
        ...

    async def apply(self, changed: Wanted) -> Mapping[str, Outcome]:
        """Make these addresses so and leave the others; called after a first ``reconcile``."""
        ...

    def stale(self) -> bool:
        """Whether something happened on the machine since the last reconcile that asks for another."""
        ...

    async def close(self) -> None:
        """Let go of sockets; what is programmed stays."""
        ...


def forwards(path_set: PathSet | None) -> bool:
    """Whether the path set asks for any forwarding at all (nobody is admitted where the source ranges are empty)."""
    return path_set is not None and not path_set.withdraw and path_set.source_ranges != ()
