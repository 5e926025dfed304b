"""Families on a real API server of a single-stack cluster: its answer counts, whatever the policy asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import objects
from tests.support import kube_objects as kube
from tests.support.containers import KubeApiServer
from tests.support.kube_objects import Cluster, addresses_of
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def api_server() -> Iterator[KubeApiServer]:
    """An API server that has cluster addresses of IPv4 only."""
    with KubeApiServer(arguments=("--service-cluster-ip-range=10.96.0.0/16",)) as started:
        yield started


def test_a_single_stack_cluster_gives_one_external_address(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    network = objects.nad("shop/both", "192.168.171.0/24", "2001:db8:171::/64", labels=objects.DEFAULT_LABELS)
    wishes = {
        "prefers": {"ipFamilyPolicy": "PreferDualStack"},
        "silent": {},
        "single": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]},
    }
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path):
        services = [objects.service(f"shop/{name}", **spec) for name, spec in wishes.items()]
        cluster.create_all(
            [
                objects.namespace("contrail"),
                objects.namespace("shop", objects.ADMITTED),
                kube.kubemanager(),
                network,
                *services,
            ]
        )

        def served() -> bool:
            found = {name: cluster.get("Service", "shop", name) or {} for name in wishes}
            assert all(len(service["spec"]["clusterIPs"]) == 1 for service in found.values())
            shown = {name: addresses_of(service) for name, service in found.items()}
            assert sorted(map(len, shown.values())) == [1, 1, 1], shown
            assert all(address.startswith("192.168.171.") for held in shown.values() for address in held)
            return True

        eventually(served, "each Service has one IPv4 address")
        assert len(kafka.ledger().held()) == len(wishes)
        assert {len(held) for held in kafka.ledger().held().values()} == {1}
