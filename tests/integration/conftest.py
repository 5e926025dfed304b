"""What the integration tests share: one broker and one API server a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.containers import KafkaBroker, KubeApiServer


@pytest.fixture(scope="session")
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as started:
        yield started


@pytest.fixture(scope="session")
def api_server() -> Iterator[KubeApiServer]:
    with KubeApiServer() as started:
        yield started
