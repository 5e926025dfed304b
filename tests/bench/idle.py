"""What ``ledgerlb run`` on a SQLite log costs while nothing happens: share of a core, and MiB."""

from __future__ import annotations
from tests.support.environment import without_settings

import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench import cpu
from tests.support.pipeline import ServiceProcess, program
from tests.support.waiting import eventually

ROOT: Final = Path(__file__).resolve().parents[2]
SETTLE_SECONDS: Final = 10.0
SECONDS: Final = 30.0


def measure() -> dict[str, float]:
    """``share`` of one core over ``SECONDS``, and resident ``mib``, with examples/quickstart as the cluster."""
    with tempfile.TemporaryDirectory() as name:
        variables = without_settings()
        command = [
            program("ledgerlb"),
            "run",
            "--manifests",
            str(ROOT / "examples/quickstart"),
            "--log",
            f"sqlite://{name}/ledger.db",
        ]
        process = ServiceProcess("ledgerlb run", command, variables, Path(name))
        process.start()
        try:
            eventually(lambda: not process.problems(), "ledgerlb run is ready", 60)
            time.sleep(SETTLE_SECONDS)
            before = cpu.read({"run": [process.pid]})["run"]
            time.sleep(SECONDS)
            spent = cpu.read({"run": [process.pid]})["run"] - before
            resident = cpu.mebibytes(process.pid)
        finally:
            process.clean_up()
    return {"share": spent / SECONDS, "mib": resident}
