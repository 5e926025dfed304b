"""Objects with values of every wrong kind, from an API server or a folder: a fact, nothing, or BadInput comes of them.

The seeded mutations of whole objects are the target ``object`` of the fuzzer.
"""

from __future__ import annotations

from typing import Any

import pytest

from ledgerlb.core.cluster.facts import decode_fact, encode_fact, key_of
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.normalise.dispatch import fact_of, name_of, subject_of
from ledgerlb.kube.source import seen
from tests.attacks.samples import META, OBJECTS, whole


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_unharmed_object_is_a_fact(kind):
    fact = fact_of(whole(kind), every_pod=True)
    assert fact is not None
    assert decode_fact(key_of(fact), encode_fact(fact)) == fact


@pytest.mark.parametrize(
    "status", [{"conditions": None}, {"loadBalancer": None}, {"loadBalancer": {"ingress": None}}, None], ids=str
)
def test_null_where_a_list_may_be(status):
    fact = fact_of({"kind": "Service", "metadata": META, "spec": {"ports": None}, "status": status})
    assert fact is not None


@pytest.mark.parametrize("obj", [{}, {"metadata": None}, {"metadata": []}, {"metadata": {"name": []}}, {"kind": []}])
@pytest.mark.parametrize("kind", ["Service", "Node", ""])
def test_what_is_hardly_an_object(obj, kind):
    with pytest.raises(BadInput):
        name_of(obj, kind)
    subject_of(obj, kind)


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"k": [value]}
    return value


@pytest.mark.parametrize(
    "inside", [nested(200), "\ud800", {"\ud800": 1}], ids=["deep", "half a character", "half a key"]
)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("FloatingIP", "parent"), ("InstanceIP", "x"), ("Kubemanager", "externalNetworkSelectors"),
        ("NetworkAttachmentDefinition", "config"), ("Service", "x"), ("Subnet", "cidr"),
    ],
)  # fmt: skip
def test_what_stays_as_it_stands_can_be_written_to_the_log(kind, field, inside):
    obj = whole(kind)
    facts, _ = seen(kind, [{**obj, "spec": {**obj["spec"], field: {"a": inside}}}], lambda _: None)
    for fact in facts:
        assert decode_fact(key_of(fact), encode_fact(fact)) == fact
