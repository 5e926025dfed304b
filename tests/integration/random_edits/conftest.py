"""An API server of this package's own: what the script makes of Namespaces and networks is no concern of other tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView, empty_log


@pytest.fixture(scope="package")
def api_server() -> Iterator[KubeApiServer]:
    with KubeApiServer(fsync=False) as started:
        yield started


@pytest.fixture
def cluster(api_server: KubeApiServer) -> Iterator[Cluster]:
    with Cluster(api_server.kubeconfig) as client:
        client.install_definitions()
        yield client


@pytest.fixture
def kafka(broker: KafkaBroker) -> LogView:
    return empty_log(broker.bootstrap)
