"""The services of LedgerLB as separate processes, as they run in a cluster: started, killed, stopped and waited for by name.

Their output goes to files; when a test fails, the end of each is printed. They are ended by pid when the pipeline is
left, and by the kernel when the process that started them dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.engine import free_port
from tests.support.environment import without_settings
from tests.support.waiting import eventually

SERVICES: Final = ("watcher", "network-selector", "ipam", "planner", "agent")
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 25.0
TAIL_LINES: Final = 40

_PROGRAMS: Final = {"planner": "ledgerlb-ecmp-programmer", "agent": "ledgerlb-ecmp-programmer"}
_ROLES: Final = {"planner": {"LEDGERLB_ROLES": "planner"}, "agent": {"LEDGERLB_ROLES": "agent"}}
_FETCH: Final = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=5)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status)
print(answer.read().decode())
"""
_DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL")


def program(name: str) -> str:
    """The path of a console script of this environment. Fails where it is not installed."""
    path = Path(sys.executable).with_name(name)
    assert path.exists(), f"{path} is missing: install the packages (make venv)"
    return str(path)


class ServiceProcess:
    """One service: a command, environment variables, a log file, a port for its health that stays over restarts.

    `prefix` goes before the command, such as `ip netns exec NAME`.
    """

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], folder: Path, prefix: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.port = free_port()
        self.log = folder / f"{name}.log"
        self._prefix = tuple(prefix)
        self._command = [*prefix, *command]
        self._environment = {**environment, "LEDGERLB_HTTP_PORT": str(self.port)}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; fails when it is not running."""
        assert self._process is not None, f"{self.name} is not started"
        assert self._process.poll() is None, f"{self.name} ended with {self._process.returncode}:\n{self.log_tail()}"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it (again); does not wait. Only for the main thread: the kernel takes the thread for the parent."""
        assert threading.current_thread() is threading.main_thread(), "services are started by the main thread"
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [*_DIE_WITH_PARENT, *self._command],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(timeout=10)

    def terminate(self) -> int:
        """End it with SIGTERM, and wait; gives its exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; gives its exit status."""
        assert self._process is not None
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:g} s:\n{self.log_tail()}") from None

    def clean_up(self) -> None:
        """End it, by force where it must be."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)

    def problems(self) -> list[str]:
        """Why it is not ready; [] when it is. Fails when the process has ended, raises OSError when nothing answers."""
        assert self.pid
        _, body = self._get("readyz")
        return list(json.loads(body)["problems"])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels (0 where there are none)."""
        _, body = self._get("metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def _get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}/{path}"
        if self._prefix:
            return self._get_from_there(url)
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def _get_from_there(self, url: str) -> tuple[int, str]:
        """Ask from where the service runs: the loopback of another network namespace is another one."""
        done = subprocess.run(
            [*self._prefix, sys.executable, "-c", _FETCH, url], capture_output=True, text=True, timeout=10, check=False
        )
        if done.returncode != 0:
            raise OSError(done.stderr.strip()[-200:])
        status, _, body = done.stdout.partition("\n")
        return int(status), body

    def log_text(self) -> str:
        """Everything that it has printed."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def log_tail(self) -> str:
        """The last lines that it printed."""
        lines = self.log_text().splitlines()[-TAIL_LINES:]
        return "\n".join(line[:2000] for line in lines) or "(nothing)"


class Pipeline:
    """Services on one log. Use as a context manager: entering starts all and waits until they are ready.

    `log` is its URL; `kubeconfig` or `manifests` is where the watcher finds the cluster; `settings` are the domain's
    (camelCase); `environment` are further variables by service name; `services` may name an IPAM more than once, as
    `ipam` and `ipam-2`; `prefix` goes before a service's command (by service name).
    """

    def __init__(
        self,
        folder: Path,
        log: str,
        *,
        kubeconfig: Path | None = None,
        manifests: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        services: Iterable[str] = SERVICES,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        prefix: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.log = log
        folder.mkdir(parents=True, exist_ok=True)
        settings_file = folder / "settings.yaml"
        settings_file.write_text(yaml.safe_dump(dict(settings or {})), "utf-8")
        shared = without_settings()
        shared |= {
            "LEDGERLB_LOG": log,
            "LEDGERLB_SETTINGS": str(settings_file),
            "LEDGERLB_LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }
        watcher = {"LEDGERLB_KUBECONFIG": str(kubeconfig)} if kubeconfig else {"LEDGERLB_MANIFESTS": str(manifests)}
        self._services: dict[str, ServiceProcess] = {}
        for name in services:
            kind = name.rstrip("0123456789-") if name.startswith("ipam") else name
            variables = {
                **shared,
                **(watcher if kind == "watcher" else {}),
                **_ROLES.get(kind, {}),
                **(environment or {}).get(name, {}),
            }
            command = [program(_PROGRAMS.get(kind, f"ledgerlb-{kind}"))]
            self._services[name] = ServiceProcess(name, command, variables, folder, (prefix or {}).get(name, ()))

    def __getitem__(self, name: str) -> ServiceProcess:
        return self._services[name]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._clean_up)
            on_failure.push(self._show_logs)
            for service in self._services.values():
                service.start()
            self.wait_ready()
            on_failure.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._show_logs(kind, error, trace)
        finally:
            self._clean_up()

    def wait_ready(self, *names: str, seconds: float = READY_SECONDS) -> None:
        """Wait until these services (all where none is named) are ready."""
        deadline = time.monotonic() + seconds
        for name in names or tuple(self._services):
            service = self._services[name]
            while True:
                try:
                    why = "; ".join(service.problems())
                except OSError as error:
                    why = f"no answer ({error})"
                if not why:
                    break
                assert service.running, f"{name} ended:\n{service.log_tail()}"
                assert time.monotonic() < deadline, f"{name} is not ready after {seconds:g} s: {why}"
                time.sleep(0.05)

    def restart(self, name: str) -> None:
        """End a service in order, start it again, wait until it is ready."""
        status = self[name].terminate()
        assert status == 0, f"{name} ended with {status}:\n{self[name].log_tail()}"
        self[name].start()
        self.wait_ready(name)

    def pids(self) -> dict[str, int]:
        """The process id of every service; fails when one has ended."""
        return {name: service.pid for name, service in self._services.items()}

    def wait_not_ready(self, *names: str, seconds: float) -> None:
        """Wait until none of these services says that it is ready (an end of the process fails)."""
        for name in names:
            eventually(self[name].problems, f"{name} says that it is not ready", seconds)

    def _show_logs(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        for service in self._services.values():
            state = "running" if service.running else "ended"
            print(f"\n--- {service.name} ({state}; {service.log}) ---\n{service.log_tail()}")

    def _clean_up(self) -> None:
        for service in self._services.values():
            if service.running:
                os.kill(service.pid, signal.SIGTERM)
        for service in self._services.values():
            service.clean_up()
