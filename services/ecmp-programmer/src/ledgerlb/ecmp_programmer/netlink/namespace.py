"""Network namespaces: which one this process is in, and opening things in another one."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from ledgerlb.core.errors import DataPathError

_CLONE_NEWNET: Final = 0x40000000
_NAMED: Final = Path("/run/netns")

_T = TypeVar("_T")


def in_host_namespace() -> bool:
    """Return whether this process shares the network namespace of process 1; also true where it cannot find out.

    In a container with process ids of its own, process 1 is the container's, so the answer is always true there.
    """
    try:
        return Path("/proc/self/ns/net").readlink() == Path("/proc/1/ns/net").readlink()
    except OSError:
        pass  # the kernel hides the namespaces of a process with more capabilities than ours
    try:
        # Files under net/ belong to the namespace of the process, and no two namespaces share an inode there.
        return Path("/proc/self/net/dev").stat().st_ino == Path("/proc/1/net/dev").stat().st_ino
    except OSError:
        return True


def within(name: str, work: Callable[[], _T]) -> _T:
    """Run ``work`` in the namespace that ``ip netns`` knows by ``name`` (empty: the process's own); return its result.

    Sockets belong to the namespace in which they are opened, so the process itself need not move. Raises DataPathError
    where the namespace cannot be entered, and what ``work`` raises.
    """
    if not name:
        return work()

    def moved() -> _T:
        _enter(_NAMED / name)
        return work()

    # Only this thread changes its namespace, and it ends afterwards, so no other code runs in the wrong one.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(moved).result()


def _enter(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DataPathError(f"network namespace {path}: {error.strerror}; make it with ip netns add") from error
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise DataPathError(f"network namespace {path} cannot be entered: {reason}; CAP_SYS_ADMIN is needed")
    finally:
        os.close(descriptor)
