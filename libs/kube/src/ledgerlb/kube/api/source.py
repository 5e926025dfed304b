"""An API server as a source of objects: one list-and-watch loop a kind, side by side on one connection."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from ledgerlb.core.errors import BadInput
from ledgerlb.kube.api.discovery import Discovery
from ledgerlb.kube.api.listwatch import Api, ListWatch, WatchSettings
from ledgerlb.kube.api.refusals import ApiUnavailable
from ledgerlb.kube.kinds import WATCHED, Kind
from ledgerlb.kube.source import ProblemLog, Sink

_SUBJECT: Final = "API server"
CHECK_SECONDS: Final = 5.0
"""Seconds for which the server's identity is not asked for again: all kinds connect again at about the same time."""


class ApiSource:
    """See module and ``source.ObjectSource``; the connection stays the caller's to close.

    Once ``identify`` has answered, every later list and watch first makes sure that the same cluster answers: an
    address may lead to another one after a failover or a change of DNS.
    """

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
        self._identity = ""
        self._checked = 0.0

    async def identify(self, known: str, renew: bool) -> str:
        """Return ``cluster:`` and the uid of Namespace ``kube-system``, which no two clusters share. Raises
        ClusterError.
        """
        del known, renew  # a cluster has its identity from its first day
        found = await self._ask()
        self._identity = self._identity or found
        self._checked = time.monotonic()
        return found

    async def check(self) -> None:
        """Raise BadInput where another cluster answers than the one that was identified; ApiUnavailable, ApiRefused."""
        if not self._identity or time.monotonic() - self._checked < CHECK_SECONDS:
            return
        found = await self._ask()
        if found != self._identity:
            raise BadInput(
                _SUBJECT,
                "",
                f"is {found} now and was {self._identity}: another cluster answers at its address",
                "LedgerLB reads nothing from it; let the address lead to the former cluster again",
            )
        self._checked = time.monotonic()
        self._problems.resolved(_SUBJECT)

    async def _ask(self) -> str:
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
                kind,
                self._api,
                discovery,
                sink,
                self._problems,
                settings=self._settings,
                jitter=self._jitter,
                check=self.check,
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
