"""Our objects in the kernel, as the ``fabric-linux`` back end knows them, and the arithmetic of weights. Pure.

Three kinds of objects, each with the protocol number of LedgerLB: a next hop per (gateway, interface), shared by all
groups, and a twin of it for groups that have no other; a group per address; a host route per address through its group.
Numbers come from a range of our own: the lower 2^16 of it for next hops, the rest for groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledgerlb.core.errors import DataPathError
from ledgerlb.ecmp_programmer.netlink.wire import NextHopObject, RouteObject

ID_BITS: Final = 20
HOP_BITS: Final = 16
DEFAULT_ID_BASE: Final = 0x4C4C0000
"""The range of next-hop ids is ``ID_BITS`` wide from here on: 1,280,049,152 to 1,281,097,727."""
HOST_LENGTH: Final = {4: 32, 6: 128}

Members = tuple[tuple[int, int], ...]
"""(id of a next hop, weight), sorted by id."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A next hop's address and the interface behind which it is."""

    via: str
    interface: int


class FabricState:
    """See module. Filled from a dump, then kept in step with every acknowledged change."""

    def __init__(self, id_base: int = DEFAULT_ID_BASE) -> None:
        self._base = id_base
        self.hops: dict[int, Gateway] = {}
        self.groups: dict[int, Members] = {}
        self.routes: dict[str, int] = {}
        self._hop_ids: dict[Gateway, int] = {}
        self._twins: dict[Gateway, int] = {}
        self._plain: set[int] = set()
        self._owners: dict[int, str] = {}
        self._uses: dict[int, int] = {}
        self._foreign: set[int] = set()
        self._next = {HOP_BITS: id_base, ID_BITS: id_base + (1 << HOP_BITS)}

    @classmethod
    def from_dump(
        cls, nexthops: Iterable[NextHopObject], routes: Iterable[RouteObject], protocol: int, table: int, id_base: int
    ) -> FabricState:
        """Build the state from a dump. Objects with another protocol, or outside our ids, are not ours."""
        state = cls(id_base)
        for found in nexthops:
            if not id_base <= found.id < id_base + (1 << ID_BITS):
                continue
            if found.protocol != protocol:
                state._foreign.add(found.id)
            elif found.members:
                state.put_group(found.id, found.members)
                if not found.resilient:
                    state._plain.add(found.id)
            else:
                state.put_hop(found.id, Gateway(found.gateway, found.interface))
        for route in routes:
            family = 6 if ":" in route.destination else 4
            if (route.protocol, route.table, route.length) == (protocol, table, HOST_LENGTH[family]):
                state.put_route(route.destination, route.nexthop)
        return state

    def put_hop(self, number: int, gateway: Gateway) -> None:
        """Note that the kernel has a next hop now; a second one for its gateway is the twin of the first."""
        self.hops[number] = gateway
        if self._hop_ids.setdefault(gateway, number) != number:
            self._twins.setdefault(gateway, number)

    def drop_hop(self, number: int) -> None:
        """Note that a next hop is gone."""
        gateway = self.hops.pop(number, None)
        if gateway is None:
            return
        if self._twins.get(gateway) == number:
            del self._twins[gateway]
        elif self._hop_ids.get(gateway) == number:
            del self._hop_ids[gateway]
            if (twin := self._twins.pop(gateway, None)) is not None:
                self._hop_ids[gateway] = twin

    def put_group(self, number: int, members: Sequence[tuple[int, int]]) -> None:
        """Note that a group has these members now."""
        self.drop_group(number)
        self.groups[number] = tuple(sorted(members))
        for member, _ in members:
            self._uses[member] = self._uses.get(member, 0) + 1

    def drop_group(self, number: int) -> None:
        """Note that a group is gone."""
        self._plain.discard(number)
        for member, _ in self.groups.pop(number, ()):
            self._uses[member] -= 1
            if not self._uses[member]:
                del self._uses[member]

    def put_route(self, address: str, group: int) -> None:
        """Note that the address is routed through the group now; the first route that uses a group owns it."""
        self.routes[address] = group
        self._owners.setdefault(group, address)

    def drop_route(self, address: str) -> None:
        """Note that the address is not routed any more."""
        group = self.routes.pop(address, None)
        if group is not None and self._owners.get(group) == address:
            del self._owners[group]

    def hop_id(self, gateway: Gateway) -> int | None:
        """Return the next hop for the gateway, None where it has none yet."""
        return self._hop_ids.get(gateway)

    def twin_id(self, gateway: Gateway) -> int | None:
        """Return the second next hop for the gateway, None where it has none yet."""
        return self._twins.get(gateway)

    def group_id(self, address: str) -> int | None:
        """Return the address's own group, None where it has none yet. A group that is not resilient cannot become so,
        and gives way to a new one.
        """
        group = self.routes.get(address)
        if group not in self.groups or group in self._plain:
            return None
        return group if self._owners.get(group) == address else None

    def new_hop_id(self) -> int:
        """Return a free id for a next hop. Raises DataPathError where none is left."""
        return self._free(HOP_BITS, self._base, 1 << HOP_BITS)

    def new_group_id(self) -> int:
        """Return a free id for a group. Raises DataPathError where none is left."""
        return self._free(ID_BITS, self._base + (1 << HOP_BITS), (1 << ID_BITS) - (1 << HOP_BITS))

    def _free(self, kind: int, first: int, count: int) -> int:
        for _ in range(count):
            number = self._next[kind]
            self._next[kind] = first + (number + 1 - first) % count
            if number not in self.hops and number not in self.groups and number not in self._foreign:
                return number
        raise DataPathError(
            f"all {count} next-hop ids from {first} are in use; set LEDGERLB_FABRIC_ID_BASE to a free range"
        )

    def unused_groups(self) -> Iterator[int]:
        """Yield the groups through which no address is routed."""
        return (number for number in sorted(self.groups) if number not in self._owners)

    def unused_hops(self) -> Iterator[int]:
        """Yield the next hops that are in no group."""
        return (number for number in sorted(self.hops) if number not in self._uses)


def scaled(weights: Mapping[int, int], limit: int) -> dict[int, int]:
    """Return the weights, scaled down in proportion where the largest is over ``limit``; none falls below 1."""
    largest = max(weights.values(), default=0)
    if largest <= limit:
        return dict(weights)
    return {member: max(1, (weight * limit * 2 + largest) // (2 * largest)) for member, weight in weights.items()}
