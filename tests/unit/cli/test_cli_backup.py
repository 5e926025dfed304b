"""``ledgerlb backup`` and ``ledgerlb restore``, and what commands say of a log without its ledger."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ledgerlb.eventlog.topics import LEDGER
from tests.unit.cli.conftest import Invoke, Past


def test_a_restored_log_answers_as_the_one_that_was_backed_up(past: Past, invoke: Invoke, tmp_path: Path) -> None:
    copy, restored = tmp_path / "copy", f"sqlite://{tmp_path}/restored.db"
    assert "ledger entries" in invoke("backup", str(copy), "--log", past.url).stdout
    result = invoke("restore", str(copy), "--log", restored, "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["former"] is None
    verified = invoke("verify", "--log", restored)
    assert verified.exit_code == 0
    assert verified.stdout == invoke("verify", "--log", past.url).stdout


def test_only_an_embedded_log_is_backed_up(invoke: Invoke, tmp_path: Path) -> None:
    for command in ("backup", "restore"):
        result = invoke(command, str(tmp_path / "f"), "--log", "kafka://127.0.0.1:9092")
        assert result.exit_code == 2
        assert "not an embedded log" in result.stderr


@pytest.mark.parametrize(
    "damage", ["DELETE FROM record WHERE topic=?", "UPDATE record SET topic='ledgerlb.ledger.v9' WHERE topic=?"]
)
@pytest.mark.parametrize("command", [("verify",), ("history", "192.0.2.2"), ("services",), ("topics", "apply")])
def test_a_log_that_lost_its_ledger_is_an_error(
    copied: str, invoke: Invoke, damage: str, command: tuple[str, ...]
) -> None:
    with closing(sqlite3.connect(copied.removeprefix("sqlite://"))) as database, database:
        database.execute(damage, (LEDGER.name,))
    result = invoke(*command, "--log", copied)
    assert result.exit_code not in {0, 70}
    assert "the allocations are lost" in result.stderr
    assert invoke("topics", "apply", "--new-ledger", "--log", copied).exit_code == 0


def test_an_empty_file_is_an_error(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    result = invoke("verify", "--log", f"sqlite://{path}")
    assert result.exit_code not in {0, 70}
    assert "holds no log" in result.stderr
