"""``DataPath``: the protocol between the agent and what it programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ledgerlb.core.paths.pathset import PathSet

NO_CLIENT_ADMITTED = "the source ranges admit no client"
"""Message of an address that needs no forwarding."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of programming one address.

    ``weights`` are per node, as programmed now. ``message`` explains each difference from the path set (a next hop that
    cannot be reached, scaled weights), or why programming failed.
    """

    state: Literal["programmed", "withdrawn", "failed"]
    weights: Mapping[str, int] = field(default_factory=dict)
    message: str = ""


Wanted = Mapping[str, PathSet | None]
"""The path set to match, by address. None, or a path set with ``withdraw``: forward nothing."""


class DataPath(Protocol):
    """A machine's forwarding state. A problem of one address never raises: its outcome is ``failed``.

    Every call raises DataPathError when the data path as a whole cannot be changed now. The caller may then repeat it.
    Concurrency: calls never overlap.
    """

    name: str
    watch_seconds: float | None
    """Seconds between two calls of ``stale``; None: never call it."""

    async def open(self) -> None:
        """Prepare the machine; raises DataPathError (or InvalidSetting) where it cannot be programmed at all."""
        ...

    async def reconcile(self, wanted: Wanted) -> Mapping[str, Outcome]:
        """Make the machine match exactly ``wanted``, from any state, and return the outcome of every address.

        Remove what an earlier run left over (``failed`` where that is impossible), and leave alone what is not
        LedgerLB's.
        """
        ...

    async def apply(self, changed: Wanted) -> Mapping[str, Outcome]:
        """Program these addresses and leave the others; call it after a first ``reconcile``."""
        ...

    def stale(self) -> bool:
        """Return whether the machine changed since the last reconcile in a way that needs another one."""
        ...

    async def close(self) -> None:
        """Close the sockets; what is programmed stays."""
        ...


def forwards(path_set: PathSet | None) -> bool:
    """Return whether the path set asks for any forwarding at all (source ranges may admit no client)."""
    return path_set is not None and not path_set.withdraw and not path_set.admits_nobody
