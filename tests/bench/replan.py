"""How long the planner takes over every address: at first, and again after a node is gone. Run it in a process of its own."""

from __future__ import annotations

import json
import resource
import sys
import time

from ledgerlb.core.cluster.facts import AnyFact, Gone, key_of
from ledgerlb.core.cluster.view import ClusterView
from ledgerlb.core.paths.pathset import encode_path_set
from ledgerlb.core.paths.plan import plan_from
from tests.builders.facts import endpoint, endpoint_slice, service
from tests.unit.paths.facts import Hold, Ledger, node

ADDRESSES = 5000
BACKENDS = 100
NODES = 20


def measure(addresses: int) -> dict[str, float]:
    """Figures of so many addresses with ``BACKENDS`` backends each, spread over ``NODES`` nodes."""
    view, ledger = ClusterView(), Ledger()

    def say(fact: AnyFact) -> None:
        view.take(key_of(fact), fact)

    for number in range(NODES):
        say(node(f"n{number}", f"10.0.0.{number + 1}"))
    for number in range(addresses):
        name, high, low = f"shop/s{number}", number >> 8, number & 255
        pods = (endpoint(f"10.{high}.{low}.{k + 1}", f"n{k % NODES}", f"{name}-{k}") for k in range(BACKENDS))
        say(service(name))
        say(endpoint_slice(f"s{number}", *pods, of=name))
        ledger.by_address[f"172.16.{high}.{low}"] = [Hold(service=name)]

    def plan_all() -> float:
        began = time.process_time()
        for address in ledger.by_address:
            planned = plan_from(view, ledger, address).path_set
            assert planned is not None
            encode_path_set(planned)
        return time.process_time() - began

    first = plan_all()
    view.take("Node//n3", Gone(kind="Node", namespace="", name="n3"))
    again = plan_all()
    return {
        "addresses": addresses,
        "backends": BACKENDS,
        "first_s": first,
        "again_s": again,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
