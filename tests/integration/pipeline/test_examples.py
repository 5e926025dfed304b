"""The examples on the real API server: what each scenario expects first is what the Services' status comes to say.

One pipeline serves all examples of a top folder, one after the other, each in an emptied cluster. The log remembers:
examples of one folder that share a network have the same Services there, or ask for other addresses.

No controller manager runs here. What it would make of an example, EndpointSlices of manual Endpoints, is made by the
test.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from ledgerlb.core.cluster.facts import AnyFact, Gone, decode_fact
from ledgerlb.core.cluster.facts import key_of as fact_key_of
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.topics import FACTS
from ledgerlb.kube.memory.mirror import mirrored_slices
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.runtime.logview import path_set_as_json
from ledgerlb.simulator.scenario import Apply, Expect, load_scenario
from tests.builders import objects
from tests.support import kube_objects as kube
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import NETWORK_ANNOTATION, Cluster, Object, addresses_of, condition_of
from tests.support.logview import LogView, empty_log
from tests.support.pipeline import Pipeline, program
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

EXAMPLES: Final = Path(__file__).resolve().parents[3] / "examples"
FILES: Final = sorted(EXAMPLES.rglob("scenario.yaml"))
KINDS_LEFT: Final = ("Service", "NetworkAttachmentDefinition", "VirtualNetwork", "Subnet", "Node", "Pod")


@dataclass(frozen=True)
class Standing:
    """A pipeline that runs over all examples of a folder."""

    cluster: Cluster
    log: LogView
    kubeconfig: Path


Stage = Callable[[str], Standing]


@pytest.fixture(scope="module")
def stage(
    broker: KafkaBroker, api_server: KubeApiServer, definitions: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Gives the pipeline of a folder of examples; that of another folder ends then."""
    current: dict[str, tuple[Standing, contextlib.ExitStack]] = {}

    def pipeline_of(group: str) -> Standing:
        if group not in current:
            end()
            running = contextlib.ExitStack()
            manager = standing_on(broker, api_server, tmp_path_factory.mktemp(group))
            current[group] = (running.enter_context(manager), running)
        return current[group][0]

    def end() -> None:
        while current:
            current.popitem()[1][1].close()

    yield pipeline_of
    end()


@contextlib.contextmanager
def standing_on(broker: KafkaBroker, api_server: KubeApiServer, folder: Path) -> Iterator[Standing]:
    log = empty_log(broker.bootstrap)
    with Cluster(api_server.kubeconfig) as cluster:
        cluster.wipe()
        try:
            with Pipeline(folder, log.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
                pids = pipeline.pids()
                yield Standing(cluster, log, api_server.kubeconfig_path)
                assert pipeline.pids() == pids
        finally:
            strip_namespaces(cluster)
        assert log.dead_letters() == []
        assert log.verify()["clean"]


def test_every_documented_example_is_there() -> None:
    named = {str(file.parent.relative_to(EXAMPLES / "cn2")) for file in FILES if file.is_relative_to(EXAMPLES / "cn2")}
    assert named >= {
        "1-default", "2-network", "3-selector", "4-selector-own-namespace", "dual-stack", "network-by-nad",
        "network-by-vn", "secondary-interfaces", "selectors",
    }  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=[str(file.parent.relative_to(EXAMPLES)) for file in FILES])
def test_comes_out_as_the_scenario_expects(file: Path, stage: Stage) -> None:
    scenario = load_scenario(file)
    assert scenario.settings == DomainSettings(), "the pipeline has the default settings"
    standing = stage(file.relative_to(EXAMPLES).parts[0])
    empty(standing)
    for step in itertools.takewhile(lambda step: not isinstance(step.action, Expect), scenario.steps):
        assert isinstance(step.action, Apply), f"{step.where}: an example begins with what it applies"
        put(standing, [dict(obj) for obj in step.action.objects])
    expect = next(step.action for step in scenario.steps if isinstance(step.action, Expect))
    assert expect.services
    for name, wanted in expect.services.items():
        assert wanted is not None, "what an example applies is there"
        eventually(lambda name=name, wanted=wanted: shows(standing, name, wanted), f"{name} is as expected")  # type: ignore[misc]


def test_reselect_moves_a_drifted_service(stage: Stage) -> None:
    standing = stage("quickstart")
    empty(standing)
    cluster = standing.cluster
    networks = [objects.default_nad("shop/one", "192.168.161.0/24"), objects.nad("shop/two", "192.168.162.0/24")]
    put(
        standing,
        [objects.namespace("shop", objects.ADMITTED), kube.kubemanager(), *networks, objects.service("shop/web")],
    )
    shows(standing, "shop/web", {"network": "shop/one", "addresses": ["192.168.161.2"]})
    told = reselect(standing, "shop/web")
    assert (told["outcome"], told["annotations"]) == ("nothing-to-do", {})

    cluster.patch("Namespace", "", "shop", {"metadata": {"annotations": {NETWORK_ANNOTATION: "shop/two"}}})

    def drifted() -> bool:
        found = cluster.get("Service", "shop", "web") or {}
        shown = condition_of(found, "ledgerlb.io/SelectionDrifted")
        assert shown.get("status") == "True", found.get("status")
        return "shop/two" in shown["message"]

    eventually(drifted, "the Service shows that it drifted")
    told = reselect(standing, "shop/web", "--dry-run")
    assert (told["outcome"], told["fresh"]) == ("dry-run", "shop/two")
    assert addresses_of(cluster.get("Service", "shop", "web") or {}) == ("192.168.161.2",)
    told = reselect(standing, "shop/web")
    assert (told["outcome"], told["network"], told["fresh"]) == ("ordered", "shop/one", "shop/two")
    wanted = {"state": "Ready", "network": "shop/two", "addresses": ["192.168.162.2"], "reason": None}
    eventually(lambda: shows(standing, "shop/web", wanted), "the Service moves")
    found = cluster.get("Service", "shop", "web") or {}
    assert found["metadata"]["annotations"] == told["annotations"]
    eventually(lambda: standing.log.ledger().held() == {"shop/web": ("192.168.162.2",)}, "the old address is let go")


def reselect(standing: Standing, name: str, *more: str) -> dict[str, Any]:
    """Run the command as a user would; gives what it answers."""
    command = [program("ledgerlb"), "reselect", name, "--log", standing.log.url, "-o", "json", *more]
    done = subprocess.run(
        [*command, "--kubeconfig", str(standing.kubeconfig)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def empty(standing: Standing) -> None:
    """Nothing of an earlier example stands in the cluster, and nothing of it is held."""
    cluster = standing.cluster
    strip_namespaces(cluster)

    def wiped() -> bool:
        cluster.wipe()  # a VirtualNetwork may have been made again before its NAD was seen to be gone
        left = [(kind, obj["metadata"]["name"]) for kind in KINDS_LEFT for obj in cluster.objects(kind)]
        assert {name for _, name in left} <= {"kubernetes"}, left
        assert standing.log.ledger().held() == {}
        known = [key for key in facts(standing) if key.partition("/")[0] in KINDS_LEFT]
        assert {key.rpartition("/")[2] for key in known} <= {"kubernetes"}, known
        return True

    eventually(wiped, "the cluster is empty, and the pipeline knows", every=0.3)


def put(standing: Standing, objects: list[Object]) -> None:
    """Apply the objects. Services come last, one after the other in the order of their names, as in a simulation."""
    cluster = standing.cluster
    services = [obj for obj in objects if obj["kind"] == "Service"]
    by_name = {(obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for obj in services}
    rest = [obj for obj in objects if obj["kind"] not in {"Service", "Namespace"}]
    for endpoints in [obj for obj in rest if obj["kind"] == "Endpoints"]:
        metadata = endpoints["metadata"]
        rest += mirrored_slices(by_name.get((metadata["namespace"], metadata["name"])), endpoints)
    spaces = [obj for obj in objects if obj["kind"] == "Namespace"]
    cluster.ensure_namespaces(*spaces)
    cluster.create_all(rest)
    eventually(lambda: is_known(standing, [*spaces, *rest]), "the log knows every object")
    for key in sorted(by_name, key="/".join):
        cluster.create(by_name[key])
        eventually(lambda key=key: is_decided(cluster, *key), f"Service {'/'.join(key)} has its verdict")  # type: ignore[misc]


def strip_namespaces(cluster: Cluster) -> None:
    """Namespaces cannot go here: they lose what an example put on them, lest it decides for the next test."""
    for obj in cluster.objects("Namespace"):
        metadata = obj["metadata"]
        labels = dict.fromkeys(key for key in metadata.get("labels") or () if key != "kubernetes.io/metadata.name")
        annotations = dict.fromkeys(metadata.get("annotations") or ())
        if labels or annotations:
            patch = {"metadata": {"labels": labels, "annotations": annotations}}
            cluster.patch("Namespace", "", metadata["name"], patch)


def facts(standing: Standing) -> dict[str, AnyFact]:
    """Every fact that stands in the log, by key."""
    found: dict[str, AnyFact] = {}
    for record in standing.log.records(FACTS):
        fact = decode_fact(record.key, record.value)
        if isinstance(fact, Gone):
            found.pop(record.key, None)
        elif fact.kind != "Synced":
            found[record.key] = fact
    return found


def is_known(standing: Standing, objects: list[Object]) -> bool:
    """Whether the log says of each object what it is now in the cluster (where it is of a kind that is read)."""
    known = facts(standing)
    for obj in objects:
        metadata = obj["metadata"]
        stored = standing.cluster.get(obj["kind"], metadata.get("namespace", ""), metadata["name"])
        assert stored is not None, obj
        fact = fact_of({**stored, "kind": obj["kind"], "apiVersion": obj["apiVersion"]})
        if fact is not None:
            assert known.get(fact_key_of(fact)) == fact, f"{fact_key_of(fact)}: {known.get(fact_key_of(fact))}"
    return True


def is_decided(cluster: Cluster, namespace: str, name: str) -> bool:
    """Whether the Service has an address, or says why not."""
    found = cluster.get("Service", namespace, name) or {}
    return condition_of(found, "ledgerlb.io/AddressAllocated").get("status") in {"True", "False"}


def shows(standing: Standing, name: str, wanted: Mapping[str, Any]) -> bool:
    """Whether the Service's status, and the published path sets, say what a scenario expects of it."""
    found = standing.cluster.get("Service", *name.split("/")) or {}
    shown = shown_by(found)
    compared = {key: value for key, value in wanted.items() if key in shown}
    assert {key: shown[key] for key in compared} == compared, found.get("status")
    assert wanted.keys() <= shown.keys() | {"path_set"}, "the status tells all that is expected"
    published = standing.log.path_sets() if "path_set" in wanted else {}
    for address, nodes in wanted.get("path_set", {}).items():
        assert address in published, f"no path set for {address}"
        hops = path_set_as_json(published[address])
        assert hops.keys() == nodes.keys()
        assert all(hops[node].items() >= hop.items() for node, hop in nodes.items()), hops
    return True


def shown_by(service: Object) -> dict[str, Any]:
    """State, network, addresses, reason and rung of a Service as its status tells them, in a scenario's words."""
    selected = condition_of(service, "ledgerlb.io/NetworkSelected")
    allocated = condition_of(service, "ledgerlb.io/AddressAllocated")
    addresses = list(addresses_of(service))
    network, _, rung = selected.get("message", "").partition(", chosen by ")
    ready = bool(addresses) and allocated.get("status") == "True" and allocated.get("reason") != "AddressMoving"
    return {
        "state": "Ready" if ready else "Moving" if addresses else "Pending",
        "network": network if addresses else None,
        "addresses": addresses,
        "reason": None if ready else allocated.get("reason"),
        "rung": rung,
    }
