"""The table of commands, and placeholders that load a command's module when the command is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import typer
import typer.main
from typer.core import TyperCommand

from ledgerlb.cli.console import exit_statuses


@dataclass(frozen=True)
class Entry:
    """A command: its ``name``, with ``_`` for ``-``, is that of its module in ``ledgerlb.cli.commands`` and of its
    function (or, for a group, its Typer app) there, unless ``module`` is given. ``summary`` fits one line of the root's
    help; ``findings`` says what exit status 1 means.
    """

    name: str
    summary: str
    findings: str = ""
    module: str = ""


COMMANDS: Final = (
    Entry(
        "run",
        "Run all services in one process",
        "--until-settled ran out of time, --require-ready is not met, or a service failed",
    ),
    Entry("services", "Show Services: state, addresses, next hops, reasons"),
    Entry("networks", "Show external networks and how full they are"),
    Entry("paths", "Show how an address is reached, and by which agents"),
    Entry("history", "Show who held an address, or what a Service held"),
    Entry("explain", "Explain why a Service or a network is as it is"),
    Entry("tail", "Follow the ledger: one line per decision"),
    Entry("verify", "Check that the ledger keeps every promise", "the ledger breaks a promise"),
    Entry("heads", "Show the remembered heads of the ledger, or forget them"),
    Entry("keys", "Make, rotate and show the keys that sign the ledger"),
    Entry("repair", "Show damage of the ledger, and set it aside", "a network is damaged, and was not repaired"),
    Entry("simulate", "Run a scenario in virtual time, without a cluster", "an expectation is not met"),
    Entry("reselect", "Move a Service to a fresh choice of network", "a fresh choice would find no network"),
    Entry(
        "import",
        "Take over from MetalLB, Cilium, PureLB or kube-vip",
        "a Service would not keep its address",
        module="import_others",
    ),
    Entry("backup", "Copy an embedded log while it is in use"),
    Entry("restore", "Put a backup in the place of an embedded log"),
    Entry("confirm-deletions", "Let a mass deletion go on that the watcher holds back", "nothing is held back"),
    Entry(
        "release-all",
        "Take LedgerLB off all Services before an uninstall",
        "it was not confirmed, or something is left",
    ),
    Entry("topics", "Provision or check the topics of a log"),
    Entry("version", "Show the version"),
)


class LazyCommand(TyperCommand):
    """Represents a command in help, completion and suggestions, and loads it when it is used."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.name, help=entry.summary, rich_markup_mode=None)
        self._entry = entry
        self._loaded: Any = None

    def load(self) -> Any:
        """Return the command itself, a click command with its parameters."""
        if self._loaded is None:
            name = self._entry.name
            module = self._entry.module or name.replace("-", "_")
            found = getattr(import_module(f"ledgerlb.cli.commands.{module}"), module)
            app = found if isinstance(found, typer.Typer) else _app_of(found, self._entry)
            self._loaded = typer.main.get_command(app)
            self._loaded.name = name
        return self._loaded

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Go on with the command itself."""
        return self.load().make_context(info_name, args, parent=parent, **extra)


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spare_pydantic(self.get_params(ctx))
        return super().parse_args(ctx, args)


def _app_of(function: Any, entry: Entry) -> typer.Typer:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(entry.name, cls=_Command, epilog=exit_statuses(entry.findings))(function)
    return app


class _PlainValue:
    """Converts the text of an option or argument, in place of typer's conversion."""

    def __init__(self, convert: Callable[[Any], Any], choices: str) -> None:
        self._convert = convert
        self._choices = choices

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value; raises BadParameter, which typer shows as a usage error."""
        try:
            return None if value is None else self._convert(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not one of {self._choices}.", ctx=ctx, param=param) from None


def spare_pydantic(parameters: Iterable[Any]) -> None:
    """Convert text, paths, flags and choices without pydantic, whose machinery typer builds for each parameter: that
    takes longer than all the rest of ``ledgerlb history``. Parameters of other types keep typer's conversion.
    """
    for parameter in parameters:
        kind = parameter.type_descriptor.annotation
        is_choice = isinstance(kind, type) and issubclass(kind, StrEnum)
        # A flag without a variable has a boolean or nothing already.
        plain = is_choice or kind in {str, Path} or (kind is bool and not parameter.envvar)
        if plain and not parameter.multiple and parameter.nargs == 1:
            choices = ", ".join(map(repr, map(str, kind))) if is_choice else ""
            # This attribute is private to typer: test_cli_start fails if a new version loads pydantic after all.
            parameter._runtime_param = _PlainValue(kind, choices)  # noqa: SLF001
