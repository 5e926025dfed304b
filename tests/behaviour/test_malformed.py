"""Custom resources with values of wrong types: Services that need one get the field's name, all others are served."""

from __future__ import annotations

from typing import Any, Final

from tests.behaviour.play import (
    Case,
    Look,
    Moment,
    case,
    happened,
    network,
    no_network,
    pending,
    play,
    ready,
    says,
    table,
    told,
)
from tests.behaviour.world import world
from tests.builders.objects import (
    DEFAULT_LABELS,
    NETWORK,
    SELECTOR,
    Object,
    by_vn,
    dual,
    kubemanager,
    matching,
    nad,
    namespace,
    node,
    service,
    subnet,
    vn,
)
from tests.support.simulate import apply

OTHER: Final = "198.51.100.0/24"
GOLD: Final = {"tier": "gold"}
DEFAULT: Final = {"default-external": matching(DEFAULT_LABELS)}
FIELD: Final = "spec.externalNetworkSelectors"


def with_spec(obj: Object, spec: Any) -> Object:
    """The object with this spec; a mapping is merged into its own, null values included."""
    return {**obj, "spec": {**obj["spec"], **spec} if isinstance(spec, dict) else spec}


def on(place: str, name: str = "a/s") -> Object:
    return service(name, {NETWORK: place})


# -- the Kubemanager ---------------------------------------------------------------------------------------------------


def manager(spec: Any) -> Object:
    return {**kubemanager(), "spec": spec}


WHOLE: Final = {
    "selectors-are-a-list": ({"externalNetworkSelectors": [DEFAULT]}, FIELD),
    "selectors-are-a-word": ({"externalNetworkSelectors": "default-external"}, FIELD),
    "selectors-are-a-number": ({"externalNetworkSelectors": 7}, FIELD),
    "spec-is-a-list": ([DEFAULT], "spec"),
    "spec-is-a-word": ("default-external", "spec"),
}
KUBEMANAGERS = [
    *(
        case(
            f"a-kubemanager-whose-{what}-stops-those-who-need-a-selector",
            world(
                service("a/d"),
                service("a/n", {SELECTOR: "gold"}),
                on("net/ext"),
                kubemanagers=[manager(spec)],
            ),
            pending("a/d", "InvalidAnnotation", rung="default-selector"),
            says("a/d", "Kubemanager contrail/contrail-k8s-kubemanager", field),
            told("InvalidAnnotation", about="Service a/d"),
            pending("a/n", "InvalidAnnotation", rung="service-annotation:externalNetworkSelector"),
            says("a/n", field),
            ready("a/s", "192.0.2.2"),
            apply(kubemanager()),
            ready("a/d", "192.0.2.3"),
            pending("a/n", "SelectorNotFound"),
            ready("a/s", "192.0.2.2"),
        )
        for what, (spec, field) in WHOLE.items()
    ),
    *(
        case(
            f"a-kubemanager-whose-{what}-moves-no-holder",
            world(service("a/d")),
            ready("a/d", "192.0.2.2"),
            apply(manager(spec)),
            happened(),
            ready("a/d", "192.0.2.2", network="net/ext"),
            apply(service("a/e")),
            pending("a/e", "InvalidAnnotation"),
        )
        for what, (spec, _) in WHOLE.items()
    ),
    case(
        "an-unreadable-kubemanager-is-not-mended-by-the-settings",
        world(service("a/d"), kubemanagers=[manager([])]),
        pending("a/d", "InvalidAnnotation"),
        settings={"externalNetworkSelectors": DEFAULT},
    ),
    *(
        case(
            f"a-kubemanager-whose-{what}-defines-nothing",
            world(service("a/d"), service("a/n", {SELECTOR: "gold"}), kubemanagers=[manager(spec)]),
            pending("a/d", "NoDefaultNetwork"),
            pending("a/n", "SelectorNotFound"),
        )
        for what, spec in {
            "spec-is-null": None,
            "spec-is-empty": {},
            "selectors-are-null": {"externalNetworkSelectors": None},
            "selectors-are-empty": {"externalNetworkSelectors": {}},
        }.items()
    ),
]  # fmt: skip

ENTRIES: Final[dict[str, tuple[Any, str]]] = {
    "null": (None, "gold"),
    "a-list": ([matching(GOLD)], "gold"),
    "empty": ({}, "gold.networkSelector"),
    "with-a-null-network-selector": ({"networkSelector": None}, "gold.networkSelector"),
    "with-a-listed-network-selector": ({"networkSelector": ["tier=gold"]}, "gold.networkSelector"),
    "with-a-misspelt-key": ({"networkSelectors": {"matchLabels": GOLD}}, "gold.networkSelectors"),
    "with-labels-beside-match-labels": ({"networkSelector": GOLD}, "gold.networkSelector.tier"),
    "with-listed-labels": ({"networkSelector": {"matchLabels": ["tier"]}}, "gold.networkSelector.matchLabels"),
    "with-a-numeric-label": (
        {"networkSelector": {"matchLabels": {"tier": 1}}},
        "gold.networkSelector.matchLabels.tier",
    ),
    "with-a-null-label": (
        {"networkSelector": {"matchLabels": {"tier": None}}},
        "gold.networkSelector.matchLabels.tier",
    ),
    "with-a-label-with-blanks": (
        {"networkSelector": {"matchLabels": {"tier": " gold"}}},
        "gold.networkSelector.matchLabels.tier",
    ),
    "with-expressions-in-a-mapping": (
        matching(None, expressions={"key": "tier"}),
        "gold.networkSelector.matchExpressions",
    ),
    "with-an-expression-that-is-a-word": (
        matching(None, expressions=["tier"]),
        "gold.networkSelector.matchExpressions[0]",
    ),
    "with-an-expression-without-a-key": (
        matching(None, expressions=[{"operator": "Exists"}]),
        "gold.networkSelector.matchExpressions[0].key",
    ),
    "with-an-expression-without-an-operator": (
        matching(None, expressions=[{"key": "tier"}]),
        "gold.networkSelector.matchExpressions[0].operator",
    ),
    "with-an-operator-in-small-letters": (
        matching(None, expressions=[{"key": "tier", "operator": "exists"}]),
        "gold.networkSelector.matchExpressions[0].operator",
    ),
    "with-a-listed-operator": (
        matching(None, expressions=[{"key": "tier", "operator": ["In"]}]),
        "gold.networkSelector.matchExpressions[0].operator",
    ),
    "with-values-in-one-word": (
        matching(None, expressions=[{"key": "tier", "operator": "In", "values": "gold"}]),
        "gold.networkSelector.matchExpressions[0].values",
    ),
    "with-a-numeric-value": (
        matching(None, expressions=[{"key": "tier", "operator": "In", "values": [1]}]),
        "gold.networkSelector.matchExpressions[0].values[0]",
    ),
    "with-values-for-exists": (
        matching(None, expressions=[{"key": "tier", "operator": "Exists", "values": ["x"]}]),
        "gold.networkSelector.matchExpressions[0].values",
    ),
    "with-a-broken-namespace-selector": (matching(GOLD, "a"), "gold.namespaceSelector"),
    "with-broken-namespace-labels": (matching(GOLD, {"matchLabels": 5}), "gold.namespaceSelector.matchLabels"),
}
KUBEMANAGERS += [
    case(
        f"a-selector-{how}-stops-only-those-who-use-it",
        world(
            nad("a/x", OTHER, labels=GOLD),
            service("a/s", {SELECTOR: "gold"}),
            service("a/d"),
            service("a/o", {SELECTOR: "other"}),
            kubemanagers=[kubemanager({**DEFAULT, "gold": entry, "other": matching(GOLD)})],
        ),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "Kubemanager contrail/contrail-k8s-kubemanager", f"{FIELD}.{field}"),
        ready("a/d", "192.0.2.2"),
        ready("a/o", "198.51.100.2"),
    )
    for how, (entry, field) in ENTRIES.items()
]  # fmt: skip
KUBEMANAGERS += [
    case(
        "a-null-namespace-selector-is-an-absent-one",
        world(nad("a/x", OTHER, labels=GOLD), nad("b/x", "10.0.0.0/24", labels=GOLD), service("a/s", {SELECTOR: "gold"}), service("b/s", {SELECTOR: "gold"}),
              kubemanagers=[kubemanager({"gold": matching(GOLD, None)})]),
        ready("a/s", "198.51.100.2"),
        ready("b/s", "10.0.0.2"),
    ),
    case(
        "null-labels-and-expressions-match-everything",
        world(nad("a/x", OTHER), service("a/s", {SELECTOR: "gold"}), kubemanagers=[kubemanager({"gold": {"networkSelector": {"matchLabels": None, "matchExpressions": None}}})]),
        ready("a/s", "198.51.100.2"),
    ),
    case(
        "a-broken-selector-in-the-settings-names-the-settings",
        world(service("a/s", {SELECTOR: "gold"}), service("a/d"), kubemanagers=[]),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "settings", "externalNetworkSelectors.gold"),
        ready("a/d", "192.0.2.2"),
        settings={"externalNetworkSelectors": {**DEFAULT, "gold": {"networkSelector": 5}}},
    ),
]  # fmt: skip

# -- networks ----------------------------------------------------------------------------------------------------------


def closed(
    name: str, about: str, field: str, *objects: Object, mended: tuple[Object, ...], problem_of: str = ""
) -> Case:
    """The network ``net/x`` of these objects gives out nothing and names the field (of ``problem_of``); its holder, had
    it been well before, keeps; everybody else is served.
    """
    return case(
        f"{name}-closes-the-network-and-names-the-field",
        world(*objects, on("net/x"), service("a/t")),
        told("InvalidAnnotation", about=about),
        told("InvalidAnnotation", about="Service a/s"),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", problem_of or about, field),
        network("net/x", problem="InvalidAnnotation", allocated=0),
        ready("a/t", "192.0.2.2"),
        apply(*mended),
        network("net/x", problem=None),
        ready("a/s", "198.51.100.2"),
        apply(*objects, on("net/x", "a/u")),
        happened(),
        ready("a/s", "198.51.100.2"),
        pending("a/u", "InvalidAnnotation"),
    )  # fmt: skip


VN, SUBNET = by_vn("net/x", OTHER)
NAD = nad("net/x", OTHER)
BROKEN_VNS: Final[dict[str, tuple[Any, str]]] = {
    "spec-is-a-list": ([VN["spec"]], "spec"),
    "spec-is-a-word": ("net/x-v4", "spec"),
    "reference-is-a-word": ({"v4SubnetReference": "net/x-v4"}, "spec.v4SubnetReference"),
    "reference-is-a-list": ({"v4SubnetReference": [VN["spec"]["v4SubnetReference"]]}, "spec.v4SubnetReference"),
    "reference-has-a-numeric-name": ({"v4SubnetReference": {"name": 4}}, "spec.v4SubnetReference.name"),
    "reference-has-a-listed-namespace": ({"v4SubnetReference": {"name": "x-v4", "namespace": ["net"]}}, "spec.v4SubnetReference.namespace"),
    "other-reference-is-a-word": ({"v6SubnetReference": "net/x-v6"}, "spec.v6SubnetReference"),
    "route-targets-are-a-number": ({"routeTargetList": 64512}, "spec.routeTargetList"),
    "route-targets-are-numbers": ({"routeTargetList": [64512]}, "spec.routeTargetList[0]"),
    "imported-route-targets-are-a-mapping": ({"importRouteTargetList": {}}, "spec.importRouteTargetList"),
    "exported-route-targets-are-nested": ({"exportRouteTargetList": [["target:1:1"]]}, "spec.exportRouteTargetList[0]"),
}  # fmt: skip
BROKEN_SUBNETS: Final[dict[str, tuple[Any, str]]] = {
    "spec-is-a-list": ([SUBNET["spec"]], "spec"),
    "spec-is-a-word": (OTHER, "spec"),
    "cidr-is-a-number": ({"cidr": 24}, "spec.cidr"),
    "cidr-is-a-list": ({"cidr": [OTHER]}, "spec.cidr"),
    "cidr-is-null": ({"cidr": None}, "spec.cidr"),
    "cidr-is-blank": ({"cidr": "  "}, "spec.cidr"),
    "gateway-is-a-number": ({"defaultGateway": 1}, "spec.defaultGateway"),
    "ranges-are-a-word": ({"ranges": "198.51.100.2-198.51.100.9"}, "spec.ranges"),
    "ranges-are-a-mapping": ({"ranges": {"ipRanges": []}}, "spec.ranges"),
    "range-is-a-word": ({"ranges": ["198.51.100.2-198.51.100.9"]}, "spec.ranges[0]"),
    "ip-ranges-are-a-mapping": ({"ranges": [{"ipRanges": {"from": "198.51.100.2"}}]}, "spec.ranges[0].ipRanges"),
    "range-starts-with-a-number": ({"ranges": [{"ipRanges": [{"from": 2, "to": "198.51.100.9"}]}]}, "spec.ranges[0].ipRanges[0].from"),
    "range-has-no-end": ({"ranges": [{"ipRanges": [{"from": "198.51.100.2"}]}]}, "spec.ranges"),
}  # fmt: skip
BROKEN_CONFIGS: Final[dict[str, tuple[Any, str]]] = {
    "spec-is-a-list": ([], "spec"),
    "spec-is-a-word": ("contrail-k8s-cni", "spec"),
    "config-is-a-mapping": ({"config": {"cniVersion": "0.3.1", "type": "contrail-k8s-cni"}}, "spec.config"),
    "config-is-a-list": ({"config": []}, "spec.config"),
    "config-is-a-number": ({"config": 5}, "spec.config"),
    "config-is-no-json": ({"config": "type: contrail-k8s-cni"}, "spec.config"),
    "config-is-json-but-no-object": ({"config": '["contrail-k8s-cni"]'}, "spec.config"),
}
ABOUT_VN, ABOUT_NAD = "VirtualNetwork net/x", "NetworkAttachmentDefinition net/x"
BROKEN = [
    *(
        closed(f"a-virtual-network-whose-{what}", ABOUT_VN, field, with_spec(VN, spec), SUBNET, mended=(VN,))
        for what, (spec, field) in BROKEN_VNS.items()
    ),
    *(
        closed(f"a-subnet-whose-{what}", ABOUT_VN, field, VN, with_spec(SUBNET, spec), mended=(SUBNET,), problem_of="Subnet net/x-v4")
        for what, (spec, field) in BROKEN_SUBNETS.items()
    ),
    *(
        closed(f"a-nad-whose-{what}", ABOUT_NAD, field, with_spec(NAD, spec), mended=(NAD,))
        for what, (spec, field) in BROKEN_CONFIGS.items()
    ),
    *(
        closed(f"a-nad-without-annotation-whose-{what}", ABOUT_NAD, field, with_spec(nad("net/x", raw=None), spec), mended=(NAD,))
        for what, (spec, field) in BROKEN_CONFIGS.items()
    ),
]  # fmt: skip


def broken_by_hand(moment: Moment, spec: Any) -> None:
    moment.cluster.apply(with_spec(moment.cluster.get("VirtualNetwork", "net", "x"), spec))


def untouched(name: str) -> Look:
    """The NAD carries nothing of ours."""

    def look(moment: Moment) -> None:
        place, _, bare = name.partition("/")
        found = moment.cluster.get("NetworkAttachmentDefinition", place, bare)["metadata"]
        assert not found.get("finalizers")
        assert "juniper.net/networks-status" not in found.get("annotations", {})

    return look


BROKEN += [
    case(
        "a-nad-of-another-plugin-written-as-a-mapping-defines-no-network",
        world(with_spec(nad("net/x", raw=None), {"config": {"type": "macvlan"}}), on("net/x")),
        pending("a/s", "NetworkNotFound"),
        no_network("net/x"),
        untouched("net/x"),
    ),
    case(
        "a-nad-with-an-empty-config-defines-no-network",
        world(nad("net/x", raw=None, config=" "), on("net/x")),
        pending("a/s", "NetworkNotFound"),
        no_network("net/x"),
    ),
    case(
        "a-nad-that-nothing-tells-to-be-cn2s-is-not-written-to",
        world(nad("net/x", raw=None, config="{"), on("net/x")),
        pending("a/s", "InvalidAnnotation"),
        untouched("net/x"),
    ),
    case(
        "an-unreadable-nad-does-not-disturb-a-virtual-network-of-its-name",
        world(nad("net/x", raw=None, config="{"), VN, SUBNET, on("net/x")),
        ready("a/s", "198.51.100.2"),
        network("net/x", problem=None),
        untouched("net/x"),
    ),
    case(
        "a-broken-subnet-beside-a-nad-is-a-warning-since-the-nad-has-the-prefix",
        world(NAD, with_spec(SUBNET, {"ranges": "all", "cidr": 5}), on("net/x")),
        ready("a/s", "198.51.100.2"),
    ),
    case(
        "a-virtual-network-of-ours-that-another-client-breaks-is-put-right",
        world(NAD, on("net/x")),
        lambda moment: broken_by_hand(moment, {"routeTargetList": 5}),
        apply(on("net/x", "a/t")),
        told("ForeignChangeReverted", about=ABOUT_NAD),
        network("net/x", problem=None),
        ready("a/t", "198.51.100.3"),
        lambda moment: broken_by_hand(moment, []),
        apply(on("net/x", "a/u")),
        network("net/x", problem=None),
        ready("a/u", "198.51.100.4"),
    ),
    case(
        "a-broken-match-of-a-selector-is-passed-over",
        world(
            with_spec(vn("net/a", "net/x-v4", labels=GOLD), {"routeTargetList": 5}),
            *by_vn("net/b", "203.0.113.0/24", labels=GOLD),
            subnet("net/x-v4", OTHER),
            service("a/s", {SELECTOR: "gold"}),
            kubemanagers=[kubemanager({"gold": matching(GOLD, {})})],
        ),
        ready("a/s", "203.0.113.2", network="net/b"),
    ),
    case(
        "a-holder-of-both-families-keeps-both-when-one-subnet-breaks",
        world(*by_vn("net/x", OTHER, "2001:db8::/64"), dual("a/s", "RequireDualStack", {NETWORK: "net/x"}), dual("a/p", "PreferDualStack", {NETWORK: "net/x"})),
        ready("a/s", "198.51.100.3", "2001:db8::3"),
        apply({**subnet("net/x-v6", "2001:db8::/64"), "spec": {"cidr": 64}}),
        happened(),
        ready("a/s", "198.51.100.3", "2001:db8::3"),
        ready("a/p", "198.51.100.2", "2001:db8::2"),
        apply(on("net/x", "a/u")),
        pending("a/u", "InvalidAnnotation"),
        says("a/u", "Subnet net/x-v6", "spec.cidr"),
        apply(subnet("net/x-v6", "2001:db8::/64")),
        ready("a/u", "198.51.100.4"),
        ready("a/s", "198.51.100.3", "2001:db8::3"),
    ),
    case(
        "with-multus-a-broken-virtual-network-is-refused-as-one",
        world(with_spec(VN, []), on("net/x")),
        pending("a/s", "MultusRequiresNAD"),
        settings={"multus": True},
    ),
    case(
        "nulls-in-a-virtual-network-and-its-subnet-say-nothing",
        apply(
            namespace("a"),
            node("n1"),
            with_spec(VN, dict.fromkeys(("v6SubnetReference", "routeTargetList", "importRouteTargetList", "exportRouteTargetList"))),
            with_spec(SUBNET, {"defaultGateway": None, "ranges": None}),
            on("net/x"),
        ),
        ready("a/s", "198.51.100.2"),
    ),
]  # fmt: skip


@table([*KUBEMANAGERS, *BROKEN])
def test_malformed(case: Case) -> None:
    play(case)
