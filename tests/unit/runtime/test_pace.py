"""How long a loop rests after a batch: not at all while records come singly, up to a bound while they come fast."""

from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.runtime.pace import BUSY, CALM, LONGEST, LOW_PRIORITY_BUSY, LOW_PRIORITY_CALM, LOW_PRIORITY_LONGEST, Pace


def rests(rate: float, seconds: float, batch: int = 1, *, low_priority: bool = False) -> list[float]:
    """The rests after batches that come at ``rate`` records a second."""
    pace = Pace(low_priority=low_priority)
    return [pace.rest(batch, 1000.0 + number * batch / rate) for number in range(int(seconds * rate / batch))]


def test_records_that_come_singly_are_looked_at_at_once():
    assert set(rests(CALM * 0.8, 5.0)) == {0.0}


def test_a_storm_brings_the_longest_rest_within_a_second():
    assert rests(BUSY * 1.3, 1.0)[-1] == LONGEST


def test_the_rest_grows_with_the_rate():
    ends = [rests(rate, 2.0)[-1] for rate in (CALM, (CALM + BUSY) / 2, BUSY)]
    assert ends == sorted(ends)
    assert len(set(ends)) == 3


def test_an_unhurried_loop_rests_where_another_does_not_yet():
    assert rests(LOW_PRIORITY_BUSY * 1.3, 2.0, low_priority=True)[-1] == LOW_PRIORITY_LONGEST
    assert set(rests(LOW_PRIORITY_BUSY * 1.3, 2.0)) == {0.0}
    assert set(rests(LOW_PRIORITY_CALM * 0.8, 5.0, low_priority=True)) == {0.0}


def test_after_a_silence_the_next_record_is_looked_at_at_once():
    pace = Pace()
    assert pace.rest(10_000, 10.0) == LONGEST
    assert pace.rest(1, 15.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-10, 10**6)), max_size=50))
def test_the_rest_is_bounded_whatever_comes(batches):
    pace = Pace()
    assert all(0.0 <= pace.rest(records, at) <= LONGEST for records, at in batches)
