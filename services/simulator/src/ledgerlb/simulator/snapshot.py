"""The outcome of a step as JSON data, and its differences from the expectations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ledgerlb.core.ledger.entry import encode_entry
from ledgerlb.core.publication.doubles import shown_twice
from ledgerlb.core.publication.model import Publication
from ledgerlb.core.text import timestamp
from ledgerlb.runtime.logview import ServiceLine
from ledgerlb.simulator.engine import Engine
from ledgerlb.simulator.scenario import Expect, Step

_SHOWN_VALUE: Final = 200


class Snapshots:
    """Takes a snapshot after each step of one engine.

    It remembers the last snapshot, to show a deleted Service as ``Deleted`` in the step that deletes it, and not after.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._present: set[str] = set()
        self._entries = 0

    def lines(self) -> list[ServiceLine]:
        """Return every Service as it is now, by name, without those that an earlier step deleted."""
        return list(self._engine.view.services(self._engine.clock()))

    def take(self, step: Step) -> dict[str, Any]:
        """Make the JSON object of the step that was just run. ``broken`` lists invariants that do not hold, if any."""
        engine = self._engine
        services = {line.name: line.as_json() for line in self.lines()}
        went = sorted(self._present - set(services))
        self._present = set(services)
        for name in went:
            gone = ServiceLine(name, Publication("Deleted", message="is gone"), None, None, ())
            services[name] = gone.as_json()
        networks = {line.name: line.as_json() for line in engine.view.networks()}
        accepted = engine.view.accepted or []
        entries = [{**json.loads(encode_entry(entry)), "hash": digest} for entry, digest in accepted[self._entries :]]
        self._entries = len(accepted)
        writes = list(engine.writes)
        engine.writes.clear()
        action = step.action
        broken = [
            f"{one.address} {one.text()}" for one in shown_twice(engine.view.cluster.services(), engine.view.ledger)
        ]
        differs = compare(action, services, networks) if isinstance(action, Expect) else []
        return {
            "step": step.number,
            "action": step.verb,
            "time": timestamp(engine.clock()),
            "services": dict(sorted(services.items())),
            "networks": networks,
            "entries": entries,
            "writes": writes,
            "expect": differs or "met",
            **({"broken": broken} if broken else {}),
        }


def compare(
    expect: Expect, services: Mapping[str, Mapping[str, Any]], networks: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return the differences from the expectations, a line each; [] when all are met."""
    found: list[str] = []
    for kind, wanted, present in (("services", expect.services, services), ("networks", expect.networks, networks)):
        for name, part in wanted.items():
            place = f"{kind}.{name}"
            actual = present.get(name)
            if part is None:
                if actual is not None:
                    found.append(f"{place}: expected to be absent, is {_shown(actual)}")
            elif actual is None:
                found.append(f"{place}: expected {_shown(part)}, is absent")
            else:
                found += _differences(place, part, actual)
    return found


def _differences(place: str, wanted: Any, actual: Any) -> list[str]:
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        found: list[str] = []
        for key, value in wanted.items():
            if key in actual:
                found += _differences(f"{place}.{key}", value, actual[key])
            elif value is not None:
                found.append(f"{place}.{key}: expected {_shown(value)}, is absent")
        return found
    if wanted == actual and isinstance(wanted, bool) == isinstance(actual, bool):
        return []
    return [f"{place}: expected {_shown(wanted)}, is {_shown(actual)}"]


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value) if not isinstance(value, str) else value or '""'
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}…"
