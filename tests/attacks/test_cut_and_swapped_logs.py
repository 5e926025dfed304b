"""A log that lost its end, or was swapped for another one, is found at the next start.

A real IPAM process writes an embedded log of three networks. An attacker changes the files while no process has them
open. The next process stops the networks that this concerns, and no others, and ``verify`` names the entry.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ledgerlb.core.errors import TopicMisconfigured
from ledgerlb.core.ledger.damage import DamageKind
from ledgerlb.core.reasons import Reason
from ledgerlb.eventlog.embedded.heads import heads_path
from ledgerlb.eventlog.topics import LEDGER
from ledgerlb.runtime.heads import HeadKeeper
from tests.support.embedded import NETWORKS, IpamProcess, offers, wishes
from tests.unit.cli.conftest import Invoke, invoke

__all__ = ["invoke"]


async def write(path: Path) -> None:
    async with IpamProcess(path) as process:
        await process.say([*offers(), *wishes("a")])
        await process.say(wishes("b"))


def change(path: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(sql, values).rowcount > 0


def cut(path: Path, network: str, entries: int = 1) -> None:
    """Remove the last entries of one network."""
    change(
        path,
        "DELETE FROM record WHERE topic=?1 AND offset IN"
        " (SELECT offset FROM record WHERE topic=?1 AND key=?2 ORDER BY offset DESC LIMIT ?3)",
        LEDGER.name, network.encode(), entries,
    )  # fmt: skip


def verify(path: Path, call: Invoke) -> tuple[int, list[tuple[str, str, int]]]:
    result = call("verify", "--log", f"sqlite://{path}", "-o", "json")
    report = json.loads(result.stdout)
    return result.exit_code, [(found["rule"], found["network"], found["seq"]) for found in report["findings"]]


async def decided_after(path: Path) -> IpamProcess:
    """Start again, and let a newcomer ask every network for an address."""
    async with IpamProcess(path) as process:
        await process.say(wishes("late"))
    return process


def test_a_sound_log_goes_on(tmp_path: Path, invoke: Invoke) -> None:
    path = tmp_path / "l.db"
    asyncio.run(write(path))
    assert verify(path, invoke) == (0, [])
    process = asyncio.run(decided_after(path))
    assert [len(process.held(network)) for network in NETWORKS] == [3, 3, 3]


@pytest.mark.parametrize("remembered", ["both", "table", "file"])
def test_a_cut_tail_stops_its_network_alone(tmp_path: Path, invoke: Invoke, remembered: str) -> None:
    path = tmp_path / "l.db"
    asyncio.run(write(path))
    if remembered == "table":
        heads_path(path).unlink()
    elif remembered == "file":
        change(path, "DELETE FROM head")
    cut(path, "net/two")
    process = asyncio.run(decided_after(path))
    assert {name: found.kind for name, found in process.ipam.fold.damage.items()} == {"net/two": DamageKind.TRUNCATED}
    assert process.held("net/two") == ["default/two-a"], "the newcomer gets no address, and nobody the lost one"
    assert len(process.held("net/one")) == 3
    (problem,) = process.ipam.problems()
    assert Reason.LEDGER_DAMAGED in problem
    status, findings = verify(path, invoke)
    assert status == 1
    assert [(rule, network) for rule, network, _ in findings] == [("Truncated", "net/two")]


def test_a_last_entry_that_was_changed_into_another_valid_one_stops_its_network(tmp_path: Path, invoke: Invoke) -> None:
    path = tmp_path / "l.db"
    asyncio.run(write(path))
    change(
        path,
        "UPDATE record SET value=CAST(replace(value, 'uid-default/two-b', 'uid-default/two-x') AS BLOB)"
        " WHERE topic=? AND key=?",
        LEDGER.name, b"net/two",
    )  # fmt: skip
    process = asyncio.run(decided_after(path))
    assert process.ipam.fold.damage["net/two"].kind is DamageKind.HEAD_MISMATCH
    assert verify(path, invoke)[1][0][:2] == ("HeadMismatch", "net/two")


def test_an_older_copy_in_the_place_of_the_log_stops_every_network(tmp_path: Path, invoke: Invoke) -> None:
    path, old = tmp_path / "l.db", tmp_path / "old.db"
    asyncio.run(write(path))
    shutil.copy(path, old)
    asyncio.run(decided_after(path))
    shutil.copy(old, path)  # its own table is as old as its ledger: the file beside it tells
    process = asyncio.run(decided_after(path))
    assert set(process.ipam.fold.damage) == set(NETWORKS)
    assert all("heads forget" in found.remedy for found in process.ipam.fold.damage.values())
    result = invoke("history", "10.0.0.2", "--log", f"sqlite://{path}")
    assert "net/one is shown as of its last good entry" in result.stderr


def test_a_log_that_was_replaced_on_purpose_is_accepted_after_its_heads_are_forgotten(
    tmp_path: Path, invoke: Invoke
) -> None:
    path = tmp_path / "l.db"
    asyncio.run(write(path))
    cut(path, "net/two")
    shown = invoke("heads", "forget", "net/two", "--log", f"sqlite://{path}")
    assert shown.stdout.startswith("would forget (give --yes): net/two#")
    assert verify(path, invoke)[0] == 1, "without --yes nothing was forgotten"
    assert invoke("heads", "forget", "net/two", "--yes", "--log", f"sqlite://{path}").exit_code == 0
    assert verify(path, invoke) == (0, [])
    process = asyncio.run(decided_after(path))
    assert len(process.held("net/two")) == 3
    heads = json.loads(invoke("heads", "show", "--log", f"sqlite://{path}", "-o", "json").stdout)["heads"]
    assert {head["network"]: head["seq"] for head in heads} == {
        network: process.ipam.fold.network(network).seq for network in NETWORKS
    }


async def test_an_empty_log_in_the_place_of_one_with_a_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    await write(path)
    path.unlink()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with pytest.raises(TopicMisconfigured, match="the remembered heads"):
        await IpamProcess(path).run()
    async with IpamProcess(path, log_new_ledger=True) as process:
        await process.say([*offers(), *wishes("a")])
    assert not process.ipam.fold.damage


async def test_heads_are_kept_after_a_while_and_at_the_stop(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    process = IpamProcess(path)
    async with process:
        await process.say([*offers(), *wishes("a")])
        assert not heads_path(path).exists(), "nothing is kept at once"
        keeper = HeadKeeper([process.ipam._projection], process.ipam._clock, writes=True)
        assert await keeper.save(process.log) == len(NETWORKS)
        assert await keeper.save(process.log) == 0, "an idle process writes nothing"
    assert heads_path(path).exists()
