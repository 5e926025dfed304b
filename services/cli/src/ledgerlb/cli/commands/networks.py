"""``ledgerlb networks``: every external network and how full it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

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
from ledgerlb.cli.listing import NETWORK_COLUMNS, network_row
from ledgerlb.cli.lookup import load, unknown, warn_if_stale
from ledgerlb.cli.tables import print_table
from ledgerlb.runtime.logview import NetworkLine


@guarded
async def networks(
    name: Annotated[str | None, typer.Argument(metavar="[NAMESPACE/NAME]", help="Show one network.")] = None,
    log: LogOption = DEFAULT_LOG,
    output: FormOption = Form.text,
    settings: SettingsOption = None,
) -> None:
    """Show external networks: how large they are, how full, and what is wrong with them."""
    view = await load(log, settings_from(settings))
    lines = list(view.networks())
    if name is not None:
        lines = [line for line in lines if line.name == name]
        if not lines:
            raise unknown("network", name, (line.name for line in view.networks()), "networks")
    data = {"as_of": view.as_of, "networks": {line.name: details(line) for line in lines}}
    match output:
        case Form.name:
            for line in lines:
                say(line.name)
        case Form.json:
            print_json(data)
        case Form.yaml:
            print_yaml(data)
        case Form.text | Form.wide:
            print_table(NETWORK_COLUMNS, map(network_row, lines), whole_lines=output is Form.wide)
            warn_if_stale(view, datetime.now(UTC))


def details(line: NetworkLine) -> dict[str, Any]:
    """Return the network as ``networks`` and ``explain`` show it: with what is free, and the problem in words."""
    return {**line.as_json(), "free": line.free, "message": line.message, "exists": line.exists}
