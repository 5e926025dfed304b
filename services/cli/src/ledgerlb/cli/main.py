"""The ``ledgerlb`` command, also installed as ``kubectl-ledgerlb``.

Loading all commands takes seconds (they reach the Kafka and Kubernetes clients), so this module knows only their names
and one line about each. A command's own module is loaded when that command is run, or its help or completion is asked.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ledgerlb.cli.console import INTERNAL_ERROR, program_version, say
from ledgerlb.cli.lazy import COMMANDS, LazyCommand, spare_pydantic


class _Commands(TyperGroup):
    """The root command: its subcommands are placeholders until one of them is used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {entry.name: LazyCommand(entry) for entry in COMMANDS}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the root's own options."""
        spare_pydantic(self.get_params(ctx))
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="ledgerlb",
    cls=_Commands,
    help="LedgerLB: an event-sourced LoadBalancer controller for Kubernetes.",
    epilog="ledgerlb COMMAND --help shows the options of a command and its exit statuses.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"ledgerlb {program_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line. A bug ends it with a traceback and its own exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal with a small character set shows an escape instead of ending the command.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app()
    except Exception:  # noqa: BLE001 - reported in full, with text from the cluster escaped
        import traceback  # noqa: PLC0415 - only after a bug

        for line in traceback.format_exc().splitlines():
            say(line, err=True)
        sys.exit(INTERNAL_ERROR)


if __name__ == "__main__":
    main()
