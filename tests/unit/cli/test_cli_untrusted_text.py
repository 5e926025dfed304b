"""Text from the cluster, the log or a file can neither style nor steer a terminal, whichever command shows it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.entry import GENESIS, Cause, Entry, digest, encode_entry
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.eventlog.port import NewRecord
from tests.builders.objects import NETWORK, node, service
from tests.support.simulate import apply, base, run_simulation, simulation_of
from tests.unit.cli.conftest import Invoke, Past, append, write_log

OSC = "\x1b]0;owned\x07"
CSI = "\x1b[31m\x9b2J"
PAYLOAD = f"{OSC}{CSI}\r\nfake line\u202egnp\u200b\x7f[red]x[/red]"
EVIL_NETWORK = f"net/evil{OSC}"
EVIL_SERVICE = f"a/evil{CSI}\n\u2066"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def steers(text: str) -> list[str]:
    """The characters of the output that could steer a terminal, hide or reorder text; its line ends are ours."""
    return [char for char in text if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


def evil_chain() -> list[NewRecord]:
    """A sound chain whose names and texts attack the terminal."""
    records: list[NewRecord] = []
    head = GENESIS
    batches: Sequence[tuple[ev.Event, ...]] = (
        (ev.NetworkDefined(prefixes=(ev.Prefix(4, "203.0.113.0/24"),)),),
        (ev.AddressAllocated("203.0.113.2", 4, EVIL_SERVICE, PAYLOAD, "never-used", sharing_key=PAYLOAD),),
        (ev.HoldingChanged("203.0.113.2", EVIL_SERVICE, PAYLOAD, sharing_key=PAYLOAD),),
        (ev.AllocationRefused("a/poor", PAYLOAD, PAYLOAD, PAYLOAD),),
    )
    for seq, events in enumerate(batches, 1):
        raw = encode_entry(
            Entry(
                v=VERSION, network=EVIL_NETWORK, seq=seq, prev=head, decided_at=NOW, decider=PAYLOAD,
                cause=(Cause(intent="want", service=EVIL_SERVICE, requester=PAYLOAD, rung=PAYLOAD, explanation=PAYLOAD),),
                events=events,
            )
        )  # fmt: skip
        head = digest(raw)
        records.append(NewRecord(EVIL_NETWORK, raw))
    return records


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """A log with hostile annotations (as the watcher, the selector and IPAM handed them on) and a hostile chain."""
    hostile = service("a/web", {NETWORK: f"net/{PAYLOAD}"})
    simulation = simulation_of([apply(*base(node("n2", "10.10.0.2"), hostile, service("a/good")))])
    run_simulation(simulation)
    url = write_log(simulation.engine, tmp_path_factory.mktemp("attack") / "ledger.db")
    append(url, [*evil_chain(), NewRecord(f"net/bad{OSC}", PAYLOAD.encode())])
    return Past(simulation.engine, url)


COMMANDS = [
    ["services"],
    ["services", "--all", "-o", "wide"],
    ["services", "-o", "name"],
    ["services", "a/web"],
    ["networks"],
    ["networks", "-o", "name"],
    ["explain", "a/web"],
    ["explain", EVIL_SERVICE],
    ["explain", "network", EVIL_NETWORK],
    ["history", "203.0.113.2"],
    ["history", EVIL_SERVICE],
    ["tail", "--no-follow", "-n", "100"],
    ["verify"],
]
DATA = [[*command, "-o", "json"] for command in COMMANDS if "-o" not in command] + [
    ["services", "-o", "yaml"],
    ["networks", "-o", "yaml"],
]


@pytest.mark.parametrize("command", [*COMMANDS, *DATA], ids=lambda command: ascii(" ".join(command)))
@pytest.mark.parametrize("terminal", ["", "80"], ids=["piped", "terminal"])
def test_no_command_lets_it_through(
    command: list[str], terminal: str, attacked: Past, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", terminal)
        monkeypatch.setenv("NO_COLOR", "1")
    result = invoke(*command, "--log", attacked.url)
    assert result.exit_code == (1 if command[0] == "verify" else 0), result.stderr  # one record is no entry
    assert result.stdout
    assert steers(result.stdout) == []
    assert steers(result.stderr) == []
    assert "\nfake line" not in result.stdout


class TestWhatIsShown:
    def test_the_escapes_say_what_was_there(self, attacked: Past, invoke: Invoke) -> None:
        out = invoke("tail", "--no-follow", "--log", attacked.url).stdout
        assert r"net/evil\x1b]0;owned\x07#1" in out
        assert r"\r\nfake line\u202egnp\u200b\x7f[red]x[/red]" in out

    def test_markup_is_text(self, attacked: Past, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "120")
        assert "[red]x[/red]" in invoke("explain", "a/web", "--log", attacked.url).stdout

    def test_json_and_yaml_keep_the_meaning(self, attacked: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("services", "--log", attacked.url, "-o", "json").stdout)
        assert EVIL_SERVICE in data["services"]
        assert yaml.safe_load(invoke("services", "--log", attacked.url, "-o", "yaml").stdout) == data
        (held,) = json.loads(invoke("history", "203.0.113.2", "--log", attacked.url, "-o", "json").stdout)["holdings"]
        assert held["requester"] == PAYLOAD

    def test_ordinary_text_stays(self, tmp_path: Path, invoke: Invoke) -> None:
        result = invoke("history", "a/日本-é", "--log", f"sqlite://{tmp_path}/日本.db")
        assert "日本.db" in result.stderr


class TestErrors:
    @pytest.mark.parametrize(
        "command",
        [
            ["services", f"a/{PAYLOAD}"],
            ["explain", f"{PAYLOAD}"],
            ["history", OSC + CSI],
            ["services", "--state", PAYLOAD],
            ["history", "192.0.2.1", "--at", PAYLOAD],
        ],
        ids=lambda command: command[0],
    )
    def test_an_error_is_one_line_that_steers_nothing(self, command: list[str], attacked: Past, invoke: Invoke) -> None:
        result = invoke(*command, "--log", attacked.url)
        assert result.exit_code == 2
        assert steers(result.stderr) == []
        assert [line.partition(":")[0] for line in result.stderr.splitlines()][-1:] == ["error"]
        assert "\nfake line" not in result.stderr

    def test_a_file_cannot_either(self, attacked: Past, tmp_path: Path, invoke: Invoke) -> None:
        settings = tmp_path / "settings.yaml"
        settings.write_text(yaml.safe_dump({"agentTimeout": PAYLOAD, f"odd{OSC}": 1}), "utf-8")
        result = invoke("services", "--log", attacked.url, "--settings", str(settings))
        assert (result.exit_code, steers(result.stderr)) == (2, [])


class TestSimulate:
    @pytest.mark.parametrize("form", ["text", "json"])
    def test_a_scenario_cannot(self, form: str, tmp_path: Path, invoke: Invoke) -> None:
        hostile = service("a/web", {NETWORK: f"net/{PAYLOAD}"})
        file = tmp_path / "scenario.yaml"
        steps = [apply(*base(hostile)), {"expect": {"services": {"a/web": {"message": PAYLOAD}}}}]
        scenario = {"apiVersion": "ledgerlb.io/v1alpha1", "kind": "Scenario", "steps": steps}
        file.write_text(yaml.safe_dump(scenario), "utf-8")
        result = invoke("simulate", str(file), "-o", form)
        assert result.exit_code == 1, result.stderr
        assert steers(result.stdout + result.stderr) == []
