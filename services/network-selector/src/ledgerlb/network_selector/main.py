"""The network-selector process: settings, log, one processor."""

from __future__ import annotations

from datetime import UTC, datetime

from ledgerlb.network_selector.processor import NetworkSelector
from ledgerlb.runtime.serve import run, serve
from ledgerlb.runtime.settings import domain_settings, process_settings


async def _serve() -> int:
    settings = process_settings()
    selector = NetworkSelector(domain_settings(settings), clock=lambda: datetime.now(UTC))
    return await serve("network-selector", [selector], settings)


def main() -> None:
    """Run until stopped; the exit status tells whether it ended well."""
    raise SystemExit(run(_serve()))
