"""Try a takeover: run the real services on the imported objects, in virtual time, and look who keeps which address."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledgerlb.cli.imports.model import (
    POOL,
    Carried,
    Object,
    Objects,
    annotations_of,
    entries,
    full_name,
    mapping,
)
from ledgerlb.core.addresses import parse, parse_item
from ledgerlb.core.errors import BadInput
from ledgerlb.core.ledger.events import AdoptionRefused
from ledgerlb.core.networks import POOL_PREFIX
from ledgerlb.core.settings import DomainSettings
from ledgerlb.kube.kinds import WATCHED
from ledgerlb.simulator.engine import Engine

_KINDS: Final = tuple(kind.kind for kind in WATCHED if kind.kind not in {"Service", "Pod", "InstanceIP", "FloatingIP"})
_DRY_RUN: Final = "dry run"


@dataclass(frozen=True, slots=True)
class Kept:
    """One Service that showed addresses, what it shows after the takeover, and, where that differs, why."""

    service: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    why: str = ""

    @property
    def adopted(self) -> bool:
        """Whether the Service keeps every address that it showed."""
        return set(self.before) == set(self.after)


async def try_takeover(objects: Objects, carried: Carried, settings: DomainSettings) -> tuple[Kept, ...]:
    """Return what becomes of each Service that shows an address.

    A Service that would get its address of another pool than the one that has its address is annotated with that
    pool, in ``carried``.
    """
    kept = await _run(objects, carried, settings)
    changed = False
    for one in kept:
        pool = None if one.adopted else _pool_with(carried, one.before)
        if pool is not None and not _names_network(objects, carried, one.service):
            carried.annotate(one.service, POOL, f"{POOL_PREFIX}{pool}")
            changed = True
    return await _run(objects, carried, settings) if changed else kept


async def _run(objects: Objects, carried: Carried, settings: DomainSettings) -> tuple[Kept, ...]:
    engine = Engine(settings)
    await engine.apply((obj, _DRY_RUN) for obj in _cluster(objects, carried))
    refused = {
        (event.service, event.address): f"{event.reason}: {event.message}"
        for entry, _ in engine.view.accepted or ()
        for event in entry.events
        if isinstance(event, AdoptionRefused)
    }
    found: list[Kept] = []
    for service in objects.services():
        before = shown_by(service)
        if not before:
            continue
        name = full_name(service)
        line = engine.view.service(name, engine.clock())
        publication = line.publication
        after = () if publication.state == "Ignored" else publication.addresses
        reasons = [refused[name, address] for address in before if (name, address) in refused and address not in after]
        own = ": ".join(part for part in (publication.reason, publication.message) if part)
        why = "; ".join(reasons) or own or "it gets another address"
        found.append(Kept(name, before, after, why if set(before) != set(after) else ""))
    return tuple(found)


def _cluster(objects: Objects, carried: Carried) -> Iterator[Object]:
    """Yield the cluster as it would be after the import, with a Namespace for every Service."""
    names = {full_name(obj) for obj in objects.of("Namespace")}
    for place in dict.fromkeys(full_name(service).partition("/")[0] for service in objects.services()):
        if place not in names:
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}}
    pools = {(POOL_PREFIX, name) for name in carried.pools}
    for obj in objects.all:
        kind = obj.get("kind")
        ours = kind == "AddressPool" and str(obj.get("apiVersion", "")).startswith("ledgerlb.io/")
        if kind == "AddressPool" and (not ours or (POOL_PREFIX, full_name(obj)) in pools):
            continue
        if kind in _KINDS:
            yield obj
    yield from carried.pools.values()
    for service in objects.services():
        yield _annotated(service, carried.annotations.get(full_name(service), {}))


def _annotated(service: Object, annotations: Mapping[str, str]) -> Object:
    found: dict[str, Any] = copy.deepcopy(dict(service))
    metadata = found.setdefault("metadata", {})
    metadata["annotations"] = {**mapping(metadata.get("annotations")), **annotations}
    return found


def shown_by(service: Object) -> tuple[str, ...]:
    """Return the addresses in the status of a Service, canonical."""
    ingress = entries(mapping(mapping(service.get("status")).get("loadBalancer")).get("ingress"))
    texts = (mapping(entry).get("ip") for entry in ingress)
    found = (parse(text) for text in texts if isinstance(text, str))
    return tuple(dict.fromkeys(address.text for address in found if address is not None))


def _names_network(objects: Objects, carried: Carried, service: str) -> bool:
    if POOL in carried.annotations.get(service, {}):
        return True
    return any(POOL in annotations_of(obj) for obj in objects.services() if full_name(obj) == service)


def _pool_with(carried: Carried, addresses: Iterable[str]) -> str | None:
    """Return the name of the pool that has all of these addresses."""
    spans = [parse_item(address, "", "") for address in addresses]
    for name, pool in carried.pools.items():
        try:
            own = [parse_item(str(item).strip(), "", "") for item in pool["spec"]["addresses"]]
        except BadInput:
            continue
        if spans and all(
            any(one.family == span.family and one.low <= span.low and span.high <= one.high for one in own)
            for span in spans
        ):
            return name
    return None
