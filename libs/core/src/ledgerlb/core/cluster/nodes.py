"""Addresses of Nodes: which one reaches a node from outside."""

from __future__ import annotations

from ledgerlb.core.addresses import Family, parse, unroutable
from ledgerlb.core.cluster.facts import NodeFact


def internal_ip(node: NodeFact, family: Family) -> str:
    """Return the node's first InternalIP of a family that a router can forward to, canonical; empty where it has none.

    Text that spells no address, and loopback, link-local, multicast and unspecified addresses are passed over: no other
    machine can send traffic to them.
    """
    for text in node.addresses:
        found = parse(text)
        if found is not None and found.family == family and not unroutable(family, found.value, found.value):
            return found.text
    return ""
