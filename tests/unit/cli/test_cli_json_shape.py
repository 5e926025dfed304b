"""The JSON outputs have a version and the fields that docs/cli.md names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke, Past

DOCS = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text("utf-8")
SERVICE = {"state", "network", "wanted", "addresses", "reason", "message", "rung", "reachability", "path_set"}
NETWORK = {"size", "allocated", "quarantined", "conflict", "problem", "warning"}


def row(name: str) -> set[str]:
    """The fields that the page lists for a command."""
    (found,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", DOCS, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", found)) | {"version"}


@pytest.mark.parametrize(
    ("name", "command", "fields"),
    [
        ("`services`", ["services"], set()),
        ("`networks`", ["networks"], set()),
        ("`paths`", ["paths", "192.0.2.2"], set()),
        ("`history`", ["history", "192.0.2.2"], set()),
        ("`explain` of a Service", ["explain", "a/api"], SERVICE),
        ("`explain` of a network", ["explain", "network", "net/ext"], NETWORK),
        ("`tail`", ["tail", "--no-follow", "-n", "1"], set()),
        ("`verify`", ["verify"], set()),
        ("`topics apply`, `topics check`", ["topics", "check"], set()),
        ("`version`", ["version"], set()),
    ],
)
def test_every_field_is_documented(name: str, command: list[str], fields: set[str], past: Past, invoke: Invoke) -> None:
    log = [] if command == ["version"] else ["--log", past.url]
    data = json.loads(invoke(*command, *log, "-o", "json").stdout)
    assert data["version"] == 1
    assert next(iter(data)) == "version"
    assert set(data) <= row(name) | fields


def test_the_parts_are_documented(past: Past, invoke: Invoke) -> None:
    listed = json.loads(invoke("services", "--log", past.url, "-o", "json").stdout)
    assert set(listed["services"]["a/api"]) == SERVICE
    assert set(listed["networks"]["net/ext"]) == NETWORK
    (tenure, *_) = json.loads(invoke("history", "192.0.2.2", "--log", past.url, "-o", "json").stdout)["holdings"]
    for parts in (SERVICE, NETWORK, set(tenure)):
        assert all(f"`{part}`" in DOCS for part in parts)
