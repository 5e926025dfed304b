"""Connection tracking: which tracked flows go to which backend, and forgetting some of them.

Conntrack keeps a UDP flow on the backend of its first datagram for as long as datagrams come, so the flows of a removed
backend must be forgotten. Layouts are those of <linux/netfilter/nfnetlink_conntrack.h>. All functions block; call them
in a thread.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ledgerlb.core.addresses import family_of, packed, unpacked
from ledgerlb.core.errors import DataPathError
from ledgerlb.core.paths.pathset import join_backend
from ledgerlb.ecmp_programmer.netlink import wire
from ledgerlb.ecmp_programmer.netlink.nftables import open_socket

PROTOCOLS: Final = {6: "tcp", 17: "udp", 132: "sctp"}

_GET: Final = (1 << 8) | 1
_DELETE: Final = (1 << 8) | 2
_GENERAL: Final = struct.Struct("=BBH")
_FAMILY: Final = {4: 2, 6: 10}
_ORIGINAL, _REPLY, _ID, _FILTER = 1, 2, 12, 25
_IP, _PROTOCOL = 1, 2
_SOURCE: Final = {4: 1, 6: 3}
_DESTINATION: Final = {4: 2, 6: 4}
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_ORIGINAL_FLAGS: Final = 1
_BY_DESTINATION: Final = 1 << 1
_NESTED: Final = 0x8000
_LARGEST_DATAGRAM: Final = 1 << 20
_MOST_DATAGRAMS: Final = 1 << 20
_ENOENT: Final = 2


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked flow to ``address`` and ``port``; ``backend`` (``ip:port``) answers it. ``key`` identifies it."""

    address: str
    protocol: str
    port: int
    source_port: int
    backend: str
    key: bytes


def forget(address: str, unwanted: Callable[[Flow], bool]) -> int:
    """Forget the unwanted flows to an address; return how many. Raises DataPathError."""
    try:
        with open_socket(events=False) as opened:
            family = family_of(address)
            found = [flow for flow in _dump(opened, family, address) if unwanted(flow)]
            _delete(opened, family, found)
            return len(found)
    except OSError as error:
        raise DataPathError(f"tracked flows to {address} cannot be read: {error}") from error


def flows() -> list[Flow]:
    """Return every tracked flow of TCP, UDP and SCTP. Raises DataPathError."""
    try:
        with open_socket(events=False) as opened:
            return [flow for family in _FAMILY for flow in _dump(opened, family, "")]
    except OSError as error:
        raise DataPathError(f"tracked flows cannot be read: {error}") from error


def _dump(opened: socket.socket, family: int, address: str) -> Iterator[Flow]:
    """Yield the flows of a family; with an address, those whose first packet went there."""
    body = _GENERAL.pack(_FAMILY[family], 0, 0)
    if address:
        # Kernels before 5.8 do not know the filter and answer with everything.
        body += wire.attribute(_FILTER | _NESTED, wire.attribute(_ORIGINAL_FLAGS, struct.pack("=I", _BY_DESTINATION)))
        place = wire.attribute(_IP | _NESTED, wire.attribute(_DESTINATION[family], packed(address)))
        body += wire.attribute(_ORIGINAL | _NESTED, place)
    opened.send(wire.frame(wire.Message(_GET, wire.DUMP, body), 1))
    for _ in range(_MOST_DATAGRAMS):
        for reply in wire.replies(opened.recv(_LARGEST_DATAGRAM)):
            if reply.type == wire.NLMSG_DONE:
                return
            if reply.type == wire.NLMSG_ERROR:
                number, text = wire.error_of(reply)
                raise DataPathError(f"the kernel refuses to list tracked flows: errno {number} {text}")
            flow = _flow(family, reply.body)
            if flow is not None and address in ("", flow.address):
                yield flow


def _flow(family: int, body: bytes) -> Flow | None:
    found = wire.attributes(body, _GENERAL.size)
    original, reply = wire.attributes(found.get(_ORIGINAL, b""), 0), wire.attributes(found.get(_REPLY, b""), 0)
    target = wire.attributes(original.get(_IP, b""), 0).get(_DESTINATION[family], b"")
    source = wire.attributes(reply.get(_IP, b""), 0).get(_SOURCE[family], b"")
    there, back = (wire.attributes(one.get(_PROTOCOL, b""), 0) for one in (original, reply))
    protocol = PROTOCOLS.get(there.get(_NUMBER, b"\0")[0])
    if protocol is None or not target or not source:
        return None
    port, answering = _port(there, _DESTINATION_PORT), _port(back, _SOURCE_PORT)
    key = wire.attribute(_ORIGINAL | _NESTED, found[_ORIGINAL])
    if _ID in found:
        key += wire.attribute(_ID, found[_ID])
    client = _port(there, _SOURCE_PORT)
    return Flow(unpacked(target), protocol, port, client, join_backend(unpacked(source), answering), key)


def _port(found: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(found.get(kind, b""), "big")


def _delete(opened: socket.socket, family: int, found: Iterable[Flow]) -> None:
    for sequence, flow in enumerate(found, start=2):
        body = _GENERAL.pack(_FAMILY[family], 0, 0) + flow.key
        opened.send(wire.frame(wire.Message(_DELETE, 0, body), sequence))
        answer = next(reply for reply in wire.replies(opened.recv(_LARGEST_DATAGRAM)) if reply.sequence == sequence)
        number, text = wire.error_of(answer)
        if number not in (0, _ENOENT):
            raise DataPathError(f"a tracked flow to {flow.address} cannot be forgotten: errno {number} {text}")
