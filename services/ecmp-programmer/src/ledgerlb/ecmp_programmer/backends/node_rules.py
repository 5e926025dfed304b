"""The nftables rules of the ``node`` back end: from path sets to rules, and from old to new rules as text. Pure.

The table has three chains of its own and, for each port of each address with backends on this node, a chain, a map from
slot to backend and, where the source ranges restrict it, a set of clients:

- ``entry`` (prerouting, before the chains of kube-proxy): sends a new flow to the chain of its address, protocol and
  port, which drops strangers and translates the destination to the backend of the flow's slot;
- ``broken`` (prerouting, before translation): answers a TCP client whose backend is gone with a reset;
- ``unserved`` (forward): refuses what is still addressed to one of the addresses, which would go back to the fabric and
  circle there. What kube-proxy translated does not come by.

The text is nft's own language, because JSON cannot declare a map whose key is a hash (nftables 1.0.6).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ledgerlb.core.addresses import Family, family_of
from ledgerlb.core.paths.maglev import slots
from ledgerlb.core.paths.pathset import Frontend, LocalBackends, PathSet, split_backend
from ledgerlb.ecmp_programmer.backends.base import forwards

GONE_SECONDS: Final = 300
"""How long clients of a backend that is gone get a reset. An idle client learns it at its next packet."""
BEFORE_KUBE_PROXY: Final = -110
"""The priority of ``entry``. The first chain that translates a flow wins, and kube-proxy's have -100."""

_FAMILIES: Final[tuple[Family, ...]] = (4, 6)
_ADDRESS_TYPE: Final = {4: "ipv4_addr", 6: "ipv6_addr"}
_IP: Final = {4: "ip", 6: "ip6"}


class Port(NamedTuple):
    """An external address, protocol (``tcp``, ``udp`` or ``sctp``) and port."""

    address: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class PortRules:
    """What this node does with one port. ``clients`` None admits everybody.

    ``backends`` are those that may carry flows, new ones or those that they have; ``known`` exist, whatever they carry.
    """

    port: Port
    slots: tuple[str, ...]
    clients: tuple[str, ...] | None
    affinity: bool
    backends: frozenset[str]
    known: frozenset[str]

    @property
    def shape(self) -> tuple[object, ...]:
        """What cannot change without new chains, maps and sets."""
        return len(self.slots), self.clients, self.affinity


Rules = Mapping[Port, PortRules]


def rules_of(path_set: PathSet | None, node: str) -> dict[Port, PortRules]:
    """Return the rules of one address on one node; {} where no backend of it runs there."""
    if path_set is None or path_set.withdraw or not forwards(path_set):
        return {}
    found = {}
    for frontend in path_set.frontends:
        rules = _port_rules(path_set.address, frontend, node)
        if rules.slots:
            found[rules.port] = rules
    return found


def _port_rules(address: str, frontend: Frontend, node: str) -> PortRules:
    here = frontend.on(node)
    return PortRules(
        port=_port(address, frontend),
        # The fabric may still send flows for a moment to a node whose backends all drain.
        slots=slots(here.backends or here.draining),
        clients=frontend.source_ranges,
        affinity=frontend.affinity,
        backends=frozenset((*here.backends, *here.draining)),
        known=_known(here),
    )


class Gone(NamedTuple):
    """A backend that no longer exists, of an external address."""

    address: str
    backend: str


def known_of(path_set: PathSet | None, node: str) -> dict[Port, frozenset[str]]:
    """Return the backends that exist on the node for each port of the address; {} where nothing is forwarded."""
    if path_set is None or path_set.withdraw or not forwards(path_set):
        return {}
    return {_port(path_set.address, one): _known(one.on(node)) for one in path_set.frontends}


def _port(address: str, frontend: Frontend) -> Port:
    return Port(address, frontend.protocol.lower(), frontend.port)


def _known(here: LocalBackends) -> frozenset[str]:
    return frozenset((*here.backends, *here.draining, *here.unready))


def gone(old: Rules, known: Mapping[Port, frozenset[str]]) -> set[Gone]:
    """Return the TCP backends of these rules that do not exist any more, for ports that are still forwarded."""
    return {
        Gone(port.address, backend)
        for port, rules in old.items()
        if port.protocol == "tcp" and port in known
        for backend in rules.known - known[port]
    }


class Writer:
    """Writes transactions for one table of the ``inet`` family."""

    def __init__(self, table: str) -> None:
        self._table = f"inet {table}"

    def whole(self, rules: Iterable[PortRules]) -> str:
        """Return the transaction that replaces the table, from any state."""
        table = self._table
        lines = [f"add table {table}", f"delete table {table}", f"add table {table}", *self._base()]
        listed = list(rules)
        for one in listed:
            lines += self._add(one)
        lines += self._addresses("add", {one.port.address for one in listed})
        return _text(lines)

    def change(self, old: Rules, new: Rules, gone: Iterable[Gone] = ()) -> str:
        """Return the transaction from one set of rules to another; empty where nothing changes."""
        lines: list[str] = []
        for port in sorted(old.keys() | new.keys()):
            lines += self._port_change(old.get(port), new.get(port))
        before, after = {port.address for port in old}, {port.address for port in new}
        lines += self._addresses("add", after - before)
        lines += self._addresses("delete", before - after)
        lines += self._gone(sorted(gone), lasting=True)
        back = {
            Gone(port.address, backend)
            for port, rules in new.items()
            if port.protocol == "tcp"
            for backend in rules.known - (old[port].known if port in old else frozenset())
        }
        lines += self._gone(sorted(back), lasting=False)
        return _text(lines)

    def _base(self) -> Iterator[str]:
        table = self._table
        for family in _FAMILIES:
            kind, ip = _ADDRESS_TYPE[family], _IP[family]
            yield f"add map {table} ports{family} {{ type {kind} . inet_proto . inet_service : verdict; }}"
            yield f"add set {table} addresses{family} {{ type {kind}; }}"
            yield f"add set {table} gone{family} {{ type {kind} . {kind} . inet_service; flags timeout; }}"
        yield f"add chain {table} broken {{ type filter hook prerouting priority -150; policy accept; }}"
        yield f"add chain {table} entry {{ type nat hook prerouting priority {BEFORE_KUBE_PROXY}; policy accept; }}"
        yield f"add chain {table} unserved {{ type filter hook forward priority 0; policy accept; }}"
        for family in _FAMILIES:
            ip = _IP[family]
            flow = (
                f"ct direction original ct original {ip} daddr . ct reply {ip} saddr . ct reply proto-src @gone{family}"
            )
            yield f"add rule {table} broken meta l4proto tcp {flow} reject with tcp reset"
            yield f"add rule {table} entry {ip} daddr . meta l4proto . th dport vmap @ports{family}"
            yield f"add rule {table} unserved {ip} daddr @addresses{family} meta l4proto tcp reject with tcp reset"
            yield f"add rule {table} unserved {ip} daddr @addresses{family} reject"

    def _port_change(self, old: PortRules | None, new: PortRules | None) -> Iterator[str]:
        if old is not None and new is not None and old.shape == new.shape:
            yield from self._slot_changes(old, new)
            return
        if old is not None:
            yield from self._remove(old)
        if new is not None:
            yield from self._add(new)

    def _slot_changes(self, old: PortRules, new: PortRules) -> Iterator[str]:
        changed = [slot for slot, backend in enumerate(new.slots) if old.slots[slot] != backend]
        if changed:
            name = f"{self._table} {_name(new.port)}-slots"
            yield f"delete element {name} {{ {_elements(old.slots, changed)} }}"
            yield f"add element {name} {{ {_elements(new.slots, changed)} }}"

    def _add(self, rules: PortRules) -> Iterator[str]:
        port, name = rules.port, _name(rules.port)
        family = family_of(port.address)
        ip, table, key = _IP[family], self._table, _hash_of(rules)
        # Any number will do for the type of the key. With the hash itself, nft 1.0.6 crashes when it lists the table.
        number = f"numgen inc mod {len(rules.slots)}"
        yield f"add map {table} {name}-slots {{ typeof {number} : {ip} daddr . {port.protocol} dport\n}}"
        yield f"add element {table} {name}-slots {{ {_elements(rules.slots, range(len(rules.slots)))} }}"
        yield f"add chain {table} {name}"
        if rules.clients is not None:
            kind = _ADDRESS_TYPE[family]
            yield f"add set {table} {name}-clients {{ type {kind}; flags interval; auto-merge; }}"
            if rules.clients:
                yield f"add element {table} {name}-clients {{ {', '.join(rules.clients)} }}"
            yield f"add rule {table} {name} {ip} saddr != @{name}-clients drop"
        yield f"add rule {table} {name} meta l4proto {port.protocol} dnat {ip} to {key} map @{name}-slots"
        yield f"add element {table} ports{family} {{ {_entry(port)} }}"

    def _remove(self, rules: PortRules) -> Iterator[str]:
        port, name, table = rules.port, _name(rules.port), self._table
        yield f"delete element {table} ports{family_of(port.address)} {{ {_entry(port)} }}"
        yield f"flush chain {table} {name}"
        yield f"delete chain {table} {name}"
        yield f"delete map {table} {name}-slots"
        if rules.clients is not None:
            yield f"delete set {table} {name}-clients"

    def _addresses(self, verb: str, addresses: Iterable[str]) -> Iterator[str]:
        for address in sorted(addresses):
            yield f"{verb} element {self._table} addresses{family_of(address)} {{ {address} }}"

    def _gone(self, backends: Iterable[Gone], *, lasting: bool) -> Iterator[str]:
        for address, backend in backends:
            host, number = split_backend(backend)
            element = f"{address} . {host} . {number}"
            name = f"{self._table} gone{family_of(address)}"
            yield f"add element {name} {{ {element} timeout {GONE_SECONDS}s }}"
            if not lasting:
                # It may have expired by now, and nft refuses to delete what is not there: add it first.
                yield f"delete element {name} {{ {element} }}"


def _hash_of(rules: PortRules) -> str:
    """Return the expression that gives a flow its slot. The seed differs by port, so that hot slots do not coincide."""
    port = rules.port
    ip = _IP[family_of(port.address)]
    flow = f"{ip} saddr" if rules.affinity else f"{ip} saddr . {port.protocol} sport"
    seed = zlib.crc32(f"{port.address}/{port.protocol}/{port.number}".encode()) or 1
    return f"jhash {flow} mod {len(rules.slots)} seed {seed}"


def _name(port: Port) -> str:
    return f"{port.protocol}-{port.number}-{port.address.replace(':', '_')}"


def _entry(port: Port) -> str:
    return f"{port.address} . {port.protocol} . {port.number} : goto {_name(port)}"


def _elements(backends: tuple[str, ...], numbers: Iterable[int]) -> str:
    found = ((slot, *split_backend(backends[slot])) for slot in numbers)
    return ", ".join(f"{slot} : {host} . {number}" for slot, host, number in found)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
