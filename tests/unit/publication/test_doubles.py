"""No address in two statuses: what counts, and what does not."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.publication.doubles import shown_twice
from tests.support.ledger import Office, intent_of, offer

ADDRESS = "192.168.102.2"


def shows(name: str, *addresses: str, kind: str = "LoadBalancer") -> ServiceFact:
    return ServiceFact(namespace="default", name=name, type=kind, ingress=addresses)


@pytest.fixture
def office() -> Office:
    office = Office(offer("192.168.102.0/24"))
    sharing = {"sharing_key": "k", "basis": "basis-1"}
    office.settle(intent_of("a", **sharing), intent_of("b", ports=(("TCP", 443),), **sharing))
    return office


def test_an_address_of_one_who_holds_it_and_one_who_does_not(office):
    found = shown_twice([shows("a", ADDRESS), shows("c", ADDRESS)], office.fold)
    assert [(one.address, one.shown, one.held) for one in found] == [
        (ADDRESS, ("default/a", "default/c"), ("default/a",))
    ]
    assert "default/a and default/c" in found[0].text()


def test_an_address_that_nobody_holds_however_it_is_spelled():
    office = Office(offer("2001:db8::/64"))
    office.settle(intent_of("a", families=(6,)))
    found = shown_twice([shows("c", "2001:db8::9"), shows("d", "2001:DB8:0::9")], office.fold)
    assert [one.address for one in found] == ["2001:db8::9"]
    assert "none of them holds it" in found[0].text()


@pytest.mark.parametrize(
    "services",
    [
        [shows("a", ADDRESS), shows("b", ADDRESS)],
        [shows("a", ADDRESS), shows("c", "192.168.102.3")],
        [shows("c", "203.0.113.1"), shows("d", "203.0.113.1")],
        [shows("c", "lb.example"), shows("d", "lb.example")],
        [shows("a", ADDRESS), shows("c", ADDRESS, kind="ClusterIP")],
        [shows("a", ADDRESS, ADDRESS)],
    ],
    ids=["shared", "other-addresses", "of-no-network", "host-names", "no-load-balancer", "one-service"],
)
def test_what_is_no_double(office, services):
    assert shown_twice(services, office.fold) == []
