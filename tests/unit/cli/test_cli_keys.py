"""``ledgerlb keys``: making, replacing and showing keys, and where signing begins."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ledgerlb.eventlog.keys import read_trusted
from ledgerlb.eventlog.port import NewRecord
from tests.unit.cli.conftest import Invoke, Past, append
from tests.unit.cli.test_cli_json_shape import row
from tests.unit.cli.test_json_schemas import validator


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    return ("--key", str(tmp_path / "key"), "--trusted", str(tmp_path / "trusted"))


def test_init_makes_a_key_once_and_show_prints_its_public_half(files: tuple[str, ...], invoke: Invoke) -> None:
    made = json.loads(invoke("keys", "init", *files, "--signs", "reports, paths", "-o", "json").stdout)
    assert made["signs"] == ["paths", "reports"]
    shown = json.loads(invoke("keys", "show", *files[2:], "-o", "json").stdout)
    assert shown["keys"] == [{key: made[key] for key in ("id", "public", "signs", "created")}]
    assert made["id"] in invoke("keys", "show", *files[2:]).stdout
    again = invoke("keys", "init", *files)
    assert again.exit_code == 2
    assert "keys rotate" in again.stderr
    assert "PRIVATE" not in made["public"]


def test_rotate_makes_a_key_for_the_same_records_and_keeps_the_former_trusted(
    files: tuple[str, ...], invoke: Invoke
) -> None:
    invoke("keys", "init", *files, "--signs", "ledger")
    before = Path(files[1]).read_bytes()
    assert invoke("keys", "rotate", *files).exit_code == 0
    assert Path(files[1]).read_bytes() != before
    old, new = read_trusted(Path(files[3])).keys
    assert old.signs == new.signs == ("ledger",)
    assert old.id != new.id


def test_a_key_that_is_not_trusted_is_not_rotated(files: tuple[str, ...], tmp_path: Path, invoke: Invoke) -> None:
    invoke("keys", "init", *files)
    invoke("keys", "init", "--key", str(tmp_path / "other"), "--trusted", str(tmp_path / "others"))
    result = invoke("keys", "rotate", *files[:2], "--trusted", str(tmp_path / "others"))
    assert result.exit_code == 2
    assert "does not trust" in result.stderr


@pytest.mark.parametrize("signs", ["", "everything", "ledger,x"])
def test_what_a_key_may_sign_is_checked(files: tuple[str, ...], signs: str, invoke: Invoke) -> None:
    result = invoke("keys", "init", *files, "--signs", signs)
    assert result.exit_code == 2
    assert "ledger, paths, reports" in result.stderr
    assert not Path(files[1]).exists()


def test_since_names_the_entry_after_the_last_without_a_signature(
    files: tuple[str, ...], past: Past, invoke: Invoke
) -> None:
    invoke("keys", "init", *files)
    assert invoke("verify", "--log", past.url, "--keys", files[3]).exit_code == 1
    found = json.loads(invoke("keys", "since", *files[2:], "--log", past.url, "-o", "json").stdout)["since"]
    heads = json.loads(invoke("verify", "--log", past.url, "-o", "json").stdout)["heads"]
    assert found == {head["network"]: {"seq": head["seq"] + 1, "prev": head["hash"]} for head in heads}
    assert invoke("verify", "--log", past.url, "--keys", files[3]).exit_code == 0
    assert re.search(r"net/ext: entries must be signed from \d+ on", invoke("keys", "show", *files[2:]).stdout)


def test_nothing_is_accepted_that_verify_objects_to(files: tuple[str, ...], copied: str, invoke: Invoke) -> None:
    append(copied, [NewRecord("net/ext", b"{")])
    invoke("keys", "init", *files)
    result = invoke("keys", "since", *files[2:], "--log", copied)
    assert result.exit_code == 1
    assert read_trusted(Path(files[3])).since == {}


def test_every_field_of_the_json_is_documented(files: tuple[str, ...], past: Past, invoke: Invoke) -> None:
    documented = row("`keys init`, `keys rotate`, `keys since`, `keys show`")
    schema = validator("keys")
    invoke("keys", "init", *files)
    for command in (("rotate", *files), ("since", *files[2:], "--log", past.url), ("show", *files[2:])):
        data = json.loads(invoke("keys", *command, "-o", "json").stdout)
        assert set(data) <= documented
        schema.validate(data)
