"""Everything that decodes foreign bytes, as targets of the fuzzer: what a target raises is a bug.

A target about a record gets the key in the first line and the value after it.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledgerlb.core.cluster.facts import decode_fact, encode_fact, key_of
from ledgerlb.core.errors import BadInput, ClusterUnavailable, LedgerLBError
from ledgerlb.core.intents.model import decode_intent
from ledgerlb.core.ledger.audit import Audit
from ledgerlb.core.ledger.entry import parse_entry
from ledgerlb.core.ledger.heads import RememberedHeads, decode_head, encode_head
from ledgerlb.core.paths.pathset import decode_path_set, decode_report
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog import connect
from ledgerlb.eventlog.embedded import backup
from ledgerlb.eventlog.embedded.heads import heads_path
from ledgerlb.eventlog.heads import highest_heads, read_heads
from ledgerlb.eventlog.lost import require_ledger
from ledgerlb.eventlog.port import NewRecord, Record, read_to_end
from ledgerlb.eventlog.topics import ALL_TOPICS, DEAD_LETTERS, FACTS, HEADS, INTENTS, LEDGER, PATHS, REPORTS, Topic
from ledgerlb.kube.manifests.files import read_documents
from ledgerlb.kube.manifests.identity import FILE, file_identity
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.normalise.dispatch import fact_of, name_of, subject_of
from ledgerlb.kube.source import ClusterSource, ProblemLog, seen
from ledgerlb.runtime.deadletters import identity_of_letter
from ledgerlb.runtime.logview import LogView
from ledgerlb.runtime.settings import ProcessSettings, domain_settings
from ledgerlb.simulator.scenario import load_scenario
from tests.attacks import samples

Decoder = Callable[[str, bytes], object]
NOW: Final = samples.NOW

DECODERS: Final[dict[str, Decoder]] = {
    FACTS.name: decode_fact,
    INTENTS.name: decode_intent,
    LEDGER.name: parse_entry,
    PATHS.name: decode_path_set,
    REPORTS.name: decode_report,
    HEADS.name: decode_head,
    DEAD_LETTERS.name: lambda key, value: identity_of_letter(Record(DEAD_LETTERS.name, 0, key, value, 0)),
}


@dataclass(frozen=True)
class Target:
    """``samples`` returns honest input, ``run`` takes input and an empty folder of its own. ``weight`` is the target's
    share of the rounds: less for what takes longer. ``records`` is said of targets about records (see module).
    """

    name: str
    samples: Callable[[], Sequence[bytes]]
    run: Callable[[bytes, Path], None]
    weight: float = 1.0
    records: bool = False


def framed(record: Record) -> bytes:
    """A record as input."""
    return record.key.encode() + b"\n" + (record.value or b"")


def split(raw: bytes) -> tuple[str, bytes]:
    """Key and value of input."""
    key, _, value = raw.partition(b"\n")
    return key.decode("utf-8", "replace"), value


def _decoding(topic: Topic) -> Target:
    def run(raw: bytes, folder: Path) -> None:
        del folder
        with suppress(BadInput):
            DECODERS[topic.name](*split(raw))

    return Target(topic.name, lambda: [*map(framed, samples.of_topic(topic.name))], run, records=True)


def _folding(topic: Topic) -> Target:
    """The record at the end of an honest log, as the services and the commands fold it, and the audit reads it."""

    def run(raw: bytes, folder: Path) -> None:
        del folder
        key, value = split(raw)
        view, audit = LogView(DomainSettings()), Audit()
        for record in (*samples.records(), Record(topic.name, 10_000, key, value, 0)):
            with suppress(BadInput):
                view.take(record)
            if record.topic == LEDGER.name:
                audit.take(record.key, record.value, record.offset)
        for line in view.services(NOW):
            line.as_json()
        for network in view.networks():
            network.as_json()
        assert audit.report() is not None

    return Target(
        f"fold-{topic.name}", lambda: [*map(framed, samples.of_topic(topic.name))], run, weight=0.05, records=True
    )


def _object(raw: bytes, folder: Path) -> None:
    """An object of the API server: a fact, nothing, or BadInput."""
    del folder
    try:
        obj = json.loads(raw)
    except (ValueError, RecursionError):
        return  # the client's own decoder refuses it
    kind = obj.get("kind") if isinstance(obj, dict) else None
    if not isinstance(kind, str) or kind not in samples.OBJECTS:
        kind = "Service"
    seen(kind, [obj], lambda _: None)
    with suppress(BadInput):
        subject_of(obj, kind)
        name_of(obj, kind)
        fact = fact_of(obj, kind, every_pod=True)
        if fact is not None:
            assert decode_fact(key_of(fact), encode_fact(fact)).kind == fact.kind
    _apply(obj, kind)


def _apply(obj: Any, kind: str) -> None:
    """The object as one of a folder."""
    cluster = MemoryCluster(lambda: NOW)
    with suppress(BadInput):
        cluster.key_of(obj)
        fact_of(obj, kind, every_pod=True)
        cluster.apply(obj, manager="manifest x.yaml")
        ClusterSource(cluster, ProblemLog()).pump(lambda batch: None)


def _manifest(raw: bytes, folder: Path) -> None:
    for name in ("x.yaml", "x.json"):
        (folder / name).write_bytes(raw)
        with suppress(BadInput):
            documents, _ = read_documents(folder / name)
            seen("Service", [document.obj for document in documents], lambda _: None)


def _scenario(raw: bytes, folder: Path) -> None:
    (folder / "x.yaml").write_bytes(raw)
    with suppress(BadInput):
        load_scenario(folder / "x.yaml")


def _settings(raw: bytes, folder: Path) -> None:
    (folder / "settings.yaml").write_bytes(raw)
    with suppress(BadInput):
        domain_settings(ProcessSettings(settings=folder / "settings.yaml"), {})


def _identity(raw: bytes, folder: Path) -> None:
    (folder / FILE).write_bytes(raw)
    with suppress(ClusterUnavailable):
        file_identity(folder)


def _log_file(raw: bytes, folder: Path) -> None:
    """A backup, or a log, with wrong bytes: read, refused or restored, and never more than an error of ours."""
    path = folder / "ledger.db"
    path.write_bytes(raw)
    with suppress(LedgerLBError):
        backup.contents(path)
    with suppress(LedgerLBError):
        backup.restore(path, folder / "restored.db")
    with suppress(LedgerLBError):
        asyncio.run(_read_log(path))


async def _read_log(path: Path) -> None:
    view = LogView(DomainSettings())

    def take(record: Record) -> None:
        with suppress(BadInput):
            view.take(record)

    async with connect(f"sqlite://{path}") as log:
        await log.check()
        await read_to_end(log, ALL_TOPICS, lambda _: None, silence=2.0)
        await read_to_end(log, LogView.READS, take, silence=2.0)
    list(view.services(NOW))


def _heads_file(raw: bytes, folder: Path) -> None:
    """The remembered heads beside a log."""
    path = folder / "ledger.db"
    path.write_bytes(samples.log_file())
    heads_path(path).write_bytes(raw)
    with suppress(LedgerLBError):
        asyncio.run(_read_heads(path))


async def _read_heads(path: Path) -> None:
    async with connect(f"sqlite://{path}") as log:
        await require_ledger(log)
        await read_heads(log, RememberedHeads())
        heads = await highest_heads(log)
        await log.remember_heads([NewRecord(head.network, encode_head(head.network, head.head, NOW)) for head in heads])


def _rows(raw: bytes, folder: Path) -> None:
    """A log whose file is sound, and whose rows are not: ``raw`` stands as key, value, offset and time."""
    path = folder / "ledger.db"
    path.write_bytes(samples.log_file())
    with closing(sqlite3.connect(path)) as database, database:
        column = ("key", "value", "timestamp", "topic", "offset")[len(raw) % 5]
        given = raw if len(raw) % 2 else raw.decode("utf-8", "replace")
        with suppress(sqlite3.Error):
            database.execute(
                f"UPDATE record SET {column}=? WHERE rowid IN (SELECT rowid FROM record LIMIT 3)", (given,)
            )
    with suppress(LedgerLBError):
        asyncio.run(_read_log(path))


TARGETS: Final[tuple[Target, ...]] = (
    *(_decoding(topic) for topic in ALL_TOPICS if topic.name in DECODERS),
    *(_folding(topic) for topic in (FACTS, INTENTS, LEDGER, PATHS, REPORTS)),
    Target("object", lambda: [json.dumps(samples.whole(kind)).encode() for kind in samples.OBJECTS], _object, 0.5),
    Target("manifest", lambda: [samples.manifest(), json.dumps(samples.whole("Service")).encode()], _manifest, 0.05),
    Target("scenario", lambda: [samples.scenario()], _scenario, 0.05),
    Target("settings", lambda: [json.dumps(samples.SETTINGS).encode()], _settings, 0.2),
    Target("identity", lambda: [b"0d9e3f4a-3c55-4a6e-9d2c-0a6f4b0e7f11\n"], _identity, 0.2),
    Target("log-file", lambda: [samples.log_file()], _log_file, 0.01),
    Target("heads-file", samples.heads_files, _heads_file, 0.02),
    Target("log-rows", lambda: [b"x", b"\x00\xff", b"9" * 30, b"null"], _rows, 0.01),
)
