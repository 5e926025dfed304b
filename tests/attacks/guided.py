"""One target of the fuzzer, led by coverage: needs atheris, which not every machine has (``pip install atheris``).

    python -m tests.attacks.guided TARGET SECONDS SEED FOLDER

FOLDER is empty, and the caller removes it. libFuzzer keeps there the mutants that reach new code, and ends at
the first failure. Exit status: 0, or not 0 after a failure.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ledgerlb"], enable_loader_override=False):
    from tests.attacks.fuzz import attempt, mutant, told
    from tests.attacks.mutate import MAX_BYTES
    from tests.attacks.targets import TARGETS


def main(name: str, seconds: str, seed: str, folder: str) -> None:
    """See module. libFuzzer ends the process."""
    target = next(one for one in TARGETS if one.name == name)

    def run(raw: bytes) -> None:
        failure = attempt(target, raw) if raw else None
        if failure is not None:
            print(told(failure), flush=True)
            raise RuntimeError(f"{name} failed")

    def change(raw: bytes, most: int, chosen: int) -> bytes:
        chance = random.Random(chosen)
        if chance.random() < 0.5:
            return bytes(atheris.Mutate(raw, most))
        return mutant(bytes(raw) or b"x", chance, records=target.records)[:most]

    for number, raw in enumerate(target.samples()):
        (Path(folder) / str(number)).write_bytes(raw)
    limits = [f"-max_total_time={max(1, round(float(seconds)))}", f"-max_len={MAX_BYTES}", f"-seed={seed}"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", folder], run, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:5])
