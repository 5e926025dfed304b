"""What the kernel has, read with ``ip``: the tests' own eyes, apart from the code that they test."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.dataplane.lab import Lab

OURS = "76"


def weights(lab: Lab, address: str, name: str = "router") -> dict[str, int] | None:
    """Weight by gateway of the group through which the address is routed; None where it has no route of ours."""
    routes = lab.json(name, *_six(address), "route", "show", "exact", address, "proto", OURS)
    if not routes:
        return None
    assert len(routes) == 1, routes
    objects = {found["id"]: found for found in lab.json(name, "nexthop")}
    group = objects[routes[0]["nhid"]]
    assert group["protocol"] == OURS
    total: Counter[str] = Counter()
    for member in group["group"]:
        total[objects[member["id"]]["gateway"]] += member.get("weight", 1)
    # Where a gateway has two members, all weights are doubled.
    share = 2 if len(total) < len(group["group"]) else 1
    return {gateway: weight // share for gateway, weight in total.items()}


def ours(lab: Lab, name: str = "router") -> list[dict[str, Any]]:
    """Every route and next-hop object with LedgerLB's protocol number."""
    found = [one for one in lab.json(name, "nexthop") if one.get("protocol") == OURS]
    for family in ([], ["-6"]):
        found += lab.json(name, *family, "route", "show", "table", "all", "proto", OURS)
    return found


def everything_else(lab: Lab, name: str = "router") -> tuple[list[dict[str, Any]], ...]:
    """Every route and next-hop object that is not LedgerLB's."""
    return (
        [one for one in lab.json(name, "nexthop") if one.get("protocol") != OURS],
        [_lasting(one) for one in lab.json(name, "-4", "route", "show", "table", "all") if one.get("protocol") != OURS],
        [_lasting(one) for one in lab.json(name, "-6", "route", "show", "table", "all") if one.get("protocol") != OURS],
    )


def _lasting(route: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in route.items() if key not in {"expires", "flags"}}


def _six(address: str) -> list[str]:
    return ["-6"] if ":" in address else []
