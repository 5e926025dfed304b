from __future__ import annotations

from pathlib import Path

import pytest

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.eventlog import connect
from ledgerlb.eventlog.connect import sqlite_path
from ledgerlb.eventlog.embedded import MemoryLog, SqliteLog
from ledgerlb.eventlog.kafka import KafkaLog
from ledgerlb.eventlog.security import LogSecurity


def test_each_scheme_gives_its_log() -> None:
    assert isinstance(connect("memory:"), MemoryLog)
    assert isinstance(connect("sqlite:///var/lib/ledgerlb/ledger.db"), SqliteLog)
    assert isinstance(connect("kafka://one:9092,two.example:9093", LogSecurity(insecure=True)), KafkaLog)
    assert isinstance(connect("kafka://[::1]:9092"), KafkaLog)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/l.db", "/var/lib/l.db"),
        ("sqlite:////var/lib/l.db", "/var/lib/l.db"),
        ("sqlite:///.ledgerlb/ledger.db", ".ledgerlb/ledger.db"),
        ("sqlite:///./l.db", "./l.db"),
        ("sqlite:///../l.db", "../l.db"),
        ("sqlite:data/l.db", "data/l.db"),
        ("sqlite:/var/l.db", "/var/l.db"),
    ],
)
def test_sqlite_paths(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "", "ledger.db", "postgres://x", "memory:x", "sqlite:", "sqlite://", "sqlite:///", "sqlite:///a/", "sqlite://host/a",
        "kafka:", "kafka://", "kafka://host", "kafka://host:", "kafka://:9092", "kafka://host:99999", "kafka://a:1,b",
        "kafka:host:9092",
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        connect(url)
    assert raised.value.remedy
    assert "LEDGERLB_LOG" in str(raised.value)
