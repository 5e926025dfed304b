"""``services`` narrowed and in its forms, ``networks``, and what is gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ledgerlb.cli.listing import amount
from tests.builders.objects import NETWORK, nad, namespace, node, service
from tests.support.simulate import apply, base, delete, run_simulation, simulation_of
from tests.unit.cli.conftest import Invoke, Past, write_log


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """Services of two namespaces in several states; a/was and the network net/was are gone."""
    simulation = simulation_of(
        [
            apply(
                *base(
                    node("n2", "10.10.0.2"),
                    namespace("b"),
                    nad("net/two", "198.51.100.0/24"),
                    nad("net/was", "203.0.113.0/24"),
                    service("a/web"),
                    service("a/was"),
                    service("a/moved", {NETWORK: "net/two"}),
                    service("b/web"),
                    service("b/lost", {NETWORK: "net/none"}),
                    service("b/inside", type="ClusterIP"),
                )
            ),
            delete("Service", "a/was"),
            apply(service("a/moved")),
            delete("NetworkAttachmentDefinition", "net/was"),
            {"advance": "10m"},
        ]
    )
    run_simulation(simulation)
    return Past(simulation.engine, write_log(simulation.engine, tmp_path_factory.mktemp("mixed") / "ledger.db"))


class TestServices:
    @pytest.mark.parametrize(
        ("options", "names"),
        [
            ([], ["a/moved", "a/web", "b/lost", "b/web"]),
            (["-n", "b"], ["b/lost", "b/web"]),
            (["--namespace", "none"], []),
            (["--state", "Pending"], ["b/lost"]),
            (["--state", "pending", "--state", "READY"], ["a/moved", "a/web", "b/lost", "b/web"]),
            (["--state", "Ignored"], ["b/inside"]),
            (["--reason", "networknotfound"], ["b/lost"]),
            (["--reason", "NetworkFull"], []),
            (["-n", "b", "--state", "Ready"], ["b/web"]),
            (["-n", "b", "--all"], ["b/inside", "b/lost", "b/web"]),
        ],
    )
    def test_narrowed(self, options: list[str], names: list[str], mixed: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("services", *options, "--log", mixed.url, "-o", "json").stdout)
        assert list(data["services"]) == names
        assert invoke("services", *options, "--log", mixed.url, "-o", "name").stdout.split() == names

    @pytest.mark.parametrize(
        ("option", "word", "remedy"),
        [
            ("--state", "Redy", "did you mean Ready?"),
            ("--state", "xyz", "use one of Ready, Moving"),
            ("--reason", "NetworkNotFond", "did you mean NetworkNotFound?"),
        ],
    )
    def test_an_unknown_word_is_bad_input(
        self, option: str, word: str, remedy: str, mixed: Past, invoke: Invoke
    ) -> None:
        result = invoke("services", option, word, "--log", mixed.url)
        assert result.exit_code == 2
        assert remedy in result.stderr

    def test_yaml_is_json_in_another_form(self, mixed: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("services", "--log", mixed.url, "-o", "json").stdout)
        assert yaml.safe_load(invoke("services", "--log", mixed.url, "-o", "yaml").stdout) == data

    def test_wide_has_every_column_on_any_terminal(
        self, mixed: Past, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "60")
        assert "CHOSEN BY" not in invoke("services", "--log", mixed.url).stdout
        assert "CHOSEN BY" in invoke("services", "--log", mixed.url, "-o", "wide").stdout

    def test_only_a_terminal_gets_bold_titles_and_never_with_no_color(
        self, mixed: Past, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "\x1b" not in invoke("services", "--log", mixed.url).stdout
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert "\x1b[1m" in invoke("services", "--log", mixed.url).output
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b" not in invoke("services", "--log", mixed.url).stdout

    def test_an_old_answer_says_how_old_it_is(self, mixed: Past, invoke: Invoke, tmp_path: Path) -> None:
        assert "no agent has reported since 2026-01-01T00:" in invoke("services", "--log", mixed.url).stderr
        alone = simulation_of([apply(namespace("a"))])
        run_simulation(alone)
        url = write_log(alone.engine, tmp_path / "ledger.db")
        settings = tmp_path / "settings.yaml"
        settings.write_text("agentTimeout: 3650d\n")
        assert invoke("services", "--log", url, "--settings", str(settings)).stderr == ""


class TestNetworks:
    def test_how_full_each_is(self, mixed: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("networks", "--log", mixed.url, "-o", "json").stdout)
        assert data["networks"]["net/ext"] == {
            "size": 253, "allocated": 3, "quarantined": 0, "conflict": None, "problem": None, "warning": None,
            "free": 250, "message": "", "exists": True,
        }  # fmt: skip
        lines = invoke("networks", "--log", mixed.url).stdout.splitlines()
        assert lines[0].split() == ["NETWORK", "SIZE", "HELD", "QUARANTINED", "FREE", "PROBLEM"]
        assert ["net/ext", "253", "3", "0", "250"] in [line.split() for line in lines]

    def test_one_network(self, mixed: Past, invoke: Invoke) -> None:
        assert invoke("networks", "net/two", "--log", mixed.url, "-o", "name").stdout.split() == ["net/two"]
        result = invoke("networks", "net/tow", "--log", mixed.url)
        assert (result.exit_code, "did you mean net/two?" in result.stderr) == (2, True)

    @pytest.mark.parametrize(("number", "shown"), [(0, "0"), (999_999_999, "999999999"), (2**64, "1.8e19")])
    def test_numbers_too_large_to_read_are_rounded(self, number: int, shown: str) -> None:
        assert amount(number) == shown


class TestExplainNetwork:
    def test_who_holds_its_addresses(self, mixed: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("explain", "network", "net/ext", "--log", mixed.url, "-o", "json").stdout)
        assert {holding["service"] for holding in data["holdings"]} == {"a/moved", "a/web", "b/web"}
        assert data["prefixes"][0]["prefix"] == "192.0.2.0/24"
        assert [decision["events"] for decision in data["decisions"]] == [["NetworkDefined"]]

    def test_the_kind_may_be_left_out(self, mixed: Past, invoke: Invoke) -> None:
        assert "net/ext: external network" in invoke("explain", "net/ext", "--log", mixed.url).stdout
        assert "a/web: Ready" in invoke("explain", "service", "a/web", "--log", mixed.url).stdout

    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            (["network", "a/web"], "is not known"),
            (["service", "net/ext"], "is not known"),
            (["pod", "a/web"], "is not a Service or a network"),
            (["network", "net", "ext"], "is not a Service or a network"),
            (["network", "ext"], "is not namespace/name"),
        ],
    )
    def test_bad_input(self, words: list[str], problem: str, mixed: Past, invoke: Invoke) -> None:
        result = invoke("explain", *words, "--log", mixed.url)
        assert result.exit_code == 2
        assert problem in result.stderr


class TestGone:
    def test_a_service_that_is_gone_is_explained_by_the_ledger(self, mixed: Past, invoke: Invoke) -> None:
        out = invoke("explain", "a/was", "--log", mixed.url).stdout
        assert "a/was: Deleted (the Service no longer exists)" in out
        assert "Held before:" in out
        assert "AddressAllocated" in out
        assert "AddressReleased" in out

    def test_what_a_service_held(self, mixed: Past, invoke: Invoke) -> None:
        data = json.loads(invoke("history", "a/moved", "--log", mixed.url, "-o", "json").stdout)
        assert data["service"] == "a/moved"
        assert [(held["network"], held["state"]) for held in data["holdings"]] == [
            ("net/two", "released"),
            ("net/ext", "held"),
        ]
        gone = json.loads(invoke("history", "a/was", "--log", mixed.url, "-o", "json").stdout)
        assert [held["state"] for held in gone["holdings"]] == ["released"]

    def test_what_it_held_at_a_moment(self, mixed: Past, invoke: Invoke) -> None:
        out = invoke("history", "a/was", "--at", "2026-02-01", "--log", mixed.url).stdout
        assert out == "a/was: it held no address at 2026-02-01T00:00:00Z\n"

    def test_a_network_that_is_gone_is_explained_too(self, mixed: Past, invoke: Invoke) -> None:
        out = invoke("explain", "network", "net/was", "--log", mixed.url).stdout
        assert "net/was: external network (no longer exists)" in out
        assert "NetworkDefined" in out
        assert "NetworkGone" in out
