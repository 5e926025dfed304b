"""Kill a part after any append or write and start it again: the outcome is the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.objects import ADDRESSES, NETWORK, backends, nad, service
from tests.support.simulate import apply, audit_of, base, delete, run, run_simulation, simulation_of

STEPS = [
    apply(
        *base(
            nad("net/two", "198.51.100.0/24", "2001:db8::/64"),
            service("a/b"),
            service("a/c", {ADDRESSES: "192.0.2.9"}),
            service("a/d", {ADDRESSES: "192.0.2.9"}),
            service("a/e", {NETWORK: "net/two"}, ipFamilyPolicy="RequireDualStack"),
            service("a/f", {NETWORK: "net/none"}),
            backends("a/b", n1=["10.1.0.1"]),
        )
    ),
    apply(service("a/b", {NETWORK: "net/two"}), backends("a/b", n1=["10.1.0.1", "10.1.0.2"])),
    delete("Service", "a/c"),
    {"advance": "6m"},
    apply(service("a/c")),
]
PARTS = ("network-selector", "ipam", "planner", "agent/n1", "watcher")


class KillAfter:
    """Kills a part after its append or write number ``count`` (from 0), once."""

    def __init__(self, part: str, count: int) -> None:
        self.part = part
        self.left = count
        self.killed = False

    def __call__(self, name: str, what: str) -> bool:
        if name != self.part or self.killed:
            return False
        self.left -= 1
        self.killed = self.left < 0
        return self.killed


class KillAlways:
    """Kills a part after each of its first ``most`` appends and writes."""

    def __init__(self, part: str, most: int) -> None:
        self.part = part
        self.left = most

    def __call__(self, name: str, what: str) -> bool:
        if name != self.part or not self.left:
            return False
        self.left -= 1
        return True


def outcome(steps: list[dict[str, Any]]) -> list[Any]:
    return [(step["services"], step["networks"]) for step in steps]


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    return outcome(run(STEPS))


def test_the_scenario_does_what_it_is_for(undisturbed: list[Any]) -> None:
    services, networks = undisturbed[-1]
    assert {name: found["state"] for name, found in services.items()} == {
        "a/b": "Ready", "a/c": "Ready", "a/d": "Ready", "a/e": "Ready", "a/f": "Pending",
    }  # fmt: skip
    assert networks["net/two"]["allocated"] == 3


@pytest.mark.parametrize("part", PARTS)
def test_one_kill_after_each_append(part: str, undisturbed: list[Any]) -> None:
    kills = 0
    while True:
        fault = KillAfter(part, kills)
        found = outcome(run(STEPS, fault=fault))
        assert found == undisturbed, f"after append {kills} of {part}"
        if not fault.killed:
            break
        kills += 1
    assert kills > 0


@pytest.mark.parametrize("part", PARTS)
def test_kills_in_a_row(part: str, undisturbed: list[Any]) -> None:
    assert outcome(run(STEPS, fault=KillAlways(part, 10)))[-1] == undisturbed[-1]


def test_no_kill_leaves_a_ledger_that_does_not_verify() -> None:
    simulation = simulation_of(STEPS, fault=KillAlways("ipam", 5))
    run_simulation(simulation)
    report = audit_of(simulation)
    assert report.clean
    assert report.accepted > 5
    assert report.rejected == 0
