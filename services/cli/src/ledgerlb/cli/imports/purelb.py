"""PureLB: ServiceGroup of both versions. The group ``default`` serves Services that name none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ledgerlb.cli.imports.model import (
    ADDRESSES,
    POOL,
    SHARING,
    Carried,
    Controller,
    Objects,
    Source,
    entries,
    mapping,
    own_name,
    pool_name,
)

GROUP: Final = "purelb.io"


def _pools(objects: Objects, carried: Carried) -> None:
    for group in objects.of("ServiceGroup", GROUP):
        spec = mapping(group.get("spec"))
        if spec.get("netbox"):
            carried.note(group, "takes its addresses from Netbox; list them in an AddressPool instead")
        addresses = [item for part in ("local", "remote") for item in _addresses(mapping(spec.get(part)))]
        if not addresses and spec.get("netbox"):
            continue
        name = pool_name(own_name(group))
        carried.add_pool(group, name, addresses, autoAssign=name == "default")
    carried.note_announcing(objects, ("LBNodeAgent",), GROUP)


def _addresses(part: Any) -> Iterator[str]:
    """Yield the pools of one part of a ServiceGroup: one, one a family, or several a family."""
    listed = [*entries(part.get("v4pools")), *entries(part.get("v6pools"))]
    for place in (part, mapping(part.get("v4pool")), mapping(part.get("v6pool")), *listed):
        pool = mapping(place).get("pool")
        if isinstance(pool, str):
            yield pool


PURELB: Final = Controller(
    name="purelb",
    title="PureLB",
    sources=(Source("ServiceGroup", GROUP, "servicegroups"), Source("LBNodeAgent", GROUP, "lbnodeagents")),
    annotations={
        "purelb.io/service-group": POOL,
        "purelb.io/addresses": ADDRESSES,
        "purelb.io/allow-shared-ip": SHARING,
    },
    ignored=("purelb.io/allocated-", "purelb.io/announcing-"),
    prefixes=("purelb.io/",),
    pools=_pools,
)
