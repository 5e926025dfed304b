"""``ledgerlb services``: where every Service stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from ledgerlb.cli.console import (
    DEFAULT_LOG,
    LogOption,
    Output,
    OutputOption,
    SettingsOption,
    guarded,
    print_json,
    print_table,
    settings_from,
)
from ledgerlb.cli.reading import existing_log, read_all
from ledgerlb.cli.view import LogView, NetworkLine, ServiceLine
from ledgerlb.core.errors import BadInput
from ledgerlb.core.pathset import PathSet
from ledgerlb.core.settings import DomainSettings

COLUMNS = ("SERVICE", "STATE", "NETWORK", "CHOSEN BY", "ADDRESSES", "NEXT HOPS", "REASON")
NETWORK_COLUMNS = ("NETWORK", "SIZE", "ALLOCATED", "QUARANTINED", "PROBLEM")


async def load(url: str, settings: DomainSettings, *, keep_entries: bool = False) -> LogView:
    """Fold the log that ``url`` names up to its present end."""
    view = LogView(settings)
    if keep_entries:
        view.accepted = []
    async with existing_log(url) as log:
        await read_all(log, LogView.READS, view.take)
    return view


def next_hops(path_sets: Iterable[PathSet]) -> str:
    """Say ``node-1 x2, node-3 x1``, a line per address that differs."""
    lines = []
    for path_set in path_sets:
        hops = ", ".join(f"{hop.node} x{hop.weight}" for hop in path_set.next_hops if hop.weight)
        lines.append(hops or "none ready")
    return "\n".join(dict.fromkeys(lines))


def row(line: ServiceLine) -> tuple[str, ...]:
    """The Service as a row under ``COLUMNS``."""
    shown = line.publication
    reason = shown.reason or ""
    if shown.message and shown.state != "Ignored":
        reason = f"{reason}: {shown.message}" if reason else shown.message
    return (
        line.name,
        shown.state,
        shown.network or (f"({shown.wanted})" if shown.wanted else ""),
        shown.rung or "",
        "\n".join(shown.addresses),
        next_hops(line.path_sets.values()),
        reason,
    )


def network_row(line: NetworkLine) -> tuple[str, ...]:
    """The network as a row under ``NETWORK_COLUMNS``."""
    problem = f"{line.problem}: {line.message}" if line.problem and line.message else line.problem or ""
    return (line.name, str(line.size), str(line.allocated), str(line.quarantined), problem)


def shown_by_default(line: ServiceLine) -> bool:
    """Whether a list of Services shows it: those that are not ours only where they hold something."""
    return line.publication.state != "Ignored" or bool(line.holdings)


@guarded
async def services(
    name: Annotated[str | None, typer.Argument(metavar="[NAMESPACE/NAME]", help="One Service.")] = None,
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    settings: SettingsOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also Services that are not ours.")] = False,
) -> None:
    """Show Services: state, network, addresses, next hops, and why one has no address."""
    view = await load(log, settings_from(settings))
    now = datetime.now(UTC)
    if name is not None:
        lines = [known_service(view, name, now)]
    else:
        lines = [line for line in view.services(now) if everything or shown_by_default(line)]
    print_standing(lines, list(view.networks()) if name is None else None, output)


def print_standing(lines: Iterable[ServiceLine], networks: Sequence[NetworkLine] | None, output: Output) -> None:
    """Print where Services stand, and networks (None: they were not asked for)."""
    if output is Output.json:
        data: dict[str, object] = {"services": {line.name: line.as_json() for line in lines}}
        if networks is not None:
            data["networks"] = {line.name: line.as_json() for line in networks}
        print_json(data)
        return
    print_table(COLUMNS, map(row, lines))
    if networks:
        typer.echo()
        print_table(NETWORK_COLUMNS, map(network_row, networks))


def known_service(view: LogView, name: str, now: datetime) -> ServiceLine:
    """The Service of that name; raises BadInput where the log knows none."""
    namespace, slash, rest = name.partition("/")
    if not slash or not namespace or not rest or "/" in rest:
        raise BadInput(f"Service {name!r}", "", "is not namespace/name", "write it like shop/web")
    line = view.service(name, now)
    if line.fact is None and not line.holdings:
        near = [known for known in view.service_names() if known.endswith(f"/{rest}")]
        remedy = f"did you mean {near[0]}?" if near else "ledgerlb services lists those that there are"
        raise BadInput(f"Service {name}", "", "is not known: it does not exist and holds no address", remedy)
    return line
