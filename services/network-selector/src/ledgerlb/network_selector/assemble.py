"""Put the network-selector together."""

from __future__ import annotations

from ledgerlb.core.settings import DomainSettings
from ledgerlb.network_selector.processor import NetworkSelector
from ledgerlb.runtime.parts import Parts, Ports
from ledgerlb.runtime.projection import Projection


def assemble(settings: DomainSettings, ports: Ports) -> Parts:
    """Return the parts of the network-selector: one processor."""
    projection = ports.projection or Projection(ports.clock)
    return Parts(processors=(NetworkSelector(settings, ports.clock, projection),), projections=(projection,))
