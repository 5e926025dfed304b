"""Misspelled annotations and kinds, and pools of others, get a warning with the nearest known name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledgerlb.core.cluster import services
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.manifests.folder import ManifestFolder
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.names import misspelled, unread
from ledgerlb.kube.source import ProblemLog, seen
from tests.builders.objects import EXCLUDE, LEASE, Object, nad, pool, service
from tests.support.foreign import foreign


class Problems(ProblemLog):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __call__(self, problem: BadInput) -> None:
        self.found.append(str(problem))


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("ledgerlb.io/adresses", "did you mean ledgerlb.io/addresses?"),
        ("ledgerlb.io/quota", "did you mean ledgerlb.io/quota-per-namespace?"),
        ("service.contrail.juniper.net/externalNetworks", "did you mean service.contrail.juniper.net/externalNetwork?"),
        ("service.contrail.juniper.net/externalnetwork", "did you mean service.contrail.juniper.net/externalNetwork?"),
    ],
)
def test_a_misspelled_annotation_is_named_with_the_nearest(key: str, near: str) -> None:
    problems = Problems()
    facts, _ = seen("Service", [service("a/s", {key: "x"})], problems)
    assert len(facts) == 1
    assert len(problems.found) == 1
    assert key in problems.found[0]
    assert near in problems.found[0]


@pytest.mark.parametrize("obj", [service("a/s", dict.fromkeys(services.KNOWN_ANNOTATIONS, "x"))])
def test_known_annotations_are_passed_over(obj: Object) -> None:
    problems = Problems()
    seen("Service", [obj], problems)
    seen(
        "NetworkAttachmentDefinition",
        [nad("a/n", annotations={EXCLUDE: "", LEASE: "1h", "example.com/x": "y"})],
        problems,
    )
    assert problems.found == []


def test_every_annotation_of_the_code_is_known() -> None:
    named = {value for name, value in vars(services).items() if name.startswith("ANNOTATION_")}
    assert {key for key in named if key.startswith(services.KNOWN_DOMAINS)} <= set(services.KNOWN_ANNOTATIONS)
    assert misspelled(["ledgerlb.io/service", "ledgerlb.io/carried-labels"]) is None


@pytest.mark.parametrize(
    ("obj", "parts"),
    [
        (foreign("IPAddressPool", "m/p", "metallb.io/v1beta1"), ("MetalLB", "ledgerlb import metallb")),
        (foreign("AddressPool", "m/p", "metallb.io/v1beta1"), ("MetalLB", "ledgerlb import metallb")),
        (foreign("CiliumLoadBalancerIPPool", "p", "cilium.io/v2"), ("Cilium", "ledgerlb import cilium")),
        (foreign("ServiceGroup", "m/p", "purelb.io/v1"), ("PureLB", "ledgerlb import purelb")),
        (foreign("AdressPool", "p", "ledgerlb.io/v1alpha1"), ("'AdressPool'", "did you mean AddressPool?")),
    ],
)
def test_what_looks_like_a_pool_of_ours_is_named(obj: Object, parts: tuple[str, ...]) -> None:
    found = unread(obj)
    assert found is not None
    assert all(part in " ".join(found) for part in parts)


def test_a_folder_warns_of_foreign_pools_and_stays_complete(tmp_path: Path) -> None:
    objects: list[dict[str, Any]] = [
        foreign("AddressPool", "m/p", "metallb.io/v1beta1", addresses=["10.0.0.0/8"]),
        pool("p", "203.0.113.0/24"),
    ]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects), "utf-8")
    problems = Problems()
    cluster = MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    folder = ManifestFolder(tmp_path, cluster, problems)
    folder.load()
    assert folder.complete
    assert len(problems.found) == 1
    assert "all.yaml:1" in problems.found[0]
    assert [one["apiVersion"] for one in cluster.list("AddressPool")] == ["ledgerlb.io/v1alpha1"]
