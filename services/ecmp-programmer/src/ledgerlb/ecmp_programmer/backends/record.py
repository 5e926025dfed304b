"""The ``record`` back end: programs nothing, and reports each path set as if it had.

It serves clusters that forward by other means, folders of manifests, and simulations.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledgerlb.core.paths.pathset import RECORD, PathSet
from ledgerlb.ecmp_programmer.backends.base import NO_CLIENT_ADMITTED, Outcome, Wanted, forwards


class RecordBackend:
    """See module."""

    name = RECORD
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
        return Outcome("programmed", {}, NO_CLIENT_ADMITTED)
    return Outcome("programmed", {hop.node: hop.weight for hop in path_set.next_hops if hop.weight})
