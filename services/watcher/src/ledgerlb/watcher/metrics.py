"""Show Prometheus what the parts of the watcher count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ledgerlb.runtime.metrics import counter, gauge
from ledgerlb.watcher.guarded import GuardedSource
from ledgerlb.watcher.objects.base import ObjectProcessor
from ledgerlb.watcher.observer import Observer
from ledgerlb.watcher.publisher import Publisher

_PUBLISHER_WRITES: Final = ("publish", "status", "release", "events", "refused")
_OBJECT_WRITES: Final = ("create", "patch", "delete", "apply-metadata", "reverted", "refused")


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
        queues = [self._publisher.queue, *(part.queue for part in self._objects)]
        background = sum(queue.background() for queue in queues)
        waiting = {("objects",): sum(queue.waiting() for queue in queues) - background, ("events",): background}
        withheld = self._source.withheld if self._source is not None else 0
        writes = {(step,): self._publisher.counts[step] for step in _PUBLISHER_WRITES}
        objects = {(part.name, verb): part.counts[verb] for part in self._objects for verb in _OBJECT_WRITES}
        failed = sum(queue.counts["failed"] for queue in queues)
        dropped = sum(queue.counts["dropped"] for queue in queues)
        standing = Counter(self._publisher.standing.values())
        yield gauge(
            "ledgerlb_services", "Services that LedgerLB serves, by state and reason", standing, ["state", "reason"]
        )
        yield counter("ledgerlb_cluster_writes", "Writes to the cluster by what they were", writes, ["what"])
        yield counter(
            "ledgerlb_object_writes", "Writes of CN2 objects and NADs by what they were", objects, ["part", "what"]
        )
        yield counter("ledgerlb_cluster_write_failures", "Writes that failed and are tried again", failed)
        yield counter("ledgerlb_events_dropped", "Kubernetes Events that were given up", dropped)
        yield gauge("ledgerlb_cluster_writes_waiting", "Objects and Events that wait to be written", waiting, ["what"])
        yield counter("ledgerlb_facts_appended", "Facts appended", self._observer.appended)
        yield gauge(
            "ledgerlb_deletions_withheld",
            "Services that are missing from the source, or whose network is, and not released yet",
            withheld,
        )
