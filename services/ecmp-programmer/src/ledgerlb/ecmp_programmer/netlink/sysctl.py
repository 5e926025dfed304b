"""Kernel settings of a network namespace: set where the namespace is LedgerLB's to set up, else only checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

_logger = structlog.get_logger(__name__)


def ensure(wanted: Mapping[str, tuple[str, ...]], *, change: bool) -> list[str]:
    """Check settings of the calling thread's namespace, and return a sentence on each that is wrong.

    ``wanted`` gives the values that will do by name; with ``change`` the first of them is written. A setting that this
    kernel does not have is left out.
    """
    problems = []
    for name, values in wanted.items():
        path = Path("/proc/sys") / name.replace(".", "/")
        try:
            found = path.read_text("ascii").strip()
            if found in values:
                continue
            if change:
                path.write_text(values[0], "ascii")
                _logger.info("a kernel setting was changed", sysctl=name, value=values[0], before=found)
                continue
            problems.append(f"{name} is {found}; set it to {values[0]}")
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{name} cannot be set to {values[0]}: {error.strerror}")
    return problems
