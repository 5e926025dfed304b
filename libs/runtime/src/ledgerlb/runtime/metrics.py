"""The metrics that every process shows under ``/metrics``. Times are seconds.

There is one way to declare a metric of a service: its parts count in plain attributes, and a collector shows them with
``counter`` and ``gauge`` when Prometheus asks. So a part needs no registry, and several in one process do not collide.
``Metrics`` holds what the loops measure as they run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from ledgerlb.eventlog.delegating import DelegatingLog
from ledgerlb.eventlog.port import EventLog, NewRecord
from ledgerlb.eventlog.topics import Topic

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)

Values = float | Mapping[tuple[str], float] | Mapping[tuple[str, str], float]
"""The value of a metric, or its values by one label or two."""


def counter(name: str, text: str, values: Values, labels: Sequence[str] = ()) -> CounterMetricFamily:
    """Return a counter as a collector yields it; ``name`` without ``_total``."""
    family = CounterMetricFamily(name, text, labels=labels)
    for combination, value in _by_labels(values):
        family.add_metric(combination, value)
    return family


def gauge(name: str, text: str, values: Values, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    """Return a gauge as a collector yields it."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for combination, value in _by_labels(values):
        family.add_metric(combination, value)
    return family


def _by_labels(values: Values) -> list[tuple[tuple[str, ...], float]]:
    return list(values.items()) if isinstance(values, Mapping) else [((), values)]


class Metrics:
    """One set of metrics per registry: tests make their own, a process has one."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.folded = Counter(
            "ledgerlb_records_folded", "Records folded", ["processor", "topic"], registry=self.registry
        )
        self.lag = Gauge(
            "ledgerlb_reader_lag_seconds", "Age of the last folded record when it was folded", ["processor"],
            registry=self.registry,
        )  # fmt: skip
        self.caught_up = Gauge(
            "ledgerlb_processor_caught_up", "1 once the log was read to its end", ["processor"], registry=self.registry
        )
        self.settle = Histogram(
            "ledgerlb_settle_seconds", "Time of a settle", ["processor"], buckets=_BUCKETS, registry=self.registry
        )
        self.append = Histogram(
            "ledgerlb_append_seconds", "Time of an append", ["processor", "topic"], buckets=_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.appended = Counter(
            "ledgerlb_records_appended", "Records appended", ["processor", "topic"], registry=self.registry
        )
        self.append_errors = Counter(
            "ledgerlb_append_errors", "Appends that failed", ["processor", "topic"], registry=self.registry
        )
        self.unusable = Counter(
            "ledgerlb_unusable_records", "Records that could not be used", ["processor", "topic"],
            registry=self.registry,
        )  # fmt: skip
        self.dead_letters = Counter(
            "ledgerlb_dead_letters", "Dead letters by what became of them (written, known, held back, not permitted)",
            ["processor", "outcome"], registry=self.registry,
        )  # fmt: skip
        self.reconnects = Counter(
            "ledgerlb_reconnects", "Readers opened again after an error", ["processor"], registry=self.registry
        )
        self.log_problems = Gauge(
            "ledgerlb_log_problems", "What the last check of the topics found wrong", registry=self.registry
        )


class MeasuredLog(DelegatingLog):
    """A log that times and counts the appends of one processor; everything else passes through to the log."""

    def __init__(self, log: EventLog, processor: str, metrics: Metrics) -> None:
        super().__init__(log)
        self._processor = processor
        self._metrics = metrics

    async def append(self, topic: Topic, records: Sequence[NewRecord]) -> list[int]:
        """See EventLog."""
        started = perf_counter()
        try:
            offsets = await super().append(topic, records)
        except Exception:
            self._metrics.append_errors.labels(self._processor, topic.name).inc()
            raise
        self._metrics.append.labels(self._processor, topic.name).observe(perf_counter() - started)
        self._metrics.appended.labels(self._processor, topic.name).inc(len(offsets))
        return offsets
