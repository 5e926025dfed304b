"""Put the watcher together.

The observer brings the cluster into the log, the publisher brings the log into Services, and two processors keep CN2's
objects where the cluster serves their kinds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ledgerlb.core.settings import DomainSettings
from ledgerlb.kube.deletion_guard import DeletionGuard
from ledgerlb.kube.source import ObjectSource, ProblemLog
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.runtime.parts import LateProcessor, Parts, Ports
from ledgerlb.runtime.projection import Projection
from ledgerlb.watcher.guarded import AdmittedWriter, GuardedSource, Identify
from ledgerlb.watcher.metrics import WatcherMetrics
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.observer import Observer
from ledgerlb.watcher.observing import observing
from ledgerlb.watcher.publisher import Publisher
from ledgerlb.watcher.served import ServedKinds, object_processors
from ledgerlb.watcher.settings import WatcherSettings
from ledgerlb.watcher.work import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherPorts(Ports):
    """``source`` reads the cluster's objects, ``writer`` changes them; the parts close the writer.

    ``identify`` returns which cluster or folder the source is (None: any is right), and ``guard`` judges mass
    deletions. ``limits`` replaces the limits of the settings for the writes of each part. ``problems`` gets the
    problems of objects instead of the process's log.
    """

    source: ObjectSource
    writer: ClusterWriter
    identify: Identify | None = None
    guard: DeletionGuard | None = None
    limits: Limits | None = None
    problems: ProblemLog | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherParts(Parts):
    """The parts by name; ``served`` knows which kinds the cluster serves."""

    observer: Observer
    publisher: Publisher
    objects: tuple[ObjectProcessor, ...]
    served: ServedKinds
    source: GuardedSource
    writer: ClusterWriter


def assemble(domain: DomainSettings, settings: WatcherSettings, ports: WatcherPorts) -> WatcherParts:
    """Return the parts of the watcher. Closing them finishes the writes under way."""
    guard = ports.guard or DeletionGuard(settings.deletion_grace, time.monotonic)
    source = GuardedSource(ports.source, guard, ports.clock, identify=ports.identify, adopt=settings.adopt_log)
    writer = AdmittedWriter(ports.writer, source.admitted)
    served = ServedKinds(source)
    observer = Observer(served, problems=ports.problems)
    projection = ports.projection or Projection(ports.clock)
    publisher = Publisher(
        domain,
        writer,
        ports.clock,
        on_reset=observer.recheck,
        limits=ports.limits or Limits(concurrency=settings.write_concurrency),
        projection=projection,
    )
    source.known = observer.held
    objects = object_processors(domain, settings, writer, ports.clock, limits=ports.limits, heads=projection.heads)

    async def close() -> None:
        await publisher.close()
        for processor in objects:
            await processor.close()
        await writer.close()

    return WatcherParts(
        processors=(publisher,),
        late=tuple(LateProcessor(processor=one, wanted=served.asking(one.needs)) for one in objects),
        tasks=(observing(observer), source.guard),
        collectors=(WatcherMetrics(observer, publisher, objects, source),),
        settings=(WatcherSettings,),
        projections=(projection,),
        close=close,
        observer=observer,
        publisher=publisher,
        objects=objects,
        served=served,
        source=source,
        writer=ports.writer,
    )
