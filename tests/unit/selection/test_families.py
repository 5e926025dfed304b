"""Families of Services as facts: the cases that the cluster in memory resolves before a scenario sees them."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster.services import families_of
from tests.builders.facts import service

FOUR, SIX, BOTH = ("10.96.0.9",), ("fd00:96::9",), ("10.96.0.9", "fd00:96::9")


@pytest.mark.parametrize(
    ("cluster_ips", "ip_families", "policy", "families", "required"),
    [
        (FOUR, (4,), "PreferDualStack", (4,), (4,)),
        (SIX, (6,), "RequireDualStack", (6,), (6,)),
        (BOTH, (4, 6), "PreferDualStack", (4, 6), ()),
        (BOTH, (6, 4), "RequireDualStack", (6, 4), (6, 4)),
        (BOTH, (4, 6), "", (4, 6), ()),
        (SIX, (), "PreferDualStack", (6,), (6,)),
        (("None",), (), "PreferDualStack", (4, 6), ()),
        (("",), (6,), "", (6,), (6,)),
        ((), (4, 6), "", (4, 6), ()),
        ((), (6, 4), "", (6, 4), ()),
        ((), (6, 4), "SingleStack", (6,), (6,)),
        ((), (4,), "PreferDualStack", (4, 6), ()),
        ((), (), "RequireDualStack", (4, 6), (4, 6)),
    ],
)
def test_the_answer_counts_and_else_the_wish(cluster_ips, ip_families, policy, families, required):
    fact = service("a/s", cluster_ips=cluster_ips, ip_families=ip_families, ip_family_policy=policy)
    assert families_of(fact) == (families, required)
