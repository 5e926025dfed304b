"""The codec against itself and known bytes, and the socket against a peer that plays the kernel."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core.errors import DataPathError
from ledgerlb.ecmp_programmer.netlink import socket as netlink
from ledgerlb.ecmp_programmer.netlink import wire
from ledgerlb.ecmp_programmer.netlink.socket import NetlinkSocket

RESILIENCE = wire.Resilience(buckets=512, idle_seconds=120)
IDS = st.integers(1, 2**32 - 1)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@given(IDS, st.lists(st.tuples(IDS, st.integers(1, 65535)), min_size=1, max_size=50), st.integers(0, 255))
def test_a_group_survives_the_wire(number: int, members: list[tuple[int, int]], protocol: int) -> None:
    found = wire.nexthop_of(wire.set_group(number, members, protocol, RESILIENCE, replace=True).body)
    assert found.resilient
    assert (found.id, found.protocol, list(found.members)) == (number, protocol, members)


@given(IDS, ADDRESSES, st.integers(1, 2**31 - 1))
def test_a_next_hop_survives_the_wire(number: int, gateway: str, interface: int) -> None:
    found = wire.nexthop_of(wire.add_nexthop(number, gateway, interface, 76).body)
    assert (found.id, found.gateway, found.interface, found.members) == (number, gateway, interface, ())


@given(ADDRESSES, IDS, IDS)
def test_a_route_survives_the_wire(address: str, nexthop: int, table: int) -> None:
    found = wire.route_of(wire.set_route(address, nexthop, table, 76, replace=False).body)
    assert (found.destination, found.nexthop, found.table, found.protocol) == (address, nexthop, table, 76)
    assert found.length == (128 if ":" in address else 32)


def test_a_group_is_the_bytes_that_the_kernel_expects() -> None:
    message = wire.set_group(9, [(1, 1), (2, 257)], 76, RESILIENCE, replace=False)
    head = bytes([0, 0, 76, 0]) + bytes(4)
    expected = (
        struct.pack("=HHI", 8, 1, 9)
        + struct.pack("=HH", 20, 2)
        + struct.pack("=IBBH", 1, 0, 0, 0)
        + struct.pack("=IBBH", 2, 0, 1, 0)
        + struct.pack("=HHHxx", 6, 3, 1)
        + struct.pack("=HH", 28, 0x8000 | 12)
        + struct.pack("=HHHxx", 6, 1, 512)
        + struct.pack("=HHI", 8, 2, 12000)
        + struct.pack("=HHI", 8, 3, 0)
    )
    assert message.body == head + expected
    assert message.flags == 0x600


@given(st.binary(max_size=200))
def test_no_bytes_stop_the_decoder(data: bytes) -> None:
    for reply in wire.replies(data):
        assert len(reply.body) <= len(data)


class Kernel:
    """The other end of a NetlinkSocket."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        self.socket.setblocking(False)
        self.netlink = NetlinkSocket(ours, 1)
        self.batches: list[int] = []

    async def read(self) -> list[wire.Reply]:
        data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20)
        found = list(wire.replies(data))
        self.batches.append(len(found))
        return found

    def say(self, request: wire.Reply, error: int = 0, text: str = "") -> None:
        attributes = struct.pack("=HH", 5 + len(text), 1) + text.encode() + b"\0" if text else b""
        body = struct.pack("=i", -error) + struct.pack("=IHHII", 16, request.type, 0, request.sequence, 0) + attributes
        flags = wire.CAPPED | (wire.ERROR_ATTRIBUTES if text else 0)
        self.socket.send(struct.pack("=IHHII", 16 + len(body), wire.NLMSG_ERROR, flags, request.sequence, 0) + body)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.netlink.close()
    made.socket.close()


async def test_each_request_gets_its_own_answer_whatever_their_order(kernel: Kernel) -> None:
    messages = [wire.delete_nexthop(number) for number in range(3)]
    answers = asyncio.create_task(kernel.netlink.exchange(messages))
    first, second, third = await kernel.read()
    kernel.say(third)
    kernel.say(first, errno.ENOENT, "No such next hop")
    kernel.say(second)
    assert [(answer.error, answer.text) for answer in await answers] == [
        (errno.ENOENT, "No such next hop"),
        (0, ""),
        (0, ""),
    ]


async def test_only_a_window_of_requests_is_in_flight(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "WINDOW", 4)
    answers = asyncio.create_task(kernel.netlink.exchange([wire.delete_nexthop(number) for number in range(10)]))
    for _ in range(3):
        for request in await kernel.read():
            kernel.say(request)
    assert len(await answers) == 10
    assert kernel.batches == [4, 4, 2]


async def test_no_answer_is_an_error_and_a_late_one_is_not_taken_for_the_next(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink, "ANSWER_SECONDS", 0.05)
    with pytest.raises(DataPathError, match="did not answer"):
        await kernel.netlink.exchange([wire.delete_nexthop(1)])
    (late,) = await kernel.read()
    monkeypatch.setattr(netlink, "ANSWER_SECONDS", 10.0)
    answers = asyncio.create_task(kernel.netlink.exchange([wire.delete_nexthop(2)]))
    (request,) = await kernel.read()
    kernel.say(late, errno.EBUSY)
    kernel.say(request)
    assert [answer.error for answer in await answers] == [0]


async def test_a_dump_that_was_interrupted_is_made_again(kernel: Kernel) -> None:
    found = asyncio.create_task(kernel.netlink.dump(wire.dump_nexthops()))
    for flags in (wire.DUMP_INTERRUPTED, 0):
        (request,) = await kernel.read()
        body = wire.add_nexthop(5, "10.0.0.1", 2, 76).body
        kernel.socket.send(wire.frame(wire.Message(wire.NEWNEXTHOP, 0, body), request.sequence))
        kernel.socket.send(struct.pack("=IHHIIi", 20, wire.NLMSG_DONE, flags, request.sequence, 0, 0))
    assert [wire.nexthop_of(reply.body).id for reply in await found] == [5]
