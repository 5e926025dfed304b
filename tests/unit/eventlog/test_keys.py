"""Signatures of records: what they cover, whose count, and how keys are kept and replaced."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.signatures import KEY_HEADER, SIGNATURE_HEADER, signed_bytes
from ledgerlb.eventlog import keys as keys_module
from ledgerlb.eventlog.embedded import MemoryLog
from ledgerlb.eventlog.keys import (
    ROLES,
    SigningKey,
    TrustedFile,
    TrustedKeys,
    make_key,
    read_trusted,
    write_private,
    write_trusted,
)
from ledgerlb.eventlog.port import NewRecord, Record, read_to_end
from ledgerlb.eventlog.signing import SigningLog
from ledgerlb.eventlog.topics import FACTS, HEADS, LEDGER, PATHS, REPORTS
from tests.support.keys import keys_in


async def written(log: SigningLog, *records: NewRecord, topic=LEDGER) -> list[Record]:
    await log.append(topic, records)
    found: list[Record] = []
    await read_to_end(log, [topic], found.append)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys_in(tmp_path)
    return tmp_path


@pytest.fixture
def log(folder: Path) -> SigningLog:
    return SigningLog(MemoryLog(), SigningKey(folder / "key"))


@pytest.fixture
def trusted(folder: Path) -> TrustedKeys:
    return TrustedKeys(folder / "trusted")


def objection(trusted: TrustedKeys, record: Record) -> str | None:
    found = trusted.objection(record.topic, record.key, record.value, record.headers)
    return None if found is None else found.message


@pytest.mark.parametrize("value", [b"v", b"", None])
async def test_a_signed_record_counts(log: SigningLog, trusted: TrustedKeys, value: bytes | None) -> None:
    (record,) = await written(log, NewRecord("n/ä", value))
    assert objection(trusted, record) is None


async def test_a_signature_covers_topic_key_and_value(log: SigningLog, trusted: TrustedKeys) -> None:
    (record,) = await written(log, NewRecord("n/e", b"v"))
    signed = dict(record.headers)
    forged = [
        replace(record, topic=PATHS.name), replace(record, key="n/f"), replace(record, value=b"w"),
        replace(record, value=None), replace(record, key="n/ev", value=b""),
        *(replace(record, headers=((KEY_HEADER, signed[KEY_HEADER]), (SIGNATURE_HEADER, wrong)))
          for wrong in (b"", b"\0" * 64, signed[SIGNATURE_HEADER][:-1], bytes([signed[SIGNATURE_HEADER][0] ^ 1]) + signed[SIGNATURE_HEADER][1:])),
    ]  # fmt: skip
    for one in forged:
        assert "does not match its signature" in (objection(trusted, one) or ""), one
    for headers in ((), record.headers[:1], record.headers[1:], (("other", b"x"),)):
        assert objection(trusted, replace(record, headers=headers)) == "is not signed"


def test_no_two_records_have_the_same_signed_bytes() -> None:
    records = [
        ("t", "k", b"v"),
        ("tk", "", b"v"),
        ("t", "", b"kv"),
        ("t", "kv", b""),
        ("t", "kv", None),
        ("", "tk", b"v"),
    ]
    assert len({signed_bytes(*record) for record in records}) == len(records)


async def test_a_key_counts_for_what_it_may_sign(tmp_path: Path) -> None:
    keys_in(tmp_path, signs=("reports",))
    log, trusted = SigningLog(MemoryLog(), SigningKey(tmp_path / "key")), TrustedKeys(tmp_path / "trusted")
    (report,) = await written(log, NewRecord("a/b", b"v"), topic=REPORTS)
    (entry,) = await written(log, NewRecord("a/b", b"v"), topic=LEDGER)
    assert objection(trusted, report) is None
    assert "may not sign ledgerlb.ledger.v1" in (objection(trusted, entry) or "")


async def test_topics_without_authors_are_not_signed_and_heads_are(log: SigningLog) -> None:
    (fact,) = await written(log, NewRecord("k", b"v"), topic=FACTS)
    assert fact.headers == ()
    await log.remember_heads([NewRecord("n", b"head")])
    heads: list[Record] = []
    await log.read_heads(heads.append)
    assert TrustedKeys  # the head itself is signed for its topic
    assert {name for name, _ in heads[0].headers} == {KEY_HEADER, SIGNATURE_HEADER}
    assert heads[0].topic == HEADS.name


async def test_a_rotation_reaches_running_processes(
    folder: Path, log: SigningLog, trusted: TrustedKeys, monkeypatch: Any
) -> None:
    monkeypatch.setattr(keys_module, "RECHECK_SECONDS", 0.0)
    (old,) = await written(log, NewRecord("n", b"old"))
    pem, public = make_key(ROLES)
    content = read_trusted(folder / "trusted")
    write_trusted(folder / "trusted", msgspec.structs.replace(content, keys=(*content.keys, public)))
    write_private(folder / "key", pem)
    _, new = await written(log, NewRecord("n", b"new"))
    assert dict(new.headers)[KEY_HEADER] == public.id.encode()
    assert objection(trusted, old) is None
    assert objection(trusted, new) is None
    write_trusted(folder / "trusted", TrustedFile(keys=(public,)))
    assert "not trusted" in (objection(TrustedKeys(folder / "trusted"), old) or "")


async def test_a_signing_key_that_becomes_unusable_leaves_the_former_one(
    folder: Path, log: SigningLog, trusted: TrustedKeys
) -> None:
    (folder / "key").write_bytes(b"")
    (record,) = await written(log, NewRecord("n", b"v"))
    assert objection(trusted, record) is None


def test_a_private_key_is_readable_by_its_owner_alone(folder: Path) -> None:
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{}x", b"\xff", b"[" * 100_000, b'{"v": 2}', b'{"keys": [{}]}', b'{"other": 1}']
)
def test_a_file_that_is_no_file_of_keys_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(InvalidSetting, match="cannot be used"):
        TrustedKeys(tmp_path / "f")
    with pytest.raises(InvalidSetting, match="cannot be used"):
        SigningKey(tmp_path / "f")


@pytest.mark.parametrize(
    ("field", "value"), [("public", "boom"), ("public", "AAAA"), ("id", "0" * 16), ("signs", ["all"])]
)
def test_a_key_that_lies_is_refused(folder: Path, field: str, value: Any) -> None:
    data = json.loads((folder / "trusted").read_text())
    data["keys"][0][field] = value
    (folder / "trusted").write_text(json.dumps(data))
    with pytest.raises(InvalidSetting, match="cannot be used"):
        TrustedKeys(folder / "trusted")


@pytest.mark.parametrize("kind", ["missing", "fifo", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    for make in (TrustedKeys, SigningKey):
        with pytest.raises(InvalidSetting, match="cannot be used"):
            make(path)
