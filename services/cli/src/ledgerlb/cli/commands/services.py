"""``ledgerlb services``: every Service and its addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, get_args

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    Form,
    FormOption,
    LogOption,
    SettingsOption,
    guarded,
    print_json,
    print_yaml,
    say,
    settings_from,
)
from ledgerlb.cli.listing import listing_as_json, print_tables, shown_by_default
from ledgerlb.cli.lookup import known_service, load, warn_if_stale
from ledgerlb.core.errors import BadInput
from ledgerlb.core.publication.model import State
from ledgerlb.core.reasons import REASONS
from ledgerlb.runtime.logview import LogView, ServiceLine


@guarded
async def services(  # noqa: PLR0917 - options of the command line, always given by name
    name: Annotated[str | None, typer.Argument(metavar="[NAMESPACE/NAME]", help="Show one Service.")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="Show this namespace only.")
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", metavar="STATE", help=f"Show this state only: {', '.join(get_args(State))}. Repeatable."
        ),
    ] = None,
    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", metavar="REASON", help="Show this reason only, such as NetworkFull. Repeatable."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include Services that LedgerLB does not serve.")] = False,
    log: LogOption = DEFAULT_LOG,
    output: FormOption = Form.text,
    settings: SettingsOption = None,
) -> None:
    """Show Services: state, network, addresses, next hops, and why one has no address."""
    states = _checked("--state", state or (), get_args(State))
    reasons = _checked("--reason", reason or (), REASONS)
    view = await load(log, settings_from(settings))
    now = datetime.now(UTC)
    if name is not None:
        lines = [known_service(view, name, now)]
    else:
        everything = everything or "Ignored" in states
        lines = [line for line in view.services(now) if everything or shown_by_default(line)]
    lines = [line for line in lines if _matches(line, namespace, states, reasons)]
    narrowed = name is not None or namespace is not None or bool(states or reasons)
    _print(view, lines, output, networks=not narrowed)
    if output in {Form.text, Form.wide}:
        warn_if_stale(view, now)


def _checked(option: str, given: Sequence[str], known: Iterable[str]) -> frozenset[str]:
    """Return the values in the spelling of ``known``, ignoring case; raises BadInput."""
    spelled = {word.lower(): word for word in known}
    for word in given:
        if word.lower() not in spelled:
            near = get_close_matches(word.lower(), spelled, 1)
            remedy = f"did you mean {spelled[near[0]]}?" if near else f"use one of {', '.join(spelled.values())}"
            raise BadInput(f"option {option}", "", f"{word!r} is unknown", remedy)
    return frozenset(spelled[word.lower()] for word in given)


def _matches(line: ServiceLine, namespace: str | None, states: frozenset[str], reasons: frozenset[str]) -> bool:
    shown = line.publication
    return (
        (namespace is None or line.name.partition("/")[0] == namespace)
        and (not states or shown.state in states)
        and (not reasons or shown.reason in reasons)
    )


def _print(view: LogView, lines: list[ServiceLine], output: Form, *, networks: bool) -> None:
    found = list(view.networks()) if networks and output is not Form.name else None
    match output:
        case Form.name:
            for line in lines:
                say(line.name)
        case Form.json:
            print_json({"as_of": view.as_of, **listing_as_json(lines, found)})
        case Form.yaml:
            print_yaml({"as_of": view.as_of, **listing_as_json(lines, found)})
        case Form.text | Form.wide:
            print_tables(lines, found, whole_lines=output is Form.wide)
