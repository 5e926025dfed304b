"""Put the watcher together.

The observer brings the cluster into the log, the publisher brings the log into Services, and two processors keep CN2's
objects where the cluster serves their kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledgerlb.core.settings import DomainSettings
from ledgerlb.kube.source import ObjectSource, ProblemLog
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.runtime.parts import LateProcessor, Parts, Ports
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
    """``source`` tells of the cluster's objects, ``writer`` changes them; the parts close the writer.

    ``limits`` bounds the writes of each part in place of what the settings say; ``problems`` gets what is wrong with
    objects, in place of the process's log.
    """

    source: ObjectSource
    writer: ClusterWriter
    limits: Limits | None = None
    problems: ProblemLog | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherParts(Parts):
    """The parts by name; ``served`` knows which kinds the cluster serves."""

    observer: Observer
    publisher: Publisher
    objects: tuple[ObjectProcessor, ...]
    served: ServedKinds
    writer: ClusterWriter


def assemble(domain: DomainSettings, settings: WatcherSettings, ports: WatcherPorts) -> WatcherParts:
    """Return the parts of the watcher. Closing them finishes what is being written."""
    served = ServedKinds(ports.source)
    observer = Observer(served, problems=ports.problems)
    publisher = Publisher(
        domain,
        ports.writer,
        ports.clock,
        on_reset=observer.recheck,
        limits=ports.limits or Limits(concurrency=settings.write_concurrency),
        projection=ports.projection,
    )
    objects = object_processors(domain, settings, ports.writer, ports.clock, limits=ports.limits)

    async def close() -> None:
        await publisher.close()
        for processor in objects:
            await processor.close()
        await ports.writer.close()

    return WatcherParts(
        processors=(publisher,),
        late=tuple(LateProcessor(processor=one, wanted=served.asking(one.needs)) for one in objects),
        tasks=(observing(observer),),
        collectors=(WatcherMetrics(observer, publisher, objects),),
        settings=(WatcherSettings,),
        close=close,
        observer=observer,
        publisher=publisher,
        objects=objects,
        served=served,
        writer=ports.writer,
    )
