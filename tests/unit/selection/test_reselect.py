"""The order to choose afresh as one of a Service's own wishes."""

from __future__ import annotations

import functools

import pytest

from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import basis_of, check_reselect, chose_alike
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.normalise.dispatch import fact_of
from tests.builders import facts

RESELECT = "ledgerlb.io/reselect"
NETWORK = "service.contrail.juniper.net/externalNetwork"


service = functools.partial(facts.service, "a/s", ports=())


@pytest.mark.parametrize(
    ("of", "fingerprint"),
    [
        (service(), "8e01a5a36f5e4796"),
        (service({NETWORK: "net/two", "ledgerlb.io/sharing-key": "k"}), "e6ccfa77d0840395"),
        (
            service(ip_families=(6, 4), ip_family_policy="RequireDualStack", load_balancer_ip="192.0.2.7"),
            "adfd25067f4925d7",
        ),
    ],
)
def test_without_an_order_fingerprints_are_what_they_ever_were(of: ServiceFact, fingerprint: str) -> None:
    """Holdings in existing ledgers carry them: another one would make every holder choose afresh."""
    assert chose_alike(fingerprint, of)
    assert basis_of(of) == fingerprint or "ledgerlb.io/sharing-key" in of.annotations


def test_each_order_is_another_wish() -> None:
    orders = [None, "2026-11-17T14:00:00Z", "2026-11-17T14:00:01Z"]
    assert len({basis_of(service({RESELECT: order} if order else {})) for order in orders}) == len(orders)


@pytest.mark.parametrize("text", ["2026-11-17T14:00:00Z", "2026-11-17T14:00:00.25Z", "2026-11-17T16:00:00+02:00"])
def test_an_order_is_a_time(text: str) -> None:
    check_reselect(service({RESELECT: text}))
    check_reselect(service())


@pytest.mark.parametrize("text", ["", "now", "2026-11-17", "2026-11-17T14:00:00", "1763388000"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_reselect(service({RESELECT: text}))
    assert "Service a/s" in str(caught.value)
    assert RESELECT in str(caught.value)
    assert repr(text) in str(caught.value)


def test_the_watcher_keeps_the_annotation() -> None:
    annotations = {RESELECT: "2026-11-17T14:00:00Z", "example.com/note": "hello"}
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "a", "name": "s", "annotations": annotations},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }
    fact = fact_of(obj)
    assert isinstance(fact, ServiceFact)
    assert fact.annotations == {RESELECT: "2026-11-17T14:00:00Z"}
