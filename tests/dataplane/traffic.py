"""UDP flows inside the lab. ``serve NAME ADDRESS PORT``: answer every datagram with NAME. ``send ADDRESS PORT COUNT``: one
datagram from each of COUNT source ports, and print how many flows each name answered.
"""

from __future__ import annotations

import collections
import json
import select
import socket
import sys
import time
from pathlib import Path

FIRST_PORT = 20000
ROUNDS = 5
ROUND_SECONDS = 1.0


def serve(name: str, address: str, port: int) -> None:
    with _udp(address) as server:
        server.bind((address, port))
        print("ready", flush=True)
        while True:
            _, peer = server.recvfrom(64)
            server.sendto(name.encode(), peer)


def send(address: str, port: int, count: int) -> None:
    flows = [_udp(address) for _ in range(count)]
    answered: dict[socket.socket, str] = {}
    poll = select.epoll()
    by_descriptor = {}
    for number, flow in enumerate(flows):
        flow.bind(("::" if ":" in address else "0.0.0.0", FIRST_PORT + number))
        flow.setblocking(False)
        poll.register(flow, select.EPOLLIN)
        by_descriptor[flow.fileno()] = flow
    for _ in range(ROUNDS):
        waiting = [flow for flow in flows if flow not in answered]
        for flow in waiting:
            flow.sendto(b"who?", (address, port))
        deadline = time.monotonic() + ROUND_SECONDS
        while len(answered) < count and time.monotonic() < deadline:
            for descriptor, _ in poll.poll(0.05):
                flow = by_descriptor[descriptor]
                answered[flow] = flow.recv(64).decode()
        if len(answered) == count:
            break
    tally = collections.Counter(answered.values())
    tally["lost"] = count - len(answered)
    print(json.dumps(tally))


def _udp(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


if __name__ == "__main__":
    if Path("/proc/self/net/dev").stat().st_ino == Path("/proc/1/net/dev").stat().st_ino:
        sys.exit("refusing to run in the machine's own network namespace")
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
