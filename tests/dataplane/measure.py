"""Flows from the client to an address, and what they tell: evenness, movement, broken connections."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tests.dataplane.pods import SCRIPT, PodLab

ONE_PERCENT_LIMITS = {1: 6.63, 2: 9.21, 3: 11.34, 4: 13.28, 5: 15.09, 6: 16.81}
"""The 1 % limit of chi-square, by degrees of freedom."""
FIRST_PORT = 20000
HELD_PORT = 45000


def pod_of(answer: str) -> str:
    """The pod that answered; ``ERROR`` where none did."""
    return answer.split(" ", maxsplit=1)[0]


@dataclass(frozen=True)
class Spread:
    """How many flows each pod got. ``chi_square`` is against an even spread."""

    counts: Mapping[str, int]

    @property
    def ratio(self) -> float:
        return max(self.counts.values()) / max(1, min(self.counts.values()))

    @property
    def chi_square(self) -> float:
        even = sum(self.counts.values()) / len(self.counts)
        return sum((count - even) ** 2 / even for count in self.counts.values())

    @property
    def is_even(self) -> bool:
        return self.chi_square <= ONE_PERCENT_LIMITS[len(self.counts) - 1]

    def __str__(self) -> str:
        return f"{dict(sorted(self.counts.items()))} max/min {self.ratio:.2f} chi-square {self.chi_square:.1f}"


def flows(
    lab: PodLab, address: str, count: int, *, kind: str = "tcp", port: int = 80, first: int = FIRST_PORT
) -> dict[str, str]:
    """The answer to each flow, by source."""
    found: dict[str, str] = json.loads(
        lab.run("client", sys.executable, SCRIPT, kind, address, str(port), str(count), str(first))
    )
    return found


def spread(answers: Mapping[str, str]) -> Spread:
    return Spread(Counter(pod_of(answer) for answer in answers.values()))


def failed(answers: Mapping[str, str]) -> int:
    return sum(1 for answer in answers.values() if answer.startswith("ERROR"))


def moved(before: Mapping[str, str], after: Mapping[str, str], *, without: Collection[str] = ()) -> float:
    """The share of flows that reach another pod, of those that did not reach one of ``without``."""
    kept = [key for key, answer in before.items() if pod_of(answer) not in without]
    return sum(1 for key in kept if pod_of(after[key]) != pod_of(before[key])) / len(kept)


class Held:
    """Connections that stay open. Use as a context manager."""

    def __init__(self, lab: PodLab, address: str, count: int, first: int = HELD_PORT) -> None:
        self.child = lab.start("client", sys.executable, SCRIPT, "hold", address, "80", str(count), str(first))
        self.first = self._read()

    def _read(self) -> dict[str, str]:
        assert self.child.stdout is not None
        found: dict[str, str] = json.loads(self.child.stdout.readline())
        return found

    def broken(self, *, without: Collection[str] = ()) -> tuple[int, int]:
        """How many connections answer no more or from another pod, and of how many; but for those to ``without``."""
        now = self.again()
        kept = [key for key, answer in self.first.items() if pod_of(answer) not in without]
        return sum(1 for key in kept if pod_of(now[key]) != pod_of(self.first[key])), len(kept)

    def again(self) -> dict[str, str]:
        """What each connection answers now."""
        assert self.child.stdin is not None
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()
        return self._read()

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
