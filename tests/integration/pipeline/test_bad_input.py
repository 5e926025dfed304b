"""Bad input on the real thing: it is named where its author looks, kept where it was a record, and stops nothing else.

One pipeline takes it all, one thing after another: that it still serves the next Service is what each test ends with.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledgerlb.core.ledger.events import AddressAllocated
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, PATHS, REPORTS, Topic
from tests.builders import objects
from tests.support import scene
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import NETWORK_ANNOTATION, SELECTOR_ANNOTATION, Cluster, Object, addresses_of
from tests.support.logview import LogView, empty_log
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

GARBAGE = b'\xff\x00{"this is": no record'
GARBAGE_NETWORK = "ecmp-project/other"


@dataclass(frozen=True)
class Standing:
    """A pipeline that runs over all tests of this module."""

    cluster: Cluster
    log: LogView
    pipeline: Pipeline


@pytest.fixture(scope="module")
def standing(
    broker: KafkaBroker, api_server: KubeApiServer, definitions: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    log = empty_log(broker.bootstrap)
    folder = tmp_path_factory.mktemp("standing")
    with Cluster(api_server.kubeconfig) as cluster:
        cluster.wipe()
        with Pipeline(folder, log.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
            pids = pipeline.pids()
            scene.set_up(cluster)
            yield Standing(cluster, log, pipeline)
            assert pipeline.pids() == pids
        only_the_garbage_is_wrong(log)


def only_the_garbage_is_wrong(log: LogView) -> None:
    """``verify`` names each undecodable record that a test appended to the ledger, and nothing else."""
    appended = [record.offset for record in log.records(LEDGER) if record.value == GARBAGE]
    report = log.verify()
    assert report["clean"] is (not appended), report
    findings = [(finding["rule"], finding["network"]) for finding in report["findings"]]
    assert findings == [("Undecodable", GARBAGE_NETWORK)] * len(appended), report


def wait_refused(cluster: Cluster, name: str, reason: str) -> str:
    """Wait until the Service says on a condition why it has no address; gives the message."""
    seen: Object = {}

    def said() -> bool:
        seen.update(cluster.get("Service", scene.SHOP, name) or {})
        conditions = seen.get("status", {}).get("conditions") or ()
        found = [c for c in conditions if c["type"].startswith("ledgerlb.io/") and c["reason"] == reason]
        assert any(condition["status"] == "False" for condition in found), conditions
        seen["message"] = found[0]["message"]
        return True

    eventually(said, f"Service {name} shows {reason}")
    assert addresses_of(seen) == ()
    return str(seen["message"])


@pytest.mark.parametrize(
    ("name", "annotations", "reason", "named"),
    [
        ("no-such-selector", {SELECTOR_ANNOTATION: "nobody-defined-this"}, "SelectorNotFound", ["nobody-defined-this"]),
        ("no-such-network", {NETWORK_ANNOTATION: "ecmp-project/missing"}, "NetworkNotFound", ["ecmp-project/missing"]),
        ("no-name", {NETWORK_ANNOTATION: "a/b/c"}, "InvalidAnnotation", [NETWORK_ANNOTATION, "a/b/c"]),
        ("no-address", {"ledgerlb.io/addresses": "one"}, "InvalidAnnotation", ["ledgerlb.io/addresses", "one"]),
    ],
)
def test_a_wish_that_cannot_be_met_is_explained_on_the_service(
    name: str, annotations: dict[str, str], reason: str, named: list[str], standing: Standing
) -> None:
    standing.cluster.create(objects.service(f"{scene.SHOP}/{name}", annotations))
    message = wait_refused(standing.cluster, name, reason)
    assert all(word in message for word in named), message

    def warned() -> bool:
        return any(
            e["reason"] == reason and e["type"] == "Warning" for e in standing.cluster.events_about(scene.SHOP, name)
        )

    eventually(warned, f"an Event tells {reason}")
    assert scene.serve_one(standing.cluster, f"after-{name}")


def test_a_network_with_broken_json_gives_out_nothing_until_it_is_mended(standing: Standing) -> None:
    cluster = standing.cluster
    cluster.create(objects.nad("ecmp-project/broken", raw='{"ipamV4Subnet": "192.168.103.0/24"'))
    cluster.create(objects.service(f"{scene.SHOP}/on-broken", {NETWORK_ANNOTATION: "ecmp-project/broken"}))
    message = wait_refused(cluster, "on-broken", "InvalidAnnotation")
    assert "ecmp-project/broken" in message
    assert "juniper.net/networks" in message

    def told_on_the_network() -> bool:
        found = [
            event for event in cluster.events_about("ecmp-project", "broken") if event["reason"] == "InvalidAnnotation"
        ]
        return any(event["involvedObject"]["kind"] == "NetworkAttachmentDefinition" for event in found)

    eventually(told_on_the_network, "an Event on the NetworkAttachmentDefinition tells what is wrong")
    assert scene.serve_one(cluster, "after-broken-json")

    cluster.apply(objects.nad("ecmp-project/broken", "192.168.103.0/24"))
    assert scene.wait_served(cluster, ["on-broken"]) == {"on-broken": "192.168.103.2"}


@pytest.mark.parametrize(
    ("topic", "key", "readers"),
    [
        (FACTS, "Service/shop/not-a-fact", {"network-selector", "planner", "publisher"}),
        (INTENTS, "ecmp-project/ecmp-default|shop/not-an-intent", {"ipam", "network-selector", "publisher"}),
        (LEDGER, GARBAGE_NETWORK, {"ipam", "network-selector", "planner", "publisher"}),
        (PATHS, "192.0.2.1", {"agent/fabric"}),
        (REPORTS, "192.0.2.1/ghost", {"ipam", "publisher"}),
    ],
    ids=lambda value: value.name if isinstance(value, Topic) else "",
)
def test_an_undecodable_record_becomes_a_dead_letter(
    topic: Topic, key: str, readers: set[str], standing: Standing
) -> None:
    offset = standing.log.append(topic, key, GARBAGE)
    letters: list[dict[str, Any]] = []

    def written() -> bool:
        letters[:] = [
            one for one in standing.log.dead_letters() if (one["topic"], one["offset"]) == (topic.name, offset)
        ]
        missing = readers - {letter["service"] for letter in letters}
        assert not missing, f"no dead letter of {sorted(missing)}; letters of {[one['service'] for one in letters]}"
        return True

    eventually(written, "every reader of the topic has put the record aside")
    for letter in letters:
        assert base64.b64decode(letter["raw"]) == GARBAGE
        assert letter["error"] == ("LedgerDamaged" if topic is LEDGER else "UndecodableRecord")
        assert key in letter["message"]
    assert scene.serve_one(standing.cluster, f"after-{topic.name.split('.')[1]}")


def test_a_manifest_that_is_no_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    write(manifests / "network.yaml", *scene.namespaces(), *scene.infrastructure())
    broken = manifests / "broken.yaml"
    broken.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: [unclosed\n", "utf-8")
    log = LogView(f"sqlite://{tmp_path}/ledger.db")
    with Pipeline(tmp_path, log.url, manifests=manifests) as pipeline:
        eventually(lambda: "broken.yaml:" in pipeline["watcher"].log_text(), "the watcher names the file and the line")
        assert "invalid YAML" in pipeline["watcher"].log_text()

        write(manifests / "web.yaml", *scene.shop_service("web"))
        wait_held(log, {"shop/web": (scene.nth_address(0),)})
        write(broken, *scene.shop_service("mended"))
        wait_held(log, {"shop/web": (scene.nth_address(0),), "shop/mended": (scene.nth_address(1),)})
        assert pipeline.pids()
    assert [event.service for event in log.ledger().events(AddressAllocated)] == ["shop/web", "shop/mended"]


def write(path: Path, *objects: Object) -> None:
    path.write_text(yaml.safe_dump_all(objects), "utf-8")


def wait_held(log: LogView, held: dict[str, tuple[str, ...]]) -> None:
    def as_expected() -> bool:
        found = log.ledger().held()
        assert found == held, found
        return True

    eventually(as_expected, "the ledger shows the holdings")
