"""The IPAM process."""

from __future__ import annotations

from ledgerlb.ipam.assemble import IpamPorts, assemble
from ledgerlb.runtime.serve import run, serve
from ledgerlb.runtime.settings import domain_settings, process_settings


async def _serve() -> int:
    process = process_settings()
    return await serve("ipam", [assemble(domain_settings(process), IpamPorts())], process)


def main() -> None:
    """Run until stopped. The exit status is 0 if it ended well."""
    raise SystemExit(run(_serve()))
