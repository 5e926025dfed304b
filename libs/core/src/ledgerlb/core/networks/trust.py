"""Which networks count: prefixes that no router forwards, and namespaces that an administrator vouches for.

Anybody who may create a NetworkAttachmentDefinition can name any prefix. So some prefixes are refused always, some by
setting, and only networks in admitted namespaces may outrank others or become the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledgerlb.core.addresses import Cidr, Family, cidr_of, unroutable
from ledgerlb.core.cluster.labels import parse_selector_text
from ledgerlb.core.settings import DomainSettings

ADMITTING_LABEL: Final = "ledgerlb.io/external-networks"
"""On a Namespace, with the value ``true``: its networks are admitted. Only administrators may label Namespaces."""
SHORTEST: Final[Mapping[Family, int]] = {4: 8, 6: 32}
"""The shortest prefix that a network may have: no organisation gives out more than this to Services."""


def why_unroutable(cidr: Cidr) -> str:
    """Return why no network may have the prefix, as the end of a sentence about it; empty where it may."""
    if cidr.length < SHORTEST[cidr.family]:
        return f"{cidr.text} is shorter than /{SHORTEST[cidr.family]}"
    meaning = unroutable(cidr.family, cidr.low, cidr.high)
    return f"{cidr.text} holds {meaning}, which no router forwards" if meaning else ""


def is_admitted(namespace: str, labels: Mapping[str, str], settings: DomainSettings, home: str) -> bool:
    """Return whether networks of the namespace with these labels are admitted; ``home`` is the contrail namespace."""
    if settings.network_namespaces is not None:
        return parse_selector_text(settings.network_namespaces).matches(labels)
    return (bool(home) and namespace == home) or labels.get(ADMITTING_LABEL) == "true"


def why_not_external(cidr: Cidr, settings: DomainSettings) -> str:
    """Return why the setting ``externalPrefixes`` refuses the prefix; empty where it allows it."""
    allowed = settings.external_prefixes
    if allowed is None or any(_covers(cidr_of(text), cidr) for text in allowed):
        return ""
    return f"{cidr.text} lies outside of the setting externalPrefixes ({', '.join(allowed) or 'empty'})"


def _covers(outer: Cidr, inner: Cidr) -> bool:
    return outer.family == inner.family and outer.low <= inner.low and inner.high <= outer.high
