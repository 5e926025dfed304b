"""All services in one process: when it says that it is ready."""

from __future__ import annotations

import asyncio

from ledgerlb.cli.pipeline import BackendName, _assembled
from ledgerlb.core.settings import DomainSettings
from ledgerlb.kube.api_source import ApiSource
from ledgerlb.kube.cluster import MemoryCluster
from ledgerlb.kube.refusals import ApiUnavailable
from ledgerlb.kube.writer_memory import MemoryWriter
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.serve import serve
from ledgerlb.runtime.settings import process_settings
from tests.support.ledger import START


class _Away:
    """An API server that does not answer."""

    async def get(self, path, query=None):
        raise ApiUnavailable(f"GET {path}: no answer")

    def stream(self, path, query, idle):
        raise ApiUnavailable(f"GET {path}: no answer")


async def test_a_cluster_that_was_never_read_makes_not_ready():
    process = process_settings(log="memory:", http_port=0)
    health, stop = Health(), asyncio.Event()
    writer = MemoryWriter(MemoryCluster(lambda: START))
    async with _assembled(DomainSettings(), ApiSource(_Away()), writer, BackendName.record) as pipeline:
        running = asyncio.create_task(
            serve("test", pipeline.processors, process, pipeline.tasks, health=health, stop=stop)
        )
        async with asyncio.timeout(20):
            while health.not_ready() != ["observer: not every kind of the cluster has been listed yet"]:
                await asyncio.sleep(0.05)
        stop.set()
        assert await running == 0
