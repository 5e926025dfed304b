"""All services in one process: what ``run`` and the demo start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from ledgerlb.cli.follower import Follower
from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.facts import KINDS
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.main import make_agent
from ledgerlb.ecmp_programmer.planner import Planner
from ledgerlb.ecmp_programmer.settings import programmer_settings
from ledgerlb.eventlog.connect import sqlite_path
from ledgerlb.ipam.main import decider_name
from ledgerlb.ipam.processor import Ipam
from ledgerlb.kube.cluster import MemoryCluster
from ledgerlb.kube.manifests import ManifestFolder, ManifestSource
from ledgerlb.kube.source import Batch, ObjectSource, Sink
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.kube.writer_memory import MemoryWriter
from ledgerlb.network_selector.processor import NetworkSelector
from ledgerlb.runtime.processor import Processor
from ledgerlb.runtime.serve import ExtraTask, serve
from ledgerlb.runtime.settings import ProcessSettings
from ledgerlb.watcher.observer import Observer
from ledgerlb.watcher.observing import observing
from ledgerlb.watcher.publisher import Publisher
from ledgerlb.watcher.served import ServedKinds, object_processors, when_served
from ledgerlb.watcher.settings import watcher_settings

NAME: Final = "ledgerlb"


class BackendName(StrEnum):
    """What the agent programs."""

    record = "record"
    fabric_linux = "fabric-linux"


@dataclass(frozen=True)
class Pipeline:
    """Every processor and task of one process. ``follower`` sees what they do, once ``serve`` runs it with them."""

    processors: tuple[Processor, ...]
    tasks: tuple[ExtraTask, ...]
    follower: Follower

    async def serve(self, process: ProcessSettings, *more: ExtraTask, stop: asyncio.Event | None = None) -> int:
        """Run everything until stopped; returns the exit status."""
        prepare_log(process.log)
        return await serve(NAME, self.processors, process, [*self.tasks, *more], stop=stop)


@asynccontextmanager
async def open_pipeline(
    settings: DomainSettings, *, manifests: Path | None, kubeconfig: Path | None, backend: BackendName
) -> AsyncIterator[Pipeline]:
    """Put the pipeline together, on a folder of manifests or on an API server; raises InvalidSetting."""
    if manifests is not None:
        _check_folder(manifests, kubeconfig)
        cluster = MemoryCluster(_now)
        async with _assembled(
            settings, ManifestSource(ManifestFolder(manifests, cluster)), MemoryWriter(cluster), backend
        ) as pipeline:
            yield pipeline
        return
    # The Kubernetes client takes a second to import: only those who talk to an API server wait for it.
    from ledgerlb.kube.api_source import ApiSource  # noqa: PLC0415
    from ledgerlb.kube.client import ApiConnection  # noqa: PLC0415
    from ledgerlb.kube.writer_api import ApiWriter  # noqa: PLC0415

    async with (
        ApiConnection(kubeconfig) as connection,
        _assembled(
            settings, ApiSource(connection), ApiWriter(connection.client, renew=connection.renew), backend
        ) as pipeline,
    ):
        yield pipeline


def _check_folder(manifests: Path, kubeconfig: Path | None) -> None:
    if kubeconfig is not None:
        raise InvalidSetting("options --manifests and --kubeconfig", "", "exclude each other", "give one of them")
    if not manifests.exists():
        raise InvalidSetting("option --manifests", str(manifests), "does not exist", "name a folder of manifests")


class _Listening:
    """A source that remembers which kinds it has listed."""

    def __init__(self, source: ObjectSource) -> None:
        self._source = source
        self._listed: set[str] = set()

    def heard_everything(self) -> bool:
        """Whether every kind that decisions need was listed since the start, as far as it can be read."""
        return self._listed.issuperset(KINDS)

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """See ObjectSource."""

        def note(batch: Batch) -> None:
            if batch.listed is not None:
                self._listed.add(batch.kind)
            sink(batch)

        await self._source.run(note, stop)


@asynccontextmanager
async def _assembled(
    settings: DomainSettings, source: ObjectSource, writer: ClusterWriter, backend: BackendName
) -> AsyncIterator[Pipeline]:
    served = ServedKinds(source)
    listening = _Listening(served)
    observer = Observer(listening)
    publisher = Publisher(settings, writer, _now, on_object=observer.observe, on_reset=observer.recheck)
    observer.let_claim(publisher.claim)
    objects = object_processors(settings, watcher_settings(), writer, _now, on_object=observer.observe)
    agent = make_agent(programmer_settings().model_copy(update={"backend": backend.value}))
    follower = Follower(settings, lambda: listening.heard_everything() and not observer.pending)

    await agent.open()
    try:
        yield Pipeline(
            processors=(
                NetworkSelector(settings, _now),
                Ipam(settings, _now, decider_name()),
                Planner(settings),
                agent,
                publisher,
            ),
            tasks=(observing(observer), follower.run, *(when_served(served, processor) for processor in objects)),
            follower=follower,
        )
    finally:
        await publisher.close()
        for processor in objects:
            await processor.close()
        await writer.close()
        await agent.close()


def prepare_log(url: str) -> None:
    """Make the file of an embedded log, and its folder; raises InvalidSetting where it cannot be written."""
    if not url.startswith("sqlite:"):
        return
    path = sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise InvalidSetting(
            "option --log", str(path), f"cannot be written: {error.strerror}", "name another file, or mend its rights"
        ) from error


def _now() -> datetime:
    return datetime.now(UTC)
