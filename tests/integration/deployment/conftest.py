"""An API server on which nothing stands but what the test makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.containers import KubeApiServer
from tests.support.kube_objects import Cluster


@pytest.fixture(scope="module")
def cluster(api_server: KubeApiServer) -> Iterator[Cluster]:
    with Cluster(api_server.kubeconfig) as client:
        client.install_definitions()
        client.wipe()
        yield client
        client.wipe()
        client.remove_definitions()
