"""The cluster that is edited: 25 networks of every form, a Kubemanager with several selectors, 40 namespaces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from tests.builders import objects
from tests.integration.random_edits.size import NAMESPACES
from tests.support import kube_objects as kube
from tests.support.kube_objects import Object

CONTRAIL: Final = "contrail"
NET_NAMESPACES: Final = ("nets-a", "nets-b")
SERVICE_NAMESPACES: Final = tuple(f"ns-{number:02}" for number in range(NAMESPACES))
NODES: Final = tuple((f"node-{number}", f"10.10.0.{number}") for number in range(1, 5))
SETTINGS: Final[dict[str, Any]] = {"defaults": {"quarantine": "10m", "lease": "24h"}}
"""Nothing of the defaults runs out during a test; the networks that say so themselves have short quarantines."""
SHORT_QUARANTINE: Final = 4
"""Seconds."""

DEFAULT: Final = tuple(kube.DEFAULT_LABELS.items())
_TARGET: Final = "target:64512:"


@dataclass(frozen=True)
class Network:
    """A network as the script means it to be. ``other`` are prefixes that it may have after it was made again."""

    name: str
    form: Literal["nad", "vn"] = "nad"
    v4: str = ""
    v6: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    targets: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()
    gateway: str = ""
    other: tuple[str, str] = ("", "")
    broken: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name."""
        namespace, _, name = self.name.partition("/")
        return namespace, name

    def objects(self) -> list[Object]:
        """What defines it, Subnets before the VirtualNetwork that names them."""
        return [self._nad()] if self.form == "nad" else [*self._subnets(), self._virtual_network()]

    def owner(self) -> tuple[str, str, str]:
        """Kind, namespace and name of the object that carries its labels and annotations."""
        kind = "NetworkAttachmentDefinition" if self.form == "nad" else "VirtualNetwork"
        return (kind, *self.place)

    def nad_json(self) -> str:
        """The JSON of its NAD; something else where it is broken."""
        said: Object = {"ipamV4Subnet": self.v4 or None, "ipamV6Subnet": self.v6 or None, "podNetwork": None}
        if self.targets:
            said["routeTargetList"] = list(self.targets)
        text = json.dumps(said)
        return text[:-1] if self.broken else text

    def _nad(self) -> Object:
        found = objects.nad(self.name, labels=dict(self.labels), raw=self.nad_json())
        found["metadata"]["annotations"] |= dict(self.annotations)
        return found

    def _prefixes(self) -> Iterator[tuple[int, str]]:
        yield from ((family, prefix) for family, prefix in ((4, self.v4), (6, self.v6)) if prefix)

    def _subnets(self) -> list[Object]:
        namespace, name = self.place
        found = []
        for family, prefix in self._prefixes():
            spec: Object = {"cidr": "no prefix" if self.broken else prefix}
            if family == 4 and self.gateway:
                spec["defaultGateway"] = self.gateway
            if family == 4 and self.ranges:
                spec["ranges"] = [{"ipRanges": [{"from": low, "to": high} for low, high in self.ranges]}]
            found.append(kube.made("Subnet", namespace, f"{name}-subnet{family}", spec=spec))
        return found

    def _virtual_network(self) -> Object:
        namespace, name = self.place
        spec: Object = {
            f"v{family}SubnetReference": {"kind": "Subnet", "namespace": namespace, "name": f"{name}-subnet{family}"}
            for family, _ in self._prefixes()
        }
        if self.targets:
            spec["routeTargetList"] = list(self.targets)
        return kube.made(
            "VirtualNetwork", namespace, name, labels=dict(self.labels), annotations=dict(self.annotations), spec=spec
        )


def _tier(tier: str) -> tuple[tuple[str, str], ...]:
    return (("tier", tier),)


_OWN: Final = (("own", "yes"),)
_QUICK: Final = (("ledgerlb.io/quarantine", f"{SHORT_QUARANTINE}s"),)
_AT_ONCE: Final = (("ledgerlb.io/quarantine", "0s"), ("ledgerlb.io/lease", "0s"))

NETWORKS: Final = (
    # The default ones, large; the older one serves whoever says nothing.
    Network("contrail/default-vn", "vn", "10.100.0.0/20", "fd00:100::/64", DEFAULT),
    Network("contrail/default-nad", "nad", "10.100.16.0/20", "fd00:101::/64", DEFAULT),
    Network("nets-a/spare-default", "nad", "10.100.32.0/20", "", DEFAULT),
    # By tier, over two namespaces.
    Network("nets-a/gold-1", "nad", "10.101.0.0/23", "fd00:110::/64", _tier("gold"), annotations=_QUICK),
    Network("nets-b/gold-2", "vn", "10.101.2.0/23", "", _tier("gold"), gateway="10.101.2.9"),
    Network("nets-a/silver-1", "vn", "10.101.4.0/24", "fd00:111::/120", _tier("silver"), annotations=_QUICK),
    Network("nets-b/silver-2", "nad", "10.101.5.0/24", "", _tier("silver"), other=("10.101.6.0/24", "")),
    Network("nets-b/bronze-1", "nad", "", "fd00:112::/64", _tier("bronze"), other=("", "fd00:113::/64")),
    Network("nets-a/bronze-2", "vn", "10.101.8.0/24", "", _tier("bronze"),
            ranges=(("10.101.8.10", "10.101.8.40"), ("10.101.8.60", "10.101.8.90"))),
    # In the Services' own namespaces.
    Network("ns-00/own", "nad", "10.102.0.0/26", "", _OWN),
    Network("ns-01/own", "vn", "10.102.1.0/26", "fd00:120::/64", _OWN, annotations=_QUICK),
    Network("ns-02/own", "nad", "10.102.2.0/27", "fd00:121::/64", _OWN, other=("10.102.3.0/27", "fd00:121::/64")),
    Network("ns-03/own", "vn", "", "fd00:122::/64", _OWN),
    # Small enough to fill.
    Network("nets-a/tiny-1", "nad", "10.103.0.0/29", "", (), annotations=_QUICK),
    Network("nets-b/tiny-2", "vn", "10.103.0.16/28", "fd00:130::/126", (), annotations=_AT_ONCE),
    Network("nets-a/tiny-3", "nad", "10.103.0.32/31", "fd00:131::/125", ()),
    Network("nets-b/tiny-4", "nad", "10.103.0.64/28", "", _tier("silver"), annotations=_AT_ONCE),
    # Overlapping: the first two conflict; the next two keep out of each other's routing context and both serve. These
    # give out different parts, as one path set an address is all that there is: of two holders of an address in two
    # networks only one would be forwarded to, and a move to the other would wait for ever.
    Network("nets-a/over-1", "nad", "10.104.0.0/22", "", _tier("iron")),
    Network("nets-b/over-2", "vn", "10.104.1.0/24", "", _tier("iron"), other=("10.104.8.0/24", "")),
    Network("nets-a/apart-1", "vn", "10.105.0.0/24", "", _tier("iron"), (f"{_TARGET}1",),
            ranges=(("10.105.0.128", "10.105.0.250"),)),
    Network("nets-b/apart-2", "nad", "10.105.0.0/25", "", _tier("iron"), (f"{_TARGET}2",)),
    # Not for everybody.
    Network("nets-a/team", "nad", "10.106.0.0/24", "fd00:140::/64", _tier("gold"),
            annotations=(("ledgerlb.io/allowed-namespaces", "team in (a,b)"),)),
    Network("nets-b/team-a", "vn", "10.106.1.0/24", "", _tier("bronze"),
            annotations=(("ledgerlb.io/allowed-namespaces", "team=a"), ("ledgerlb.io/quota-per-namespace", "2"))),
    Network("nets-a/quota", "nad", "10.106.2.0/25", "", _tier("silver"),
            annotations=(("ledgerlb.io/quota-per-namespace", "3"), ("ledgerlb.io/exclude", "10.106.2.2-10.106.2.5"))),
    Network("nets-b/held-back", "nad", "10.106.3.0/26", "", (),
            annotations=(("ledgerlb.io/exclude", "10.106.3.0/27"), *_QUICK)),
)  # fmt: skip

GOLD: Final = {"namespaceSelector": {}, "networkSelector": {"matchLabels": {"tier": "gold"}}}
SELECTORS: Final[dict[str, tuple[Object | None, ...]]] = {
    # Each with the forms that edits may give it; None: not defined.
    "default-external": (
        {"networkSelector": {"matchLabels": dict(DEFAULT)}},
        {"networkSelector": {"matchLabels": dict(DEFAULT)}},
        {"namespaceSelector": {"matchLabels": {"zone": "one"}}, "networkSelector": {"matchLabels": dict(DEFAULT)}},
        None,
    ),
    "gold": (GOLD, {**GOLD, "namespaceSelector": {"matchLabels": {"zone": "one"}}}),
    "silver": (
        {"namespaceSelector": {"matchLabels": {"zone": "two"}}, "networkSelector": {"matchLabels": {"tier": "silver"}}},
        {"namespaceSelector": {}, "networkSelector": {"matchLabels": {"tier": "silver"}}},
        None,
    ),
    "own": ({"networkSelector": {"matchLabels": dict(_OWN)}},),
    "odd": (
        {
            "namespaceSelector": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
            "networkSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["iron", "bronze"]}]},
        },
        {
            "namespaceSelector": {},
            "networkSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]},
        },
    ),
    "nothing": (
        {"namespaceSelector": {}, "networkSelector": {"matchLabels": {"tier": "no-such-tier"}}},
        {"namespaceSelector": {}, "networkSelector": {"matchExpressions": [{"key": "tier", "operator": "Sometimes"}]}},
    ),
}


def kubemanager(forms: dict[str, int]) -> Object:
    """The Kubemanager with one form of each selector."""
    selectors = {name: SELECTORS[name][form] for name, form in forms.items()}
    return kube.made(
        "Kubemanager",
        CONTRAIL,
        "contrail-k8s-kubemanager",
        spec={"externalNetworkSelectors": {name: said for name, said in selectors.items() if said is not None}},
    )


def namespaces() -> list[Object]:
    """All of them; those of Services belong to teams, those of networks to zones."""
    of_networks = [
        objects.namespace(name, {"zone": zone, **objects.ADMITTED})
        for name, zone in zip(NET_NAMESPACES, ("one", "two"), strict=True)
    ]
    of_services = [
        objects.namespace(name, {"team": "abc"[number % 3], "zone": ("one", "two")[number % 2]})
        for number, name in enumerate(SERVICE_NAMESPACES)
    ]
    return [objects.namespace(CONTRAIL, {"zone": "one"}), *of_networks, *of_services]


def renewed(network: Network, *, other: bool) -> Network:
    """The network as it is made again: unbroken, with its other prefixes where it has some and ``other`` says so."""
    if not other or not any(network.other):
        return replace(network, broken=False)
    return replace(network, broken=False, v4=network.other[0], v6=network.other[1], other=(network.v4, network.v6))
