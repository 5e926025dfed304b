"""``ledgerlb run`` in a process of its own that has everything imported already, to be killed a hundred times."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path


def context() -> ForkServerContext:
    """Processes start in milliseconds here: their parent has imported what they need."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["ledgerlb.cli.commands.run", __name__])
    return made


def start(processes: ForkServerContext, arguments: list[str], output: Path) -> ForkServerProcess:
    """Start ``ledgerlb`` with these arguments; ``output`` gets what it prints."""
    process = processes.Process(target=_run, args=(arguments, str(output)), daemon=True)
    process.start()
    return process


def _run(arguments: list[str], output: str) -> None:
    for number in (1, 2):
        opened = os.open(output if number == 1 else f"{output}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
    from ledgerlb.cli.main import app  # noqa: PLC0415 - in the child alone, after its output goes to files

    app(arguments)
