"""``ledgerlb run``: one reader and one projection for all services, each record decoded once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from ledgerlb.cli.pipeline import BackendName, assembled, open_pipeline
from ledgerlb.core.cluster.facts import decode_fact
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.intents.fold import IntentFold
from ledgerlb.core.ledger.fold import LedgerFold
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.agent import Agent
from ledgerlb.ecmp_programmer.settings import programmer_settings
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS, REPORTS
from ledgerlb.kube.manifests.folder import ManifestFolder, ManifestSource
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.runtime import projection
from ledgerlb.runtime import serve as serving
from ledgerlb.runtime.settings import process_settings
from ledgerlb.watcher.assemble import WatcherPorts
from ledgerlb.watcher.objects.services import ServiceObjectReconciler
from ledgerlb.watcher.settings import watcher_settings
from tests.support.ledger import START


class CountingLog(MemoryLog):
    """Counts the readers of several topics: those that single commands open read one topic to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.shared: list[set[str]] = []

    async def open(self, topics, start=None):
        if len(topics) > 1:
            self.shared.append({topic.name for topic in topics})
        return await super().open(topics, start)


def folds(pipeline) -> Counter:
    """How many different objects of each fold the processors hold."""
    processors = [one for part in pipeline.parts for one in part.processors]
    views = [one._view for one in processors if isinstance(one, ServiceObjectReconciler)]
    holders = [*processors, *views, pipeline.follower.view, pipeline.parts[-1].publisher._state]
    assert len(views) == 1
    held = {id(value): type(value) for one in holders for value in vars(one).values()}
    return Counter(kind for kind in held.values() if kind in {ClusterView, IntentFold, LedgerFold, AgentTable})


async def test_all_services_share_a_reader_and_decode_each_record_once(monkeypatch, tmp_path):
    (tmp_path / "web.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: a}\n"
        "spec: {type: LoadBalancer, ports: [{port: 80}]}\n"
    )
    log, stop, decoded = CountingLog(), asyncio.Event(), Counter()

    def counted(key, value):
        decoded[key, value] += 1
        return decode_fact(key, value)

    monkeypatch.setattr(projection, "decode_fact", counted)
    monkeypatch.setattr(serving, "connect", lambda *_, **__: log)
    cluster = MemoryCluster(lambda: START)
    source = ManifestSource(ManifestFolder(tmp_path, cluster))
    pipeline = assembled(
        DomainSettings(),
        watcher_settings(),
        programmer_settings(),
        WatcherPorts(source=source, writer=MemoryWriter(cluster)),
    )
    assert folds(pipeline) == dict.fromkeys((ClusterView, IntentFold, LedgerFold, AgentTable), 1)
    running = asyncio.create_task(pipeline.serve(process_settings(log="memory:", http_port=0), stop=stop))
    assert await pipeline.follower.settled(20) == []
    stop.set()
    assert await running == 0
    everything = {topic.name for topic in (FACTS, INTENTS, LEDGER, PATHS, REPORTS)}
    assert log.shared.count(everything) == 1
    assert decoded
    assert set(decoded.values()) == {1}


async def test_a_second_run_on_a_log_needs_leave_and_gets_another_agent(tmp_path):
    options = {"manifests": tmp_path, "kubeconfig": None, "backend": BackendName.record}
    url = f"sqlite://{tmp_path}/ledger.db"
    async with open_pipeline(DomainSettings(), **options, log=url) as first:
        with pytest.raises(InvalidSetting, match="in use by process"):
            async with open_pipeline(DomainSettings(), **options, log=url):
                pass
        async with open_pipeline(DomainSettings(), **options, log=url, share_log=True) as second:
            names = {
                one.agent
                for each in (first, second)
                for part in each.parts
                for one in part.processors
                if isinstance(one, Agent)
            }
    assert len(names) == 2
