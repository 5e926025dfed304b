"""An rtnetlink socket for asyncio: many requests in flight, each with its own acknowledgement.

Bounds: the socket sends at most ``WINDOW`` requests and ``WINDOW_BYTES`` before it waits for their answers, and waits
``ANSWER_SECONDS`` for an answer. A lost answer (the kernel's receive buffer overflowed) is a DataPathError: the state
of the kernel is then unknown, and the caller dumps it again.

Concurrency: one caller at a time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ledgerlb.core.errors import DataPathError
from ledgerlb.ecmp_programmer.netlink import wire
from ledgerlb.ecmp_programmer.netlink.wire import Message, Reply

WINDOW: Final = 128
WINDOW_BYTES: Final = 128 * 1024
ANSWER_SECONDS: Final = 10.0
DUMP_TRIES: Final = 5

_RECEIVE_BUFFER: Final = 8 << 20
_SEND_BUFFER: Final = 1 << 20
_LARGEST_DATAGRAM: Final = 1 << 20
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_SOL_NETLINK: Final = 270
_CAP_ACK: Final = 10
_EXT_ACK: Final = 11
_GET_STRICT_CHECK: Final = 12
_ADD_MEMBERSHIP: Final = 1


@dataclass(slots=True)
class Answer:
    """The kernel's answer to one request: ``error`` is an errno (0: done), ``text`` the kernel's message, if any."""

    error: int = 0
    text: str = ""
    replies: list[Reply] = field(default_factory=list)


def open_request_socket() -> socket.socket:
    """Open a socket for requests, in the network namespace of the calling thread. Raises OSError."""
    opened = _open()
    opened.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
    opened.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
    opened.setsockopt(_SOL_NETLINK, _GET_STRICT_CHECK, 1)
    return opened


def open_event_socket(groups: Sequence[int], family: int = socket.NETLINK_ROUTE) -> socket.socket:
    """Open a socket that receives changes in the groups, in the calling thread's network namespace. Raises OSError."""
    opened = _open(family)
    for group in groups:
        opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return opened


def _open(family: int = socket.NETLINK_ROUTE) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
    opened.setblocking(False)
    for option, size in ((_SO_RCVBUFFORCE, _RECEIVE_BUFFER), (_SO_SNDBUFFORCE, _SEND_BUFFER)):
        try:
            opened.setsockopt(socket.SOL_SOCKET, option, size)
        except PermissionError:
            plain = socket.SO_RCVBUF if option == _SO_RCVBUFFORCE else socket.SO_SNDBUF
            opened.setsockopt(socket.SOL_SOCKET, plain, size)
    opened.bind((0, 0))
    return opened


class NetlinkSocket:
    """See module. ``port`` is the kernel's name for this socket, and marks the changes that it caused."""

    def __init__(self, opened: socket.socket, port: int) -> None:
        self._socket = opened
        self._sequence = 0
        self.port = port

    async def exchange(self, messages: Sequence[Message]) -> list[Answer]:
        """Send every message, in order, and return their answers. Raises DataPathError."""
        answers: list[Answer] = []
        while len(answers) < len(messages):
            answers += await self._exchange_window(messages, len(answers))
        return answers

    async def _exchange_window(self, messages: Sequence[Message], start: int) -> list[Answer]:
        frames: list[bytes] = []
        waiting: dict[int, Answer] = {}
        size = 0
        for message in messages[start : start + WINDOW]:
            framed = wire.frame(message, self._sequence + 1)
            if frames and size + len(framed) > WINDOW_BYTES:
                break
            self._sequence = (self._sequence + 1) & 0x7FFFFFFF
            frames.append(framed)
            size += len(framed)
            waiting[self._sequence] = Answer()
        answers = list(waiting.values())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.get_running_loop().sock_sendall(self._socket, b"".join(frames))
                while waiting:
                    for reply in await self._receive():
                        answer = waiting.get(reply.sequence)
                        if answer is None:
                            continue  # an answer to a request that timed out
                        if reply.type == wire.NLMSG_ERROR:
                            answer.error, answer.text = wire.error_of(reply)
                            del waiting[reply.sequence]
                        else:
                            answer.replies.append(reply)
        except TimeoutError as error:
            raise DataPathError(
                f"the kernel did not answer in {ANSWER_SECONDS:.0f} s; reading its tables again"
            ) from error
        except OSError as error:
            raise DataPathError(f"netlink: {error}; reading the kernel again") from error
        return answers

    async def dump(self, message: Message) -> list[Reply]:
        """Return the complete answer to a dump request. Raises DataPathError, also if the tables keep changing."""
        for _ in range(DUMP_TRIES):
            found, interrupted = await self._dump_once(message)
            if not interrupted:
                return found
        raise DataPathError(f"the kernel's tables changed during each of {DUMP_TRIES} dumps; reading them again")

    async def _dump_once(self, message: Message) -> tuple[list[Reply], bool]:
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        found: list[Reply] = []
        interrupted = False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.get_running_loop().sock_sendall(self._socket, wire.frame(message, self._sequence))
                while True:
                    for reply in await self._receive():
                        if reply.sequence != self._sequence:
                            continue
                        interrupted = interrupted or bool(reply.flags & wire.DUMP_INTERRUPTED)
                        if reply.type == wire.NLMSG_DONE:
                            return found, interrupted
                        if reply.type == wire.NLMSG_ERROR:
                            number, text = wire.error_of(reply)
                            raise DataPathError(f"the kernel refuses a dump: errno {number} {text}")
                        found.append(reply)
        except TimeoutError as error:
            raise DataPathError(f"a dump did not end in {ANSWER_SECONDS:.0f} s; trying again") from error
        except OSError as error:
            raise DataPathError(f"netlink: {error}; reading the kernel again") from error

    async def _receive(self) -> list[Reply]:
        return list(wire.replies(await asyncio.get_running_loop().sock_recv(self._socket, _LARGEST_DATAGRAM)))

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()


class EventSocket:
    """Changes by other programs than the one behind ``own_port``; read without waiting."""

    def __init__(self, opened: socket.socket, own_port: int) -> None:
        self._socket = opened
        self._own_port = own_port

    def changed(self) -> bool:
        """Return whether anything changed since the last call; also true if the kernel had to drop some changes."""
        found = False
        while True:
            try:
                data = self._socket.recv(_LARGEST_DATAGRAM)
            except BlockingIOError:
                return found
            except OSError:
                return True
            found = found or any(reply.port != self._own_port for reply in wire.replies(data))

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()
