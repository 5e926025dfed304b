"""Adoption: addresses that a Service's status showed before the ledger held one for it."""

from __future__ import annotations

from tests.behaviour.play import (
    Case,
    absent,
    case,
    event,
    happened,
    ingress,
    moving,
    network,
    pending,
    play,
    ready,
    says,
    shows,
    table,
    told,
)
from tests.behaviour.world import ext, world
from tests.builders.objects import (
    ADDRESSES,
    ALLOWED,
    EXCLUDE,
    NETWORK,
    SELECTOR,
    SHARING,
    Object,
    aged,
    asks,
    dual,
    kubemanager,
    matching,
    nad,
    service,
)
from tests.support.simulate import apply, delete


def shown(one: Object, *addresses: str) -> Object:
    """The Service with a status from before."""
    return {**one, "status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}}


CASES = [
    case("an-address-that-is-shown-is-adopted", world(shown(service("a/s"), "192.0.2.77")), ready("a/s", "192.0.2.77"), happened("AddressAdopted"), told("AddressAdopted", about="Service a/s")),
    case("adoption-goes-before-newcomers", world(aged(service("a/n"), "01"), aged(shown(service("a/s"), "192.0.2.2"), "09")), ready("a/s", "192.0.2.2"), ready("a/n", "192.0.2.3")),
    case("adoption-goes-before-requests-of-newcomers", world(aged(asks("a/n", "192.0.2.5"), "01"), aged(shown(service("a/s"), "192.0.2.5"), "09")), ready("a/s", "192.0.2.5"), pending("a/n", "RequestedAddressInUse")),
    case(
        "of-two-that-show-one-address-the-older-adopts-it",
        world(aged(shown(service("a/y"), "192.0.2.5"), "02"), aged(shown(service("a/z"), "192.0.2.5"), "01")),
        ready("a/z", "192.0.2.5"),
        ready("a/y", "192.0.2.2"),
        event("AdoptionRefused", address="192.0.2.5", service="a/y"),
    ),
    case("both-families-are-adopted", world(shown(dual("a/s", "RequireDualStack"), "192.0.2.5", "2001:db8::5"), default=ext(v6="2001:db8::/64")), ready("a/s", "192.0.2.5", "2001:db8::5")),
    case("a-shown-address-is-adopted-however-it-is-spelled", world(shown(service("a/s", ipFamilies=["IPv6"]), "2001:DB8:0::5"), default=ext(v6="2001:db8::/64")), ready("a/s", "2001:db8::5")),
    case("a-shown-ipv4-mapped-address-is-in-no-network", world(shown(service("a/s", ipFamilies=["IPv6"]), "::ffff:192.0.2.5"), default=ext(v6="2001:db8::/64")), ready("a/s", "2001:db8::2")),
    case("what-is-shown-and-is-no-address-is-passed-over", world(shown(service("a/s"), "fe80::1%eth0", "192.0.2", "garbage")), ready("a/s", "192.0.2.2"), happened("AddressAllocated")),
    case("one-family-is-adopted-the-other-is-new", world(shown(dual("a/s", "RequireDualStack"), "192.0.2.5"), default=ext(v6="2001:db8::/64")), ready("a/s", "192.0.2.5", "2001:db8::2")),
    case("a-shown-address-that-is-also-requested-is-adopted", world(shown(asks("a/s", "192.0.2.5"), "192.0.2.5")), ready("a/s", "192.0.2.5")),
    *(
        case(
            f"a-shown-address-that-is-{name}-is-not-adopted",
            world(shown(one, address), default=ext(exclude="192.0.2.50")),
            ready("a/s", instead),
            event("AdoptionRefused", address=address, service="a/s"),
            told("AdoptionRefused", about="Service a/s"),
        )
        for name, one, address, instead in (
            ("reserved", service("a/s"), "192.0.2.1", "192.0.2.2"),
            ("excluded", service("a/s"), "192.0.2.50", "192.0.2.2"),
            ("outside", service("a/s"), "203.0.113.5", "192.0.2.2"),
            ("not-the-requested-one", asks("a/s", "192.0.2.9"), "192.0.2.5", "192.0.2.9"),
        )
    ),
    case(
        "a-shown-address-beyond-the-quota-is-not-adopted-for-that-reason",
        world(shown(service("a/s"), "192.0.2.50"), shown(service("a/t"), "192.0.2.51"), default=ext(quota="1")),
        ready("a/s", "192.0.2.50"),
        pending("a/t", "QuotaExceeded"),
        event("AdoptionRefused", address="192.0.2.51", service="a/t", reason="QuotaExceeded"),
    ),
    case(
        "a-shown-address-that-a-refused-shrink-would-cut-off-is-not-adopted",
        world(asks("a/h", "192.0.2.200")),
        apply(ext("192.0.2.0/25")),
        apply(shown(service("a/s"), "192.0.2.201")),
        event("AdoptionRefused", address="192.0.2.201", reason="RequestedAddressOutsideNetwork"),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "a-shown-address-is-adopted-when-its-network-comes-late",
        world(shown(service("a/s", {NETWORK: "net/l"}), "10.0.0.9")),
        pending("a/s", "NetworkNotFound"),
        apply(nad("net/l", "10.0.0.0/24")),
        ready("a/s", "10.0.0.9"),
        event("AddressAdopted", address="10.0.0.9"),
    ),
    case(
        "an-ipv6-address-is-adopted-in-any-form",
        world(shown(service("a/s", ipFamilies=["IPv6"]), "2001:0DB8::0099"), default=ext(v6="2001:db8::/64")),
        ready("a/s", "2001:db8::99"),
        ingress("a/s", "2001:db8::99"),
    ),
    case(
        "a-status-that-another-client-writes-later-is-not-adopted-but-put-right",
        world(service("a/s")),
        apply(shown(service("a/s"), "192.0.2.99")),
        happened(),
        ready("a/s", "192.0.2.2"),
        ingress("a/s", "192.0.2.2"),
    ),
    case("a-host-name-in-the-status-is-nothing-to-adopt", world({**service("a/s"), "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}}), ready("a/s", "192.0.2.2")),
    *(
        case(
            f"a-status-with-{name}-is-read",
            world({**service("a/s"), "status": status}),
            ready("a/s", expected),
            apply(service("a/s", port=81)),
            ready("a/s", expected),
            ingress("a/s", expected),
        )
        for name, status, expected in (
            ("conditions-null", {"conditions": None}, "192.0.2.2"),
            ("everything-null", {"loadBalancer": None, "conditions": None}, "192.0.2.2"),
            ("a-null-ingress", {"loadBalancer": {"ingress": None}, "conditions": None}, "192.0.2.2"),
            ("a-condition-of-another-controller", {"conditions": [{"type": "example.com/X", "status": "True"}]}, "192.0.2.2"),
            ("a-host-name-and-an-address", {"loadBalancer": {"ingress": [{"hostname": "lb.example"}, {"ip": "192.0.2.9"}]}}, "192.0.2.9"),
            ("a-proxy-mode-and-ports", {"loadBalancer": {"ingress": [{"ip": "192.0.2.9", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]}]}}, "192.0.2.9"),
        )
    ),
    case(
        "a-second-address-of-a-family-goes-with-an-event",
        world(shown(service("a/s"), "192.0.2.20", "192.0.2.21")),
        ready("a/s", "192.0.2.20"),
        event("AdoptionRefused", address="192.0.2.21", reason="SurplusAddress"),
        told("AdoptionRefused", about="Service a/s"),
        ingress("a/s", "192.0.2.20"),
    ),
    case(
        "an-address-of-a-family-that-the-service-has-not-goes-with-an-event",
        world(shown(service("a/s"), "192.0.2.20", "2001:db8::20"), default=ext(v6="2001:db8::/64")),
        ready("a/s", "192.0.2.20"),
        event("AdoptionRefused", address="2001:db8::20", reason="FamilyUnavailable"),
        ingress("a/s", "192.0.2.20"),
    ),
    case(
        "an-address-of-a-preferred-family-that-the-network-lacks-goes-with-one-event",
        world(shown(dual("a/s", "PreferDualStack"), "192.0.2.20", "2001:db8::20")),
        ready("a/s", "192.0.2.20"),
        happened("AdoptionRefused", "AddressAdopted"),
        ingress("a/s", "192.0.2.20"),
    ),
    case(
        "who-shows-another-address-than-it-requests-hears-that-reason",
        world(shown(asks("a/s", "192.0.2.9"), "192.0.2.5")),
        event("AdoptionRefused", address="192.0.2.5", reason="AddressRequested"),
    ),
    case(
        "a-required-family-that-is-full-does-not-hinder-adoption-in-the-other",
        world(shown(dual("a/s", "RequireDualStack"), "192.0.2.5"), default=ext(v6="2001:db8::/127", exclude="2001:db8::,2001:db8::1")),
        moving("a/s", "192.0.2.5", reason="NetworkFull"),
        shows("a/s", "192.0.2.5"),
        apply(ext(v6="2001:db8::/64")),
        ready("a/s", "192.0.2.5", "2001:db8::2"),
    ),
    case(
        "a-request-in-one-family-that-waits-does-not-hinder-adoption-in-the-other",
        world(asks("a/h", "2001:db8::9", ipFamilies=["IPv6"]), default=ext(v6="2001:db8::/64")),
        apply(shown(asks("a/s", "2001:db8::9", ipFamilyPolicy="RequireDualStack"), "192.0.2.5")),
        moving("a/s", "192.0.2.5", reason="RequestedAddressInUse"),
        shows("a/s", "192.0.2.5"),
    ),
    case(
        "two-that-show-one-address-and-may-share-it-both-adopt-it",
        world(shown(service("a/s", {SHARING: "k"}), "192.0.2.5"), shown(service("a/t", {SHARING: "k"}, 443), "192.0.2.5")),
        ready("a/s", "192.0.2.5"),
        ready("a/t", "192.0.2.5"),
        happened("AddressAdopted", "AddressAdopted"),
    ),
    case(
        "two-that-show-one-address-under-one-key-with-a-clash-do-not-both-adopt-it",
        world(shown(service("a/s", {SHARING: "k"}), "192.0.2.5"), shown(service("a/t", {SHARING: "k"}), "192.0.2.5")),
        ready("a/s", "192.0.2.5"),
        ready("a/t", "192.0.2.2"),
        event("AdoptionRefused", address="192.0.2.5", service="a/t", reason="SharingConflict"),
    ),
    case(
        "a-shown-address-of-a-class-that-is-not-served-is-left-alone-and-reserved",
        world(shown(service("a/s", loadBalancerClass="example.com/x"), "192.0.2.9"), asks("a/t", "192.0.2.9")),
        pending("a/t", "RequestedAddressInUse"),
        says("a/t", "a/s"),
        shows("a/s", "192.0.2.9"),
        delete("Service", "a/s"),
        ready("a/t", "192.0.2.9"),
    ),
    case(
        "a-shown-address-of-a-class-that-is-not-served-goes-to-no-newcomer",
        world(shown(service("a/s", loadBalancerClass="example.com/x"), "192.0.2.2"), service("a/t")),
        ready("a/t", "192.0.2.3"),
        apply(shown(service("a/s", loadBalancerClass="example.com/x"), "192.0.2.99")),
        apply(service("a/u")),
        ready("a/u", "192.0.2.2"),
    ),
    case(
        "what-another-class-shows-is-not-adopted",
        world(shown(service("a/s", loadBalancerClass="example.com/x"), "192.0.2.9"), shown(service("a/t"), "192.0.2.9")),
        ready("a/t", "192.0.2.2"),
        event("AdoptionRefused", address="192.0.2.9", service="a/t", reason="RequestedAddressInUse"),
        shows("a/s", "192.0.2.9"),
    ),
    case(
        "what-a-service-shows-that-somebody-else-is-deleting-is-reserved",
        world({**shown(service("a/s", loadBalancerClass="example.com/x"), "192.0.2.2"), "metadata": {"name": "s", "namespace": "a", "finalizers": ["example.com/f"]}}),
        delete("Service", "a/s"),
        apply(service("a/t")),
        ready("a/t", "192.0.2.3"),
    ),
    # Services for which no network is chosen
    *(
        case(
            f"who-{name}-keeps-its-address-as-moving",
            world(nad("net/x", "10.0.0.0/24"), aged(service("a/n", {NETWORK: "net/x"}), "01"), aged(shown(one, "10.0.0.2"), "09"), **more),
            moving("a/s", "10.0.0.2", network="net/x", reason=reason),
            ready("a/n", "10.0.0.3"),
            event("AddressAdopted", address="10.0.0.2", service="a/s"),
            shows("a/s", "10.0.0.2"),
        )
        for name, one, reason, more in (
            ("requires-a-family-that-the-network-lacks", dual("a/s", "RequireDualStack", {NETWORK: "net/x"}), "FamilyUnavailable", {}),
            ("names-a-network-that-does-not-exist", service("a/s", {NETWORK: "net/typo"}), "NetworkNotFound", {}),
            ("names-no-network-at-all", service("a/s", {NETWORK: "a/b/c"}), "InvalidAnnotation", {}),
            ("names-a-selector-that-does-not-exist", service("a/s", {SELECTOR: "typo"}), "SelectorNotFound", {}),
            ("requests-nonsense", asks("a/s", "nonsense"), "InvalidAnnotation", {}),
            ("has-no-default", service("a/s"), "NoDefaultNetwork", {"kubemanagers": [kubemanager({})]}),
            ("matches-nothing", service("a/s", {SELECTOR: "none"}), "NoNetworkMatches", {"kubemanagers": [kubemanager({"none": matching({"no": "such"}, {})})]}),
        )
    ),
    case(
        "who-kept-its-address-moves-once-its-annotation-is-corrected",
        world(nad("net/x", "10.0.0.0/24"), shown(service("a/s", {NETWORK: "net/typo"}), "10.0.0.2")),
        moving("a/s", "10.0.0.2"),
        apply(service("a/s", {NETWORK: "net/ext"})),
        ready("a/s", "192.0.2.2"),
        network("net/x", allocated=0),
    ),
    case(
        "who-kept-its-address-stays-once-its-annotation-names-that-network",
        world(nad("net/x", "10.0.0.0/24"), shown(service("a/s", {NETWORK: "net/typo"}), "10.0.0.2")),
        apply(service("a/s", {NETWORK: "net/x"})),
        ready("a/s", "10.0.0.2"),
        happened("HoldingChanged"),
    ),
    case(
        "who-kept-its-address-gives-it-back-when-it-goes",
        world(nad("net/x", "10.0.0.0/24"), shown(service("a/s", {NETWORK: "net/typo"}), "10.0.0.2")),
        delete("Service", "a/s"),
        absent("a/s"),
        network("net/x", allocated=0, quarantined=1),
    ),
    case(
        "who-lacks-a-family-gets-it-with-the-network",
        world(nad("net/x", "10.0.0.0/24"), shown(dual("a/s", "RequireDualStack", {NETWORK: "net/x"}), "10.0.0.9")),
        moving("a/s", "10.0.0.9", reason="FamilyUnavailable"),
        apply(nad("net/x", "10.0.0.0/24", "2001:db8::/64")),
        ready("a/s", "10.0.0.9", "2001:db8::2"),
    ),
    case(
        "whom-the-network-does-not-allow-loses-what-it-shows",
        world(nad("net/x", "10.0.0.0/24", annotations={ALLOWED: "team=a"}), shown(service("a/s", {NETWORK: "net/x"}), "10.0.0.2")),
        pending("a/s", "NetworkNotAllowed"),
        event("AdoptionRefused", address="10.0.0.2", service="a/s", reason="NetworkNotAllowed"),
        told("AdoptionRefused", about="Service a/s"),
        shows("a/s"),
    ),
    *(
        case(
            f"who-has-no-network-and-shows-an-address-that-is-{name}-loses-it",
            world(nad("net/x", "10.0.0.0/24", annotations={EXCLUDE: "10.0.0.50"}), shown(service("a/s", {NETWORK: "net/typo"}), address)),
            pending("a/s", "NetworkNotFound"),
            event("AdoptionRefused", address=address, service="a/s", reason=reason),
            happened("AdoptionRefused"),
            shows("a/s"),
        )
        for name, address, reason in (
            ("excluded", "10.0.0.50", "RequestedAddressReserved"),
            ("reserved", "10.0.0.1", "RequestedAddressReserved"),
        )
    ),
    case(
        "of-two-networks-that-have-the-address-one-that-allows-the-service-keeps-it",
        world(
            aged(nad("net/x", "10.0.0.0/24", routeTargetList=["64512:1"], annotations={ALLOWED: "team=a"}), "01"),
            aged(nad("net/y", "10.0.0.0/24", routeTargetList=["64512:2"]), "02"),
            shown(service("a/s", {NETWORK: "net/typo"}), "10.0.0.7"),
        ),
        moving("a/s", "10.0.0.7", network="net/y"),
    ),
    case(
        "who-has-no-network-and-shows-an-address-that-is-held-loses-it",
        world(nad("net/x", "10.0.0.0/24"), service("a/h", {NETWORK: "net/x", ADDRESSES: "10.0.0.7"})),
        apply(shown(service("a/s", {NETWORK: "net/typo"}), "10.0.0.7")),
        pending("a/s", "NetworkNotFound"),
        event("AdoptionRefused", address="10.0.0.7", service="a/s", reason="RequestedAddressInUse"),
        shows("a/s"),
        ready("a/h", "10.0.0.7"),
    ),
    case(
        "who-has-no-network-and-shows-two-addresses-keeps-one",
        world(nad("net/x", "10.0.0.0/24"), shown(service("a/s", {NETWORK: "net/typo"}), "10.0.0.7", "10.0.0.8", "2001:db8::1")),
        moving("a/s", "10.0.0.7"),
        event("AdoptionRefused", address="10.0.0.8", reason="SurplusAddress"),
        event("AdoptionRefused", address="2001:db8::1", reason="FamilyUnavailable"),
        shows("a/s", "10.0.0.7"),
    ),
    case(
        "two-without-a-network-that-show-one-address-do-not-both-keep-it",
        world(nad("net/x", "10.0.0.0/24"), *(aged(shown(service(f"a/{name}", {NETWORK: "net/typo"}), "10.0.0.7"), age) for name, age in (("s", "05"), ("t", "03")))),
        moving("a/t", "10.0.0.7"),
        pending("a/s", "NetworkNotFound"),
        event("AdoptionRefused", address="10.0.0.7", service="a/s", reason="RequestedAddressInUse"),
        shows("a/s"),
    ),
    case(
        "what-no-network-has-stays-until-one-has-it",
        world(shown(service("a/s", {NETWORK: "net/x"}), "10.0.0.7")),
        pending("a/s", "NetworkNotFound"),
        shows("a/s", "10.0.0.7"),
        apply(nad("net/y", "10.0.0.0/24")),
        moving("a/s", "10.0.0.7", network="net/y"),
    ),
    case(
        "an-address-of-another-network-than-the-chosen-one-goes-to-no-newcomer-before-it-is-taken-off",
        world(nad("net/x", "10.0.0.0/24"), shown(service("a/s"), "10.0.0.2"), service("a/n", {NETWORK: "net/x"})),
        ready("a/s", "192.0.2.2"),
        event("AdoptionRefused", address="10.0.0.2", service="a/s"),
        ready("a/n", "10.0.0.3"),
        apply(service("a/m", {NETWORK: "net/x"})),
        ready("a/m", "10.0.0.2"),
    ),
    case(
        "an-address-that-was-refused-is-free-once-the-status-no-longer-shows-it",
        world(shown(asks("a/s", "192.0.2.9"), "192.0.2.2"), service("a/n")),
        ready("a/n", "192.0.2.3"),
        apply(service("a/m")),
        ready("a/m", "192.0.2.2"),
    ),
    case(
        "an-adopted-address-that-was-given-up-is-claimed-no-more",
        world(shown(service("a/s"), "192.0.2.2"), default=ext(quarantine="0s", lease="0s")),
        apply(asks("a/s", "192.0.2.9")),
        ready("a/s", "192.0.2.9"),
        apply(*(service(f"a/n{number:03}") for number in range(252))),
        network("net/ext", allocated=253),
    ),
]  # fmt: skip


@table(CASES)
def test_adoption(case: Case) -> None:
    play(case)
