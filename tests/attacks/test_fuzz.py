"""Every target of the fuzzer bears its share of seeded mutants, and the fuzzer finds what it is made to find."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.attacks import fuzz, targets
from tests.attacks.fuzz import attempt, campaign, main, mutants, told
from tests.attacks.mutate import MAX_BYTES
from tests.attacks.targets import TARGETS, Target

ROUNDS = 1500
SEED = 1


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_mutant_is_too_much(target: Target) -> None:
    count, failures = campaign(target, SEED, rounds=max(10, int(ROUNDS * target.weight)))
    assert count >= 10
    assert not failures, told(failures[0])


def crashing(trigger: bytes) -> Target:
    def run(raw: bytes, folder: Path) -> None:
        assert folder.is_dir()
        if trigger in raw:
            raise ValueError("a bug")

    return Target("crashing", lambda: [b'{"a": [1, 2]}'], run)


def test_a_bug_is_found_kept_and_replayed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = crashing(b"boom")
    monkeypatch.setattr(fuzz, "KEPT", tmp_path)
    monkeypatch.setattr(fuzz, "TARGETS", (target,))
    assert main(["--seconds", "20", "--seed", "3", "--no-guided"]) == 1
    shown = capsys.readouterr().out
    assert "fuzz: seed 3, 1 targets" in shown
    assert "ValueError: a bug" in shown
    kept = sorted(tmp_path.iterdir())
    assert 1 <= len(kept) <= fuzz.ENOUGH
    assert f"--replay {kept[0]}" in shown
    assert main(["--replay", str(kept[0])]) == 1
    monkeypatch.setattr(fuzz, "TARGETS", (crashing(b"never in it"),))
    assert main(["--replay", str(kept[0])]) == 0
    assert main(["--replay", str(tmp_path / "unknown")]) == 2


def test_an_input_that_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SLOWEST", 0.05)
    failure = attempt(Target("slow", lambda: [b"x"], lambda raw, folder: time.sleep(30)), b"x")
    assert failure is not None
    assert "TooSlow" in failure.trace


def test_a_seed_makes_the_same_mutants_again() -> None:
    for target in targets.TARGETS:
        once, again, other = (mutants(target, seed) for seed in (5, 5, 6))
        first = [next(once) for _ in range(20)]
        assert first == [next(again) for _ in range(20)], target.name
        assert first != [next(other) for _ in range(20)], target.name
        assert len({*first}) > 10, "mutants differ"
        assert all(0 < len(raw) <= MAX_BYTES + 2000 for raw in first if target.name != "log-file")
