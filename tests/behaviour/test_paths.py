"""Which backends answer for an address, on which nodes, and with what weight."""

from __future__ import annotations

from typing import Any

from ledgerlb.core.paths.pathset import LocalBackends
from tests.behaviour.play import (
    Case,
    Moment,
    case,
    condition,
    forwards,
    happened,
    hops,
    play,
    ready,
    says,
    serves,
    table,
)
from tests.behaviour.world import world
from tests.builders.objects import (
    DEFAULT_LABELS,
    SHARING,
    Object,
    dual,
    endpoint,
    meta,
    nad,
    node,
    pod,
    port,
    service,
    slice_of,
)
from tests.support.simulate import apply, delete

VIP = "192.0.2.2"
N2 = node("n2", "10.10.0.2")
N3 = node("n3", "10.10.0.3")
S = service("a/s")
EXCLUDED = {**N2, "metadata": {"name": "n2", "labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}


def set_to(name: str = "a/s", address: str = VIP, **nodes: Any) -> Any:
    """The whole path set: nothing but these nodes."""

    def look(moment: Moment) -> None:
        assert moment.step["services"][name]["path_set"] == {address: nodes}

    return look


def hop(*backends: str, draining: tuple[str, ...] = (), weight: int | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {"weight": len(backends) if weight is None else weight, "backends": list(backends)}
    return {**shown, "draining": list(draining)} if draining else shown


WEIGHTS = [
    case(
        "a-weight-is-the-number-of-ready-pods-of-the-node",
        world(N2, S, slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.2.0.1", "n2"), endpoint("10.2.0.2", "n2"))),
        set_to(n1=hop("10.1.0.1:8080"), n2=hop("10.2.0.1:8080", "10.2.0.2:8080")),
    ),
    case("an-address-without-endpoints-has-no-next-hop", world(S), set_to()),
    case(
        "an-endpoint-that-is-not-ready-carries-nothing",
        world(S, slice_of("a/s", endpoint("10.1.0.1", ready=False, serving=False), endpoint("10.1.0.2", ready=True))),
        set_to(n1=hop("10.1.0.2:8080")),
    ),
    case("unknown-conditions-are-ready", world(S, slice_of("a/s", endpoint("10.1.0.1"))), set_to(n1=hop("10.1.0.1:8080"))),
    case(
        "a-terminating-endpoint-that-serves-drains",
        world(S, slice_of("a/s", endpoint("10.1.0.1", ready=False, serving=True, terminating=True), endpoint("10.1.0.2", ready=True))),
        set_to(n1=hop("10.1.0.2:8080", draining=("10.1.0.1:8080",))),
    ),
    case(
        "a-node-whose-endpoints-all-drain-takes-no-new-flows",
        world(N2, S, slice_of("a/s", endpoint("10.2.0.1", "n2", ready=False, serving=True, terminating=True), endpoint("10.1.0.2", ready=True))),
        set_to(n1=hop("10.1.0.2:8080"), n2=hop(draining=("10.2.0.1:8080",))),
    ),
    case(
        "draining-endpoints-take-new-flows-when-none-is-ready",
        world(S, slice_of("a/s", endpoint("10.1.0.1", ready=False, serving=True, terminating=True), endpoint("10.1.0.2", ready=False, serving=False))),
        set_to(n1=hop("10.1.0.1:8080")),
    ),
    case(
        "a-terminating-endpoint-of-unknown-serving-drains",
        world(S, slice_of("a/s", endpoint("10.1.0.1", ready=False, terminating=True), endpoint("10.1.0.2"))),
        set_to(n1=hop("10.1.0.2:8080", draining=("10.1.0.1:8080",))),
    ),
    case(
        "a-terminating-endpoint-that-serves-no-more-is-out",
        world(S, slice_of("a/s", endpoint("10.1.0.1", ready=False, serving=False, terminating=True), endpoint("10.1.0.2"))),
        set_to(n1=hop("10.1.0.2:8080")),
    ),
    case(
        "not-ready-addresses-that-are-to-be-published-are-ready-already",
        world({**S, "spec": {**S["spec"], "publishNotReadyAddresses": True}}, {**pod("a/p", "10.1.0.1"), "status": {"phase": "Pending", "podIPs": [{"ip": "10.1.0.1"}]}},
              slice_of("a/s", endpoint("10.1.0.1", of="a/p", ready=True, serving=False))),
        set_to(n1=hop("10.1.0.1:8080")),
    ),
    case(
        "an-excluded-node-is-no-next-hop",
        world(EXCLUDED, S, slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.2.0.1", "n2"))),
        set_to(n1=hop("10.1.0.1:8080")),
        apply({**N2, "metadata": {"name": "n2"}}),
        set_to(n1=hop("10.1.0.1:8080"), n2=hop("10.2.0.1:8080")),
        happened(),
    ),
    case(
        "draining-endpoints-serve-when-the-only-ready-ones-are-on-excluded-nodes",
        world(EXCLUDED, S, slice_of("a/s", endpoint("10.1.0.1", ready=False, serving=True, terminating=True), endpoint("10.2.0.1", "n2"))),
        set_to(n1=hop("10.1.0.1:8080")),
    ),
    case(
        "an-endpoint-without-a-node-is-where-its-pod-is",
        world(N2, S, pod("a/p", "10.2.0.1", on="n2"), slice_of("a/s", endpoint("10.2.0.1", on="", of="a/p"))),
        set_to(n2=hop("10.2.0.1:8080")),
    ),
    case(
        "endpoints-move-with-the-pods-and-no-entry-is-written",
        world(N2, S, slice_of("a/s", endpoint("10.1.0.1"))),
        apply(slice_of("a/s", endpoint("10.2.0.1", "n2"))),
        happened(),
        set_to(n2=hop("10.2.0.1:8080")),
        apply(slice_of("a/s")),
        set_to(),
        ready("a/s", VIP),
    ),
]  # fmt: skip

SLICES = [
    case(
        "every-slice-of-the-service-counts",
        world(N2, S, slice_of("a/s", endpoint("10.1.0.1")), slice_of("a/s", endpoint("10.2.0.1", "n2"), number=2), slice_of("a/s", endpoint("10.1.0.2"), number=3)),
        set_to(n1=hop("10.1.0.1:8080", "10.1.0.2:8080"), n2=hop("10.2.0.1:8080")),
    ),
    case(
        "an-endpoint-in-two-slices-counts-once",
        world(S, slice_of("a/s", endpoint("10.1.0.1")), slice_of("a/s", endpoint("10.1.0.1"), number=2)),
        set_to(n1=hop("10.1.0.1:8080")),
    ),
    case(
        "an-endpoint-twice-in-one-slice-counts-once",
        world(S, slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.1.0.1"))),
        set_to(n1=hop("10.1.0.1:8080")),
    ),
    case(
        "of-two-slices-that-disagree-terminating-is-the-newer",
        world(S, slice_of("a/s", endpoint("10.1.0.1")), slice_of("a/s", endpoint("10.1.0.1", ready=False, serving=True, terminating=True), endpoint("10.1.0.2"), number=2)),
        set_to(n1=hop("10.1.0.2:8080", draining=("10.1.0.1:8080",))),
    ),
    case("slices-of-other-services-do-not-count", world(S, slice_of("a/t", endpoint("10.1.0.1")), slice_of("b/s", endpoint("10.1.0.2"))), set_to()),
    case("a-slice-that-goes-takes-its-endpoints-along", world(S, slice_of("a/s", endpoint("10.1.0.1")), slice_of("a/s", endpoint("10.1.0.2"), number=2)), delete("EndpointSlice", "a/s-2"), set_to(n1=hop("10.1.0.1:8080"))),
    case(
        "ipv6-slices-serve-the-ipv6-address",
        world(node("n1", "10.10.0.1", "fd10::1"), dual("a/s", "RequireDualStack"), slice_of("a/s", endpoint("10.1.0.1")), slice_of("a/s", endpoint("fd00::1"), number=2, family="IPv6"), default=nad("net/ext", v6="2001:db8::/64", labels=DEFAULT_LABELS)),
        hops("a/s", VIP, n1=hop("10.1.0.1:8080")),
        hops("a/s", "2001:db8::2", n1=hop("[fd00::1]:8080")),
    ),
    case("slices-of-names-are-no-backends", world(S, slice_of("a/s", {"addresses": ["db.example"], "conditions": {}}, family="FQDN")), set_to(), ready("a/s", VIP)),
]  # fmt: skip


def with_ports(*ports: Object, **more: Any) -> Object:
    return service("a/s", ports=list(ports), **more)


def offered(*ports: tuple[str, str, int]) -> list[Object]:
    return [{"name": name, "protocol": protocol, "port": number} for name, protocol, number in ports]


def frontends(*pairs: tuple[str, int]) -> Any:
    def look(moment: Moment) -> None:
        found = moment.path_set(VIP)
        assert found is not None
        assert [(one.protocol, one.port) for one in found.frontends] == list(pairs)

    return look


PORTS = [
    case(
        "a-pod-with-two-ports-counts-once",
        world(with_ports(port(80, name="http"), port(443, name="https")), slice_of("a/s", endpoint("10.1.0.1", of="a/p"), ports=offered(("http", "TCP", 8080), ("https", "TCP", 8443)))),
        set_to(n1=hop("10.1.0.1:8080", "10.1.0.1:8443", weight=1)),
    ),
    case(
        "a-named-target-port-may-differ-from-pod-to-pod",
        world(service("a/s", ports=[port(80, target="web", name="http")]), slice_of("a/s", endpoint("10.1.0.1")), slice_of("a/s", endpoint("10.1.0.2"), number=2, ports=offered(("http", "TCP", 9090)))),
        set_to(n1=hop("10.1.0.1:8080", "10.1.0.2:9090")),
    ),
    case(
        "each-port-has-the-backends-of-its-own-number-on-each-pod",
        world(
            with_ports(port(80, target="web", name="http"), port(443, target="tls", name="https")),
            slice_of("a/s", endpoint("10.1.0.1"), ports=offered(("http", "TCP", 8080), ("https", "TCP", 8443))),
            slice_of("a/s", endpoint("10.1.0.2"), number=2, ports=offered(("http", "TCP", 9090))),
        ),
        serves(VIP, 80, local=(LocalBackends(node="n1", backends=("10.1.0.1:8080", "10.1.0.2:9090")),)),
        serves(VIP, 443, local=(LocalBackends(node="n1", backends=("10.1.0.1:8443",)),)),
        set_to(n1=hop("10.1.0.1:8080", "10.1.0.1:8443", "10.1.0.2:9090", weight=2)),
    ),
    case(
        "what-drains-for-one-port-may-be-the-only-backend-of-another",
        world(
            with_ports(port(80, name="http"), port(443, name="https")),
            slice_of("a/s", endpoint("10.1.0.1"), ports=offered(("http", "TCP", 8080))),
            slice_of("a/s", endpoint("10.1.0.2", ready=False, serving=True, terminating=True), number=2, ports=offered(("http", "TCP", 8080), ("https", "TCP", 8443))),
        ),
        serves(VIP, 80, local=(LocalBackends(node="n1", backends=("10.1.0.1:8080",), draining=("10.1.0.2:8080",)),)),
        serves(VIP, 443, local=(LocalBackends(node="n1", backends=("10.1.0.2:8443",)),)),
    ),
    case(
        "agents-tell-an-endpoint-that-fails-its-checks-from-one-that-is-gone",
        world(S, slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.1.0.2", ready=False))),
        serves(VIP, 80, local=(LocalBackends(node="n1", backends=("10.1.0.1:8080",), unready=("10.1.0.2:8080",)),)),
        set_to(n1=hop("10.1.0.1:8080")),
    ),
    case(
        "on-a-node-that-is-excluded-the-backends-keep-their-flows",
        world(EXCLUDED, S, slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.2.0.1", "n2"))),
        serves(VIP, 80, local=(LocalBackends(node="n1", backends=("10.1.0.1:8080",)), LocalBackends(node="n2", draining=("10.2.0.1:8080",)))),
        set_to(n1=hop("10.1.0.1:8080")),
    ),
    case("tcp-udp-and-sctp-in-one-service", world(with_ports(port(53, "TCP"), port(53, "UDP"), port(99, "SCTP"))), frontends(("SCTP", 99), ("TCP", 53), ("UDP", 53))),
    case(
        "sctp-stays-sctp",
        world(with_ports(port(99, "SCTP", name="s")), slice_of("a/s", endpoint("10.1.0.1"), ports=offered(("s", "SCTP", 9999)))),
        frontends(("SCTP", 99)),
        set_to(n1=hop("10.1.0.1:9999")),
        ready("a/s", VIP),
    ),
    case("an-endpoint-port-of-another-protocol-is-not-taken", world(with_ports(port(99, "SCTP", name="s")), slice_of("a/s", endpoint("10.1.0.1"), ports=offered(("s", "UDP", 9999)))), set_to()),
    case(
        "a-protocol-that-is-not-supported-is-refused-for-that-port",
        world(with_ports(port(80, name="http"), port(81, "DCCP")), slice_of("a/s", endpoint("10.1.0.1"))),
        ready("a/s", VIP, reason="UnsupportedProtocol"),
        says("a/s", "DCCP/81"),
        frontends(("TCP", 80)),
        condition("a/s", "LoadBalancerPortsError", status="True", reason="UnsupportedProtocol"),
        apply(with_ports(port(80, name="http"))),
        ready("a/s", VIP),
        condition("a/s", "LoadBalancerPortsError", status="False"),
    ),
    case("a-port-taken-away-is-forwarded-no-more", world(with_ports(port(80), port(443))), frontends(("TCP", 80), ("TCP", 443)), apply(with_ports(port(443))), frontends(("TCP", 443))),
    case(
        "services-that-share-an-address-have-all-their-ports-and-backends-there",
        world(service("a/s", {SHARING: "k"}), service("a/t", {SHARING: "k"}, port=443), slice_of("a/s", endpoint("10.1.0.1")), slice_of("a/t", endpoint("10.1.0.2"))),
        frontends(("TCP", 80), ("TCP", 443)),
        forwards(VIP, services=("a/s", "a/t")),
        set_to(n1=hop("10.1.0.1:8080", "10.1.0.2:8080")),
        delete("Service", "a/t"),
        frontends(("TCP", 80)),
        set_to(n1=hop("10.1.0.1:8080")),
    ),
]  # fmt: skip

LEGACY = "service.beta.kubernetes.io/load-balancer-source-ranges"
POLICIES = [
    *(
        case(
            f"next-hops-are-nodes-with-local-backends-whatever-the-policy-{policy.lower()}",
            world(N2, N3, service("a/s", externalTrafficPolicy=policy), slice_of("a/s", endpoint("10.1.0.1"), endpoint("10.2.0.1", "n2"))),
            set_to(n1=hop("10.1.0.1:8080"), n2=hop("10.2.0.1:8080")),
            serves(VIP, external_traffic_policy=policy),
        )
        for policy in ("Local", "Cluster")
    ),
    case("without-source-ranges-everybody-is-admitted", world(S), serves(VIP, source_ranges=None)),
    case("source-ranges-are-for-the-data-path-to-enforce", world(service("a/s", loadBalancerSourceRanges=["10.0.0.0/8", "203.0.113.0/24"])), serves(VIP, source_ranges=("10.0.0.0/8", "203.0.113.0/24")), ready("a/s", VIP)),
    case("the-legacy-annotation-counts-where-the-field-is-empty", world(service("a/s", {LEGACY: "10.0.0.0/8, 203.0.113.0/24"})), serves(VIP, source_ranges=("10.0.0.0/8", "203.0.113.0/24"))),
    case("the-field-goes-before-the-legacy-annotation", world(service("a/s", {LEGACY: "10.0.0.0/8"}, loadBalancerSourceRanges=["203.0.113.0/24"])), serves(VIP, source_ranges=("203.0.113.0/24",))),
    *(
        case(
            f"an-invalid-source-range-admits-no-client-and-says-so-{name}",
            world(service("a/s", annotations, **spec)),
            ready("a/s", VIP, reason="InvalidSourceRange"),
            says("a/s", f"{field}: 'nonsense'"),
            serves(VIP, source_ranges=()),
            apply(service("a/s")),
            ready("a/s", VIP),
            serves(VIP, source_ranges=None),
        )
        for name, annotations, spec, field in (
            ("of-the-field", None, {"loadBalancerSourceRanges": ["10.0.0.0/8", "nonsense"]}, "spec.loadBalancerSourceRanges"),
            ("of-the-annotation", {LEGACY: "10.0.0.0/8, nonsense"}, {}, f"annotation {LEGACY}"),
            ("of-the-field-beside-the-annotation", {LEGACY: "10.0.0.0/8"}, {"loadBalancerSourceRanges": ["nonsense"]}, "spec.loadBalancerSourceRanges"),
        )
    ),
    case("an-address-without-a-length-is-an-invalid-source-range", world(service("a/s", loadBalancerSourceRanges=["10.0.0.1"])), ready("a/s", VIP, reason="InvalidSourceRange"), serves(VIP, source_ranges=())),
    case(
        "source-ranges-of-one-family-admit-no-client-of-the-other",
        world(dual("a/s", "RequireDualStack", loadBalancerSourceRanges=["10.0.0.0/8"]), default=nad("net/ext", v6="2001:db8::/64", labels=DEFAULT_LABELS)),
        serves(VIP, source_ranges=("10.0.0.0/8",)),
        serves("2001:db8::2", source_ranges=()),
    ),
    case(
        "services-that-share-an-address-keep-their-own-source-ranges-affinity-and-policy",
        world(
            service("a/s", {SHARING: "k"}, loadBalancerSourceRanges=["10.0.0.0/8"], sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}}),
            service("a/t", {SHARING: "k"}, port=443, loadBalancerSourceRanges=["192.0.2.0/24"]),
        ),
        serves(VIP, 80, source_ranges=("10.0.0.0/8",), affinity=True, affinity_timeout=60),
        serves(VIP, 443, source_ranges=("192.0.2.0/24",), affinity=False),
    ),
    case(
        "a-neighbour-with-an-invalid-source-range-closes-its-own-ports-only",
        world(service("a/s", {SHARING: "k"}), service("a/t", {SHARING: "k"}, port=443, loadBalancerSourceRanges=["nonsense"])),
        serves(VIP, 80, source_ranges=None),
        serves(VIP, 443, source_ranges=()),
    ),
    case("host-bits-of-a-source-range-are-cleared", world(service("a/s", loadBalancerSourceRanges=["10.1.2.3/8"])), serves(VIP, source_ranges=("10.0.0.0/8",))),
    case("client-ip-affinity-is-passed-on-with-its-timeout", world(service("a/s", sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})), serves(VIP, affinity=True, affinity_timeout=60)),
    case("without-affinity-there-is-none", world(S), serves(VIP, affinity=False)),
    case("a-traffic-distribution-hint-changes-nothing", world(service("a/s", trafficDistribution="PreferClose"), slice_of("a/s", endpoint("10.1.0.1"))), set_to(n1=hop("10.1.0.1:8080"))),
    case("node-ports-are-not-needed", world(service("a/s", allocateLoadBalancerNodePorts=False), slice_of("a/s", endpoint("10.1.0.1"))), ready("a/s", VIP), set_to(n1=hop("10.1.0.1:8080"))),
    case("a-released-address-is-withdrawn", world(S, slice_of("a/s", endpoint("10.1.0.1"))), {"agents": "silent"}, delete("Service", "a/s"), forwards(VIP, withdraw=True, next_hops=())),
]  # fmt: skip


def raw_endpoints(*subsets: Object, mirrored: bool) -> Object:
    labels = {} if mirrored else {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta("a/s", labels=labels), "subsets": list(subsets)}


def subset(*addresses: str, number: int = 8080) -> Object:
    return {
        "addresses": [{"ip": address, "nodeName": "n1"} for address in addresses],
        "ports": [{"name": "http", "protocol": "TCP", "port": number}],
    }


BARE = service("a/s", selector=None)
MANUAL = [
    *(
        case(
            f"manual-endpoints-{name}",
            world(BARE, raw_endpoints(subset("10.1.0.1", "10.1.0.0"), subset("10.1.0.2", number=9090), mirrored=mirrored)),
            set_to(n1=hop("10.1.0.0:8080", "10.1.0.1:8080", "10.1.0.2:9090")),
            delete("Endpoints", "a/s"),
            set_to(),
        )
        for name, mirrored in (("that-are-mirrored-every-subset", True), ("with-the-skip-mirror-label-every-subset", False))
    ),
    case("a-slice-that-a-user-made-for-a-service-without-a-selector", world(BARE, slice_of("a/s", endpoint("10.1.0.1"))), set_to(n1=hop("10.1.0.1:8080"))),
]  # fmt: skip

CASES = [*WEIGHTS, *SLICES, *PORTS, *POLICIES, *MANUAL]


@table(CASES)
def test_paths(case: Case) -> None:
    play(case)
