"""How addresses become next hops, groups and routes: the steps of the ``fabric-linux`` back end, in a safe order.

New next hops come first, then groups (each replaced in one step), then new routes; removals go the other way round. So
no flow ever meets an empty group, and no object refers to a missing one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from ledgerlb.core.addresses import is_canonical
from ledgerlb.core.errors import DataPathError
from ledgerlb.core.paths.pathset import PathSet
from ledgerlb.ecmp_programmer.backends.base import NO_CLIENT_ADMITTED, Outcome, Wanted, forwards
from ledgerlb.ecmp_programmer.backends.fabric_state import FabricState, Gateway, Members, scaled
from ledgerlb.ecmp_programmer.netlink import wire
from ledgerlb.ecmp_programmer.netlink.socket import Answer, NetlinkSocket

MAX_WEIGHT: Final = 65535
RESILIENCE: Final = wire.Resilience(buckets=512, idle_seconds=120)
"""A weight is exact within 1/512 of all flows; a connection that is silent for two minutes may move at a change."""
MAX_WEIGHT_8_BIT: Final = 256
"""The largest weight that kernels before 6.12 accept."""

_GONE: Final = (errno.ENOENT, errno.ESRCH)
_OUTDATED: Final = (errno.ENOENT, errno.EINVAL, errno.EEXIST)
_NAMED_IN_MESSAGE: Final = 3
_NOT_CANONICAL: Final = "is not an IP address in canonical form"

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of our objects: the socket to the kernel, our protocol number, the routing table."""

    netlink: NetlinkSocket
    protocol: int
    table: int


@dataclass(slots=True)
class _Goal:
    """The target of one address: weights by node, and the next hop (id) of each usable node."""

    address: str
    weights: dict[str, int] = field(default_factory=dict)
    members: dict[str, int] = field(default_factory=dict)
    gateways: dict[int, Gateway] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    outcome: Outcome | None = None


class FabricProgram:
    """Programs addresses in a safe order. ``outdated``: the kernel may differ from ``state``, so read it again.

    Every call raises DataPathError when the kernel does not answer. The kernel may have done part of the work by then.
    """

    def __init__(self, place: Place, state: FabricState, max_weight: int = MAX_WEIGHT) -> None:
        self.state = state
        self.max_weight = max_weight
        self.outdated = False
        self._place = place
        self._gateways: dict[str, Gateway | str] = {}

    async def program(self, wanted: Wanted) -> dict[str, Outcome]:
        """Program these addresses, and return the outcome of each."""
        invalid = {address: Outcome("failed", {}, _NOT_CANONICAL) for address in wanted if not is_canonical(address)}
        goals = [_Goal(address) for address in wanted if address not in invalid]
        hops = (hop for path_set in wanted.values() if forwards(path_set) and path_set for hop in path_set.next_hops)
        vias = sorted({hop.via for hop in hops if hop.weight > 0 and hop.via})
        await self._find_gateways(vias)
        await self._add_hops(vias)
        for goal in goals:
            self._choose_members(goal, wanted[goal.address])
        await self._add_twins(goals)
        await self._set_groups([goal for goal in goals if goal.members])
        await self._remove_routes([goal for goal in goals if not goal.members])
        return invalid | {goal.address: goal.outcome for goal in goals if goal.outcome is not None}

    async def remove(self, addresses: Iterable[str]) -> dict[str, Outcome]:
        """Remove the routes of these addresses; return outcomes only for those that could not be removed."""
        goals = [_Goal(address) for address in addresses]
        await self._remove_routes(goals)
        return {goal.address: goal.outcome for goal in goals if goal.outcome is not None}

    async def _find_gateways(self, vias: Sequence[str]) -> None:
        """Find the interface behind which each next hop is, or why the next hop cannot be used."""
        asked = [via for via in vias if not isinstance(self._gateways.get(via), Gateway)]
        unknown = [via for via in asked if is_canonical(via)]
        self._gateways |= dict.fromkeys((via for via in asked if via not in unknown), _NOT_CANONICAL)
        answers = await self._exchange([wire.lookup_route(via) for via in unknown])
        for via, answer in zip(unknown, answers, strict=True):
            self._gateways[via] = _gateway(via, answer)

    async def _add_hops(self, vias: Sequence[str]) -> None:
        known = (found for via in vias if isinstance(found := self._gateways[via], Gateway))
        await self._make_hops([gateway for gateway in known if self.state.hop_id(gateway) is None])

    async def _add_twins(self, goals: Iterable[_Goal]) -> None:
        """Make a second next hop for each gateway that is the only one of an address.

        The kernel does not note the traffic of a group with one member, so all its buckets seem idle, and live flows
        would move once a second node comes. With two members for the one gateway it does.
        """
        alone = {next(iter(goal.gateways.values())) for goal in goals if len(goal.gateways) == 1}
        missing = [gateway for gateway in alone if self.state.twin_id(gateway) is None]
        await self._make_hops(sorted(missing, key=lambda gateway: (gateway.via, gateway.interface)))

    async def _make_hops(self, missing: Sequence[Gateway]) -> None:
        numbers = [self.state.new_hop_id() for _ in missing]
        answers = await self._exchange(
            [
                wire.add_nexthop(number, gateway.via, gateway.interface, self._place.protocol)
                for number, gateway in zip(numbers, missing, strict=True)
            ]
        )
        for number, gateway, answer in zip(numbers, missing, answers, strict=True):
            if answer.error:
                self._gateways[gateway.via] = _why(answer)
                self.outdated = self.outdated or answer.error == errno.EEXIST
            else:
                self.state.put_hop(number, gateway)

    def _choose_members(self, goal: _Goal, path_set: PathSet | None) -> None:
        if path_set is None or path_set.withdraw:
            goal.outcome = Outcome("withdrawn")
            return
        if not forwards(path_set):
            goal.outcome = Outcome("programmed", {}, NO_CLIENT_ADMITTED)
            return
        for hop in path_set.next_hops:
            if hop.weight < 1:
                continue
            gateway = self._gateways[hop.via] if hop.via else "has no address of this family"
            if isinstance(gateway, Gateway):
                goal.weights[hop.node] = hop.weight
                goal.members[hop.node] = number = self.state.hop_id(gateway) or 0
                goal.gateways[number] = gateway
            else:
                goal.lost.append(f"{hop.node} ({hop.via or 'no address'}): {gateway}")
        if goal.lost and not goal.members:
            goal.outcome = Outcome("failed", {}, f"no next hop can be used; {_listed(goal.lost)}")
        elif not goal.members:
            goal.outcome = Outcome("programmed")

    async def _set_groups(self, goals: Sequence[_Goal]) -> None:
        """Bring the groups of these addresses up to date, and route through them."""
        chosen: list[tuple[_Goal, int, Members, bool]] = []
        for goal in goals:
            group = self.state.group_id(goal.address)
            members = self._members(goal, self.state.groups.get(group, ()) if group is not None else ())
            number = group if group is not None else self.state.new_group_id()
            chosen.append((goal, number, members, group is not None))
        due = [one for one in chosen if self.state.groups.get(one[1]) != one[2]]
        answers = await self._exchange(
            [
                wire.set_group(number, members, self._place.protocol, RESILIENCE, replace=exists)
                for _, number, members, exists in due
            ]
        )
        too_heavy = False
        for (goal, number, members, _), answer in zip(due, answers, strict=True):
            if not answer.error:
                self.state.put_group(number, members)
                continue
            if answer.error == errno.EINVAL and max(weight for _, weight in members) > MAX_WEIGHT_8_BIT:
                too_heavy = True
            self._failed(goal, "its group cannot be set", answer)
        if too_heavy and self.max_weight > MAX_WEIGHT_8_BIT:
            _logger.warning("this kernel refuses weights over 256: larger ones are scaled down from now on")
            self.max_weight = MAX_WEIGHT_8_BIT
            for goal in goals:
                goal.outcome = None
            await self._set_groups(goals)
            return
        await self._add_routes([(goal, number) for goal, number, _, _ in chosen if goal.outcome is None])

    def _members(self, goal: _Goal, before: Members) -> Members:
        """Return ids with weights. A gateway that is alone, or has its twin in the group already, counts with both."""
        twins = self._twins(goal, before)
        weights = self._scaled(goal, self.max_weight // 2 if twins else self.max_weight)
        if not twins:
            return tuple(sorted(weights.items()))
        doubled = {number: weight * (1 if number in twins else 2) for number, weight in weights.items()}
        return tuple(sorted({**doubled, **{twin: weights[number] for number, twin in twins.items()}}.items()))

    def _twins(self, goal: _Goal, before: Members) -> dict[int, int]:
        """Return the twins that the group needs, by the id of the first. One that has flows must not leave."""
        there = {number for number, _ in before}
        found = {number: self.state.twin_id(gateway) for number, gateway in goal.gateways.items()}
        return {
            number: twin
            for number, twin in found.items()
            if twin is not None and (twin in there or len(goal.gateways) == 1)
        }

    def _scaled(self, goal: _Goal, limit: int) -> dict[int, int]:
        total: dict[int, int] = {}
        for node, number in goal.members.items():  # two nodes behind one address add up
            total[number] = total.get(number, 0) + goal.weights[node]
        return scaled(total, limit)

    async def _add_routes(self, goals: Sequence[tuple[_Goal, int]]) -> None:
        due = [(goal, number) for goal, number in goals if self.state.routes.get(goal.address) != number]
        answers = await self._exchange(
            [
                wire.set_route(
                    goal.address,
                    number,
                    self._place.table,
                    self._place.protocol,
                    replace=goal.address in self.state.routes,
                )
                for goal, number in due
            ]
        )
        for (goal, number), answer in zip(due, answers, strict=True):
            if answer.error == errno.EEXIST:
                self._failed(goal, "a route to it that is not LedgerLB's is in the way", answer)
            elif answer.error:
                self._failed(goal, "its route cannot be set", answer)
            else:
                self.state.drop_route(goal.address)
                self.state.put_route(goal.address, number)
        for goal, number in goals:
            goal.outcome = goal.outcome or self._programmed(goal, self.state.groups[number])

    def _programmed(self, goal: _Goal, members: Members) -> Outcome:
        real = self._scaled(goal, self.max_weight // 2 if len(members) > len(goal.gateways) else self.max_weight)
        asked = sum(goal.weights.values())
        remarks = []
        if goal.lost:
            remarks.append(f"left out: {_listed(goal.lost)}")
        weights = dict(goal.weights)
        if sum(real.values()) != asked:
            remarks.append(f"weights are scaled down to {self.max_weight} at most")
            weights = {node: real[number] for node, number in goal.members.items()}
        return Outcome("programmed", weights, "; ".join(remarks))

    async def _remove_routes(self, goals: Sequence[_Goal]) -> None:
        """Remove the routes of these addresses; ``delete_unused`` removes their groups."""
        due = [goal for goal in goals if goal.address in self.state.routes]
        answers = await self._exchange(
            [
                wire.delete_route(
                    goal.address, self.state.routes[goal.address], self._place.table, self._place.protocol
                )
                for goal in due
            ]
        )
        for goal, answer in zip(due, answers, strict=True):
            if answer.error and answer.error not in _GONE:
                self._failed(goal, "its route cannot be removed", answer)
            else:
                self.state.drop_route(goal.address)

    async def delete_unused(self) -> None:
        """Delete groups without a route, then next hops without a group. The next reconcile retries what failed."""
        await self._delete(list(self.state.unused_groups()), self.state.drop_group)
        await self._delete(list(self.state.unused_hops()), self.state.drop_hop)

    async def _delete(self, numbers: Sequence[int], drop: Callable[[int], None]) -> None:
        answers = await self._exchange([wire.delete_nexthop(number) for number in numbers])
        for number, answer in zip(numbers, answers, strict=True):
            if answer.error and answer.error not in _GONE:
                _logger.warning("a next-hop object cannot be removed", id=number, error=_why(answer))
            else:
                drop(number)

    def _failed(self, goal: _Goal, what: str, answer: Answer) -> None:
        goal.outcome = Outcome("failed", {}, f"{what}: {_why(answer)}")
        self.outdated = self.outdated or answer.error in _OUTDATED

    async def _exchange(self, messages: Sequence[wire.Message]) -> list[Answer]:
        if not messages:
            return []
        try:
            return await self._place.netlink.exchange(messages)
        except DataPathError:
            self.outdated = True  # the kernel may have done some of it
            raise


def _gateway(via: str, answer: Answer) -> Gateway | str:
    """Return the next hop as the kernel reaches it, or why the address cannot be a next hop."""
    if answer.error or not answer.replies:
        return _why(answer)
    route = wire.route_of(answer.replies[0].body)
    if route.kind == wire.LOCAL:
        return "is an address of this machine"
    if route.kind != wire.UNICAST or not route.interface:
        return "cannot be reached from here"
    if route.gateway:
        return f"is not directly connected (it is behind {route.gateway})"
    return Gateway(via, route.interface)


def _why(answer: Answer) -> str:
    return answer.text or (os.strerror(answer.error) if answer.error else "the kernel gave no answer")


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _NAMED_IN_MESSAGE
    return ", ".join(items[:_NAMED_IN_MESSAGE]) + (f" and {more} more" if more > 0 else "")
