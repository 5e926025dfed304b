"""The priority order of network choice: the first rung that is present decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ledgerlb.core.cluster.services import ANNOTATION_NETWORK, ANNOTATION_SELECTOR

RungSource = Literal["service", "namespace", "contrail-namespace", "selectors", "pools", "nowhere"]
"""Where a rung looks: annotations of the Service, its Namespace or the contrail Namespace; the names of the defined
selectors; the AddressPools; or nowhere, for the last rung, which is always present.
"""
Meaning = Literal["network", "selector", "pool", "nothing"]
"""What the value of a rung names."""

DEFAULT_SELECTOR: Final = "default-external"
DEFAULT_SELECTOR_RUNG: Final = "default-selector"
DEFAULT_POOL: Final = "default-pool"


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung. ``key`` is looked up in ``place``; the value names a network or a selector of networks."""

    name: str
    place: RungSource
    key: str
    meaning: Meaning


RUNGS: Final = (
    Rung("service-annotation:externalNetwork", "service", ANNOTATION_NETWORK, "network"),
    Rung("service-annotation:externalNetworkSelector", "service", ANNOTATION_SELECTOR, "selector"),
    Rung("namespace-annotation:externalNetwork", "namespace", ANNOTATION_NETWORK, "network"),
    Rung("namespace-annotation:externalNetworkSelector", "namespace", ANNOTATION_SELECTOR, "selector"),
    Rung("contrail-namespace-annotation:externalNetwork", "contrail-namespace", ANNOTATION_NETWORK, "network"),
    Rung(
        "contrail-namespace-annotation:externalNetworkSelector", "contrail-namespace", ANNOTATION_SELECTOR, "selector"
    ),
    Rung(DEFAULT_SELECTOR_RUNG, "selectors", DEFAULT_SELECTOR, "selector"),
    Rung(DEFAULT_POOL, "pools", "", "pool"),
    Rung("none", "nowhere", "", "nothing"),
)
"""The last one is always present: it leaves the Service without a network, and says so. ``default-pool`` also decides
where the default selector is defined and matches no network.
"""
