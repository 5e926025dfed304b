from __future__ import annotations

from ledgerlb.core.cluster.facts import Condition
from ledgerlb.watcher.announcements import announcements


def condition(name: str, status: str, reason: str, message: str = "m", since: str = "") -> Condition:
    prefix = "" if name == "LoadBalancerPortsError" else "ledgerlb.io/"
    return Condition(type=prefix + name, status=status, reason=reason, message=message, since=since)


SELECTED = condition("NetworkSelected", "True", "NetworkSelected")
ALLOCATED = condition("AddressAllocated", "True", "AddressAllocated")
FULL = condition("AddressAllocated", "False", "NetworkFull")


def reasons(shown, now):
    return [(said.reason, said.warning) for said in announcements(shown, now)]


def test_what_is_new_is_said_in_the_order_of_the_pipeline():
    assert reasons([], [ALLOCATED, SELECTED]) == [("NetworkSelected", False), ("AddressAllocated", False)]


def test_what_was_shown_before_is_not_said_again():
    assert reasons([SELECTED, ALLOCATED], [SELECTED, ALLOCATED.model_copy(update={"since": "later"})]) == []


def test_another_address_is_news():
    assert reasons([ALLOCATED], [ALLOCATED.model_copy(update={"message": "other"})]) == [("AddressAllocated", False)]


def test_a_loss_is_a_warning():
    assert reasons([SELECTED, ALLOCATED], [SELECTED, FULL]) == [("NetworkFull", True)]


def test_waiting_is_not_worth_an_event():
    assert reasons([], [condition("AddressAllocated", "Unknown", "WaitingForAllocation")]) == []


def test_one_reason_on_two_conditions_is_one_event():
    both = [
        condition("NetworkSelected", "False", "NetworkNotFound"),
        condition("AddressAllocated", "False", "NetworkNotFound"),
    ]
    assert reasons([], both) == [("NetworkNotFound", True)]


def test_drift_is_said_and_its_end_is_not():
    drifted = condition("SelectionDrifted", "True", "SelectionDrifted")
    assert reasons([], [drifted]) == [("SelectionDrifted", True)]
    assert reasons([drifted], [condition("SelectionDrifted", "False", "SelectionCurrent")]) == []
