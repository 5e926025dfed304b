"""The ``ledgerlb`` command, also installed as ``kubectl-ledgerlb``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import typer

from ledgerlb.cli.commands import topics
from ledgerlb.cli.commands.explain import explain
from ledgerlb.cli.commands.history import history
from ledgerlb.cli.commands.ledger import tail, verify
from ledgerlb.cli.commands.reselect import reselect
from ledgerlb.cli.commands.run import run
from ledgerlb.cli.commands.services import services
from ledgerlb.cli.commands.simulate import simulate
from ledgerlb.cli.console import Output, OutputOption, guarded, print_json
from ledgerlb.runtime.logging import hush

app = typer.Typer(
    name="ledgerlb",
    help="LedgerLB: an event-sourced LoadBalancer controller for Kubernetes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(services)
app.command()(history)
app.command()(explain)
app.command()(tail)
app.command()(verify)
app.command()(simulate)
app.command()(reselect)
app.add_typer(topics.app, name="topics")


@app.command("version")
@guarded
def show_version(output: OutputOption = Output.text) -> None:
    """Show the version."""
    found = program_version()
    if output is Output.json:
        print_json({"version": found})
        return
    typer.echo(f"ledgerlb {found}")


def program_version() -> str:
    """The installed version."""
    try:
        return version("ledgerlb-cli")
    except PackageNotFoundError:
        return "unknown"


def main() -> None:
    """Run the command line."""
    hush()
    app()


if __name__ == "__main__":
    main()
