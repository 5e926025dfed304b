"""Whoever was refused is looked at again when a holder changes what it holds, though no address came free."""

from __future__ import annotations

from datetime import timedelta

from ledgerlb.core.intents.model import IntentsSynced
from ledgerlb.core.paths.pathset import Heartbeat
from tests.support.ledger import NETWORK, START, intent_of, offer, withdrawal_of
from tests.unit.ipam.test_processor import World

ADDRESS = "10.0.0.7"
HTTP, HTTPS = (("TCP", 80),), (("TCP", 443),)


async def refusal_of(world: World, service: str) -> str:
    found = (await world.fold()).refusals_of(f"default/{service}")
    return found[0].reason if found else ""


async def started(*wishes):
    world = World()
    ipam = world.replica()
    await world.say(offer("10.0.0.0/24"), IntentsSynced(), *wishes)
    await world.run(ipam)
    return world, ipam


async def test_a_port_that_a_sharer_gives_up_is_anothers():
    both = {"requested": (ADDRESS,), "sharing_key": "k"}
    world, ipam = await started(intent_of("a", **both), intent_of("b", **both))
    assert await refusal_of(world, "b") == "SharingConflict"
    await world.say(intent_of("a", 2, ports=HTTPS, **both))
    await world.run(ipam)
    assert await refusal_of(world, "b") == ""
    assert {h.service for h in (await world.fold()).holding(ADDRESS)} == {"default/a", "default/b"}


async def test_a_key_that_a_sole_holder_takes_lets_others_in():
    world, ipam = await started(
        intent_of("a", requested=(ADDRESS,)), intent_of("b", requested=(ADDRESS,), sharing_key="k", ports=HTTPS)
    )
    assert await refusal_of(world, "b") == "RequestedAddressInUse"
    await world.say(intent_of("a", 2, requested=(ADDRESS,), sharing_key="k", ports=HTTP))
    await world.run(ipam)
    assert await refusal_of(world, "b") == ""


async def test_an_address_that_its_holder_takes_back_may_be_shared_again():
    both = {"requested": (ADDRESS,), "sharing_key": "k"}
    world, ipam = await started(intent_of("a", **both))
    # An agent lives that has not confirmed: the release waits.
    await world.report(Heartbeat(agent="n1", at=START, started=START - timedelta(hours=1)))
    await world.say(withdrawal_of("a"), intent_of("b", ports=HTTPS, **both))
    await world.run(ipam)
    assert await refusal_of(world, "b") == "RequestedAddressInUse"
    await world.say(intent_of("a", 3, **both))
    await world.run(ipam)
    assert await refusal_of(world, "b") == ""
    assert {h.service for h in (await world.fold()).holding(ADDRESS)} == {"default/a", "default/b"}


async def test_a_second_family_that_runs_out_is_named_too():
    world = World()
    ipam = world.replica()
    await world.say(offer("10.0.0.0/31", "fd00::/126"), IntentsSynced(), intent_of("a"), intent_of("b"))
    await world.run(ipam)
    await world.say(intent_of("c", families=(4, 6)))
    await world.run(ipam)
    assert (await world.fold()).refusals_of("default/c")[0].families == (4,)
    await world.say(intent_of("d", families=(6,)), intent_of("e", families=(6,)))
    await world.run(ipam)
    assert (await world.fold()).refusals_of("default/c")[0].families == (4, 6)


async def test_an_address_in_quarantine_that_its_former_holder_takes_again_is_in_use():
    world, ipam = await started(intent_of("a", requested=(ADDRESS,)))
    await world.say(withdrawal_of("a"))
    await world.run(ipam)
    await world.say(intent_of("b", requested=(ADDRESS,)))
    await world.run(ipam)
    assert await refusal_of(world, "b") == "RequestedAddressQuarantined"
    await world.say(intent_of("a", 3, requested=(ADDRESS,)))
    await world.run(ipam)
    assert await refusal_of(world, "b") == "RequestedAddressInUse"


async def test_a_request_that_goes_wakes_those_who_wait_for_any_address():
    world = World()
    ipam = world.replica()
    await world.say(offer("10.0.0.0/31", "fd00::/126"), IntentsSynced(), intent_of("six", families=(6,)))
    await world.run(ipam)
    await world.say(
        intent_of("both", families=(4, 6), requested=("10.0.0.0", "fd00::2")), intent_of("a"), intent_of("b")
    )
    await world.run(ipam)
    assert await refusal_of(world, "b") == "NetworkFull"
    await world.say(withdrawal_of("both"))
    await world.run(ipam)
    assert await refusal_of(world, "b") == ""


async def test_those_who_wait_for_any_address_of_one_family_are_not_looked_at_for_another():
    world = World()
    ipam = world.replica()
    await world.say(offer("10.0.0.0/31", "fd00::/64"), IntentsSynced(), intent_of("a"), intent_of("b"))
    await world.run(ipam)
    await world.say(intent_of("waits"))
    await world.run(ipam)
    assert await refusal_of(world, "waits") == "NetworkFull"
    await world.say(intent_of("six", families=(6,)))
    await ipam.turn()  # decides, and appends
    await ipam.read()
    assert list(ipam.ipam.queues[NETWORK].pending) == ["default/six"]
