"""Waits between tries: they double, have an upper bound, and spread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.runtime.backoff import Backoff, KeyedBackoff, doubled


def test_waits_double_up_to_the_longest_and_start_again_after_a_success():
    backoff = Backoff(1.0, 5.0, share=lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next() == 1.0


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 1.0), (3.0, 3.0), (3600.0, 5.0)])
def test_a_server_may_ask_for_a_longer_wait_but_not_for_any(asked, wait):
    assert Backoff(1.0, 5.0, share=lambda: 1.0).next(asked) == wait
    assert KeyedBackoff(1.0, 5.0).next("a", asked) <= max(1.0, wait)


@given(st.text(max_size=20), st.integers(min_value=1, max_value=100))
def test_each_wait_of_a_key_is_between_half_and_all_of_its_step(key, failures):
    backoff = KeyedBackoff(0.2, 30.0)
    for failed in range(failures):
        step = doubled(0.2, 30.0, failed)
        assert step / 2 <= backoff.next(key) <= step


def test_keys_that_failed_together_spread_out_and_do_not_touch_each_other():
    backoff = KeyedBackoff(1.0, 30.0)
    assert len({backoff.next(key) for key in "abcdef"}) == 6
    backoff.next("a")
    backoff.reset("a")
    assert "a" not in backoff
    assert "b" in backoff
    assert backoff.next("a") == KeyedBackoff(1.0, 30.0).next("a")


def test_a_wait_stays_computable_after_very_many_failures():
    assert doubled(0.2, 30.0, 10**6) == 30.0
