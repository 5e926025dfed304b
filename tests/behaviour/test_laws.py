"""Laws of the whole pipeline: any order of the same facts gives the same choices and addresses; restarts, repetition and
crashes after any step change nothing; no address has two holders who do not share it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledgerlb.core.ledger.audit import Audit
from ledgerlb.eventlog.topics import LEDGER
from tests.builders.objects import (
    ADDRESSES,
    ALLOWED,
    EXCLUDE,
    NETWORK,
    QUOTA,
    SELECTOR,
    SHARING,
    Object,
    aged,
    by_vn,
    kubemanager,
    labelled,
    matching,
    nad,
    namespace,
    node,
    service,
)
from tests.support.simulate import apply, delete, run_simulation, simulation_of

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

PLACES = ("a", "b", "contrail")
NETWORKS = ("a/x", "b/x", "b/y", "contrail/x", "contrail/y")
CIDRS = ("10.0.0.0/24", "10.0.0.0/29", "10.0.1.0/30", "10.0.2.0/24", "10.0.2.128/25", "10.0.3.9/24", "broken")
CIDRS6 = (None, None, "2001:db8::/64", "2001:db8:1::/120")
AGES = ("01", "02", "03")

labels = st.dictionaries(st.sampled_from(("k", "l")), st.sampled_from(("1", "2")), max_size=2)
chosen = st.one_of(
    st.just({}),
    st.just({}),
    st.builds(lambda name: {NETWORK: name}, st.sampled_from((*NETWORKS, "x", "b/none", ""))),
    st.builds(lambda name: {SELECTOR: name}, st.sampled_from(("one", "two", "none"))),
)
terms: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}),
    st.just({}),
    st.sampled_from(({QUOTA: "1"}, {ALLOWED: "k=1"}, {EXCLUDE: "10.0.0.2"}, {QUOTA: "x"})),
)
targets = st.sampled_from((None, None, ["t:1"], ["t:2"]))
of_labels = st.one_of(
    st.builds(matching, labels),
    st.builds(lambda found: matching(found, {}), labels),
    st.builds(lambda found, spaces: matching(found, {"matchLabels": spaces}), labels, labels),
    st.just(matching(None, {}, [labelled("k", "Exists")])),
)
managers = st.dictionaries(st.sampled_from(("default-external", "one", "two")), of_labels, min_size=1, max_size=3).map(
    kubemanager
)
spaces = st.builds(namespace, st.sampled_from(PLACES), labels, chosen)
nads = st.builds(
    lambda name, v4, v6, age, found, terms, both: aged(
        nad(name, v4, v6, labels=found, annotations=terms, routeTargetList=both), age
    ),
    st.sampled_from(NETWORKS), st.sampled_from(CIDRS), st.sampled_from(CIDRS6), st.sampled_from(AGES), labels, terms, targets,
)  # fmt: skip
vns = st.builds(
    lambda name, v4, age, found, terms: [aged(obj, age) for obj in by_vn(name, v4, labels=found, annotations=terms)],
    st.sampled_from(NETWORKS), st.sampled_from(CIDRS), st.sampled_from(AGES), labels, terms,
)  # fmt: skip


services = st.builds(
    lambda name, given, own, policy, *, age, number: aged(
        service(name, {**given, **own}, number, ipFamilyPolicy=policy), age
    ),
    st.builds("{}/s{}".format, st.sampled_from(PLACES), st.integers(1, 4)),
    chosen,
    st.sampled_from(({}, {}, {SHARING: "k"}, {ADDRESSES: "10.0.0.3"}, {ADDRESSES: "10.0.2.200"}, {ADDRESSES: "nonsense"})),
    st.sampled_from(("SingleStack", "SingleStack", "PreferDualStack", "RequireDualStack")),
    age=st.sampled_from(AGES),
    number=st.sampled_from((80, 443)),
)  # fmt: skip


def distinct(objects: list[Any]) -> list[Object]:
    """One object per key, the last one; lists are taken apart."""
    flat = [one for item in objects for one in (item if isinstance(item, list) else [item])]
    return list({(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]): o for o in flat}.values())


scenery = st.lists(st.one_of(nads, nads, vns, spaces), min_size=3, max_size=9).map(distinct)
crowd = st.lists(services, min_size=2, max_size=7).map(distinct)


def last(steps: list[Object]) -> tuple[Any, Any]:
    """Return Services and networks after the last step; check that only allowed Services share, and the ledger."""
    simulation = simulation_of(steps)
    *_, step = run_simulation(simulation)
    assert_sound(simulation, step)
    return step["services"], step["networks"]


def without_old_plans(found: tuple[Any, Any]) -> tuple[Any, Any]:
    """A network with a problem keeps the address plan that it had: its size tells what once was."""
    services, networks = found
    return services, {name: line | {"size": 0} if line["problem"] else line for name, line in networks.items()}


def assert_sound(simulation: Any, step: Any) -> None:
    audit = Audit()
    for record in simulation.engine.records(LEDGER):
        audit.take(record.key, record.value)
    assert audit.report().clean
    holders: dict[tuple[str, str], set[str]] = {}
    for holding in simulation.engine.view.ledger.holdings():
        holders.setdefault((holding.network, holding.address), set()).add(f"{holding.service} {holding.sharing_key}")
    assert all(len(found) == 1 or all(" k" in one for one in found) for found in holders.values())
    for name, line in step["services"].items():
        if line["state"] == "Deleted":
            continue
        assert (line["state"] == "Pending") == (not line["addresses"]), name
        # A move that only waits for its agents has nothing to be mended, and says what it waits for.
        why = line["reason"] or (line["state"] == "Moving" and line["message"])
        assert line["state"] == "Ready" or why, f"{name} waits without a reason"


@FEW
@given(scenery, managers, crowd, st.randoms(use_true_random=False))
def test_any_order_of_the_same_facts_gives_the_same_choices_and_addresses(
    objects: list[Object], manager: Object, wishing: list[Object], random: Any
) -> None:
    everything = [node("n1"), manager, *objects, *wishing]
    shuffled = random.sample(everything, len(everything))
    assert last([apply(*shuffled)]) == last([apply(*everything)])


@FEW
@given(scenery, managers, crowd, st.randoms(use_true_random=False))
def test_networks_and_selectors_that_come_one_by_one_end_as_if_they_had_come_at_once(
    objects: list[Object], manager: Object, wishing: list[Object], random: Any
) -> None:
    before = [node("n1"), manager, *objects]
    shuffled = random.sample(before, len(before))
    one_by_one: list[Object] = [*(apply(one) for one in shuffled), apply(*wishing)]
    assert without_old_plans(last(one_by_one)) == without_old_plans(last([apply(*before), apply(*wishing)]))


def unexpected(writes: list[Object]) -> list[Object]:
    """Return the writes of a restart, except Events on networks.

    The name of such an Event holds the revision of the offer, so a restart at a later revision writes it once more.
    """
    return [one for one in writes if one["kind"] != "Event" or one["involvedObject"]["kind"] == "Service"]


edits = st.one_of(
    st.builds(lambda objects: apply(*objects), st.lists(st.one_of(nads, vns, spaces, managers), min_size=1, max_size=2).map(distinct)),
    st.builds(lambda objects: apply(*objects), crowd),
    st.builds(lambda name: delete("NetworkAttachmentDefinition", name), st.sampled_from(NETWORKS)),
    st.builds(lambda place, number: delete("Service", f"{place}/s{number}"), st.sampled_from(PLACES), st.integers(1, 4)),
    st.sampled_from(({"advance": "1m"}, {"advance": "6m"}, {"advance": "25h"}, {"agents": "silent"}, {"agents": "normal"})),
)  # fmt: skip
harmless = st.sampled_from(
    (
        {"restart": "all"}, {"restart": ["watcher"]}, {"restart": ["selector"]}, {"restart": ["ipam"]},
        {"restart": ["programmer"]}, {"redeliver": 1000}, {"redeliver": 3}, {"crash": "ipam"}, {"crash": "selector"},
        {"crash": "watcher"}, {"crash": "programmer"},
    )
)  # fmt: skip


@FEW
@given(scenery, managers, crowd, st.lists(edits, max_size=5), st.data())
def test_restarts_repetition_and_crashes_after_any_step_change_nothing(
    objects: list[Object], manager: Object, wishing: list[Object], changes: list[Object], data: st.DataObject
) -> None:
    plain = [apply(node("n1"), manager, *objects, *wishing), *changes]
    disturbed: list[Object] = []
    for step in plain:
        disturbed += [step, *data.draw(st.lists(harmless, min_size=1, max_size=2))]
    simulation = simulation_of(disturbed)
    found = run_simulation(simulation)
    wanted = run_simulation(simulation_of(plain))
    own = [at for at, step in enumerate(disturbed) if any(step is one for one in plain)]
    for at, step in zip(own, wanted, strict=True):
        assert (found[at]["services"], found[at]["networks"]) == (step["services"], step["networks"])
        assert [e["events"] for e in found[at]["entries"]] == [e["events"] for e in step["entries"]]
    for at, step in enumerate(found):
        if at not in own:
            assert (step["entries"], unexpected(step["writes"])) == ([], [])
    assert_sound(simulation, found[-1])
