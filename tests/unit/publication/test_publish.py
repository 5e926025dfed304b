"""Each row of the tables states the rule that it asserts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledgerlb.core.cluster.facts import Condition, ServicePort
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.publication.model import Publication
from ledgerlb.core.publication.publish import publish
from ledgerlb.core.settings import DomainSettings
from tests.unit.publication.world import NEW, NOW, OLD, agents, holds, refused, selected, service

SETTINGS = DomainSettings()
DUAL = {"ip_families": (4, 6), "ip_family_policy": "RequireDualStack"}
SIX_FIRST = {"ip_families": (6, 4), "ip_family_policy": "RequireDualStack"}
PREFER = {"ip_families": (4,), "ip_family_policy": "PreferDualStack"}
B4, B5 = "192.168.2.4", "192.168.2.5"
A4 = "192.168.1.4"
B6 = "2001:db8::4"
A6 = "2001:db8:1::4"


def say(
    fact=None, selection=None, holdings=(), refusals=(), table=None, *, wanting=False, settings=SETTINGS
) -> Publication:
    return publish(
        fact or service(), selection, holdings, refusals, table or AgentTable(), NOW, settings, wanting=wanting
    )


TABLE = [
    # rule, service, selection, holdings, refusals, agents, (state, network, wanted, addresses, reason)
    ("holds what it wants", {}, selected(), [holds(B4)], [], (), ("Ready", NEW, NEW, (B4,), None)),
    ("agents do not delay a first address", {}, selected(), [holds(B4)], [], ("n1",), ("Ready", NEW, NEW, (B4,), None)),
    ("nothing held, no verdict", {}, selected(), [], [], (), ("Pending", None, NEW, (), None)),
    ("nothing looked at", {}, None, [], [], (), ("Pending", None, None, (), None)),
    (
        "no network: the selection's reason",
        {}, selected(None, reason="NetworkNotFound", message="m"), [], [], (),
        ("Pending", None, None, (), "NetworkNotFound"),
    ),
    (
        "refused by the network: the ledger's reason",
        {}, selected(), [], [refused("NetworkFull")], (), ("Pending", None, NEW, (), "NetworkFull"),
    ),
    (
        "a refusal of another network says nothing",
        {}, selected(), [], [refused("NetworkFull", OLD)], (), ("Pending", None, NEW, (), None),
    ),
    (
        "a refusal of a former Service of that name says nothing",
        {}, selected(), [], [refused("NetworkFull", uid="u0")], (), ("Pending", None, NEW, (), None),
    ),
    (
        "a selection of a former Service of that name says nothing",
        {}, selected(uid="u0"), [], [], (), ("Pending", None, None, (), None),
    ),
    ("a released address is not published", {}, selected(), [holds(B4, state="releasing")], [], (), ("Pending", None, NEW, (), None)),
    # Families
    ("ipFamilies order: IPv4 first", DUAL, selected(), [holds(B6), holds(B4)], [], (), ("Ready", NEW, NEW, (B4, B6), None)),
    ("ipFamilies order: IPv6 first", SIX_FIRST, selected(), [holds(B4), holds(B6)], [], (), ("Ready", NEW, NEW, (B6, B4), None)),
    (
        "one of two required families: Moving, and it is published",
        DUAL, selected(), [holds(B4)], [refused("NetworkFull", families=(6,))], (),
        ("Moving", NEW, NEW, (B4,), "NetworkFull"),
    ),
    (
        "PreferDualStack is Ready with one family",
        PREFER, selected(), [holds(B4)], [refused("FamilyUnavailable", families=(6,))], (), ("Ready", NEW, NEW, (B4,), None),
    ),
    ("PreferDualStack is Ready with the other family", PREFER, selected(), [holds(B6)], [], (), ("Ready", NEW, NEW, (B6,), None)),
    (
        "PreferDualStack with nothing is Pending",
        PREFER, selected(), [], [refused("NetworkFull", families=(4, 6))], (), ("Pending", None, NEW, (), "NetworkFull"),
    ),
    ("a family that was given up is hidden", {}, selected(), [holds(B4), holds(B6)], [], (), ("Ready", NEW, NEW, (B4,), None)),
    # Moving
    ("the new network gave nothing yet", {}, selected(), [holds(A4, OLD)], [], (), ("Moving", OLD, NEW, (A4,), None)),
    (
        "the new network refuses: the old address stays, with the reason",
        {}, selected(), [holds(A4, OLD)], [refused("NetworkFull")], (), ("Moving", OLD, NEW, (A4,), "NetworkFull"),
    ),
    (
        "the new choice is none: the old address stays, with the reason",
        {}, selected(None, reason="NoNetworkMatches"), [holds(A4, OLD)], [], (),
        ("Moving", OLD, None, (A4,), "NoNetworkMatches"),
    ),
    (
        "new held, not programmed: the old one stays published",
        {}, selected(), [holds(A4, OLD), holds(B4)], [], ("n1",), ("Moving", OLD, NEW, (A4,), None),
    ),
    (
        "new held and no agent lives: published at once",
        {}, selected(), [holds(A4, OLD), holds(B4)], [], (), ("Ready", NEW, NEW, (B4,), None),
    ),
    (
        "new held for one of two required families: the old ones stay",
        DUAL, selected(), [holds(A4, OLD), holds(A6, OLD), holds(B4)], [], (), ("Moving", OLD, NEW, (A4, A6), None),
    ),
    (
        "the old one is being released already: the new one is published, programmed or not",
        {}, selected(), [holds(A4, OLD, state="releasing"), holds(B4)], [], ("n1",), ("Ready", NEW, NEW, (B4,), None),
    ),
    # Requested addresses, in the same network
    (
        "another address is asked for and refused: the one held stays",
        {"load_balancer_ip": B5}, selected(), [holds(B4)], [refused("RequestedAddressInUse")], (),
        ("Moving", NEW, NEW, (B4,), "RequestedAddressInUse"),
    ),
    (
        "the address asked for is held as well, not programmed: the first one stays",
        {"load_balancer_ip": B5}, selected(), [holds(B4), holds(B5, seq=2)], [], ("n1",), ("Moving", NEW, NEW, (B4,), None),
    ),
    (
        "the address asked for is held as well and nobody must program it",
        {"load_balancer_ip": B5}, selected(), [holds(B4, seq=3), holds(B5, seq=2)], [], (), ("Ready", NEW, NEW, (B5,), None),
    ),
    (
        "a second address of one family supersedes the first",
        {}, selected(), [holds(B4, seq=1), holds(B5, seq=2)], [], (), ("Ready", NEW, NEW, (B5,), None),
    ),
    (
        "an optional family held at another address than asked for is not what it wants",
        PREFER | {"load_balancer_ip": B5}, selected(), [holds(B4), holds(B6)], [], (), ("Moving", NEW, NEW, (B4, B6), None),
    ),
    (
        "a request that does not parse is the selection's to report",
        {"load_balancer_ip": "nonsense"}, selected(None, reason="InvalidAnnotation"), [], [], (),
        ("Pending", None, None, (), "InvalidAnnotation"),
    ),
    # What is published although something is wrong
    (
        "bad source ranges: published, nobody admitted",
        {"source_ranges": ("10.0.0.0/8", "10.0.0.300/8")}, selected(), [holds(B4)], [], (),
        ("Ready", NEW, NEW, (B4,), "InvalidSourceRange"),
    ),
    (
        "an unsupported protocol concerns that port only",
        {"ports": (ServicePort(protocol="DCCP", port=5), ServicePort(port=80))}, selected(), [holds(B4)], [], (),
        ("Ready", NEW, NEW, (B4,), "UnsupportedProtocol"),
    ),
    # Not ours, going
    ("another type is ignored", {"type": "ClusterIP"}, None, [], [], (), ("Ignored", None, None, (), None)),
    (
        "another class is ignored, whatever is still held",
        {"load_balancer_class": "x"}, selected(), [holds(B4)], [], (), ("Ignored", None, None, (), None),
    ),
    ("deleting, still held: still shown", {"deleting": True}, selected(), [holds(B4)], [], (), ("Deleted", NEW, None, (B4,), None)),
    ("deleting, being released", {"deleting": True}, None, [holds(B4, state="releasing")], [], (), ("Deleted", None, None, (), None)),
    ("deleting somebody else's Service", {"deleting": True, "type": "NodePort"}, None, [], [], (), ("Ignored", None, None, (), None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "fields", "selection", "holdings", "refusals", "living", "expected"), TABLE, ids=[r[0] for r in TABLE]
)
def test_state_and_addresses(*, rule, fields, selection, holdings, refusals, living, expected):
    found = say(service(**fields), selection, holdings, refusals, agents(*living))
    assert (found.state, found.network, found.wanted, found.addresses, found.reason) == expected


def test_a_move_is_published_when_every_live_agent_forwards_the_new_address():
    holdings = [holds(A4, OLD), holds(B4)]
    half = agents("n1", "n2", programmed={"n1": [B4]})
    assert say(selection=selected(), holdings=holdings, table=half).awaiting == (B4,)
    both = agents("n1", "n2", programmed={"n1": [B4], "n2": [B4]})
    done = say(selection=selected(), holdings=holdings, table=both)
    assert (done.state, done.addresses, done.awaiting) == ("Ready", (B4,), ())


def test_a_dead_agent_does_not_hold_a_move_back():
    dead = agents("n1", age=SETTINGS.agent_timeout + 1)
    assert say(selection=selected(), holdings=[holds(A4, OLD), holds(B4)], table=dead).addresses == (B4,)


def test_of_several_former_networks_the_one_that_is_shown_stays():
    first, second = (
        holds(A4, OLD, since=NOW - timedelta(hours=2)),
        holds("10.0.0.9", "contrail/mid", since=NOW - timedelta(hours=1)),
    )
    assert say(service(ingress=("10.0.0.9",)), selected(), [first, second]).addresses == ("10.0.0.9",)
    assert say(service(), selected(), [first, second]).addresses == (A4,)


def test_a_holder_that_the_selector_has_not_spoken_of_keeps_and_waits():
    found = say(holdings=[holds(B4)])
    assert (found.state, found.addresses, found.decided) == ("Ready", (B4,), False)


@pytest.mark.parametrize(
    ("selection", "holdings", "refusals", "decided"),
    [
        (None, [], [], False),
        (selected(), [], [], False),
        (selected(), [holds(A4, OLD)], [], False),
        (selected(), [holds(B4)], [], True),
        (selected(), [], [refused("NetworkFull")], True),
        (selected(None, reason="NoDefaultNetwork"), [], [], True),
    ],
)
def test_a_verdict_is_outstanding_until_the_ledger_has_spoken(selection, holdings, refusals, decided):
    assert say(selection=selection, holdings=holdings, refusals=refusals).decided is decided


@pytest.mark.parametrize(
    ("fields", "holdings", "wanting", "stays"),
    [
        ({}, [], False, False),
        ({}, [], True, False),
        ({}, [holds(B4)], False, True),
        ({}, [holds(B4, state="releasing")], False, True),
        ({"deleting": True}, [holds(B4)], False, True),
        ({"deleting": True}, [holds(B4, state="releasing")], False, True),
        ({"deleting": True}, [], True, True),
        ({"deleting": True}, [], False, False),
        ({"type": "ClusterIP"}, [holds(B4, state="releasing")], False, True),
        ({"type": "ClusterIP"}, [], False, False),
        ({"load_balancer_class": "other"}, [], True, True),
    ],
)
def test_the_finalizer_stays_while_anything_is_held_or_wanted(fields, holdings, wanting, stays):
    assert say(service(**fields), None, holdings, wanting=wanting).finalizer is stays


def test_messages_name_what_is_wrong():
    bad = say(service(source_ranges=("10.0.0.0",)), selected(), [holds(B4)])
    assert "'10.0.0.0'" in bad.message
    missing = say(service(**PREFER), selected(), [holds(B4)])
    assert missing.message == "has no IPv6 address: contrail/new gives none"
    assert "ClusterIP" in say(service(type="ClusterIP")).message
    assert "class x" in say(service(load_balancer_class="x")).message


def conditions(publication: Publication) -> dict[str, Condition]:
    return {condition.type.removeprefix("ledgerlb.io/"): condition for condition in publication.conditions}


def test_conditions_explain_a_ready_service():
    found = conditions(say(service(generation=3), selected(), [holds(B4)]))
    assert set(found) == {"NetworkSelected", "AddressAllocated", "Accepted", "Programmed"}
    chosen, allocated = found["NetworkSelected"], found["AddressAllocated"]
    assert (chosen.status, chosen.reason) == ("True", "NetworkSelected")
    assert chosen.message == "contrail/new, chosen by default-selector"
    assert (allocated.status, allocated.reason, allocated.message) == (
        "True",
        "AddressAllocated",
        f"{B4} of contrail/new",
    )
    assert allocated.observed_generation == 3
    assert allocated.since == "2026-11-23T02:00:00Z"


@pytest.mark.parametrize(
    ("selection", "holdings", "refusals", "table", "name", "status", "reason"),
    [
        (selected(None, reason="SelectorNotFound"), [], [], None, "NetworkSelected", "False", "SelectorNotFound"),
        (selected(None, reason="SelectorNotFound"), [], [], None, "AddressAllocated", "False", "SelectorNotFound"),
        (selected(), [], [refused("NetworkFull")], None, "NetworkSelected", "True", "NetworkSelected"),
        (selected(), [], [refused("NetworkFull")], None, "AddressAllocated", "False", "NetworkFull"),
        (selected(), [], [], None, "AddressAllocated", "Unknown", "WaitingForAllocation"),
        (selected(), [holds(A4, OLD), holds(B4)], [], agents("n1"), "AddressAllocated", "True", "AddressMoving"),
        (selected(), [holds(B4, choice="adopted")], [], None, "AddressAllocated", "True", "AddressAdopted"),
        (selected(drift=OLD), [holds(B4)], [], None, "SelectionDrifted", "True", "SelectionDrifted"),
        (
            selected(drift_reason="NetworkNotAllowed"),
            [holds(B4)],
            [],
            None,
            "SelectionDrifted",
            "True",
            "SelectionDrifted",
        ),
    ],
)
def test_condition(*, selection, holdings, refusals, table, name, status, reason):
    found = conditions(say(service(), selection, holdings, refusals, table))[name]
    assert (found.status, found.reason) == (status, reason)


def test_drift_and_ports_errors_that_went_are_said_to_be_gone():
    shown = (
        Condition(type="LoadBalancerPortsError", status="True"),
        Condition(type="ledgerlb.io/SelectionDrifted", status="True"),
    )
    found = conditions(say(service(conditions=shown), selected(), [holds(B4)]))
    assert (found["SelectionDrifted"].status, found["LoadBalancerPortsError"].status) == ("False", "False")


def test_an_unsupported_port_is_a_ports_error():
    ports = (ServicePort(protocol="DCCP", port=5),)
    found = conditions(say(service(ports=ports), selected(), [holds(B4)]))["LoadBalancerPortsError"]
    assert (found.status, found.reason) == ("True", "UnsupportedProtocol")
    assert "DCCP/5" in found.message


def test_a_transition_time_moves_only_with_the_status():
    before = "2026-01-01T00:00:00Z"
    shown = (
        Condition(type="ledgerlb.io/NetworkSelected", status="True", reason="Other", since=before),
        Condition(type="ledgerlb.io/AddressAllocated", status="False", reason="NetworkFull", since=before),
    )
    found = conditions(say(service(conditions=shown), selected(), [holds(B4)]))
    assert found["NetworkSelected"].since == before
    assert found["AddressAllocated"].since == "2026-11-23T02:00:00Z"


def test_the_order_of_holdings_decides_nothing():
    holdings = [holds(A4, OLD), holds(A6, OLD), holds(B4), holds(B6)]
    forward = say(service(**DUAL), selected(), holdings, table=agents("n1"))
    assert say(service(**DUAL), selected(), holdings[::-1], table=agents("n1")) == forward


def test_only_the_address_that_another_network_owns_is_said_to_go_elsewhere() -> None:
    both = [holds(B4, family=4), holds(B6, family=6)]
    table = AgentTable()
    found = publish(
        service(**DUAL), selected(), both, (), table, NOW, SETTINGS, elsewhere={(NEW, B6): OLD, (OLD, B4): NEW}
    )
    (shown,) = [condition for condition in found.conditions if condition.type == "ledgerlb.io/Programmed"]
    assert (found.state, found.addresses, found.reason) == ("Ready", (B4, B6), "AddressInUseElsewhere")
    assert B6 in shown.message
    assert OLD in shown.message
    assert B4 not in shown.message.replace(B6, "")
