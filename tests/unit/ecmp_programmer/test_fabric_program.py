"""The steps of fabric-linux against a kernel that only keeps a list: their order, and what an older kernel refuses."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

import pytest

from ledgerlb.core.paths.pathset import Frontend, NextHop, PathSet
from ledgerlb.ecmp_programmer.backends.fabric_program import FabricProgram, Place
from ledgerlb.ecmp_programmer.backends.fabric_state import FabricState
from ledgerlb.ecmp_programmer.netlink import wire
from ledgerlb.ecmp_programmer.netlink.socket import Answer, NetlinkSocket

ADDRESS = "192.168.102.2"


class ListKernel(NetlinkSocket):
    """Takes everything, reaches everything behind interface 3, and keeps what it was told, in words."""

    def __init__(self, largest_weight: int = 65535) -> None:
        self.largest_weight = largest_weight
        self.told: list[str] = []

    async def exchange(self, messages: Sequence[wire.Message]) -> list[Answer]:
        return [self._take(message) for message in messages]

    def _take(self, message: wire.Message) -> Answer:
        if message.type == wire.GETROUTE:
            body = wire.set_route("10.0.0.1", 0, 254, 2, replace=False).body + struct.pack("=HHI", 8, 4, 3)
            return Answer(replies=[wire.Reply(wire.NEWROUTE, 0, 0, 0, body)])
        if message.type in {wire.NEWROUTE, wire.DELROUTE}:
            self.told.append("add route" if message.type == wire.NEWROUTE else "delete route")
            return Answer()
        found = wire.nexthop_of(message.body)
        if any(weight > self.largest_weight for _, weight in found.members):
            return Answer(errno.EINVAL)
        what = "group" if found.members else "hop"
        self.told.append("delete" if message.type == wire.DELNEXTHOP else f"set {what}")
        return Answer()


def path_set(**weights: int) -> PathSet:
    hops = tuple(NextHop(node=name, via=f"10.0.0.{name[1:]}", weight=weight) for name, weight in weights.items())
    return PathSet(address=ADDRESS, family=4, network="a/b", next_hops=hops)


@pytest.fixture
def kernel() -> ListKernel:
    return ListKernel()


def program_on(kernel: ListKernel) -> FabricProgram:
    return FabricProgram(Place(kernel, 76, 254), FabricState())


async def test_things_are_made_before_what_needs_them_and_removed_after(kernel: ListKernel) -> None:
    program = program_on(kernel)
    await program.program({ADDRESS: path_set(n1=1)})
    assert kernel.told == ["set hop", "set hop", "set group", "add route"]
    kernel.told.clear()
    await program.program({ADDRESS: path_set(n2=1)})
    await program.delete_unused()
    assert kernel.told == ["set hop", "set hop", "set group", "delete", "delete"]
    kernel.told.clear()
    await program.program({ADDRESS: None})
    await program.delete_unused()
    assert kernel.told == ["delete route", "delete", "delete", "delete"]


async def test_a_gateway_that_was_alone_keeps_both_members_when_others_come(kernel: ListKernel) -> None:
    program = program_on(kernel)
    await program.program({ADDRESS: path_set(n1=2)})
    (group,) = program.state.groups
    alone = program.state.groups[group]
    assert [weight for _, weight in alone] == [2, 2]
    outcomes = await program.program({ADDRESS: path_set(n1=2, n2=3)})
    grown = dict(program.state.groups[group])
    assert {number: grown[number] for number, _ in alone} == dict(alone)
    assert sorted(grown.values()) == [2, 2, 6]
    assert dict(outcomes[ADDRESS].weights) == {"n1": 2, "n2": 3}
    await program.program({ADDRESS: path_set(n2=3)})
    assert [weight for _, weight in program.state.groups[group]] == [3, 3]


async def test_what_is_right_already_is_not_said_again(kernel: ListKernel) -> None:
    program = program_on(kernel)
    await program.program({ADDRESS: path_set(n1=1, n2=2)})
    kernel.told.clear()
    await program.program({ADDRESS: path_set(n2=2, n1=1, n3=0)})
    await program.delete_unused()
    assert kernel.told == []


async def test_a_kernel_with_small_weights_is_found_out_and_remembered() -> None:
    kernel = ListKernel(largest_weight=256)
    program = program_on(kernel)
    outcomes = await program.program({ADDRESS: path_set(n1=300, n2=600)})
    assert outcomes[ADDRESS].state == "programmed"
    assert dict(outcomes[ADDRESS].weights) == {"n1": 128, "n2": 256}
    assert "scaled down to 256" in outcomes[ADDRESS].message
    assert program.max_weight == 256


async def test_an_address_that_admits_nobody_has_no_route(kernel: ListKernel) -> None:
    program = program_on(kernel)
    closed = path_set(n1=1).model_copy(
        update={"frontends": (Frontend(service="a/b", protocol="TCP", port=80, source_ranges=()),)}
    )
    outcomes = await program.program({ADDRESS: closed})
    assert (outcomes[ADDRESS].state, kernel.told) == ("programmed", [])
