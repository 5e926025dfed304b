"""Every test here makes its own network namespaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dataplane.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made
