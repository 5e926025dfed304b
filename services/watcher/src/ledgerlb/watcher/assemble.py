"""Put the watcher together.

The observer brings the cluster into the log, the publisher brings the log into Services, and two processors keep CN2's
objects where the cluster serves their kinds. All processors share one reader and one projection.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from ledgerlb.core.cluster.foreign import with_foreign
from ledgerlb.core.settings import DomainSettings
from ledgerlb.kube.deletion_guard import DeletionGuard
from ledgerlb.kube.source import Name, ObjectSource, ProblemLog
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.runtime.parts import Parts, Ports
from ledgerlb.runtime.projection import Projection
from ledgerlb.watcher.guarded import GuardedSource, Remember
from ledgerlb.watcher.metrics import WatcherMetrics
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.objects.networks import NetworkObjectReconciler
from ledgerlb.watcher.objects.services import ServiceObjectReconciler
from ledgerlb.watcher.observer import Observer
from ledgerlb.watcher.observing import observing
from ledgerlb.watcher.publisher import Publisher
from ledgerlb.watcher.settings import WatcherSettings
from ledgerlb.watcher.source_identity import AdmittedWriter, Identify
from ledgerlb.watcher.work import Limits

OBJECTS_SHARE: Final = 4
"""Each processor of objects may write a fourth of what the publisher may at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherPorts(Ports):
    """``source`` reads the cluster's objects, ``writer`` changes them; the parts close the writer.

    ``identify`` returns which cluster or folder the source is (None: any is right), and ``guard`` judges mass
    deletions. ``remember`` gets the facts of the log before the source runs. ``limits`` replaces the limits of the
    settings for the writes of each part. ``problems`` gets the problems of objects instead of the process's log.
    """

    source: ObjectSource
    writer: ClusterWriter
    identify: Identify | None = None
    guard: DeletionGuard | None = None
    remember: Remember | None = None
    limits: Limits | None = None
    problems: ProblemLog | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherParts(Parts):
    """The parts by name."""

    observer: Observer
    publisher: Publisher
    objects: tuple[ObjectProcessor, ...]
    source: GuardedSource
    writer: ClusterWriter


def assemble(domain: DomainSettings, settings: WatcherSettings, ports: WatcherPorts) -> WatcherParts:
    """Return the parts of the watcher. Closing them finishes the writes under way."""
    guard = ports.guard or DeletionGuard(settings.deletion_grace, time.monotonic)
    source = GuardedSource(ports.source, guard, ports.clock, identify=ports.identify, adopt=settings.adopt_log)
    source.remember = ports.remember
    writer = AdmittedWriter(ports.writer, source.admitted)
    projection = ports.projection or Projection(ports.clock)
    translate = with_foreign if domain.foreign_annotations else None
    observer = Observer(source, problems=ports.problems, translate=translate)
    publisher = Publisher(
        domain,
        writer,
        ports.clock,
        on_reset=observer.recheck,
        limits=ports.limits or Limits(concurrency=settings.write_concurrency),
        projection=projection,
    )
    source.known = observer.held
    guard.holders = partial(_holders, publisher, observer)
    # Addresses in the status of Services come first: objects get a share of the connections.
    few = ports.limits or Limits(concurrency=max(1, settings.write_concurrency // OBJECTS_SHARE))
    keepers = ((ServiceObjectReconciler, settings.cn2_objects), (NetworkObjectReconciler, settings.nad_objects))
    objects = tuple(
        keeper(domain, writer, ports.clock, enabled=switch != "off", limits=few, projection=projection)
        for keeper, switch in keepers
    )

    async def close() -> None:
        await publisher.close()
        for processor in objects:
            await processor.close()
        await writer.close()

    return WatcherParts(
        processors=(publisher, *objects),
        tasks=(observing(observer), source.guard),
        collectors=(WatcherMetrics(observer, publisher, objects, source),),
        settings=(WatcherSettings,),
        projections=(projection,),
        close=close,
        observer=observer,
        publisher=publisher,
        objects=objects,
        source=source,
        writer=ports.writer,
    )


def _holders(publisher: Publisher, observer: Observer) -> dict[str, set[Name]] | None:
    """Return the Services that hold an address and still exist, by network; None while the log is being read."""
    found = publisher.holders()
    if found is None:
        return None
    existing: dict[str, Name] = {}
    for key in observer.held("Service"):
        namespace, _, name = key.partition("/")[2].partition("/")
        existing[f"{namespace}/{name}"] = (namespace, name)
    return {network: {existing[name] for name in names if name in existing} for network, names in found.items()}
