"""The ecmp-programmer process."""

from __future__ import annotations

from ledgerlb.ecmp_programmer.assemble import ProgrammerPorts, assemble
from ledgerlb.ecmp_programmer.settings import programmer_settings
from ledgerlb.runtime.serve import run, serve
from ledgerlb.runtime.settings import domain_settings, process_settings


async def _serve() -> int:
    process = process_settings()
    parts = assemble(domain_settings(process), programmer_settings(), ProgrammerPorts())
    return await serve("ecmp-programmer", [parts], process)


def main() -> None:
    """Run the ecmp-programmer until it is stopped; the exit status tells whether it ended well."""
    raise SystemExit(run(_serve()))


if __name__ == "__main__":
    main()
