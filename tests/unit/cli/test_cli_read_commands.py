"""The commands that answer from a log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.objects import SHARING, namespace, port, service
from tests.support.simulate import apply, base, delete, run_simulation, simulation_of
from tests.unit.cli.conftest import Invoke, Past, write_log

SERVICE_KEYS = {"state", "network", "wanted", "addresses", "reason", "message", "rung", "reachability", "path_set"}


class TestServices:
    def test_json_has_the_shape_of_a_scenario_step(self, past: Past, invoke: Invoke) -> None:
        result = invoke("services", "--log", past.url, "-o", "json")
        data = json.loads(result.stdout)
        assert result.exit_code == 0
        assert sorted(data["services"]) == ["a/api", "a/lost", "a/other"]
        assert set(data["services"]["a/api"]) == SERVICE_KEYS
        assert data["services"]["a/other"]["addresses"] == ["192.0.2.2"]
        assert data["services"]["a/lost"]["reason"] == "NetworkNotFound"
        assert data["networks"]["net/ext"] == {
            "size": 253, "allocated": 2, "quarantined": 0, "conflict": None, "problem": None, "warning": None,
        }  # fmt: skip

    def test_one_service(self, past: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("services", "a/api", "--log", past.url, "-o", "json").stdout)
        assert list(data) == ["version", "as_of", "services"]
        assert data["services"]["a/api"]["addresses"] == ["192.0.2.50"]

    def test_json_says_that_there_is_nothing(self, tmp_path: Path, invoke: Invoke) -> None:
        simulation = simulation_of([apply(namespace("a"))])
        run_simulation(simulation)
        url = write_log(simulation.engine, tmp_path / "ledger.db")
        data = json.loads(invoke("services", "--log", url, "-o", "json").stdout)
        assert (data["version"], data["services"], data["networks"]) == (1, {}, {})

    def test_text_says_why_one_waits(self, past: Past, invoke: Invoke) -> None:
        out = invoke("services", "--log", past.url).stdout
        (line,) = [line for line in out.splitlines() if line.startswith("a/lost")]
        assert "Pending" in line
        assert "NetworkNotFound" in line
        assert "a/inside" not in out
        assert "a/inside" in invoke("services", "--all", "--log", past.url).stdout

    @pytest.mark.parametrize(
        ("name", "said"), [("web", "not namespace/name"), ("a/none", "is not known"), ("b/api", "did you mean a/api?")]
    )
    def test_an_unknown_service_is_bad_input(self, name: str, said: str, past: Past, invoke: Invoke) -> None:
        result = invoke("services", name, "--log", past.url)
        assert result.exit_code == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1


class TestHistory:
    def test_who_held_it_why_and_who_asked(self, past: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("history", "192.0.2.2", "--log", past.url, "-o", "json").stdout)
        first, second = data["holdings"]
        assert (first["service"], first["from"], first["until"]) == (
            "a/web",
            "2026-01-01T00:00:00Z",
            "2026-01-01T01:00:00Z",
        )
        assert (first["choice"], first["rung"], first["network"]) == ("never-used", "default-selector", "net/ext")
        assert first["cause"].startswith("want@")
        assert "net/ext" in first["explanation"]
        assert len(first["hash"]) == 64
        assert [step["what"] for step in first["steps"]] == ["AddressReleasing", "AddressReleased", "QuarantineEnded"]
        assert first["steps"][0]["why"] == "ServiceDeleted"
        assert "n1, n2" in first["steps"][1]["why"]
        assert (second["service"], second["until"], second["state"]) == ("a/other", None, "held")

    @pytest.mark.parametrize(
        ("at", "holders"),
        [
            ("2026-01-01T00:30:00Z", ["a/web"]),
            ("2026-01-01T00:30:00", ["a/web"]),
            ("2026-01-01T02:30:00+02:00", ["a/web"]),
            ("2026-01-01T01:05:00Z", []),
            ("2026-01-01T01:10:00Z", ["a/other"]),
            ("1s", ["a/other"]),
            ("1s ago", ["a/other"]),
            ("2025-01-01", []),
        ],
    )
    def test_at_a_moment(self, at: str, holders: list[str], past: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("history", "192.0.2.2", "--at", at, "--log", past.url, "-o", "json").stdout)
        assert [holding["service"] for holding in data["holdings"]] == holders

    def test_of_sharers_the_one_that_ended_last_sees_the_quarantine_end(self, tmp_path: Path, invoke: Invoke) -> None:
        first, second = service("a/first", {SHARING: "k"}), service("a/second", {SHARING: "k"}, port=443)
        leave = [delete("Service", "a/second"), delete("Service", "a/first")]
        simulation = simulation_of([apply(*base(first)), apply(second), *leave, {"advance": "10m"}])
        run_simulation(simulation)
        url = write_log(simulation.engine, tmp_path / "ledger.db")
        data = json.loads(invoke("history", "192.0.2.2", "--log", url, "-o", "json").stdout)
        assert {holding["service"]: [step["what"] for step in holding["steps"]] for holding in data["holdings"]} == {
            "a/first": ["AddressReleasing", "AddressReleased", "QuarantineEnded"],
            "a/second": ["HolderLeft"],
        }

    def test_text_names_entry_and_requester(self, past: Past, invoke: Invoke) -> None:
        out = invoke("history", "192.0.2.2", "--log", past.url).stdout
        assert "asked by" in out
        assert "net/ext#" in out
        assert "AddressReleased: withdrawal confirmed by n1, n2" in out

    def test_an_address_that_nobody_held(self, past: Past, invoke: Invoke) -> None:
        result = invoke("history", "192.0.2.99", "--log", past.url)
        assert result.exit_code == 0
        assert "no Service held it" in result.stdout

    @pytest.mark.parametrize("arguments", [["192.0.2"], ["192.0.2.2", "--at", "yesterday"], []])
    def test_bad_input(self, arguments: list[str], past: Past, invoke: Invoke) -> None:
        assert invoke("history", *arguments, "--log", past.url).exit_code == 2


class TestExplain:
    def test_shows_rungs_candidates_and_entries(self, past: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("explain", "a/other", "--log", past.url, "-o", "json").stdout)
        assert data["service"] == "a/other"
        assert set(data) >= SERVICE_KEYS
        assert [look["rung"] for look in data["selection"]["rungs"]][-2:] == [
            "default-selector",
            "default-pool",
        ]
        assert {look["network"]: look["taken"] for look in data["selection"]["candidates"]} == {"net/ext": True}
        (holding,) = data["holdings"]
        assert holding["address"] == "192.0.2.2"
        assert holding["agents"] == {"n1": "recorded", "n2": "recorded"}
        assert [decision["events"] for decision in data["decisions"]] == [["AddressAllocated"]]

    def test_says_what_to_do_about_a_pending_service(self, past: Past, invoke: Invoke) -> None:
        out = invoke("explain", "a/lost", "--log", past.url).stdout
        assert "NetworkNotFound" in out
        assert "remedy" in out
        assert "→ service-annotation:externalNetwork = net/none" in out


class TestTail:
    def test_the_last_entries_and_no_more(self, past: Past, invoke: Invoke) -> None:
        out = invoke("tail", "--no-follow", "-n", "2", "--log", past.url).stdout
        assert len(out.splitlines()) == 2
        assert "AddressAllocated 192.0.2.2 a/other requested" in out

    def test_it_shows_what_a_changed_holding_was_before(self, tmp_path: Path, invoke: Invoke) -> None:
        web = service("a/web", ports=[port(80)])
        steps = [apply(*base(web)), apply({**web, "spec": {**web["spec"], "ports": [port(80), port(443)]}})]
        simulation = simulation_of(steps)
        run_simulation(simulation)
        url = write_log(simulation.engine, tmp_path / "ledger.db")
        out = invoke("tail", "--no-follow", "-n", "1", "--log", url).stdout
        assert out.rstrip().endswith("HoldingChanged 192.0.2.2 a/web ports 80/TCP → 80/TCP,443/TCP")
        answer = json.loads(invoke("tail", "--no-follow", "-n", "1", "-o", "json", "--log", url).stdout)
        assert answer["events"][0]["changed"] == {"ports": [["80/TCP"], ["80/TCP", "443/TCP"]]}

    def test_json_lines_since_a_moment(self, past: Past, invoke: Invoke) -> None:
        result = invoke("tail", "--no-follow", "--since", "2026-01-01T01:06:00Z", "-o", "json", "--log", past.url)
        (entry,) = [json.loads(line) for line in result.stdout.splitlines()]
        assert entry["network"] == "net/ext"
        assert entry["decided_at"] == "2026-01-01T01:10:00Z"
        assert {"offset", "hash", "seq", "prev", "cause", "events", "decider"} <= set(entry)

    def test_follows_until_it_is_interrupted(self, past: Past) -> None:
        command = [sys.executable, "-m", "ledgerlb.cli.main", "tail", "-n", "1", "--log", past.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.send_signal(2)
            assert process.wait(timeout=20) == 130
        assert "a/other" in line


class TestTopics:
    def test_apply_and_check(self, tmp_path: Path, invoke: Invoke) -> None:
        url = f"sqlite://{tmp_path}/new/ledger.db"
        assert invoke("topics", "check", "--log", url).exit_code == 2
        assert invoke("topics", "apply", "--log", url).exit_code == 0
        checked = invoke("topics", "check", "--log", url, "-o", "json")
        assert (checked.exit_code, json.loads(checked.stdout)) == (0, {"version": 1, "problems": [], "notes": []})


class TestErrors:
    def test_a_missing_log_is_told_and_not_made(self, tmp_path: Path, invoke: Invoke) -> None:
        result = invoke("services", "--log", f"sqlite://{tmp_path}/none.db")
        assert result.exit_code == 2
        assert "start ledgerlb run first" in result.stderr
        assert list(tmp_path.iterdir()) == []

    def test_the_log_comes_from_the_environment(
        self, past: Past, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LEDGERLB_LOG", past.url)
        assert "a/other" in invoke("services").stdout

    @pytest.mark.parametrize("url", ["nonsense", "http://x", "sqlite://relative.db"])
    def test_a_log_that_is_none(self, url: str, invoke: Invoke) -> None:
        result = invoke("verify", "--log", url)
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1

    def test_version(self, invoke: Invoke) -> None:
        assert json.loads(invoke("version", "-o", "json").stdout)["program"]
        assert invoke("--version").stdout == invoke("version").stdout
        assert invoke("version").stdout.startswith("ledgerlb ")

    def test_settings_that_cannot_be_used(self, past: Past, tmp_path: Path, invoke: Invoke) -> None:
        file = tmp_path / "settings.yaml"
        file.write_text("agentTimeout: soon\n")
        result = invoke("services", "--log", past.url, "--settings", str(file))
        assert result.exit_code == 2
        assert "agentTimeout" in result.stderr


class TestTables:
    @pytest.mark.parametrize("width", [40, 80, 190])
    def test_a_terminal_gets_no_name_or_address_in_pieces(
        self, width: int, past: Past, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))
        out = invoke("services", "--log", past.url).stdout
        assert all(re.search(rf"\b{whole}\b", out) for whole in ("a/other", "a/lost", "192.0.2.50"))
        assert ("service-annotation:externalNetwork" in out) is (width == 190)
        assert not [line for line in out.splitlines() if re.search(r" (\x1b\[0m)?$", line)]

    def test_what_is_piped_has_one_line_a_service(self, past: Past, invoke: Invoke) -> None:
        lines = invoke("services", "--log", past.url).stdout.split("\n\n")[0].splitlines()
        assert [line.split()[0] for line in lines] == ["SERVICE", "a/api", "a/lost", "a/other"]
        assert "create it, or correct the annotation" in lines[2]

    @pytest.mark.parametrize("command", ["services", "verify"])
    def test_output_that_cannot_be_written_is_one_line(self, command: str, past: Past) -> None:
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            result = subprocess.run(
                [sys.executable, "-m", "ledgerlb.cli.main", command, "--log", past.url],
                stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
            )  # fmt: skip
        assert result.returncode == 3
        assert result.stderr.splitlines() == [
            "error: standard output: No space left on device; write the answer elsewhere"
        ]
