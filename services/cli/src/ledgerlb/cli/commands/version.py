"""``ledgerlb version``: the program's version."""

from __future__ import annotations

from ledgerlb.cli.console import Output, OutputOption, guarded, print_json, program_version, say


@guarded
def version(output: OutputOption = Output.text) -> None:
    """Show the version."""
    found = program_version()
    if output is Output.json:
        print_json({"program": found})
    else:
        say(f"ledgerlb {found}")
