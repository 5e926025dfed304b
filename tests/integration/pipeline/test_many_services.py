"""Two hundred Services at once, and what may go wrong meanwhile: no address is lost, doubled or changed by it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledgerlb.core.ledger.events import AddressAllocated, AddressReleased, AddressReleasing
from tests.support import scene
from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView
from tests.support.pipeline import SERVICES, Pipeline
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

MANY = 200
NAMES = [f"web-{number:03}" for number in range(MANY)]
FIRST_200 = {scene.nth_address(number) for number in range(MANY)}
CREATE_SECONDS = 60.0
SERVE_SECONDS = 90.0
OUTAGE_SECONDS = 15.0


class Burst:
    """Two hundred Services, created in the background; `created` counts them."""

    def __init__(self, cluster: Cluster, background: ThreadPoolExecutor) -> None:
        self.created = 0
        self._cluster = cluster
        self._counting = threading.Lock()
        self._done = background.submit(cluster.each, self._create, NAMES)

    def _create(self, name: str) -> None:
        for obj in scene.shop_service(name):
            self._cluster.create(obj)
        with self._counting:
            self.created += 1

    def wait_created(self, number: int) -> None:
        def are_created() -> bool:
            if self._done.done():
                self._done.result()
            return self.created >= number

        eventually(are_created, f"{number} Services are created", CREATE_SECONDS, every=0.005)

    def wait(self) -> None:
        self._done.result(CREATE_SECONDS)


@contextmanager
def burst_of_services(cluster: Cluster) -> Iterator[Burst]:
    """The Services are being created meanwhile, and all of them are afterwards."""
    with ThreadPoolExecutor(1, thread_name_prefix="burst") as background:
        burst = Burst(cluster, background)
        yield burst
        burst.wait()


def all_are_served(cluster: Cluster, log: LogView) -> dict[str, str]:
    """Wait until every one is served in full, and check that nothing is lost or doubled; gives address by name."""
    served = scene.wait_served(cluster, NAMES, SERVE_SECONDS)
    # Nobody ever left, and addresses are given lowest first: so exactly these, or something was lost on the way.
    assert set(served.values()) == FIRST_200
    assert len(set(served.values())) == MANY
    scene.wait_programmed(log, served.values())
    return served


def the_ledger_agrees(log: LogView, served: dict[str, str]) -> None:
    ledger = log.ledger()
    assert ledger.held() == {f"{scene.SHOP}/{name}": (address,) for name, address in served.items()}
    given = [event.address for event in ledger.events(AddressAllocated)]
    assert len(given) == len(set(given)) == len(served), "an address was given twice"
    assert not list(ledger.events(AddressReleasing)), "an address was withdrawn though every Service stands"
    assert log.verify()["clean"]


def test_two_hundred_at_once(cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path) -> None:
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
        scene.set_up(cluster)
        began = time.monotonic()
        with burst_of_services(cluster):
            pass
        created = time.monotonic() - began
        served = all_are_served(cluster, kafka)
        print(
            f"{MANY} Services: created in {created:.1f} s, served and programmed after {time.monotonic() - began:.1f} s"
        )
        the_ledger_agrees(kafka, served)

        cluster.each(lambda name: cluster.delete("Service", scene.SHOP, name), NAMES)
        eventually(
            lambda: not cluster.objects("Service", scene.SHOP), "every Service is gone", SERVE_SECONDS, every=0.3
        )
        ledger = kafka.ledger()
        assert ledger.held() == {}
        left = list(ledger.events(AddressReleased))
        assert {event.address for event in left} == FIRST_200
        assert {event.confirmed for event in left} == {("fabric",)}
        assert kafka.verify()["clean"]
        assert kafka.dead_letters() == []
        assert pipeline.pids()


@pytest.mark.parametrize("victim", SERVICES)
def test_a_killed_service_changes_nothing(
    victim: str, cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    seed = int(os.environ.get("LEDGERLB_TEST_SEED") or random.SystemRandom().randrange(2**32))
    choose = random.Random(f"{seed}/{victim}")
    number, moment = choose.randrange(MANY * 3 // 4), choose.uniform(0.0, 0.3)
    print(f"LEDGERLB_TEST_SEED={seed}: {victim} is killed {moment:.2f} s after Service {number} was created")

    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
        scene.set_up(cluster)
        with burst_of_services(cluster) as burst:
            burst.wait_created(number)
            time.sleep(moment)  # where in its work the victim is hit: any place will do
            pipeline[victim].kill()
            before = {name: shown for name, shown in cluster.addresses(scene.SHOP).items() if shown}
            print(f"{burst.created} created, {len(before)} served at the kill")
            assert len(before) < MANY, "everything was done before the kill: this run shows nothing"
            pipeline[victim].start()
        served = all_are_served(cluster, kafka)
        assert {name: (served[name],) for name in before} == before, "an address changed over the kill"

        # A Service made later sees everything that was under way before it through to its end.
        assert scene.serve_one(cluster, "later") == scene.nth_address(MANY)
        pipeline.wait_ready()
        after = {name: shown for name, (shown,) in cluster.addresses(scene.SHOP).items()}
        later = after.pop("later")
        assert after == served
        the_ledger_agrees(kafka, {**served, "later": later})
        assert kafka.dead_letters() == []


def test_two_ipams_at_once_never_allocate_twice(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    services = (*SERVICES, "ipam-2")
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path, services=services) as pipeline:
        scene.set_up(cluster)
        with burst_of_services(cluster):
            pass
        served = all_are_served(cluster, kafka)
        the_ledger_agrees(kafka, served)

        leaving = NAMES[::2]
        cluster.each(lambda name: cluster.delete("Service", scene.SHOP, name), leaving)

        def gone() -> bool:
            return len(cluster.objects("Service", scene.SHOP)) == MANY - len(leaving)

        eventually(gone, "the deleted Services are gone", SERVE_SECONDS, every=0.3)
        assert kafka.verify()["clean"]

        def counted() -> bool:
            fold = kafka.ledger().fold
            for fate, total in (("accepted", fold.accepted), ("rejected", fold.rejected)):
                counts = [
                    pipeline[name].metric("ledgerlb_ipam_entries_total", fate=fate) for name in ("ipam", "ipam-2")
                ]
                assert sum(counts) == total, f"{fate}: {counts} counted, {total} in the ledger"
            return True

        eventually(counted, "both processes have counted the fate of their entries")
        fold = kafka.ledger().fold
        print(f"{fold.accepted} entries accepted, {fold.rejected} rejected")
        assert fold.rejected, "the two never met: this run shows nothing"
        held = {name: cluster.addresses(scene.SHOP)[name] for name in NAMES[1::2]}
        assert held == {name: (served[name],) for name in held}


def test_a_broker_outage_is_outlived(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, broker: KafkaBroker, tmp_path: Path
) -> None:
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path) as pipeline:
        scene.set_up(cluster)
        pids = pipeline.pids()
        with burst_of_services(cluster) as burst:
            burst.wait_created(60)
            broker.stop_broker()
            stopped = time.monotonic()
            pipeline.wait_not_ready(*SERVICES, seconds=OUTAGE_SECONDS)
            time.sleep(max(0.0, OUTAGE_SECONDS - (time.monotonic() - stopped)))
            broker.start_broker()
        back = time.monotonic()
        served = all_are_served(cluster, kafka)
        pipeline.wait_ready()
        print(f"all served {time.monotonic() - back:.1f} s after the broker was back")
        assert pipeline.pids() == pids
        the_ledger_agrees(kafka, served)
