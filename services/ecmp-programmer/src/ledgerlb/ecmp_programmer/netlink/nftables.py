"""What the kernel tells about its nftables: the generation id, and who changed which table.

The generation id counts the transactions of the network namespace, by any program. Layouts are those of
<linux/netfilter/nfnetlink.h> and <linux/netfilter/nf_tables.h>.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from ledgerlb.core.errors import DataPathError
from ledgerlb.ecmp_programmer.netlink import wire
from ledgerlb.ecmp_programmer.netlink.socket import open_event_socket

SECONDS: Final = 5.0

_NETLINK_NETFILTER: Final = 12
_GROUP_NFTABLES: Final = 7
_NFTABLES: Final = 10 << 8
_NEWGEN: Final = _NFTABLES | 15
_GETGEN: Final = _NFTABLES | 16
_GENERAL: Final = struct.pack("=BBH", 0, 0, 0)
_GENERAL_BYTES: Final = 4
_TABLE_NAME: Final = 1
"""The attribute that names the table, in messages about tables, chains, rules, sets and elements alike."""
_GEN_ID: Final = 1
_LARGEST_DATAGRAM: Final = 1 << 20
_MOST_DATAGRAMS: Final = 100_000
"""More than the receive buffer holds: a socket that is broken for good ends the loop, too."""


def open_socket(*, events: bool) -> socket.socket:
    """Open a socket for queries or for events, in the namespace of the calling thread. Raises OSError."""
    if events:
        return open_event_socket((_GROUP_NFTABLES,), _NETLINK_NETFILTER)
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    opened.bind((0, 0))
    opened.settimeout(SECONDS)
    return opened


class Generation:
    """Asks for the generation id. The kernel answers at once, so this does not wait."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._sequence = 0

    def number(self) -> int:
        """Return the number of the last transaction; raises DataPathError."""
        self._sequence += 1
        try:
            self._socket.send(wire.frame(wire.Message(_GETGEN, 0, _GENERAL), self._sequence))
            while True:
                for reply in wire.replies(self._socket.recv(_LARGEST_DATAGRAM)):
                    if reply.sequence != self._sequence:
                        continue
                    number, text = wire.error_of(reply) if reply.type == wire.NLMSG_ERROR else (0, "")
                    if number:
                        raise DataPathError(f"nftables cannot be asked for its generation: errno {number} {text}")
                    if reply.type == _NEWGEN:
                        found = wire.attributes(reply.body, _GENERAL_BYTES)
                        return int.from_bytes(found[_GEN_ID], "big")
        except OSError as error:
            raise DataPathError(f"nftables cannot be asked for its generation: {error}") from error

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()


class TableWatch:
    """Tells whether a table was changed; read without waiting."""

    def __init__(self, opened: socket.socket, table: str) -> None:
        self._socket = opened
        self._table = table.encode() + b"\0"

    def touched(self) -> bool:
        """Return whether anything in the table changed since the last call; True where events were lost."""
        found = False
        while True:
            try:
                data = self._socket.recv(_LARGEST_DATAGRAM)
            except BlockingIOError:
                return found
            except OSError:
                return self._lost()
            found = found or any(
                reply.type != _NEWGEN and wire.attributes(reply.body, _GENERAL_BYTES).get(_TABLE_NAME) == self._table
                for reply in wire.replies(data)
            )

    def _lost(self) -> bool:
        """Empty the queue: what it still holds is older than the next look at the table."""
        for _ in range(_MOST_DATAGRAMS):
            try:
                self._socket.recv(_LARGEST_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                continue  # more events were lost meanwhile
        return True

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()
