"""The watcher process, on an API server or on a folder of manifests."""

from __future__ import annotations

from ledgerlb.runtime.serve import run, serve
from ledgerlb.runtime.settings import domain_settings, process_settings
from ledgerlb.watcher.assemble import WatcherPorts, assemble
from ledgerlb.watcher.cluster import open_cluster
from ledgerlb.watcher.settings import watcher_settings


def main() -> None:
    """Run until stopped. The exit status is 0 if it ended well."""
    raise SystemExit(run(_serve()))


async def _serve() -> int:
    process, settings = process_settings(), watcher_settings()
    domain = domain_settings(process)
    async with open_cluster(settings) as cluster:
        parts = assemble(domain, settings, WatcherPorts(**cluster._asdict()))
        return await serve("watcher", [parts], process)


if __name__ == "__main__":
    main()
