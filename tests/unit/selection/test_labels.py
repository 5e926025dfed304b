"""Label selectors, in both of their forms."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster.labels import EVERYTHING, parse_selector, parse_selector_text
from ledgerlb.core.errors import BadInput

LABELS = {"team": "a", "env": "dev", "example.org/tier": "front"}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, True),
        ({"matchLabels": {}}, True),
        ({"matchLabels": None, "matchExpressions": None}, True),
        ({"matchLabels": {"team": "a"}}, True),
        ({"matchLabels": {"team": "a", "env": "prod"}}, False),
        ({"matchLabels": {"example.org/tier": "front"}}, True),
        ({"matchLabels": {"absent": ""}}, False),
        ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["dev", "test"]}]}, True),
        ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "In", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["dev"]}]}, False),
        ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}, True),
        ({"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "absent", "operator": "Exists", "values": []}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"team": "a"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}, False),
    ],
)
def test_selector_objects_match_as_in_kubernetes(raw, expected):
    assert parse_selector(raw).matches(LABELS) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("team=a", True),
        ("team==a", True),
        ("team = a , env = dev", True),
        ("team!=a", False),
        ("absent!=a", True),
        ("absent=", False),
        ("env in (dev,test)", True),
        ("env in ( prod )", False),
        ("env notin (prod, test)", True),
        ("absent notin (x)", True),
        ("team", True),
        ("!team", False),
        ("! absent", True),
        ("team=a,env in (dev,test),!absent,example.org/tier!=back", True),
        ("team=a,env in (dev,test),absent", False),
    ],
)
def test_the_string_form_matches_as_in_kubernetes(text, expected):
    assert parse_selector_text(text).matches(LABELS) is expected


def test_both_forms_of_one_selector_are_equal_and_print_alike():
    raw = {
        "matchLabels": {"team": "a"},
        "matchExpressions": [
            {"key": "y", "operator": "NotIn", "values": ["z"]},
            {"key": "x", "operator": "DoesNotExist"},
            {"key": "env", "operator": "In", "values": ["test", "dev", "dev"]},
        ],
    }
    text = parse_selector_text("!x,env in (dev,test),team=a,y!=z")
    assert parse_selector(raw) == text
    assert str(text) == "env in (dev,test),team=a,!x,y!=z"
    assert parse_selector_text(str(text)) == text
    assert parse_selector({}) == EVERYTHING


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("team=a", "f"),
        ([], "f"),
        (None, "f"),
        ({"matchLabel": {"a": "b"}}, "f.matchLabel"),
        ({"matchLabels": ["a"]}, "f.matchLabels"),
        ({"matchLabels": {"a": 1}}, "f.matchLabels.a"),
        ({"matchLabels": {"a": None}}, "f.matchLabels.a"),
        ({"matchLabels": {"a": "x" * 64}}, "f.matchLabels.a"),
        ({"matchLabels": {"a b": "c"}}, "f.matchLabels.a b"),
        ({"matchLabels": {"/a": "c"}}, "f.matchLabels./a"),
        ({"matchLabels": {("x" * 254) + "/a": "c"}}, None),
        ({"matchExpressions": {}}, "f.matchExpressions"),
        ({"matchExpressions": ["a"]}, "f.matchExpressions[0]"),
        ({"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}, "f.matchExpressions[0].operator"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, "f.matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}, "f.matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": "b"}]}, "f.matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}, "f.matchExpressions[0].values"),
        ({"matchExpressions": [{"operator": "Exists"}]}, "f.matchExpressions[0].key"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "value": "b"}]}, "f.matchExpressions[0].value"),
    ],
)
def test_what_kubernetes_refuses_is_refused_with_its_field(raw, field):
    with pytest.raises(BadInput) as error:
        parse_selector(raw, "Kubemanager a/b", "f")
    assert error.value.subject == "Kubemanager a/b"
    assert error.value.remedy
    if field is not None:
        assert error.value.field == field


@pytest.mark.parametrize(
    "text",
    [
        "team=a,", ",", "a b", "a in", "a in ()", "a in (b,)", "a in (b", "a > 1", "=a", "!", "a=b=c", "a in (b) c",
        "a inn (b)", "team=ä", "a" * 64, "x," * 5000,
    ],
)  # fmt: skip
def test_a_broken_string_form_is_refused(text):
    with pytest.raises(BadInput) as error:
        parse_selector_text(text, "VirtualNetwork a/b", "annotation x")
    assert str(error.value).startswith("VirtualNetwork a/b, annotation x: ")
