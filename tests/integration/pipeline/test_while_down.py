"""What happens to Services while nobody watches is found when the watcher is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledgerlb.core.ledger.events import AddressReleased, AddressReleasing
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
