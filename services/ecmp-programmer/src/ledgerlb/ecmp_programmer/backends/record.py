"""The ``record`` back end: programs nothing, and reports what a machine would have been programmed with.

For clusters whose forwarding is done elsewhere, for manifests without a cluster, and for simulations.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledgerlb.core.paths.pathset import PathSet
from ledgerlb.ecmp_programmer.backends.base import Outcome, Wanted, forwards


class RecordBackend:
    """See module."""

    name = "record"
    watch_seconds: float | None = None

    async def open(self) -> None:
        """See DataPath."""

    async def reconcile(self, wanted: Wanted) -> Mapping[str, Outcome]:
        """See DataPath."""
        return {address: _outcome(path_set) for address, path_set in wanted.items()}

    async def apply(self, changed: Wanted) -> Mapping[str, Outcome]:
        """See DataPath."""
        return await self.reconcile(changed)

    def stale(self) -> bool:
        """See DataPath."""
        return False

    async def close(self) -> None:
        """See DataPath."""


def _outcome(path_set: PathSet | None) -> Outcome:
    if path_set is None or path_set.withdraw:
        return Outcome("withdrawn")
    if not forwards(path_set):
        return Outcome("programmed", {}, "nobody is admitted by the source ranges")
    return Outcome("programmed", {hop.node: hop.weight for hop in path_set.next_hops if hop.weight})
