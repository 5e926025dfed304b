"""The cluster that the watcher's settings name: where objects come from and where writes go."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ledgerlb.kube.cluster import MemoryCluster
from ledgerlb.kube.manifests import ManifestFolder, ManifestSource
from ledgerlb.kube.source import ObjectSource
from ledgerlb.kube.writer import ClusterWriter
from ledgerlb.kube.writer_memory import MemoryWriter
from ledgerlb.runtime.parts import utc_now
from ledgerlb.watcher.settings import WatcherSettings


@contextlib.asynccontextmanager
async def open_cluster(settings: WatcherSettings) -> AsyncIterator[tuple[ObjectSource, ClusterWriter]]:
    """Connect to the API server, or read the folder that stands for one.

    Raises InvalidSetting: a bad kubeconfig, or an API server that is too old.
    """
    if settings.manifests is not None:
        cluster = MemoryCluster(utc_now)
        yield ManifestSource(ManifestFolder(settings.manifests, cluster)), MemoryWriter(cluster)
        return
    # The Kubernetes client takes a second to import: only those who talk to an API server wait for it.
    from ledgerlb.kube.api_source import ApiSource  # noqa: PLC0415
    from ledgerlb.kube.client import ApiConnection  # noqa: PLC0415
    from ledgerlb.kube.server_version import check_version  # noqa: PLC0415
    from ledgerlb.kube.writer_api import ApiWriter  # noqa: PLC0415

    async with ApiConnection(settings.kubeconfig) as connection:
        await check_version(connection, str(connection.client.configuration.host))
        yield ApiSource(connection), ApiWriter(connection.client, settings.write_timeout, connection.renew)
