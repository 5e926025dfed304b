"""Show Prometheus what IPAM counts."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ledgerlb.ipam.processor import FATES, Ipam
from ledgerlb.runtime.metrics import counter, gauge


class IpamMetrics(Collector):
    """See module."""

    def __init__(self, ipam: Ipam) -> None:
        self._ipam = ipam

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        ipam = self._ipam
        entries = {(fate,): ipam.entries[fate] for fate in FATES}
        events = {(name,): count for name, count in ipam.events.items()}
        yield counter("ledgerlb_ipam_entries", "Own ledger entries by fate", entries, ["fate"])
        yield counter("ledgerlb_ipam_events", "Events of accepted ledger entries by type", events, ["type"])
        yield gauge(
            "ledgerlb_ipam_damaged_networks",
            "Networks that decide nothing because their ledger is damaged",
            len(ipam.fold.damage),
        )
