"""Assemble all services in one process, for ``run`` and the demo."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from ledgerlb.cli.follower import Follower
from ledgerlb.core.cluster.facts import KINDS
from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer import assemble as programmer
from ledgerlb.ecmp_programmer.settings import ProgrammerSettings, programmer_settings
from ledgerlb.eventlog.connect import sqlite_path
from ledgerlb.eventlog.embedded.owner import owned
from ledgerlb.ipam import assemble as ipam
from ledgerlb.kube.source import Batch, ObjectSource, Sink
from ledgerlb.network_selector import assemble as selector
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.parts import ExtraTask, Parts, Ports
from ledgerlb.runtime.projection import Projection
from ledgerlb.runtime.serve import serve
from ledgerlb.runtime.settings import ProcessSettings
from ledgerlb.watcher import assemble as watcher
from ledgerlb.watcher.cluster import open_cluster
from ledgerlb.watcher.settings import WatcherSettings, watcher_settings

NAME: Final = "ledgerlb"


class BackendName(StrEnum):
    """What the agent programs."""

    record = "record"
    fabric_linux = "fabric-linux"
    node = "node"


@dataclass(frozen=True)
class Pipeline:
    """The parts of every service. ``serve`` runs them, together with ``follower``, which watches their records."""

    parts: tuple[Parts, ...]
    follower: Follower

    async def serve(
        self,
        process: ProcessSettings,
        *more: ExtraTask,
        health: Health | None = None,
        stop: asyncio.Event | None = None,
    ) -> int:
        """Run all parts until stopped; return the exit status."""
        prepare_log(process.log)
        parts = [*self.parts, Parts(processors=(self.follower,), tasks=(self.follower.run, *more))]
        return await serve(NAME, parts, process, health=health, stop=stop)


@asynccontextmanager
async def open_pipeline(
    settings: DomainSettings,
    *,
    manifests: Path | None,
    kubeconfig: Path | None,
    backend: BackendName,
    adopt_log: bool = False,
    log: str = "memory:",
    share_log: bool = False,
    agent: bool = True,
) -> AsyncIterator[Pipeline]:
    """Assemble the pipeline, on a folder of manifests or on an API server; raises InvalidSetting.

    ``adopt_log``: take over a log that is about another cluster or folder. The pipeline holds ``log`` meanwhile. Where
    another process holds it and ``share_log`` is set, the agent gets a name of its own. ``agent`` False: the pipeline
    has none, because agents run elsewhere.
    """
    if manifests is not None:
        _check_folder(manifests, kubeconfig)
    adopt = {"adopt_log": True} if adopt_log else {}
    watching = watcher_settings(manifests=manifests, kubeconfig=kubeconfig, **adopt)
    programming = programmer_settings(backend=backend.value)
    if not agent:
        programming = programming.model_copy(update={"roles": ("planner",)})
    async with open_cluster(watching) as cluster:
        with holding_log(log, share=share_log) as alone:
            if not alone:
                name = f"{programming.name_of_agent()}-{os.getpid()}"
                programming = programming.model_copy(update={"agent_name": name})
            yield assembled(settings, watching, programming, watcher.WatcherPorts(**cluster._asdict()))


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
        """Whether the source has listed every kind that decisions need and that it can read."""
        return self._listed.issuperset(KINDS)

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """See ObjectSource."""

        def note(batch: Batch) -> None:
            if batch.listed is not None:
                self._listed.add(batch.kind)
            sink(batch)

        await self._source.run(note, stop)


def assembled(
    domain: DomainSettings,
    watching: WatcherSettings,
    programming: ProgrammerSettings,
    ports: watcher.WatcherPorts,
) -> Pipeline:
    """Assemble the parts of every service on one cluster."""
    listening = _Listening(ports.source)
    # All parts share one reader, and so one projection of its records.
    log = Projection(ports.clock)
    watched = watcher.assemble(domain, watching, replace(ports, source=listening, projection=log))
    observer = watched.observer
    return Pipeline(
        parts=(
            selector.assemble(domain, Ports(projection=log)),
            ipam.assemble(domain, ipam.IpamPorts(projection=log)),
            programmer.assemble(domain, programming, programmer.ProgrammerPorts(projection=log)),
            watched,
        ),
        follower=Follower(domain, lambda: listening.heard_everything() and not observer.pending, log),
    )


@contextmanager
def holding_log(url: str, *, share: bool) -> Iterator[bool]:
    """Hold an embedded log while its services run; yields False where another process holds it and ``share`` is set.

    Raises InvalidSetting where another process holds it and ``share`` is not set. Other logs are not held.
    """
    prepare_log(url)
    if not url.startswith("sqlite:"):
        yield True
        return
    with owned(sqlite_path(url), share=share) as alone:
        yield alone


def prepare_log(url: str) -> None:
    """Make the folder of an embedded log; raises InvalidSetting where the file cannot be written."""
    if not url.startswith("sqlite:"):
        return
    path = sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        with path.open("ab"):
            pass
        if is_new:
            path.unlink()  # an empty file is not a log
    except OSError as error:
        raise InvalidSetting(
            "option --log",
            str(path),
            f"cannot be written: {error.strerror}",
            "name another file, or correct its rights",
        ) from error
