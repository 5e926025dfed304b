"""Which network a Service gets: the eight rungs, no fall-through, selectors, several matches, who is allowed."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

from tests.behaviour.play import Case, case, network, pending, play, ready, says, table, told
from tests.behaviour.world import world
from tests.builders.objects import (
    ADDRESSES,
    ALLOWED,
    DEFAULT_LABELS,
    NETWORK,
    QUOTA,
    SELECTOR,
    Object,
    aged,
    by_vn,
    dual,
    kubemanager,
    labelled,
    matching,
    nad,
    namespace,
    node,
    service,
)
from tests.support.simulate import apply

SEVEN: Final = (
    "service-annotation:externalNetwork",
    "service-annotation:externalNetworkSelector",
    "namespace-annotation:externalNetwork",
    "namespace-annotation:externalNetworkSelector",
    "contrail-namespace-annotation:externalNetwork",
    "contrail-namespace-annotation:externalNetworkSelector",
    "default-selector",
)
NETWORKS = tuple(f"net/r{number}" for number in range(1, 8))
CIDRS = tuple(f"10.{number}.0.0/24" for number in range(1, 8))
GOLD = {"tier": "gold"}
OTHER = "198.51.100.0/24"


def rungs(*present: int, values: dict[int, str] | None = None, selectors: dict[str, Any] | None = None) -> Object:
    """The world in which these rungs (1 to 7) are present, each choosing a network of its own (10.<rung>.0.0/24);
    ``values`` replaces what a rung's annotation says.
    """
    given = values or {}
    annotations: dict[str, dict[str, str]] = {"service": {}, "namespace": {}, "contrail": {}}
    for rung in present:
        place = ("service", "service", "namespace", "namespace", "contrail", "contrail", "")[rung - 1]
        if place:
            key, usual = (NETWORK, NETWORKS[rung - 1]) if rung % 2 else (SELECTOR, f"chooses-r{rung}")
            annotations[place][key] = given.get(rung, usual)
    known = {f"chooses-r{rung}": matching({"rung": f"r{rung}"}, {}) for rung in (2, 4, 6)}
    if 7 in present:
        known["default-external"] = matching({"rung": "r7"}, {})
    return world(
        namespace("contrail", annotations=annotations["contrail"]),
        namespace("a", annotations=annotations["namespace"]),
        *(nad(name, cidr, labels={"rung": name.rpartition("/")[2]}) for name, cidr in zip(NETWORKS, CIDRS, strict=True)),
        service("a/s", annotations["service"]),
        kubemanagers=[kubemanager({**known, **(selectors or {})} or {"unused": matching({"x": "y"})})],
    )  # fmt: skip


def taken(rung: int) -> Object:
    return ready("a/s", f"10.{rung}.0.2", network=NETWORKS[rung - 1], rung=SEVEN[rung - 1])


LADDER = [
    *(case(f"rung-{rung}-alone-chooses", rungs(rung), taken(rung)) for rung in range(1, 8)),
    *(
        case(f"rung-{higher}-goes-before-rung-{lower}", rungs(higher, lower), taken(higher))
        for higher, lower in combinations(range(1, 8), 2)
    ),
    case("rung-1-goes-before-all-others", rungs(*range(1, 8)), taken(1)),
    case("rung-8-nothing-chooses-and-the-service-waits", rungs(), pending("a/s", "NoDefaultNetwork", rung=None)),
]

NO_FALL_THROUGH = [
    *(
        case(
            f"no-fall-through-rung-{rung}-{reason}-{value or 'empty'}",
            rungs(rung, 7, values={rung: value}),
            pending("a/s", reason, rung=SEVEN[rung - 1]),
            told(reason, about="Service a/s"),
        )
        for rung in (1, 3, 5)
        for value, reason in (
            ("net/none", "NetworkNotFound"),
            ("", "InvalidAnnotation"),
            ("a/b/c", "InvalidAnnotation"),
            ("/x", "InvalidAnnotation"),
            ("net/", "InvalidAnnotation"),
        )
    ),
    *(
        case(
            f"no-fall-through-rung-{rung}-{reason}",
            rungs(rung, 7, values={rung: value}, selectors={"empty": matching({"no": "such"}, {}), "broken": {"networkSelector": {"matchLabels": 5}}}),
            pending("a/s", reason, rung=SEVEN[rung - 1]),
        )
        for rung in (2, 4, 6)
        for value, reason in (("none", "SelectorNotFound"), ("empty", "NoNetworkMatches"), ("broken", "InvalidAnnotation"))
    ),
    case(
        "no-fall-through-a-defined-default-that-matches-nothing",
        world(nad("net/x", OTHER), service("a/s"), default=nad("net/ext", "192.0.2.0/24")),
        pending("a/s", "NoNetworkMatches", rung="default-selector"),
    ),
]  # fmt: skip


def unusable(
    name: str, reason: str, target: Object, *more: Object, settings: dict[str, Any] | None = None, **spec: Any
) -> list[Case]:
    """A network that cannot serve, named by the Service and by its Namespace: the default, which could, does not."""
    return [
        case(
            f"no-fall-through-{name}-named-by-the-service",
            world(target, *more, service("a/s", {NETWORK: "net/x"}, **spec)),
            pending("a/s", reason),
            settings=settings,
        ),
        case(
            f"no-fall-through-{name}-named-by-the-namespace",
            world(namespace("a", annotations={NETWORK: "net/x"}), target, *more, service("a/s", **spec)),
            pending("a/s", reason),
            settings=settings,
        ),
        case(
            f"no-fall-through-{name}-chosen-by-a-selector",
            world(
                labels_of(target),
                *more,
                service("a/s", {SELECTOR: "gold"}, **spec),
                kubemanagers=[kubemanager({"gold": matching(GOLD, {}), "default-external": matching(DEFAULT_LABELS, {})})],
            ),
            pending("a/s", reason),
            settings=settings,
        ),
    ]  # fmt: skip


def labels_of(target: Object) -> Object:
    return {**target, "metadata": {**target["metadata"], "labels": GOLD}}


NO_FALL_THROUGH += [
    *unusable("a-broken-network", "InvalidAnnotation", nad("net/x", raw="{")),
    *unusable("a-network-that-does-not-allow-the-namespace", "NetworkNotAllowed", nad("net/x", OTHER, annotations={ALLOWED: "team=z"})),
    *unusable("a-conflicting-network", "NetworkConflict", nad("net/x", OTHER), aged(nad("net/o", OTHER), "01")),
    *unusable("a-network-without-the-family", "FamilyUnavailable", nad("net/x", OTHER), ipFamilies=["IPv6"]),
    *unusable("a-one-family-network-for-both", "FamilyUnavailable", nad("net/x", OTHER), ipFamilyPolicy="RequireDualStack"),
    *unusable("a-full-network", "NetworkFull", nad("net/x", "198.51.100.0/30", annotations={"ledgerlb.io/exclude": "198.51.100.2"})),
    *unusable("an-exhausted-quota", "QuotaExceeded", nad("net/x", OTHER, annotations={QUOTA: "0"})),
    *unusable("a-bare-virtual-network-with-multus", "MultusRequiresNAD", by_vn("net/x", OTHER)[0], by_vn("net/x", OTHER)[1], settings={"multus": True}),
]  # fmt: skip

NAMES = [
    case("a-bare-name-on-a-service-is-of-its-namespace", world(nad("a/x", OTHER), nad("contrail/x", "10.0.0.0/24"), service("a/s", {NETWORK: "x"})), ready("a/s", "198.51.100.2", network="a/x")),
    case("a-bare-name-on-a-namespace-is-of-that-namespace", world(namespace("a", annotations={NETWORK: "x"}), nad("a/x", OTHER), nad("contrail/x", "10.0.0.0/24"), service("a/s")), ready("a/s", "198.51.100.2", network="a/x")),
    case("a-bare-name-on-the-contrail-namespace-is-of-the-contrail-namespace", world(namespace("contrail", annotations={NETWORK: "x"}), nad("a/x", OTHER), nad("contrail/x", "10.0.0.0/24"), service("a/s")), ready("a/s", "10.0.0.2", network="contrail/x")),
    case("a-bare-name-is-not-looked-for-elsewhere", world(nad("contrail/x", OTHER), service("a/s", {NETWORK: "x"})), pending("a/s", "NetworkNotFound"), says("a/s", "a/x")),
    case(
        "the-contrail-namespace-is-a-setting",
        world(namespace("contrail", annotations={NETWORK: "net/ext"}), namespace("cn2", annotations={NETWORK: "x"}), nad("cn2/x", OTHER), service("a/s")),
        ready("a/s", "198.51.100.2", network="cn2/x", rung=SEVEN[4]),
        settings={"contrailNamespace": "cn2"},
    ),
    case(
        "a-service-in-the-contrail-namespace-has-its-annotations-as-its-namespaces",
        world(namespace("contrail", annotations={NETWORK: "x"}), nad("contrail/x", OTHER), service("contrail/s")),
        ready("contrail/s", "198.51.100.2", rung=SEVEN[2]),
    ),
    case("a-namespace-without-an-object-has-no-annotations", world(service("nowhere/s")), ready("nowhere/s", "192.0.2.2", rung=SEVEN[6])),
]  # fmt: skip


def choosing(name: str, selector: Any, expected: Object, *more: Object, service_in: str = "a") -> Case:
    """A Service whose selector ``chosen`` is this one, over ``a/x`` (10.1), ``b/x`` (10.2) and ``contrail/x`` (10.3),
    all ``tier=gold``; ``a/y`` (10.4) is ``tier=silver``, ``b/z`` (10.5) has no labels. Namespace ``b`` is ``env=prod``.
    """
    return case(
        name,
        world(
            namespace("b", {"env": "prod"}),
            aged(nad("a/x", "10.1.0.0/24", labels=GOLD), "04"),
            aged(nad("b/x", "10.2.0.0/24", labels=GOLD), "03"),
            aged(nad("contrail/x", "10.3.0.0/24", labels=GOLD), "05"),
            aged(nad("a/y", "10.4.0.0/24", labels={"tier": "silver"}), "02"),
            aged(nad("b/z", "10.5.0.0/24"), "01"),
            service(f"{service_in}/s", {SELECTOR: "chosen"}),
            *more,
            kubemanagers=[kubemanager({"chosen": selector})],
            default=aged(nad("net/ext", labels={"tier": "bronze"}), "06"),
        ),
        expected,
    )


def got(rest: str, **more: Any) -> Object:
    return ready("a/s", rest, **more)


SELECTORS = [
    choosing("without-a-namespace-selector-the-services-own-namespace", matching(GOLD), got("10.1.0.2", network="a/x")),
    choosing("without-a-namespace-selector-other-namespaces-do-not-count", matching({"tier": "bronze"}), pending("a/s", "NoNetworkMatches")),
    choosing("an-empty-namespace-selector-is-every-namespace", matching(GOLD, {}), got("10.2.0.2", network="b/x")),
    choosing("a-namespace-selector-by-label", matching(GOLD, {"matchLabels": {"env": "prod"}}), got("10.2.0.2")),
    choosing("a-namespace-selector-by-the-name-label", matching(GOLD, {"matchLabels": {"kubernetes.io/metadata.name": "contrail"}}), got("10.3.0.2")),
    choosing("a-namespace-selector-with-in", matching(GOLD, {"matchExpressions": [labelled("env", "In", "dev", "prod")]}), got("10.2.0.2")),
    choosing("a-namespace-selector-with-notin-takes-namespaces-without-the-label", matching(GOLD, {"matchExpressions": [labelled("env", "NotIn", "prod")]}), got("10.1.0.2")),
    choosing("a-namespace-selector-with-exists", matching(GOLD, {"matchExpressions": [labelled("env", "Exists")]}), got("10.2.0.2")),
    choosing("a-namespace-selector-with-doesnotexist", matching(GOLD, {"matchExpressions": [labelled("env", "DoesNotExist")]}), got("10.1.0.2")),
    choosing("a-namespace-selector-that-matches-no-namespace", matching(GOLD, {"matchLabels": {"env": "test"}}), pending("a/s", "NoNetworkMatches")),
    choosing("a-network-selector-with-in", matching(None, {}, [labelled("tier", "In", "silver", "none")]), got("10.4.0.2")),
    choosing("a-network-selector-with-notin", matching(None, {}, [labelled("tier", "NotIn", "gold", "silver", "bronze")]), got("10.5.0.2")),
    choosing("a-network-selector-with-exists", matching(None, {}, [labelled("tier", "Exists")]), got("10.4.0.2")),
    choosing("a-network-selector-with-doesnotexist", matching(None, {}, [labelled("tier", "DoesNotExist")]), got("10.5.0.2")),
    choosing("labels-and-expressions-must-all-match", matching(GOLD, {}, [labelled("tier", "NotIn", "gold")]), pending("a/s", "NoNetworkMatches")),
    choosing("an-empty-network-selector-is-every-network-of-the-namespace", matching({}), got("10.4.0.2")),
    choosing("an-unknown-operator-is-refused", matching(None, {}, [labelled("tier", "Near", "gold")]), pending("a/s", "InvalidAnnotation")),
    choosing("in-without-values-is-refused", matching(None, {}, [labelled("tier", "In")]), pending("a/s", "InvalidAnnotation")),
    choosing("an-entry-that-is-no-mapping-is-refused", "gold", pending("a/s", "InvalidAnnotation")),
    case(
        "a-broken-selector-stops-only-those-who-use-it",
        world(service("a/s", {SELECTOR: "broken"}), service("a/t"), kubemanagers=[kubemanager({"broken": 7, "default-external": matching(DEFAULT_LABELS)})]),
        pending("a/s", "InvalidAnnotation"),
        ready("a/t", "192.0.2.2"),
    ),
]  # fmt: skip

DEFAULTS = [
    case(
        "the-default-selector-looks-in-the-contrail-namespace-first",
        world(aged(nad("contrail/x", OTHER, labels=DEFAULT_LABELS), "12"), service("a/s"), default=aged(nad("net/ext", labels=DEFAULT_LABELS), "01")),
        ready("a/s", "198.51.100.2", network="contrail/x"),
    ),
    case("the-default-selector-then-looks-anywhere", world(service("a/s")), ready("a/s", "192.0.2.2", network="net/ext")),
    case(
        "the-default-selector-does-not-widen-when-what-it-finds-cannot-serve",
        world(nad("contrail/x", OTHER, labels=DEFAULT_LABELS, annotations={ALLOWED: "team=z"}), service("a/s")),
        pending("a/s", "NetworkNotAllowed"),
    ),
    case(
        "a-default-selector-with-a-namespace-selector-looks-there-alone",
        world(namespace("b", {"env": "prod"}), nad("b/x", OTHER, labels=DEFAULT_LABELS), nad("contrail/x", "10.0.0.0/24", labels=DEFAULT_LABELS), service("a/s"),
              kubemanagers=[kubemanager({"default-external": matching(DEFAULT_LABELS, {"matchLabels": {"env": "prod"}})})]),
        ready("a/s", "198.51.100.2", network="b/x"),
    ),
    case(
        "a-default-selector-for-every-namespace-prefers-none",
        world(aged(nad("contrail/x", OTHER, labels=DEFAULT_LABELS), "12"), service("a/s"), kubemanagers=[kubemanager({"default-external": matching(DEFAULT_LABELS, {})})],
              default=aged(nad("net/ext", labels=DEFAULT_LABELS), "01")),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "the-label-keys-are-the-users-own",
        world(nad("net/x", OTHER, labels={"example.com/mine": "yes"}), service("a/s"), kubemanagers=[kubemanager({"default-external": matching({"example.com/mine": "yes"})})]),
        ready("a/s", "198.51.100.2"),
    ),
]  # fmt: skip

FROM_SETTINGS = {"externalNetworkSelectors": {"default-external": matching(GOLD, {})}}
SETTINGS = [
    case("without-a-kubemanager-the-settings-define-the-selectors", world(nad("net/x", OTHER, labels=GOLD), service("a/s"), kubemanagers=[]), ready("a/s", "198.51.100.2"), settings=FROM_SETTINGS),
    case("where-there-is-a-kubemanager-the-settings-do-not-count", world(nad("net/x", OTHER, labels=GOLD), service("a/s")), ready("a/s", "192.0.2.2"), settings=FROM_SETTINGS),
    case(
        "a-kubemanager-without-a-default-is-not-mended-by-the-settings",
        world(nad("net/x", OTHER, labels=GOLD), service("a/s"), kubemanagers=[kubemanager({"other": matching(GOLD)})]),
        pending("a/s", "NoDefaultNetwork"),
        settings=FROM_SETTINGS,
    ),
    case("without-either-there-is-no-default", world(service("a/s"), kubemanagers=[]), pending("a/s", "NoDefaultNetwork"), settings={"externalNetworkSelectors": {}}),
    case("without-either-the-documented-label-decides", world(service("a/s"), kubemanagers=[]), ready("a/s", "192.0.2.2", rung="default-selector")),
    case(
        "the-name-of-the-kubemanager-is-a-setting",
        world(nad("net/x", OTHER, labels=GOLD), service("a/s"), {**kubemanager({"default-external": matching(GOLD, {})}), "metadata": {"namespace": "cn2", "name": "mine"}}),
        ready("a/s", "198.51.100.2"),
        settings={"kubemanager": {"namespace": "cn2", "name": "mine"}},
    ),
    case(
        "a-kubemanager-of-version-v1alpha1",
        world(service("a/s"), kubemanagers=[{**kubemanager(), "apiVersion": "configplane.juniper.net/v1alpha1"}]),
        ready("a/s", "192.0.2.2"),
    ),
]  # fmt: skip


def among(
    name: str, expected: Object, *candidates: Object, spec: dict[str, Any] | None = None, policy: str = "SingleStack"
) -> Case:
    """A Service whose selector ``gold`` finds these networks, the first one first."""
    return case(
        name,
        world(
            *(aged(labels_of(one), f"0{age}") for age, one in enumerate(candidates, 1)),
            dual("a/s", policy, {SELECTOR: "gold"}, **(spec or {})),
            kubemanagers=[kubemanager({"gold": matching(GOLD, {})})],
        ),
        expected,
    )


SEVERAL = [
    among("the-oldest-match-is-taken", got("10.1.0.2"), nad("net/z", "10.1.0.0/24"), nad("net/y", "10.2.0.0/24")),
    case(
        "of-equal-age-namespace-and-name-decide",
        world(nad("net/b", "10.2.0.0/24", labels=GOLD), nad("net/a", "10.1.0.0/24", labels=GOLD), nad("b/z", "10.3.0.0/24", labels=GOLD), service("a/s", {SELECTOR: "gold"}),
              kubemanagers=[kubemanager({"gold": matching(GOLD, {})})]),
        ready("a/s", "10.3.0.2", network="b/z"),
    ),
    among("a-broken-match-is-passed-over", got("10.2.0.2"), nad("net/x", raw="{"), nad("net/y", "10.2.0.0/24")),
    among("a-match-that-does-not-allow-the-namespace-is-passed-over", got("10.2.0.2"), nad("net/x", "10.1.0.0/24", annotations={ALLOWED: "team=z"}), nad("net/y", "10.2.0.0/24")),
    case(
        "a-conflicting-match-is-passed-over",
        world(aged(nad("net/o", "10.1.0.0/16"), "01"), aged(nad("net/x", "10.1.0.0/24", labels=GOLD), "02"), aged(nad("net/y", "10.2.0.0/24", labels=GOLD), "03"),
              service("a/s", {SELECTOR: "gold"}), kubemanagers=[kubemanager({"gold": matching(GOLD, {})})]),
        ready("a/s", "10.2.0.2", network="net/y"),
    ),
    among("a-match-without-a-required-family-is-passed-over", got("10.2.0.2"), nad("net/x", None, "2001:db8::/64"), nad("net/y", "10.2.0.0/24")),
    among("a-one-family-match-is-passed-over-by-who-requires-both", ready("a/s", "10.2.0.2", "2001:db8::2"), nad("net/x", "10.1.0.0/24"), nad("net/y", "10.2.0.0/24", "2001:db8::/64"), policy="RequireDualStack"),
    among("a-one-family-match-is-not-passed-over-by-who-prefers-both", ready("a/s", "10.1.0.2"), nad("net/x", "10.1.0.0/24"), nad("net/y", "10.2.0.0/24", "2001:db8::/64"), policy="PreferDualStack"),
    among("a-full-match-is-not-passed-over", pending("a/s", "NetworkFull"), nad("net/x", "10.1.0.0/30", annotations={"ledgerlb.io/exclude": "10.1.0.2"}), nad("net/y", "10.2.0.0/24")),
    among("a-match-with-an-exhausted-quota-is-not-passed-over", pending("a/s", "QuotaExceeded"), nad("net/x", "10.1.0.0/24", annotations={QUOTA: "0"}), nad("net/y", "10.2.0.0/24")),
    among("when-all-are-passed-over-the-reason-is-the-first-ones", pending("a/s", "NetworkNotAllowed"), nad("net/x", "10.1.0.0/24", annotations={ALLOWED: "team=z"}), nad("net/y", raw="{")),
    among("when-all-are-passed-over-the-first-ones-defect-is-the-reason", pending("a/s", "InvalidAnnotation"), nad("net/x", raw="{"), nad("net/y", "10.2.0.0/24", annotations={ALLOWED: "team=z"})),
    among("a-request-does-not-steer-the-choice", pending("a/s", "RequestedAddressOutsideNetwork"), nad("net/x", "10.1.0.0/24"), nad("net/y", "10.2.0.0/24"), spec={"loadBalancerIP": "10.2.0.9"}),
]  # fmt: skip


def allowing(name: str, text: str, *, lets_in: bool, labels: dict[str, str] | None = None) -> Case:
    return case(
        f"allowed-namespaces-{name}",
        world(namespace("a", {"team": "blue", "env": "dev"} if labels is None else labels), nad("net/x", OTHER, annotations={ALLOWED: text}), service("a/s", {NETWORK: "net/x"})),
        ready("a/s", "198.51.100.2") if lets_in else pending("a/s", "NetworkNotAllowed"),
    )  # fmt: skip


ALLOWING = [
    allowing("equal", "team=blue", lets_in=True),
    allowing("equal-twice", "team==blue", lets_in=True),
    allowing("unequal", "team!=blue", lets_in=False),
    allowing("in", "team in (red, blue)", lets_in=True),
    allowing("notin", "team notin (blue)", lets_in=False),
    allowing("present", "team", lets_in=True),
    allowing("absent", "!team", lets_in=False),
    allowing("all-terms-count", "team=blue,env in (prod,test)", lets_in=False),
    allowing("blanks-around-commas", " team=blue , env in ( dev , test ) ", lets_in=True),
    allowing("by-the-name-label", "kubernetes.io/metadata.name=a", lets_in=True),
    allowing("unlabelled-namespace", "team=blue", lets_in=False, labels={}),
    case(
        "allowed-namespaces-of-a-virtual-network",
        world(*by_vn("net/x", OTHER, annotations={ALLOWED: "team=z"}), service("a/s", {NETWORK: "net/x"})),
        pending("a/s", "NetworkNotAllowed"),
    ),
    case(
        "a-namespace-that-gets-the-label-is-let-in",
        world(nad("net/x", OTHER, annotations={ALLOWED: "team=z"}), service("a/s", {NETWORK: "net/x"})),
        pending("a/s", "NetworkNotAllowed"),
        apply(namespace("a", {"team": "z"})),
        ready("a/s", "198.51.100.2"),
    ),
]

CN2 = [
    namespace("custom-namespace", {"customNamespaceKey": "custom-namespace-value"}),
    nad("contrail/default-external-vn", "192.168.102.0/24", labels={NETWORK: "default-external"}),
    nad("custom-namespace/external-vn-1", "192.168.103.0/24", labels={"customNetworkKey": "custom-network-value"}),
    nad("custom-namespace/external-vn-2", "192.168.104.0/24", labels={"customExternalInServiceNetworkKey": "custom-external-in-service-network-value"}),
    kubemanager({
        "default-external": matching({NETWORK: "default-external"}),
        "custom-external": matching({"customNetworkKey": "custom-network-value"}, {"matchLabels": {"customNamespaceKey": "custom-namespace-value"}}),
        "custom-external-in-service-namespace": matching({"customExternalInServiceNetworkKey": "custom-external-in-service-network-value"}),
    }),
]  # fmt: skip


def documented(name: str, one: Object, address: str, place: str) -> Case:
    full_name = f"{one['metadata']['namespace']}/{one['metadata']['name']}"
    return case(
        name,
        apply(namespace("contrail"), namespace("a"), node("n1"), *CN2, one),
        ready(full_name, address, network=place),
    )


DOCUMENTED = [
    documented("documented-example-1-no-annotation", service("a/s"), "192.168.102.2", "contrail/default-external-vn"),
    documented("documented-example-2-a-network", service("a/s", {NETWORK: "custom-namespace/external-vn-1"}), "192.168.103.2", "custom-namespace/external-vn-1"),
    documented("documented-example-3-a-selector", service("a/s", {SELECTOR: "custom-external"}), "192.168.103.2", "custom-namespace/external-vn-1"),
    documented("documented-example-4-a-selector-in-the-services-namespace", service("custom-namespace/s", {SELECTOR: "custom-external-in-service-namespace"}), "192.168.104.2", "custom-namespace/external-vn-2"),
    case(
        "documented-example-a-nad-in-a-project",
        world(nad("ecmp-project/ecmp-default", "192.168.102.0/24"), service("ecmp-project/s", {NETWORK: "ecmp-project/ecmp-default"})),
        ready("ecmp-project/s", "192.168.102.2", network="ecmp-project/ecmp-default"),
    ),
    case(
        "a-pending-service-says-what-to-do",
        world(service("a/s", {NETWORK: "net/none"}), service("a/t", {SELECTOR: "none"}), service("a/u", {ADDRESSES: "nonsense"})),
        says("a/s", "net/none", "Service a/s"),
        says("a/t", "'none'", "default-external"),
        says("a/u", "nonsense", ADDRESSES),
        network("net/ext", allocated=0),
    ),
]  # fmt: skip

CASES = [*LADDER, *NO_FALL_THROUGH, *NAMES, *SELECTORS, *DEFAULTS, *SETTINGS, *SEVERAL, *ALLOWING, *DOCUMENTED]


@table(CASES)
def test_selection(case: Case) -> None:
    play(case)
