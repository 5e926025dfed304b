"""The contrail namespace: where CN2 keeps the networks of the cluster itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledgerlb.core.cluster.view import SERVICE_NETWORK, ClusterView
from ledgerlb.core.settings import DomainSettings

DEFAULT_NAMESPACE: Final = "contrail"
"""The contrail namespace of a cluster where nothing tells it."""


@dataclass(frozen=True, slots=True)
class ContrailHome:
    """``namespace`` is empty where several ``candidates`` hold a service network, so that none can be taken."""

    namespace: str
    candidates: tuple[str, ...]

    @property
    def why_unclear(self) -> str:
        """Explain why there is no contrail namespace, with the remedy; empty where there is one."""
        if self.namespace:
            return ""
        return (
            f"namespaces {', '.join(self.candidates)} each hold a VirtualNetwork {SERVICE_NETWORK}, so it is unclear "
            "which is the contrail namespace; name it by the setting contrailNamespace"
        )


def contrail_home(view: ClusterView, settings: DomainSettings) -> ContrailHome:
    """Return the contrail namespace: the one that the settings name, else the one that holds CN2's service network."""
    if settings.contrail_namespace is not None:
        return ContrailHome(settings.contrail_namespace, (settings.contrail_namespace,))
    found = view.service_network_namespaces() or (DEFAULT_NAMESPACE,)
    return ContrailHome(found[0] if len(found) == 1 else "", found)


def service_network(view: ClusterView, settings: DomainSettings) -> str:
    """Return CN2's network of cluster addresses (``namespace/name``); empty where the contrail namespace is unclear."""
    if settings.service_network is not None:
        return settings.service_network
    home = contrail_home(view, settings).namespace
    return f"{home}/{SERVICE_NETWORK}" if home else ""
