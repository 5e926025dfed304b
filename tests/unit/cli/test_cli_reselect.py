"""``ledgerlb reselect``: what it says of a fresh choice, and the one annotation that it writes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.cli.commands import reselect as command
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.kube.writer import ClusterWriter
from tests.builders.objects import NETWORK, kubemanager, nad, namespace, service
from tests.support.simulate import apply, base, run_simulation, simulation_of
from tests.unit.cli.conftest import Invoke, Past, write_log

ANNOTATION = "ledgerlb.io/reselect"
TO_TWO = {NETWORK: "net/two"}
ONLY = {"only": {"networkSelector": {"matchLabels": {"tier": "gold"}}}}


def past_of(folder: Path, *steps: Mapping[str, Any]) -> Past:
    simulation = simulation_of([dict(step) for step in steps])
    run_simulation(simulation)
    return Past(simulation.engine, write_log(simulation.engine, folder / "ledger.db"))


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """a/web keeps net/ext, where a fresh choice would take net/two; b/lone has no choice but net/ext."""
    return past_of(
        tmp_path_factory.mktemp("drifted"),
        apply(*base(nad("net/two", "198.51.100.0/24"), namespace("b"), service("a/web"), service("b/lone"))),
        apply(
            namespace("a", annotations=TO_TWO),
            service("b/waits", {NETWORK: "net/none"}),
            service("b/theirs", loadBalancerClass="example.com/theirs"),
        ),
        apply(service("b/moving")),
        apply(service("b/moving", {NETWORK: "net/none"})),
    )


class Cluster:
    """Stands for the cluster of the user's kubeconfig."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster = cluster
        self.written: list[Mapping[str, Any]] = []
        self.kubeconfigs: list[Path | None] = []

    @asynccontextmanager
    async def open_writer(self, kubeconfig: Path | None) -> AsyncIterator[ClusterWriter]:
        self.kubeconfigs.append(kubeconfig)
        yield MemoryWriter(self.cluster, self.written.append)


@pytest.fixture
def cluster(drifted: Past, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster(drifted.engine._cluster)
    monkeypatch.setattr(command, "open_writer", found.open_writer)
    return found


def annotation_of(written: Mapping[str, Any]) -> str:
    return str(written["metadata"]["annotations"][ANNOTATION])


def test_a_drifted_service_is_annotated_and_nothing_else_of_it(drifted: Past, cluster: Cluster, invoke: Invoke) -> None:
    before = cluster.cluster.get("Service", "a", "web")
    result = invoke("reselect", "a/web", "--log", drifted.url, "--kubeconfig", "some.yaml")
    assert result.exit_code == 0
    (written,) = cluster.written
    moment = annotation_of(written)
    assert datetime.fromisoformat(moment).tzinfo is not None
    assert cluster.kubeconfigs == [Path("some.yaml")]
    assert before is not None
    assert written["spec"] == before["spec"]
    assert written["metadata"]["finalizers"] == before["metadata"]["finalizers"]
    assert "holds 192.0.2.2 of net/ext; a fresh choice would take net/two" in result.stdout
    assert "namespace-annotation:externalNetwork = net/two: takes net/two" in result.stdout
    assert f"{ANNOTATION}: {moment}" in result.stdout


def test_the_order_moves_it(tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [apply(*base(nad("net/two", "198.51.100.0/24"), service("a/web")))]
    steps.append(apply(namespace("a", annotations=TO_TWO)))
    past = past_of(tmp_path, *steps)
    found = Cluster(past.engine._cluster)
    monkeypatch.setattr(command, "open_writer", found.open_writer)
    assert invoke("reselect", "a/web", "--log", past.url).exit_code == 0
    order = {ANNOTATION: annotation_of(found.written[0])}
    expected = {"services": {"a/web": {"state": "Ready", "network": "net/two", "addresses": ["198.51.100.2"]}}}
    *_, last = run_simulation(simulation_of([*steps, apply(service("a/web", order)), {"expect": expected}]))
    assert last["expect"] == "met"


def test_json(drifted: Past, cluster: Cluster, invoke: Invoke) -> None:
    data = json.loads(invoke("reselect", "a/web", "--log", drifted.url, "-o", "json").stdout)
    assert data["annotations"] == {ANNOTATION: annotation_of(cluster.written[0])}
    del data["annotations"], data["version"]
    assert data == {
        "service": "a/web",
        "outcome": "ordered",
        "state": "Ready",
        "network": "net/ext",
        "addresses": ["192.0.2.2"],
        "fresh": "net/two",
        "reason": None,
        "message": "a fresh choice would take net/two",
    }


def test_a_dry_run_writes_nothing(drifted: Past, cluster: Cluster, invoke: Invoke) -> None:
    result = invoke("reselect", "a/web", "--log", drifted.url, "--dry-run")
    assert result.exit_code == 0
    assert "would take net/two" in result.stdout
    assert "Nothing was written" in result.stdout
    assert (cluster.kubeconfigs, cluster.written) == ([], [])


def test_a_folder_of_manifests_is_left_to_its_author(
    drifted: Past, cluster: Cluster, invoke: Invoke, tmp_path: Path
) -> None:
    result = invoke("reselect", "a/web", "--log", drifted.url, "--manifests", str(tmp_path))
    assert result.exit_code == 0
    assert f'{ANNOTATION}: "2' in result.stdout
    assert "manifest" in result.stdout
    assert cluster.kubeconfigs == []


def test_without_access_to_a_cluster_it_says_what_to_write(
    drifted: Past, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    result = invoke("reselect", "a/web", "--log", drifted.url)
    assert result.exit_code == 3
    assert "no access to a cluster" in result.stdout
    assert f"kubectl annotate --overwrite -n a service web {ANNOTATION}=" in result.stdout


def test_a_kubeconfig_that_cannot_be_used_is_named(drifted: Past, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("reselect", "a/web", "--log", drifted.url, "--kubeconfig", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert str(tmp_path / "none") in result.stderr


def test_another_cluster_is_not_touched(drifted: Past, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Cluster(MemoryCluster(drifted.engine.clock))
    other.cluster.apply({**service("a/web"), "metadata": {"namespace": "a", "name": "web", "uid": "another"}})
    monkeypatch.setattr(command, "open_writer", other.open_writer)
    result = invoke("reselect", "a/web", "--log", drifted.url)
    assert result.exit_code == 2
    assert "--kubeconfig" in result.stderr
    assert other.written == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("b/lone", "takes the network that it has"),
        ("b/waits", "holds no address"),
        ("b/moving", "is moving already"),
    ],
)
def test_who_has_not_drifted_is_left_alone(
    name: str, said: str, drifted: Past, cluster: Cluster, invoke: Invoke
) -> None:
    result = invoke("reselect", name, "--log", drifted.url)
    assert (result.exit_code, cluster.kubeconfigs) == (0, [])
    assert said in result.stdout
    data = json.loads(invoke("reselect", name, "--log", drifted.url, "-o", "json").stdout)
    assert (data["outcome"], data["fresh"], data["annotations"]) == ("nothing-to-do", None, {})


@pytest.mark.parametrize(("name", "said"), [("b/theirs", "is not served"), ("a/none", "is not known")])
def test_a_service_that_is_not_served_is_bad_input(
    name: str, said: str, drifted: Past, cluster: Cluster, invoke: Invoke
) -> None:
    result = invoke("reselect", name, "--log", drifted.url)
    assert (result.exit_code, cluster.kubeconfigs) == (2, [])
    assert said in result.stderr


@pytest.fixture(scope="module")
def stranded(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """a/web keeps net/ext, where a fresh choice would find none."""
    return past_of(tmp_path_factory.mktemp("stranded"), apply(*base(service("a/web"))), apply(kubemanager(ONLY)))


def test_where_a_fresh_choice_would_find_none_it_is_left_where_it_is(
    stranded: Past, cluster: Cluster, invoke: Invoke
) -> None:
    result = invoke("reselect", "a/web", "--log", stranded.url)
    assert (result.exit_code, cluster.kubeconfigs) == (1, [])
    assert "would find no network" in result.stdout
    assert "NoDefaultNetwork" in result.stdout
    data = json.loads(invoke("reselect", "a/web", "--log", stranded.url, "-o", "json").stdout)
    assert (data["outcome"], data["reason"]) == ("no-network", "NoDefaultNetwork")


def test_explain_says_that_a_fresh_choice_would_find_none(stranded: Past, invoke: Invoke) -> None:
    out = invoke("explain", "a/web", "--log", stranded.url).stdout
    assert "drifted    a fresh choice would find no network (NoDefaultNetwork); it keeps its network" in out
    data = json.loads(invoke("explain", "a/web", "--log", stranded.url, "-o", "json").stdout)
    assert (data["drift"], data["drift_reason"]) == (None, "NoDefaultNetwork")
    (shown,) = [found for found in data["conditions"] if found["type"] == "ledgerlb.io/SelectionDrifted"]
    assert (shown["status"], shown["reason"]) == ("True", "SelectionDrifted")


def test_explain_names_the_network_of_a_fresh_choice(drifted: Past, invoke: Invoke) -> None:
    out = invoke("explain", "a/web", "--log", drifted.url).stdout
    assert "drifted    a fresh choice would take net/two; it keeps its network" in out
