"""A bad scenario is refused with file, line and field before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledgerlb.core.errors import InvalidManifest
from ledgerlb.simulator.located import load_documents
from ledgerlb.simulator.scenario import Advance, Apply, Crash, Delete, Expect, Redeliver, Restart, load_scenario
from tests.unit.cli.conftest import Invoke

HEAD = "apiVersion: ledgerlb.io/v1alpha1\nkind: Scenario\n"


def scenario(folder: Path, body: str, head: str = HEAD) -> Path:
    file = folder / "scenario.yaml"
    file.write_text(head + body, "utf-8")
    return file


BAD = [
    # body, line, field, a part of the problem
    ("steps: []\n", 3, "steps", "not a list of steps"),
    ("steps: {}\n", 3, "steps", "not a list of steps"),
    ("x: 1\nsteps:\n- advance: 1s\n", 3, "x", "not known"),
    ("settings: 7\nsteps:\n- advance: 1s\n", 3, "settings", "not a mapping"),
    ("settings:\n  multus: false\n  colour: red\nsteps:\n- advance: 1s\n", 5, "settings.colour", "is not a setting"),
    ("settings:\n  defaults:\n    quarantine: soon\nsteps:\n- advance: 1s\n", 5, "settings.defaults.quarantine", "duration"),
    ("steps:\n- advance: 1s\n- 7\n", 5, "steps[1]", "not a mapping"),
    ("steps:\n- advance: 1s\n  restart: all\n", 4, "steps[0]", "has 2 keys"),
    ("steps:\n- {}\n", 4, "steps[0]", "has 0 keys"),
    ("steps:\n- pause: 1s\n", 4, "steps[0].pause", "not a kind of step"),
    ("steps:\n- advance: tomorrow\n", 4, "steps[0].advance", "not a duration"),
    ("steps:\n- advance: -1\n", 4, "steps[0].advance", "out of bounds"),
    ("steps:\n- advance: 20000d\n", 4, "steps[0].advance", "out of bounds"),
    ("steps:\n- restart: nobody\n", 4, "steps[0].restart", "'nobody' is not a part"),
    ("steps:\n- restart:\n  - ipam\n  - all\n", 6, "steps[0].restart[1]", "'all' is not a part"),
    ("steps:\n- restart: []\n", 4, "steps[0].restart", "names no part"),
    ("steps:\n- redeliver: some\n", 4, "steps[0].redeliver", "not a number of inputs"),
    ("steps:\n- redeliver: -1\n", 4, "steps[0].redeliver", "not a number of inputs"),
    ("steps:\n- redeliver: true\n", 4, "steps[0].redeliver", "not a number of inputs"),
    ("steps:\n- agents: asleep\n", 4, "steps[0].agents", "not a way agents behave"),
    ("steps:\n- crash: [ipam]\n", 4, "steps[0].crash", "is not a part"),
    ("steps:\n- delete: []\n", 4, "steps[0].delete", "not a list of references"),
    ("steps:\n- delete:\n  - kind: Service\n", 5, "steps[0].delete[0].name", "is missing"),
    ("steps:\n- delete:\n  - {kind: Service, name: a, uid: b}\n", 5, "steps[0].delete[0].uid", "not known"),
    ("steps:\n- delete:\n  - {kind: Service, name: 7}\n", 5, "steps[0].delete[0].name", "not text"),
    ("steps:\n- apply: 7\n", 4, "steps[0].apply", "neither objects nor paths"),
    ("steps:\n- apply: none.yaml\n", 4, "steps[0].apply", "no file 'none.yaml'"),
    ("steps:\n- apply: [7]\n", 4, "steps[0].apply[0]", "not a Kubernetes object"),
    ("steps:\n- apply:\n  - metadata: {name: a}\n", 5, "steps[0].apply[0].kind", "is missing"),
    ("steps:\n- apply:\n  - kind: Service\n", 5, "steps[0].apply[0].metadata", "is missing"),
    ("steps:\n- apply:\n  - kind: Service\n    metadata:\n      namespace: a\n", 6, "steps[0].apply[0].metadata.name", "is missing"),
    ("steps:\n- apply:\n  - kind: List\n    items: 7\n", 6, "steps[0].apply[0].items", "not a list"),
    ("steps:\n- expect: {}\n", 4, "steps[0].expect", "expects nothing"),
    ("steps:\n- expect:\n    service: {}\n", 5, "steps[0].expect.service", "not known"),
    ("steps:\n- expect:\n    services:\n      web: {state: Ready}\n", 6, "steps[0].expect.services.web", "not namespace/name"),
    ("steps:\n- expect:\n    services:\n      a/b:\n        states: Ready\n", 7, "steps[0].expect.services.a/b.states", "not known"),
    ("steps:\n- expect:\n    services:\n      a/b:\n        state: ready\n", 7, "steps[0].expect.services.a/b.state", "is not a state"),
    ("steps:\n- expect:\n    services:\n      a/b: {addresses: 192.0.2.2}\n", 6, "steps[0].expect.services.a/b.addresses", "not a list"),
    ("steps:\n- expect:\n    services:\n      a/b:\n        path_set:\n          192.0.2.2:\n            n1: {wait: 2}\n", 9, "steps[0].expect.services.a/b.path_set.192.0.2.2.n1.wait", "not known"),
    ("steps:\n- expect:\n    networks:\n      a/b: {free: 1}\n", 6, "steps[0].expect.networks.a/b.free", "not known"),
    ("steps:\n- advance: 1s\nsteps:\n- advance: 2s\n", 5, "steps", "is given twice"),
    ("steps:\n- advance: !!python/name:os.system ''\n", 4, "steps[0].advance", "tag"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "line", "field", "problem"), BAD, ids=[f"{b[2]}-{i}" for i, b in enumerate(BAD)])
def test_a_bad_scenario_names_file_line_and_field(  # noqa: PLR0917 - a table and two fixtures
    body: str, line: int, field: str, problem: str, tmp_path: Path, invoke: Invoke
) -> None:
    file = scenario(tmp_path, body)
    with pytest.raises(InvalidManifest) as caught:
        load_scenario(file)
    assert caught.value.subject == f"{file}:{line}"
    assert caught.value.field == field
    assert problem in caught.value.problem
    result = invoke("simulate", str(file))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{file}:{line}, {field}: " in result.stderr


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "is empty"),
        ("a: [\n", 2, "invalid YAML"),
        (HEAD + "steps: [\n- x\n  y: {", 4, "invalid YAML"),
        (HEAD + "steps:\n- advance: 1s\n---\na: 1\n", 1, "2 documents"),
        ("- 1\n", 1, "not a mapping"),
        ("apiVersion: v1\nkind: Scenario\nsteps: [{advance: 1s}]\n", 1, "is 'v1'"),
        ("apiVersion: ledgerlb.io/v1alpha1\nkind: Service\nsteps: [{advance: 1s}]\n", 2, "is 'Service'"),
        ("apiVersion: ledgerlb.io/v1alpha1\nsteps: [{advance: 1s}]\n", 1, "is missing"),
        ("\x01", 1, "invalid YAML"),
        (HEAD + "a: &a [1]\nsteps: " + "[" * 100 + "]" * 100 + "\n", 4, "nested"),
    ],
)
def test_a_file_that_is_no_scenario(text: str, line: int, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest) as caught:
        load_scenario(scenario(tmp_path, text, head=""))
    assert caught.value.subject == f"{tmp_path}/scenario.yaml:{line}"
    assert problem in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path, invoke: Invoke) -> None:
    result = invoke("simulate", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "none.yaml" in result.stderr


def test_aliases_that_stand_for_too_much(tmp_path: Path) -> None:
    levels = "\n".join(f"- &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" if i else "- &l0 [1, 1]" for i in range(9))
    with pytest.raises(InvalidManifest, match="expands to more than"):
        load_documents(levels, "bomb.yaml")


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 200_000, "- " * 200_000, "a: &a [*a]\n"])
def test_nesting_without_an_end_does_not_end_the_process(text: str) -> None:
    with pytest.raises(InvalidManifest, match=r"nest|invalid YAML"):
        load_documents(text, "deep.yaml")


def test_an_error_in_an_applied_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "objects.yaml").write_text("kind: Service\nmetadata: {name: a}\n---\nkind: Service\nmetadata: {}\n")
    with pytest.raises(InvalidManifest) as caught:
        load_scenario(scenario(tmp_path, "steps:\n- apply: objects.yaml\n"))
    assert caught.value.subject == f"{tmp_path}/objects.yaml:5"
    assert caught.value.field == "metadata.name"


def test_an_object_that_an_api_server_would_refuse(tmp_path: Path, invoke: Invoke) -> None:
    file = scenario(
        tmp_path, "steps:\n- apply:\n  - kind: Service\n    metadata: {name: b, namespace: a}\n    spec: {ports: 7}\n"
    )
    result = invoke("simulate", str(file))
    assert result.exit_code == 2
    assert f"{file}:5" in result.stderr
    assert "spec.ports" in result.stderr


def test_every_kind_of_step(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.yaml").write_text("kind: Namespace\nmetadata: {name: b}\n")
    (tmp_path / "more" / "a.yaml").write_text(
        "kind: List\nitems:\n- kind: Namespace\n  metadata: {name: a}\n- kind: Namespace\n  metadata: {name: a2}\n"
    )
    body = """
settings: {agentTimeout: 10s, multus: true}
steps:
- apply: [more, {kind: Namespace, metadata: {name: c}}]
- apply: more/b.yaml
- delete: [{kind: Service, namespace: a, name: b}, {kind: Node, name: n1}]
- advance: 1h30m
- restart: all
- restart: [ipam, selector]
- redeliver: 20
- agents: silent
- crash: ipam
- expect: {services: {a/b: null}, networks: {n/v: {size: 253}}}
"""
    found = load_scenario(scenario(tmp_path, body))
    assert found.settings.agent_timeout == 10
    assert found.settings.multus
    actions = [step.action for step in found.steps]
    assert isinstance(actions[0], Apply)
    assert [obj["metadata"]["name"] for obj in actions[0].objects] == ["a", "a2", "b", "c"]
    assert isinstance(actions[2], Delete)
    assert [reference.name for reference in actions[2].references] == ["b", "n1"]
    assert actions[3] == Advance(5400.0)
    assert actions[4] == Restart(("watcher", "selector", "ipam", "programmer"))
    assert actions[5] == Restart(("selector", "ipam"))
    assert actions[6] == Redeliver(20)
    assert actions[8] == Crash("ipam")
    assert isinstance(actions[9], Expect)
    assert [step.number for step in found.steps] == list(range(1, 11))


def test_scalars_are_read_as_kubernetes_means_them() -> None:
    (found,) = load_documents(
        "t: 2026-01-01T00:00:00Z\non: yes\na: 1:2:3:4:5:6:7:8\nb: 'true'\nc: true\nd: 0x10\ne: 1.5\nf:\ng: 08\n", "x"
    )
    assert found.data == {
        "t": "2026-01-01T00:00:00Z", "on": "yes", "a": "1:2:3:4:5:6:7:8", "b": "true", "c": True, "d": 16, "e": 1.5,
        "f": None, "g": 8,
    }  # fmt: skip


class TestSimulateCommand:
    GOOD = "steps:\n- apply:\n  - kind: Namespace\n    metadata: {name: a}\n- expect: {services: {a/b: null}}\n"

    def test_one_json_object_a_step(self, tmp_path: Path, invoke: Invoke) -> None:
        result = invoke("simulate", str(scenario(tmp_path, self.GOOD)), "-o", "json")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.exit_code == 0
        assert [(line["step"], line["action"], line["expect"]) for line in lines] == [
            (1, "apply", "met"),
            (2, "expect", "met"),
        ]
        for line in lines:
            assert list(line) == [
                "version",
                "step",
                "action",
                "time",
                "services",
                "networks",
                "entries",
                "writes",
                "expect",
            ]

    def test_an_unmet_expectation_is_exit_status_1(self, tmp_path: Path, invoke: Invoke) -> None:
        body = self.GOOD + "- expect: {services: {a/b: {state: Ready}}}\n"
        result = invoke("simulate", str(scenario(tmp_path, body)))
        assert result.exit_code == 1
        assert "services.a/b: expected {'state': 'Ready'}, is absent" in result.stdout
        assert "1 of 2 expectations met" in result.stdout

    def test_deleting_what_is_not_there_is_told(self, tmp_path: Path, invoke: Invoke) -> None:
        body = self.GOOD + "- delete: [{kind: Service, namespace: a, name: b}]\n"
        result = invoke("simulate", str(scenario(tmp_path, body)))
        assert result.exit_code == 0
        assert "there is no Service a/b to delete" in result.stderr
