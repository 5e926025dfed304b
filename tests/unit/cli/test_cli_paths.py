"""``ledgerlb paths``: what is wanted, what each agent says, and where they differ."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ledgerlb.cli.commands.paths import agent_lines
from ledgerlb.core.paths.pathset import (
    Frontend,
    Heartbeat,
    LocalBackends,
    NextHop,
    PathSet,
    Report,
    ReportRecord,
    encode_path_set,
    encode_report,
    path_set_digest,
    report_key,
)
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import Record
from ledgerlb.eventlog.topics import PATHS, REPORTS
from ledgerlb.runtime.logview import LogView
from tests.unit.cli.conftest import Invoke, Past

ADDRESS = "192.0.2.2"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WANTED = PathSet(
    address=ADDRESS,
    family=4,
    network="net/ext",
    services=("a/web",),
    next_hops=(NextHop(node="n1", via="10.10.0.1", weight=1), NextHop(node="n2", via="10.10.0.2", weight=2)),
    frontends=(
        Frontend(
            service="a/web", protocol="TCP", port=80, source_ranges=("10.0.0.0/8",),
            local=(LocalBackends(node="n1", backends=("10.1.0.1:8080",), draining=("10.1.0.2:8080",)),),
        ),
    ),
)  # fmt: skip
DIGEST = path_set_digest(encode_path_set(WANTED))


def beat(agent: str, backend: str = "fabric-linux", ago: float = 1.0) -> Heartbeat:
    return Heartbeat(agent=agent, at=NOW - timedelta(seconds=ago), started=NOW, backend=backend)


def report(agent: str, weights: dict[str, int], path: str = DIGEST, **more: object) -> Report:
    said = {"state": "programmed", **more}
    return Report.model_validate(
        {
            "address": ADDRESS,
            "agent": agent,
            "path": path,
            "at": NOW - timedelta(seconds=90),
            "weights": weights,
            **said,
        }
    )


def differences(*records: ReportRecord, wanted: PathSet | None = WANTED) -> dict[str, str]:
    view = LogView(DomainSettings())
    if wanted is not None:
        view.take(Record(topic=PATHS.name, offset=0, key=ADDRESS, value=encode_path_set(wanted), timestamp=0))
    for offset, one in enumerate(records):
        view.take(Record(topic=REPORTS.name, offset=offset, key=report_key(one), value=encode_report(one), timestamp=0))
    return {line.agent: line.difference for line in agent_lines(view, ADDRESS, NOW)}


BOTH = {"n1": 1, "n2": 2}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ((beat("gw"), report("gw", BOTH)), ""),
        ((beat("gw"), report("gw", {"n1": 1})), "n2 has weight 0 instead of 2"),
        ((beat("gw"), report("gw", BOTH, path="older")), "has an earlier path set; its report of this one is still to come"),
        ((beat("gw"), report("gw", {}, state="failed", message="nft is missing")), "nft is missing"),
        ((beat("gw"),), "has not reported this address yet"),
        ((beat("gw", ago=3600), report("gw", BOTH)), "is not heard any more: what its machine forwards is unknown"),
        ((beat("n2", "node"), report("n2", {"n2": 2})), ""),
        ((beat("n3", "node"), report("n3", {})), ""),
        ((beat("n2", "node"), report("n2", {})), "n2 has weight 0 instead of 2"),
    ],
)  # fmt: skip
def test_the_difference_of_an_agent_is_told_in_words(records: tuple[ReportRecord, ...], expected: str) -> None:
    assert list(differences(*records).values()) == [expected]


def test_an_agent_that_still_forwards_what_nobody_holds_is_told() -> None:
    left = {"gw": "still reports the address, which no Service holds"}
    assert differences(beat("gw"), report("gw", BOTH), wanted=None) == left
    assert differences(beat("gw"), wanted=None) == {}


def test_a_held_address_shows_its_ports_and_agents(past: Past, invoke: Invoke) -> None:
    out = invoke("paths", ADDRESS, "--log", past.url).stdout
    assert f"{ADDRESS}  of net/ext, for a/other" in out
    assert "TCP 80 of a/other: all clients" in out
    assert "AGENT" in out
    data = json.loads(invoke("paths", ADDRESS, "--log", past.url, "-o", "json").stdout)
    assert data["path_set"]["services"] == ["a/other"]
    assert {one["state"] for one in data["agents"]} == {"recorded"}


def test_an_address_that_nobody_holds_is_said_so(past: Past, invoke: Invoke) -> None:
    assert "no Service holds it" in invoke("paths", "192.0.2.99", "--log", past.url).stdout
    assert invoke("paths", "nonsense", "--log", past.url).exit_code == 2
