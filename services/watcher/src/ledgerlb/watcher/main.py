"""The watcher process, on an API server or a folder: observer (cluster → facts), publisher (log → Services), and what
keeps CN2's objects (log → cluster) where the cluster serves their kinds.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlb.core.settings import DomainSettings
from ledgerlb.kube.api_source import ApiSource
from ledgerlb.kube.client import ApiConnection
from ledgerlb.kube.cluster import MemoryCluster
from ledgerlb.kube.manifests import ManifestFolder, ManifestSource
from ledgerlb.kube.source import ObjectSource
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.kube.writer_api import ApiWriter
from ledgerlb.kube.writer_memory import MemoryWriter
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.serve import ExtraTask, run, serve
from ledgerlb.runtime.settings import domain_settings, process_settings
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.observer import Observer
from ledgerlb.watcher.observing import observing
from ledgerlb.watcher.publisher import Publisher
from ledgerlb.watcher.served import ServedKinds, object_processors, when_served
from ledgerlb.watcher.settings import WatcherSettings, watcher_settings
from ledgerlb.watcher.work import Limits


def main() -> None:
    """Run until stopped; the exit status tells whether it ended well."""
    raise SystemExit(run(_serve()))


async def _serve() -> int:
    process, settings = process_settings(), watcher_settings()
    domain = domain_settings(process)
    async with watcher(settings, domain) as parts:
        health = Health()
        health.metrics.registry.register(WatcherMetrics(parts.observer, parts.publisher, parts.objects))
        return await serve("watcher", [parts.publisher], process, parts.tasks, health=health)


class Watcher(NamedTuple):
    """The parts of the process; ``tasks`` run the observer and the processors of objects."""

    observer: Observer
    publisher: Publisher
    objects: tuple[ObjectProcessor, ...]
    tasks: tuple[ExtraTask, ...]


@contextlib.asynccontextmanager
async def watcher(settings: WatcherSettings, domain: DomainSettings) -> AsyncIterator[Watcher]:
    """All parts on one cluster; leaving finishes what is being written. Raises InvalidSetting: a bad kubeconfig."""
    async with _cluster(settings) as (source, writer):
        served = ServedKinds(source)
        observer = Observer(served)
        limits = Limits(concurrency=settings.write_concurrency)
        publisher = Publisher(
            domain, writer, _now, on_object=observer.observe, on_reset=observer.recheck, limits=limits
        )
        observer.let_claim(publisher.claim)
        objects = object_processors(domain, settings, writer, _now, on_object=observer.observe)
        tasks = (observing(observer), *(when_served(served, processor) for processor in objects))
        try:
            yield Watcher(observer, publisher, objects, tasks)
        finally:
            await publisher.close()
            for processor in objects:
                await processor.close()
            await writer.close()


@contextlib.asynccontextmanager
async def _cluster(settings: WatcherSettings) -> AsyncIterator[tuple[ObjectSource, ClusterWriter]]:
    if settings.manifests is not None:
        cluster = MemoryCluster(_now)
        yield ManifestSource(ManifestFolder(settings.manifests, cluster)), MemoryWriter(cluster)
        return
    async with ApiConnection(settings.kubeconfig) as connection:
        yield ApiSource(connection), ApiWriter(connection.client, settings.write_timeout, connection.renew)


class WatcherMetrics(Collector):
    """What the parts count, for Prometheus."""

    def __init__(self, observer: Observer, publisher: Publisher, objects: Iterable[ObjectProcessor] = ()) -> None:
        self._observer = observer
        self._publisher = publisher
        self._objects = tuple(objects)

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        writes = CounterMetricFamily(
            "ledgerlb_cluster_writes", "Writes to the cluster by what they were", labels=["what"]
        )
        for what in ("finalizer-on", "status", "finalizer-off", "events", "refused"):
            writes.add_metric([what], self._publisher.counts[what])
        yield writes
        kept = CounterMetricFamily(
            "ledgerlb_object_writes", "Writes of CN2 objects and NADs by what they were", labels=["part", "what"]
        )
        for part in self._objects:
            for what in ("create", "patch", "delete", "apply-metadata", "reverted", "refused"):
                kept.add_metric([part.name, what], part.counts[what])
        yield kept
        queues = [self._publisher.queue, *(part.queue for part in self._objects)]
        failures = CounterMetricFamily("ledgerlb_cluster_write_failures", "Writes that failed and are tried again")
        failures.add_metric([], sum(queue.counts["failed"] for queue in queues))
        yield failures
        dropped = CounterMetricFamily("ledgerlb_events_dropped", "Kubernetes Events that were given up")
        dropped.add_metric([], sum(queue.counts["dropped"] for queue in queues))
        yield dropped
        waiting = GaugeMetricFamily(
            "ledgerlb_cluster_writes_waiting", "Objects and Events that wait to be written", labels=["what"]
        )
        events = sum(queue.errands() for queue in queues)
        waiting.add_metric(["objects"], sum(queue.waiting() for queue in queues) - events)
        waiting.add_metric(["events"], events)
        yield waiting
        facts = CounterMetricFamily("ledgerlb_facts_appended", "Facts appended")
        facts.add_metric([], self._observer.appended)
        yield facts


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
