"""CPU time and memory of processes, from /proc: where the time of a machine goes while something is measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

REST: Final = "everything else on the machine"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and its descendants, as they are now."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def published_by(port: int) -> list[int]:
    """The processes that carry the traffic of a published container port, where the engine uses such."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"docker-proxy") and str(port).encode() in words:
            found.append(int(path.parent.name))
    return found


def read(processes: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Seconds of CPU by name since each process began, and REST: all that the machine spent on anything else."""
    spent = {name: sum(_of_process(pid) for pid in pids) for name, pids in processes.items()}
    user, nice, system, _idle, _wait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return {**spent, REST: (user + nice + system + irq + softirq) / _TICKS - sum(spent.values())}


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds of CPU by name between two readings."""
    return {name: after[name] - before[name] for name in before}


def mebibytes(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _of_process(pid: int) -> float:
    # Fields are counted from behind the program's name, which may hold spaces: utime and stime are the 12th and 13th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
