"""Services without a selector, over pods' secondary interfaces: manual Endpoints lead to path sets in any order."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders.objects import NETWORK, Object, meta, service
from tests.support.simulate import apply, run_simulation, simulation_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "cn2" / "secondary-interfaces"
ADDRESS = "192.168.120.2"
BOTH = {
    "node-1": {"weight": 1, "backends": ["172.16.23.0:8080"]},
    "node-2": {"weight": 1, "backends": ["172.16.24.0:8080"]},
}


def example(*files: str) -> list[Object]:
    return [obj for file in files for obj in yaml.safe_load_all((EXAMPLE / file).read_text("utf-8"))]


def other(name: str, address: str, target: str = "target:64512:999") -> tuple[Object, Object]:
    """A network of its own route target, and a pod on node-1 that has the address there."""
    net = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": meta(
            f"my-lb/{name}",
            annotations={
                "juniper.net/networks": json.dumps({"ipamV4Subnet": "172.31.0.0/16", "routeTargetList": [target]})
            },
        ),
        "spec": {"config": '{"type": "contrail-k8s-cni"}'},
    }
    status = [
        {"name": "cluster-default", "ips": ["10.20.1.99"], "default": True},
        {"name": f"my-lb/{name}", "ips": [address]},
    ]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(f"my-lb/on-{name}", annotations={"k8s.v1.cni.cncf.io/network-status": json.dumps(status)}),
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "podIP": "10.20.1.99"},
    }
    return net, pod


def endpoints(*addresses: str, skip_mirror: bool = False) -> Object:
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"} if skip_mirror else {}
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": meta("my-lb/service-lb", labels=labels),
        "subsets": [
            {
                "addresses": [{"ip": address} for address in addresses],
                "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
            }
        ],
    }


def played(*steps: Object) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """What each step left of the path set of the first address, and its notes at the end."""
    simulation = simulation_of(list(steps))
    found = run_simulation(simulation)
    path_sets = [step["services"]["my-lb/service-lb"]["path_set"].get(ADDRESS, {}) for step in found]
    return path_sets, simulation.engine.view.path_sets[ADDRESS].notes


@pytest.mark.parametrize("order", list(itertools.permutations(["networks.yaml", "pods.yaml", "services.yaml"])))
def test_the_order_in_which_things_appear_does_not_matter(order: tuple[str, ...]) -> None:
    simulation = simulation_of([apply(*example(file)) for file in order])
    *_, last = run_simulation(simulation)
    assert last["services"]["my-lb/service-lb"]["path_set"] == {ADDRESS: BOTH}
    assert simulation.engine.view.path_sets[ADDRESS].notes == ()


@pytest.mark.parametrize("skip_mirror", [False, True])
def test_an_endpoint_that_is_not_reached_is_reported_with_its_network_and_not_programmed(skip_mirror: bool) -> None:
    (path_set,), notes = played(
        apply(
            *example("networks.yaml", "pods.yaml", "services.yaml"),
            *other("apart", "172.31.0.7"),
            endpoints("172.16.23.0", "172.31.0.7", skip_mirror=skip_mirror),
        )
    )
    assert path_set == {"node-1": BOTH["node-1"]}
    (note,) = notes
    for part in ("my-lb/service-lb", "172.31.0.7", "my-lb/apart", "my-lb/lb-subnet", "route target"):
        assert part in note


def test_it_is_programmed_once_the_networks_are_joined_and_taken_back_when_they_part() -> None:
    near, pod = other("apart", "172.31.0.7", "target:64512:1600")
    far, _ = other("apart", "172.31.0.7")
    base = example("networks.yaml", "pods.yaml", "services.yaml")
    path_sets, notes = played(apply(*base, far, pod, endpoints("172.31.0.7")), apply(near), apply(far))
    served = {"node-1": {"weight": 1, "backends": ["172.31.0.7:8080"]}}
    assert path_sets == [{}, served, {}]
    assert len(notes) == 1


def test_the_same_address_on_an_unconnected_network_is_somebody_else() -> None:
    (path_set, after), notes = played(
        apply(*example("networks.yaml", "pods.yaml", "services.yaml"), *other("apart", "172.16.24.0")),
        {"delete": [{"kind": "Pod", "namespace": "my-lb", "name": "backend-2"}]},
    )
    assert path_set == BOTH
    assert after == {"node-1": BOTH["node-1"]}, "the twin on node-1 must not take over"
    assert "172.16.24.0 is on network my-lb/apart" in notes[0]


def test_a_service_that_moves_to_a_network_that_reaches_nothing_says_so_and_keeps_its_new_address() -> None:
    far = other("apart", "172.31.0.7")[0]
    moved = service("my-lb/service-lb", {NETWORK: "my-lb/apart"})
    del moved["spec"]["selector"]
    simulation = simulation_of([apply(*example("networks.yaml", "pods.yaml", "services.yaml"), far), apply(moved)])
    *_, last = run_simulation(simulation)
    found = last["services"]["my-lb/service-lb"]
    assert (found["state"], found["network"], found["addresses"]) == ("Ready", "my-lb/apart", ["172.31.0.2"])
    assert found["path_set"] == {"172.31.0.2": {}}
    assert len(simulation.engine.view.path_sets["172.31.0.2"].notes) == 2
