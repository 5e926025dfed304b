"""A source that is empty, incomplete or another one than the log is about: nothing may be released."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledgerlb.cli.commands.confirm_deletions import confirm_deletions, withheld_deletions
from ledgerlb.cli.pipeline import BackendName, Pipeline, open_pipeline
from ledgerlb.core.cluster.facts import SourceFact, decode_fact
from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.connect import connect
from ledgerlb.eventlog.port import latest
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.kube.manifests.identity import FILE
from ledgerlb.runtime.settings import process_settings
from tests.builders.objects import NETWORK, service

BOUND = 60.0
POLL = 0.05
QUIET = 6 * POLL
"""Long enough for several looks at the folder and at the withheld deletions."""
"""Seconds in which nothing may happen: three looks at the folder."""
MANIFESTS = """
kind: Namespace
metadata: {name: net, labels: {ledgerlb.io/external-networks: "true"}}
---
kind: Namespace
metadata: {name: a}
---
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: x
  namespace: net
  annotations: {juniper.net/networks: '{"ipamV4Subnet": "192.0.2.0/24"}'}
spec: {config: '{"cniVersion": "0.3.1", "name": "x", "type": "contrail-k8s-cni"}'}
"""
COUNT = 8


def manifest(number: int) -> str:
    return yaml.safe_dump(service(f"a/s{number}", {NETWORK: "net/x"}))


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledgerlb.kube.manifests.folder.POLL", POLL)
    monkeypatch.setattr("ledgerlb.kube.manifests.folder.SETTLE", POLL / 5)
    monkeypatch.setattr("ledgerlb.watcher.guarded.LOOK_SECONDS", POLL)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "manifests"
    root.mkdir()
    fill(root)
    return root


def fill(root: Path) -> None:
    (root / "network.yaml").write_text(MANIFESTS)
    for number in range(COUNT):
        (root / f"{number}.yaml").write_text(manifest(number))


def empty(root: Path) -> None:
    for path in root.glob("*.yaml"):
        path.unlink()


def take_the_network_away(root: Path) -> None:
    (root / "network.yaml").write_text(MANIFESTS.partition("---\napiVersion: k8s.cni")[0])


@pytest.fixture
def log(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/ledger.db"


@asynccontextmanager
async def running(root: Path, log: str, *, adopt: bool = False) -> AsyncIterator[tuple[Pipeline, asyncio.Task[int]]]:
    stop = asyncio.Event()
    async with open_pipeline(
        DomainSettings(), manifests=root, kubeconfig=None, backend=BackendName.record, adopt_log=adopt
    ) as pipeline:
        serving = asyncio.create_task(pipeline.serve(process_settings(log=log, http_port=0), stop=stop))
        try:
            yield pipeline, serving
        finally:
            stop.set()
            await asyncio.wait_for(serving, BOUND)


def held(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    lines = pipeline.follower.lines()
    return {line.name: tuple(line.publication.addresses) for line in lines if line.publication.state == "Ready"}


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(BOUND):
        while not condition():
            await asyncio.sleep(0.05)


async def serve_once(root: Path, log: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    async with running(root, log) as (pipeline, serving):
        await until(lambda: serving.done() or len(held(pipeline)) == COUNT)
        found = held(pipeline)
        await asyncio.sleep(QUIET)
    return found


async def withheld(log: str) -> int:
    async with connect(log) as opened:
        found = await withheld_deletions(opened)
    return found.gone if found is not None else 0


async def until_withheld(log: str, count: int) -> None:
    async with asyncio.timeout(BOUND):
        while await withheld(log) != count:
            await asyncio.sleep(0.1)


async def source_of(log: str) -> SourceFact:
    async with connect(log) as opened:
        record = (await latest(opened, FACTS))["Source//identity"]
    fact = decode_fact(record.key, record.value)
    assert isinstance(fact, SourceFact)
    return fact


# What the folder can do while it is followed


def unmount(root: Path) -> None:
    root.rename(root.with_name("away"))


def leave_a_mount_point(root: Path) -> None:
    unmount(root)
    root.mkdir()


def mount_another(root: Path) -> None:
    unmount(root)
    root.mkdir()
    (root / FILE).write_text("00000000-0000-4000-8000-000000000000\n")
    (root / "other.yaml").write_text(manifest(99))


def lose_the_identity(root: Path) -> None:
    (root / FILE).unlink()
    empty(root)


@pytest.mark.parametrize("change", [unmount, leave_a_mount_point, mount_another, lose_the_identity, empty])
async def test_a_folder_that_changes_under_a_running_process_releases_nothing(root, log, change):
    async with running(root, log) as (pipeline, _):
        await until(lambda: len(held(pipeline)) == COUNT)
        before = held(pipeline)
        change(root)
        if change is empty:
            await until_withheld(log, COUNT)
        await asyncio.sleep(QUIET)
        assert held(pipeline) == before
        if (root.parent / "away").exists():
            shutil.rmtree(root, ignore_errors=True)
            (root.parent / "away").rename(root)
            (root / "0.yaml").unlink()  # now the folder is followed again
            await until(lambda: len(held(pipeline)) == COUNT - 1)


@pytest.mark.parametrize("change", [leave_a_mount_point, mount_another, lose_the_identity])
async def test_a_process_on_another_source_refuses_to_start(root, log, change):
    before = await serve_once(root, log)
    change(root)
    with pytest.raises(InvalidSetting, match=r"is not the source of this log, which is folder:.*adopt-log"):
        await serve_once(root, log)
    if (root.parent / "away").exists():
        shutil.rmtree(root)
        (root.parent / "away").rename(root)
        assert await serve_once(root, log) == before


async def test_a_log_can_be_adopted_and_says_by_whom_and_still_releases_nothing(root, log):
    before = await serve_once(root, log)
    old = await source_of(log)
    leave_a_mount_point(root)
    async with running(root, log, adopt=True) as (pipeline, _):
        await until_withheld(log, COUNT)
        await asyncio.sleep(QUIET)
        assert held(pipeline) == before
    new = await source_of(log)
    assert new.identity == f"folder:{(root / FILE).read_text().strip()}"
    assert (new.replaces, bool(new.by), bool(new.created)) == (old.identity, True, True)
    fill(root)
    assert await serve_once(root, log) == before, "without --adopt-log, as the log is about this folder now"
    assert await withheld(log) == 0


async def test_a_folder_that_was_emptied_before_the_start_releases_nothing_until_it_is_confirmed(root, log):
    before = await serve_once(root, log)
    empty(root)
    async with running(root, log) as (pipeline, _):
        await until_withheld(log, COUNT)
        await asyncio.sleep(QUIET)
        assert held(pipeline) == before
        assert await confirm_deletions.__wrapped__(log=log) == 0
        await until(lambda: not held(pipeline))
    assert await withheld(log) == 0
    assert await confirm_deletions.__wrapped__(log=log) == 1


async def test_an_emptied_folder_is_released_once_confirmed(root, log):
    async with running(root, log) as (pipeline, _):
        await until(lambda: len(held(pipeline)) == COUNT)
        empty(root)
        await until_withheld(log, COUNT)
        assert await confirm_deletions.__wrapped__(log=log) == 0
        await until(lambda: not held(pipeline))


async def test_an_emptied_folder_is_released_after_the_grace_period(root, log, monkeypatch):
    monkeypatch.setenv("LEDGERLB_DELETION_GRACE", "1s")
    async with running(root, log) as (pipeline, _):
        await until(lambda: len(held(pipeline)) == COUNT)
        empty(root)
        await until(lambda: not held(pipeline))


async def test_a_few_services_go_at_once(root, log):
    async with running(root, log) as (pipeline, _):
        await until(lambda: len(held(pipeline)) == COUNT)
        for number in range(4):
            (root / f"{number}.yaml").unlink()
        await until(lambda: len(held(pipeline)) == COUNT - 4)
    assert await withheld(log) == 0


@pytest.mark.parametrize("take_away", [empty, take_the_network_away])
async def test_what_comes_back_was_never_gone(root, log, take_away):
    async with running(root, log) as (pipeline, _):
        await until(lambda: len(held(pipeline)) == COUNT)
        before = held(pipeline)
        take_away(root)
        await until_withheld(log, COUNT)
        fill(root)
        await until_withheld(log, 0)
        assert held(pipeline) == before


# Networks that vanish while their holders stay


@pytest.mark.parametrize("restarted", [False, True])
async def test_networks_that_vanish_strand_nobody_until_it_is_confirmed(root, log, restarted):
    if restarted:
        before = await serve_once(root, log)
        take_the_network_away(root)
    async with running(root, log) as (pipeline, _):
        if not restarted:
            await until(lambda: len(held(pipeline)) == COUNT)
            before = held(pipeline)
            take_the_network_away(root)
        await until_withheld(log, COUNT)
        async with connect(log) as opened:
            fact = await withheld_deletions(opened)
        assert fact.networks == ("net/x",)
        await asyncio.sleep(QUIET)
        assert held(pipeline) == before
        assert any("missing networks (net/x)" in line for line in pipeline.follower.unsettled())
        assert await confirm_deletions.__wrapped__(log=log) == 0
        await until(lambda: not held(pipeline))
    assert await withheld(log) == 0


async def test_a_network_of_few_goes_at_once(root, log):
    for number in range(4, COUNT):
        (root / f"{number}.yaml").unlink()
    async with running(root, log) as (pipeline, _):
        await until(lambda: len(held(pipeline)) == 4)
        take_the_network_away(root)
        await until(lambda: not held(pipeline))
    assert await withheld(log) == 0
