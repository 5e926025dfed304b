"""What stands, as the facts and our own writes tell it; and which processors run where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledgerlb.cn2.model import owners_of
from ledgerlb.core.cluster.facts import CN2ObjectFact
from ledgerlb.watcher.objects.table import TRUST, ObjectTable

KEY = ("FloatingIP", "f")


def fact(address: str, owners: str = "a/web") -> CN2ObjectFact:
    spec = {"floatingIPAddress": address}
    return CN2ObjectFact(kind="FloatingIP", name="f", ours=True, annotations={"ledgerlb.io/service": owners}, spec=spec)


class Clocked:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.table = ObjectTable(owners_of, lambda: self.now)


def test_a_write_counts_until_its_fact_comes_and_older_facts_do_not():
    world = Clocked()
    table, old, new, newer = world.table, fact("1"), fact("2"), fact("3")
    table.take(KEY, old)
    table.wrote(KEY, new)
    assert table.current(KEY) == new
    table.wrote(KEY, newer)
    for late in (old, new):
        table.take(KEY, late)
        assert table.current(KEY) == newer
    table.take(KEY, newer)
    assert table.current(KEY) == newer
    assert not table.assumes()
    table.take(KEY, old)
    assert table.current(KEY) == old, "confirmed: from now on facts are news"


def test_what_somebody_else_made_of_it_is_seen_at_once():
    table = Clocked().table
    table.take(KEY, fact("1"))
    table.wrote(KEY, fact("2"))
    table.take(KEY, fact("foreign"))
    assert table.current(KEY) == fact("foreign")


def test_a_deletion_that_is_seen_ends_the_assumption():
    table = Clocked().table
    table.take(KEY, fact("1"))
    table.wrote(KEY, fact("1").model_copy(update={"deleting": True}))
    assert table.of_owner("a/web") == (KEY,)
    assert table.take(KEY, None) == ("a/web",)
    assert table.current(KEY) is None
    assert table.of_owner("a/web") == ()
    assert table.owners() == ()


def test_what_nothing_confirms_is_doubted_after_a_while():
    world = Clocked()
    world.table.take(KEY, fact("1"))
    world.table.wrote(KEY, fact("2", "a/other"))
    assert world.table.doubtful() == ()
    world.now += timedelta(seconds=TRUST)
    assert world.table.current(KEY) == fact("1")
    assert set(world.table.doubtful()) == {"a/web", "a/other"}
    assert world.table.owners() == ("a/web",)
