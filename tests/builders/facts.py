"""Facts of Services and what is behind them, small unless the test asks for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledgerlb.core.cluster.facts import Endpoint, EndpointPort, EndpointSliceFact, ServiceFact, ServicePort

HTTP = ServicePort(name="http", port=80, target_port=8080)
TARGET = EndpointPort(name="http", port=8080)


def split(full_name: str) -> dict[str, str]:
    """``namespace`` and ``name`` of ``namespace/name``."""
    namespace, _, bare = full_name.partition("/")
    return {"namespace": namespace, "name": bare}


def service(
    full_name: str = "shop/web",
    annotations: Mapping[str, str] | None = None,
    *,
    ports: Sequence[ServicePort] = (HTTP,),
    **fields: Any,
) -> ServiceFact:
    """A Service of type LoadBalancer with one port, http."""
    given = {
        "uid": f"uid-{full_name}",
        "type": "LoadBalancer",
        "annotations": dict(annotations or {}),
        "ports": tuple(ports),
    } | fields
    return ServiceFact(**split(full_name), **given)


def endpoint(address: str, node: str = "", pod: str = "", **fields: Any) -> Endpoint:
    """An endpoint, of the pod ``namespace/name`` where one is given."""
    target = split(pod) if pod else {"namespace": "", "name": ""}
    kind = "Pod" if pod else ""
    return Endpoint(
        addresses=(address,), node=node, target_kind=kind, target_namespace=target["namespace"],
        target_name=target["name"], **fields,
    )  # fmt: skip


def endpoint_slice(
    name: str, *endpoints: Endpoint, of: str = "shop/web", ports: Sequence[EndpointPort] = (TARGET,), **fields: Any
) -> EndpointSliceFact:
    """A slice of the Service ``of``, in its namespace."""
    owner = split(of)
    given = {"address_type": "IPv4", "ports": tuple(ports), "endpoints": endpoints} | fields
    return EndpointSliceFact(namespace=owner["namespace"], name=name, service=owner["name"], **given)
