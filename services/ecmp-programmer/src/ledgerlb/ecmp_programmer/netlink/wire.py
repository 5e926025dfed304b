"""rtnetlink messages as bytes: next-hop objects, groups of them, routes that use a group, route lookups.

Encoders return a ``Message`` (type, flags, body) that ``NetlinkSocket`` numbers and sends; decoders take the body of a
reply. Layouts are those of <linux/netlink.h>, <linux/rtnetlink.h> and <linux/nexthop.h>; integers are in host order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledgerlb.core.addresses import packed, unpacked

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

NEWROUTE: Final = 24
DELROUTE: Final = 25
GETROUTE: Final = 26
NEWNEXTHOP: Final = 104
DELNEXTHOP: Final = 105
GETNEXTHOP: Final = 106

REQUEST: Final = 0x001
ACK: Final = 0x004
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
CREATE: Final = 0x400
DUMP: Final = 0x300
DUMP_INTERRUPTED: Final = 0x010
CAPPED: Final = 0x100
"""On an error reply: the request is not repeated behind its header."""
ERROR_ATTRIBUTES: Final = 0x200

GROUP_LINK: Final = 1
GROUP_IPV4_ADDRESS: Final = 5
GROUP_IPV6_ADDRESS: Final = 9
GROUP_NEXTHOP: Final = 32

MAIN_TABLE: Final = 254
UNICAST: Final = 1
LOCAL: Final = 2

_AF_INET: Final = 2
_AF_INET6: Final = 10
_NESTED: Final = 0x8000
_BYTE_ORDER: Final = 0x4000
_MAX_SHORT_TABLE: Final = 255
_COMPAT_TABLE: Final = 252

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NEXTHOP: Final = struct.Struct("=BBBBI")
_MEMBER: Final = struct.Struct("=IBBH")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_U32: Final = struct.Struct("=I")
_U16: Final = struct.Struct("=H")

_NHA_ID, _NHA_GROUP, _NHA_GROUP_TYPE, _NHA_OIF, _NHA_GATEWAY, _NHA_RESILIENT = 1, 2, 3, 5, 6, 12
_RESILIENT_TYPE: Final = 1
_BUCKETS, _IDLE_TIMER, _UNBALANCED_TIMER = 1, 2, 3
_TICKS_A_SECOND: Final = 100
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE, _RTA_NH_ID = 1, 4, 5, 15, 30
_NLMSGERR_MSG: Final = 1


@dataclass(frozen=True, slots=True)
class Message:
    """A request without its header; REQUEST and ACK are added to ``flags`` when it is sent."""

    type: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A message from the kernel; ``port`` is the socket that caused it (0: the kernel itself)."""

    type: int
    flags: int
    sequence: int
    port: int
    body: bytes


@dataclass(frozen=True, slots=True)
class NextHopObject:
    """A next-hop object (with gateway and interface) or a group of them (with ``members``: id, weight).

    A ``resilient`` group keeps flows on their member while others come and go.
    """

    id: int
    protocol: int
    gateway: str = ""
    interface: int = 0
    members: tuple[tuple[int, int], ...] = ()
    resilient: bool = False


@dataclass(frozen=True, slots=True)
class Resilience:
    """How a resilient group spreads flows: over so many buckets, of which a busy one (used within ``idle_seconds``) is
    never taken from a member that stays.
    """

    buckets: int
    idle_seconds: int


@dataclass(frozen=True, slots=True)
class RouteObject:
    """A route. ``kind`` is an RTN_ number; ``nexthop`` the id of its next-hop object, 0 where it uses none."""

    destination: str
    length: int
    protocol: int
    table: int
    kind: int
    nexthop: int = 0
    interface: int = 0
    gateway: str = ""


def frame(message: Message, sequence: int) -> bytes:
    """The message with its header, padded."""
    flags = message.flags | REQUEST | (0 if message.flags & DUMP == DUMP and message.type in _GETTERS else ACK)
    return _HEADER.pack(_HEADER.size + len(message.body), message.type, flags, sequence, 0) + _padded(message.body)


_GETTERS: Final = (GETROUTE, GETNEXTHOP)


def replies(data: bytes) -> Iterator[Reply]:
    """The messages of one datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield Reply(kind, flags, sequence, port, data[offset + _HEADER.size : offset + length])
        offset += (length + 3) & ~3


def error_of(reply: Reply) -> tuple[int, str]:
    """(errno, the kernel's own words or empty) of an NLMSG_ERROR reply; errno 0 is an acknowledgement."""
    (number,) = struct.unpack_from("=i", reply.body)
    if not reply.flags & ERROR_ATTRIBUTES:
        return -number, ""
    start = 4 + _HEADER.size
    if not reply.flags & CAPPED:
        (length,) = struct.unpack_from("=I", reply.body, 4)
        start = 4 + ((length + 3) & ~3)
    text = attributes(reply.body, start).get(_NLMSGERR_MSG, b"")
    return -number, text.rstrip(b"\0").decode(errors="replace")


def add_nexthop(number: int, gateway: str, interface: int, protocol: int) -> Message:
    """A new next-hop object; EEXIST where the id is taken."""
    address = _packed(gateway)
    body = _NEXTHOP.pack(_family(address), 0, protocol, 0, 0)
    body += attribute(_NHA_ID, _U32.pack(number))
    body += attribute(_NHA_OIF, _U32.pack(interface)) + attribute(_NHA_GATEWAY, address)
    return Message(NEWNEXTHOP, CREATE | EXCLUSIVE, body)


def set_group(
    number: int, members: Sequence[tuple[int, int]], protocol: int, resilience: Resilience, *, replace: bool
) -> Message:
    """A resilient, weighted group of next-hop objects (weights from 1), new or in place of the one with this id, in one
    step. The buckets of a group cannot change.
    """
    body = _NEXTHOP.pack(0, 0, protocol, 0, 0) + attribute(_NHA_ID, _U32.pack(number))
    packed = (_MEMBER.pack(member, (weight - 1) & 0xFF, (weight - 1) >> 8, 0) for member, weight in members)
    body += attribute(_NHA_GROUP, b"".join(packed)) + attribute(_NHA_GROUP_TYPE, _U16.pack(_RESILIENT_TYPE))
    timers = attribute(_IDLE_TIMER, _U32.pack(resilience.idle_seconds * _TICKS_A_SECOND))
    timers += attribute(_UNBALANCED_TIMER, _U32.pack(0))
    body += attribute(_NHA_RESILIENT | _NESTED, attribute(_BUCKETS, _U16.pack(resilience.buckets)) + timers)
    return Message(NEWNEXTHOP, CREATE | (REPLACE if replace else EXCLUSIVE), body)


def delete_nexthop(number: int) -> Message:
    """Remove an object or group; the kernel takes it out of its groups, and removes routes that use it."""
    return Message(DELNEXTHOP, 0, _NEXTHOP.pack(0, 0, 0, 0, 0) + attribute(_NHA_ID, _U32.pack(number)))


def dump_nexthops() -> Message:
    """Every next-hop object and group of the namespace."""
    return Message(GETNEXTHOP, DUMP, _NEXTHOP.pack(0, 0, 0, 0, 0))


def set_route(address: str, nexthop: int, table: int, protocol: int, *, replace: bool) -> Message:
    """A host route through a next-hop object; EEXIST where there is one already, unless it is to be replaced."""
    body = _route(address, table, protocol) + attribute(_RTA_NH_ID, _U32.pack(nexthop))
    return Message(NEWROUTE, CREATE | (REPLACE if replace else EXCLUSIVE), body)


def delete_route(address: str, nexthop: int, table: int, protocol: int) -> Message:
    """Remove the host route of this protocol through this next-hop object, and no other."""
    return Message(DELROUTE, 0, _route(address, table, protocol) + attribute(_RTA_NH_ID, _U32.pack(nexthop)))


def lookup_route(address: str) -> Message:
    """How this machine would reach the address."""
    packed = _packed(address)
    body = _ROUTE.pack(_family(packed), len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    return Message(GETROUTE, 0, body + attribute(_RTA_DST, packed))


def dump_routes(family: int, table: int, protocol: int) -> Message:
    """Routes of one family (4 or 6), table and protocol; kernels without strict checking answer with more than that."""
    number = _AF_INET if family == 4 else _AF_INET6
    body = _ROUTE.pack(number, 0, 0, 0, _short(table), protocol, 0, 0, 0)
    return Message(GETROUTE, DUMP, body + attribute(_RTA_TABLE, _U32.pack(table)))


def nexthop_of(body: bytes) -> NextHopObject:
    """Decode RTM_NEWNEXTHOP or RTM_DELNEXTHOP."""
    _, _, protocol, _, _ = _NEXTHOP.unpack_from(body)
    found = attributes(body, _NEXTHOP.size)
    members = tuple(
        (member, low + (high << 8) + 1) for member, low, high, _ in _MEMBER.iter_unpack(found.get(_NHA_GROUP, b""))
    )
    return NextHopObject(
        id=_number(found, _NHA_ID),
        protocol=protocol,
        gateway=_address(found, _NHA_GATEWAY),
        interface=_number(found, _NHA_OIF),
        members=members,
        resilient=found.get(_NHA_GROUP_TYPE) == _U16.pack(_RESILIENT_TYPE),
    )


def route_of(body: bytes) -> RouteObject:
    """Decode RTM_NEWROUTE or RTM_DELROUTE."""
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(body)
    found = attributes(body, _ROUTE.size)
    return RouteObject(
        destination=_address(found, _RTA_DST) or ("0.0.0.0" if family == _AF_INET else "::"),  # noqa: S104 - a prefix
        length=length,
        protocol=protocol,
        table=_number(found, _RTA_TABLE) or table,
        kind=kind,
        nexthop=_number(found, _RTA_NH_ID),
        interface=_number(found, _RTA_OIF),
        gateway=_address(found, _RTA_GATEWAY),
    )


def _route(address: str, table: int, protocol: int) -> bytes:
    packed = _packed(address)
    head = _ROUTE.pack(_family(packed), len(packed) * 8, 0, 0, _short(table), protocol, 0, UNICAST, 0)
    return head + attribute(_RTA_DST, packed) + attribute(_RTA_TABLE, _U32.pack(table))


def _short(table: int) -> int:
    return table if table <= _MAX_SHORT_TABLE else _COMPAT_TABLE


def _packed(address: str) -> bytes:
    return packed(address)


def _family(packed: bytes) -> int:
    return _AF_INET if len(packed) == 4 else _AF_INET6


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def attribute(kind: int, data: bytes) -> bytes:
    """Return one attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + _padded(data)


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """Return the attributes that begin at an offset, by kind; of two of one kind the last."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & ~(_NESTED | _BYTE_ORDER)] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _number(found: dict[int, bytes], kind: int) -> int:
    data = found.get(kind)
    return _U32.unpack(data)[0] if data is not None and len(data) == _U32.size else 0


def _address(found: dict[int, bytes], kind: int) -> str:
    data = found.get(kind, b"")
    return unpacked(data)
