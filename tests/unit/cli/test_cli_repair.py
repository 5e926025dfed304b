"""``ledgerlb repair`` on real files: it names what it sets aside, gives live addresses back, and readers go on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.cli.commands import repair
from ledgerlb.core.addresses import to_int
from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.entry import Entry, decode_entry, digest, encode_entry
from ledgerlb.core.ledger.events import AddressAllocated
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.connect import connect
from ledgerlb.eventlog.port import NewRecord, Record, read_to_end
from ledgerlb.eventlog.topics import LEDGER
from ledgerlb.runtime.logview import LogView
from ledgerlb.simulator.engine import Engine
from tests.builders.objects import backends, service
from tests.support.simulate import apply, base, delete, run_simulation, simulation_of
from tests.unit.cli.conftest import Invoke, append, write_log

NET = "net/ext"


def ledger_of(url: str) -> list[Record]:
    found: list[Record] = []

    async def read() -> None:
        async with connect(url) as log:
            await read_to_end(log, [LEDGER], found.append)

    asyncio.run(read())
    return found


def answer(invoke: Invoke, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = invoke(*arguments, "-o", "json")
    return result.exit_code, json.loads(result.stdout)


def next_entry(url: str, *events: Any, network: str = NET, **changes: Any) -> bytes:
    last = [record for record in ledger_of(url) if record.key == network][-1]
    entry = decode_entry(network, last.value)
    fields = {"seq": entry.seq + 1, "prev": digest(last.value or b"")} | changes
    made = Entry(1, network, fields["seq"], fields["prev"], entry.decided_at, "test", (), events)
    return encode_entry(made)


def garbage(_url: str) -> bytes:
    return b"\xff\x00"


DAMAGES = {
    "Undecodable": garbage,
    "Empty": lambda _url: b"",
    "Gap": lambda url: next_entry(url, seq=99),
    "Fork": lambda url: next_entry(url, prev="f" * 64),
    "Contradiction": lambda url: next_entry(url, AddressAllocated("192.0.2.2", 4, "x/y", "u", "never-used")),
}


@pytest.mark.parametrize(("kind", "make"), DAMAGES.items(), ids=DAMAGES)
def test_each_kind_of_damage_is_shown_first_and_set_aside_by_one_entry(
    copied: str, invoke: Invoke, kind: str, make: Any
) -> None:
    append(copied, [NewRecord(NET, make(copied)), NewRecord(NET, b"later")])
    before = ledger_of(copied)
    shown = invoke("repair", "--log", copied)
    assert shown.exit_code == 1
    assert f"{kind}" in shown.stdout
    assert "Nothing was written" in shown.stdout
    assert ledger_of(copied) == before
    status, done = answer(invoke, "repair", "--log", copied, "--apply", "--reason", "disk")
    assert status == 0, done
    [case] = done["networks"]
    assert (case["network"], case["kind"], case["records"], case["applied"]) == (NET, kind, 2, True)
    assert [one["offset"] for one in case["set_aside"]] == [record.offset for record in before[-2:]]
    assert [one["service"] for one in case["lost"]] == (["x/y"] if kind == "Contradiction" else [])
    after = ledger_of(copied)
    assert after[: len(before)] == before, "a record was rewritten"
    assert len(after) == len(before) + 1
    verified = invoke("verify", "--log", copied)
    assert verified.exit_code == 0, verified.stdout
    assert "note: SetAside  net/ext#" in verified.stdout
    assert "(disk)" in verified.stdout
    assert invoke("repair", "--log", copied).stdout == "Nothing to repair: no network is damaged.\n"


def test_a_newer_entry_is_never_set_aside(copied: str, invoke: Invoke) -> None:
    newer = json.dumps({**json.loads(next_entry(copied)), "v": 99}).encode()
    append(copied, [NewRecord(NET, newer), NewRecord("net/two", b"x")])
    before = len(ledger_of(copied))
    result = invoke("repair", "--log", copied, "--apply", "--network", NET)
    assert result.exit_code == 1
    assert "upgrade every process" in result.stdout
    assert len(ledger_of(copied)) == before
    # After other damage it is not set aside either: the newer version would count it.
    append(copied, [NewRecord("net/two", newer.replace(b"net/ext", b"net/two"))])
    assert invoke("repair", "--log", copied, "--apply").exit_code == 1
    assert len(ledger_of(copied)) == before + 1


def test_a_misplaced_entry_is_set_aside_in_both_networks(copied: str, invoke: Invoke) -> None:
    append(copied, [NewRecord("net/two", next_entry(copied))])
    status, done = answer(invoke, "repair", "--log", copied, "--apply", "--network", "net/two")
    assert status == 0
    assert [case["network"] for case in done["networks"]] == ["net/two"]
    assert invoke("verify", "--log", copied).exit_code == 1, "the other network is still stopped"
    assert answer(invoke, "repair", "--log", copied, "--apply")[0] == 0
    assert invoke("verify", "--log", copied).exit_code == 0


def test_an_intact_network_is_not_repaired(copied: str, invoke: Invoke) -> None:
    assert invoke("repair", "--log", copied, "--network", NET).exit_code == 2
    assert invoke("repair", "--log", copied).exit_code == 0


# -- holders -----------------------------------------------------------------------------------------------------------


STEPS = [
    apply(*base(service("a/one"), service("a/two"), backends("a/one", n1=["10.1.0.1"]))),
    apply(service("a/three"), service("a/refused", {"ledgerlb.io/addresses": "203.0.113.9"})),
    delete("Service", "a/one"),
    {"advance": "10m"},
    apply(service("a/four", {"ledgerlb.io/addresses": "192.0.2.2"})),
]
"""a/one had 192.0.2.2 first; a/four has it now, a/two 192.0.2.3 and a/three 192.0.2.4."""


def statuses(engine: Engine) -> dict[str, tuple[str, ...]]:
    return {fact.full_name: fact.ingress for fact in engine.view.cluster.services()}


def verdicts(engine: Engine) -> dict[str, set[tuple[str, str]]]:
    """Status and reason of our conditions that are not as their owner wants, by Service."""
    return {
        fact.full_name: {(one.type, one.reason) for one in fact.conditions if one.status == "False"}
        for fact in engine.view.cluster.services()
    }


class Broken:
    """A running simulation whose ledger lost its middle: ``spoil`` changes the records as a faulty disk would."""

    def __init__(self, tmp_path: Path) -> None:
        self.simulation = simulation_of(STEPS)
        run_simulation(self.simulation)
        self.engine = self.simulation.engine
        self.before = statuses(self.engine)
        self.verdicts = verdicts(self.engine)
        self.tmp_path = tmp_path
        self._loop = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop.run(work)

    def close(self) -> None:
        self._loop.close()

    def folded(self) -> LogView:
        """Return the log, read from its beginning by a reader of its own."""
        view = LogView(DomainSettings())
        for topic in LogView.READS:
            for record in self.engine.records(topic):
                with suppress(BadInput):
                    view.take(record)
        return view

    def vanish(self, name: str) -> None:
        """Take a Service away as a client does that ignores finalizers."""

        async def work() -> None:
            namespace, _, own = name.partition("/")
            self.engine._cluster.patch_metadata("Service", namespace, own, {"finalizers": []})
            self.engine._cluster.delete("Service", namespace, own)
            await self.engine.pump()

        self.run(work())

    def spoil(self, at: int, invoke: Invoke, *vanishing: str) -> dict[str, Any]:
        """Change the ledger entry number ``at`` of the network, start everything again, repair, and let it settle."""
        store = self.engine._log.store.topics[LEDGER.name]
        place = [index for index, record in enumerate(store) if record.key == NET][at]
        old = store[place]
        store[place] = Record(old.topic, old.offset, old.key, b"\x00" + (old.value or b""), old.timestamp)

        async def go_on() -> None:
            await self.engine.restart(["selector", "ipam", "programmer", "watcher"])

        self.run(go_on())
        assert statuses(self.engine) == self.before, "a status lost its address while the network was damaged"
        for name in vanishing:
            self.vanish(name)
        url = write_log(self.engine, self.tmp_path / "log.db")
        _, dry = answer(invoke, "repair", "--log", url)
        self.engine.writes.clear()
        assert answer(invoke, "repair", "--log", url, "--apply")[0] == 0
        entry = ledger_of(url)[-1]

        async def deliver() -> None:
            await self.engine._log.append(LEDGER, [NewRecord(entry.key, entry.value)])
            await self.engine.pump()
            await self.engine.advance(3600)

        self.run(deliver())
        return dry["networks"][0]


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Broken]:
    made = Broken(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("at", range(6))
def test_whatever_entry_is_lost_every_service_keeps_the_address_that_it_shows(
    broken: Broken, invoke: Invoke, at: int
) -> None:
    case = broken.spoil(at, invoke)
    assert statuses(broken.engine) == broken.before
    assert verdicts(broken.engine) == broken.verdicts
    shown = {name: ingress for name, ingress in broken.before.items() if ingress}
    assert {(one["service"], one["address"]) for one in [*case["kept"], *case["given_back"]]} == {
        (name, address) for name, addresses in shown.items() for address in addresses
    }
    for write in broken.engine.writes:
        if write["kind"] == "Service" and f"a/{write['metadata']['name']}" in shown:
            assert write["status"]["loadBalancer"]["ingress"], f"a write took an address away: {write}"
    view = broken.folded()
    assert {(one.service, one.address) for one in view.ledger.holdings()} == {
        (name, address) for name, addresses in shown.items() for address in addresses
    }
    assert sorted(view.path_sets) == sorted(address for addresses in shown.values() for address in addresses)


def test_the_routes_of_a_service_that_vanished_meanwhile_are_withdrawn(broken: Broken, invoke: Invoke) -> None:
    case = broken.spoil(1, invoke, "a/three")
    assert "a/three" not in {one["service"] for one in case["given_back"]}
    assert sorted(broken.folded().path_sets) == ["192.0.2.2", "192.0.2.3"]


def test_a_newcomer_after_the_repair_gets_no_live_address(broken: Broken, invoke: Invoke) -> None:
    broken.spoil(0, invoke)

    async def newcomer() -> None:
        await broken.engine.apply([(service("a/new"), "")])

    broken.run(newcomer())
    after = statuses(broken.engine)
    taken = [address for addresses in after.values() for address in addresses]
    assert len(set(taken)) == len(taken) == 4
    assert to_int(after["a/new"][0]) > to_int("192.0.2.4")


def test_a_holder_that_only_a_lost_entry_knew_is_named(copied: str, invoke: Invoke) -> None:
    lost = next_entry(copied, AddressAllocated("192.0.2.77", 4, "x/ghost", "u", "never-used"), seq=99)
    append(copied, [NewRecord(NET, lost)])
    result = invoke("repair", "--log", copied)
    assert "lost       192.0.2.77  x/ghost: " in result.stdout
    assert "no longer exists" in result.stdout


def test_records_that_come_while_the_repair_runs_are_named_too(
    copied: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(copied, [NewRecord(NET, b"\x00")])
    calls = []
    real = repair._Bench.cases

    def cases(self: Any, only: Any) -> Any:
        found = real(self, only)
        if not calls:
            calls.append(1)
            append_from_elsewhere(copied)
        return found

    def append_from_elsewhere(url: str) -> None:
        thread = threading.Thread(target=append, args=(url, [NewRecord(NET, b"\x01")]))
        thread.start()
        thread.join(10)

    monkeypatch.setattr(repair._Bench, "cases", cases)
    status, done = answer(invoke, "repair", "--log", copied, "--apply")
    assert status == 0
    # The first try named one record too few, so no reader took it: it is set aside with the others.
    assert [case["records"] for case in done["networks"]] == [3]
    assert invoke("verify", "--log", copied).exit_code == 0
