"""Services and networks as rows of tables, for the commands that list them and for the live table of ``run``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ledgerlb.cli.console import Output, print_json, say
from ledgerlb.cli.tables import Cell, Column, layout, print_table
from ledgerlb.cli.wrapping import wrapped
from ledgerlb.core.paths.pathset import PathSet
from ledgerlb.core.publication.model import Publication
from ledgerlb.core.reasons import Reason
from ledgerlb.runtime.logview import NetworkLine, ServiceLine

SERVICE_COLUMNS: Final = (
    Column("SERVICE"),
    Column("STATE"),
    Column("NETWORK", drop=3),
    Column("CHOSEN BY", drop=1, roomy=True),
    Column("ADDRESSES"),
    Column("DATA PATH", drop=4),
    Column("NEXT HOPS", drop=2, roomy=True),
    Column("REASON", sentence=True),
)
NETWORK_COLUMNS: Final = (
    Column("NETWORK"),
    Column("SIZE", drop=2),
    Column("HELD"),
    Column("QUARANTINED", drop=1),
    Column("FREE", drop=3),
    Column("PROBLEM", sentence=True),
)
_URGENCY: Final = {"Pending": 0, "Moving": 1, "Deleted": 2, "Ready": 4, "Ignored": 5}
"""The order of the live table: what is wrong comes first. A Ready Service with a reason has rank 3."""
_TROUBLED: Final = 4
"""The first rank of Services that need no attention."""
_DATA_PATH: Final[dict[str, str]] = {
    Reason.PROGRAMMED: "programmed",
    Reason.RECORD_ONLY: "recorded only",
    Reason.NO_AGENTS: "no agent",
    Reason.WAITING_FOR_AGENTS: "waits",
    Reason.PROGRAMMING_FAILED: "failed",
    Reason.NO_USABLE_BACKEND: "no backend",
    Reason.ADDRESS_IN_USE_ELSEWHERE: "elsewhere",
}
_COUNTABLE: Final = 10**9
_LIVE_NETWORKS: Final = 4
"""Networks that the live table shows."""


def next_hops(path_sets: Iterable[PathSet]) -> tuple[str, ...]:
    """Return ``node-1 x2, node-3 x1`` for each address whose next hops differ."""
    lines = []
    for path_set in path_sets:
        hops = ", ".join(f"{hop.node} x{hop.weight}" for hop in path_set.next_hops if hop.weight)
        lines.append(hops or "none ready")
    return tuple(dict.fromkeys(lines))


def data_path(shown: Publication) -> str:
    """Return in a word or two what the data path does for the published addresses; empty where there are none."""
    reach = shown.reachability
    return _DATA_PATH.get(reach.reason, reach.reason) if reach is not None else ""


def service_row(line: ServiceLine) -> tuple[Cell, ...]:
    """Return the Service as a row under ``SERVICE_COLUMNS``."""
    shown = line.publication
    reason = shown.reason or ""
    if shown.message and shown.state != "Ignored":
        reason = f"{reason}: {shown.message}" if reason else shown.message
    return (
        line.name,
        shown.state,
        shown.network or (f"({shown.wanted})" if shown.wanted else ""),
        shown.rung or "",
        shown.addresses,
        data_path(shown),
        next_hops(line.path_sets.values()),
        reason,
    )


def network_row(line: NetworkLine) -> tuple[Cell, ...]:
    """Return the network as a row under ``NETWORK_COLUMNS``."""
    numbers = (line.size, line.allocated, line.quarantined, line.free)
    return (line.name, *map(amount, numbers), line.trouble)


def amount(number: int) -> str:
    """Return a number of addresses for people; those of an IPv6 prefix, from a thousand million on, as ``1.8e19``."""
    return str(number) if number < _COUNTABLE else f"{number:.1e}".replace("e+", "e")


def shown_by_default(line: ServiceLine) -> bool:
    """Return whether a list shows the Service: one that LedgerLB does not serve only while it holds an address."""
    return line.publication.state != "Ignored" or bool(line.holdings)


def listing_as_json(lines: Iterable[ServiceLine], networks: Sequence[NetworkLine] | None) -> dict[str, Any]:
    """Return Services, and networks unless None, as the JSON outputs hold them."""
    data: dict[str, Any] = {"services": {line.name: line.as_json() for line in lines}}
    if networks is not None:
        data["networks"] = {line.name: line.as_json() for line in networks}
    return data


def print_standing(lines: Iterable[ServiceLine], networks: Sequence[NetworkLine] | None, output: Output) -> None:
    """Print Services, and networks unless None or empty."""
    if output is Output.json:
        print_json(listing_as_json(lines, networks))
        return
    print_tables(lines, networks)


def print_tables(
    lines: Iterable[ServiceLine], networks: Sequence[NetworkLine] | None, *, whole_lines: bool = False
) -> None:
    """Print Services as a table, and networks as a second one unless None or empty."""
    print_table(SERVICE_COLUMNS, map(service_row, lines), whole_lines=whole_lines)
    if networks:
        say()
        print_table(NETWORK_COLUMNS, map(network_row, networks), whole_lines=whole_lines)


def live_lines(
    headline: str, lines: Iterable[ServiceLine], networks: Sequence[NetworkLine], width: int, height: int
) -> list[str]:
    """Return the live table: the headline, Services with what is wrong first, and how full the networks are; at most
    ``height`` lines, with ``+280 more`` where Services are left out.
    """
    foot = _fullness(networks)
    ordered = sorted(lines, key=lambda line: (_urgency(line), line.name))
    head = wrapped(headline, width)
    room = max(1, height - len(head) - len(foot) - 2)
    # A row takes at least one line, so more rows than that need no layout.
    shown = layout(SERVICE_COLUMNS, map(service_row, ordered[:room]), width)
    body: list[str] = []
    taken = 0
    for row in shown.rows:
        if taken and len(body) + len(row) > room:
            break
        body += row
        taken += 1
    return [*head, shown.head, *body, *_left_out(ordered[taken:]), *foot]


def _urgency(line: ServiceLine) -> int:
    rank = _URGENCY[line.publication.state]
    return _TROUBLED - 1 if rank == _TROUBLED and line.publication.reason else rank


def _left_out(lines: Sequence[ServiceLine]) -> list[str]:
    if not lines:
        return []
    states = Counter(line.publication.state for line in lines)
    return [f"+{len(lines)} more ({', '.join(f'{count} {state}' for state, count in sorted(states.items()))})"]


def _fullness(networks: Sequence[NetworkLine]) -> list[str]:
    ordered = sorted(networks, key=lambda line: (not line.problem, line.free, line.name))
    lines = [
        f"{line.name}: {amount(line.allocated)} of {amount(line.size)} held"
        + (f", {line.quarantined} quarantined" if line.quarantined else "")
        + (f" ({line.problem})" if line.problem else "")
        for line in ordered[:_LIVE_NETWORKS]
    ]
    more = len(ordered) - len(lines)
    return [*lines, *([f"+{more} more networks"] if more > 0 else [])]
