"""Clients of the health server that send or take nothing, too much, or for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from ledgerlb.runtime import http
from ledgerlb.runtime.health import Health, HealthServer
from ledgerlb.runtime.http import Answer, ProbeServer

BOUND = 20.0


@pytest.fixture
async def server() -> AsyncIterator[HealthServer]:
    health = Health()
    part = health.part("x")
    part.caught_up = True
    part.contact()
    async with HealthServer(health, "127.0.0.1", 0) as served:
        yield served


async def ask(port: int, request: bytes) -> bytes:
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/readyz?verbose"])
async def test_a_probe_is_answered(server, path):
    answer = await ask(server.port, get(path))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body) == {"ok": True, "problems": []}


async def test_a_head_has_no_body(server):
    answer = await ask(server.port, get("/metrics", "HEAD"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


async def test_600_slow_connections_do_not_stay_and_hold_up_no_probe(server):
    """They all stayed open in the first version."""
    slow = []
    for _ in range(600):
        connection = await asyncio.open_connection("127.0.0.1", server.port)
        connection[1].write(b"GET /healthz HTTP/1.1\r\nX: ")
        slow.append(connection)
    try:
        answer = await ask(server.port, get("/readyz"))
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.connections <= http.MAX_CONNECTIONS
    finally:
        for _, writer in slow:
            writer.transport.abort()


async def test_a_header_that_is_never_finished_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(http, "HEADER_SECONDS", 0.2)
    answer = await ask(server.port, b"GET /healthz HTTP/1.1\r\nX: ")
    assert answer.startswith(b"HTTP/1.1 408")
    async with asyncio.timeout(BOUND):
        while server.connections:
            await asyncio.sleep(0.01)


async def test_an_answer_that_is_never_taken_is_given_up(monkeypatch):
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.2)
    served = ProbeServer({"/large": lambda: Answer(200, b"x" * (64 * 1024 * 1024))})
    port = await served.start("127.0.0.1", 0)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(get("/large"))
        async with asyncio.timeout(BOUND):
            while not served.connections:
                await asyncio.sleep(0.01)
            while served.connections:
                await asyncio.sleep(0.01)
        writer.transport.abort()
    finally:
        await served.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n", 405),
        (b"\x16\x03\x01\x00\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * (2 * http.HEADER_BYTES), 431),
    ],
)
async def test_anything_else_is_refused(server, request_, status):
    with suppress(ConnectionError):
        answer = await ask(server.port, request_)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert (await ask(server.port, get("/healthz"))).startswith(b"HTTP/1.1 200")


async def test_closing_does_not_wait_for_a_slow_client(server):
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET ")
    await asyncio.sleep(0)
    async with asyncio.timeout(http.HEADER_SECONDS / 2):
        await server.__aexit__()
    writer.close()
