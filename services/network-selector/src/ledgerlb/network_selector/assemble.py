"""Put the network-selector together."""

from __future__ import annotations

from ledgerlb.core.settings import DomainSettings
from ledgerlb.network_selector.processor import NetworkSelector
from ledgerlb.runtime.parts import Parts, Ports


def assemble(settings: DomainSettings, ports: Ports) -> Parts:
    """Return the parts of the network-selector: one processor."""
    return Parts(processors=(NetworkSelector(settings, ports.clock, ports.projection),))
