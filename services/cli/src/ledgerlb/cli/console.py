"""What every command shares: options, output, and how errors reach the user.

Exit status: 0 all well, 1 findings (``verify``, an unmet ``expect``, an unsettled ``run``), 2 bad input or usage, 3
something needed did not answer (log, API server, kernel).
"""

from __future__ import annotations

import asyncio
import errno
import functools
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from ledgerlb.core.errors import BadInput, InvalidSetting, LedgerLBError, NotSupported
from ledgerlb.core.settings import DomainSettings, parse_duration
from ledgerlb.runtime.settings import domain_settings, process_settings

DEFAULT_LOG: Final = "sqlite:///.ledgerlb/ledger.db"
FINDINGS: Final = 1
BAD_INPUT: Final = 2
UNAVAILABLE: Final = 3
INTERRUPTED: Final = 130
UNBROKEN: Final = 20_000
"""Characters of a line that no terminal bounds."""
SENTENCE: Final = 30
"""Characters that a column of sentences needs at least."""
_BLANK_END: Final = re.compile(r" +(\x1b\[0m)?$")
_GAP: Final = 2
"""Blanks between two columns."""

_P = ParamSpec("_P")


class Output(StrEnum):
    """How a command answers."""

    text = "text"
    json = "json"


LogOption = Annotated[
    str,
    typer.Option(
        "--log",
        envvar="LEDGERLB_LOG",
        metavar="URL",
        help="The event log: sqlite:///path/to/file, sqlite:relative/path, kafka://host:port,host:port.",
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people or for programs.")]


def manifests_option(text: str) -> Any:
    """``--manifests``; ``text`` says what the folder is to the command."""
    return typer.Option("--manifests", envvar="LEDGERLB_MANIFESTS", metavar="DIR", help=text)


def kubeconfig_option(text: str) -> Any:
    """``--kubeconfig``; ``text`` says what the command does with it."""
    return typer.Option("--kubeconfig", envvar="LEDGERLB_KUBECONFIG", metavar="FILE", help=text)


def guarded(command: Callable[_P, Any]) -> Callable[_P, None]:
    """Run a command (plain or async): an error on purpose becomes one line and an exit status, never a traceback."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            outcome = command(*args, **kwargs)
            if inspect.iscoroutine(outcome):
                outcome = asyncio.run(outcome)
        except LedgerLBError as error:
            typer.echo(f"error: {one_line(error)}", err=True)
            raise typer.Exit(exit_status(error)) from error
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output (head, less) went away: that is no failure, and nothing more can be written.
            _write_no_more()
            raise typer.Exit(0) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _write_no_more()
            typer.echo(f"error: standard output: {error.strerror}; write the answer elsewhere", err=True)
            raise typer.Exit(UNAVAILABLE) from error
        if isinstance(outcome, int) and outcome:
            raise typer.Exit(outcome)

    # typer reads the parameters off the signature; what it calls returns nothing.
    run.__signature__ = inspect.signature(command, eval_str=True)  # type: ignore[attr-defined]
    return run


def _write_no_more() -> None:
    """Let what is still buffered go nowhere, or it would be tried again at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_status(error: LedgerLBError) -> int:
    """The exit status that tells what the user must do."""
    return BAD_INPUT if isinstance(error, BadInput | NotSupported) else UNAVAILABLE


def one_line(error: BaseException) -> str:
    """The error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def print_json(data: Any) -> None:
    """One JSON object on one line."""
    typer.echo(json.dumps(data, default=_plain, ensure_ascii=False))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, with microseconds where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def console(*, whole_lines: bool = False) -> Console:
    """Make a console that never breaks lines which a program may read: piped output is as wide as it needs to be. On a
    terminal too, with ``whole_lines``.
    """
    made = Console(highlight=False, markup=False)
    if made.is_terminal and not whole_lines:
        return made
    return Console(highlight=False, markup=False, width=UNBROKEN)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A plain table."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to standard output, without blanks at the ends of lines.

    Only the last column, which holds sentences, is ever broken into lines. A terminal too narrow for that gets whole
    lines, as a file does: half a name or address can neither be read nor copied.
    """
    cells = [tuple(row) for row in rows]
    shown = table(columns, cells)
    for column in shown.columns[:-1]:
        column.no_wrap = True
    out = console()
    if _width_of_names([tuple(columns), *cells]) + SENTENCE > out.width:
        out = console(whole_lines=True)
    with out.capture() as captured:
        out.print(shown)
    for line in captured.get().splitlines():
        typer.echo(_BLANK_END.sub(r"\1", line))


def _width_of_names(rows: Sequence[Sequence[str]]) -> int:
    """The width of all columns but the last, with the gaps after them."""
    columns = list(zip(*rows, strict=True))[:-1]
    return sum(max(cell_len(line) for cell in column for line in cell.split("\n")) + _GAP for column in columns)


def moment_of(text: str, option: str, *, now: datetime | None = None) -> datetime:
    """A moment given as RFC 3339 (``2026-11-17T14:00:00Z``; without an offset: UTC) or as a duration ago
    (``2h``, ``2h ago``).

    Raises InvalidSetting naming the option.
    """
    try:
        return (now or datetime.now(UTC)) - _ago(text)
    except BadInput:
        pass
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidSetting(
            f"option {option}", "", f"{text!r} is no moment", "write 2026-11-17T14:00:00Z, or 2h for two hours ago"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ago(text: str) -> timedelta:
    return timedelta(seconds=parse_duration(text.strip().removesuffix(" ago")))


SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--settings", envvar="LEDGERLB_SETTINGS", metavar="FILE", help="YAML file with the domain's settings."
    ),
]


def settings_from(path: Path | None) -> DomainSettings:
    """Read the domain's settings from file and environment; raises InvalidSetting."""
    return domain_settings(process_settings(**({} if path is None else {"settings": path})))
