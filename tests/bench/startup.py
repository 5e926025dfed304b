"""How much CPU a command takes before it answers, beside importing two libraries that every such command needs."""

from __future__ import annotations
from tests.support.environment import without_settings

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.support.pipeline import program

ROOT: Final = Path(__file__).resolve().parents[2]
REPEATS: Final = 5
BASE: Final = "python -c 'import pydantic, rich'"


def measure() -> dict[str, float]:
    """Seconds of CPU (user and system) of each command, the least of several runs."""
    with tempfile.TemporaryDirectory() as folder:
        log = f"sqlite:///{folder}/ledger.db"
        ledgerlb = program("ledgerlb")
        _cpu([ledgerlb, "run", "--manifests", str(ROOT / "examples/quickstart"), "--log", log, "--until-settled"])
        commands = {
            BASE: [sys.executable, "-c", "import pydantic, rich"],
            "ledgerlb --version": [ledgerlb, "--version"],
            "ledgerlb history": [ledgerlb, "history", "192.168.102.50", "--log", log],
            "ledgerlb services": [ledgerlb, "services", "--log", log],
        }
        return {name: min(_cpu(command) for _ in range(REPEATS)) for name, command in commands.items()}


def _cpu(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = without_settings()
    subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=120, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
