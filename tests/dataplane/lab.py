"""A router and three nodes in network namespaces of their own; nothing here touches the machine's own network.

Every namespace gets a random name, every command runs through ``ip netns exec`` inside one of them, and ``Lab`` refuses to go
on where such a command would see the machine's own network namespace.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from tests.support.waiting import eventually

NODES = (1, 2, 3)
COMMAND_SECONDS = 60


def need_root_and_ip() -> None:
    """Fail, never skip: a data path that was not tested does not count as tested."""
    if os.geteuid() != 0:
        raise RuntimeError("data path tests make network namespaces: run them as root")
    if shutil.which("ip") is None:
        raise RuntimeError("data path tests need the command ip: install the package iproute2")


class Lab:
    """``client -- router -- node1, node2, node3``, IPv4 and IPv6, each node with an address on a link of its own."""

    def __init__(self) -> None:
        need_root_and_ip()
        self._tag = f"llb{secrets.token_hex(3)}"
        self._made: list[str] = []
        self._children: list[subprocess.Popen[bytes]] = []

    def ns(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
            child.wait()
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=COMMAND_SECONDS)

    def _build(self) -> None:
        for name in ("outer", "client", "router", *(f"node{number}" for number in NODES)):
            self._make(name)
        self._link("client", "c0", "router", "rc")
        self.batch("client", "addr add 10.0.0.2/24 dev c0", "addr add fd00::2/64 dev c0 nodad", "link set c0 up")
        self.batch("router", "addr add 10.0.0.1/24 dev rc", "addr add fd00::1/64 dev rc nodad", "link set rc up")
        self.batch("client", "route add default via 10.0.0.1", "route add default via fd00::1")
        for number in NODES:
            node = f"node{number}"
            self._link("router", f"rn{number}", node, "up0")
            self.batch(
                node,
                f"addr add {via(number)}/24 dev up0",
                f"addr add {via6(number)}/64 dev up0 nodad",
                "link set up0 up",
            )
            self.plug(number)
            self.batch(node, f"route add default via 172.16.{number}.1", f"route add default via fd00:16:{number}::1")
        eventually(self.is_up, "every link of the router is up", every=0.02)

    def is_up(self) -> bool:
        """Whether each of the router's links has a carrier: the kernel takes no next hop before."""
        links = [link for link in self.json("router", "link") if link["ifname"] != "lo"]
        return len(links) == len(NODES) + 1 and all(link["operstate"] == "UP" for link in links)

    def _make(self, name: str) -> None:
        namespace = self.ns(name)
        subprocess.run(["ip", "netns", "add", namespace], check=True, capture_output=True, timeout=COMMAND_SECONDS)
        self._made.append(namespace)
        seen = self.run(name, "stat", "-L", "-c", "%i", "/proc/self/net/dev", "/proc/1/net/dev").split()
        mine = str(Path("/proc/self/ns/net").readlink())
        if len(set(seen)) != 2 or self.run(name, "readlink", "/proc/self/ns/net").strip() == mine:
            raise RuntimeError(f"network namespace {namespace} is the machine's own: refusing to go on")
        self.batch(name, "link set lo up")
        for setting, value in {
            "net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.default.accept_dad": "0",
            "net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
            "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0",
            "net.ipv4.fib_multipath_hash_policy": "3", "net.ipv6.fib_multipath_hash_policy": "3",
            "net.ipv4.fib_multipath_hash_fields": "0x37", "net.ipv6.fib_multipath_hash_fields": "0x37",
        }.items():  # fmt: skip
            self.run(name, "sysctl", "-qw", f"{setting}={value}")

    def _link(self, left: str, left_if: str, right: str, right_if: str) -> None:
        # Made in the outer namespace and moved from there: the machine's own never sees an interface.
        self.run(
            "outer", "ip", "link", "add", left_if, "netns", self.ns(left), "type", "veth",
            "peer", "name", right_if, "netns", self.ns(right),
        )  # fmt: skip

    def plug(self, number: int) -> None:
        """Bring the router's link to a node up, with its addresses."""
        self.batch(
            "router",
            f"link set rn{number} up",
            f"addr replace 172.16.{number}.1/24 dev rn{number}",
            f"addr replace fd00:16:{number}::1/64 dev rn{number} nodad",
        )

    def unplug(self, number: int) -> None:
        self.batch("router", f"link set rn{number} down")

    def run(self, name: str, *command: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", self.ns(name), *command],
            check=False, capture_output=True, text=True, input=stdin, timeout=COMMAND_SECONDS,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"in {name}: {' '.join(command)}: {done.stderr}")
        return done.stdout

    def batch(self, name: str, *lines: str) -> None:
        """Commands of ``ip``, one a line."""
        self.run(name, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def json(self, name: str, *words: str) -> list[dict[str, Any]]:
        text = self.run(name, "ip", "-j", "-d", *words)
        found: list[dict[str, Any]] = json.loads(text) if text.strip() else []
        return found

    def start(
        self, name: str, *command: str, env: Mapping[str, str] | None = None, stderr: IO[bytes] | int | None = None
    ) -> subprocess.Popen[bytes]:
        """A child in a namespace, killed at the end; ``ip netns exec`` becomes the command, so the pid is the child's own."""
        child = subprocess.Popen(
            ["ip", "netns", "exec", self.ns(name), *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env={**os.environ, **(env or {})},
        )  # fmt: skip
        self._children.append(child)
        return child


def via(number: int) -> str:
    return f"172.16.{number}.2"


def via6(number: int) -> str:
    return f"fd00:16:{number}::2"


class Driver:
    """The back end in a process inside a namespace: a line of JSON in, a line of JSON out."""

    def __init__(self, lab: Lab, name: str = "router", backend: str = "fabric-linux", **options: object) -> None:
        script = Path(__file__).with_name("driver.py")
        self.child = lab.start(name, sys.executable, str(script), backend, json.dumps(options))
        self.ask({"do": "open"})

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps(request).encode() + b"\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver ended with status {self.child.wait(timeout=COMMAND_SECONDS)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def make(self, wanted: Mapping[str, Mapping[str, int] | None]) -> dict[str, Any]:
        """Apply node weights by address (None: forget the address)."""
        outcomes: dict[str, Any] = self.ask({"do": "apply", "wanted": path_sets(wanted)})["outcomes"]
        return outcomes

    def reconcile(self, wanted: Mapping[str, Mapping[str, int] | None]) -> dict[str, Any]:
        outcomes: dict[str, Any] = self.ask({"do": "reconcile", "wanted": path_sets(wanted)})["outcomes"]
        return outcomes

    def set_to(self, *wanted: Mapping[str, Any], forget: Sequence[str] = ()) -> dict[str, Any]:
        """Apply whole path sets (see ``pods.path_set``), and forget some addresses."""
        request = {one["address"]: one for one in wanted} | dict.fromkeys(forget)
        outcomes: dict[str, Any] = self.ask({"do": "apply", "wanted": request})["outcomes"]
        return outcomes

    def start_with(self, *wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Reconcile with exactly these path sets."""
        outcomes: dict[str, Any] = self.ask({"do": "reconcile", "wanted": {one["address"]: one for one in wanted}})[
            "outcomes"
        ]
        return outcomes

    def stale(self) -> bool:
        return bool(self.ask({"do": "stale"})["stale"])

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()


def path_sets(wanted: Mapping[str, Mapping[str, int] | None]) -> dict[str, Any]:
    """Path sets as JSON data; a node is named ``1``, or ``name=via`` for one that is not in the lab."""
    return {address: None if nodes is None else path_set(address, nodes) for address, nodes in wanted.items()}


def path_set(address: str, nodes: Mapping[str, int]) -> dict[str, Any]:
    six = ":" in address
    hops = []
    for name, weight in sorted(nodes.items()):
        node, _, other = name.partition("=")
        hops.append({"node": node, "via": other or (via6(int(node)) if six else via(int(node))), "weight": weight})
    return {"address": address, "family": 6 if six else 4, "network": "a/b", "next_hops": hops, "allocation": "a/b#1"}
