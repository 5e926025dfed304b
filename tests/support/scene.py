"""The cluster that the pipeline is tested on: the documented network, three nodes, Services with backends on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.builders import objects
from tests.support import kube_objects as kube
from tests.support.kube_objects import Cluster, Object
from tests.support.logview import LogView
from tests.support.waiting import eventually

NETWORK: Final = "ecmp-project/ecmp-default"
PREFIX: Final = "192.168.102.0/24"
NODES: Final = {"node-1": "10.10.0.1", "node-2": "10.10.0.2", "node-3": "10.10.0.3"}
SHOP: Final = "shop"
ONE_AND_TWO: Final = (("10.20.1.1", "node-1"), ("10.20.2.1", "node-2"), ("10.20.2.2", "node-2"))
"""Backends of which one is on node-1 and two are on node-2."""


def namespaces() -> list[Object]:
    return [objects.namespace("contrail"), objects.namespace("ecmp-project", objects.ADMITTED), objects.namespace(SHOP)]


def infrastructure(selectors: Mapping[str, Any] | None = None) -> list[Object]:
    """Nodes, Kubemanager and the network, without Namespaces."""
    nodes = [objects.node(name, address) for name, address in NODES.items()]
    return [*nodes, kube.kubemanager(selectors), objects.default_nad(NETWORK, PREFIX)]


def set_up(cluster: Cluster, selectors: Mapping[str, Any] | None = None) -> None:
    """Put Namespaces and infrastructure there."""
    cluster.ensure_namespaces(*namespaces())
    cluster.create_all(infrastructure(selectors))


def shop_service(name: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> list[Object]:
    """A Service with its backends on two nodes."""
    fields = {"allocateLoadBalancerNodePorts": False} | spec  # an API server has 2,768 of them
    return [objects.service(f"{SHOP}/{name}", annotations, **fields), kube.endpoint_slice(SHOP, name, ONE_AND_TWO)]


def nth_address(number: int) -> str:
    """The address that the network gives to its `number`th newcomer, counted from 0: .1 is the gateway."""
    return f"192.168.102.{number + 2}"


def wait_served(cluster: Cluster, names: Iterable[str], seconds: float = 30.0) -> dict[str, str]:
    """Wait until each of these Services publishes one address; gives them by name."""
    wanted = set(names)
    found: dict[str, tuple[str, ...]] = {}

    def all_served() -> bool:
        found.update(cluster.addresses(SHOP))
        pending = sorted(name for name in wanted if len(found.get(name, ())) != 1)
        assert not pending, f"{len(wanted) - len(pending)} of {len(wanted)} served; pending: {pending[:5]}"
        return True

    eventually(all_served, "every Service publishes an address", seconds, every=0.2)
    return {name: found[name][0] for name in sorted(wanted)}


def serve_one(cluster: Cluster, name: str, seconds: float = 30.0) -> str:
    """Create one more Service and wait until it is served: by then the services have read every earlier change."""
    cluster.create_all(shop_service(name))
    return wait_served(cluster, [name], seconds)[name]


def wait_programmed(log: LogView, addresses: Iterable[str], seconds: float = 30.0, agent: str = "fabric") -> None:
    """Wait until the agent's last report of every address is `programmed`, with the weights of `ONE_AND_TWO`."""
    wanted = set(addresses)

    def all_programmed() -> bool:
        last = {report.address: report for report in log.reports() if report.kind == "report" and report.agent == agent}
        missing = sorted(
            address
            for address in wanted
            if address not in last
            or last[address].state != "programmed"
            or last[address].weights != {"node-1": 1, "node-2": 2}
        )
        assert not missing, f"not programmed: {[(address, last.get(address)) for address in missing[:3]]}"
        return True

    eventually(all_programmed, "the agent has programmed every address", seconds, every=0.3)
