"""What every command shares: options, output, and how errors reach the user.

Every line goes out through ``say`` or ``print_json``, which escape what could steer a terminal. Exit status: see
``exit_statuses``. This module loads neither rich nor pydantic, since every command waits for it.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import inspect
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, ParamSpec

import typer

from ledgerlb.cli.wrapping import hanging
from ledgerlb.core.errors import BadInput, InvalidSetting, LedgerLBError, NotSupported
from ledgerlb.core.text import printable, printable_json, timestamp

if TYPE_CHECKING:
    from ledgerlb.core.settings import DomainSettings

DEFAULT_LOG: Final = "sqlite:///.ledgerlb/ledger.db"
OK: Final = 0
FINDINGS: Final = 1
BAD_INPUT: Final = 2
UNAVAILABLE: Final = 3
INTERNAL_ERROR: Final = 70
INTERRUPTED: Final = 130
FORMAT: Final = 1
"""The version of the JSON outputs: it rises when a field goes or changes its meaning, not when one is added."""

_P = ParamSpec("_P")


def exit_statuses(findings: str = "") -> str:
    """Return the exit statuses for the end of a command's help; ``findings`` says what 1 means, empty: never used."""
    rows = [
        (OK, "success"),
        *([(FINDINGS, findings)] if findings else ()),
        (BAD_INPUT, "bad input or usage: the message says what to correct"),
        (UNAVAILABLE, "the log, the API server or the kernel does not answer"),
        (INTERNAL_ERROR, "a bug in ledgerlb"),
        (INTERRUPTED, "interrupted"),
    ]
    return "\b\nExit status:\n" + "\n".join(f"  {status:<5}{meaning}" for status, meaning in rows)


class Output(StrEnum):
    """How a command answers."""

    text = "text"
    json = "json"


class Form(StrEnum):
    """How a list is printed."""

    text = "text"
    wide = "wide"
    json = "json"
    yaml = "yaml"
    name = "name"


LogOption = Annotated[
    str,
    typer.Option(
        "--log",
        envvar="LEDGERLB_LOG",
        metavar="URL",
        help="The event log: sqlite:///path/to/file, sqlite:relative/path, kafka://host:port,host:port.",
    ),
]
FormOption = Annotated[
    Form,
    typer.Option(
        "--output",
        "-o",
        help="Text that fits the terminal, every column (wide), data (json, yaml) or names alone (name).",
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Text for people or JSON for programs.")]
SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--settings", envvar="LEDGERLB_SETTINGS", metavar="FILE", help="YAML file with the domain's settings."
    ),
]


def manifests_option(text: str) -> Any:
    """Return the option ``--manifests``; ``text`` says how the command uses the folder."""
    return typer.Option("--manifests", envvar="LEDGERLB_MANIFESTS", metavar="DIR", help=text)


def kubeconfig_option(text: str) -> Any:
    """Return the option ``--kubeconfig``; ``text`` says how the command uses the file."""
    return typer.Option("--kubeconfig", envvar="LEDGERLB_KUBECONFIG", metavar="FILE", help=text)


def settings_from(path: Path | None) -> DomainSettings:
    """Read the domain's settings from file and environment; raises InvalidSetting."""
    from ledgerlb.runtime.settings import domain_settings, process_settings  # noqa: PLC0415 - loads pydantic-settings

    return domain_settings(process_settings(**({} if path is None else {"settings": path})))


def command_group(text: str) -> typer.Typer:
    """Return a command that has commands of its own; ``text`` is its help."""
    return typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=text
    )


def guarded(command: Callable[_P, Any]) -> Callable[_P, None]:
    """Run a command (plain or async). An error of LedgerLB becomes one line and an exit status, never a traceback."""
    return guarded_in(asyncio.Runner)(command)


def guarded_in(runner: Callable[[], asyncio.Runner]) -> Callable[[Callable[_P, Any]], Callable[_P, None]]:
    """Return a decorator like ``guarded`` that runs async commands in a runner of its own."""

    def decorate(command: Callable[_P, Any]) -> Callable[_P, None]:
        @functools.wraps(command)
        def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
            outcome = _outcome(runner, command, args, kwargs)
            if isinstance(outcome, int) and outcome:
                raise typer.Exit(outcome)

        # typer reads the parameters from the signature, and calls a function that returns nothing.
        run.__signature__ = inspect.signature(command, eval_str=True)  # type: ignore[attr-defined]
        return run

    return decorate


def _outcome(
    runner: Callable[[], asyncio.Runner], command: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        outcome = command(*args, **kwargs)
        if inspect.iscoroutine(outcome):
            with runner() as loop:
                outcome = loop.run(outcome)
    except LedgerLBError as error:
        say(f"error: {one_line(error)}", err=True)
        raise typer.Exit(exit_status(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader of our output (head, less) has ended. That is not a failure, and further output has no reader.
        _discard_output()
        raise typer.Exit(OK) from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _discard_output()
        say(f"error: standard output: {error.strerror}; write the answer elsewhere", err=True)
        raise typer.Exit(UNAVAILABLE) from error
    return outcome


def _discard_output() -> None:
    """Send what is still buffered nowhere, or Python tries to write it again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_status(error: LedgerLBError) -> int:
    """Return the exit status that tells what the user must do."""
    return BAD_INPUT if isinstance(error, BadInput | NotSupported) else UNAVAILABLE


def one_line(error: BaseException) -> str:
    """Return the error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def say(line: str = "", *, err: bool = False, bold: bool = False, whole: bool = False) -> None:
    """Print one line. Control characters in it, line breaks too, are shown as escapes.

    On a terminal, a line that is too long is broken between words, unless ``whole``.
    """
    shown = printable(line)
    width = None if whole else terminal_width(err=err)
    for part in [shown] if width is None else hanging(shown, width):
        if bold and styled():
            typer.echo(f"\x1b[1m{part}\x1b[0m", err=err, color=True)
        else:
            typer.echo(part, err=err)


def terminal_width(*, err: bool = False) -> int | None:
    """Return the columns of the terminal; None where the output is none and lines may have any length."""
    to_terminal = sys.stderr.isatty() if err else is_terminal()
    return shutil.get_terminal_size().columns if to_terminal else None


def is_terminal() -> bool:
    """Return whether standard output is a terminal (or ``FORCE_COLOR`` says to treat it as one)."""
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))


def styled() -> bool:
    """Return whether output may be bold: on a terminal, unless ``NO_COLOR`` is set or the terminal is dumb."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_json(data: dict[str, Any]) -> None:
    """Print one JSON object on one line, with the ``version`` of its shape first."""
    document = json.dumps({"version": FORMAT, **data}, default=_plain, ensure_ascii=False)
    typer.echo(printable_json(document))


def print_yaml(data: dict[str, Any]) -> None:
    """Print data as one YAML document, with the ``version`` of its shape first."""
    import yaml  # noqa: PLC0415 - only where it is asked for

    plain = json.loads(json.dumps({"version": FORMAT, **data}, default=_plain))
    # yaml escapes all that is not ASCII, and so all that could steer a terminal.
    typer.echo(yaml.safe_dump(plain, sort_keys=False, width=float("inf")), nl=False)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def moment_of(text: str, option: str, *, now: datetime | None = None) -> datetime:
    """Read a moment: RFC 3339 (``2026-11-17T14:00:00Z``; without an offset UTC) or a duration ago (``2h``, ``2h ago``).

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
            f"option {option}",
            "",
            f"{text!r} is not a time",
            "write 2026-11-17T14:00:00Z, or 2h for two hours ago",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ago(text: str) -> timedelta:
    from ledgerlb.core.settings import parse_duration  # noqa: PLC0415 - loads pydantic

    return timedelta(seconds=parse_duration(text.strip().removesuffix(" ago")))


def program_version() -> str:
    """Return the installed version."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - takes 30 ms, for one command

    try:
        return version("ledgerlb-cli")
    except PackageNotFoundError:
        return "unknown"
