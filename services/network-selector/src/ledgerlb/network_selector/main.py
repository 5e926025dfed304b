"""The network-selector process."""

from __future__ import annotations

from ledgerlb.network_selector.assemble import assemble
from ledgerlb.runtime.parts import Ports
from ledgerlb.runtime.serve import run, serve
from ledgerlb.runtime.settings import domain_settings, process_settings


async def _serve() -> int:
    process = process_settings()
    return await serve("network-selector", [assemble(domain_settings(process), Ports())], process)


def main() -> None:
    """Run until stopped; the exit status tells whether it ended well."""
    raise SystemExit(run(_serve()))
