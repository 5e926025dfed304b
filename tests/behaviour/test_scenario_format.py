"""The scenario format: what a file may contain, what each step does, and what the output shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.core.errors import BadInput
from ledgerlb.simulator.runner import Simulation
from ledgerlb.simulator.scenario import load_scenario
from tests.behaviour.play import Case, Moment, absent, case, happened, no_network, pending, play, ready, table
from tests.behaviour.world import world
from tests.builders.objects import ADDRESSES, NETWORK, Object, aged, nad, service
from tests.support.simulate import apply, delete, document, run, run_simulation

S = service("a/s")
SILENT = {"agents": "silent"}


def state(name: str, wanted: str) -> Object:
    return {"expect": {"services": {name: {"state": wanted}}}}


def shows(name: str, **wanted: Any) -> Any:
    """The step before shows this of the Service."""

    def look(moment: Moment) -> None:
        line = moment.step["services"].get(name, {})
        assert line.items() >= wanted.items(), line

    return look


def finalized(moment: Moment) -> None:
    found = moment.cluster.get("Service", "a", "s")
    assert found["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"


CASES = [
    case("deleted-is-shown-in-the-step-in-which-a-service-goes", world(S), delete("Service", "a/s"), shows("a/s", state="Deleted"), absent("a/s")),
    case("deleted-is-shown-while-the-address-is-being-released", world(S), SILENT, delete("Service", "a/s"), finalized, shows("a/s", state="Deleted"), {"advance": "1m"}, state("a/s", "Deleted"), {"agents": "normal"}, shows("a/s", state="Deleted"), absent("a/s")),
    case("a-service-that-waited-is-shown-as-deleted-too", world(service("a/s", {NETWORK: "net/none"})), delete("Service", "a/s"), shows("a/s", state="Deleted"), absent("a/s")),
    case("silent-agents-send-no-heartbeat-either", world(S), SILENT, {"advance": "6m"}, delete("Service", "a/s"), happened("AddressReleasing", "AddressReleased")),
    case("an-object-made-by-a-nad-may-be-deleted", world(nad("net/x", "10.0.0.0/24")), delete("VirtualNetwork", "net/x"), {"expect": {"networks": {"net/x": {"size": 253}}}}),
    case("a-network-that-goes-is-shown-no-more", world(nad("net/x", "10.0.0.0/24")), delete("NetworkAttachmentDefinition", "net/x"), no_network("net/x")),
    case("before-the-first-apply-nothing-is-known", {"agents": "silent"}, {"advance": "1h"}, happened(), world(S), ready("a/s", "192.0.2.2")),
    case("an-empty-apply-is-complete-knowledge", {"apply": []}, apply(S), pending("a/s", "NoDefaultNetwork")),
    *(case(f"a-crash-of-{part}-is-mended", world(S), {"crash": part}, happened(), ready("a/s", "192.0.2.2"), delete("Service", "a/s"), absent("a/s")) for part in ("watcher", "selector", "ipam", "programmer")),
]  # fmt: skip


@table(CASES)
def test_steps(case: Case) -> None:
    play(case)


BAD: dict[str, tuple[Any, str]] = {
    "a-step-of-two-keys": ([{"apply": [], "advance": "1s"}], "steps[0]"),
    "an-unknown-step": ([{"wait": "1s"}], "wait"),
    "an-empty-step": ([{}], "steps[0]"),
    "no-steps": ([], "steps"),
    "an-expectation-of-nothing": ([{"expect": {}}], "expect"),
    "an-unknown-key-in-an-expectation": ([{"expect": {"pods": {}}}], "pods"),
    "an-unknown-key-of-a-service": ([{"expect": {"services": {"a/s": {"ip": "x"}}}}], "ip"),
    "an-unknown-key-of-a-network": ([{"expect": {"networks": {"a/s": {"full": True}}}}], "full"),
    "an-unknown-state": ([{"expect": {"services": {"a/s": {"state": "Happy"}}}}], "state"),
    "an-unknown-part": ([{"restart": ["console"]}], "restart"),
    "a-crash-of-all": ([{"crash": "all"}], "crash"),
    "a-duration-without-unit-as-text": ([{"advance": "soon"}], "advance"),
    "time-that-goes-back": ([{"advance": -1}], "advance"),
    "a-negative-repetition": ([{"redeliver": -1}], "redeliver"),
    "agents-of-another-mood": ([{"agents": "lazy"}], "agents"),
    "a-deletion-without-a-name": ([{"delete": [{"kind": "Service"}]}], "name"),
    "an-unknown-key-of-a-deletion": ([{"delete": [{"kind": "Service", "name": "s", "uid": "1"}]}], "uid"),
    "an-object-without-a-kind": ([{"apply": [{"metadata": {"name": "s"}}]}], "kind"),
    "an-object-without-a-name": ([{"apply": [{"kind": "Service"}]}], "metadata"),
    "a-file-that-is-not-there": ([{"apply": "missing.yaml"}], "apply"),
}  # fmt: skip


def written(folder: Path, content: Any) -> Path:
    file = folder / "scenario.yaml"
    file.write_text(json.dumps(content, indent=1), "utf-8")
    return file


@pytest.mark.parametrize(("steps", "field"), BAD.values(), ids=BAD)
def test_a_bad_scenario_is_refused_with_its_place(steps: Any, field: str, tmp_path: Path) -> None:
    file = written(tmp_path, document(steps))
    with pytest.raises(BadInput) as caught:
        load_scenario(file)
    assert f"{file}:" in str(caught.value)
    assert field in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"colour": "red"}, {"agentTimeout": "soon"}, {"kubemanager": {"nickname": "x"}}, {"defaults": {"quota": 1}}, {"multus": "perhaps"},
        {"agentTimeout": -5}, {"defaults": {"quarantine": True}}, {"defaults": {"lease": 1e300}}, {"contrail_namespace": "c"},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_setting_is_refused_with_its_place(settings: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="settings"):
        load_scenario(written(tmp_path, document([{"apply": []}], settings)))


def test_what_is_known_beside_a_setting_that_is_not_is_said(tmp_path: Path) -> None:
    for settings, known in (
        ({"defaults": {"quota": 1}}, "known: decisionsPerMinute, lease, quarantine, "),
        ({"x": 1}, "known: agentTimeout, "),
    ):
        with pytest.raises(BadInput, match=known):
            load_scenario(written(tmp_path, document([{"apply": []}], settings)))


def test_every_setting_may_be_said(tmp_path: Path) -> None:
    settings = {
        "contrailNamespace": "c", "kubemanager": {"namespace": "c", "name": "k"}, "externalNetworkSelectors": {},
        "loadBalancerClass": "x/y", "multus": True, "defaults": {"quarantine": "1m", "lease": "1h"},
        "agentTimeout": "1m", "serviceNetwork": "c/s",
    }  # fmt: skip
    found = load_scenario(written(tmp_path, document([{"apply": []}], settings))).settings
    assert (found.contrail_namespace, found.agent_timeout, found.defaults.lease) == ("c", 60.0, 3600.0)


def test_paths_are_relative_to_the_scenario_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.yaml").write_text(json.dumps(world()["apply"][0]) + "\n---\n" + json.dumps(S), "utf-8")
    (tmp_path / "b.yaml").write_text(json.dumps({"kind": "List", "items": world()["apply"]}), "utf-8")
    file = written(tmp_path, document([{"apply": ["b.yaml", "more"]}]))
    (step,) = run_simulation(Simulation(load_scenario(file)))
    assert step["services"]["a/s"]["state"] == "Ready"


def test_what_a_step_shows() -> None:
    first, second = run([world(S), {"expect": {"services": {"a/s": {"state": "Ready"}}}}])
    assert list(first) == ["step", "action", "time", "services", "networks", "entries", "writes", "expect"]
    assert (first["step"], first["action"], first["expect"]) == (1, "apply", "met")
    assert (second["step"], second["action"], second["expect"]) == (2, "expect", "met")
    assert set(first["services"]["a/s"]) == {
        "state",
        "network",
        "wanted",
        "addresses",
        "reason",
        "message",
        "rung",
        "reachability",
        "path_set",
    }
    assert set(first["networks"]["net/ext"]) == {"size", "allocated", "quarantined", "conflict", "problem", "warning"}
    entry = first["entries"][-1]
    assert {"v", "network", "seq", "prev", "decided_at", "decider", "cause", "events"} <= set(entry)


@pytest.mark.parametrize(
    ("expected", "met"),
    [
        ({"services": {"a/s": {"addresses": ["192.0.2.2"]}}}, True),
        ({"services": {"a/s": {"addresses": []}}}, False),
        ({"services": {"a/s": {"addresses": ["192.0.2.2", "192.0.2.3"]}}}, False),
        ({"services": {"a/s": {"reason": None, "network": "net/ext"}}}, True),
        ({"services": {"a/s": {"reason": "NetworkFull"}}}, False),
        ({"services": {"a/none": None}}, True),
        ({"services": {"a/none": {"state": "Ready"}}}, False),
        ({"services": {"a/s": None}}, False),
        ({"services": {"a/s": {}}}, True),
        ({"networks": {"net/ext": {"size": 253, "allocated": 1}}}, True),
        ({"networks": {"net/ext": {"size": "253"}}}, False),
        ({"networks": {"net/none": None}}, True),
    ],
)
def test_mappings_compare_as_subsets_and_all_else_exactly(expected: Object, met: bool) -> None:
    *_, step = run([world(S), {"expect": expected}])
    assert (step["expect"] == "met") is met


def test_entries_are_a_chain() -> None:
    steps = run([world(S), apply(service("a/t")), delete("Service", "a/s"), {"advance": "2d"}])
    entries = [entry for step in steps for entry in step["entries"] if entry["network"] == "net/ext"]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry["prev"] for entry in entries[1:]] == [entry["hash"] for entry in entries[:-1]]


def test_an_entry_says_what_it_followed() -> None:
    *_, step = run([world(), apply(aged(service("a/s", {ADDRESSES: "192.0.2.9"}), "01"))])
    (entry,) = step["entries"]
    (cause,) = entry["cause"]
    assert (cause["service"], cause["rung"]) == ("a/s", "default-selector")
    assert "net/ext" in cause["explanation"]
