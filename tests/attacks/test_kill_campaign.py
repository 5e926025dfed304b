"""A hundred SIGKILLs at random moments while the manifests change: no address of a Service that stays ever moves.

``LEDGERLB_TEST_SEED`` repeats a campaign; the seed is in the message of a failure.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from ledgerlb.core.ledger.audit import Audit
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog import connect
from ledgerlb.eventlog.heads import read_heads
from ledgerlb.eventlog.port import Record, read_to_end
from ledgerlb.eventlog.topics import DEAD_LETTERS, LEDGER
from ledgerlb.runtime.logview import LogView
from tests.attacks import killed
from tests.builders.objects import Object, asks, backends, service
from tests.support.simulate import base
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

KILLS: Final = 100
SETTLE_EVERY: Final = 10
"""Kills between two runs that may finish what they do: otherwise nothing but starts would be killed."""
LONGEST_LIFE: Final = 0.5
"""Seconds, of a start or of a process that has read the log."""
AWAKE: Final = 0.5
"""How many processes have read the log when their life begins to count; the others are killed while they start."""
MOST_SERVICES: Final = 25
SETTLED_SECONDS: Final = 40.0


class Folder:
    """The manifests, a file for each object, changed at random."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path = path
        self.edits: Counter[str] = Counter()
        self._chance = chance
        self._made = 0
        self.present: dict[str, Object] = {}
        path.mkdir()
        self._write("00-base", *base())
        for _ in range(8):
            self.add()

    def edit(self) -> None:
        """One change, as an editor that replaces whole files makes it."""
        edits = [self.add, self.change, self.change, self.move_backends, self.remove]
        edit = self._chance.choice(edits)
        edit()
        self.edits[edit.__name__] += 1

    def add(self) -> None:
        """A new Service; some ask for an address. A name is never used again."""
        if len(self.present) >= MOST_SERVICES:
            return
        name = f"a/s{self._made:03}"
        self._made += 1
        is_asking = self._chance.random() < 0.3
        self._put(name, asks(name, f"192.0.2.{100 + self._made}") if is_asking else service(name))

    def change(self) -> None:
        """A change that no address depends on."""
        name = self._any()
        changed = json.loads(json.dumps(self.present[name]))
        changed["metadata"].setdefault("labels", {})["edit"] = str(self._chance.random())
        changed["spec"]["ports"][0]["port"] = self._chance.randint(1, 60000)
        self._put(name, changed)

    def move_backends(self) -> None:
        """Other pods behind a Service."""
        name = self._any()
        self._put(name, self.present[name])

    def remove(self) -> None:
        """A Service that goes; never so many at once that the rest waits for an operator."""
        if len(self.present) > 8:
            name = self._any()
            del self.present[name]
            (self.path / f"{name.partition('/')[2]}.yaml").unlink()

    def _any(self) -> str:
        return self._chance.choice(sorted(self.present))

    def _put(self, name: str, obj: Object) -> None:
        self.present[name] = obj
        pods = [f"10.1.{self._chance.randrange(250)}.{number}" for number in range(1, self._chance.randint(2, 4))]
        self._write(name.partition("/")[2], obj, backends(name, n1=pods))

    def _write(self, name: str, *objects: Object) -> None:
        draft = self.path / f".{name}"
        draft.write_text("\n---\n".join(map(json.dumps, objects)))
        draft.replace(self.path / f"{name}.yaml")


class Judge:
    """Reads the log of a dead process, and compares it with what it read before."""

    def __init__(self, folder: Folder, url: str) -> None:
        self._folder = folder
        self._url = url
        self.addresses: dict[str, str] = {}
        """What each Service that is in the folder held when it was last seen."""
        self.entries = 0

    def judge(self) -> LogView:
        """Assert what must hold at every moment."""
        view, audit = asyncio.run(self._read())
        report = audit.report()
        assert report.clean, report.findings
        assert not view.ledger.damage
        holdings = [holding for holding in view.ledger.holdings() if holding.state == "held"]
        holders = Counter(holding.address for holding in holdings)
        assert not [address for address, count in holders.items() if count > 1], "an address with two holders"
        now = {holding.service: holding.address for holding in holdings}
        for name, address in self.addresses.items():
            if name in self._folder.present:
                assert now.get(name) == address, f"{name} held {address}, and now {now.get(name)}"
        assert report.accepted >= self.entries, "entries are gone"
        self.entries = report.accepted
        self.addresses = {name: address for name, address in now.items() if name in self._folder.present}
        return view

    async def _read(self) -> tuple[LogView, Audit]:
        view, audit = LogView(DomainSettings()), Audit()

        def take(record: Record) -> None:
            view.take(record)
            if record.topic == LEDGER.name:
                audit.take(record.key, record.value, record.offset)

        async with connect(self._url) as log:
            assert await read_heads(log, view.heads) == []
            await read_to_end(log, LogView.READS, take)
            assert await log.end(DEAD_LETTERS) == 0
        return view, audit

    def everybody_is_served(self) -> bool:
        """Whether each Service of the folder holds an address."""
        self.judge()
        missing = sorted(set(self._folder.present) - set(self.addresses))
        assert not missing, f"without an address: {missing[:5]}"
        return True


class Campaign:
    """Starts the process, edits, kills it, judges."""

    def __init__(self, where: Path, seed: str) -> None:
        self.chance = random.Random(seed)
        self.folder = Folder(where / "manifests", self.chance)
        self.url = f"sqlite://{where}/ledger.db"
        self.judge = Judge(self.folder, self.url)
        self._where = where
        self._processes = killed.context()
        self.kills = 0

    def command(self, *more: str) -> list[str]:
        """The arguments of ``ledgerlb``."""
        return ["run", "--manifests", str(self.folder.path), "--log", self.url, *more]

    def live_and_die(self, *, settle: bool) -> None:
        """One life: edits at random moments, then SIGKILL, then the judgement."""
        output = self._where / f"life-{self.kills}"
        log = Path(f"{output}.log")
        process = killed.start(self._processes, self.command(), output)
        try:
            if self.chance.random() < AWAKE:
                eventually(lambda: "caught up" in log.read_text(), "the log was read", SETTLED_SECONDS, every=0.02)
            if settle:
                eventually(self.judge.everybody_is_served, "every Service holds an address", SETTLED_SECONDS, every=0.2)
            # The moment of the kill is what this is about: it must not follow from what the process does.
            ends = time.monotonic() + self.chance.uniform(0.0, LONGEST_LIFE)
            while (left := ends - time.monotonic()) > 0:
                if self.chance.random() < 0.5:
                    self.folder.edit()
                time.sleep(min(left, self.chance.uniform(0.0, 0.15)))
            assert process.is_alive(), f"ended by itself: {log.read_text()[-2000:]}"
        finally:
            process.kill()
            process.join(10)
        assert process.exitcode == -signal.SIGKILL
        self.kills += 1
        self.judge.judge()

    def settled(self) -> dict[str, Any]:
        """What a last run, that ends in order, shows of the Services."""
        output = self._where / "last"
        process = killed.start(self._processes, self.command("--until-settled", "-o", "json"), output)
        process.join(SETTLED_SECONDS)
        log = Path(f"{output}.log").read_text()
        assert process.exitcode == 0, log[-2000:]
        services: dict[str, Any] = json.loads(output.read_text())["services"]
        return services


def test_no_address_moves_however_often_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGERLB_DELETION_GRACE", "1s")  # several Services may go between two lives
    seed = os.environ.get("LEDGERLB_TEST_SEED") or "kills"
    campaign = Campaign(tmp_path, seed)
    campaign.live_and_die(settle=False)
    while campaign.kills < KILLS:
        campaign.folder.edit()  # while nobody runs
        campaign.live_and_die(settle=campaign.kills % SETTLE_EVERY == 0)
    before = dict(campaign.judge.addresses)

    shown = campaign.settled()
    view = campaign.judge.judge()
    for name, address in before.items():
        assert shown[name]["addresses"] == [address], name
    assert set(shown) == set(campaign.folder.present)
    assert {name: line["addresses"] for name, line in shown.items()} == {
        name: [address] for name, address in campaign.judge.addresses.items()
    }
    assert {line["state"] for line in shown.values()} == {"Ready"}
    assert not [name for name in view.service_names() if name not in campaign.folder.present], "released at last"

    edits = campaign.folder.edits
    print(f"seed {seed}: {campaign.kills} kills, {campaign.judge.entries} entries, edits {dict(edits)}")
    assert min(edits[name] for name in ("add", "change", "move_backends", "remove")) >= 5, edits
    assert campaign.judge.entries >= 30
