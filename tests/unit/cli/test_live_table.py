"""The live table of ``run``: what is wrong comes first, and it never outgrows the terminal."""

from __future__ import annotations

import pytest

from ledgerlb.cli.listing import live_lines
from ledgerlb.core.publication.model import Publication, State
from ledgerlb.runtime.logview import NetworkLine, ServiceLine

FULL = NetworkLine("net/full", 10, 10, 0, None, None)
ROOMY = NetworkLine("net/roomy", 250, 3, 2, None, None)
BROKEN = NetworkLine("net/broken", 250, 0, 0, None, "InvalidAnnotation")


def line(name: str, state: State, reason: str | None = None, *, address: str = "192.0.2.2") -> ServiceLine:
    shown = Publication(state, "net/ext", addresses=(address,) if state == "Ready" else (), reason=reason)
    return ServiceLine(name, shown, None, None, ())


MANY = [line(f"a/{number:03}", "Ready") for number in range(300)]


def names(lines: list[str]) -> list[str]:
    return [text.split()[0] for text in lines if text.startswith("a/")]


def test_what_is_wrong_comes_first() -> None:
    lines = [
        line("a/1", "Ready"),
        line("a/2", "Ready", "SelectionDrifted"),
        line("a/3", "Moving", "AddressMoving"),
        line("a/4", "Pending", "NetworkFull"),
        line("a/5", "Deleted"),
    ]
    assert names(live_lines("head", lines, [], 120, 40)) == ["a/4", "a/3", "a/5", "a/2", "a/1"]


@pytest.mark.parametrize("height", [8, 24, 60])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_the_terminal(width: int, height: int) -> None:
    lines = live_lines("300 of 300 Services ready", MANY, [FULL, ROOMY], width, height)
    assert len(lines) <= height
    assert all(len(text) <= width for text in lines)


def test_what_does_not_fit_is_counted() -> None:
    lines = live_lines("head", [*MANY, line("a/poor", "Pending", "NetworkFull")], [], 80, 24)
    assert names(lines)[0] == "a/poor"
    assert lines[-1] == f"+{301 - len(names(lines))} more ({301 - len(names(lines))} Ready)"


def test_networks_with_a_problem_come_first_then_the_fullest() -> None:
    lines = live_lines("head", MANY, [ROOMY, FULL, BROKEN], 80, 24)
    assert lines[-3:] == [
        "net/broken: 0 of 250 held (InvalidAnnotation)",
        "net/full: 10 of 10 held",
        "net/roomy: 3 of 250 held, 2 quarantined",
    ]


def test_many_networks_are_counted() -> None:
    networks = [NetworkLine(f"net/{number}", 10, 0, 0, None, None) for number in range(9)]
    assert live_lines("head", MANY, networks, 80, 40)[-1] == "+5 more networks"
