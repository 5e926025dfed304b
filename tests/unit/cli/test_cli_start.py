"""What a command loads, and what the root command offers: version, completion, suggestions, exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ledgerlb.cli.lazy import COMMANDS, Entry
from tests.unit.cli.conftest import Invoke, Past

HEAVY = ("aiohttp", "aiokafka", "kubernetes_asyncio", "rich", "structlog", "prometheus_client", "pydantic_settings")


def modules_after(*arguments: str, of: tuple[str, ...] = HEAVY) -> list[str]:
    """The heavy packages that a process has loaded when the command is done."""
    script = (
        "import json, sys\n"
        "from ledgerlb.cli.main import app\n"
        f"app({list(arguments)!r}, standalone_mode=False)\n"
        f"print(json.dumps([name for name in {of!r} if name in sys.modules]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


class TestLoading:
    def test_history_loads_no_client_and_no_rich(self, past: Past) -> None:
        assert modules_after("history", "192.0.2.2", "--log", past.url) == []

    @pytest.mark.parametrize("command", [["--version"], ["history", "192.0.2.2"]])
    def test_reading_the_ledger_alone_does_without_pydantic(self, command: list[str], past: Past) -> None:
        log = [] if command == ["--version"] else ["--log", past.url]
        assert modules_after(*command, *log, of=("pydantic_core",)) == []

    @pytest.mark.parametrize("command", [["tail", "--no-follow"], ["verify"]])
    def test_neither_does_what_reads_the_ledger_alone(self, command: list[str], past: Past) -> None:
        assert modules_after(*command, "--log", past.url) == []

    @pytest.mark.parametrize("command", [["services"], ["networks"], ["explain", "a/api"]])
    def test_reading_commands_load_no_client(self, command: list[str], past: Past) -> None:
        assert not {"aiohttp", "aiokafka", "kubernetes_asyncio", "rich"} & set(
            modules_after(*command, "--log", past.url)
        )

    @pytest.mark.parametrize("command", [["--version"], ["--help"]])
    def test_the_root_loads_no_command(self, command: list[str]) -> None:
        assert modules_after(*command) == []


GROUPS = {"topics": ("apply", "check"), "heads": ("show", "forget"), "keys": ("init", "rotate", "since", "show")}
"""Commands that have commands of their own."""


class TestRoot:
    def test_the_help_has_one_line_a_command(self, invoke: Invoke) -> None:
        lines = invoke("--help").stdout.splitlines()
        width = max(len(entry.name) for entry in COMMANDS)
        for entry in COMMANDS:
            assert f"  {entry.name:<{width}}  {entry.summary}" in lines

    @pytest.mark.parametrize(
        ("typed", "meant"), [("servces", "services"), ("histroy", "history"), ("explian", "explain")]
    )
    def test_a_mistyped_command_gets_a_suggestion(self, typed: str, meant: str, invoke: Invoke) -> None:
        result = invoke(typed)
        assert result.exit_code == 2
        assert f"Did you mean '{meant}'?" in result.stderr

    @pytest.mark.parametrize("entry", [entry for entry in COMMANDS if entry.name not in GROUPS], ids=lambda e: e.name)
    def test_every_help_has_the_exit_statuses(self, entry: Entry, invoke: Invoke) -> None:
        lines = invoke(entry.name, "--help").stdout.splitlines()
        assert any(line.strip().startswith("2    bad input or usage") for line in lines)
        assert (f"    1    {entry.findings}" in lines) is bool(entry.findings)

    @pytest.mark.parametrize(("group", "command"), [(group, name) for group, names in GROUPS.items() for name in names])
    def test_so_has_that_of_each_command_of_a_group(self, group: str, command: str, invoke: Invoke) -> None:
        assert "Exit status:" in invoke(group, command, "--help").stdout


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_a_shell_gets_a_script(self, shell: str) -> None:
        environment = {**os.environ, "_LEDGERLB_COMPLETE": f"source_{shell}"}
        done = subprocess.run(
            [sys.executable, "-c", "import sys; sys.argv[0] = 'ledgerlb'; from ledgerlb.cli.main import main; main()"],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "_LEDGERLB_COMPLETE" in done.stdout

    @pytest.mark.parametrize(
        ("words", "offered"),
        [("ledgerlb his", "history"), ("ledgerlb services --st", "--state"), ("ledgerlb topics a", "apply")],
    )
    def test_commands_and_options_are_completed(self, words: str, offered: str) -> None:
        environment = {
            **os.environ,
            "_LEDGERLB_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        done = subprocess.run(
            [sys.executable, "-c", "import sys; sys.argv[0] = 'ledgerlb'; from ledgerlb.cli.main import main; main()"],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert offered in done.stdout.split()


class TestChoices:
    def test_a_choice_that_does_not_exist_is_a_usage_error(self, past: Past, invoke: Invoke) -> None:
        result = invoke("history", "192.0.2.2", "-o", "xml", "--log", past.url)
        assert result.exit_code == 2
        assert "Invalid value for '--output' / '-o': 'xml' is not one of 'text', 'json'." in result.stderr


class TestBug:
    def test_a_bug_has_its_own_exit_status(self, past: Past) -> None:
        script = (
            "import ledgerlb.cli.commands.history as command, sys\n"
            "def fail(text): raise RuntimeError('odd \\x1b]0;title\\x07')\n"
            "command.canonical = fail\n"
            f"sys.argv = ['ledgerlb', 'history', '192.0.2.2', '--log', {past.url!r}]\n"
            "from ledgerlb.cli.main import main; main()\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 70
        assert done.stderr.splitlines()[-1] == r"RuntimeError: odd \x1b]0;title\x07"
