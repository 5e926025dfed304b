"""What every back end owes the agent, whatever it programs."""

from __future__ import annotations

import pytest

from tests.dataplane.lab import Driver, Lab
from tests.dataplane.pods import FOUR, PODS, SIX, path_set

pytestmark = pytest.mark.dataplane

WHERE = {"record": ("router", {}), "fabric-linux": ("router", {}), "node": ("node1", {"node": "1"})}
CLOSED = ({"source_ranges": []},)


@pytest.fixture(params=WHERE)
def backend(request: pytest.FixtureRequest, lab: Lab) -> Driver:
    space, options = WHERE[request.param]
    return Driver(lab, space, request.param, **options)


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_every_outcome_says_what_became_of_the_address(address: str, backend: Driver) -> None:
    other = "192.168.102.20"
    outcomes = backend.start_with(path_set(address, PODS), path_set(other, PODS, ports=CLOSED))
    assert {one: found["state"] for one, found in outcomes.items()} == {address: "programmed", other: "programmed"}
    assert outcomes[address]["weights"].items() <= {"1": 1, "2": 2, "3": 3}.items()
    assert outcomes[address]["weights"]["1"] == 1
    assert outcomes[other] == {"state": "programmed", "weights": {}, "message": "the source ranges admit no client"}


def test_a_withdrawal_is_confirmed_also_for_an_address_that_was_never_there(backend: Driver) -> None:
    backend.start_with(path_set(FOUR, PODS))
    order = {**path_set(FOUR, ()), "frontends": [], "withdraw": True, "release": "a/b#2"}
    outcomes = backend.set_to(order, {**order, "address": "192.168.102.20"}, forget=["192.168.102.21"])
    assert {found["state"] for found in outcomes.values()} == {"withdrawn"}
    assert len(outcomes) == 3


def test_saying_the_same_again_changes_nothing(backend: Driver) -> None:
    first = backend.start_with(path_set(FOUR, PODS))
    assert backend.start_with(path_set(FOUR, PODS)) == first
    assert backend.set_to(path_set(FOUR, PODS)) == first
    assert not backend.stale()


def test_reconciling_removes_what_is_wanted_no_more_and_answers_for_the_rest(backend: Driver) -> None:
    backend.start_with(path_set(FOUR, PODS), path_set(SIX, PODS))
    assert list(backend.start_with(path_set(SIX, PODS))) == [SIX]
    assert backend.set_to(path_set(FOUR, PODS[:1]))[FOUR]["weights"] == {"1": 1}


def test_pods_that_come_and_go_change_the_weights(backend: Driver) -> None:
    backend.start_with(path_set(FOUR, PODS))
    weights = backend.set_to(path_set(FOUR, [(1, 1), (1, 2)]))[FOUR]["weights"]
    assert weights == {"1": 2}
    assert backend.set_to(path_set(FOUR, ()))[FOUR] == {"state": "programmed", "weights": {}, "message": ""}
