"""``python -m tests.bench [fold|pipeline] [--quick]``: measure; a full run of everything writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench import machine, pipeline, report

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
ENTRIES: Final = 1_000_000
QUICK_ENTRIES: Final = 100_000


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=("all", "fold", "pipeline"), default="all")
    parser.add_argument("--quick", action="store_true", help="a shorter stream, a smaller ledger; writes no page")
    asked = parser.parse_args()
    found: dict[str, Any] = {
        "machine": machine.machine(),
        "versions": machine.versions(),
        "load": machine.load(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    if asked.part in {"all", "pipeline"}:
        _say(f"Services through the pipeline, beside a null controller (load before: {found['load']:.1f})")
        found["pipeline"] = pipeline.measure(quick=asked.quick, say=_say)
        _show(report.pipeline(found["pipeline"], int(found["machine"]["Cores"])))
    if asked.part in {"all", "fold"}:
        _say("folding a ledger")
        found["fold"] = _fold(QUICK_ENTRIES if asked.quick else ENTRIES)
        _show(report.fold(found["fold"]))
    if asked.part == "all" and not asked.quick:
        PAGE.write_text(report.page(found), "utf-8")
        _say(f"written: docs/{PAGE.name}")


def _fold(entries: int) -> dict[str, float]:
    """In a process of its own: what this one holds must not count as memory of the fold."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.fold", str(entries)],
        stdout=subprocess.PIPE, check=True, text=True, timeout=900,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _show(text: str) -> None:
    print(f"\n{text}\n", flush=True)


if __name__ == "__main__":
    main()
