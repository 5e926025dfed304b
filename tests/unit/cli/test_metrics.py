"""What `ledgerlb run` shows to Prometheus, and that the documentation lists all of it and nothing else."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledgerlb.cli.pipeline import BackendName, open_pipeline
from ledgerlb.core.settings import DomainSettings
from ledgerlb.runtime.health import Health
from ledgerlb.runtime.settings import process_settings
from tests.builders.objects import NETWORK, backends, service
from tests.support.environment import remove_settings
from tests.support.simulate import base

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
async def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[tuple[str, ...], float]]:
    """Every sample of a pipeline at rest, by name and the values of its labels."""
    remove_settings(monkeypatch)
    objects = base(service("a/web"), service("a/lost", {NETWORK: "net/none"}), backends("a/web", n1=["10.1.0.1"]))
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects))
    health, stop = Health(), asyncio.Event()
    options: dict[str, Any] = {"manifests": tmp_path, "kubeconfig": None, "backend": BackendName.record}
    async with open_pipeline(DomainSettings(), **options) as pipeline:
        process = process_settings(log="memory:", http_port=0)
        running = asyncio.create_task(pipeline.serve(process, health=health, stop=stop))
        assert await pipeline.follower.settled(20) == []
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in health.metrics.registry.collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            found.setdefault(name, {})
            for sample in family.samples:
                if sample.name == name:
                    found[name][tuple(sample.labels.values())] = sample.value
        stop.set()
        assert await running == 0
    return found


def documented() -> set[str]:
    page = (DOCS / "metrics.md").read_text("utf-8")
    return set(re.findall(r"^\| `(ledgerlb_\w+)`", page, re.MULTILINE))


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DOCS / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


async def test_run_shows_every_documented_metric_and_no_other(samples):
    assert {name for name in samples if name.startswith("ledgerlb_")} == documented()


async def test_the_state_of_networks_services_agents_and_path_sets(samples):
    addresses = samples["ledgerlb_network_addresses"]
    assert samples["ledgerlb_network_size"] == {("net/ext",): 253}
    assert {state: addresses["net/ext", state] for state in ("held", "quarantined", "leased", "free")} == {
        "held": 1, "quarantined": 0, "leased": 0, "free": 252,
    }  # fmt: skip
    assert samples["ledgerlb_ledger_head"] == {("net/ext",): 1}
    assert samples["ledgerlb_services"] == {("Ready", ""): 1, ("Pending", "NetworkNotFound"): 1}
    assert samples["ledgerlb_agents"] == {("alive",): 1, ("silent",): 0}
    states = {state: count for (_, state), count in samples["ledgerlb_path_sets"].items()}
    assert sum(states.values()) == 1
    assert (states["failed"], states["pending"]) == (0, 0)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_watches_what_is_shown_and_says_what_to_do(rule):
    names = set(re.findall(r"ledgerlb_\w+", rule["expr"]))
    assert names
    assert names <= documented()
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["action"].endswith(".")
    assert rule["expr"].count("(") == rule["expr"].count(")")


@pytest.mark.parametrize(
    "name",
    [
        "ledgerlb_network_addresses", "ledgerlb_network_size", "ledgerlb_services", "ledgerlb_agents",
        "ledgerlb_path_sets", "ledgerlb_ipam_damaged_networks", "ledgerlb_ipam_clock_ahead", "ledgerlb_dead_letters_total", "ledgerlb_log_problems",
    ],
)  # fmt: skip
def test_what_an_operator_must_act_on_has_an_alert(name):
    assert any(re.search(rf"{name}\b", rule["expr"]) for rule in rules())
