from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.network_selector.agenda import Agenda

START = datetime(2026, 2, 1, tzinfo=UTC)


def after(seconds):
    return START + timedelta(seconds=seconds)


def test_names_are_dirty_once_and_in_the_order_in_which_they_came():
    agenda = Agenda()
    agenda.add(("b", "a"))
    agenda.add(("a", "b", "c"))
    assert agenda.dirty() == ("b", "a", "c")
    agenda.done("a")
    assert agenda.dirty() == ("b", "c")
    assert agenda.wake_up(START) == 0.0


def test_a_name_becomes_dirty_when_its_time_has_come():
    agenda = Agenda()
    agenda.later("a", 5.0)
    assert agenda.wake_up(START) == 5.0
    agenda.advance(after(4.9))
    assert agenda.dirty() == ()
    agenda.advance(after(5))
    assert agenda.dirty() == ("a",)


def test_asking_again_does_not_postpone_a_name():
    agenda = Agenda()
    for at in range(5):
        agenda.later("a", 5.0)
        agenda.advance(after(at))
    assert agenda.wake_up(after(4)) == 1.0


def test_done_takes_a_name_off_that_is_due_later():
    agenda = Agenda()
    agenda.later("a", 1.0)
    agenda.later("b", 2.0)
    agenda.advance(START)
    agenda.done("a")
    assert agenda.wake_up(START) == 2.0
    agenda.later("a", 9.0)
    agenda.advance(after(1))
    assert agenda.dirty() == (), "the first time of a name that was done no longer counts"


def test_a_clock_that_was_set_back_makes_a_name_due_at_once():
    agenda = Agenda()
    agenda.later("a", 5.0)
    agenda.advance(START)
    agenda.advance(after(-3600))
    assert agenda.dirty() == ("a",)


@given(st.lists(st.tuples(st.sampled_from(["add", "later", "done", "advance"]), st.sampled_from("abc")), max_size=40))
def test_sleeping_until_wake_up_misses_nothing(steps):
    agenda, now, waiting = Agenda(), START, set()
    for what, name in steps:
        if what == "add":
            agenda.add((name,))
            waiting.add(name)
        elif what == "later":
            agenda.later(name, 3.0)
            waiting.add(name)
        elif what == "done":
            agenda.done(name)
            waiting.discard(name)
        else:
            now += timedelta(seconds=1)
            agenda.advance(now)
    found = set()
    for _ in range(8):
        found |= set(agenda.dirty())
        for name in agenda.dirty():
            agenda.done(name)
        delay = agenda.wake_up(now)
        if delay is None:
            break
        now += timedelta(seconds=delay)
        agenda.advance(now)
    assert found == waiting
