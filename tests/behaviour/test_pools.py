"""AddressPools: what they give out, which one serves whom, and what becomes of broken, full and deleted ones."""

from __future__ import annotations

from typing import Any

from tests.behaviour.play import (
    Case,
    Look,
    Moment,
    case,
    event,
    happened,
    moving,
    network,
    no_network,
    pending,
    play,
    pool_shows,
    ready,
    says,
    table,
    told,
)
from tests.behaviour.world import world
from tests.builders.objects import (
    ALLOWED,
    DEFAULT_LABELS,
    FORCE,
    NETWORK,
    SELECTOR,
    SHARING,
    Object,
    aged,
    asks,
    backends,
    default_nad,
    dual,
    kubemanager,
    matching,
    nad,
    namespace,
    node,
    pool,
    service,
)
from tests.support.simulate import apply, delete

DOC = "203.0.113.0/24"
OTHER = "198.51.100.0/24"


def bare(*objects: Object) -> Object:
    """The step that applies a cluster without any network of CN2's, with these objects."""
    spaces = [namespace("contrail"), namespace("a"), namespace("b", {"tier": "edge"})]
    given = {(obj["kind"], obj["metadata"]["name"]) for obj in objects}
    return apply(*(one for one in spaces if ("Namespace", one["metadata"]["name"]) not in given), node("n1"), *objects)


def labelled_service(name: str, **labels: str) -> Object:
    found = service(name)
    return {**found, "metadata": {**found["metadata"], "labels": labels}}


def many(count: int, prefix: str = "a/s") -> list[Object]:
    return [service(f"{prefix}{number}") for number in range(count)]


GIVEN_OUT = [
    case(
        "a-pool-gives-out-every-address-of-a-prefix",
        bare(pool("p", "203.0.113.0/30"), *many(4)),
        network("pool/p", size=4, allocated=4),
        ready("a/s0", "203.0.113.0", network="pool/p", rung="default-pool"),
        ready("a/s3", "203.0.113.3"),
    ),
    case(
        "ranges-and-single-addresses-of-both-families-make-one-pool",
        bare(
            pool("p", "203.0.113.9-203.0.113.10", "198.51.100.7", "2001:db8::5-2001:db8::6"),
            *many(3),
            dual("b/six", "SingleStack", ipFamilies=["IPv6"]),
        ),
        network("pool/p", size=5, allocated=4),
        ready("a/s0", "198.51.100.7"),
        ready("a/s1", "203.0.113.9"),
        ready("a/s2", "203.0.113.10"),
        ready("b/six", "2001:db8::5"),
    ),
    case(
        "a-range-across-prefix-borders-has-no-holes",
        bare(
            pool("p", "203.0.113.250-203.0.114.5"),
            *(asks(f"a/s{n}", f"203.0.11{4 if n < 6 else 3}.{n if n < 6 else 244 + n}") for n in range(12)),
        ),
        network("pool/p", size=12, allocated=12),
        ready("a/s0", "203.0.114.0"),
        ready("a/s11", "203.0.113.255"),
    ),
    case(
        "a-dual-stack-service-gets-both-families-of-one-pool",
        bare(pool("p", DOC, "2001:db8::/64"), dual("a/s", "RequireDualStack")),
        ready("a/s", "203.0.113.0", "2001:db8::", network="pool/p"),
    ),
    case(
        "excluded-addresses-stay-out",
        bare(pool("p", "203.0.113.0/29", exclude=["203.0.113.0-203.0.113.4", "203.0.113.6"]), *many(3)),
        network("pool/p", size=2, allocated=2),
        ready("a/s0", "203.0.113.5"),
        ready("a/s1", "203.0.113.7"),
        pending("a/s2", "NetworkFull", wanted="pool/p"),
    ),
    case(
        "an-excluded-address-is-refused-to-who-requests-it",
        bare(pool("p", "203.0.113.0/29", exclude=["203.0.113.6"]), asks("a/s", "203.0.113.6")),
        pending("a/s", "RequestedAddressReserved"),
    ),
    case(
        "the-quota-counts-per-namespace",
        bare(pool("p", DOC, quota=1), *many(2), service("b/s")),
        ready("a/s0", "203.0.113.0"),
        pending("a/s1", "QuotaExceeded"),
        ready("b/s", "203.0.113.1"),
    ),
    case(
        "quarantine-and-lease-are-the-pools-own",
        bare(pool("p", "203.0.113.0/31", quarantine="1h", lease="0s"), service("a/s")),
        delete("Service", "a/s"),
        network("pool/p", quarantined=1),
        {"advance": "59m"},
        network("pool/p", quarantined=1),
        {"advance": "2m"},
        network("pool/p", quarantined=0),
    ),
    case(
        "a-requested-address-picks-the-pool-that-has-it",
        bare(pool("p", DOC, priority=9), pool("q", OTHER), asks("a/s", "198.51.100.200")),
        ready("a/s", "198.51.100.200", network="pool/q"),
    ),
    case(
        "a-requested-address-that-no-pool-has-waits-with-the-first-pools-reason",
        bare(pool("p", DOC), asks("a/s", "192.0.2.1")),
        pending("a/s", "RequestedAddressOutsideNetwork", rung="default-pool"),
        says("a/s", "pool/p", DOC),
    ),
    case(
        "services-share-an-address-of-a-pool",
        bare(pool("p", DOC), service("a/s", {SHARING: "k"}, port=80), service("a/t", {SHARING: "k"}, port=81)),
        ready("a/s", "203.0.113.0"),
        ready("a/t", "203.0.113.0"),
        network("pool/p", allocated=1),
    ),
    case(
        "backends-on-the-pod-network-answer-for-a-pool",
        bare(pool("p", DOC), service("a/s"), backends("a/s", n1=["10.1.0.1"])),
        ready("a/s", "203.0.113.0", path_set={"203.0.113.0": {"n1": {"weight": 1}}}),
    ),
]

CHOSEN = [
    case(
        "a-service-names-a-pool-as-it-names-a-network",
        world(pool("p", DOC), service("a/s", {NETWORK: "pool/p"})),
        ready("a/s", "203.0.113.0", network="pool/p", rung="service-annotation:externalNetwork"),
    ),
    case(
        "a-namespace-names-a-pool",
        world(pool("p", DOC), namespace("a", annotations={NETWORK: "pool/p"}), service("a/s")),
        ready("a/s", "203.0.113.0", rung="namespace-annotation:externalNetwork"),
    ),
    case(
        "a-pool-that-does-not-exist-is-said-to-be-missing",
        world(service("a/s", {NETWORK: "pool/p"})),
        pending("a/s", "NetworkNotFound"),
        says("a/s", "there is no AddressPool p"),
        apply(pool("p", DOC)),
        ready("a/s", "203.0.113.0"),
    ),
    case(
        "a-network-that-the-default-selector-matches-outranks-every-pool",
        world(pool("p", DOC, priority=1000), service("a/s")),
        ready("a/s", "192.0.2.2", network="net/ext", rung="default-selector"),
    ),
    case(
        "a-default-network-that-cannot-serve-does-not-pass-on-to-pools",
        world(pool("p", DOC), service("a/s"), default=default_nad("net/ext", raw="{")),
        pending("a/s", "InvalidAnnotation", rung="default-selector"),
    ),
    case(
        "pools-serve-where-the-default-selector-matches-nothing",
        world(pool("p", DOC), service("a/s"), default=nad("net/ext")),
        ready("a/s", "203.0.113.0", rung="default-pool"),
    ),
    case(
        "pools-serve-where-no-default-selector-is-defined",
        world(pool("p", DOC), service("a/s"), kubemanagers=[kubemanager({})]),
        ready("a/s", "203.0.113.0", rung="default-pool"),
    ),
    case(
        "a-broken-annotation-does-not-fall-through-to-pools",
        world(pool("p", DOC), service("a/s", {SELECTOR: "nowhere"})),
        pending("a/s", "SelectorNotFound"),
    ),
    case(
        "a-label-selector-matches-pools-too",
        world(
            pool("p", DOC, labels={"tier": "gold"}),
            service("a/s", {SELECTOR: "gold"}),
            kubemanagers=[kubemanager({"gold": matching({"tier": "gold"})})],
        ),
        ready("a/s", "203.0.113.0", rung="service-annotation:externalNetworkSelector"),
    ),
    case(
        "a-selector-for-labelled-namespaces-matches-no-pool-and-one-for-all-does",
        world(
            pool("p", DOC, labels={"tier": "gold"}),
            service("a/s", {SELECTOR: "some"}),
            service("a/t", {SELECTOR: "all"}),
            kubemanagers=[
                kubemanager(
                    {
                        "some": matching({"tier": "gold"}, {"matchLabels": {"x": "y"}}),
                        "all": matching({"tier": "gold"}, {}),
                    }
                )
            ],
        ),
        pending("a/s", "NoNetworkMatches"),
        ready("a/t", "203.0.113.0"),
    ),
    case(
        "the-default-selector-matches-a-pool-with-its-label",
        bare(pool("p", DOC, labels=DEFAULT_LABELS), service("a/s")),
        ready("a/s", "203.0.113.0", rung="default-selector"),
    ),
    case(
        "the-higher-priority-comes-first-then-the-older-then-the-name",
        bare(
            aged(pool("young", "203.0.113.0/30", priority=5), "05"),
            aged(pool("old", "203.0.113.4/30", priority=5), "04"),
            aged(pool("oldest", "203.0.113.8/30"), "01"),
            service("a/s"),
        ),
        ready("a/s", "203.0.113.4", network="pool/old"),
        delete("AddressPool", "old"),
        ready("a/s", "203.0.113.0", network="pool/young"),
        apply(
            aged(pool("b", "203.0.113.12/30", priority=6), "06"),
            aged(pool("a", "203.0.113.16/30", priority=6), "06"),
            service("a/t"),
        ),
        ready("a/t", "203.0.113.16", network="pool/a"),
    ),
    case(
        "a-pool-takes-part-only-for-the-services-that-it-selects",
        bare(
            pool("p", DOC, serviceSelector={"matchLabels": {"exposed": "yes"}}),
            service("a/no"),
            labelled_service("a/yes", exposed="yes"),
        ),
        pending("a/no", "NoDefaultNetwork"),
        says("a/no", "none of 1 AddressPools takes part"),
        ready("a/yes", "203.0.113.0"),
        apply(labelled_service("a/no", exposed="yes")),
        ready("a/no", "203.0.113.1"),
    ),
    case(
        "a-pool-takes-part-only-for-the-namespaces-that-it-selects",
        bare(pool("p", DOC, namespaceSelector={"matchLabels": {"tier": "edge"}}), service("a/s"), service("b/s")),
        pending("a/s", "NoDefaultNetwork"),
        ready("b/s", "203.0.113.0"),
        apply(namespace("a", {"tier": "edge"})),
        ready("a/s", "203.0.113.1"),
    ),
    case(
        "selectors-do-not-bind-who-names-the-pool-and-allowed-namespaces-do",
        bare(
            pool("p", DOC, namespaceSelector={"matchLabels": {"tier": "edge"}}),
            pool("q", OTHER, autoAssign=False, annotations={ALLOWED: "tier=edge"}),
            service("a/s", {NETWORK: "pool/p"}),
            service("a/t", {NETWORK: "pool/q"}),
        ),
        ready("a/s", "203.0.113.0"),
        pending("a/t", "NetworkNotAllowed"),
    ),
    case(
        "without-auto-assign-a-pool-serves-only-who-names-it",
        bare(pool("p", DOC, autoAssign=False), service("a/s"), service("a/t", {NETWORK: "pool/p"})),
        pending("a/s", "NoDefaultNetwork"),
        ready("a/t", "203.0.113.0"),
    ),
    case(
        "a-pool-without-the-family-is-passed-over",
        bare(
            pool("four", DOC, priority=9), pool("six", "2001:db8::/64"), dual("a/s", "SingleStack", ipFamilies=["IPv6"])
        ),
        ready("a/s", "2001:db8::", network="pool/six"),
    ),
    case(
        "a-better-pool-moves-nobody",
        bare(pool("p", DOC), service("a/s")),
        ready("a/s", "203.0.113.0"),
        apply(pool("better", OTHER, priority=9)),
        happened(),
        ready("a/s", "203.0.113.0", network="pool/p"),
        apply(service("a/t")),
        ready("a/t", "198.51.100.0", network="pool/better"),
    ),
    case(
        "an-edit-of-labels-moves-nobody",
        bare(
            pool("p", DOC, serviceSelector={"matchLabels": {"exposed": "yes"}}), labelled_service("a/s", exposed="yes")
        ),
        ready("a/s", "203.0.113.0"),
        apply(labelled_service("a/s", exposed="no")),
        ready("a/s", "203.0.113.0", network="pool/p"),
    ),
]


def does_not_drift(*names: str) -> Look:
    def look(moment: Moment) -> None:
        selections = moment.simulation.engine.view.intents.selections
        assert {name: selections[name].drift for name in names} == dict.fromkeys(names)

    return look


FULL = [
    case(
        "whether-pools-are-full-makes-no-holder-drift",
        bare(
            pool("p", "203.0.113.1", priority=1, spillOver=True, quarantine="0s", lease="0s"),
            pool("q", OTHER),
            *many(2),
        ),
        apply(service("a/s0", port=81), service("a/s1", port=81)),
        does_not_drift("a/s0", "a/s1"),
        delete("Service", "a/s0"),
        apply(service("a/s1", port=82)),
        does_not_drift("a/s1"),
    ),
    case(
        "a-full-pool-lets-services-wait",
        bare(pool("p", "203.0.113.1", priority=1), pool("q", OTHER), *many(2)),
        ready("a/s0", "203.0.113.1"),
        pending("a/s1", "NetworkFull", wanted="pool/p"),
        delete("Service", "a/s0"),
        {"advance": "6m"},
        ready("a/s1", "203.0.113.1"),
    ),
    case(
        "a-full-pool-spills-over-to-the-next-if-it-says-so",
        bare(pool("p", "203.0.113.1", priority=1, spillOver=True), pool("q", OTHER), *many(3)),
        ready("a/s0", "203.0.113.1", network="pool/p"),
        ready("a/s1", "198.51.100.0", network="pool/q"),
        ready("a/s2", "198.51.100.1", network="pool/q"),
    ),
    case(
        "who-was-spilled-over-stays-when-the-first-pool-has-room-again",
        bare(
            pool("p", "203.0.113.1", priority=1, spillOver=True, quarantine="0s", lease="0s"),
            pool("q", OTHER),
            *many(2),
        ),
        ready("a/s1", "198.51.100.0", network="pool/q"),
        delete("Service", "a/s0"),
        ready("a/s1", "198.51.100.0", network="pool/q", reason=None),
        apply(service("a/new")),
        ready("a/new", "203.0.113.1", network="pool/p"),
    ),
    case(
        "pools-that-spill-over-in-a-row-end-at-the-one-that-does-not",
        bare(
            pool("p", "203.0.113.1", priority=3, spillOver=True),
            pool("q", "203.0.113.2", priority=2),
            pool("r", OTHER, priority=1),
            *many(3),
        ),
        ready("a/s0", "203.0.113.1"),
        ready("a/s1", "203.0.113.2"),
        pending("a/s2", "NetworkFull", wanted="pool/q"),
    ),
    case(
        "when-all-are-full-who-waits-gets-the-first-address-that-any-pool-has",
        bare(
            pool("p", "203.0.113.1", priority=2, spillOver=True, quarantine="0s", lease="0s"),
            pool("q", "203.0.113.2", priority=1, spillOver=True, quarantine="0s", lease="0s"),
            *many(3),
        ),
        ready("a/s1", "203.0.113.2", network="pool/q"),
        pending("a/s2", "NetworkFull"),
        delete("Service", "a/s1"),
        ready("a/s2", "203.0.113.2", network="pool/q"),
    ),
    case(
        "a-strict-quarantine-makes-a-pool-spill-over-until-it-ends",
        bare(
            pool("p", "203.0.113.1", priority=1, spillOver=True, annotations={"ledgerlb.io/strict-quarantine": "true"}),
            pool("q", OTHER),
            service("a/s"),
        ),
        delete("Service", "a/s"),
        apply(service("a/t")),
        ready("a/t", "198.51.100.0", network="pool/q"),
        {"advance": "6m"},
        apply(service("a/u")),
        ready("a/u", "203.0.113.1", network="pool/p"),
    ),
    case(
        "a-larger-pool-serves-who-waits",
        bare(pool("p", "203.0.113.1"), *many(2)),
        pending("a/s1", "NetworkFull"),
        apply(pool("p", "203.0.113.1", "198.51.100.9-198.51.100.10")),
        ready("a/s1", "198.51.100.9"),
        network("pool/p", size=3),
    ),
]

BROKEN = [
    case(
        "a-reversed-range-closes-the-pool-and-nothing-else",
        bare(
            pool("p", "203.0.113.9-203.0.113.1", priority=9),
            pool("q", OTHER),
            service("a/s"),
            service("a/t", {NETWORK: "pool/p"}),
        ),
        ready("a/s", "198.51.100.0", network="pool/q"),
        pending("a/t", "InvalidAnnotation"),
        says("a/t", "AddressPool p", "spec.addresses[0]", "203.0.113.9-203.0.113.1"),
        network("pool/p", problem="InvalidAnnotation"),
        pool_shows("p", problem="InvalidAnnotation"),
    ),
    case(
        "a-range-of-two-families-closes-the-pool",
        bare(pool("p", "203.0.113.1-2001:db8::1"), service("a/s")),
        pending("a/s", "InvalidAnnotation", rung="default-pool"),
        pool_shows("p", problem="InvalidAnnotation", size="0"),
    ),
    case(
        "a-pool-without-addresses-says-so",
        bare(pool("p"), service("a/s")),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "spec.addresses", "is empty"),
    ),
    case(
        "addresses-that-nobody-can-route-close-the-pool",
        bare(pool("p", "169.254.0.0/24"), service("a/s")),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "link-local"),
    ),
    case(
        "a-value-of-the-wrong-type-closes-the-pool",
        bare({**pool("p", DOC), "spec": {"addresses": DOC, "priority": "high"}}, service("a/s")),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "spec.addresses", "spec.priority"),
        apply(pool("p", DOC)),
        ready("a/s", "203.0.113.0"),
    ),
    case(
        "an-unknown-field-closes-the-pool-and-names-the-known-ones",
        bare(pool("p", DOC, spillover=True), service("a/s")),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "spec.spillover", "spillOver"),
    ),
    case(
        "an-older-network-with-the-same-addresses-closes-the-pool",
        world(
            aged(pool("p", "192.0.2.128-192.0.2.140"), "06"),
            service("a/s", {NETWORK: "pool/p"}),
            default=aged(default_nad("net/ext"), "01"),
        ),
        pending("a/s", "NetworkConflict"),
        network("pool/p", problem="NetworkConflict", conflict="net/ext"),
        pool_shows("p", problem="NetworkConflict"),
    ),
    case(
        "a-younger-network-does-not-take-a-pools-addresses",
        world(
            aged(pool("p", "192.0.2.128-192.0.2.140"), "01"),
            service("a/s", {NETWORK: "pool/p"}),
            default=aged(default_nad("net/ext"), "06"),
        ),
        ready("a/s", "192.0.2.128"),
        network("net/ext", problem="NetworkConflict", conflict="pool/p"),
    ),
    case(
        "a-tenants-older-network-does-not-close-a-pool",
        bare(aged(pool("p", DOC), "06"), aged(nad("a/mine", DOC), "01"), service("a/s")),
        ready("a/s", "203.0.113.0", network="pool/p"),
        network("a/mine", problem="NetworkConflict", conflict="pool/p"),
    ),
    case(
        "ranges-side-by-side-in-one-prefix-do-not-overlap",
        bare(
            pool("p", "203.0.113.1-203.0.113.4", priority=1),
            pool("q", "203.0.113.5-203.0.113.9"),
            service("a/s"),
            service("a/t", {NETWORK: "pool/q"}),
        ),
        ready("a/s", "203.0.113.1"),
        ready("a/t", "203.0.113.5"),
        network("pool/q", problem=None),
    ),
    case(
        "a-pool-outside-of-the-external-prefixes-is-refused",
        bare(pool("p", DOC), service("a/s")),
        pending("a/s", "NetworkNotAdmitted"),
        settings={"externalPrefixes": [OTHER]},
    ),
    case(
        "addresses-that-the-cluster-uses-are-never-given-out",
        bare(node("n2", "203.0.113.0"), pool("p", "203.0.113.0/30"), *many(3), asks("a/t", "203.0.113.0")),
        ready("a/s0", "203.0.113.1"),
        ready("a/s2", "203.0.113.3"),
        pending("a/t", "RequestedAddressReserved"),
        network("pool/p", size=3, problem=None),
        told("AddressesInUse", about="AddressPool p"),
        pool_shows(
            "p",
            problem="",
            message="the cluster itself uses 203.0.113.0 (address of Node n2): LedgerLB never gives these addresses out",
        ),
    ),
    case(
        "a-disabled-pool-keeps-its-holders-and-takes-nobody",
        bare(pool("p", DOC), service("a/s")),
        ready("a/s", "203.0.113.0"),
        apply(pool("p", DOC, disabled=True)),
        happened(),
        apply(service("a/new"), service("a/named", {NETWORK: "pool/p"})),
        ready("a/s", "203.0.113.0", network="pool/p"),
        pending("a/new", "PoolDisabled"),
        pending("a/named", "PoolDisabled"),
        pool_shows("p", problem="PoolDisabled", held=1),
        apply(pool("p", DOC)),
        ready("a/new", "203.0.113.2"),
    ),
    case(
        "a-namespace-called-pool-has-no-external-networks",
        bare(namespace("pool"), nad("pool/p", OTHER), service("a/s", {NETWORK: "pool/p"})),
        pending("a/s", "NetworkNotFound"),
        says("a/s", "Namespace called pool"),
        no_network("pool/p"),
        apply(pool("p", DOC)),
        ready("a/s", "203.0.113.0"),
        network("pool/p", size=256),
        delete("NetworkAttachmentDefinition", "pool/p"),
        ready("a/s", "203.0.113.0"),
    ),
]

CHANGED = [
    case(
        "holders-of-a-deleted-pool-move-to-the-next",
        bare(pool("p", DOC, priority=1), pool("q", OTHER), service("a/s")),
        ready("a/s", "203.0.113.0"),
        delete("AddressPool", "p"),
        ready("a/s", "198.51.100.0", network="pool/q"),
    ),
    case(
        "holders-of-a-deleted-pool-keep-their-address-while-nothing-else-serves-them",
        bare(pool("p", DOC), service("a/s")),
        delete("AddressPool", "p"),
        moving("a/s", "203.0.113.0", reason="NoDefaultNetwork"),
        apply(pool("q", "203.0.113.0-203.0.113.8")),
        ready("a/s", "203.0.113.1", network="pool/q"),
    ),
    case(
        "a-pool-that-shrinks-below-its-holders-keeps-them-and-says-so",
        bare(pool("p", "203.0.113.0-203.0.113.3"), *many(3)),
        apply(pool("p", "203.0.113.0-203.0.113.1")),
        ready("a/s2", "203.0.113.2"),
        event("PrefixChangeRefused"),
        pool_shows("p", problem="PrefixChangeRefused", held=3),
        told("PrefixChangeRefused", about="AddressPool p"),
        apply(service("a/new")),
        pending("a/new", "NetworkFull"),
        delete("Service", "a/s2"),
        {"advance": "1m"},
        network("pool/p", problem=None, size=2),
    ),
    case(
        "an-annotation-that-repeats-the-addresses-forces-the-change",
        bare(pool("p", "203.0.113.0-203.0.113.3"), *many(3)),
        apply(pool("p", "203.0.113.0-203.0.113.1", annotations={FORCE: "203.0.113.0-203.0.113.1"})),
        ready("a/s2", "203.0.113.2"),
        network("pool/p", size=2, problem=None),
    ),
    case(
        "another-range-is-added-without-moving-anybody",
        bare(pool("p", "203.0.113.8-203.0.113.9"), *many(2)),
        apply(pool("p", "203.0.113.8-203.0.113.9", "203.0.113.1"), service("a/new")),
        ready("a/s0", "203.0.113.8"),
        ready("a/new", "203.0.113.1"),
    ),
]

SHOWN = [
    case(
        "the-status-says-how-full-the-pool-is",
        bare(pool("p", "203.0.113.0/29", quarantine="5m"), *many(3)),
        pool_shows("p", size="8", held=3, quarantined=0, free="5", problem="", observedGeneration=1),
        delete("Service", "a/s0"),
        pool_shows("p", held=2, quarantined=1, free="5"),
    ),
    case(
        "sizes-of-ipv6-pools-are-exact",
        bare(pool("p", "2001:db8::/64")),
        pool_shows("p", size=str(2**64), held=0),
    ),
]


def _one_write(moment: Moment) -> None:
    writes = [write for write in moment.step["writes"] if write["kind"] == "AddressPool"]
    assert [write["status"]["held"] for write in writes] == [2]


SHOWN.append(
    case(
        "one-change-is-one-write",
        bare(pool("p", DOC), service("a/s")),
        apply(service("a/t")),
        _one_write,
    )
)


@table([*GIVEN_OUT, *CHOSEN, *FULL, *BROKEN, *CHANGED, *SHOWN])
def test_pools(case: Case) -> None:
    play(case)


def test_the_explanation_names_every_pool_and_the_spill() -> None:
    script: list[Any] = [
        bare(
            pool("p", "203.0.113.1", priority=2, spillOver=True),
            pool("q", OTHER, priority=1),
            pool("r", "192.0.2.0/24"),
            *many(2),
        ),
    ]
    found: dict[str, Any] = {}

    def look(moment: Moment) -> None:
        selection = moment.simulation.engine.view.intents.selections["a/s1"]
        found.update({one.network: (one.taken, one.why) for one in selection.candidates})
        found["message"] = selection.message

    play(case("explained", *script, look))
    assert found["pool/p"] == (False, "NetworkFull: spills over to the next pool")
    assert found["pool/q"][0] is True
    assert found["pool/r"] == (False, "comes after pool/q")
    assert "pool/p spills over" in found["message"]
