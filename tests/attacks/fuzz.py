"""Throw mutants of honest input at everything that decodes, and keep the input that a target could not bear.

    python -m tests.attacks.fuzz --seconds 60 --seed 7        a campaign; the seed is printed
    python -m tests.attacks.fuzz --replay FILE                once more with the input that a campaign kept

The same seed makes the same mutants. Where atheris is installed, coverage leads the campaign (``guided``). A failing input is kept as ``.cache/fuzz/<target>--<hash>``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.attacks.mutate import mutated, mutated_bytes
from tests.attacks.targets import TARGETS, Target, split

SLOWEST: Final = 5.0
"""Seconds for one input. What takes longer holds a process up."""
ENOUGH: Final = 3
"""Failures of one target after which a campaign leaves it."""
START_SECONDS: Final = 120.0
"""Seconds for a process to start, to instrument the code, and to end."""
SHOWN: Final = 20_000
"""Characters of a failing process's output that are shown."""
KEPT: Final = Path(os.environ.get("LEDGERLB_CACHE_DIR", ".cache")) / "fuzz"


class TooSlow(BaseException):
    """An input took longer than SLOWEST."""


@dataclass(frozen=True)
class Failure:
    """An input that a target could not bear; ``trace`` says where."""

    target: str
    raw: bytes
    trace: str

    @property
    def name(self) -> str:
        """The name of the file that keeps it."""
        return f"{self.target}--{hashlib.sha256(self.raw).hexdigest()[:12]}"


def attempt(target: Target, raw: bytes) -> Failure | None:
    """Run one input; return how it failed."""
    with tempfile.TemporaryDirectory(prefix="ledgerlb-fuzz-") as folder, _limited():
        try:
            target.run(raw, Path(folder))
        except (Exception, TooSlow):  # noqa: BLE001 - whatever it is, it is the finding
            return Failure(target.name, raw, traceback.format_exc(limit=-6))
    return None


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def give_up(*_: Any) -> None:
        raise TooSlow(f"more than {SLOWEST:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, SLOWEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def mutants(target: Target, seed: int) -> Iterator[bytes]:
    """The endless sequence of mutants for the seed. Half of them are mutants of a mutant."""
    chance = random.Random(f"{seed} {target.name}")
    honest = target.samples()
    assert honest, f"{target.name} has no samples"
    before = honest[0]
    while True:
        raw = before if chance.random() < 0.5 else chance.choice(honest)
        before = mutant(raw, chance, records=target.records)
        yield before


def mutant(raw: bytes, chance: random.Random, *, records: bool) -> bytes:
    """One mutant; of a record mostly its value."""
    if not records:
        return mutated(raw, chance)
    key, value = split(raw)
    encoded = key.encode("utf-8", "replace")
    if chance.random() < 0.1:
        return mutated_bytes(encoded, chance).replace(b"\n", b"") + b"\n" + value
    return encoded + b"\n" + mutated(value, chance)


def campaign(target: Target, seed: int, *, rounds: int = 0, seconds: float = 0.0) -> tuple[int, list[Failure]]:
    """Run the target for a number of rounds or a time; return how many inputs it got, and the failures."""
    for raw in target.samples():
        failure = attempt(target, raw)
        assert failure is None, f"honest input: {failure.trace if failure else ''}"
    failures: list[Failure] = []
    until = time.monotonic() + seconds
    count = 0
    for raw in mutants(target, seed):
        if len(failures) >= ENOUGH or (count >= rounds if rounds else time.monotonic() > until):
            break
        count += 1
        failure = attempt(target, raw)
        if failure is not None:
            failures.append(failure)
    return count, failures


def keep(failure: Failure) -> Path:
    """Write the input where it can be replayed from."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / failure.name
    path.write_bytes(failure.raw)
    return path


def told(failure: Failure) -> str:
    """The failure for people, with how to replay it."""
    return f"{failure.trace}\nreplay: python -m tests.attacks.fuzz --replay {keep(failure)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """See module."""
    options = _parser().parse_args(arguments)
    if options.replay is not None:
        return _replay(options.replay)
    chosen = [target for target in TARGETS if not options.target or target.name in options.target]
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    is_guided = options.guided and importlib.util.find_spec("atheris") is not None
    how = "led by coverage" if is_guided else "not led by coverage"
    print(f"fuzz: seed {seed}, {len(chosen)} targets, {options.seconds:g} s, {how}", flush=True)
    run = _guided if is_guided else _unguided
    failed = [target.name for target in chosen if not run(target, seed, options.seconds / len(chosen))]
    return 1 if failed else 0


def _unguided(target: Target, seed: int, seconds: float) -> bool:
    count, failures = campaign(target, seed, seconds=seconds)
    print(f"fuzz: {target.name}: {count} inputs, {len(failures)} failures", flush=True)
    for failure in failures:
        print(told(failure), flush=True)
    return not failures


def _guided(target: Target, seed: int, seconds: float) -> bool:
    with tempfile.TemporaryDirectory(prefix="ledgerlb-corpus-") as folder:
        command = [sys.executable, "-m", "tests.attacks.guided", target.name, str(seconds), str(seed % 2**31), folder]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=seconds + START_SECONDS
        )
    shown = done.stdout.decode("utf-8", "replace")
    runs = re.findall(r"^Done (\d+) runs", shown, re.MULTILINE)
    print(f"fuzz: {target.name}: {runs[0] + ' inputs, 0 failures' if runs else 'failed'}", flush=True)
    if done.returncode:
        print(shown[-SHOWN:], flush=True)
    return done.returncode == 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, for all targets together")
    parser.add_argument("--seed", type=int, help="the seed of a former campaign")
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS])
    parser.add_argument("--no-guided", dest="guided", action="store_false", help="leave atheris aside")
    parser.add_argument("--replay", type=Path, help="run a kept input once more")
    return parser


def _replay(path: Path) -> int:
    name = path.name.rpartition("--")[0]
    target = next((one for one in TARGETS if one.name == name), None)
    if target is None:
        print(f"fuzz: {path}: the name begins with no target's", file=sys.stderr)
        return 2
    failure = attempt(target, path.read_bytes())
    print(failure.trace if failure else f"fuzz: {name} bears it")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
