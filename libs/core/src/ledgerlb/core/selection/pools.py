"""The rung ``default-pool``: the AddressPools that serve Services for which nothing else chooses a network.

The order is priority, then age, then name. A pool that can never serve the Service is passed over, as any network is.
A full pool is passed over only if it says so (``spillOver``).

A holder keeps its pool, and whether other pools are full at the moment is no reason for another answer about it. So
for a holder every pool that spills over counts as full up to the one that it holds an address of: the answer depends
on the objects alone.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from ledgerlb.core.addresses import cidr_of, family_of, to_int
from ledgerlb.core.cluster.facts import ServiceFact
from ledgerlb.core.cluster.services import requested_addresses
from ledgerlb.core.errors import BadInput
from ledgerlb.core.intents.model import CandidateResult
from ledgerlb.core.networks import ExternalNetwork
from ledgerlb.core.reasons import Reason
from ledgerlb.core.selection.candidates import MAX_CANDIDATES, Needs, Obstacle, obstacle
from ledgerlb.core.selection.choice import Verdict
from ledgerlb.core.selection.context import SelectionContext
from ledgerlb.core.selection.rungs import DEFAULT_POOL
from ledgerlb.core.text import MAX_LINE, shortened


def choose_pool(
    context: SelectionContext, service: ServiceFact, needs: Needs, held: Container[str] = ()
) -> Verdict | None:
    """Return the verdict of the AddressPools, None if none takes part. ``held``: networks that the Service holds
    addresses of.
    """
    pools = context.pools_for(service)
    if not pools:
        return None
    obstacles = {pool.name: obstacle(pool, needs) or _lacks_request(pool, service) for pool in pools}
    usable = [pool for pool in pools if obstacles[pool.name] is None]
    objects = tuple(key for pool in pools[:MAX_CANDIDATES] for key in pool.objects)
    if not usable:
        first = obstacles[pools[0].name]
        assert first is not None, "every pool was passed over for some reason"
        results = _results(pools, obstacles, None, ())
        return Verdict(None, DEFAULT_POOL, first.reason, first.message, candidates=results, objects=objects)
    taken, spilled, by_room = _with_room(context, service, needs, usable, held)
    results = _results(pools, obstacles, taken, spilled)
    passed = f"; {', '.join(pool.name for pool in spilled)} spills over" if spilled else ""
    message = f"{DEFAULT_POOL}: takes {taken.name}, {_rank(taken, pools)}{passed}"
    return Verdict(taken.name, DEFAULT_POOL, None, message, candidates=results, objects=objects, by_room=by_room)


def _with_room(
    context: SelectionContext,
    service: ServiceFact,
    needs: Needs,
    usable: Sequence[ExternalNetwork],
    held: Container[str],
) -> tuple[ExternalNetwork, tuple[ExternalNetwork, ...], bool]:
    """Return the pool to take, the pools that spill over to it, and whether room decided that.

    If every pool that may be taken is full, the Service waits for the first of them.
    """
    reachable = _until_it_stays(usable)
    for at, pool in enumerate(reachable):
        if pool.name in held:
            return pool, tuple(reachable[:at]), False
    if len(reachable) == 1:
        return reachable[0], (), False
    for at, pool in enumerate(reachable):
        if not _is_full(context, service, needs, pool):
            return pool, tuple(reachable[:at]), True
    last = reachable[-1]
    if last.pool is not None and not last.pool.spill_over:
        return last, tuple(reachable[:-1]), True
    return reachable[0], (), True


def _until_it_stays(usable: Sequence[ExternalNetwork]) -> Sequence[ExternalNetwork]:
    """Return the pools up to the first that does not spill over."""
    for at, network in enumerate(usable):
        if network.pool is not None and not network.pool.spill_over:
            return usable[: at + 1]
    return usable


def _is_full(context: SelectionContext, service: ServiceFact, needs: Needs, pool: ExternalNetwork) -> bool:
    """Return whether the pool cannot give the Service what it needs now: a required family, or any family at all."""
    own = pool.strict_quarantine
    strict = context.settings.defaults.strict_quarantine if own is None else own
    full = [
        context.room.is_full(pool.name, family, strict=strict) and not context.room.shares(pool.name, family, service)
        for family in (needs.required or needs.families)
        if family in pool.families
    ]
    return any(full) if needs.required else all(full)


def _lacks_request(network: ExternalNetwork, service: ServiceFact) -> Obstacle | None:
    """Return the obstacle that a requested address is not one of the pool's."""
    try:
        requested = requested_addresses(service)
    except BadInput:
        return None  # reported for the Service as a whole
    for address in requested:
        family, value = family_of(address), to_int(address)
        if not any(cidr_of(prefix.prefix).covers(family, value) for prefix in network.prefixes):
            return Obstacle(
                Reason.REQUESTED_ADDRESS_OUTSIDE_NETWORK,
                f"address {address} is outside what network {network.name} gives out ({network.extent}); "
                "request one inside, or name the network that has it",
            )
    return None


def _results(
    pools: Sequence[ExternalNetwork],
    obstacles: dict[str, Obstacle | None],
    taken: ExternalNetwork | None,
    spilled: Sequence[ExternalNetwork],
) -> tuple[CandidateResult, ...]:
    names = {pool.name for pool in spilled}
    results: list[CandidateResult] = []
    for pool in pools:
        found = obstacles[pool.name]
        if found is not None:
            why = shortened(f"{found.reason}: {found.message}", MAX_LINE)
        elif pool is taken:
            why = _rank(pool, pools)
        elif pool.name in names:
            why = f"{Reason.NETWORK_FULL}: spills over to the next pool"
        else:
            why = f"comes after {taken.name}" if taken is not None else ""
        results.append(CandidateResult(network=pool.name, taken=pool is taken, why=why))
    kept = results[:MAX_CANDIDATES]
    if taken is not None and not any(result.taken for result in kept):
        kept[-1] = next(result for result in results if result.taken)
    return tuple(kept)


def _rank(taken: ExternalNetwork, pools: Sequence[ExternalNetwork]) -> str:
    priority = taken.pool.priority if taken.pool is not None else 0
    if len(pools) == 1:
        return "the only pool that takes part"
    which = "the first" if taken is pools[0] else "the first usable one"
    return f"{which} of {len(pools)} pools by priority ({priority}), age and name"
