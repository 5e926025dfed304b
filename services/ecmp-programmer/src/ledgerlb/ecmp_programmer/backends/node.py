"""The ``node`` back end: on a node, translates the external addresses to the pods that run there.

The client's address is kept (no masquerading), and the table of LedgerLB is the only one that is touched. Connection
tracking keeps each flow on its backend, so neither a change of slots nor a restart of the agent moves a flow that
exists. The fabric brings the flows here, in proportion to the node's pods.

The back end keeps a copy of the rules that it committed and never reads them back. The kernel's generation id and its
events tell whether another program changed the table; then, and at start, one transaction replaces it as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import structlog

from ledgerlb.core.errors import DataPathError
from ledgerlb.core.paths.pathset import PathSet
from ledgerlb.ecmp_programmer.backends import nft
from ledgerlb.ecmp_programmer.backends.base import NO_CLIENT_ADMITTED, Outcome, Wanted, forwards
from ledgerlb.ecmp_programmer.backends.node_rules import Gone, Port, PortRules, Writer, gone, known_of, rules_of
from ledgerlb.ecmp_programmer.netlink import conntrack, sysctl
from ledgerlb.ecmp_programmer.netlink.namespace import in_host_namespace, within
from ledgerlb.ecmp_programmer.netlink.nftables import Generation, TableWatch, open_socket

DEFAULT_TABLE: Final = "ledgerlb"
WATCH_SECONDS: Final = 1.0

_SETTINGS: Final = {"net.ipv4.ip_forward": ("1",), "net.ipv6.conf.all.forwarding": ("1",)}

_T = TypeVar("_T")
_logger = structlog.get_logger(__name__)


class Node:
    """See module. ``node`` is this node's name, ``netns`` a namespace of ``ip netns`` (empty: that of the process)."""

    name = "node"
    watch_seconds: float | None = WATCH_SECONDS

    def __init__(
        self, node: str, *, netns: str = "", allow_host_namespace: bool = False, table: str = DEFAULT_TABLE
    ) -> None:
        self._node = node
        self._netns = netns
        self._allow_host_namespace = allow_host_namespace
        self._table = table
        self._writer = Writer(table)
        self._wanted: dict[str, PathSet] = {}
        self._rules: dict[str, dict[Port, PortRules]] = {}
        """What the kernel has, by address."""
        self._known: dict[str, dict[Port, frozenset[str]]] = {}
        """The backends that exist on this node, by address."""
        self._refused: dict[str, str] = {}
        self._generation: Generation | None = None
        self._watch: TableWatch | None = None
        self._seen = -1
        self._outdated = True

    async def open(self) -> None:
        """See DataPath. Raises DataPathError in the machine's own network namespace unless that is allowed."""
        if not self._netns and not self._allow_host_namespace and in_host_namespace():
            raise DataPathError(
                "the back end node would change the rules of this machine itself; where it is a node of the cluster, "
                "set LEDGERLB_NODE_ALLOW_HOST_NAMESPACE=true, else name a network namespace in LEDGERLB_NODE_NETNS"
            )
        try:
            queries, events, problems = within(
                self._netns,
                lambda: (
                    open_socket(events=False),
                    open_socket(events=True),
                    sysctl.ensure(_SETTINGS, change=bool(self._netns)),
                ),
            )
        except OSError as error:
            raise DataPathError(f"netlink sockets cannot be opened: {error}") from error
        self._generation, self._watch = Generation(queries), TableWatch(events, self._table)
        for problem in problems:
            _logger.warning("the node does not forward packets", problem=problem)

    async def close(self) -> None:
        """See DataPath."""
        if self._generation is not None and self._watch is not None:
            self._generation.close()
            self._watch.close()
        self._generation = self._watch = None
        self._outdated = True

    def stale(self) -> bool:
        """See DataPath."""
        if self._generation is None or self._watch is None:
            return True
        try:
            now = self._generation.number()
        except DataPathError:
            self._outdated = True
            return True
        if now != self._seen:
            self._outdated = self._watch.touched() or self._outdated
            self._seen = now
        return self._outdated

    async def reconcile(self, wanted: Wanted) -> Mapping[str, Outcome]:
        """See DataPath."""
        outcomes = await self._program({**dict.fromkeys(self._wanted), **wanted})
        return {address: outcomes[address] for address in wanted}

    async def apply(self, changed: Wanted) -> Mapping[str, Outcome]:
        """See DataPath."""
        outcomes = await self._program(changed)
        return {address: outcomes[address] for address in changed}

    async def _program(self, changed: Wanted) -> dict[str, Outcome]:
        """Bring the table up to date; a table that another program changed is replaced as a whole."""
        due = {}
        for address, path_set in changed.items():
            if path_set != self._wanted.get(address) or address in self._refused:
                due[address] = path_set
                self._want(address, path_set)
        if self.stale():
            await self._replace()
        else:
            before = [self._rules.get(address, {}) for address in due]
            await self._change({address: rules_of(path_set, self._node) for address, path_set in due.items()})
            await self._forget_datagrams(before)
        return {address: self._outcome(path_set, self._refused.get(address)) for address, path_set in changed.items()}

    def _want(self, address: str, path_set: PathSet | None) -> None:
        self._refused.pop(address, None)
        if path_set is None:
            self._wanted.pop(address, None)
            self._known.pop(address, None)
        else:
            self._wanted[address] = path_set
            self._known[address] = known_of(path_set, self._node)

    async def _replace(self) -> None:
        """Replace the table in one transaction."""
        rules = {address: rules_of(path_set, self._node) for address, path_set in self._wanted.items()}
        self._outdated = False
        self._refused = {}
        try:
            await self._commit(self._writer.whole(one for ports in rules.values() for one in ports.values()))
            self._rules = {address: ports for address, ports in rules.items() if ports}
        except nft.Refused as error:
            # One address that nft does not take must not keep the others from working.
            _logger.warning("the table cannot be replaced at once; adding one address after another", error=str(error))
            await self._commit(self._writer.whole(()))
            self._rules = {}
            await self._change(rules)
        await self._settle_flows_of_earlier_life()

    async def _change(self, rules: Mapping[str, Mapping[Port, PortRules]]) -> None:
        """Commit the rules of these addresses in one transaction.

        Where nft refuses the transaction, it is divided until the addresses at fault are found.
        """
        old = {port: one for address in rules for port, one in self._rules.get(address, {}).items()}
        new = {port: one for ports in rules.values() for port, one in ports.items()}
        known = {port: one for address in rules for port, one in self._known.get(address, {}).items()}
        if text := self._writer.change(old, new, gone(old, known)):
            try:
                await self._commit(text)
            except nft.Refused as error:
                addresses = list(rules)
                if len(addresses) == 1:
                    self._refused[addresses[0]] = str(error)
                    return
                for part in (addresses[: len(addresses) // 2], addresses[len(addresses) // 2 :]):
                    await self._change({address: rules[address] for address in part})
                return
        for address, ports in rules.items():
            if ports:
                self._rules[address] = dict(ports)
            else:
                self._rules.pop(address, None)

    async def _commit(self, text: str) -> None:
        """Run one transaction. Another program's in between makes the table outdated, since its events are lost."""
        if self._generation is None or self._watch is None:
            raise DataPathError("the back end node is not open")
        before = self._generation.number()
        try:
            await nft.commit(text, self._netns)
        except nft.Refused:
            raise
        except DataPathError:
            self._outdated = True  # the kernel may have done it
            raise
        self._seen = self._generation.number()
        self._watch.touched()  # the events of this transaction
        if self._seen != before + 1:
            self._outdated = True
            _logger.info("another program changed nftables at the same time; the table will be written again")

    async def _forget_datagrams(self, before: Iterable[Mapping[Port, PortRules]]) -> None:
        """Forget the tracked datagram flows of backends that were taken away, so that their clients get another one."""
        shrunk: dict[Port, frozenset[str]] = {}
        for ports in before:
            for port, rules in ports.items():
                now = self._rules.get(port.address, {}).get(port)
                left = now.backends if now is not None else frozenset()
                if port.protocol != "tcp" and not rules.backends <= left:
                    shrunk[port] = left
        await self._forget({port.address for port in shrunk}, shrunk)

    async def _settle_flows_of_earlier_life(self) -> None:
        """Forget datagram flows, and reset connections, of backends that went while no agent looked."""
        found = await self._in_namespace(conntrack.flows)
        if found is None:
            return
        left = {port: one.backends for ports in self._rules.values() for port, one in ports.items()}
        datagrams = {port: backends for port, backends in left.items() if port.protocol != "tcp"}
        await self._forget({flow.address for flow in found if _is_lost(flow, datagrams)}, datagrams)
        known = {port: backends for ports in self._known.values() for port, backends in ports.items()}
        connections = {port: backends for port, backends in known.items() if port.protocol == "tcp"}
        broken = {Gone(flow.address, flow.backend) for flow in found if _is_lost(flow, connections)}
        if broken:
            await self._commit(self._writer.change({}, {}, broken))

    async def _forget(self, addresses: Iterable[str], left: Mapping[Port, frozenset[str]]) -> None:
        def work() -> None:
            for address in sorted(addresses):
                conntrack.forget(address, lambda flow: _is_lost(flow, left))

        await self._in_namespace(work)

    async def _in_namespace(self, work: Callable[[], _T]) -> _T | None:
        """Run blocking work; a failure is logged, because forwarding does not hang on it."""
        try:
            return await asyncio.to_thread(within, self._netns, work)
        except DataPathError as error:
            _logger.warning("tracked flows of removed backends stay until they end", error=str(error))
            return None

    def _outcome(self, path_set: PathSet | None, refused: str | None) -> Outcome:
        if refused is not None:
            return Outcome("failed", {}, refused)
        if path_set is None or path_set.withdraw:
            return Outcome("withdrawn")
        if not forwards(path_set):
            return Outcome("programmed", {}, NO_CLIENT_ADMITTED)
        weight = next((hop.weight for hop in path_set.next_hops if hop.node == self._node), 0)
        return Outcome("programmed", {self._node: weight} if weight else {})


def _is_lost(flow: conntrack.Flow, left: Mapping[Port, frozenset[str]]) -> bool:
    """Whether a flow goes through one of the ports to a backend that may not carry flows any more."""
    port = Port(flow.address, flow.protocol, flow.port)
    return port in left and flow.backend not in left[port]
