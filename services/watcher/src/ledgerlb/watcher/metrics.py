"""What the parts of the watcher count, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlb.watcher.guarded import GuardedSource
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.observer import Observer
from ledgerlb.watcher.publisher import Publisher


class WatcherMetrics(Collector):
    """See module."""

    def __init__(
        self,
        observer: Observer,
        publisher: Publisher,
        objects: Iterable[ObjectProcessor] = (),
        source: GuardedSource | None = None,
    ) -> None:
        self._source = source
        self._observer = observer
        self._publisher = publisher
        self._objects = tuple(objects)

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        writes = CounterMetricFamily(
            "ledgerlb_cluster_writes", "Writes to the cluster by what they were", labels=["what"]
        )
        for what in ("publish", "status", "release", "events", "refused"):
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
        events = sum(queue.background() for queue in queues)
        waiting.add_metric(["objects"], sum(queue.waiting() for queue in queues) - events)
        waiting.add_metric(["events"], events)
        yield waiting
        facts = CounterMetricFamily("ledgerlb_facts_appended", "Facts appended")
        facts.add_metric([], self._observer.appended)
        yield facts
        withheld = GaugeMetricFamily(
            "ledgerlb_deletions_withheld", "Services that are missing from the source and not released yet"
        )
        withheld.add_metric([], self._source.withheld if self._source is not None else 0)
        yield withheld
