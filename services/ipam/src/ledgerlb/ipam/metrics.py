"""Show Prometheus what IPAM counts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.ipam.processor import FATES, Ipam
from ledgerlb.runtime.metrics import counter, gauge

SILENT_SHOWN: Final = timedelta(days=1)
"""How long an agent counts as silent. Nothing tells whether it is broken, or was removed without a goodbye."""


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
        yield gauge(
            "ledgerlb_ipam_clock_ahead",
            "1 while nothing is decided because the clock is far ahead of all others",
            int(ipam.leap is not None),
        )
        yield from self._networks()
        yield self._agents()

    def _networks(self) -> Iterable[Metric]:
        states = [state for _, state in sorted(self._ipam.fold.networks.items()) if _counts(state)]
        addresses: dict[tuple[str, str], float] = {}
        for state in states:
            held, quarantined = state.allocated(), state.quarantined()
            addresses[state.network, "held"] = held
            addresses[state.network, "quarantined"] = quarantined
            addresses[state.network, "leased"] = state.leased()
            addresses[state.network, "free"] = max(0, _size(state) - held - quarantined)
        yield gauge(
            "ledgerlb_network_size",
            "Addresses that a network or pool can give out, over both families",
            {(state.network,): _size(state) for state in states},
            ["network"],
        )
        yield gauge(
            "ledgerlb_network_addresses",
            "Addresses of a network or pool: held (also while being released), quarantined, free (can be given out "
            "now), leased (free ones that are reserved for a former holder)",
            addresses,
            ["network", "state"],
        )
        yield gauge(
            "ledgerlb_ledger_head",
            "Sequence number of a network's last ledger entry",
            {(state.network,): state.head.seq for state in states},
            ["network"],
        )

    def _agents(self) -> Metric:
        ipam = self._ipam
        alive = set(ipam.agents_alive())
        silent = [agent for agent in ipam.agents_heard(SILENT_SHOWN) if agent not in alive]
        states = {("alive",): len(alive), ("silent",): len(silent)}
        return gauge(
            "ledgerlb_agents",
            "Agents that did not say goodbye: alive, or silent (no heartbeat for agentTimeout, but one within a day)",
            states,
            ["state"],
        )


def _counts(state: NetworkState) -> bool:
    """Return whether the network exists, or still has addresses out."""
    return bool(_size(state) or state.allocated() or state.quarantined())


def _size(state: NetworkState) -> int:
    return 0 if state.gone else state.size()
