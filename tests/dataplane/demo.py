"""``make demo-dataplane``: real flows over pods that come and go, beside plain ECMP; exit status 1 where a goal is missed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.dataplane.measure import HELD_PORT, Held, failed, flows, moved, spread
from tests.dataplane.pods import FOUR, PLAIN, PODS, SPARE, Balancer, Pod, PodLab, name, path_set

FLOWS = 3000
HELD = 300
LARGEST_RATIO = 1.25
_ALL = (*PODS, SPARE)


@dataclass
class Side:
    """One way of spreading flows, and what became of the flows of one client."""

    title: str
    address: str
    held: Held | None = None
    lost: set[str] = field(default_factory=set)
    broken: int = 0
    asked: int = 0
    failed: int = 0
    first_ratio: float = 0.0
    before: Mapping[str, str] = field(default_factory=dict)

    def show(self, lab: PodLab, gone: set[str]) -> None:
        """Send flows, ask the held connections, and print a line."""
        self.lost |= gone
        answers = flows(lab, self.address, FLOWS)
        found = spread({key: answer for key, answer in answers.items() if not answer.startswith("ERROR")})
        shift = f"{moved(self.before, answers, without=self.lost):6.1%}" if self.before else "     -"
        self.failed += failed(answers)
        self.first_ratio = self.first_ratio or found.ratio
        assert self.held is not None
        self.broken, self.asked = self.held.broken(without=self.lost)
        pods = " ".join(f"{found.counts.get(name(pod), 0) or '-':>6}" for pod in _ALL)
        print(f"  {self.title:<10} {pods}   {found.ratio:6.2f}  {shift}  {self.broken:>3} of {self.asked}", flush=True)
        self.before = answers


def main() -> int:
    """Run the demonstration; return the exit status."""
    began = time.monotonic()
    with PodLab() as lab:
        balancer = Balancer(lab)
        ours, plain = Side("LedgerLB", FOUR), Side("plain ECMP", PLAIN)

        def step(
            title: str, pods: tuple[Pod, ...], change: Callable[..., None], gone: set[Pod], **more: object
        ) -> None:
            change(path_set(FOUR, pods, **more))  # type: ignore[arg-type]
            lab.serve_plainly(pods)
            lab.forget_flows(below=HELD_PORT)
            for side in (ours, plain):
                side.held = side.held or Held(lab, side.address, HELD)
            print(
                f"\n{title}\n  {'flows of':<10} {' '.join(f'{name(pod):>6}' for pod in _ALL)}  max/min   moved  broken"
            )
            for side in (ours, plain):
                side.show(lab, {name(pod) for pod in gone})

        step("Six pods on three nodes", PODS, balancer.start_with, set())
        left = PODS[:-1]
        step(f"{name(PODS[-1])} is killed", left, balancer.set_to, {PODS[-1]})
        step(f"{name(SPARE)} comes", (*left, SPARE), balancer.set_to, set())
        away = {pod for pod in left if pod[0] == 3}
        stay = tuple(sorted({*left, SPARE} - away))
        step("node 3 is drained", stay, balancer.set_to, away, draining=sorted(away))
        seconds = time.monotonic() - began
        print(
            f"\nmax/min {ours.first_ratio:.2f} (plain ECMP {plain.first_ratio:.2f}); "
            f"established connections broken: {ours.broken} of {ours.asked} (plain ECMP {plain.broken} of {plain.asked}); "
            f"new ones failed: {ours.failed}; {seconds:.0f} s"
        )
    return 0 if ours.first_ratio <= LARGEST_RATIO and not ours.broken and not ours.failed else 1


if __name__ == "__main__":
    sys.exit(main())
