"""All services in one process: when it says that it is ready."""

from __future__ import annotations

import asyncio

from ledgerlb.cli.pipeline import assembled
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.settings import programmer_settings
from ledgerlb.kube.api.refusals import ApiUnavailable
from ledgerlb.kube.api.source import ApiSource
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.settings import process_settings
from ledgerlb.watcher.assemble import WatcherPorts
from ledgerlb.watcher.settings import watcher_settings
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
    pipeline = assembled(
        DomainSettings(),
        watcher_settings(),
        programmer_settings(),
        WatcherPorts(source=ApiSource(_Away()), writer=writer),
    )
    running = asyncio.create_task(pipeline.serve(process, health=health, stop=stop))
    async with asyncio.timeout(20):
        while health.not_ready() != ["observer: not every kind of the cluster has been listed yet"]:
            await asyncio.sleep(0.05)
    stop.set()
    assert await running == 0
