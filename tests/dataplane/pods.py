"""Pods behind the lab's nodes, each in a namespace of its own, that answer TCP and UDP with their names.

Node 1 has one pod of the Service, node 2 two and node 3 three; ``SPARE`` is one more on node 1. Beside LedgerLB's
address stands one that plain ECMP serves: nodes without weights, and a hash modulo the number of pods on each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.dataplane.lab import NODES, Driver, Lab, via, via6

Pod = tuple[int, int]
"""(node, number on the node)."""
PODS: tuple[Pod, ...] = ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3))
SPARE: Pod = (1, 2)
FOUR, SIX = "192.168.102.10", "fd00:102::10"
PLAIN = "192.168.103.10"
PORTS = {"TCP": (80, 8080), "UDP": (53, 5353)}
"""(port of the Service, port of the pod) by protocol."""
CLIENTS = 20
SCRIPT = str(Path(__file__).with_name("flows.py"))


def name(pod: Pod) -> str:
    return f"pod{pod[0]}{pod[1]}"


def ip(pod: Pod, family: int = 4) -> str:
    return f"10.244.{pod[0]}.{30 + pod[1]}" if family == 4 else f"fd00:244:{pod[0]}::{30 + pod[1]}"


class PodLab(Lab):
    """The lab with pods."""

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._build_pods()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build_pods(self) -> None:
        self.batch("router", "route add 10.0.1.0/24 dev rc", "route add fd00:1::/64 dev rc")
        self.batch(
            "client",
            *(f"addr add 10.0.1.{number}/32 dev c0" for number in range(1, CLIENTS + 1)),
            *(f"addr add fd00:1::{number:x}/128 dev c0 nodad" for number in range(1, CLIENTS + 1)),
        )
        for pod in (*PODS, SPARE):
            self._plug_pod(pod)
        for pod in (*PODS, SPARE):
            self.run_pod(pod)

    def _plug_pod(self, pod: Pod) -> None:
        number, index = pod
        node, space = f"node{number}", name(pod)
        self._make(space)
        self._link(node, f"p{index}", space, "eth0")
        self.batch(
            node,
            f"link set p{index} up",
            f"addr add 169.254.1.{index}/32 dev p{index}",
            f"addr add fe80::1/64 dev p{index} nodad",
            f"route add {ip(pod)}/32 dev p{index}",
            f"route add {ip(pod, 6)}/128 dev p{index}",
        )
        self.batch(
            space,
            f"addr add {ip(pod)}/32 dev eth0",
            f"addr add {ip(pod, 6)}/128 dev eth0 nodad",
            "link set eth0 up",
            f"route add 169.254.1.{index} dev eth0",
            f"route add default via 169.254.1.{index} dev eth0",
            "route add default via fe80::1 dev eth0",
        )

    def run_pod(self, pod: Pod) -> None:
        server = self.start(name(pod), sys.executable, SCRIPT, "serve", name(pod))
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"

    def nft(self, space: str, text: str) -> None:
        self.run(space, "nft", "-f", "-", stdin=text)

    def forget_flows(self, below: int = 1 << 16) -> None:
        """Let every node forget its tracked flows from source ports below one, so that they are balanced afresh."""
        for number in NODES:
            self.run(f"node{number}", sys.executable, SCRIPT, "forget", str(below))

    def serve_plainly(self, pods: Sequence[Pod]) -> None:
        """Program ``PLAIN`` as BGP without weights and a node's own hash do today."""
        nodes = sorted({node for node, _ in pods})
        self.batch(
            "router",
            *(f"nexthop replace id {number} via {via(number)} dev rn{number}" for number in nodes),
            "nexthop replace id 9 group " + "/".join(map(str, nodes)),
            f"route replace {PLAIN}/32 nhid 9",
        )
        for number in NODES:
            here = [f"{index} : {ip(pod)} . 8080" for index, pod in enumerate(p for p in pods if p[0] == number)]
            choice = f"jhash ip saddr . tcp sport mod {len(here)} seed {1000 + number} map {{ {', '.join(here)} }}"
            rule = f"ip daddr {PLAIN} tcp dport 80 dnat ip addr . port to {choice}" if here else ""
            chain = f"chain pre {{ type nat hook prerouting priority dstnat;\n{rule}\n}}"
            self.nft(f"node{number}", f"table ip plain\ndelete table ip plain\ntable ip plain {{\n{chain}\n}}\n")


class Balancer:
    """LedgerLB's back ends: ``fabric-linux`` on the router and ``node`` on every node."""

    def __init__(self, lab: PodLab) -> None:
        self.lab = lab
        self.fabric = Driver(lab)
        self.nodes = {number: self.node(number) for number in NODES}

    def node(self, number: int) -> Driver:
        return Driver(self.lab, f"node{number}", "node", node=str(number), allow_host_namespace=False)

    def start_with(self, *wanted: Mapping[str, Any]) -> None:
        for agent in (*self.nodes.values(), self.fabric):
            assert all(one["state"] == "programmed" for one in agent.start_with(*wanted).values())

    def set_to(self, *wanted: Mapping[str, Any]) -> None:
        for agent in (*self.nodes.values(), self.fabric):
            assert all(one["state"] in {"programmed", "withdrawn"} for one in agent.set_to(*wanted).values())


def path_set(
    address: str,
    pods: Iterable[Pod],
    *,
    draining: Iterable[Pod] = (),
    unready: Iterable[Pod] = (),
    ports: Sequence[Mapping[str, Any]] = ({},),
    protocol: str = "TCP",
) -> dict[str, Any]:
    """A path set as JSON data. Each of ``ports`` overrides fields of a frontend."""
    family = 6 if ":" in address else 4
    taking, leaving, waiting = sorted(pods), sorted(draining), sorted(unready)
    port, target = PORTS[protocol]

    def here(number: int, found: Iterable[Pod]) -> list[str]:
        wrapped = "[{}]:{}" if family == 6 else "{}:{}"
        return [wrapped.format(ip(pod, family), target) for pod in found if pod[0] == number]

    local = [
        {"node": str(n), "backends": here(n, taking), "draining": here(n, leaving), "unready": here(n, waiting)}
        for n in sorted({node for node, _ in (*taking, *leaving, *waiting)})
    ]
    frontend = {"service": "shop/web", "protocol": protocol, "port": port, "local": local}
    hops = [
        {"node": str(n), "via": via6(n) if family == 6 else via(n), "weight": sum(1 for pod in taking if pod[0] == n)}
        for n in sorted({node for node, _ in taking})
    ]
    return {
        "address": address, "family": family, "network": "a/b", "allocation": "a/b#1", "next_hops": hops,
        "frontends": [frontend | one for one in ports],
    }  # fmt: skip
