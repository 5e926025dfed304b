"""The whole service as a process on a gateway: from facts and ledger in a log to routes in the kernel, and reports back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledgerlb.core.cluster.facts import KINDS, AnyFact, Synced, encode_fact, key_of
from ledgerlb.core.ledger.events import (
    AddressAllocated,
    AddressReleased,
    AddressReleasing,
    Event,
    NetworkDefined,
    Prefix,
)
from ledgerlb.core.paths.pathset import Heartbeat, Report, decode_report
from ledgerlb.eventlog.embedded import SqliteLog
from ledgerlb.eventlog.port import NewRecord, latest
from ledgerlb.eventlog.topics import FACTS, LEDGER, REPORTS, Topic
from tests.builders.facts import endpoint, endpoint_slice, service
from tests.dataplane.kernel import ours, weights
from tests.dataplane.lab import Lab, via
from tests.support.waiting import eventually
from tests.unit.ecmp_programmer.pipeline import NETWORK, Chain
from tests.unit.paths.facts import node

pytestmark = pytest.mark.dataplane

ADDRESS = "192.168.102.2"


class Gateway:
    """A log in a file, written by the test, and the service on it in the router's namespace."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self._path = folder / "log.db"
        self._output = folder / "service.log"
        self._chain = Chain()
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, **env: str) -> None:
        settings = {
            "LEDGERLB_LOG": f"sqlite://{self._path}", "LEDGERLB_HTTP_PORT": "0", "LEDGERLB_LOG_FORMAT": "json",
            "LEDGERLB_BACKEND": "fabric-linux", "LEDGERLB_AGENT_NAME": "gw", **env,
        }  # fmt: skip
        with self._output.open("ab") as output:
            self.child = self.lab.start(
                "router", sys.executable, "-m", "ledgerlb.ecmp_programmer.main", env=settings, stderr=output
            )

    def stop(self, number: signal.Signals) -> int:
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(timeout=30)

    def append(self, topic: Topic, records: Sequence[NewRecord]) -> None:
        async def _append() -> None:
            async with SqliteLog(self._path) as log:
                await log.provision()
                await log.append(topic, records)

        asyncio.run(_append())

    def say(self, *facts: AnyFact | Synced) -> None:
        self.append(FACTS, [NewRecord(key_of(fact), encode_fact(fact)) for fact in facts])

    def decide(self, *events: Event) -> None:
        self.append(LEDGER, [self._chain.extend(events)])

    def reports(self) -> dict[str, Report | Heartbeat]:
        async def _read() -> dict[str, Report | Heartbeat]:
            async with SqliteLog(self._path) as log:
                found = {key: decode_report(key, one.value) for key, one in (await latest(log, REPORTS)).items()}
                return {key: record for key, record in found.items() if record is not None}

        return asyncio.run(_read())

    def report(self) -> Report:
        report = self.reports()[f"{ADDRESS}/gw"]
        assert isinstance(report, Report)
        return report

    def until_routed(self, expected: dict[str, int] | None) -> None:
        assert self.child is not None
        child = self.child

        def routed() -> bool:
            assert child.poll() is None, self._output.read_text()
            return weights(self.lab, ADDRESS) == expected

        eventually(routed, f"{ADDRESS} is routed as {expected}: {self._output.read_text()[-2000:]}")


@pytest.fixture
def gateway(lab: Lab, tmp_path: Path) -> Gateway:
    """One Service with an address and a pod on node 1; the service runs."""
    made = Gateway(lab, tmp_path)
    made.say(
        *(node(f"node{number}", via(number)) for number in (1, 2, 3)),
        service(),
        endpoint_slice("web-1", endpoint("10.1.1.1", "node1", "shop/a")),
        *(Synced(of=kind) for kind in KINDS),
    )
    made.decide(
        NetworkDefined(prefixes=(Prefix(family=4, prefix="192.168.102.0/24"),)),
        AddressAllocated(address=ADDRESS, family=4, service="shop/web", uid="u", choice="never-used"),
    )
    made.start()
    made.until_routed({via(1): 1})
    return made


def test_endpoints_become_weights_and_a_release_is_withdrawn_confirmed_and_forgotten(gateway: Gateway) -> None:
    eventually(lambda: gateway.report().weights == {"node1": 1}, "the route is reported")
    gateway.say(
        endpoint_slice(
            "web-1", endpoint("10.1.1.1", "node1", "shop/a"), endpoint("10.1.2.1", "node2", "shop/b"), endpoint("10.1.2.2", "node2", "shop/c")
        )
    )  # fmt: skip
    gateway.until_routed({via(1): 1, via(2): 2})
    gateway.say(endpoint_slice("web-1", endpoint("10.1.2.2", "node2", "shop/c")))
    gateway.until_routed({via(2): 1})
    gateway.decide(AddressReleasing(address=ADDRESS, service="shop/web"))
    gateway.until_routed(None)
    eventually(lambda: gateway.report().state == "withdrawn", "the withdrawal is reported")
    assert gateway.report().release == f"{NETWORK}#2"
    gateway.decide(AddressReleased(address=ADDRESS, service="shop/web"))
    eventually(lambda: f"{ADDRESS}/gw" not in gateway.reports(), "the report goes with the address")
    assert ours(gateway.lab) == []


def test_a_killed_service_leaves_its_routes_and_the_next_one_brings_them_up_to_date(gateway: Gateway) -> None:
    gateway.stop(signal.SIGKILL)
    assert weights(gateway.lab, ADDRESS) == {via(1): 1}
    gateway.say(endpoint_slice("web-1", endpoint("10.1.3.1", "node3", "shop/d")))
    gateway.start()
    gateway.until_routed({via(3): 1})


def test_an_ordinary_stop_leaves_the_routes_and_says_no_goodbye(gateway: Gateway) -> None:
    assert gateway.stop(signal.SIGTERM) == 0
    assert weights(gateway.lab, ADDRESS) == {via(1): 1}
    beat = gateway.reports()["heartbeat/gw"]
    assert isinstance(beat, Heartbeat)
    assert not beat.stopped


def test_a_stop_that_takes_the_data_path_down_leaves_nothing_and_says_goodbye(gateway: Gateway) -> None:
    gateway.stop(signal.SIGTERM)
    gateway.start(LEDGERLB_TAKE_DOWN_ON_STOP="true")
    started = eventually(lambda: gateway.reports()["heartbeat/gw"], "a heartbeat")
    eventually(lambda: gateway.reports()["heartbeat/gw"] != started, "the new process is alive", seconds=20)
    assert gateway.stop(signal.SIGTERM) == 0
    assert ours(gateway.lab) == []
    beat = gateway.reports()["heartbeat/gw"]
    assert isinstance(beat, Heartbeat)
    assert beat.stopped


def test_a_link_that_goes_and_comes_back_is_followed_without_being_told(gateway: Gateway) -> None:
    gateway.lab.unplug(1)
    gateway.until_routed(None)
    eventually(lambda: gateway.report().state == "failed", "the loss is reported")
    gateway.lab.plug(1)
    gateway.until_routed({via(1): 1})
    eventually(lambda: gateway.report().state == "programmed", "the return is reported")
