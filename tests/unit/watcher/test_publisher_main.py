"""The watcher as a process: settings, and both halves together on a folder of manifests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from ledgerlb.core.cluster.facts import KINDS, ServiceFact, Synced, decode_fact
from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.intents.model import Selection, encode_intent, intent_key
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.port import NewRecord, latest
from ledgerlb.eventlog.topics import FACTS, INTENTS
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.serve import serve
from ledgerlb.runtime.settings import process_settings
from ledgerlb.watcher.assemble import WatcherParts, WatcherPorts, assemble
from ledgerlb.watcher.cluster import open_cluster
from ledgerlb.watcher.settings import WatcherSettings, watcher_settings


@contextlib.asynccontextmanager
async def watcher(settings: WatcherSettings) -> AsyncIterator[WatcherParts]:
    async with open_cluster(settings) as cluster:
        ports = WatcherPorts(source=cluster.source, writer=cluster.writer)
        yield assemble(DomainSettings(), settings, ports)


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {type: LoadBalancer, ports: [{port: 80}]}
"""


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LEDGERLB_MANIFESTS", str(tmp_path))
    monkeypatch.setenv("LEDGERLB_KUBECONFIG", "")
    monkeypatch.setenv("LEDGERLB_WRITE_CONCURRENCY", "4")
    settings = watcher_settings()
    assert (settings.manifests, settings.kubeconfig, settings.write_concurrency) == (tmp_path, None, 4)


def test_a_cluster_and_a_folder_at_once_are_refused(monkeypatch):
    monkeypatch.setenv("LEDGERLB_MANIFESTS", "x")
    monkeypatch.setenv("LEDGERLB_KUBECONFIG", "y")
    with pytest.raises(InvalidSetting, match=r"LEDGERLB_MANIFESTS.*LEDGERLB_KUBECONFIG"):
        watcher_settings()


def test_a_setting_out_of_bounds_names_its_variable(monkeypatch):
    monkeypatch.setenv("LEDGERLB_WRITE_CONCURRENCY", "0")
    with pytest.raises(InvalidSetting, match="LEDGERLB_WRITE_CONCURRENCY"):
        watcher_settings()


async def test_an_unusable_kubeconfig_is_said_in_one_line(tmp_path):
    (tmp_path / "config").write_text("apiVersion: v1")
    with pytest.raises(InvalidSetting, match="kubeconfig"):
        async with watcher(watcher_settings(kubeconfig=tmp_path / "config")):
            pass


async def test_both_halves_work_on_a_folder(tmp_path):
    (tmp_path / "web.yaml").write_text(SERVICE)
    log, stop, health = await judged_log(), asyncio.Event(), Health()
    process = process_settings(http_port=0, log_level="error")
    async with watcher(watcher_settings(manifests=tmp_path)) as parts:
        running = asyncio.create_task(serve("watcher", [parts], process, log=log, health=health, stop=stop))
        async with asyncio.timeout(20):
            while not await conditions_are_a_fact(log) or health.not_ready():
                await asyncio.sleep(0.02)
        assert health.metrics.registry.get_sample_value("ledgerlb_cluster_writes_total", {"what": "status"}) == 1
        stop.set()
        assert await running == 0


async def test_a_log_that_was_replaced_gets_all_facts_again(tmp_path):
    (tmp_path / "web.yaml").write_text(SERVICE)
    log, stop = await judged_log(), asyncio.Event()
    process = process_settings(http_port=0, log_level="error")
    async with watcher(watcher_settings(manifests=tmp_path)) as parts:
        running = asyncio.create_task(serve("watcher", [parts], process, log=log, stop=stop))
        async with asyncio.timeout(20):
            while not await conditions_are_a_fact(log) or not parts.observer.synced:
                await asyncio.sleep(0.02)
            before = set(await latest(log, FACTS))
            log.store.topics.clear()
            parts.publisher.reset()  # as the loop does that finds its position gone
            while set(await latest(log, FACTS)) != before:
                await asyncio.sleep(0.02)
        assert {f"Synced//{kind}" for kind in KINDS} < before
        stop.set()
        assert await running == 0


async def judged_log() -> MemoryLog:
    """A log in which the selector found no network for the Service, so that the publisher writes its conditions."""
    log = MemoryLog()
    verdict = Selection(service="a/web", revision=1, network=None, reason="NoDefaultNetwork", message="there is none")
    async with log:
        await log.append(INTENTS, [NewRecord(intent_key(verdict), encode_intent(verdict))])
    return MemoryLog(log.store)


async def conditions_are_a_fact(log: MemoryLog) -> bool:
    try:
        async with await log.open([FACTS]) as reader:
            facts = [decode_fact(record.key, record.value) for record in await reader.poll(0.0)]
    except AssertionError:
        return False  # not connected yet
    services = [fact for fact in facts if isinstance(fact, ServiceFact)]
    synced = any(isinstance(fact, Synced) and fact.of == "Service" for fact in facts)
    return synced and bool(services) and bool(services[-1].conditions)
