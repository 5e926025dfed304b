"""Which interface an endpoint's address means, seen from an external network."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster.reachability import Interface, Joint, RouteTargets, Unreachable, reaches, resolve

COMMON = RouteTargets(both=("target:1:1",))
LB = Joint("my-lb/lb-subnet", COMMON)
TARGETS = {"my-lb/pod-subnet": COMMON, "other/net": RouteTargets(both=("target:9:9",)), "bare/net": RouteTargets()}


@pytest.mark.parametrize(
    ("external", "backend", "expected"),
    [
        (RouteTargets(both=("t:1",)), RouteTargets(both=("t:1",)), True),
        (RouteTargets(imports=("t:1",)), RouteTargets(exports=("t:1",)), True),
        (RouteTargets(both=("t:1",)), RouteTargets(exports=("t:1",)), True),
        (RouteTargets(imports=("t:1",)), RouteTargets(both=("t:1",)), True),
        (RouteTargets(exports=("t:1",)), RouteTargets(imports=("t:1",)), False),
        (RouteTargets(imports=("t:1",)), RouteTargets(imports=("t:1",)), False),
        (RouteTargets(both=("t:1",)), RouteTargets(both=("t:2",)), False),
        (RouteTargets(), RouteTargets(), False),
    ],
)
def test_what_one_exports_must_meet_what_the_other_imports(external, backend, expected):
    assert reaches(Joint("a/x", external), Joint("a/y", backend)) is expected


def test_a_network_reaches_itself_and_the_pods_primary_network():
    assert reaches(Joint("a/x"), Joint("a/x"))
    assert reaches(Joint("a/x"), Joint(""))


def found(address, *interfaces, pod=""):
    return resolve(address, interfaces, LB, TARGETS.get, pod)


def test_a_secondary_address_resolves_on_the_joined_network():
    secondary = Interface("my-lb/p", "my-lb/pod-subnet", ("172.16.23.0",))
    assert found("172.16.23.0", secondary) == secondary


def test_the_same_address_on_an_unconnected_network_is_not_taken():
    near = Interface("my-lb/p", "my-lb/pod-subnet", ("172.16.23.0",))
    far = Interface("other/q", "other/net", ("172.16.23.0",))
    assert found("172.16.23.0", far, near) == near
    answer = found("172.16.23.0", far)
    assert isinstance(answer, Unreachable)
    assert "other/net" in answer.message
    assert "route target" in answer.message


def test_another_interface_of_the_pod_is_never_taken():
    answer = found("10.0.0.9", pod="my-lb/p")
    assert isinstance(answer, Unreachable)
    assert "Pod my-lb/p" in answer.message


def test_a_network_without_route_targets_or_unknown_is_not_reached():
    assert isinstance(found("10.1.0.1", Interface("a/p", "bare/net", ("10.1.0.1",))), Unreachable)
    assert isinstance(found("10.1.0.1", Interface("a/p", "no/such", ("10.1.0.1",))), Unreachable)


def test_two_reachable_owners_are_ambiguous_unless_the_endpoint_names_its_pod():
    one = Interface("a/p", "my-lb/pod-subnet", ("10.1.0.1",))
    two = Interface("a/q", "", ("10.1.0.1",))
    answer = found("10.1.0.1", one, two)
    assert isinstance(answer, Unreachable)
    assert "ambiguous" in answer.message
    assert found("10.1.0.1", one, two, pod="a/q") == two
