"""An API server as a source of objects: one list-and-watch loop a kind, side by side on one connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from ledgerlb.kube.api.discovery import Discovery
from ledgerlb.kube.api.listwatch import Api, ListWatch, WatchSettings
from ledgerlb.kube.api.refusals import ApiUnavailable
from ledgerlb.kube.kinds import WATCHED, Kind
from ledgerlb.kube.source import ProblemLog, Sink


class ApiSource:
    """See module and ``source.ObjectSource``; the connection stays the caller's to close."""

    def __init__(
        self,
        api: Api,
        *,
        kinds: Sequence[Kind] = WATCHED,
        settings: WatchSettings | None = None,
        problems: ProblemLog | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._kinds = tuple(kinds)
        self._settings = settings or WatchSettings()
        self._problems = problems or ProblemLog()
        self._jitter = jitter

    async def identify(self, known: str, renew: bool) -> str:
        """Return ``cluster:`` and the uid of Namespace ``kube-system``, which no two clusters share. Raises
        ClusterError.
        """
        del known, renew  # a cluster has its identity from its first day
        # Listed, not read by name: the watcher may list Namespaces and needs no further right.
        answer = await self._api.get("/api/v1/namespaces", {"fieldSelector": "metadata.name=kube-system"})
        items = answer.get("items")
        for item in items if isinstance(items, list) else ():
            meta = item.get("metadata") if isinstance(item, dict) else None
            if isinstance(meta, dict) and meta.get("name") == "kube-system" and isinstance(meta.get("uid"), str):
                return f"cluster:{meta['uid']}"
        raise ApiUnavailable("the cluster has no Namespace kube-system; check what answers at the server's address")

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """Feed ``sink`` until ``stop``. Raises only if a loop has a bug."""
        discovery = Discovery(self._api)
        loops = [
            ListWatch(
                kind, self._api, discovery, sink, self._problems, settings=self._settings, jitter=self._jitter
            ).run()
            for kind in self._kinds
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
