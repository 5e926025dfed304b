"""Servers and clients inside the lab. Each answers with its name, so that a client knows which pod a flow reached.

``serve NAME``: answer TCP and UDP. ``tcp ADDRESS PORT COUNT FIRST``: COUNT short connections with fixed addresses and
ports, and print which pod each reached. ``udp`` likewise with datagrams. ``hold ADDRESS PORT COUNT FIRST``: connections that
stay; each line of input asks all of them again, and the answer tells which pod each reached. ``forget``: forget tracked
flows.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from ledgerlb.ecmp_programmer.netlink import conntrack

SECONDS = 5.0
AT_A_TIME = 64
SOURCES = 20
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


def source(number: int, first: int, six: bool) -> tuple[str, int]:
    address = f"fd00:1::{number % SOURCES + 1:x}" if six else f"10.0.1.{number % SOURCES + 1}"
    return address, first + number // SOURCES * 7


async def _answer(name: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        host = writer.get_extra_info("peername")[0].encode()
        writer.write(name + b" " + host + b"\n")
        while line := await reader.readline():
            writer.write(name + b" " + line)
    except ConnectionError:
        pass
    finally:
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(self._name + b" " + addr[0].encode(), addr)


async def serve(name: str) -> None:
    text = name.encode()
    listening = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)
    server = await asyncio.start_server(lambda reader, writer: _answer(text, reader, writer), sock=listening)
    loop = asyncio.get_running_loop()
    for host in ("0.0.0.0", "::"):
        family = socket.AF_INET6 if host == "::" else socket.AF_INET
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        if host == "::":
            datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        datagrams.bind((host, 5353))
        await loop.create_datagram_endpoint(lambda: _Datagrams(text), sock=datagrams)
    print("ready", flush=True)
    await server.serve_forever()


class Client:
    """Flows from fixed addresses and ports to one address."""

    def __init__(self, address: str, port: int, count: int, first: int) -> None:
        self._to = (address, port)
        self._six = ":" in address
        self._count = count
        self._first = first
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._kept: dict[str, socket.socket] = {}

    async def all(self, *, datagrams: bool = False, keep: bool = False) -> dict[str, str]:
        sources = [source(number, self._first, self._six) for number in range(self._count)]
        found = await asyncio.gather(*(self._one(*one, datagrams, keep) for one in sources))
        return {f"{host} {port}": answer for (host, port), answer in zip(sources, found, strict=True)}

    async def _one(self, host: str, port: int, datagrams: bool, keep: bool) -> str:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if self._six else socket.AF_INET
        async with self._turns:
            flow = socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
            flow.setblocking(False)
            flow.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not datagrams:
                flow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            try:
                flow.bind((host, port))
                async with asyncio.timeout(SECONDS):
                    await loop.sock_connect(flow, self._to)
                    if datagrams:
                        await loop.sock_sendall(flow, b"who?")
                    answer = (await loop.sock_recv(flow, 200)).decode().strip()
            except (OSError, TimeoutError) as error:
                flow.close()
                return f"ERROR {type(error).__name__}"
            if keep:
                self._kept[f"{host} {port}"] = flow
            else:
                flow.close()
            return answer

    async def ask_again(self) -> dict[str, str]:
        names = list(self._kept)
        found = await asyncio.gather(*(self._ask(self._kept[name]) for name in names))
        return dict(zip(names, found, strict=True))

    async def _ask(self, flow: socket.socket) -> str:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SECONDS):
                await loop.sock_sendall(flow, b"still?\n")
                answer = await loop.sock_recv(flow, 200)
        except (OSError, TimeoutError) as error:
            return f"ERROR {type(error).__name__}"
        return answer.decode().strip() or "ERROR closed"


async def hold(client: Client) -> None:
    print(json.dumps(await client.all(keep=True)), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await client.ask_again()), flush=True)


def forget(below: int) -> None:
    for address in {flow.address for flow in conntrack.flows()}:
        conntrack.forget(address, lambda flow: flow.source_port < below)


async def main(what: str, *words: str) -> None:
    if what == "serve":
        await serve(words[0])
        return
    client = Client(words[0], *map(int, words[1:4]))
    if what == "hold":
        await hold(client)
    else:
        print(json.dumps(await client.all(datagrams=what == "udp")))


if __name__ == "__main__":
    if Path("/proc/self/net/dev").stat().st_ino == Path("/proc/1/net/dev").stat().st_ino:
        sys.exit("refusing to run in the machine's own network namespace")
    if sys.argv[1] == "forget":
        forget(int(sys.argv[2]))
    else:
        asyncio.run(main(*sys.argv[1:]))
