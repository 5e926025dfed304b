"""Mass deletions wait: for a grace period, or for a person."""

from __future__ import annotations

import pytest

from ledgerlb.kube.deletion_guard import DeletionGuard, Name


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def guard(time: Time) -> DeletionGuard:
    return DeletionGuard(600.0, time)


def some(count: int, first: int = 0) -> set[Name]:
    return {("a", f"s{number}") for number in range(first, first + count)}


@pytest.mark.parametrize(
    ("gone", "held", "may_go"),
    [
        (0, 0, True),
        (4, 4, True),  # fewer than five
        (5, 5, False),
        (5, 24, False),
        (5, 25, True),  # exactly a fifth
        (6, 25, False),
        (200, 1000, True),
        (201, 1000, False),
    ],
)
def test_more_than_a_fifth_and_at_least_five_wait(guard, gone, held, may_go):
    assert guard.judge("x", some(gone), held) is may_go
    assert (guard.withheld is None) is may_go


def test_they_go_after_the_grace_period(guard, time):
    assert not guard.judge("x", some(6), 10)
    time.now = 599.0
    assert not guard.judge("x", some(6), 10)
    assert guard.withheld.seconds_left == pytest.approx(1.0)
    time.now = 600.0
    assert guard.is_over("x")
    assert guard.judge("x", some(6), 10)
    assert guard.withheld is None


def test_more_that_go_missing_begin_the_grace_period_again(guard, time):
    assert not guard.judge("x", some(6), 10)
    time.now = 599.0
    assert not guard.judge("x", some(7), 10)
    time.now = 1198.0
    assert not guard.judge("x", some(7), 10)
    time.now = 1199.0
    assert guard.judge("x", some(7), 10)


def test_what_comes_back_is_no_deletion(guard):
    assert not guard.judge("x", some(6), 10)
    assert guard.judge("x", some(2), 10)
    assert guard.withheld is None
    assert not guard.judge("x", some(6), 10), "the next one waits by itself"
    assert guard.withheld.number == 2


def test_a_confirmation_lets_go_what_is_held_back_and_nothing_more(guard):
    assert not guard.judge("x", some(6), 10)
    guard.confirm()
    assert not guard.judge("x", some(7), 10), "a seventh was not confirmed"
    guard.confirm()
    assert guard.judge("x", some(6), 10)


def test_scopes_are_judged_by_themselves(guard):
    assert not guard.judge("x", some(6), 10)
    assert guard.judge("y", some(3, first=6), 10)
    assert guard.withheld.gone == tuple(sorted(some(6)))


def test_a_change_is_told_once(guard):
    told = []
    guard.on_change = lambda: told.append(guard.withheld)
    for _ in range(3):
        guard.judge("x", some(6), 10)
    guard.judge("x", set(), 10)
    guard.judge("x", set(), 10)
    assert [entry is None for entry in told] == [False, True]
