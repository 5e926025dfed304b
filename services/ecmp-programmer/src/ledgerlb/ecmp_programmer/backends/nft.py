"""Debian's ``nft``, run once for each transaction, in a network namespace."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import Final

from ledgerlb.core.errors import DataPathError
from ledgerlb.ecmp_programmer.netlink.namespace import within

SECONDS: Final = 120.0
"""The longest that one transaction may take; 1,000 addresses with 251 slots each take two seconds."""
_PLACES: Final = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_LONGEST_MESSAGE: Final = 300


class Refused(DataPathError):
    """nft or the kernel refused a transaction, and nothing of it was done."""


async def commit(text: str, netns: str) -> None:
    """Run one transaction, all or nothing. Raises Refused, or DataPathError where nft cannot be run at all."""
    await asyncio.to_thread(within, netns, lambda: _run(text))


def _run(text: str) -> None:
    program = shutil.which("nft") or shutil.which("nft", path=_PLACES)
    if program is None:
        raise DataPathError("the program nft is missing: install the package nftables")
    try:
        # A child belongs to the namespace of the thread that starts it.
        done = subprocess.run(  # noqa: S603 - a fixed program, whose input is checked text
            [program, "-f", "-"], input=text, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataPathError(f"nft did not end in {SECONDS:.0f} s; reading the kernel again") from error
    except OSError as error:
        raise DataPathError(f"nft cannot be run: {error}") from error
    if done.returncode == 0:
        return
    message = " ".join(done.stderr.split())[:_LONGEST_MESSAGE]
    if "Operation not permitted" in message or "must be root" in message:
        raise DataPathError("the kernel refuses to change nftables: the agent needs CAP_NET_ADMIN")
    raise Refused(f"nft refuses: {message}")
