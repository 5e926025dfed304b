"""Laws of ``core.index``: both indexes agree with a plain model after any sequence of changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core.index import Dependencies, Index, SmallGroups

_GROUPS = st.sampled_from("abc")
_MEMBERS = st.integers(0, 4)
_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _GROUPS, _MEMBERS, st.integers(0, 9)),
        st.tuples(st.just("discard"), _GROUPS, _MEMBERS, st.just(0)),
        st.tuples(st.just("pop"), _GROUPS, st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(_CHANGES)
def test_an_index_agrees_with_a_list_of_triples(changes: list[tuple[str, str, int, int]]) -> None:
    index: Index[str, int, int] = Index()
    model: dict[tuple[str, int], int] = {}
    for what, group, member, value in changes:
        if what == "put":
            index.put(group, member, value)
            model[group, member] = value
        elif what == "discard":
            assert index.discard(group, member) == model.pop((group, member), None)
        else:
            expected = {m: v for (g, m), v in model.items() if g == group}
            assert dict(index.pop(group)) == expected
            model = {key: v for key, v in model.items() if key[0] != group}
        for name in "abcd":
            expected = {m: v for (g, m), v in model.items() if g == name}
            assert list(index.of(name).items()) == list(expected.items()), "members answer in insertion order"
            assert (name in index) is bool(expected), "a group goes with its last member"
        assert set(index) == {g for g, _ in model}
        assert len(index) == len({g for g, _ in model})


@given(st.lists(st.tuples(st.booleans(), _GROUPS, st.integers(0, 8)), max_size=60))
def test_small_groups_agree_with_a_list_of_pairs(changes: list[tuple[bool, str, int]]) -> None:
    groups: SmallGroups[str, int] = SmallGroups()
    model: dict[tuple[str, int], None] = {}
    for added, group, member in changes:
        if added:
            groups.add(group, member)
            model[group, member] = None
        else:
            groups.discard(group, member)
            model.pop((group, member), None)
        for name in "abcd":
            expected = [m for g, m in model if g == name]
            assert list(groups.of(name)) == expected, "members answer in insertion order"
            assert (name in groups) is bool(expected), "a group goes with its last member"
        assert set(groups) == {g for g, _ in model}
        assert len(groups) == len(set(groups))


@given(st.lists(st.tuples(_MEMBERS, st.lists(_GROUPS, max_size=4), st.booleans()), max_size=30))
def test_dependencies_answer_both_ways(assignments: list[tuple[int, list[str], bool]]) -> None:
    dependencies: Dependencies[int, str] = Dependencies()
    model: dict[int, set[str]] = {}
    for dependent, keys, frozen in assignments:
        old = dependencies.assign(dependent, frozenset(keys) if frozen else keys)
        assert set(old) == model.pop(dependent, set()), "the former keys are returned"
        if keys:
            model[dependent] = set(keys)
        for key in "abc":
            assert set(dependencies.dependents_on(key)) == {d for d, on in model.items() if key in on}
        for one in range(5):
            assert set(dependencies.keys_of(one)) == model.get(one, set())
        assert set(dependencies) == set(model)
        assert len(dependencies) == len(model)
        assert set(dependencies.keys()) == set().union(*model.values()), "no key is kept that nothing depends on"


def test_lookups_do_not_create_groups() -> None:
    index: Index[str, str, None] = Index()
    assert not index.of("a")
    assert index.discard("a", "b") is None
    assert len(index) == 0
