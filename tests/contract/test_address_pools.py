"""The kind AddressPool on a real API server: what its schema refuses, what kubectl shows, and its status."""

from __future__ import annotations

import http
from typing import Any

import pytest

from ledgerlb.core.cluster.facts import AddressPoolFact
from ledgerlb.core.errors import ClusterRefused
from ledgerlb.kube.api.client import ApiConnection
from ledgerlb.kube.api.writer import ApiWriter
from ledgerlb.kube.kinds import POOL_VERSION
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.writer import Write
from tests.builders.objects import Object, pool
from tests.support.containers import KubeApiServer
from tests.support.kube_objects import Cluster, path_of

pytestmark = pytest.mark.integration

DOC = "203.0.113.0/24"
FULL: dict[str, Any] = {
    "addresses": [DOC, "198.51.100.10-198.51.100.20", "2001:db8::/64", "2001:db8:1::5-2001:db8:1::9", "192.0.2.1"],
    "exclude": ["203.0.113.0", "2001:db8::-2001:db8::ff"],
    "priority": -3,
    "serviceSelector": {"matchLabels": {"a": "b"}},
    "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
    "quota": 5,
    "quarantine": "1h30m",
    "lease": "0s",
    "disabled": False,
    "autoAssign": False,
    "spillOver": True,
}


def send(cluster: Cluster, obj: Object) -> tuple[int, Any]:
    return cluster.request("POST", path_of("AddressPool") + "?fieldValidation=Strict", obj)


def test_every_field_is_taken_and_read_back(cluster: Cluster) -> None:
    status, made = send(cluster, {**pool("full"), "spec": FULL})
    assert status == http.HTTPStatus.CREATED, made
    fact = fact_of(made)
    assert isinstance(fact, AddressPoolFact)
    assert (fact.malformed, fact.addresses) == ((), tuple(FULL["addresses"]))
    assert (fact.priority, fact.quota, fact.quarantine, fact.spill_over) == (-3, 5, "1h30m", True)


def test_defaults_are_those_of_the_reader(cluster: Cluster) -> None:
    status, made = send(cluster, pool("bare", DOC))
    assert status == http.HTTPStatus.CREATED, made
    assert made["spec"]["autoAssign"] is True


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ({}, "spec.addresses: Required value"),
        ({"addresses": []}, "at least 1"),
        ({"addresses": [DOC, DOC]}, "Duplicate value"),
        ({"addresses": ["203.0.113.0/24, 192.0.2.0/24"]}, "should match"),
        ({"addresses": ["example.com"]}, "should match"),
        ({"addresses": ["203.0.113.1-2001:db8::1"]}, "both ends of a range must be of one address family"),
        ({"addresses": ["203.0.113.0/33"]}, "an IPv4 prefix is at most 32 bits long"),
        ({"addresses": [DOC], "exclude": ["2001:db8::1"]}, "exclude names an address family"),
        ({"addresses": [DOC], "disabled": True, "spillOver": True}, "a disabled pool is passed over anyway"),
        ({"addresses": [DOC], "quota": -1}, "greater than or equal to 0"),
        ({"addresses": [DOC], "quarantine": "soon"}, "should match"),
        ({"addresses": [DOC], "priority": "high"}, "must be of type integer"),
        ({"addresses": [DOC], "spillover": True}, 'unknown field "spec.spillover"'),
        (
            {"addresses": [DOC], "serviceSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}},
            "Unsupported",
        ),
    ],
)
def test_the_server_refuses_what_cannot_be_meant(cluster: Cluster, spec: dict[str, Any], part: str) -> None:
    status, answer = send(cluster, {**pool("broken"), "spec": spec})
    assert status in {http.HTTPStatus.UNPROCESSABLE_ENTITY, http.HTTPStatus.BAD_REQUEST}, answer
    assert part in answer["message"]


async def test_the_status_is_a_subresource_and_fills_the_columns(server: KubeApiServer, cluster: Cluster) -> None:
    made = cluster.create(pool("shown", DOC))
    shown = {"size": "256", "held": 3, "quarantined": 1, "free": "252", "problem": "PrefixChangeRefused"}
    write = Write("AddressPool", "", "shown", "patch-status", {"status": shown}, made["metadata"]["uid"], POOL_VERSION)
    async with ApiConnection(server.kubeconfig_path) as connection:
        writer = ApiWriter(connection.client)
        after = await writer.write(write)
        assert after is not None
        assert (after["status"], after["metadata"]["generation"]) == (shown, 1)
        again = await writer.write(write)
        assert again is not None
        assert again["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
        wrong = Write("AddressPool", "", "shown", "patch-status", {"status": {"held": "many"}}, "", POOL_VERSION)
        with pytest.raises(ClusterRefused):
            await writer.write(wrong)
        missing = Write("AddressPool", "", "gone", "patch-status", {"status": shown}, "", POOL_VERSION)
        assert await writer.write(missing) is None
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    _, answer = cluster.request("GET", path_of("AddressPool", "", "shown"), accept=table)
    columns = [column["name"] for column in answer["columnDefinitions"] if column["priority"] == 0]
    assert columns == ["Name", "Size", "Held", "Quarantined", "Problem", "Age"]
    cells = dict(
        zip((column["name"] for column in answer["columnDefinitions"]), answer["rows"][0]["cells"], strict=True)
    )
    assert (cells["Size"], cells["Held"], cells["Quarantined"], cells["Problem"]) == (
        "256",
        3,
        1,
        "PrefixChangeRefused",
    )
