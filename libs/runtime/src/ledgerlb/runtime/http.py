"""A small HTTP server for probes and scrapes: GET and HEAD of fixed paths, one request a connection.

Every connection has a bound: ``HEADER_SECONDS`` to send its header of at most ``HEADER_BYTES``, ``ANSWER_SECONDS`` to
take the answer; a body is never read. At most ``MAX_CONNECTIONS`` are open: one more drops the oldest that is still
sending its header. An honest client sends that at once, so slow clients only push out each other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

HEADER_SECONDS: Final = 5.0
HEADER_BYTES: Final = 16 * 1024
ANSWER_SECONDS: Final = 10.0
MAX_CONNECTIONS: Final = 64

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: the status, its body, and the body's type."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class ProbeServer:
    """See module. ``pages`` maps each path to what answers it; it is called on the event loop for every request."""

    def __init__(self, pages: Mapping[str, Callable[[], Answer]]) -> None:
        self._pages = dict(pages)
        self._server: asyncio.Server | None = None
        self._sending: dict[asyncio.StreamWriter, None] = {}
        """Connections whose header is not complete yet, oldest first."""
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port that was bound. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEADER_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and drop every connection; idempotent."""
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._sending[writer] = None
        if len(self._open) > MAX_CONNECTIONS:
            oldest = next(iter(self._sending))
            del self._sending[oldest]
            oldest.transport.abort()
        try:
            answer, with_body = await self._answer(reader)
            self._sending.pop(writer, None)
            await _send(writer, answer, with_body=with_body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._sending.pop(writer, None)
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[Answer, bool]:
        try:
            async with asyncio.timeout(HEADER_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return Answer(408, b"the request's header took too long\n"), True
        except asyncio.LimitOverrunError:
            return Answer(431, b"the request's header is too large\n"), True
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return Answer(400, b"not an HTTP/1 request\n"), True
        method, path = words[0], words[1].partition("?")[0]
        if method not in {"GET", "HEAD"}:
            return Answer(405, b"only GET and HEAD are answered\n"), True
        page = self._pages.get(path)
        answer = Answer(404, b"no such page\n") if page is None else page()
        return answer, method == "GET"


async def _send(writer: asyncio.StreamWriter, answer: Answer, *, with_body: bool) -> None:
    head = (
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}\r\n"
        f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + (answer.body if with_body else b""))
    async with asyncio.timeout(ANSWER_SECONDS):
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
