"""Processors that run only while the cluster serves their kinds: elsewhere they cost nothing, not even reading."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import EventLog
from ledgerlb.kube.source import Batch, ObjectSource, Sink
from ledgerlb.kube.writer import ClusterWriter, Object
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.loop import run_processor
from ledgerlb.runtime.serve import ExtraTask
from ledgerlb.watcher.objects.base import Clock, ObjectProcessor
from ledgerlb.watcher.objects.networks import NetworkObjectsKeeper
from ledgerlb.watcher.objects.services import ServiceObjectsKeeper
from ledgerlb.watcher.settings import WatcherSettings
from ledgerlb.watcher.work import Limits

_LOOK: Final = 0.5
"""Seconds between two looks at what is served."""

OBJECTS_SHARE: Final = 4
"""Each processor of objects may write a fourth of what the publisher may at a time."""


class ServedKinds:
    """An ObjectSource that remembers which kinds the cluster serves."""

    def __init__(self, source: ObjectSource) -> None:
        self._source = source
        self._served: set[str] = set()

    def serves(self, *kinds: str) -> bool:
        """Whether all of these were listed."""
        return self._served.issuperset(kinds)

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """See ObjectSource."""

        def note(batch: Batch) -> None:
            if batch.listed is not None:
                (self._served.add if batch.listed.present else self._served.discard)(batch.kind)
            sink(batch)

        await self._source.run(note, stop)


def object_processors(
    domain: DomainSettings,
    settings: WatcherSettings,
    writer: ClusterWriter,
    clock: Clock,
    *,
    on_object: Callable[[Object], None],
) -> tuple[ObjectProcessor, ...]:
    """The processors that make objects in the cluster."""
    # Addresses in the status of Services come first: objects get a share of the connections.
    limits = Limits(concurrency=max(1, settings.write_concurrency // OBJECTS_SHARE))
    cn2, nads = settings.cn2_objects != "off", settings.nad_objects != "off"
    return (
        ServiceObjectsKeeper(domain, writer, clock, enabled=cn2, on_object=on_object, limits=limits),
        NetworkObjectsKeeper(domain, writer, clock, enabled=nads, on_object=on_object, limits=limits),
    )


def when_served(served: ServedKinds, processor: ObjectProcessor) -> ExtraTask:
    """The processor as a part of the process, from when the cluster first serves what it needs."""

    async def run(log: EventLog, health: Health, stop: asyncio.Event) -> None:
        while not served.serves(*processor.needs):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK)
            if stop.is_set():
                return
        await run_processor(log, processor, health, stop)

    return run
