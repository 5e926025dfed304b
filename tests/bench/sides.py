"""What is measured: controllers that give Services their addresses, each started fresh and ended after its streams."""

from __future__ import annotations
from tests.support.environment import without_settings

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.lab import Lab
from tests.support.pipeline import Pipeline, ServiceProcess, program
from tests.support.waiting import eventually

QUIET_SECONDS: Final = 120.0
"""How long the Events of one stream may take before the next stream begins."""
READY_SECONDS: Final = 60.0
# The null controller programs no kernel and keeps no InstanceIPs, so neither does LedgerLB here.
BARE: Final = {"LEDGERLB_BACKEND": "record", "LEDGERLB_CN2_OBJECTS": "off", "LEDGERLB_NAD_OBJECTS": "off"}


@dataclass(frozen=True)
class Running:
    """Process ids by name, and a wait until the controller has nothing left to write."""

    pids: Mapping[str, int]
    quiet: Callable[[], None]
    with_broker: bool = False


@contextlib.contextmanager
def null(lab: Lab, folder: Path, namespace: str) -> Iterator[Running]:
    """The null controller, which serves one namespace."""
    del folder
    process = subprocess.Popen(
        [*lab.as_controller, sys.executable, "-m", "tests.bench.null_controller", str(lab.kubeconfig), namespace],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield Running({"null controller": process.pid}, lambda: None)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def five_processes(
    lab: Lab, folder: Path, *, log: str = "", settings: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """LedgerLB on Kafka: watcher, network-selector, IPAM, planner and one agent. ``log`` and ``settings`` (variables)
    say how they reach the broker, by default in the clear.
    """
    names = ("watcher", "network-selector", "ipam", "planner", "agent")
    with Pipeline(
        folder, log or f"kafka://{lab.bootstrap}", kubeconfig=lab.kubeconfig,
        environment={name: {**_bare(name), **(settings or {})} for name in names},
        prefix=dict.fromkeys(names, lab.as_controller),
    ) as pipeline:  # fmt: skip
        yield Running(pipeline.pids(), lambda: _wait_for_quiet(pipeline["watcher"]), with_broker=True)


@contextlib.contextmanager
def one_process(lab: Lab, folder: Path, log: str) -> Iterator[Running]:
    """``ledgerlb run``: every service in one process, on the log with this URL."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = without_settings()
    variables |= {**BARE, "LEDGERLB_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}
    command = [program("ledgerlb"), "run", "--kubeconfig", str(lab.kubeconfig), "--log", log]
    process = ServiceProcess("ledgerlb run", command, variables, folder, lab.as_controller)
    process.start()
    try:
        eventually(lambda: not process.problems(), "ledgerlb run is ready", READY_SECONDS)
        yield Running(
            {"ledgerlb run": process.pid}, lambda: _wait_for_quiet(process), with_broker=log.startswith("kafka")
        )
    finally:
        process.clean_up()


def _bare(service: str) -> dict[str, str]:
    """The variables of ``BARE`` that the service reads."""
    return {k: v for k, v in BARE.items() if service == ("agent" if k == "LEDGERLB_BACKEND" else "watcher")}


def _wait_for_quiet(watcher: ServiceProcess) -> None:
    """Wait until the Events of a stream are written: they belong to no other stream."""
    eventually(lambda: watcher.metric("ledgerlb_cluster_writes_waiting") == 0, "every write is done", QUIET_SECONDS)
