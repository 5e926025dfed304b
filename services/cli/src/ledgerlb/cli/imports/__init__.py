"""Carry the configuration of other load balancer controllers over to LedgerLB.

``read`` reads the objects of a folder or a cluster. One module for each controller (``metallb``, ``cilium``,
``purelb``, ``kubevip``) turns them into AddressPools, annotations for Services and notes about what has no
counterpart (``model``). ``takeover`` then runs the real services on the result, in virtual time, and tells which
Services keep their address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledgerlb.cli.imports.cilium import CILIUM
from ledgerlb.cli.imports.kubevip import KUBE_VIP
from ledgerlb.cli.imports.metallb import METALLB
from ledgerlb.cli.imports.model import Controller
from ledgerlb.cli.imports.purelb import PURELB

CONTROLLERS: Final[Mapping[str, Controller]] = {one.name: one for one in (METALLB, CILIUM, PURELB, KUBE_VIP)}

__all__ = ["CONTROLLERS", "Controller"]
