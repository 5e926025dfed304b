"""``ledgerlb run`` and the demo: every service in one process, on a folder of manifests, in real time."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from ledgerlb.cli import demo
from ledgerlb.eventlog.connect import connect
from ledgerlb.eventlog.topics import FACTS
from tests.builders.objects import ADDRESSES, NETWORK, backends, nad, service
from tests.support.environment import remove_settings
from tests.support.simulate import base
from tests.unit.cli.conftest import Invoke

LEDGERLB = [sys.executable, "-m", "ledgerlb.cli.main"]
DEADLINE = 60.0


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    remove_settings(monkeypatch)


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    write(folder / "all.yaml", *base(service("a/web"), backends("a/web", n1=["10.1.0.1", "10.1.0.2"])))
    return folder


def write(path: Path, *objects: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump_all(objects), "utf-8")


Settle = Callable[..., Result]


@pytest.fixture
def settle(manifests: Path, invoke: Invoke) -> Settle:
    """Run until settled, in this process: what a process adds is the matter of TestRun."""

    def call(*more: str, log: str = "") -> Result:
        return invoke("run", *arguments(manifests, log), "-o", "json", *more)

    return call


def arguments(manifests: Path, log: str = "") -> list[str]:
    return ["--manifests", str(manifests), "--log", log or url(manifests), "--until-settled"]


def shown(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def url(manifests: Path) -> str:
    return f"sqlite://{manifests.parent}/ledger.db"


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come about within {DEADLINE:g} s")


@pytest.fixture
def running(manifests: Path) -> Iterator[subprocess.Popen[str]]:
    command = [*LEDGERLB, "run", "--manifests", str(manifests), "--log", url(manifests)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        if process.poll() is None:
            process.kill()


class TestUntilSettled:
    def test_a_process_prints_the_services_and_ends(self, manifests: Path) -> None:
        result = subprocess.run(
            [*LEDGERLB, "run", *arguments(manifests)], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert result.returncode == 0, result.stderr
        assert "a/web" in result.stdout
        assert "Traceback" not in result.stderr

    def test_ends_when_every_service_has_its_verdict(self, manifests: Path, settle: Settle) -> None:
        write(manifests / "more.yaml", service("a/lost", {NETWORK: "net/none"}), service("a/in", type="ClusterIP"))
        found = shown(settle())
        assert {name: s["state"] for name, s in found["services"].items()} == {"a/web": "Ready", "a/lost": "Pending"}
        assert found["services"]["a/web"]["path_set"]["192.0.2.2"]["n1"]["weight"] == 2
        assert found["services"]["a/lost"]["reason"] == "NetworkNotFound"
        assert found["networks"]["net/ext"]["allocated"] == 1

    def test_changes_made_while_it_was_down_are_found_and_no_address_moves(
        self, manifests: Path, settle: Settle, invoke: Invoke
    ) -> None:
        write(manifests / "b.yaml", service("a/b"))
        before = shown(settle())["services"]
        (manifests / "b.yaml").unlink()
        write(manifests / "c.yaml", service("a/c", {ADDRESSES: before["a/b"]["addresses"][0]}))
        after = shown(settle())["services"]
        assert after["a/web"]["addresses"] == before["a/web"]["addresses"]
        assert "a/b" not in after
        assert after["a/c"]["reason"] == "RequestedAddressQuarantined"
        assert invoke("verify", "--log", url(manifests)).exit_code == 0

    def test_a_restart_on_an_unchanged_folder_writes_no_fact(self, manifests: Path, settle: Settle) -> None:
        write(manifests / "b.yaml", service("a/b", {NETWORK: "net/none"}), service("a/in", type="ClusterIP"))

        async def facts() -> list[str]:
            async with connect(url(manifests)) as log, await log.open([FACTS]) as reader:
                found: list[str] = []
                while len(found) < await log.end(FACTS):
                    found += [record.key for record in await reader.poll(1.0)]
                return found

        written = []
        for _ in range(3):
            shown(settle())
            written.append(asyncio.run(facts()))
        first, second, third = written
        again = second[len(first) :]
        assert [key for key in again if not key.startswith("Synced/")] == []
        assert third == second, "markers go behind the facts that came after them, once"

    def test_a_bad_manifest_is_reported_and_stops_nothing(self, manifests: Path, settle: Settle) -> None:
        (manifests / "bad.yaml").write_text("kind: Service\nmetadata: {name: x\n")
        write(manifests / "nameless.yaml", {"kind": "Service", "metadata": {"namespace": "a"}})
        write(manifests / "nad.yaml", nad("net/bad", raw="{"), service("a/on-bad", {NETWORK: "net/bad"}))
        result = settle()
        services = shown(result)["services"]
        assert services["a/web"]["state"] == "Ready"
        assert services["a/on-bad"]["reason"] == "InvalidAnnotation"
        assert "bad.yaml" in result.stderr
        assert "nameless.yaml" in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_scenario_beside_the_manifests_is_not_read_as_one(self, manifests: Path, settle: Settle) -> None:
        (manifests / "scenario.yaml").write_text("apiVersion: ledgerlb.io/v1alpha1\nkind: Scenario\nsteps: []\n")
        result = settle()
        assert shown(result)["services"]["a/web"]["state"] == "Ready"
        assert "scenario.yaml" not in result.stderr

    def test_names_the_work_under_way_when_time_is_up(self, settle: Settle) -> None:
        result = settle("--timeout", "0.1")
        assert result.exit_code == 1
        assert "not settled after 0.1 s" in result.stderr

    def test_a_log_that_does_not_answer_counts_towards_the_time(self, settle: Settle) -> None:
        result = settle("--timeout", "1", log="kafka://127.0.0.1:1")
        assert result.exit_code == 1
        assert "not settled after 1 s" in result.stderr

    def test_a_service_that_cannot_move_is_settled(self, manifests: Path, settle: Settle) -> None:
        write(manifests / "more.yaml", service("a/mover"))
        shown(settle())
        write(manifests / "more.yaml", service("a/mover", {NETWORK: "net/none"}))
        mover = shown(settle())["services"]["a/mover"]
        assert (mover["state"], mover["reason"]) == ("Moving", "NetworkNotFound")
        assert mover["addresses"]
        result = settle("--require-ready")
        assert result.exit_code == 1
        assert "not ready: a/mover is Moving: NetworkNotFound" in result.stderr

    def test_require_ready_fails_where_a_service_is_pending(self, manifests: Path, settle: Settle) -> None:
        assert settle("--require-ready").exit_code == 0
        write(manifests / "more.yaml", service("a/lost", {NETWORK: "net/none"}))
        result = settle("--require-ready")
        assert result.exit_code == 1
        assert "not ready: a/lost is Pending: NetworkNotFound" in result.stderr

    def test_require_ready_alone_is_bad_input(self, manifests: Path, invoke: Invoke) -> None:
        result = invoke("run", "--manifests", str(manifests), "--log", url(manifests), "--require-ready")
        assert result.exit_code == 2
        assert "needs --until-settled" in result.stderr

    def test_settings_count(self, tmp_path: Path, settle: Settle) -> None:
        settings = tmp_path / "settings.yaml"
        settings.write_text("loadBalancerClass: example.com/x\n")
        assert shown(settle("--settings", str(settings)))["services"] == {}


class TestRun:
    def test_follows_the_folder_and_stops_gracefully(
        self, manifests: Path, running: subprocess.Popen[str], invoke: Invoke
    ) -> None:
        def standing(name: str) -> dict[str, Any]:
            result = invoke("services", "-o", "json", "--log", url(manifests))
            if result.exit_code:
                return {}
            found: dict[str, Any] = json.loads(result.stdout)["services"].get(name, {})
            return found

        wait_for(lambda: standing("a/web").get("state") == "Ready", "a/web ready")
        write(manifests / "late.yaml", service("a/late"))
        late = wait_for(lambda: standing("a/late").get("addresses"), "an address for a/late")
        assert late == ["192.0.2.3"]
        (manifests / "late.yaml").unlink()
        wait_for(lambda: not standing("a/late"), "a/late gone")
        running.send_signal(signal.SIGTERM)
        _, stderr = running.communicate(timeout=DEADLINE)
        assert running.returncode == 0
        assert "Traceback" not in stderr
        lines = [json.loads(line) for line in stderr.splitlines()]
        told = [(line["name"], line["state"]) for line in lines if line["event"] == "service"]
        assert ("a/web", "Ready") in told
        assert ("a/late", "Ready") in told
        history = json.loads(invoke("history", "192.0.2.3", "-o", "json", "--log", url(manifests)).stdout)
        assert [holding["state"] for holding in history["holdings"]] == ["released"]

    def test_killed_and_started_again_it_keeps_every_address(
        self, manifests: Path, running: subprocess.Popen[str], invoke: Invoke, settle: Settle
    ) -> None:
        def heads() -> Any:
            if "a/web" not in tail():  # asked first: what is verified afterwards holds at least this
                return None
            result = invoke("verify", "-o", "json", "--log", url(manifests))
            return json.loads(result.stdout)["heads"] if result.exit_code == 0 else None

        def tail() -> str:
            return invoke("tail", "--no-follow", "--log", url(manifests)).stdout

        before = wait_for(heads, "an entry about a/web")
        running.kill()
        running.wait(timeout=DEADLINE)
        assert shown(settle())["services"]["a/web"]["addresses"] == ["192.0.2.2"]
        assert heads() == before


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--manifests", "none"], "does not exist"),
            (["--manifests", ".", "--kubeconfig", "x"], "exclude each other"),
            (["--kubeconfig", "none"], "there is no file none"),
            (["--manifests", ".", "--log", "sqlite:/proc/version"], "/proc/version: cannot be written"),
            (["--manifests", ".", "--http-port", "70000"], "--http-port"),
            (["--manifests", ".", "--log", "nonsense"], "log URL"),
            (["--manifests", ".", "--settings", "none.yaml"], "settings file none.yaml"),
            (["--manifests", ".", "--backend", "magic"], "backend"),
        ],
    )
    def test_bad_input_is_told_and_exit_status_2(self, arguments: list[str], said: str, invoke: Invoke) -> None:
        result = invoke("run", *arguments)
        assert result.exit_code == 2
        assert said in result.stderr


class TestDemo:
    def test_runs_and_confirms_every_promise(self, capfd: pytest.CaptureFixture[str]) -> None:
        status = demo.main()
        out, err = capfd.readouterr()
        assert status == 0, out + err
        assert "node-3 x3" in out
        assert "after   192.168.102.3  next hops node-1 x1, node-2 x2, node-3 x2" in out
        assert "every promise is kept" in out
        assert err == ""

    def test_fails_where_a_service_is_not_as_expected(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "quickstart"
        shutil.copytree(demo.quickstart_folder(), folder)
        (folder / "20-kubemanager.yaml").unlink()
        monkeypatch.setattr(demo, "quickstart_folder", lambda: folder)
        assert demo.main() == 1
