"""Packets through the router: they reach every node in proportion to its weight, and follow changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.dataplane.lab import NODES, Driver, Lab

pytestmark = pytest.mark.dataplane

SCRIPT = str(Path(__file__).with_name("traffic.py"))
FLOWS = 600
PORT = 5353


@pytest.fixture(params=["192.168.102.2", "fd00:102::2"])
def address(request: pytest.FixtureRequest, lab: Lab) -> str:
    """An external address that every node answers for, and answers with its own name."""
    chosen: str = request.param
    for number in NODES:
        length = 128 if ":" in chosen else 32
        lab.batch(f"node{number}", f"addr add {chosen}/{length} dev lo")
        server = lab.start(f"node{number}", sys.executable, SCRIPT, "serve", str(number), chosen, str(PORT))
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
    return chosen


def flows(lab: Lab, address: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(
        lab.run("client", sys.executable, SCRIPT, "send", address, str(PORT), str(FLOWS))
    )
    return found


def test_flows_spread_over_the_nodes_by_weight(lab: Lab, address: str) -> None:
    driver = Driver(lab)
    driver.reconcile({address: {"1": 1, "2": 2, "3": 3}})
    found = flows(lab, address)
    assert found.pop("lost") == 0
    # Five standard deviations of a fair spread: about 54 for the middle one of 600.
    for node, share in {"1": 1 / 6, "2": 2 / 6, "3": 3 / 6}.items():
        spread = 5 * (FLOWS * share * (1 - share)) ** 0.5
        assert abs(found[node] - FLOWS * share) < spread, found


def test_a_node_without_backends_gets_no_new_flows_and_none_is_lost(lab: Lab, address: str) -> None:
    driver = Driver(lab)
    driver.reconcile({address: {"1": 1, "2": 1, "3": 1}})
    assert flows(lab, address)["lost"] == 0
    driver.make({address: {"1": 1, "2": 0, "3": 1}})
    found = flows(lab, address)
    assert set(found) == {"1", "3", "lost"}
    assert found["lost"] == 0


def test_a_withdrawn_address_is_not_forwarded(lab: Lab, address: str) -> None:
    driver = Driver(lab)
    driver.reconcile({address: {"1": 1}})
    driver.make({address: None})
    try:
        found = flows(lab, address)
    except RuntimeError as error:
        assert "unreachable" in str(error)  # noqa: PT017 - the router may say so before the first round is over
    else:
        assert found["lost"] == FLOWS
