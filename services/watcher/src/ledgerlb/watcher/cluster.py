"""The cluster that the watcher's settings name: where objects come from and where writes go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

from ledgerlb.kube.deletion_guard import DeletionGuard
from ledgerlb.kube.manifests.folder import ManifestFolder, ManifestSource
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.kube.source import ObjectSource
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.runtime.parts import utc_now
from ledgerlb.watcher.guarded import Remember
from ledgerlb.watcher.settings import WatcherSettings
from ledgerlb.watcher.source_identity import Identify


class Cluster(NamedTuple):
    """Where objects come from, who changes them, which cluster or folder it is, and what judges mass deletions.

    ``remember`` gives a source that keeps nothing over a restart what LedgerLB wrote before.
    """

    source: ObjectSource
    writer: ClusterWriter
    identify: Identify
    guard: DeletionGuard
    remember: Remember | None = None


@contextlib.asynccontextmanager
async def open_cluster(settings: WatcherSettings) -> AsyncIterator[Cluster]:
    """Connect to the API server, or read the folder that replaces one.

    Raises InvalidSetting: a bad kubeconfig, or an API server that is too old.
    """
    guard = DeletionGuard(settings.deletion_grace, time.monotonic)
    if settings.manifests is not None:
        cluster = MemoryCluster(utc_now)
        source = ManifestSource(ManifestFolder(settings.manifests, cluster, guard=guard))
        yield Cluster(source, MemoryWriter(cluster), source.identify, guard, source.remember)
        return
    # The Kubernetes client takes a second to import, so import it only to talk to an API server.
    from ledgerlb.kube.api.client import ApiConnection  # noqa: PLC0415
    from ledgerlb.kube.api.server_version import check_version  # noqa: PLC0415
    from ledgerlb.kube.api.source import ApiSource  # noqa: PLC0415
    from ledgerlb.kube.api.writer import ApiWriter  # noqa: PLC0415

    async with ApiConnection(settings.kubeconfig) as connection:
        await check_version(connection, str(connection.client.configuration.host))
        api = ApiSource(connection)
        writer = ApiWriter(connection.client, settings.write_timeout, connection.renew)
        yield Cluster(api, writer, api.identify, guard)
