"""A small ledger to decide on in tests: what IPAM does, without its service."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from ledgerlb.core.intents.claims import Claims, claimed_by
from ledgerlb.core.intents.model import AddressIntent, NetworkOffer, PrefixOffer, Withdrawal
from ledgerlb.core.ipam.batch import decide
from ledgerlb.core.ipam.terms import Terms
from ledgerlb.core.ledger.entry import Entry, encode_entry
from ledgerlb.core.ledger.events import Event
from ledgerlb.core.ledger.fold import Accepted, LedgerFold
from ledgerlb.core.ledger.state import NetworkState
from ledgerlb.core.ledger.upcast import VERSION
from ledgerlb.core.paths.agents import AgentTable
from ledgerlb.core.settings import Defaults

START = datetime(2026, 1, 1, tzinfo=UTC)
NETWORK = "ecmp-project/ecmp-default"


def offer(*prefixes: PrefixOffer | str, revision: int = 1, **more: object) -> NetworkOffer:
    made = tuple(PrefixOffer(family=6 if ":" in p else 4, prefix=p) if isinstance(p, str) else p for p in prefixes)
    return NetworkOffer(network=NETWORK, revision=revision, prefixes=made, **more)


def intent_of(service: str, revision: int = 1, **more: object) -> AddressIntent:
    name = service if "/" in service else f"default/{service}"
    fields = {"uid": f"uid-{name}", "ports": (("TCP", 80),), "basis": "basis"} | more
    if "families" in fields and "required" not in fields:
        fields["required"] = fields["families"]
    return AddressIntent(network=NETWORK, service=name, revision=revision, **fields)


def withdrawal_of(service: str, revision: int = 2, why: str = "ServiceDeleted") -> Withdrawal:
    name = service if "/" in service else f"default/{service}"
    return Withdrawal(network=NETWORK, service=name, revision=revision, why=why)


class Office:
    """Decides, appends to a list of raw entries, folds them back; time moves only by ``advance``."""

    def __init__(self, network_offer: NetworkOffer, defaults: Defaults | None = None) -> None:
        self.fold = LedgerFold()
        self.agents = AgentTable()
        self.offer = network_offer
        self.defaults = defaults or Defaults()
        self.now = START
        self.raw: list[bytes] = []
        self.known: dict[str, AddressIntent | Withdrawal] = {}
        self.claims = Claims()

    @property
    def state(self) -> NetworkState:
        return self.fold.network(NETWORK)

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def decide(self, *intents: AddressIntent | Withdrawal) -> tuple[Event, ...]:
        """One decision, appended if it has events; returns the events."""
        for intent in intents:
            self.known[intent.service] = intent
            self.claims.assign(intent.service, claimed_by(intent))
        terms = Terms(self.now, self.offer, self.defaults, self.agents, known=self.known, claims=self.claims)
        decision = decide(self.state, intents, terms)
        if decision.events:
            head = self.state.head
            raw = encode_entry(
                Entry(VERSION, NETWORK, head.seq + 1, head.digest, self.now, "test", decision.causes, decision.events)
            )
            assert isinstance(self.fold.take(NETWORK, raw), Accepted)
            self.raw.append(raw)
        return decision.events

    def settle(self, *intents: AddressIntent | Withdrawal, rounds: int = 10) -> list[Event]:
        """Decide until nothing more follows."""
        events: list[Event] = []
        for _ in range(rounds):
            found = self.decide(*intents)
            if not found:
                return events
            events += found
        raise AssertionError(f"still deciding after {rounds} rounds: {found}")

    def held(self, service: str) -> list[str]:
        name = service if "/" in service else f"default/{service}"
        return [h.address for h in self.fold.holdings_of(name) if h.state == "held"]

    def refusal(self, service: str) -> str | None:
        name = service if "/" in service else f"default/{service}"
        refusals = self.fold.refusals_of(name)
        return refusals[0].reason if refusals else None

    def refold(self) -> LedgerFold:
        """Return the same ledger, read from the beginning by another reader."""
        fold = LedgerFold()
        for raw in self.raw:
            fold.take(NETWORK, raw)
        return fold


def kinds(events: Iterable[object]) -> list[str]:
    return [type(event).__name__ for event in events]
