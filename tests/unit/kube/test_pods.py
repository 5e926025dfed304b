"""Which Pods become facts, whatever the order in which the world tells about them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core.cluster.facts import (
    AnyFact,
    Endpoint,
    EndpointsFact,
    EndpointSliceFact,
    EndpointsSubset,
    NodeFact,
    PodFact,
)
from ledgerlb.kube.pods import PodFilter
from ledgerlb.kube.source import Batch, Listed
from tests.builders.facts import service

NAMES = ("p", "q", "r")
SERVICES = ("x", "y")


def pod(name: str, network_status: str = "", *ips: str) -> AnyFact:
    return PodFact(namespace="a", name=name, network_status=network_status, ips=ips)


def slice_of(service: str, pods: tuple[str, ...], name: str = "") -> AnyFact:
    endpoints = tuple(Endpoint(addresses=("10.0.0.1",), target_kind="Pod", target_name=pod) for pod in pods)
    return EndpointSliceFact(namespace="a", name=name or f"{service}-1", service=service, endpoints=endpoints)


def by_hand(service: str, *addresses: str) -> AnyFact:
    """Endpoints that no slice mirrors, with bare addresses."""
    endpoints = tuple(Endpoint(addresses=(address,)) for address in addresses)
    return EndpointsFact(namespace="a", name=service, subsets=(EndpointsSubset(endpoints=endpoints),))


def listed(*names: str) -> Listed:
    return Listed(frozenset(("a", name) for name in names))


class World:
    def __init__(self) -> None:
        self.filter = PodFilter()
        self.pods: set[str] = set()
        self.lists: list[Listed] = []

    def tell(self, batch: Batch) -> None:
        for passed in self.filter.pass_on(batch):
            if passed.kind != "Pod":
                assert passed is batch
                continue
            self.pods |= {entry.name for entry in passed.upserts}
            self.pods -= {name for _, name in passed.gone}
            if passed.listed is not None:
                self.lists.append(passed.listed)
                assert {name for _, name in passed.listed.names} == self.pods


def test_other_kinds_pass():
    batch = Batch("Node", (NodeFact(name="n"),))
    assert PodFilter().pass_on(batch) == (batch,)


def test_the_list_of_pods_waits_for_services_and_slices():
    world = World()
    world.tell(Batch("Pod", (pod("p"), pod("q", "[]")), listed=listed("p", "q")))
    assert (world.pods, world.lists) == ({"q"}, [])
    world.tell(Batch("EndpointSlice", (slice_of("x", ("p",)),), listed=listed("x-1")))
    assert world.lists == []
    world.tell(Batch("Endpoints", listed=listed()))
    assert world.lists == []
    world.tell(Batch("Service", (service("a/x"),), listed=listed("x")))
    assert (world.pods, world.lists) == ({"p", "q"}, [listed("p", "q")])
    world.tell(Batch("Pod", (pod("p"), pod("q")), listed=listed("p", "q")))
    assert (world.pods, world.lists[1:]) == ({"p"}, [listed("p")])


def test_a_pod_that_the_list_does_not_name_is_gone():
    world = World()
    for kind in ("Service", "EndpointSlice", "Endpoints"):
        world.tell(Batch(kind, listed=Listed(frozenset())))
    world.tell(Batch("Pod", (pod("p", "[]"),), listed=listed("p")))
    world.tell(Batch("Pod", listed=listed()))
    assert world.pods == set()


def test_a_pod_that_an_endpoint_means_by_its_address_is_needed():
    world = World()
    world.tell(Batch("Pod", (pod("p", "", "10.0.0.1"), pod("q", "", "fd00::0:2", "10.0.0.2"), pod("r"))))
    world.tell(Batch("Service", (service("a/x"),)))
    assert world.pods == set()
    world.tell(Batch("Endpoints", (by_hand("x", "10.0.0.1", "fd00::2", "10.0.0.9"),)))
    assert world.pods == {"p", "q"}
    world.tell(Batch("Pod", (pod("r", "", "10.0.0.9"), pod("p", "", "10.0.0.7"))))
    assert world.pods == {"q", "r"}
    world.tell(Batch("Endpoints", (by_hand("x", "10.0.0.7"),)))
    assert world.pods == {"p"}
    world.tell(Batch("Endpoints", listed=listed()))
    assert world.pods == set()


def test_endpoints_and_slices_of_one_name_are_two():
    world = World()
    world.tell(Batch("Pod", (pod("p"), pod("q", "", "10.0.0.2"))))
    world.tell(Batch("Service", (service("a/x"),)))
    world.tell(Batch("EndpointSlice", (slice_of("x", ("p",), "x"),)))
    world.tell(Batch("Endpoints", (by_hand("x", "10.0.0.2"),)))
    assert world.pods == {"p", "q"}
    world.tell(Batch("EndpointSlice", listed=listed()))
    assert world.pods == {"q"}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pod"), st.sampled_from(NAMES), st.sampled_from(["", "[]"])),
        st.tuples(st.just("no pod"), st.sampled_from(NAMES)),
        st.tuples(st.just("service"), st.sampled_from(SERVICES), st.sampled_from(["LoadBalancer", "ClusterIP"])),
        st.tuples(st.just("no service"), st.sampled_from(SERVICES)),
        st.tuples(
            st.just("slice"), st.sampled_from(["s1", "s2"]), st.sampled_from(SERVICES), st.sets(st.sampled_from(NAMES))
        ),
        st.tuples(st.just("no slice"), st.sampled_from(["s1", "s2"])),
        st.tuples(st.just("list"), st.sampled_from(["Service", "EndpointSlice", "Pod"])),
    ),
    max_size=25,
)


@given(steps)
def test_exactly_the_needed_pods_pass(told):
    world = World()
    pods: dict[str, str] = {}
    services: dict[str, str] = {}
    slices: dict[str, tuple[str, set[str]]] = {}
    for step in told:
        match step:
            case ("pod", name, status):
                pods[name] = status
                world.tell(Batch("Pod", (pod(name, status),)))
            case ("no pod", name):
                pods.pop(name, None)
                world.tell(Batch("Pod", gone=(("a", name),)))
            case ("service", name, kind):
                services[name] = kind
                world.tell(Batch("Service", (service(f"a/{name}", type=kind),)))
            case ("no service", name):
                services.pop(name, None)
                world.tell(Batch("Service", gone=(("a", name),)))
            case ("slice", name, owner, behind):
                slices[name] = (owner, behind)
                world.tell(Batch("EndpointSlice", (slice_of(owner, tuple(sorted(behind)), name),)))
            case ("no slice", name):
                slices.pop(name, None)
                world.tell(Batch("EndpointSlice", gone=(("a", name),)))
            case ("list", kind):
                standing = {"Service": services, "EndpointSlice": slices, "Pod": pods}[kind]
                world.tell(Batch(kind, listed=listed(*standing)))
        behind_balanced = {
            name for owner, names in slices.values() if services.get(owner) == "LoadBalancer" for name in names
        }
        assert world.pods == {name for name, status in pods.items() if status or name in behind_balanced}
