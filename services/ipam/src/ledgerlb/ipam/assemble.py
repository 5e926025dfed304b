"""Put IPAM together."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field
from importlib.metadata import version

from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.topics import LEDGER
from ledgerlb.ipam.metrics import IpamMetrics
from ledgerlb.ipam.processor import Ipam
from ledgerlb.runtime.parts import Parts, Ports
from ledgerlb.runtime.projection import Projection


def decider_name() -> str:
    """Return the name with which this process signs its entries: host, process, start and version.

    Two replicas never share a name.
    """
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}/{version('ledgerlb-ipam')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IpamPorts(Ports):
    """``decider`` signs the ledger entries."""

    decider: str = field(default_factory=decider_name)


def assemble(settings: DomainSettings, ports: IpamPorts) -> Parts:
    """Return the parts of IPAM: one processor and its metrics."""
    projection = ports.projection or Projection(ports.clock)
    ipam = Ipam(settings, ports.clock, ports.decider, projection)
    return Parts(processors=(ipam,), collectors=(IpamMetrics(ipam),), projections=(projection,), writes=(LEDGER,))
