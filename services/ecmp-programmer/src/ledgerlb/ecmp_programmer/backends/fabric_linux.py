"""The ``fabric-linux`` back end: a Linux router or gateway that spreads each address over the nodes, by weight.

Every external address gets a host route through a resilient next-hop group of its own, whose members are the nodes with
their weights. Flows stay on their node while others come and go. An address without a usable node gets no route: the
machine's other routes (a default route, a blackhole for the whole prefix) decide then, and LedgerLB does not guess.
Next hops must be directly connected, because a gateway further away would not send the packet on to that node.

The back end reads (dumps) the kernel's tables and compares them at start, after a change of links or addresses, after a
lost answer, and whenever the agent asks. It changes and removes only objects with LedgerLB's protocol number and id
range.

The back end leaves to others: source ranges (the nodes enforce them; if no port admits a client there is no route
here) and affinity (the kernel's hash decides, ``net.ipv4.fib_multipath_hash_policy``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from ledgerlb.core.errors import DataPathError
from ledgerlb.ecmp_programmer.backends.base import Outcome, Wanted
from ledgerlb.ecmp_programmer.backends.fabric_program import MAX_WEIGHT, FabricProgram, Place
from ledgerlb.ecmp_programmer.backends.fabric_state import DEFAULT_ID_BASE, FabricState
from ledgerlb.ecmp_programmer.netlink import sysctl, wire
from ledgerlb.ecmp_programmer.netlink.namespace import in_host_namespace, within
from ledgerlb.ecmp_programmer.netlink.socket import EventSocket, NetlinkSocket, open_event_socket, open_request_socket

DEFAULT_PROTOCOL: Final = 76
"""A route protocol number that no known routing daemon uses (see ``/etc/iproute2/rt_protos``)."""
WATCH_SECONDS: Final = 1.0

_EVENTS: Final = (wire.GROUP_LINK, wire.GROUP_IPV4_ADDRESS, wire.GROUP_IPV6_ADDRESS, wire.GROUP_NEXTHOP)
_BY_FIELDS: Final = "3"
_ADDRESSES_PROTOCOL_PORTS: Final = "55"
_ADDRESSES: Final = "3"
_FIELDS: Final = (_ADDRESSES_PROTOCOL_PORTS, _ADDRESSES)
"""By addresses alone all flows of a client take one node, which Services with session affinity need."""
_SETTINGS: Final = {
    "net.ipv4.ip_forward": ("1",),
    "net.ipv6.conf.all.forwarding": ("1",),
    "net.ipv4.fib_multipath_hash_policy": (_BY_FIELDS,),
    "net.ipv6.fib_multipath_hash_policy": (_BY_FIELDS,),
    "net.ipv4.fib_multipath_hash_fields": _FIELDS,
    "net.ipv6.fib_multipath_hash_fields": _FIELDS,
}

_logger = structlog.get_logger(__name__)


class FabricLinux:
    """See module. ``netns`` names a namespace of ``ip netns`` (empty: the process's own)."""

    name = "fabric-linux"
    watch_seconds: float | None = WATCH_SECONDS

    def __init__(
        self,
        *,
        netns: str = "",
        allow_host_namespace: bool = False,
        protocol: int = DEFAULT_PROTOCOL,
        table: int = wire.MAIN_TABLE,
        id_base: int = DEFAULT_ID_BASE,
        max_weight: int = MAX_WEIGHT,
    ) -> None:
        self._netns = netns
        self._allow_host_namespace = allow_host_namespace
        self._protocol = protocol
        self._table = table
        self._id_base = id_base
        self._max_weight = max_weight
        self._program: FabricProgram | None = None
        self._netlink: NetlinkSocket | None = None
        self._events: EventSocket | None = None

    async def open(self) -> None:
        """See DataPath. Raises DataPathError in the machine's own network namespace unless that is allowed."""
        if not self._netns and not self._allow_host_namespace and in_host_namespace():
            raise DataPathError(
                "fabric-linux would change the routes of this machine itself; where it is the gateway, set "
                "LEDGERLB_FABRIC_ALLOW_HOST_NAMESPACE=true, else name a network namespace in LEDGERLB_FABRIC_NETNS"
            )
        try:
            requests, events, problems = within(
                self._netns,
                lambda: (
                    open_request_socket(),
                    open_event_socket(_EVENTS),
                    sysctl.ensure(_SETTINGS, change=bool(self._netns)),
                ),
            )
        except OSError as error:
            raise DataPathError(f"netlink sockets cannot be opened: {error}") from error
        self._netlink = NetlinkSocket(requests, requests.getsockname()[0])
        self._events = EventSocket(events, self._netlink.port)
        for problem in problems:
            _logger.warning("flows are not forwarded or spread as they should", problem=problem)

    async def close(self) -> None:
        """See DataPath."""
        if self._netlink is not None and self._events is not None:
            self._netlink.close()
            self._events.close()
        self._netlink = self._events = self._program = None

    def stale(self) -> bool:
        """See DataPath."""
        if self._program is None:
            return True
        if self._events is not None and self._events.changed():
            self._program.outdated = True
        return self._program.outdated

    async def reconcile(self, wanted: Wanted) -> Mapping[str, Outcome]:
        """See DataPath."""
        program = await self._read_kernel()
        outcomes = await program.program(wanted)
        outcomes |= await program.remove([address for address in program.state.routes if address not in wanted])
        await program.delete_unused()
        # A failure right after a dump has another reason than an outdated state: the agent retries after a pause.
        program.outdated = False
        return outcomes

    async def apply(self, changed: Wanted) -> Mapping[str, Outcome]:
        """See DataPath."""
        if self._program is None:
            raise DataPathError("fabric-linux is asked for changes before its first reconcile")
        outcomes = await self._program.program(changed)
        again = {address: changed[address] for address, outcome in outcomes.items() if outcome.state == "failed"}
        if again and self._program.outdated:
            # Another program changed the kernel: read it once more before reporting a failure.
            program = await self._read_kernel()
            outcomes |= await program.program(again)
            program.outdated = False
        await self._program.delete_unused()
        return outcomes

    async def _read_kernel(self) -> FabricProgram:
        if self._netlink is None or self._events is None:
            raise DataPathError("fabric-linux is not open")
        self._events.changed()  # the dump holds every change up to here
        nexthops = [wire.nexthop_of(reply.body) for reply in await self._netlink.dump(wire.dump_nexthops())]
        routes = []
        for family in (4, 6):
            found = await self._netlink.dump(wire.dump_routes(family, self._table, self._protocol))
            routes += [wire.route_of(reply.body) for reply in found]
        state = FabricState.from_dump(nexthops, routes, self._protocol, self._table, self._id_base)
        limit = self._program.max_weight if self._program is not None else self._max_weight
        self._program = FabricProgram(Place(self._netlink, self._protocol, self._table), state, limit)
        return self._program
