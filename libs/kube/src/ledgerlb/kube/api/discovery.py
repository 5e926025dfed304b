"""Find out which version of a kind the API server serves, and whether it serves the kind at all.

Concurrency: all list-and-watch loops share one ``Discovery``. It keeps answers for a moment, so loops that ask at the
same time cost one request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from ledgerlb.kube.api.refusals import NOT_FOUND, ApiRefused, ApiUnavailable
from ledgerlb.kube.kinds import Kind, newest_first

KEEP_SECONDS: Final = 1.0


class Getter(Protocol):
    """The one thing that discovery needs of a connection."""

    async def get(self, path: str) -> dict[str, Any]:
        """Return the decoded body. Raises ApiUnavailable, ApiRefused."""
        ...


class Discovery:
    """See module. ``clock`` gives monotonic seconds."""

    def __init__(self, api: Getter, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._answers: dict[str, tuple[float, dict[str, Any] | None]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def version_of(self, kind: Kind) -> str | None:
        """Return the newest served version of a kind, or None if its definition is absent.

        Raises ApiUnavailable, ApiRefused.
        """
        if kind.version is not None:
            return kind.version
        group = await self._get(f"/apis/{kind.group}")
        versions = [str(entry.get("version", "")) for entry in _entries(group, "versions")]
        for version in newest_first(versions):
            served = await self._get(f"/apis/{kind.group}/{version}")
            if any(entry.get("name") == kind.plural for entry in _entries(served, "resources")):
                return version
        # Another kind of server would not know the group either, so make sure that this is an API server.
        _entries(await self._get("/apis") or {}, "groups")
        return None

    async def _get(self, path: str) -> dict[str, Any] | None:
        async with self._locks.setdefault(path, asyncio.Lock()):
            kept = self._answers.get(path)
            if kept is not None and self._clock() - kept[0] < KEEP_SECONDS:
                return kept[1]
            try:
                answer = await self._api.get(path)
            except ApiRefused as refused:
                if refused.status != NOT_FOUND:
                    raise
                answer = None
            self._answers[path] = (self._clock(), answer)
            return answer


def _entries(answer: dict[str, Any] | None, field: str) -> list[dict[str, Any]]:
    """Return the entries of an answer, none for a 404.

    Raises ApiUnavailable for an answer that no API server gives. Trusting it would make the kind absent and delete all
    its objects.
    """
    if answer is None:
        return []
    entries = answer.get(field, "")
    entries = [] if entries is None else entries
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ApiUnavailable(f"the answer has no list of {field}; check what answers at the server's address")
    return entries
