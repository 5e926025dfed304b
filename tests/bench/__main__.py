"""``python -m tests.bench [PART] [--quick]``: measure; a full run of everything writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench import idle, machine, pipeline, replan, report, scale, startup, tls

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
ENTRIES: Final = 1_000_000
QUICK_ENTRIES: Final = 100_000
SIGNED_ENTRIES: Final = 50_000
SIGNED_QUICK: Final = 5_000


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=("all", *PARTS), default="all")
    parser.add_argument("--quick", action="store_true", help="a shorter stream, a smaller ledger; writes no page")
    parser.add_argument(
        "--large", action="store_true", help="10,000 and 50,000 Services too in scale, 1,000,000 entries in signing"
    )
    asked = parser.parse_args()
    PARTS["scale"] = _scale(large=asked.large)
    PARTS["signing"] = _signing(large=asked.large)
    began = time.monotonic()
    found: dict[str, Any] = {
        "machine": machine.machine(),
        "versions": machine.versions(),
        "load": machine.load(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    for name in PARTS if asked.part == "all" else (asked.part,):
        measure, show = PARTS[name]
        _say(f"{name} (load {machine.load():.1f})")
        found[name] = measure(asked.quick)
        print(f"\n{show(found)}\n", flush=True)
    found["minutes"] = (time.monotonic() - began) / 60
    if asked.part == "all" and not asked.quick:
        PAGE.write_text(report.page(found, tuple(PARTS)), "utf-8")
        _say(f"written: docs/{PAGE.name}")


def _scale(*, large: bool) -> tuple[Callable[[bool], Any], Callable[[dict[str, Any]], str]]:
    return (
        lambda _: scale.measure(large=large, say=_say),
        lambda found: report.scale(found["scale"]),
    )


def _layout(name: Any) -> tuple[Callable[[bool], Any], Callable[[dict[str, Any]], str]]:
    return (
        lambda quick: pipeline.measure(name, quick=quick, say=_say),
        lambda found: report.pipeline(name, found[name], int(found["machine"]["Cores"])),
    )


def _fold(quick: bool) -> dict[str, float]:
    """In a process of its own: what this one holds must not count as memory of the fold."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.fold", str(QUICK_ENTRIES if quick else ENTRIES)],
        stdout=subprocess.PIPE, check=True, text=True, timeout=900,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _replan(quick: bool) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.replan", str(replan.ADDRESSES // 10 if quick else replan.ADDRESSES)],
        stdout=subprocess.PIPE, check=True, text=True, timeout=900,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _signing(*, large: bool) -> tuple[Callable[[bool], Any], Callable[[dict[str, Any]], str]]:
    def measure(quick: bool) -> dict[str, float]:
        count = ENTRIES if large else SIGNED_QUICK if quick else SIGNED_ENTRIES
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.signing", str(count)],
            stdout=subprocess.PIPE, check=True, text=True, timeout=1800,
        )  # fmt: skip
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    return measure, lambda found: report.signing(found["signing"])


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


PARTS: Final[dict[str, tuple[Callable[[bool], Any], Callable[[dict[str, Any]], str]]]] = {
    "startup": (lambda _: startup.measure(), lambda found: report.startup(found["startup"])),
    "idle": (lambda _: idle.measure(), lambda found: report.idle(found["idle"])),
    "fold": (_fold, lambda found: report.fold(found["fold"])),
    "replan": (_replan, lambda found: report.replan(found["replan"])),
    "shared": _layout("shared"),
    "partitioned": _layout("partitioned"),
    "tls": (lambda quick: tls.measure(quick=quick, say=_say), lambda found: report.tls(found["tls"])),
    "scale": _scale(large=False),
    "signing": _signing(large=False),
}


if __name__ == "__main__":
    main()
