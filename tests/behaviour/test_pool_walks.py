"""Seeded walks of edits over AddressPools and Services: whatever is edited, no address is shown twice."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.behaviour.play import Look, Moment, case, play
from tests.builders.objects import NETWORK, Object, namespace, node, pool, service
from tests.support.simulate import apply, audit_of, delete

SEEDS = range(12)
STEPS = 18
RANGES = ("203.0.113.0/30", "203.0.113.4-203.0.113.6", "203.0.113.2-203.0.113.9", "198.51.100.7", "198.51.100.0/29")
POOLS = ("p", "q", "r")
SERVICES = tuple(f"{place}/s{number}" for place in ("a", "b") for number in range(5))


class Walk:
    """The edits of one seed."""

    def __init__(self, seed: int) -> None:
        self._choose = random.Random(seed)
        self._pools: set[str] = set()
        self._services: set[str] = set()

    def step(self) -> Object:
        what = self._choose.choices(("pool", "service", "drop-pool", "drop-service", "time"), (4, 6, 1, 2, 1))[0]
        if what == "drop-pool" and self._pools:
            return self._drop("AddressPool", self._pools)
        if what == "drop-service" and self._services:
            return self._drop("Service", self._services)
        if what == "time":
            return {"advance": self._choose.choice(("10s", "6m"))}
        return apply(self._pool() if what == "pool" else self._service())

    def _drop(self, kind: str, names: set[str]) -> Object:
        name = self._choose.choice(sorted(names))
        names.discard(name)
        return delete(kind, name)

    def _pool(self) -> Object:
        choose, name = self._choose, self._choose.choice(POOLS)
        self._pools.add(name)
        spec = {
            "priority": choose.randrange(3),
            "spillOver": choose.random() < 0.5,
            "disabled": choose.random() < 0.15,
            "autoAssign": choose.random() < 0.85,
            "quarantine": choose.choice(("0s", "5m")),
            **({"exclude": ["203.0.113.5"]} if choose.random() < 0.3 else {}),
            **({"quota": 2} if choose.random() < 0.2 else {}),
            **({"namespaceSelector": {"matchLabels": {"team": "a"}}} if choose.random() < 0.2 else {}),
        }
        return pool(name, *choose.sample(RANGES, choose.choice((1, 1, 2))), **spec)

    def _service(self) -> Object:
        name = self._choose.choice(SERVICES)
        self._services.add(name)
        named = self._choose.choice(POOLS) if self._choose.random() < 0.3 else None
        return service(name, {NETWORK: f"pool/{named}"} if named else None)


def no_address_is_shown_twice() -> Look:
    def look(moment: Moment) -> None:
        shown = Counter(
            entry["ip"]
            for obj in moment.cluster.list("Service")
            for entry in (obj.get("status", {}).get("loadBalancer") or {}).get("ingress") or ()
        )
        assert [address for address, count in shown.items() if count > 1] == []
        waiting = [line for line in moment.step["services"].values() if line["state"] == "Pending"]
        assert all(line["reason"] for line in waiting)
        for obj in moment.cluster.list("AddressPool"):
            network = moment.step["networks"][f"pool/{obj['metadata']['name']}"]
            assert obj["status"]["held"] == network["allocated"]
            assert obj["status"]["problem"] == (network["problem"] or "")
        assert audit_of(moment.simulation).clean

    return look


@pytest.mark.parametrize("seed", SEEDS)
def test_a_walk_of_edits_shows_no_address_twice(seed: int) -> None:
    walk = Walk(seed)
    start = apply(namespace("a", {"team": "a"}), namespace("b"), node("n1"), pool("p", RANGES[0]))
    script: list[Object | Look] = [start]
    for _ in range(STEPS):
        script += [walk.step(), no_address_is_shown_twice()]
    play(case(f"walk-{seed}", *script))
