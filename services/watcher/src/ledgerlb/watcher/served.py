"""Note which kinds the cluster serves, and make the processors that run only if it serves theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from ledgerlb.core.ledger.heads import RememberedHeads
from ledgerlb.core.settings import DomainSettings
from ledgerlb.kube.source import Batch, ObjectSource, Sink
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.watcher.objects.base import Clock, ObjectProcessor
from ledgerlb.watcher.objects.networks import NetworkObjectReconciler
from ledgerlb.watcher.objects.services import ServiceObjectReconciler
from ledgerlb.watcher.settings import WatcherSettings
from ledgerlb.watcher.work import Limits

OBJECTS_SHARE: Final = 4
"""Each processor of objects may write a fourth of what the publisher may at a time."""


class ServedKinds:
    """An ObjectSource that remembers which kinds the cluster serves."""

    def __init__(self, source: ObjectSource) -> None:
        self._source = source
        self._served: set[str] = set()

    def serves(self, *kinds: str) -> bool:
        """Return whether all of these were listed."""
        return self._served.issuperset(kinds)

    def asking(self, kinds: Iterable[str]) -> Callable[[], bool]:
        """Return a function that asks whether all of these were listed."""
        return partial(self.serves, *kinds)

    def noting(self, sink: Sink) -> Sink:
        """Return a sink that notes whether the kind of each batch is served, and passes the batch on."""

        def note(batch: Batch) -> None:
            if batch.listed is not None:
                (self._served.add if batch.listed.present else self._served.discard)(batch.kind)
            sink(batch)

        return note

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """See ObjectSource."""
        await self._source.run(self.noting(sink), stop)


def object_processors(
    domain: DomainSettings,
    settings: WatcherSettings,
    writer: ClusterWriter,
    clock: Clock,
    *,
    limits: Limits | None = None,
    heads: RememberedHeads | None = None,
) -> tuple[ObjectProcessor, ...]:
    """Return the processors that make objects in the cluster. ``limits`` replace those of the settings; ``heads`` are
    those that the ledger must have.
    """
    # Addresses in the status of Services come first: objects get a share of the connections.
    limits = limits or Limits(concurrency=max(1, settings.write_concurrency // OBJECTS_SHARE))
    cn2, nads = settings.cn2_objects != "off", settings.nad_objects != "off"
    return (
        ServiceObjectReconciler(domain, writer, clock, enabled=cn2, limits=limits, heads=heads),
        NetworkObjectReconciler(domain, writer, clock, enabled=nads, limits=limits),
    )
