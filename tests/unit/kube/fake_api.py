"""A small API server for the edge of unit tests: it keeps objects, serves pages and watches, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web


class FakeApi:
    """Serves ``/api/v1/services`` style collections by path. ``definitions`` maps group -> version -> plurals."""

    def __init__(self) -> None:
        self.version = 10
        self.collections: dict[str, dict[str, dict[str, Any]]] = {}
        self.definitions: dict[str, dict[str, list[str]]] = {}
        self.events: dict[str, list[tuple[int, bytes]]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answers: list[Callable[[web.Request], web.Response | None]] = []
        """Each is asked first; what it returns is the answer."""
        self.compacted = 0
        self.cut: dict[str, bytes] = {}
        """path -> bytes after which the next watch is cut off in the middle of a line."""
        self.stuck: set[str] = set()
        self.changed = asyncio.Condition()
        self.host = ""
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        app.router.add_patch("/{path:.*}", self._get)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.host = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def kubeconfig(self) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.host}}],
            "users": [{"name": "fake", "user": {"token": "none"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }

    def watches(self, path: str) -> list[dict[str, str]]:
        return [query for requested, query in self.requests if requested == path and "watch" in query]

    def lists(self, path: str) -> list[dict[str, str]]:
        return [query for requested, query in self.requests if requested == path and "watch" not in query]

    async def put(self, path: str, obj: dict[str, Any]) -> None:
        known = self.collections.setdefault(path, {})
        meta = obj["metadata"]
        key = f"{meta.get('namespace', '')}/{meta['name']}"
        self.version += 1
        stored = {**obj, "metadata": {**meta, "resourceVersion": str(self.version)}}
        await self._say(path, "MODIFIED" if key in known else "ADDED", stored)
        known[key] = stored

    async def remove(self, path: str, key: str) -> None:
        stored = self.collections[path].pop(key)
        self.version += 1
        meta = {**stored["metadata"], "resourceVersion": str(self.version)}
        await self._say(path, "DELETED", {**stored, "metadata": meta})

    async def bookmark(self, path: str) -> None:
        self.version += 1
        await self._say(path, "BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    async def error(self, path: str, code: int) -> None:
        await self._say(path, "ERROR", {"kind": "Status", "code": code, "message": "from the test"})

    async def raw(self, path: str, line: bytes) -> None:
        async with self.changed:
            self.events.setdefault(path, []).append((self.version, line))
            self.changed.notify_all()

    async def _say(self, path: str, kind: str, obj: dict[str, Any]) -> None:
        await self.raw(path, json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path, query = request.path, dict(request.query)
        self.requests.append((path, query))
        for answer in self.answers:
            found = answer(request)
            if found is not None:
                return found
        if path == "/apis":
            return web.json_response({"kind": "APIGroupList", "groups": [{"name": name} for name in self.definitions]})
        if path.startswith("/apis/") and path.count("/") <= 3:
            return self._discover(path.split("/")[2:])
        if path not in self.collections:
            return web.json_response({"kind": "Status", "code": 404, "message": "no such thing"}, status=404)
        return await (self._watch(request, path, query) if "watch" in query else self._list(path, query))

    def _discover(self, parts: list[str]) -> web.Response:
        versions = self.definitions.get(parts[0])
        if versions is None or (len(parts) > 1 and parts[1] not in versions):
            return web.json_response({"code": 404}, status=404)
        if len(parts) == 1:
            return web.json_response({"versions": [{"version": version} for version in versions]})
        return web.json_response({"resources": [{"name": plural} for plural in versions[parts[1]]]})

    async def _list(self, path: str, query: dict[str, str]) -> web.Response:
        items = [self.collections[path][key] for key in sorted(self.collections[path])]
        start, size = int(query.get("continue", 0)), int(query.get("limit", 500))
        meta = {"resourceVersion": str(self.version)}
        if start + size < len(items):
            meta["continue"] = str(start + size)
        return web.json_response({"metadata": meta, "items": items[start : start + size]})

    async def _watch(self, request: web.Request, path: str, query: dict[str, str]) -> web.StreamResponse:
        since = int(query["resourceVersion"])
        if since < self.compacted:
            return web.json_response({"code": 410, "reason": "Expired", "message": "too old"}, status=410)
        answer = web.StreamResponse()
        await answer.prepare(request)
        if path in self.stuck:
            await asyncio.sleep(60)
        said = [entry for entry in self.events.get(path, []) if entry[0] <= since]
        position = len(said)
        try:
            async with asyncio.timeout(float(query["timeoutSeconds"])):
                while True:
                    async with self.changed:
                        while len(self.events.get(path, [])) <= position:
                            await self.changed.wait()
                    for _, line in self.events[path][position:]:
                        position += 1
                        if path in self.cut:
                            await answer.write(line[: len(line) // 2])
                            del self.cut[path]
                            request.transport.close()
                            return answer
                        await answer.write(line)
        except TimeoutError:
            return answer
