"""Show Prometheus what the agent has programmed."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ledgerlb.ecmp_programmer.agent import Agent
from ledgerlb.runtime.metrics import gauge


class AgentMetrics(Collector):
    """See module."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        counted = {(self._agent.agent, state): count for state, count in self._agent.path_sets().items()}
        yield gauge(
            "ledgerlb_path_sets",
            "Path sets by what the agent last reported of their newest version; pending: nothing yet",
            counted,
            ["agent", "state"],
        )
