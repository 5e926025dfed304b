"""List and watch one kind: everything there is, then every change, and everything again after a possible gap.

    discover the version ──► list, page by page ──► watch from the list's version ──┐
         ▲                           ▲                 ▲                            │
         │                           │                 └─ ended, silent, broken ────┤ from the last version seen
         │                           └─────────────────── 410, unreadable ──────────┤
         │      └── absent: look again every few seconds     │
         └─────────────────────────────────────────────── 404, of a kind that may be absent

The loop keeps the last version only: a sink compares each full list with what it knows. Every wait has a bound:
time-outs for requests, ``idle`` for silent streams (the server sends bookmarks about once a minute), and a growing
pause with jitter between tries.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import structlog

from ledgerlb.core.errors import BadInput
from ledgerlb.kube.api.discovery import Discovery
from ledgerlb.kube.api.lines import LineTooLong, lines_of
from ledgerlb.kube.api.refusals import EXPIRED, NOT_FOUND, ApiRefused, ApiUnavailable
from ledgerlb.kube.kinds import Kind
from ledgerlb.kube.normalise.dispatch import name_of
from ledgerlb.kube.source import Batch, Listed, Name, ProblemLog, Sink, seen
from ledgerlb.runtime.backoff import Backoff

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Times in seconds. A watch is asked to end after a random time in ``watch``, so that not all end together;
    ``pause`` is the first and the longest pause between tries; ``absent`` is how often an absent kind is looked for.
    """

    page: int = 500
    watch: tuple[float, float] = (240.0, 480.0)
    idle: float = 90.0
    pause: tuple[float, float] = (0.2, 30.0)
    absent: float = 5.0
    healthy: float = 5.0
    """A stream that lasted this long was healthy, so the next try follows at once."""


class Api(Protocol):
    """What a loop needs of a connection (see ``client.ApiConnection``)."""

    async def get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        """Return the decoded body. Raises ApiUnavailable, ApiRefused."""
        ...

    def stream(
        self, path: str, query: dict[str, str], idle: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Yield the body as it arrives. Raises ApiUnavailable, ApiRefused."""
        ...


class _Event(msgspec.Struct):
    type: str
    object: dict[str, Any]


_EVENT: Final = msgspec.json.Decoder(_Event)


class _Relist(Exception):
    """The watch cannot continue, so the kind must be listed again."""


async def _no_check() -> None:
    return


class ListWatch:
    """List and watch one kind. ``run`` ends only by cancellation. ``check`` comes before each list and each watch, and
    raises what they may raise.
    """

    def __init__(
        self,
        kind: Kind,
        api: Api,
        discovery: Discovery,
        sink: Sink,
        problems: ProblemLog,
        *,
        settings: WatchSettings | None = None,
        jitter: Callable[[], float] = random.random,
        check: Callable[[], Awaitable[None]] = _no_check,
    ) -> None:
        self._kind = kind
        self._check = check
        self._api = api
        self._discovery = discovery
        self._sink = sink
        self._problems = problems
        self._settings = settings or WatchSettings()
        self._jitter = jitter
        self._backoff = Backoff(*self._settings.pause, share=lambda: 0.5 + jitter() / 2)
        self._absent = False
        self._version = ""

    async def run(self) -> None:
        """See module."""
        while True:
            began = time.monotonic()
            try:
                served = await self._discovery.version_of(self._kind)
                if served is None:
                    await self._wait_for_definition()
                    continue
                await self._list(served)
                await self._watch(served)
            except _Relist as why:
                _logger.info("listing again", kind=self._kind.plural, reason=str(why))
                await self._rest(began, 0.0)
            except ApiRefused as refused:
                self._report(refused)
                await self._pause()
            except ApiUnavailable as error:
                self._complain(str(error), "LedgerLB tries again")
                await self._pause(error.retry_after)
            except BadInput as problem:  # an answer without the names that every object has is not an API server's
                self._problems(problem)
                await self._pause()

    def _report(self, refused: ApiRefused) -> None:
        if refused.status == EXPIRED or (refused.status == NOT_FOUND and self._kind.optional):
            return  # the list starts again, or the definition was deleted: the next try finds out
        if refused.status == NOT_FOUND:
            # Every API server serves these kinds, so a 404 means we are not talking to one. Trusting it would delete
            # every fact.
            self._complain(str(refused), "check what answers at the server's address; LedgerLB keeps what it knows")
        else:
            self._complain(str(refused), "grant the watcher get, list and watch on it")

    def _complain(self, problem: str, remedy: str) -> None:
        self._problems(BadInput(f"API server, {self._kind.plural}", "", problem, remedy))

    async def _wait_for_definition(self) -> None:
        if not self._absent:
            self._absent = True
            _logger.info("this cluster does not serve the kind", kind=self._kind.plural)
            self._sink(Batch(self._kind.kind, listed=Listed(frozenset(), present=False)))
        await asyncio.sleep(self._settings.absent * (0.75 + self._jitter() / 4))

    # List

    async def _list(self, served: str) -> None:
        await self._check()
        names: set[Name] = set()
        token = ""
        while True:
            query = {"limit": str(self._settings.page)}
            if token:
                query["continue"] = token
            page = await self._api.get(self._kind.path(served), self._selected(query))
            meta, items = _page(page)
            token = meta.get("continue") or ""
            self._version = str(meta["resourceVersion"])
            facts, silent = seen(self._kind.kind, items, self._problems)
            # A broken object still exists, so its last good fact must stay.
            names |= {self._name(entry) for entry in items} - set(silent)
            if token:
                self._sink(Batch(self._kind.kind, tuple(facts)))
                continue
            self._absent = False
            self._problems.resolved(f"API server, {self._kind.plural}")
            listed = Listed(frozenset(names), version=served)
            self._sink(Batch(self._kind.kind, tuple(facts), listed=listed))
            return

    def _selected(self, query: dict[str, str]) -> dict[str, str]:
        return {**query, "labelSelector": self._kind.selector} if self._kind.selector else query

    def _name(self, obj: dict[str, Any]) -> Name:
        return name_of(obj, self._kind.kind)

    # Watch

    async def _watch(self, served: str) -> None:
        """Follow changes. Ends by raising _Relist, or ApiRefused (404: the definition was deleted)."""
        while True:
            began = time.monotonic()
            try:
                await self._stream(served)
            except ApiRefused as refused:
                if refused.status == EXPIRED:
                    raise _Relist(str(refused)) from refused
                raise
            except ApiUnavailable as error:
                _logger.debug("watching again", kind=self._kind.plural, reason=str(error))
                await self._rest(began, error.retry_after)
            else:
                await self._rest(began, 0.0)

    async def _rest(self, began: float, at_least: float) -> None:
        if time.monotonic() - began >= self._settings.healthy and not at_least:
            self._backoff.reset()
            return
        await self._pause(at_least)

    async def _pause(self, at_least: float = 0.0) -> None:
        """Sleep for the next pause, or as long as the server asks, up to the longest pause."""
        await asyncio.sleep(self._backoff.next(at_least))

    async def _stream(self, served: str) -> None:
        await self._check()
        shortest, longest = self._settings.watch
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(shortest + (longest - shortest) * self._jitter()))),
        }
        async with self._api.stream(self._kind.path(served), self._selected(query), self._settings.idle) as chunks:
            try:
                async for lines in lines_of(chunks):
                    self._take(lines)
            except LineTooLong as error:
                raise _Relist(str(error)) from error

    def _take(self, lines: list[bytes]) -> None:
        """Pass on the last change of each name in one chunk, also when the chunk ends in an error."""
        changed: dict[Name, dict[str, Any] | None] = {}
        try:
            for line in lines:
                event = _decoded(line)
                if event.type == "ERROR":
                    _raise_status(event.object)
                if event.type != "BOOKMARK":
                    name = self._name(event.object)
                    changed.pop(name, None)
                    changed[name] = None if event.type == "DELETED" else event.object
                self._version = _version_text(event.object) or self._version
        finally:
            if changed:
                self._hand_over(changed)

    def _hand_over(self, changed: dict[Name, dict[str, Any] | None]) -> None:
        existing = [obj for obj in changed.values() if obj is not None]
        facts, silent = seen(self._kind.kind, existing, self._problems)
        gone = [name for name, obj in changed.items() if obj is None] + silent
        self._sink(Batch(self._kind.kind, tuple(facts), tuple(gone)))


def _page(page: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the metadata and items of a list. Raises ApiUnavailable where the answer is not a list, such as the
    greeting of another server: trusting it would delete every fact.
    """
    meta, items = page.get("metadata"), page.get("items", ())
    items = [] if items is None else items
    if not isinstance(meta, dict) or not meta.get("resourceVersion") or not isinstance(items, list):
        raise ApiUnavailable("the answer is not a list of objects; check what answers at the server's address")
    if not all(isinstance(item, dict) for item in items):
        raise ApiUnavailable(
            "the answer lists something other than objects; check what answers at the server's address"
        )
    return meta, items


def _decoded(line: bytes) -> _Event:
    try:
        return _EVENT.decode(line)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise _Relist(f"an event that cannot be read: {error}") from error


def _version_text(obj: dict[str, Any]) -> str:
    meta = obj.get("metadata")
    version = meta.get("resourceVersion") if isinstance(meta, dict) else None
    return version if isinstance(version, str) else ""


def _raise_status(status: dict[str, Any]) -> None:
    code = status.get("code")
    message = str(status.get("message") or status)
    if code == EXPIRED or status.get("reason") in {"Expired", "Gone"}:
        raise _Relist(message)
    raise ApiUnavailable(f"the watch ended with an error: {message}")
