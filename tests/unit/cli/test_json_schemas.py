"""Every JSON output keeps to its schema in docs/schemas, and each schema names every field that its command prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource

from ledgerlb.cli.main import app
from tests.builders.objects import NETWORK, backends, port, service
from tests.support.simulate import apply, base, delete, run_simulation, simulation_of
from tests.unit.cli.conftest import Invoke, Past, write_log

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def strict(schema: Any) -> Any:
    """The schema, with every field that it does not name forbidden. Users may get new fields; our tests may not."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def read(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))


def validator(name: str, reading: Callable[[Any], Any] = strict) -> Draft202012Validator:
    parts = Resource.from_contents(reading(read("common")))
    return Draft202012Validator(reading(read(name)), registry=Registry().with_resource("common.json", parts))


def names() -> list[str]:
    return sorted(path.stem for path in SCHEMAS.glob("*.json"))


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """A log with releases, changed holdings, refusals and path sets."""
    folder = tmp_path_factory.mktemp("rich")
    web = service("a/web", ports=[port(80)])
    simulation = simulation_of(
        [
            apply(*base(web, service("a/old"), backends("a/web", n1=["10.1.0.1"]))),
            apply(
                {**web, "spec": {**web["spec"], "ports": [port(80), port(443)]}}, service("a/lost", {NETWORK: "net/no"})
            ),
            delete("Service", "a/old"),
            {"advance": "10m"},
        ]
    )
    run_simulation(simulation)
    return Past(simulation.engine, write_log(simulation.engine, folder / "ledger.db"))


@pytest.mark.parametrize("name", names())
def test_a_schema_is_one(name):
    Draft202012Validator.check_schema(read(name))
    assert read(name)["$id"] == f"{name}.json"


COMMANDS = [
    ("services", ["services"]),
    ("services", ["services", "a/web"]),
    ("networks", ["networks"]),
    ("history", ["history", "192.0.2.2"]),
    ("history", ["history", "192.0.2.99"]),
    ("history", ["history", "a/old"]),
    ("explain-service", ["explain", "a/web"]),
    ("explain-service", ["explain", "a/lost"]),
    ("explain-service", ["explain", "a/old"]),
    ("explain-network", ["explain", "network", "net/ext"]),
    ("tail", ["tail", "--no-follow", "-n", "100"]),
    ("paths", ["paths", "192.0.2.2"]),
    ("paths", ["paths", "192.0.2.99"]),
    ("verify", ["verify"]),
    ("topics-check", ["topics", "check"]),
    ("topics-apply", ["topics", "apply"]),
    ("heads", ["heads", "show"]),
    ("repair", ["repair"]),
    ("reselect", ["reselect", "a/web", "--dry-run"]),
    ("confirm-deletions", ["confirm-deletions"]),
]


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=lambda one: " ".join(one) if isinstance(one, list) else "")
def test_an_output_keeps_to_its_schema(name: str, command: list[str], rich: Past, invoke: Invoke) -> None:
    lines = invoke(*command, "--log", rich.url, "-o", "json").stdout.splitlines()
    assert lines
    for line in lines:
        validator(name).validate(json.loads(line))


@pytest.mark.parametrize("name", ["services", "networks"])
def test_yaml_keeps_to_the_same_schema(name: str, rich: Past, invoke: Invoke) -> None:
    validator(name).validate(yaml.safe_load(invoke(name, "--log", rich.url, "-o", "yaml").stdout))


def test_backup_restore_and_version(rich: Past, invoke: Invoke, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.db", f"sqlite://{tmp_path}/other.db"
    validator("backup").validate(json.loads(invoke("backup", str(copy), "--log", rich.url, "-o", "json").stdout))
    for _ in range(2):
        validator("restore").validate(json.loads(invoke("restore", str(copy), "--log", other, "-o", "json").stdout))
    validator("version").validate(json.loads(invoke("version", "-o", "json").stdout))


def test_run_and_simulate(invoke: Invoke, tmp_path: Path) -> None:
    objects = base(service("a/web"), backends("a/web", n1=["10.1.0.1"]))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "all.yaml").write_text(yaml.safe_dump_all(objects))
    log = f"sqlite://{tmp_path}/l.db"
    ran = invoke("run", "--manifests", str(tmp_path / "m"), "--log", log, "--until-settled", "-o", "json")
    validator("run").validate(json.loads(ran.stdout))
    steps = [apply(*objects), {"expect": {"services": {"a/web": {"state": "Pending"}}}}, delete("Service", "a/web")]
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(yaml.safe_dump({"apiVersion": "ledgerlb.io/v1alpha1", "kind": "Scenario", "steps": steps}))
    lines = invoke("simulate", str(scenario), "-o", "json").stdout.splitlines()
    assert len(lines) == len(steps)
    for line in lines:
        validator("simulate").validate(json.loads(line))


def test_a_confirmed_deletion_keeps_to_its_schema() -> None:
    shown = {
        "version": 1,
        "gone": 8,
        "held": 8,
        "until": "2026-01-01T00:00:00Z",
        "services": ["a/x"],
        "networks": ["net/x"],
    }
    validator("confirm-deletions").validate(shown)


def test_a_release_of_everything_keeps_to_its_schema() -> None:
    left = {"a/x": ["192.0.2.2 waits for agent far to withdraw it"]}
    validator("release-all").validate({"version": 1, "services": ["a/x"], "addresses": 1, "left": left})


def test_a_missing_field_and_an_unknown_one_are_found(rich: Past, invoke: Invoke) -> None:
    data = json.loads(invoke("services", "--log", rich.url, "-o", "json").stdout)
    shown = data["services"]["a/web"]
    for wrong in ({**shown, "more": 1}, {key: value for key, value in shown.items() if key != "state"}):
        with pytest.raises(ValidationError):
            validator("services").validate({**data, "services": {"a/web": wrong}})
    loose = validator("services", lambda schema: schema)
    loose.validate({**data, "services": {"a/web": {**shown, "more": 1}}})


def commands_with_json() -> Iterator[str]:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        if hasattr(command, "commands"):
            for name, placeholder in command.commands.items():
                yield from walk(placeholder.load() if hasattr(placeholder, "load") else placeholder, (*path, name))
        elif any("--output" in parameter.opts and "json" in forms(parameter) for parameter in command.params):
            yield " ".join(path)

    def forms(parameter: Any) -> list[str]:
        kind = parameter.type_descriptor.annotation
        return [member.value for member in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []

    yield from walk(typer.main.get_command(app), ())


def test_every_command_with_json_has_a_schema_that_names_it() -> None:
    titles = " / ".join(read(name)["title"] for name in names())
    named = titles.replace("show|forget", "show / ledgerlb heads forget")
    missing = [command for command in commands_with_json() if f"ledgerlb {command}" not in named]
    assert missing == []
