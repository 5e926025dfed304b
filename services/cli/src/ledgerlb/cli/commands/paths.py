"""``ledgerlb paths ADDRESS``: how an address should be reached, and what each agent made of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from ledgerlb.cli.commands.history import canonical
from ledgerlb.cli.console import (
    DEFAULT_LOG,
    LogOption,
    Output,
    OutputOption,
    SettingsOption,
    guarded,
    print_json,
    say,
    settings_from,
)
from ledgerlb.cli.lookup import load, warn_if_stale
from ledgerlb.cli.tables import Column, print_table
from ledgerlb.core.paths.pathset import Frontend, Heartbeat, PathSet, Report
from ledgerlb.runtime.logview import LogView

_COLUMNS: Final = (
    Column("AGENT"),
    Column("BACK END", drop=2),
    Column("STATE"),
    Column("WEIGHTS"),
    Column("AGE", drop=1),
    Column("DIFFERENCE", sentence=True),
)
_OF_ITS_NODE: Final = "node"
"""The back end that programs the pods of its own node only."""


@dataclass(frozen=True)
class AgentLine:
    """What an agent has of the address.

    ``age`` is in seconds, None where it never reported. ``difference`` is empty where all is well.
    """

    agent: str
    backend: str
    state: str
    weights: Mapping[str, int]
    age: float | None
    difference: str

    def as_json(self) -> dict[str, Any]:
        """Return the line as data."""
        return {
            "agent": self.agent,
            "backend": self.backend,
            "state": self.state,
            "weights": dict(self.weights),
            "age": self.age,
            "difference": self.difference or None,
        }


@guarded
async def paths(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="An external address.")],
    log: LogOption = DEFAULT_LOG,
    output: OutputOption = Output.text,
    settings: SettingsOption = None,
) -> None:
    """Show how an address should be reached, what each agent programmed, since when, and what differs."""
    wanted = canonical(address)
    now = datetime.now(UTC)
    view = await load(log, settings_from(settings))
    path_set = view.path_sets.get(wanted)
    agents = list(agent_lines(view, wanted, now))
    if output is Output.json:
        data = path_set.model_dump(mode="json") if path_set is not None else None
        print_json({"as_of": view.as_of, "address": wanted, "path_set": data, "agents": [a.as_json() for a in agents]})
        return
    for line in _wanted_text(wanted, path_set):
        say(line)
    print_table(_COLUMNS, map(_row, agents))
    warn_if_stale(view, now)


def agent_lines(view: LogView, address: str, now: datetime) -> Iterator[AgentLine]:
    """Yield a line for every agent that lives, or that reported the address, by name."""
    path_set = view.path_sets.get(address)
    beats = {beat.agent: beat for beat in view.agents.agents()}
    reports = {report.agent: report for report in view.agents.reports(address)}
    alive = set(view.agents.alive(now, view.settings.agent_timeout))
    for name in sorted({*reports, *(alive if path_set is not None else ())}):
        beat, report = beats.get(name), reports.get(name)
        yield AgentLine(
            agent=name,
            backend=beat.backend if beat is not None else "",
            state=view.agents.done_by(report) if report is not None else "unknown",
            weights=report.weights if report is not None else {},
            age=max(0.0, (now - report.at).total_seconds()) if report is not None else None,
            difference=_difference(path_set, report, beat, name in alive, view.path_digests.get(address, "")),
        )


def _difference(
    path_set: PathSet | None, report: Report | None, beat: Heartbeat | None, is_alive: bool, digest: str
) -> str:
    if report is None:
        return "has not reported this address yet"
    if not is_alive:
        return "is not heard any more: what its machine forwards is unknown"
    if path_set is None:
        return "still reports the address, which no Service holds" if report.state != "withdrawn" else ""
    if report.state == "failed":
        return report.message
    if report.path != digest:
        return "has an earlier path set; its report of this one is still to come"
    expected = {} if path_set.withdraw else {hop.node: hop.weight for hop in path_set.next_hops if hop.weight}
    if beat is not None and beat.backend == _OF_ITS_NODE:
        expected = {node: weight for node, weight in expected.items() if node == beat.agent}
    differs = [
        f"{node} has weight {report.weights.get(node, 0)} instead of {expected.get(node, 0)}"
        for node in sorted({*expected, *report.weights})
        if report.weights.get(node, 0) != expected.get(node, 0)
    ]
    return "; ".join([*differs, *([report.message] if report.message else [])])


def _wanted_text(address: str, path_set: PathSet | None) -> Iterator[str]:
    if path_set is None:
        yield f"{address}: no Service holds it, so no agent should forward it"
        return
    yield f"{address}  of {path_set.network}, for {', '.join(path_set.services)} ({path_set.allocation})"
    if path_set.withdraw:
        yield f"Wanted: withdrawn, for the release {path_set.release}"
        return
    hops = [f"{hop.node} x{hop.weight} via {hop.via}" for hop in path_set.next_hops]
    yield f"Wanted: {', '.join(hops) or 'no next hop'}"
    for frontend in path_set.frontends:
        yield from _port_text(frontend)
    for note in path_set.notes:
        yield f"  note: {note}"


def _port_text(frontend: Frontend) -> Iterator[str]:
    ranges = frontend.source_ranges
    clients = "all clients" if ranges is None else ", ".join(ranges) or "no client"
    affinity = ", one backend a client" if frontend.affinity else ""
    yield f"  {frontend.protocol} {frontend.port} of {frontend.service}: {clients}{affinity}"
    for local in frontend.local:
        parts = [" ".join(local.backends)]
        parts += [f"draining {' '.join(local.draining)}"] if local.draining else []
        parts += [f"not ready {' '.join(local.unready)}"] if local.unready else []
        yield f"    {local.node}: {'; '.join(filter(None, parts))}"


def _row(line: AgentLine) -> tuple[str, ...]:
    weights = ", ".join(f"{node} x{weight}" for node, weight in sorted(line.weights.items()))
    return line.agent, line.backend, line.state, weights, _ago(line.age), line.difference


def _ago(seconds: float | None) -> str:
    """Return an age in the largest unit that is not below one."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
