"""What happens to Services while nobody watches is found when the watcher is back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ledgerlb.core.ledger.events import AddressAllocated, AddressReleased, AddressReleasing
from ledgerlb.eventlog.topics import INTENTS
from tests.support import scene
from tests.support.containers import KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


def test_a_service_that_vanished_while_the_watcher_was_down_is_released(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
        scene.set_up(cluster)
        first = {name: scene.serve_one(cluster, name) for name in ("stays", "goes", "returns")}
        scene.wait_programmed(kafka, first.values())

        pipeline["watcher"].kill()
        # Somebody takes the finalizers off: the API server forgets both at once, and no watch tells of it.
        for name in ("goes", "returns"):
            cluster.delete("Service", scene.SHOP, name, force=True)
            assert cluster.get("Service", scene.SHOP, name) is None
        cluster.create(scene.shop_service("returns")[0])
        assert {event.address for event in kafka.ledger().events(AddressReleasing)} == set()
        pipeline["watcher"].start()

        def released() -> bool:
            held = kafka.ledger().held()
            assert held == {"shop/stays": (first["stays"],), "shop/returns": (first["returns"],)}, held
            return True

        eventually(released, "the Service that is gone holds nothing, and the others hold what they had")
        # The one that was made anew is another Service of the same name: it has its former address.
        assert scene.wait_served(cluster, ["stays", "returns"]) == {name: first[name] for name in ("stays", "returns")}
        left = [event for event in kafka.ledger().events(AddressReleased) if event.service == "shop/goes"]
        assert [(event.address, event.confirmed) for event in left] == [(first["goes"], ("fabric",))]
        eventually(lambda: first["goes"] not in kafka.path_sets(), "no path set is left for the released address")
        # In quarantine, it is nobody's: the next newcomer gets the next one.
        assert scene.serve_one(cluster, "newcomer") == scene.nth_address(3)
    assert kafka.verify()["clean"]


@pytest.mark.parametrize("watcher", ["up", "down"])
def test_a_service_that_vanishes_between_its_entry_and_its_patch_is_released(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path, watcher: str
) -> None:
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
        scene.set_up(cluster)
        scene.serve_one(cluster, "before")
        pipeline["ipam"].kill()
        cluster.create_all(scene.shop_service("short"))
        eventually(lambda: any("|shop/short" in r.key for r in kafka.records(INTENTS)), "its intent is in the log")

        # The watcher sees neither the entry nor that the Service vanishes, which no finalizer prevents.
        if watcher == "up":
            os.kill(pipeline["watcher"].pid, signal.SIGSTOP)
        else:
            pipeline["watcher"].kill()
        pipeline["ipam"].start()
        eventually(lambda: "shop/short" in kafka.ledger().held(), "it holds an address")
        cluster.delete("Service", scene.SHOP, "short")
        assert cluster.get("Service", scene.SHOP, "short") is None
        if watcher == "up":
            os.kill(pipeline["watcher"].pid, signal.SIGCONT)
        else:
            pipeline["watcher"].start()

        eventually(lambda: "shop/short" not in kafka.ledger().held(), "it holds nothing")
        given = {event.address for event in kafka.ledger().events(AddressAllocated) if event.service == "shop/short"}
        eventually(
            lambda: given == {e.address for e in kafka.ledger().events(AddressReleased)}, "its address is released"
        )
        assert pipeline["watcher"].metric("ledgerlb_cluster_writes_total", what="refused") == 0
    assert kafka.verify()["clean"]
