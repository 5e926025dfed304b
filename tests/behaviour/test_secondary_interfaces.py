"""Services without a selector, whose endpoints are secondary interfaces of pods on another network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.behaviour.play import Case, Moment, case, happened, hops, play, ready, table
from tests.behaviour.world import world
from tests.builders.objects import NETWORK, Object, endpoint, meta, nad, namespace, node, pod, service, slice_of
from tests.support.simulate import apply

N2 = node("n2", "10.10.0.2")
VIP = "172.16.1.2"
LB = nad("my-lb/lb-subnet", "172.16.1.0/24", routeTargetList=["target:64512:1"])
PODS = nad("my-lb/pod-subnet", "172.16.16.0/20", routeTargetList=["target:64512:1"])
APART = nad("my-lb/apart", "172.16.16.0/20", routeTargetList=["target:64512:9"])
S = service("my-lb/service-lb", {NETWORK: "lb-subnet"}, selector=None)


def with_nets(name: str, primary: str, *, on: str = "n1", **nets: str) -> Object:
    """A pod with a primary address, and secondary ones by network (keywords: ``pod_subnet="172.16.23.0"``)."""
    status: list[Object] = [{"name": "cbr0", "interface": "eth0", "ips": [primary], "default": True}]
    for number, (net, address) in enumerate(nets.items(), 1):
        status.append({"name": f"my-lb/{net.replace('_', '-')}", "interface": f"net{number}", "ips": [address]})
    return pod(f"my-lb/{name}", primary, on=on, status=status)


def manual(*addresses: str, skip_mirror: bool = False) -> Object:
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"} if skip_mirror else {}
    subset = {"addresses": [{"ip": address} for address in addresses], "ports": [{"name": "http", "port": 8080}]}
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": meta("my-lb/service-lb", labels=labels),
        "subsets": [subset],
    }


def small(*more: Object) -> Object:
    return world(namespace("my-lb"), N2, LB, PODS, APART, S, *more)


def set_to(**nodes: list[str]) -> Callable[[Moment], None]:
    def look(moment: Moment) -> None:
        shown = moment.step["services"]["my-lb/service-lb"]["path_set"][VIP]
        assert shown == {name: {"weight": len(found), "backends": found} for name, found in nodes.items()}

    return look


def noted(*parts: str) -> Callable[[Moment], None]:
    """Some note of the path set names all of this."""

    def look(moment: Moment) -> None:
        found: Any = moment.path_set(VIP)
        assert any(all(part in note for part in parts) for note in found.notes), found.notes

    return look


CASES = [
    *(
        case(
            f"the-documented-example-{name}",
            small(
                with_nets("p1", "10.1.0.1", pod_subnet="172.16.23.0"),
                with_nets("p2", "10.2.0.1", on="n2", pod_subnet="172.16.24.0"),
                manual("172.16.23.0", "172.16.24.0", skip_mirror=skip),
            ),
            ready("my-lb/service-lb", VIP, network="my-lb/lb-subnet"),
            set_to(n1=["172.16.23.0:8080"], n2=["172.16.24.0:8080"]),
        )
        for name, skip in (("with-mirrored-endpoints", False), ("with-raw-endpoints", True))
    ),
    case(
        "user-made-slices-name-secondary-interfaces-too",
        small(with_nets("p1", "10.1.0.1", pod_subnet="172.16.23.0"), slice_of("my-lb/service-lb", endpoint("172.16.23.0", on=""))),
        set_to(n1=["172.16.23.0:8080"]),
    ),
    case(
        "an-address-on-two-networks-is-the-one-on-the-reachable-network",
        small(with_nets("p1", "10.1.0.1", apart="172.16.23.5"), with_nets("p2", "10.2.0.1", on="n2", pod_subnet="172.16.23.5"), manual("172.16.23.5")),
        set_to(n2=["172.16.23.5:8080"]),
    ),
    case(
        "an-endpoint-on-a-network-that-is-not-reachable-is-reported-not-programmed",
        small(with_nets("p1", "10.1.0.1", apart="172.16.23.5"), manual("172.16.23.5")),
        set_to(),
        noted("172.16.23.5", "my-lb/apart"),
    ),
    case(
        "another-interface-of-the-same-pod-is-never-taken",
        small(with_nets("p1", "10.1.0.1", apart="172.16.23.5", pod_subnet="172.16.23.6"), manual("172.16.23.5")),
        set_to(),
    ),
    case(
        "the-same-pods-serve-over-both-interfaces-at-once",
        small(
            with_nets("p1", "10.1.0.1", pod_subnet="172.16.23.0"),
            manual("172.16.23.0"),
            service("my-lb/primary", {NETWORK: "net/ext"}),
            slice_of("my-lb/primary", endpoint("10.1.0.1", of="my-lb/p1")),
        ),
        set_to(n1=["172.16.23.0:8080"]),
        hops("my-lb/primary", "192.0.2.2", n1={"weight": 1, "backends": ["10.1.0.1:8080"]}),
    ),
    case(
        "an-endpoint-on-the-external-network-itself-is-reached",
        small(with_nets("p1", "10.1.0.1", lb_subnet="172.16.1.77"), manual("172.16.1.77")),
        set_to(n1=["172.16.1.77:8080"]),
    ),
    case(
        "an-endpoint-on-the-primary-network-is-reached",
        small(with_nets("p1", "10.1.0.1", pod_subnet="172.16.23.0"), manual("10.1.0.1")),
        set_to(n1=["10.1.0.1:8080"]),
    ),
    *(
        case(
            f"a-pod-that-has-only-a-primary-interface-is-found-by-its-address-in-{name}-endpoints",
            small(pod("my-lb/p1", "10.1.0.1"), manual("10.1.0.1", skip_mirror=skip)),
            set_to(n1=["10.1.0.1:8080"]),
            apply(pod("my-lb/p1", "10.1.0.2")),
            set_to(),
            apply(manual("10.1.0.2", skip_mirror=skip)),
            set_to(n1=["10.1.0.2:8080"]),
        )
        for name, skip in (("mirrored", False), ("raw", True))
    ),
    *(
        case(
            f"what-the-pods-network-{theirs}-and-the-external-network-{ours}-{'reaches' if meets else 'does-not-reach'}",
            small(with_nets("p1", "10.1.0.1", pod_subnet="172.16.23.0"), manual("172.16.23.0")),
            apply(
                nad("my-lb/lb-subnet", "172.16.1.0/24", **{f"{ours}RouteTargetList": ["t:5"]}),
                nad("my-lb/pod-subnet", "172.16.16.0/20", **{f"{theirs}RouteTargetList": ["t:5"]}),
            ),
            set_to(n1=["172.16.23.0:8080"]) if meets else set_to(),
        )
        for theirs, ours, meets in (("export", "import", True), ("import", "export", False), ("import", "import", False), ("export", "export", False))
    ),
    case(
        "networks-without-route-targets-do-not-reach-each-other",
        small(with_nets("p1", "10.1.0.1", pod_subnet="172.16.23.0"), manual("172.16.23.0")),
        apply(nad("my-lb/pod-subnet", "172.16.16.0/20")),
        set_to(),
    ),
    case(
        "a-common-route-target-that-comes-late-joins-the-networks",
        small(with_nets("p1", "10.1.0.1", apart="172.16.23.5"), manual("172.16.23.5")),
        set_to(),
        apply(nad("my-lb/apart", "172.16.16.0/20", routeTargetList=["target:64512:9", "target:64512:1"])),
        happened(),
        set_to(n1=["172.16.23.5:8080"]),
    ),
    case(
        "a-pod-that-comes-after-its-endpoint-is-found",
        small(manual("172.16.23.0")),
        set_to(),
        apply(with_nets("p1", "10.1.0.1", on="n2", pod_subnet="172.16.23.0")),
        set_to(n2=["172.16.23.0:8080"]),
    ),
    case(
        "a-secondary-interface-moves-with-its-pod",
        small(with_nets("p1", "10.1.0.1", pod_subnet="172.16.23.0"), manual("172.16.23.0")),
        apply(pod("my-lb/p1", "10.1.0.1"), with_nets("p2", "10.2.0.1", on="n2", pod_subnet="172.16.23.0")),
        set_to(n2=["172.16.23.0:8080"]),
    ),
    case(
        "a-network-status-that-does-not-parse-stops-no-service",
        small(with_nets("p1", "10.1.0.1", pod_subnet="172.16.23.0"), {**pod("my-lb/p2", "10.2.0.1"), "metadata": meta("my-lb/p2", annotations={"k8s.v1.cni.cncf.io/network-status": "{"})}, manual("172.16.23.0", "172.16.24.0")),
        set_to(n1=["172.16.23.0:8080"]),
    ),
]  # fmt: skip


@table(CASES)
def test_secondary_interfaces(case: Case) -> None:
    play(case)
