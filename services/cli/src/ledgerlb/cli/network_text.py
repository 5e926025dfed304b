"""The explanation of an external network: what it is, who holds its addresses, and how its address plan came about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledgerlb.cli.listing import amount
from ledgerlb.core.ledger.entry import Entry
from ledgerlb.core.ledger.events import NetworkDefined, NetworkGone, Prefix, PrefixChangeRefused
from ledgerlb.core.ledger.plan import extent_of
from ledgerlb.core.ledger.records import Holding
from ledgerlb.core.networks import pool_of
from ledgerlb.core.reasons import REASONS
from ledgerlb.core.text import timestamp
from ledgerlb.runtime.logview import LogView, NetworkLine

_PLAN_EVENTS = (NetworkDefined, PrefixChangeRefused, NetworkGone)


def network_as_json(view: LogView, line: NetworkLine) -> dict[str, Any]:
    """Return the explanation as plain JSON data."""
    return {
        "as_of": view.as_of,
        "network": line.name,
        **line.as_json(),
        "free": line.free,
        "message": line.message,
        "exists": line.exists,
        "remedy": _remedy(line),
        "prefixes": [
            {"prefix": prefix.prefix, "gateway": prefix.gateway, "ranges": prefix.ranges, "excluded": prefix.excluded}
            for prefix in view.ledger.network(line.name).plan
        ],
        "holdings": [
            {
                "address": holding.address,
                "service": holding.service,
                "state": holding.state,
                "since": timestamp(holding.since),
            }
            for holding in _holdings(view, line)
        ],
        "decisions": [
            {"seq": entry.seq, "hash": digest, "at": timestamp(entry.decided_at), "events": events}
            for entry, digest, events in _decisions(view, line)
        ],
    }


def network_as_text(view: LogView, line: NetworkLine) -> list[str]:
    """Return the explanation for people."""
    lines = [
        f"{line.name}: external network" + ("" if line.exists else " (no longer exists)"),
        f"  size         {amount(line.size)}",
        f"  held         {amount(line.allocated)}",
        f"  quarantined  {amount(line.quarantined)}",
        f"  free         {amount(line.free)}",
    ]
    if line.exists and line.trouble:
        lines.append(f"  problem      {line.trouble}")
    if line.warning:
        lines.append(f"  warning      {line.warning}")
    if advice := _remedy(line):
        lines.append(f"  remedy       {advice}")
    plan = view.ledger.network(line.name).plan
    lines += _plan_text(line.name, plan)
    if holdings := _holdings(view, line):
        lines.append("Held:")
    lines += [
        f"  {holding.address}  {holding.service}  {holding.state} since {timestamp(holding.since)}"
        for holding in holdings
    ]
    if decided := _decisions(view, line):
        lines.append("Address plan in the ledger:")
    lines += [
        f"  {timestamp(entry.decided_at)}  {entry.network}#{entry.seq} {digest[:12]}…  {', '.join(events)}"
        for entry, digest, events in decided
    ]
    return lines


def _remedy(line: NetworkLine) -> str:
    known = REASONS.get(line.problem or "")
    return known.remedy if known is not None else ""


def _plan_text(network: str, plan: Sequence[Prefix]) -> list[str]:
    """Return the address plan. The prefixes of a pool are how the ledger writes its ranges; people wrote the ranges."""
    if pool_of(network) is None:
        return [f"  prefix       {_prefix_text(prefix)}" for prefix in plan]
    excluded = sorted({f"{low}-{high}" if low != high else low for prefix in plan for low, high in prefix.excluded})
    lines = [f"  addresses    {extent_of(plan)}"] if plan else []
    return [*lines, f"  without      {', '.join(excluded)}"] if excluded else lines


def _prefix_text(prefix: Prefix) -> str:
    parts = [prefix.prefix]
    if prefix.gateway:
        parts.append(f"gateway {prefix.gateway}")
    if prefix.ranges:
        parts.append("ranges " + ", ".join(f"{first}-{last}" for first, last in prefix.ranges))
    if prefix.excluded:
        parts.append("without " + ", ".join(f"{first}-{last}" for first, last in prefix.excluded))
    return "; ".join(parts)


def _holdings(view: LogView, line: NetworkLine) -> list[Holding]:
    return list(view.ledger.network(line.name).holdings())


def _decisions(view: LogView, line: NetworkLine) -> list[tuple[Entry, str, list[str]]]:
    """Return every accepted entry that changed the network's address plan, its hash, and those events by name."""
    found = []
    for entry, digest in view.accepted or ():
        events = [type(event).__name__ for event in entry.events if isinstance(event, _PLAN_EVENTS)]
        if entry.network == line.name and events:
            found.append((entry, digest, events))
    return found
