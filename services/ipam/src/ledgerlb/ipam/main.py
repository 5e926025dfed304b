"""The IPAM process: settings, log, one processor."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import UTC, datetime
from importlib.metadata import version

from ledgerlb.ipam.processor import Ipam
from ledgerlb.runtime.serve import run, serve
from ledgerlb.runtime.settings import domain_settings, process_settings


def decider_name() -> str:
    """How this process signs its entries: host, process and start (two replicas never share it), and version."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}/{version('ledgerlb-ipam')}"


async def _serve() -> int:
    settings = process_settings()
    ipam = Ipam(domain_settings(settings), clock=lambda: datetime.now(UTC), decider=decider_name())
    return await serve("ipam", [ipam], settings)


def main() -> None:
    """Run until stopped; the exit status tells whether it ended well."""
    raise SystemExit(run(_serve()))
