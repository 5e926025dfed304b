"""Changes while Services hold addresses: which Services move, how, and which stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.behaviour.play import (
    Case,
    Moment,
    absent,
    case,
    condition,
    happened,
    ingress,
    moving,
    network,
    no_network,
    pending,
    play,
    ready,
    table,
    told,
)
from tests.behaviour.world import world
from tests.builders.objects import (
    ADDRESSES,
    ALLOWED,
    DEFAULT_LABELS,
    EXCLUDE,
    NETWORK,
    QUOTA,
    SELECTOR,
    SHARING,
    Object,
    aged,
    by_vn,
    dual,
    kubemanager,
    matching,
    nad,
    namespace,
    service,
)
from tests.support.simulate import apply, delete

TWO = nad("net/two", "198.51.100.0/24")
TO_TWO = {NETWORK: "net/two"}
GOLD = {"tier": "gold"}
SILENT = {"agents": "silent"}
NORMAL = {"agents": "normal"}
MOVED = ("AddressAllocated", "AddressReleasing", "AddressReleased")
DRIFTED = "ledgerlb.io/SelectionDrifted"


def drifts(name: str = "a/s", status: str = "True") -> Callable[[Moment], None]:
    return condition(name, DRIFTED, status=status)


def published_in_order(*addresses: str) -> Callable[[Moment], None]:
    """In this step the Service's status showed these addresses, one after the other, and never none."""

    def look(moment: Moment) -> None:
        shown: list[str] = []
        for write in moment.step["writes"]:
            if write["kind"] == "Service" and write.get("subresource") == "status":
                (entry,) = write["status"]["loadBalancer"]["ingress"]
                shown += [entry["ip"]] if entry["ip"] not in shown[-1:] else []
        assert shown == list(addresses)

    return look


OWN_CHANGES = [
    case(
        "an-own-network-annotation-moves-the-service-new-address-first",
        world(TWO, service("a/s")),
        apply(service("a/s", TO_TWO)),
        happened(*MOVED),
        published_in_order("192.0.2.2", "198.51.100.2"),
        ready("a/s", "198.51.100.2", network="net/two", wanted="net/two", rung="service-annotation:externalNetwork"),
        network("net/ext", allocated=0, quarantined=1),
    ),
    case(
        "an-annotation-taken-away-moves-the-service-back-to-the-default",
        world(TWO, service("a/s", TO_TWO)),
        apply(service("a/s")),
        happened(*MOVED),
        ready("a/s", "192.0.2.2", network="net/ext", rung="default-selector"),
    ),
    case(
        "an-own-selector-annotation-moves-the-service",
        world(nad("a/g", "10.0.0.0/24", labels=GOLD), service("a/s"), kubemanagers=[kubemanager({"gold": matching(GOLD), "default-external": matching(DEFAULT_LABELS)})]),
        apply(service("a/s", {SELECTOR: "gold"})),
        ready("a/s", "10.0.0.2", network="a/g"),
    ),
    case(
        "an-annotation-that-names-the-network-it-has-moves-nothing",
        world(service("a/s")),
        apply(service("a/s", {NETWORK: "net/ext"})),
        happened("HoldingChanged"),
        ready("a/s", "192.0.2.2", rung="service-annotation:externalNetwork"),
    ),
    case(
        "a-foreign-annotation-changes-nothing",
        world(service("a/s")),
        apply(service("a/s", {"example.com/note": "hello"})),
        happened(),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "while-the-new-network-does-not-exist-the-old-address-stays",
        world(service("a/s")),
        apply(service("a/s", {NETWORK: "net/late"})),
        happened(),
        moving("a/s", "192.0.2.2", network="net/ext", reason="NetworkNotFound"),
        told("NetworkNotFound", about="Service a/s"),
        ingress("a/s", "192.0.2.2"),
        apply(nad("net/late", "10.0.0.0/24")),
        ready("a/s", "10.0.0.2", network="net/late"),
        network("net/ext", allocated=0),
    ),
    case(
        "while-the-new-network-is-full-the-old-address-stays",
        world(nad("net/two", "198.51.100.0/30"), service("a/t", TO_TWO), service("a/s")),
        apply(service("a/s", TO_TWO)),
        moving("a/s", "192.0.2.2", network="net/ext", wanted="net/two", reason="NetworkFull"),
        told("NetworkFull", about="Service a/s"),
        delete("Service", "a/t"),
        ready("a/s", "198.51.100.2", network="net/two"),
    ),
    case(
        "while-the-new-network-does-not-allow-the-namespace-the-old-address-stays",
        world(nad("net/two", "198.51.100.0/24", annotations={ALLOWED: "team=z"}), service("a/s")),
        apply(service("a/s", TO_TWO)),
        moving("a/s", "192.0.2.2", reason="NetworkNotAllowed"),
    ),
    case(
        "an-annotation-that-does-not-parse-keeps-the-old-address",
        world(service("a/s")),
        apply(service("a/s", {NETWORK: "a/b/c"})),
        happened(),
        moving("a/s", "192.0.2.2", reason="InvalidAnnotation"),
        apply(service("a/s")),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "requested-addresses-that-do-not-parse-keep-the-old-address",
        world(service("a/s")),
        apply(service("a/s", {ADDRESSES: "nonsense"})),
        happened(),
        moving("a/s", "192.0.2.2", reason="InvalidAnnotation"),
    ),
    case(
        "a-move-taken-back-before-it-could-begin-leaves-the-address",
        world(service("a/s")),
        apply(service("a/s", {NETWORK: "net/none"})),
        apply(service("a/s")),
        happened(),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "a-move-waits-until-every-agent-forwards-the-new-address",
        world(TWO, service("a/s")),
        SILENT,
        apply(service("a/s", TO_TWO)),
        happened("AddressAllocated"),
        moving("a/s", "192.0.2.2", network="net/ext", wanted="net/two"),
        ingress("a/s", "192.0.2.2"),
        network("net/two", allocated=1),
        NORMAL,
        happened("AddressReleasing", "AddressReleased"),
        ready("a/s", "198.51.100.2"),
    ),
    case(
        "a-move-taken-back-midway-gives-the-new-address-back",
        world(TWO, service("a/s")),
        SILENT,
        apply(service("a/s", TO_TWO)),
        apply(service("a/s")),
        ready("a/s", "192.0.2.2", network="net/ext"),
        NORMAL,
        ready("a/s", "192.0.2.2", network="net/ext"),
        network("net/two", allocated=0),
    ),
    case(
        "a-move-redirected-midway-ends-where-it-is-wanted-last",
        world(TWO, nad("net/three", "10.0.0.0/24"), service("a/s")),
        SILENT,
        apply(service("a/s", TO_TWO)),
        apply(service("a/s", {NETWORK: "net/three"})),
        moving("a/s", "192.0.2.2", wanted="net/three"),
        NORMAL,
        ready("a/s", "10.0.0.2", network="net/three"),
        network("net/ext", allocated=0),
        network("net/two", allocated=0),
    ),
    case(
        "a-service-deleted-midway-gives-both-addresses-back",
        world(TWO, service("a/s")),
        SILENT,
        apply(service("a/s", TO_TWO)),
        delete("Service", "a/s"),
        NORMAL,
        network("net/ext", allocated=0),
        network("net/two", allocated=0),
        absent("a/s"),
    ),
    case(
        "a-move-goes-on-when-silent-agents-are-declared-dead",
        world(TWO, service("a/s")),
        SILENT,
        apply(service("a/s", TO_TWO)),
        {"advance": "4m"},
        moving("a/s", "192.0.2.2"),
        {"advance": "2m"},
        ready("a/s", "198.51.100.2"),
    ),
    case(
        "another-requested-address-is-a-move-within-the-network",
        world(service("a/s")),
        apply(service("a/s", {ADDRESSES: "192.0.2.9"})),
        happened(*MOVED),
        published_in_order("192.0.2.2", "192.0.2.9"),
        ready("a/s", "192.0.2.9"),
        network("net/ext", allocated=1),
    ),
    case(
        "another-requested-address-that-is-taken-keeps-the-old-one",
        world(service("a/t", {ADDRESSES: "192.0.2.9"}), service("a/s")),
        apply(service("a/s", {ADDRESSES: "192.0.2.9"})),
        happened("AllocationRefused"),
        moving("a/s", "192.0.2.2", reason="RequestedAddressInUse"),
    ),
    case(
        "a-request-for-the-address-it-has-changes-nothing",
        world(service("a/s")),
        apply(service("a/s", {ADDRESSES: "192.0.2.2"})),
        ready("a/s", "192.0.2.2"),
        apply(service("a/s")),
        ready("a/s", "192.0.2.2"),
        network("net/ext", allocated=1, quarantined=0),
    ),
    case(
        "network-and-requested-address-changed-at-once",
        world(TWO, service("a/s")),
        apply(service("a/s", {**TO_TWO, ADDRESSES: "198.51.100.77"})),
        ready("a/s", "198.51.100.77", network="net/two"),
    ),
    case(
        "changed-ports-change-no-address",
        world(service("a/s")),
        apply(service("a/s", port=443)),
        ready("a/s", "192.0.2.2"),
        network("net/ext", allocated=1, quarantined=0),
    ),
]  # fmt: skip


def drifting(name: str, change: Object, *, newcomer: Object, before: tuple[Object, ...] = ()) -> Case:
    """A holder of net/ext stays and shows that it drifted; a newcomer gets what holds now."""
    return case(
        f"only-newcomers-feel-{name}",
        world(TWO, *before, service("a/s")),
        ready("a/s", "192.0.2.2"),
        change,
        happened(),
        drifts(),
        ready("a/s", "192.0.2.2", network="net/ext"),
        apply(service("a/n")),
        newcomer,
        {"restart": "all"},
        ready("a/s", "192.0.2.2"),
        world(TWO, *before),
        drifts(status="False"),
    )


NEW_IN_TWO = ready("a/n", "198.51.100.2", network="net/two")
STAYING = [
    drifting("a-changed-namespace-annotation", apply(namespace("a", annotations=TO_TWO)), newcomer=NEW_IN_TWO),
    drifting("a-changed-contrail-namespace-annotation", apply(namespace("contrail", annotations=TO_TWO)), newcomer=NEW_IN_TWO),
    drifting("an-edited-kubemanager", apply(kubemanager({"default-external": matching(GOLD, {})}), {**TWO, "metadata": {**TWO["metadata"], "labels": GOLD}}), newcomer=NEW_IN_TWO),
    case(
        "only-newcomers-feel-a-better-match",
        world(service("a/s")),
        apply(aged(nad("contrail/best", "10.0.0.0/24", labels=DEFAULT_LABELS), "01")),
        happened(),
        drifts(),
        ready("a/s", "192.0.2.2"),
        apply(service("a/n")),
        ready("a/n", "10.0.0.2"),
        delete("NetworkAttachmentDefinition", "contrail/best"),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "only-newcomers-feel-a-kubemanager-that-goes",
        world(service("a/s")),
        delete("Kubemanager", "contrail/contrail-k8s-kubemanager"),
        apply(service("a/n")),
        ready("a/s", "192.0.2.2"),
        pending("a/n", "NoDefaultNetwork"),
        settings={"externalNetworkSelectors": {}},
    ),
    case(
        "only-newcomers-feel-a-relabelled-network",
        world(service("a/s")),
        apply(nad("net/ext")),
        apply(service("a/n")),
        ready("a/s", "192.0.2.2"),
        pending("a/n", "NoNetworkMatches"),
    ),
    case(
        "only-newcomers-feel-a-narrowed-allow-list",
        world(service("a/s")),
        apply(nad("net/ext", labels=DEFAULT_LABELS, annotations={ALLOWED: "team=z"}), service("a/n")),
        ready("a/s", "192.0.2.2"),
        pending("a/n", "NetworkNotAllowed"),
    ),
    case(
        "only-newcomers-feel-a-lowered-quota",
        world(service("a/s"), service("a/t")),
        apply(nad("net/ext", labels=DEFAULT_LABELS, annotations={QUOTA: "1"}), service("a/u")),
        ready("a/s", "192.0.2.2"),
        ready("a/t", "192.0.2.3"),
        pending("a/u", "QuotaExceeded"),
    ),
    case(
        "only-newcomers-feel-an-exclusion",
        world(service("a/s")),
        apply(nad("net/ext", labels=DEFAULT_LABELS, annotations={EXCLUDE: "192.0.2.2-192.0.2.3"}), service("a/u")),
        ready("a/s", "192.0.2.2"),
        ready("a/u", "192.0.2.4"),
    ),
    case(
        "only-newcomers-feel-lost-namespace-labels",
        world(namespace("b", {"env": "prod"}), nad("b/g", "10.0.0.0/24", labels=GOLD), service("a/s", {SELECTOR: "gold"}), kubemanagers=[kubemanager({"gold": matching(GOLD, {"matchLabels": {"env": "prod"}})})]),
        ready("a/s", "10.0.0.2"),
        apply(namespace("b"), service("a/n", {SELECTOR: "gold"})),
        ready("a/s", "10.0.0.2"),
        pending("a/n", "NoNetworkMatches"),
    ),
    case(
        "a-holder-whose-service-annotation-names-it-does-not-drift-with-its-namespace",
        world(TWO, service("a/s", {NETWORK: "net/ext"})),
        apply(namespace("a", annotations=TO_TWO)),
        happened(),
        ready("a/s", "192.0.2.2", rung="service-annotation:externalNetwork"),
    ),
    *(
        case(
            f"a-holder-stays-through-{name}",
            world(TWO, service("a/s"), service("a/t", {ADDRESSES: "192.0.2.9"})),
            apply(namespace("a", annotations=TO_TWO)),
            *steps,
            ready("a/s", "192.0.2.2", network="net/ext"),
            ready("a/t", "192.0.2.9"),
            network("net/ext", allocated=2, quarantined=0),
        )
        for name, steps in {
            "a-restart-of-everything": ({"restart": "all"},),
            "a-restart-of-the-watcher-that-lists-again": ({"restart": ["watcher"]},),
            "repetition": ({"redeliver": 1000},),
            "crashes": ({"crash": "ipam"}, {"crash": "selector"}, {"crash": "programmer"}, {"crash": "watcher"}),
            "two-days": ({"advance": "2d"},),
            "silent-agents": (SILENT, {"advance": "1h"}, NORMAL),
        }.items()
    ),
]  # fmt: skip

NETWORKS_GO = [
    case(
        "a-network-that-goes-moves-its-holders-to-another-match",
        world(nad("net/two", "198.51.100.0/24", labels=DEFAULT_LABELS), service("a/s"), default=aged(nad("net/ext", labels=DEFAULT_LABELS), "01")),
        ready("a/s", "192.0.2.2"),
        delete("NetworkAttachmentDefinition", "net/ext"),
        happened(*MOVED),
        published_in_order("192.0.2.2", "198.51.100.2"),
        ready("a/s", "198.51.100.2", network="net/two"),
        no_network("net/ext"),
    ),
    case(
        "a-network-that-goes-leaves-its-holders-their-address-until-they-have-another",
        world(service("a/s")),
        delete("NetworkAttachmentDefinition", "net/ext"),
        happened(),
        moving("a/s", "192.0.2.2", network="net/ext", reason="NoNetworkMatches"),
        {"restart": "all"},
        moving("a/s", "192.0.2.2", network="net/ext", reason="NoNetworkMatches"),
        {"advance": "2d"},
        moving("a/s", "192.0.2.2"),
        apply(nad("net/two", "198.51.100.0/24", labels=DEFAULT_LABELS)),
        ready("a/s", "198.51.100.2", network="net/two"),
    ),
    case(
        "a-service-of-a-network-that-went-can-still-be-deleted",
        world(service("a/s")),
        delete("NetworkAttachmentDefinition", "net/ext"),
        delete("Service", "a/s"),
        happened("AddressReleasing", "AddressReleased"),
        absent("a/s"),
    ),
    case(
        "a-network-that-loses-a-required-family-loses-its-holder",
        world(nad("net/two", "198.51.100.0/24", "2001:db8:2::/64", labels=DEFAULT_LABELS), dual("a/s", "RequireDualStack"), default=aged(nad("net/ext", "192.0.2.0/24", "2001:db8::/64", labels=DEFAULT_LABELS), "01")),
        ready("a/s", "192.0.2.2", "2001:db8::2"),
        apply(aged(nad("net/ext", "192.0.2.0/24", labels=DEFAULT_LABELS), "01")),
        ready("a/s", "198.51.100.2", "2001:db8:2::2", network="net/two"),
        network("net/ext", allocated=0),
    ),
    case(
        "without-another-network-a-lost-family-leaves-what-is-held",
        world(dual("a/s", "RequireDualStack"), default=nad("net/ext", "192.0.2.0/24", "2001:db8::/64", labels=DEFAULT_LABELS)),
        apply(nad("net/ext", "192.0.2.0/24", labels=DEFAULT_LABELS)),
        moving("a/s", "192.0.2.2", "2001:db8::2", reason="FamilyUnavailable"),
        apply(nad("net/ext", "192.0.2.0/24", "2001:db8::/64", labels=DEFAULT_LABELS)),
        ready("a/s", "192.0.2.2", "2001:db8::2"),
    ),
    case(
        "a-lost-family-that-is-only-preferred-moves-no-service",
        world(nad("net/two", "198.51.100.0/24", "2001:db8:2::/64", labels=DEFAULT_LABELS), dual("a/s", "PreferDualStack"), default=aged(nad("net/ext", "192.0.2.0/24", "2001:db8::/64", labels=DEFAULT_LABELS), "01")),
        apply(aged(nad("net/ext", "192.0.2.0/24", labels=DEFAULT_LABELS), "01")),
        happened(),
        {"expect": {"services": {"a/s": {"state": "Ready", "network": "net/ext"}}}},
    ),
]  # fmt: skip

LATE = [
    case("a-network-that-comes-late", world(service("a/s", {NETWORK: "net/l"})), apply(nad("net/l", "10.0.0.0/24")), ready("a/s", "10.0.0.2")),
    case("a-virtual-network-that-comes-late", world(service("a/s", {NETWORK: "net/l"})), apply(*by_vn("net/l", "10.0.0.0/24")), ready("a/s", "10.0.0.2")),
    case("a-label-that-comes-late", world(service("a/s"), default=nad("net/ext")), pending("a/s", "NoNetworkMatches"), apply(nad("net/ext", labels=DEFAULT_LABELS)), ready("a/s", "192.0.2.2")),
    case("a-kubemanager-that-comes-late", world(service("a/s"), kubemanagers=[]), pending("a/s", "NoDefaultNetwork"), apply(kubemanager()), ready("a/s", "192.0.2.2"), settings={"externalNetworkSelectors": {}}),
    case(
        "a-selector-that-comes-late",
        world(nad("a/g", "10.0.0.0/24", labels=GOLD), service("a/s", {SELECTOR: "gold"})),
        pending("a/s", "SelectorNotFound"),
        apply(kubemanager({"gold": matching(GOLD)})),
        ready("a/s", "10.0.0.2"),
    ),
    case(
        "namespace-labels-that-come-late",
        world(nad("b/g", "10.0.0.0/24", labels=GOLD), service("a/s", {SELECTOR: "gold"}), kubemanagers=[kubemanager({"gold": matching(GOLD, {"matchLabels": {"env": "prod"}})})]),
        pending("a/s", "NoNetworkMatches"),
        apply(namespace("b", {"env": "prod"})),
        ready("a/s", "10.0.0.2"),
    ),
    case("a-namespace-annotation-that-comes-late-concerns-who-waits", world(TWO, service("a/s"), kubemanagers=[]), apply(namespace("a", annotations=TO_TWO)), ready("a/s", "198.51.100.2"), settings={"externalNetworkSelectors": {}}),
    case("a-contrail-namespace-annotation-that-comes-late-concerns-who-waits", world(TWO, service("a/s"), kubemanagers=[]), apply(namespace("contrail", annotations=TO_TWO)), ready("a/s", "198.51.100.2"), settings={"externalNetworkSelectors": {}}),
    case("a-family-that-comes-late", world(dual("a/s", "RequireDualStack")), pending("a/s", "FamilyUnavailable"), apply(nad("net/ext", v6="2001:db8::/64", labels=DEFAULT_LABELS)), ready("a/s", "192.0.2.2", "2001:db8::2")),
    case("a-raised-quota", world(service("a/s"), default=nad("net/ext", labels=DEFAULT_LABELS, annotations={QUOTA: "0"})), pending("a/s", "QuotaExceeded"), apply(nad("net/ext", labels=DEFAULT_LABELS, annotations={QUOTA: "1"})), ready("a/s", "192.0.2.2")),
]  # fmt: skip


def switch(policy: str, **spec: Any) -> Object:
    return apply(dual("a/s", policy, **spec))


BOTH = nad("net/ext", "192.0.2.0/24", "2001:db8::/64", labels=DEFAULT_LABELS)
FAMILIES = [
    case(
        "a-second-family-is-added-without-touching-the-first",
        world(dual("a/s", "SingleStack"), default=BOTH),
        ready("a/s", "192.0.2.2"),
        switch("RequireDualStack"),
        ready("a/s", "192.0.2.2", "2001:db8::2"),
        network("net/ext", allocated=2, quarantined=0),
    ),
    case(
        "a-second-family-is-removed-without-touching-the-first",
        world(dual("a/s", "RequireDualStack"), default=BOTH),
        switch("SingleStack"),
        ready("a/s", "192.0.2.2"),
        ingress("a/s", "192.0.2.2"),
        network("net/ext", allocated=1, quarantined=1),
        switch("RequireDualStack"),
        ready("a/s", "192.0.2.2", "2001:db8::2"),
    ),
    case(
        "a-second-family-goes-though-the-first-is-refused-another-address",
        world(dual("a/s", "RequireDualStack"), default=BOTH),
        apply(service("a/s", {ADDRESSES: "192.0.2.1"})),
        moving("a/s", "192.0.2.2", reason="RequestedAddressReserved"),
        network("net/ext", allocated=1, quarantined=1),
    ),
    case(
        "a-second-family-that-cannot-be-had-leaves-the-first",
        world(dual("a/s", "SingleStack")),
        switch("RequireDualStack"),
        happened(),
        moving("a/s", "192.0.2.2", reason="FamilyUnavailable"),
        ingress("a/s", "192.0.2.2"),
    ),
    case(
        "who-prefers-both-gains-the-second-when-the-network-does",
        world(dual("a/s", "PreferDualStack")),
        ready("a/s", "192.0.2.2"),
        apply(BOTH),
        ready("a/s", "192.0.2.2", "2001:db8::2"),
        network("net/ext", allocated=2, quarantined=0),
    ),
    case(
        "who-prefers-both-gains-the-second-when-it-is-free",
        world(dual("a/t", "SingleStack", ipFamilies=["IPv6"]), dual("a/u", "PreferDualStack"), default=nad("net/ext", "192.0.2.0/24", "2001:db8::1/128", labels=DEFAULT_LABELS)),
        ready("a/u", "192.0.2.2"),
        delete("Service", "a/t"),
        ready("a/u", "192.0.2.2", "2001:db8::1"),
    ),
    case(
        "addresses-are-in-the-order-of-the-families",
        world(dual("a/s", "PreferDualStack", ipFamilies=["IPv6", "IPv4"]), default=BOTH),
        ready("a/s", "2001:db8::2", "192.0.2.2"),
        ingress("a/s", "2001:db8::2", "192.0.2.2"),
    ),
]  # fmt: skip

CASES = [*OWN_CHANGES, *STAYING, *NETWORKS_GO, *LATE, *FAMILIES]


@table(CASES)
def test_changes(case: Case) -> None:
    play(case)


def test_a_changed_sharing_key_of_a_sole_holder_moves_nobody() -> None:
    play(
        case(
            "key",
            world(service("a/s", {SHARING: "k"})),
            apply(service("a/s", {SHARING: "j"})),
            ready("a/s", "192.0.2.2"),
        )
    )
