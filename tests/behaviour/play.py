"""Plays a case: scenario steps through the real simulator, each expectation in the scenario's own words.

A script is a row of scenario steps (mappings; those made by ``ready``, ``pending``, … are ``expect`` steps) and of
looks (functions) at the step before them. Every case ends with a restart of everything and a repetition of all inputs,
which must change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from ledgerlb.core.cluster.facts import FINALIZER
from ledgerlb.core.paths.pathset import PathSet, decode_path_set
from ledgerlb.eventlog.topics import PATHS
from ledgerlb.simulator.runner import Simulation
from tests.builders.objects import Object
from tests.support.simulate import simulation_of

HARMLESS: Final[tuple[Object, ...]] = ({"restart": "all"}, {"redeliver": 1000})


@dataclass(frozen=True)
class Moment:
    """A step that was just run: its JSON object, and the simulation after it."""

    step: Mapping[str, Any]
    simulation: Simulation

    @property
    def cluster(self) -> Any:
        """The cluster itself: what is changed here is seen with the next step, as after a time without a watcher."""
        return self.simulation.engine._cluster

    @property
    def events(self) -> list[dict[str, Any]]:
        """The ledger events of the step, in order."""
        return [event for entry in self.step["entries"] for event in entry["events"]]

    def path_set(self, address: str) -> PathSet | None:
        """The path set of an address as it was published last."""
        records = [record for record in self.simulation.engine.records(PATHS) if record.key == address]
        return decode_path_set(address, records[-1].value) if records else None


Look = Callable[[Moment], None]


@dataclass(frozen=True)
class Case:
    """One row of a table."""

    name: str
    script: tuple[Object | Look, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


def case(name: str, *script: Object | Look, settings: Mapping[str, Any] | None = None) -> Case:
    return Case(name, script, settings or {})


def table(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """Decorate a test that takes ``case``."""
    listed = list(cases)
    names = [one.name for one in listed]
    assert len(set(names)) == len(names), "two cases have one name"
    return pytest.mark.parametrize("case", listed, ids=names)


def play(one: Case, *, between: tuple[Object, ...] = ()) -> list[dict[str, Any]]:
    """Run a case; every expectation and look must hold. ``between`` are steps put after each of its own that must
    change nothing.
    """
    script: list[Object | Look] = []
    for item in one.script:
        script.append(item)
        if isinstance(item, dict) and "expect" not in item:
            script += [_Harmless(step) for step in between]
    script += [_Harmless(step) for step in HARMLESS]
    return asyncio.run(_play(script, one.settings))


class _Harmless(dict[str, Any]):
    """A step that must change nothing."""


async def _play(script: list[Object | Look], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    simulation = simulation_of([dict(item) for item in script if isinstance(item, dict)], settings)
    running: AsyncIterator[dict[str, Any]] = simulation.run()
    steps: list[dict[str, Any]] = []
    own: dict[str, Any] = {}
    for item in script:
        if callable(item):
            item(Moment(own, simulation))
            continue
        step = await anext(running)
        steps.append(step)
        if isinstance(item, _Harmless):
            _assert_same(steps[-2], step)
            continue
        assert step["expect"] == "met", f"step {step['step']}: {step['expect']}\n{_told(step)}"
        assert "broken" not in step, step["broken"]
        _assert_guarded(step, simulation)
        own = step if step["action"] != "expect" else own
    assert [step async for step in running] == []
    return steps


def _assert_guarded(step: Mapping[str, Any], simulation: Simulation) -> None:
    """Every version of a Service that we wrote and that shows an address of ours carries our finalizer."""
    for write in step["writes"]:
        if write["kind"] != "Service" or FINALIZER in write["metadata"].get("finalizers", ()):
            continue
        name = f"{write['metadata']['namespace']}/{write['metadata']['name']}"
        held = {holding.address for holding in simulation.engine.view.ledger.holdings_of(name)}
        ingress = (write.get("status", {}).get("loadBalancer") or {}).get("ingress") or ()
        assert not held.intersection(entry.get("ip") for entry in ingress), f"step {step['step']}: {name}"


def _assert_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    what = f"step {after['step']} ({after['action']})"
    assert after["entries"] == [], what
    assert after["entries"] == [], what
    assert after["writes"] == [], what
    # One that went is shown in the step in which it went, and then no more.
    left = {name: line for name, line in before["services"].items() if name in after["services"]}
    assert {line["state"] for name, line in before["services"].items() if name not in left} <= {"Deleted"}, what
    assert after["services"] == left, what
    assert after["networks"] == before["networks"], what


def _told(step: Mapping[str, Any]) -> str:
    lines = [f"{name}: {line['state']} {line['reason']} {line['message']}" for name, line in step["services"].items()]
    return "\n".join(lines)


# What is expected: steps


def _service(name: str, **shown: Any) -> Object:
    return {"expect": {"services": {name: shown}}}


def ready(name: str, *addresses: str, **more: Any) -> Object:
    """Ready with exactly these addresses and, unless one is given, no reason."""
    return _service(name, **{"state": "Ready", "reason": None, "addresses": list(addresses), **more})


def pending(name: str, reason: str | None, **more: Any) -> Object:
    return _service(name, **{"state": "Pending", "reason": reason, "network": None, "addresses": [], **more})


def moving(name: str, *addresses: str, **more: Any) -> Object:
    return _service(name, **{"state": "Moving", "addresses": list(addresses), **more})


def ignored(*names: str) -> Object:
    shown: Object = {"state": "Ignored", "addresses": [], "network": None}
    return {"expect": {"services": dict.fromkeys(names, shown)}}


def absent(*names: str) -> Object:
    return {"expect": {"services": dict.fromkeys(names)}}


def network(name: str, **shown: Any) -> Object:
    return {"expect": {"networks": {name: shown}}}


def no_network(name: str) -> Object:
    return {"expect": {"networks": {name: None}}}


# What is looked at: functions


def happened(*types: str) -> Look:
    """The ledger events of the step before, by type and in order, without those about the network itself."""

    def look(moment: Moment) -> None:
        found = [event["type"] for event in moment.events]
        assert [kind for kind in found if kind not in {"NetworkDefined", "NetworkGone"}] == list(types)

    return look


def event(kind: str, **values: Any) -> Look:
    """Some ledger event of the step before is of this type and has these values."""

    def look(moment: Moment) -> None:
        found = [one for one in moment.events if one["type"] == kind]
        assert any(one.items() >= values.items() for one in found), found

    return look


def because(*parts: str) -> Look:
    """The explanation of some cause of the step before names all of this."""

    def look(moment: Moment) -> None:
        found = [cause.get("explanation", "") for entry in moment.step["entries"] for cause in entry["cause"]]
        assert any(all(part in text for part in parts) for text in found), found

    return look


def says(name: str, *parts: str) -> Look:
    """The Service's message names all of this."""

    def look(moment: Moment) -> None:
        message = moment.step["services"][name]["message"]
        assert all(part in message for part in parts), message

    return look


def told(*reasons: str, about: str = "") -> Look:
    """Events with these reasons were written in the step before (about the object ``Kind namespace/name``)."""

    def look(moment: Moment) -> None:
        found = [write for write in moment.step["writes"] if write["kind"] == "Event"]
        if about:
            found = [write for write in found if _about(write) == about]
        assert {write["reason"] for write in found} >= set(reasons), found

    return look


def _about(write: Mapping[str, Any]) -> str:
    involved = write["involvedObject"]
    place = f"{involved['namespace']}/" if "namespace" in involved else ""
    return f"{involved['kind']} {place}{involved['name']}"


def condition(name: str, kind: str, **values: str) -> Look:
    """The Service's status has a condition of this type with these values."""

    def look(moment: Moment) -> None:
        place, _, bare = name.partition("/")
        status = moment.cluster.get("Service", place, bare)["status"]
        found = {one["type"]: one for one in status.get("conditions", [])}
        assert kind in found, found
        assert found[kind].items() >= values.items(), found[kind]

    return look


def ingress(name: str, *addresses: str) -> Look:
    """``status.loadBalancer.ingress`` of the Service in the cluster."""

    def look(moment: Moment) -> None:
        place, _, bare = name.partition("/")
        status = moment.cluster.get("Service", place, bare).get("status", {})
        found = status.get("loadBalancer", {}).get("ingress", [])
        assert found == [{"ip": address, "ipMode": "VIP"} for address in addresses]

    return look


def shows(name: str, *addresses: str) -> Look:
    """The addresses that the Service's status has in the cluster, whatever else its entries say."""

    def look(moment: Moment) -> None:
        place, _, bare = name.partition("/")
        balancer = moment.cluster.get("Service", place, bare).get("status", {}).get("loadBalancer") or {}
        assert [entry.get("ip") for entry in balancer.get("ingress") or ()] == list(addresses)

    return look


def pool_shows(name: str, **values: Any) -> Look:
    """The AddressPool's status in the cluster has these values."""

    def look(moment: Moment) -> None:
        status = moment.cluster.get("AddressPool", "", name).get("status", {})
        assert status.items() >= values.items(), status

    return look


def forwards(address: str, **values: Any) -> Look:
    """The published path set of the address has these values."""

    def look(moment: Moment) -> None:
        found = moment.path_set(address)
        assert found is not None, f"no path set for {address}"
        assert {key: getattr(found, key) for key in values} == values

    return look


def serves(address: str, port: int | None = None, **values: Any) -> Look:
    """Every port of the address (or the one with this number) has these values in the published path set."""

    def look(moment: Moment) -> None:
        path_set = moment.path_set(address)
        found = [one for one in path_set.frontends if port in (None, one.port)] if path_set is not None else []
        assert found, f"no such port of {address}"
        for frontend in found:
            assert {key: getattr(frontend, key) for key in values} == values

    return look


def hops(name: str, address: str, **nodes: Mapping[str, Any] | None) -> Object:
    """The Service's path set (keywords are node names, ``_`` for ``-``): subset match."""
    return _service(name, path_set={address: {node.replace("_", "-"): shown for node, shown in nodes.items()}})
