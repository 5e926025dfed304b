"""Every test of the pipeline gets empty topics on the shared broker, and an empty cluster on the shared API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.containers import KafkaBroker, KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView, empty_log


@pytest.fixture(scope="package")
def definitions(api_server: KubeApiServer) -> Iterator[None]:
    """The kinds of CN2 and Multus; afterwards the API server is as it was."""
    with Cluster(api_server.kubeconfig) as client:
        client.install_definitions()
        yield
        client.wipe()
        client.remove_definitions()


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
