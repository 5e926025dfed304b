"""Laws of requests: whatever the first list, its order and its parts, every request that can be had is had."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerlb.core.addresses import to_int, to_text
from ledgerlb.core.intents.claims import claimed_by
from ledgerlb.core.intents.model import AddressIntent
from ledgerlb.core.settings import Defaults
from tests.support.ledger import NETWORK, Office, intent_of, offer

POOL = [to_text(to_int("10.0.0.2") + number, 4) for number in range(13)]
"""What 10.0.0.0/28 can give out."""
addresses = st.sampled_from([*POOL, "10.0.0.1", "10.0.0.77"])


@st.composite
def first_lists(draw: st.DrawFn) -> list[AddressIntent]:
    """Services without a request, with a request, and with a status, in any order and of any age."""
    found = []
    for number in range(draw(st.integers(1, 16))):
        what = draw(st.sampled_from(["nothing", "nothing", "request", "request", "status"]))
        asks = (draw(addresses),) if what == "request" else ()
        shows = (draw(addresses),) if what == "status" else ()
        created = f"2026-01-{draw(st.integers(1, 9)):02}"
        found.append(intent_of(f"a/s{number}", created=created, requested=asks, adopt=shows))
    return draw(st.permutations(found))


def holders(office: Office) -> dict[str, str]:
    return {holding.address: holding.service for holding in office.fold.holdings()}


@settings(max_examples=300, deadline=None)
@given(first_lists(), st.integers(1, 16))
def test_every_request_that_can_be_had_is_had(listed, size):
    office = Office(offer("10.0.0.0/28"))
    for intent in listed:
        office.known[intent.service] = intent
        office.claims.assign(intent.service, claimed_by(intent))
    for start in range(0, len(listed), size):
        office.settle(*listed[start : start + size])
    office.settle(*listed)
    held = holders(office)
    for intent in listed:
        for address in {*intent.requested, *intent.adopt}.intersection(POOL):
            holder = office.known[held[address]]
            assert address in {*holder.requested, *holder.adopt}, f"{address} went to {holder.service} by chance"
    waiting = [intent for intent in listed if office.refusal(intent.service) == "NetworkFull"]
    assert not waiting or len(held) == len(POOL) or any(intent.requested for intent in listed)


@settings(max_examples=150, deadline=None)
@given(st.permutations(POOL[:6]), st.integers(0, 1), st.sampled_from([0, 300]))
def test_any_exchange_of_addresses_comes_to_its_end(wanted, spare, quarantine):
    """With one address to spare: without one, only exchanges that are no circle do."""
    office = Office(offer("10.0.0.0/29" if not spare else "10.0.0.0/28"), Defaults(quarantine=quarantine, lease=0))
    names = [f"a/s{number}" for number in range(len(wanted))]
    if not spare:
        wanted, names = [address for address in wanted if address in POOL[:5]], names[:5]
    office.settle(*(intent_of(name, requested=(address,)) for name, address in zip(names, POOL, strict=False)))
    before = holders(office)
    intents = [
        intent_of(name, 2, requested=(address,), basis="new") for name, address in zip(names, wanted, strict=True)
    ]
    for _ in range(20):
        office.settle(*intents, rounds=100)
        office.advance(301)
    if spare:
        assert holders(office) == {intent.requested[0]: intent.service for intent in intents}
    else:
        assert holders(office) == before
        assert office.fold.network(NETWORK).allocated() == len(names)
