"""Every module of the pipeline has a broker and an API server of its own, every test empty topics and an empty cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView, empty_log


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    """A broker of the module's own: it takes three seconds, and no module meets what another left."""
    with KafkaBroker() as started:
        yield started


@pytest.fixture(scope="module")
def api_server() -> Iterator[KubeApiServer]:
    """An API server of the module's own."""
    with KubeApiServer() as started:
        yield started


@pytest.fixture(scope="module")
def definitions(api_server: KubeApiServer) -> Iterator[None]:
    """The kinds of CN2 and Multus."""
    with Cluster(api_server.kubeconfig) as client:
        client.install_definitions()
        yield


@pytest.fixture
def kafka(broker: KafkaBroker) -> LogView:
    """An empty log on the broker."""
    return empty_log(broker.bootstrap)


@pytest.fixture
def cluster(api_server: KubeApiServer, definitions: None) -> Iterator[Cluster]:
    """A client of the API server, on which nothing stands that an earlier test made."""
    with Cluster(api_server.kubeconfig) as client:
        client.wipe()
        yield client
