"""Which tests run one after the other in one worker, and what starts first, when the whole suite runs in parallel.

Two suites with containers must not load the machine at the same time: a pipeline that shares two cores with another one
misses its deadlines. All of them are one group, which starts first and takes longest. The other worker takes the
suites that mostly wait (a broker without a pipeline, network namespaces), then the unit tests, file by file.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadScopeScheduling

PIPELINE = "pipeline"
_GROUPS = {
    "tests/integration/": PIPELINE,
    "tests/contract/": "broker",
    "tests/dataplane/": "dataplane",
}
_SLOW_FILES = (
    "tests/behaviour/test_selection.py",
    "tests/behaviour/test_kills.py",
    "tests/unit/cli/test_cli_run.py",
)
"""The longest files of the unit tests: started first, they do not keep one worker busy at the end."""


def group_of(nodeid: str) -> str:
    """The group of a test: the suite for those that share containers, else the file."""
    for folder, group in _GROUPS.items():
        if nodeid.startswith(folder):
            return group
    return nodeid.partition("::")[0]


def in_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Long groups first; within a group, the order in which they were collected."""
    ranks = [*dict.fromkeys(_GROUPS.values()), *_SLOW_FILES]
    return sorted(
        items, key=lambda item: ranks.index(group) if (group := group_of(item.nodeid)) in ranks else len(ranks)
    )


class ByGroup(LoadScopeScheduling):
    """Hands whole groups to workers; see module."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
