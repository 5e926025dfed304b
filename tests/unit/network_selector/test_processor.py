"""The network-selector on a log in memory: what it says, when, and what it never says twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ledgerlb.core.cluster.facts import KINDS, ServicePort
from ledgerlb.core.cluster.services import basis_of
from ledgerlb.core.errors import LogUnavailable, UndecodableRecord
from ledgerlb.core.intents.model import AddressIntent, NetworkOffer, Selection, Withdrawal, decode_intent, encode_intent
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import NewRecord, Record
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, REPORTS
from ledgerlb.network_selector import processor
from ledgerlb.network_selector.processor import NetworkSelector
from tests.unit.network_selector.stage import Part, Stage
from tests.unit.selection.world import (
    DEFAULT_LABEL,
    NETWORK,
    SELECTOR,
    at,
    documented,
    kubemanager,
    namespace,
    service,
    vn,
)

DEFAULT = "contrail/default-external-vn"
ONE = "custom-namespace/external-vn-1"
TWO = "custom-namespace/external-vn-2"


async def started(*facts, **more):
    return await Stage(**more).start(*documented(), *facts)


# -- the first full look ----------------------------------------------------------------------------------------------


async def test_nothing_is_said_before_every_kind_is_synced():
    stage = Stage()
    await stage.put(*documented(), service("a/s"))
    for kind in KINDS:
        await stage.run()
        assert await stage.log.end(INTENTS) == 0
        await stage.sync(kind)
    await stage.run()
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).type == "want"


async def test_the_marker_comes_after_everything_that_is_known():
    stage = Stage(ipam=False)
    await stage.start(*documented(), service("a/s"))
    assert [record.key for record in await stage.records()] == [
        f"{DEFAULT}|", f"{ONE}|", f"{TWO}|", "|a/s", f"{DEFAULT}|a/s", "|",
    ]  # fmt: skip


async def test_an_intent_says_all_that_ipam_needs():
    of = service(
        "a/s",
        {NETWORK: "n/x", "ledgerlb.io/addresses": "10.0.0.7", "ledgerlb.io/sharing-key": "k"},
        ip_family_policy="PreferDualStack",
        ip_families=(4, 6),
        requester="kubectl",
    )
    stage = await started(of, namespace("a", {"team": "a"}), vn("n/x", "10.0.0.0/24"))
    want = await stage.last_intent("n/x|a/s")
    assert (want.uid, want.created, want.requester) == (of.uid, of.created, "kubectl")
    assert (want.families, want.required, want.requested) == ((4, 6), (), ("10.0.0.7",))
    assert (want.sharing_key, want.ports, want.basis) == ("k", (("TCP", 80),), basis_of(of))
    assert want.namespace_labels == {"team": "a", "kubernetes.io/metadata.name": "a"}
    assert want.rung == "service-annotation:externalNetwork"
    assert "n/x" in want.explanation
    positions = {record.offset: record.key for record in await stage.records(FACTS)}
    assert [positions[fact.offset] for fact in want.facts][:2] == ["Service/a/s", "VirtualNetwork/n/x"]


async def test_every_network_is_offered_also_one_that_is_closed():
    stage = await started(vn("n/x", "10.0.0.0/24", annotations={"ledgerlb.io/lease": "x"}))
    offer = await stage.last_intent("n/x|")
    assert isinstance(offer, NetworkOffer)
    assert (offer.problem, offer.gone) == ("InvalidAnnotation", False)
    assert (await stage.last_intent(f"{DEFAULT}|")).prefixes[0].prefix == "192.168.102.0/24"


async def test_an_offer_tells_since_which_revision_its_problem_lasts():
    broken = {"ledgerlb.io/lease": "x"}
    stage = await started(vn("n/x", "10.0.0.0/24", annotations=broken))
    first = await stage.last_intent("n/x|")
    await stage.put(vn("n/x", "10.0.1.0/24", annotations=broken))
    stage.selector = stage.new_selector()
    await stage.run()
    lasting = await stage.last_intent("n/x|")
    assert lasting.revision > first.revision == first.problem_since == lasting.problem_since
    await stage.put(vn("n/x", "10.0.1.0/24"))
    await stage.run()
    assert (await stage.last_intent("n/x|")).problem_since == 0
    await stage.put(vn("n/x", "10.0.1.0/24", annotations=broken))
    await stage.run()
    back = await stage.last_intent("n/x|")
    assert back.problem_since == back.revision > lasting.revision


async def test_what_takes_several_appends_begins_with_those_who_may_keep_an_address_then_goes_by_age():
    newcomers = [service(f"a/s{number:03}", {NETWORK: "n/x"}, created=at(3)) for number in range(250)]
    younger = service("a/y", {NETWORK: "n/x"}, created=at(5), ingress=("10.0.0.3",))
    older = service("a/z", {NETWORK: "n/x"}, created=at(4), ingress=("10.0.0.2",))
    stage = await Stage(ipam=False).start(*documented(), *newcomers, younger, older)
    await stage.put(service("a/zz", {NETWORK: "n/x"}, created=at(2)), vn("n/x", "10.0.0.0/16"))
    await stage.run()
    wants = [record.key for record in await stage.records() if record.key.startswith("n/x|a/")]
    assert wants == [f"n/x|a/{name}" for name in ("z", "y", "zz", *(f"s{number:03}" for number in range(250)))]


# -- writing only what is new -----------------------------------------------------------------------------------------


async def test_a_restart_writes_nothing():
    stage = await started(service("a/s"), service("a/pending", {NETWORK: "no/such"}))
    before = await stage.log.end(INTENTS)
    stage.selector = stage.new_selector()
    await stage.run()
    assert await stage.log.end(INTENTS) == before


async def test_a_second_replica_writes_nothing():
    stage = await started(service("a/s"))
    before = await stage.log.end(INTENTS)
    other = stage.new_selector()
    await stage.run(stage.selector, other)
    assert await stage.log.end(INTENTS) == before


async def test_records_delivered_again_change_nothing():
    stage = await started(service("a/s"), service("b/s", {NETWORK: ONE}))
    before = await stage.log.end(INTENTS)
    for topic in (FACTS, INTENTS, LEDGER):
        for record in await stage.records(topic):
            stage.selector.processor.take(record)
    await stage.run()
    assert await stage.log.end(INTENTS) == before


@pytest.mark.parametrize(
    "change",
    [
        service("a/s", ingress=("192.168.102.2",)),
        service("a/s", labels={"x": "y"}),
        service("a/s", generation=7, cluster_ips=("10.0.0.9",)),
    ],
)
async def test_a_change_that_does_not_concern_the_choice_writes_nothing(change):
    stage = await started(service("a/s"))
    before = await stage.log.end(INTENTS)
    await stage.put(change)
    await stage.run()
    assert await stage.log.end(INTENTS) == before


async def test_revisions_rise_with_every_change_over_a_restart_too():
    stage = await started(service("a/s"))
    first = await stage.last_intent(f"{DEFAULT}|a/s")
    stage.selector = stage.new_selector()
    await stage.put(service("a/s", {"ledgerlb.io/sharing-key": "k"}))
    await stage.run()
    second = await stage.last_intent(f"{DEFAULT}|a/s")
    assert second.revision == first.revision + 1
    assert second.basis != first.basis


async def test_after_a_lost_intents_topic_revisions_go_on_from_the_ledger():
    stage = await started(service("a/s"))
    await stage.put(service("a/s", {"ledgerlb.io/sharing-key": "k"}))
    await stage.run()
    offer, want = await stage.last_intent(f"{DEFAULT}|"), await stage.last_intent(f"{DEFAULT}|a/s")
    stage.log.store.topics.pop(INTENTS.name)
    stage.selector = stage.new_selector()
    await stage.run(stage.selector)
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).revision == want.revision + 1
    assert (await stage.last_intent(f"{DEFAULT}|")).revision == offer.revision + 1
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2"}


async def test_a_lost_acknowledgement_writes_no_second_copy():
    stage = Stage(ipam=False)
    await stage.put(*documented(), service("a/s"))
    await stage.sync()
    real = stage.log.append

    async def lossy(topic, records):
        await real(topic, records)
        stage.log.append = real
        raise LogUnavailable("the acknowledgement got lost")

    await stage.selector.read()
    stage.log.append = lossy
    with pytest.raises(LogUnavailable):
        await stage.selector.processor.settle(stage.log)
    await stage.run()
    keys = [record.key for record in await stage.records()]
    assert len(keys) == len(set(keys))
    assert f"{DEFAULT}|a/s" in keys


async def test_an_append_that_failed_is_made_up_for():
    stage = Stage(ipam=False)
    await stage.put(*documented(), service("a/s"))
    await stage.sync()
    real = stage.log.append

    async def dead(topic, records):
        raise LogUnavailable("nobody there")

    await stage.selector.read()
    stage.log.append = dead
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            await stage.selector.processor.settle(stage.log)
    stage.log.append = real
    await stage.run()
    assert await stage.last_intent(f"{DEFAULT}|a/s") is not None
    assert await stage.last_intent("|") is not None


async def test_a_record_of_another_writer_is_set_right():
    stage = await started(service("a/s"))
    wrong = Withdrawal(network=DEFAULT, service="a/s", revision=9, why="Mistake")
    await stage.log.append(INTENTS, [NewRecord(f"{DEFAULT}|a/s", encode_intent(wrong))])
    await stage.run()
    await stage.advance(5)
    want = await stage.last_intent(f"{DEFAULT}|a/s")
    assert (want.type, want.revision) == ("want", 10)


async def test_a_record_of_another_writer_is_set_right_also_where_the_clock_was_set_back():
    stage = await started(service("a/s"))
    wrong = Withdrawal(network=DEFAULT, service="a/s", revision=9, why="Mistake")
    await stage.log.append(INTENTS, [NewRecord(f"{DEFAULT}|a/s", encode_intent(wrong))])
    await stage.run()
    await stage.advance(-3600)
    want = await stage.last_intent(f"{DEFAULT}|a/s")
    assert (want.type, want.revision) == ("want", 10)


async def test_a_late_record_with_an_older_revision_does_not_outlive_the_newer_one():
    stage = await started(service("a/s"))
    current = await stage.last_intent(f"{DEFAULT}|a/s")
    await move_to(stage, ONE)
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("192.168.103.2",)))
    await stage.run()
    newest = await stage.last_intent(f"{DEFAULT}|a/s")
    assert (newest.type, newest.revision > current.revision) == ("withdraw", True)
    late = NewRecord(f"{DEFAULT}|a/s", encode_intent(current))
    await stage.log.append(INTENTS, [late])
    await stage.run()
    # The log keeps the last record of a key.
    kept = await stage.last_intent(f"{DEFAULT}|a/s")
    assert kept == newest.model_copy(update={"revision": newest.revision + 1})
    size = await stage.log.end(INTENTS)
    await stage.advance(10)
    assert await stage.log.end(INTENTS) == size


async def test_replicas_with_different_settings_disagree_slowly():
    stage = await started(service("a/s"), ipam=False)
    rival = Part(stage.log, NetworkSelector(DomainSettings(multus=True), lambda: stage.now))
    before = await stage.log.end(INTENTS)
    for _ in range(20):
        stage.now += timedelta(seconds=1)
        await stage.run(stage.selector, rival)
    assert await stage.log.end(INTENTS) - before < 100


@pytest.mark.parametrize("topic", [FACTS, INTENTS, LEDGER, REPORTS])
async def test_an_undecodable_record_changes_nothing(topic):
    stage = await started(service("a/s"))
    keys = {FACTS: "Service/a/s", INTENTS: f"{DEFAULT}|a/s", LEDGER: DEFAULT, REPORTS: "192.168.102.2/agent"}
    record = Record(topic.name, 10_000, keys[topic], b"\xff{", 0)
    with pytest.raises(UndecodableRecord):
        stage.selector.processor.take(record)
    before = await stage.log.end(INTENTS)
    await stage.run()
    assert await stage.log.end(INTENTS) == before
    assert stage.selector.processor.view.service("a/s") is not None


# -- who gets an intent -----------------------------------------------------------------------------------------------


async def test_a_service_gets_its_intent_before_it_has_a_finalizer():
    stage = await started(service("a/s", has_finalizer=False))
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).uid == "uid-a/s"
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2"}


async def test_a_service_that_vanishes_before_it_has_a_finalizer_lets_its_address_go():
    stage = await started(service("a/s", has_finalizer=False))
    await stage.drop("Service", "a/s")
    await stage.run()
    assert await stage.held("a/s") == {}
    assert (await stage.ledger()).holdings_of("a/s") == ()
    assert not [key for key in await stage.intents() if key.endswith("a/s")]


async def test_the_finalizer_and_the_status_of_a_served_service_are_no_news():
    stage = await started(service("a/s", has_finalizer=False))
    before = await stage.log.end(INTENTS)
    await stage.put(service("a/s", has_finalizer=True, ingress=("192.168.102.2",)))
    await stage.run()
    assert await stage.log.end(INTENTS) == before


@pytest.mark.parametrize(
    "of", [service("a/s", type="ClusterIP"), service("a/s", type="NodePort"), service("a/s", type="ExternalName")]
)
async def test_of_services_of_other_types_nothing_is_said(of):
    stage = await started(of)
    assert not [key for key in await stage.intents() if key.endswith("a/s")]


async def test_a_service_of_another_class_is_said_not_to_be_ours():
    stage = await started(service("a/s", load_balancer_class="example.org/other"))
    said = await stage.last_intent("|a/s")
    assert (said.ours, said.network) == (False, None)
    assert "example.org/other" in said.message
    assert await stage.last_intent(f"{DEFAULT}|a/s") is None


async def test_an_instance_with_a_class_serves_that_class_alone():
    settings = DomainSettings(load_balancer_class="example.org/ours")
    stage = await started(service("a/s", load_balancer_class="example.org/ours"), service("a/t"), settings=settings)
    assert list(await stage.held("a/s")) == [DEFAULT]
    assert await stage.held("a/t") == {}
    assert (await stage.last_intent("|a/t")).ours is False


async def test_a_service_without_a_network_gets_a_verdict_with_its_reason_and_no_intent():
    stage = await started(service("a/s", {NETWORK: "no/such"}))
    said = await stage.last_intent("|a/s")
    assert (said.network, said.rung, said.reason) == (None, "service-annotation:externalNetwork", "NetworkNotFound")
    assert next(look.rung for look in said.rungs if look.present) == said.rung
    assert not [key for key, intent in (await stage.intents()).items() if isinstance(intent, AddressIntent)]


async def test_a_network_that_appears_late_serves_those_who_waited_for_it():
    stage = await started(service("a/s", {NETWORK: "n/late"}))
    await stage.put(vn("n/late", "10.7.0.0/24"))
    await stage.run()
    assert await stage.held("a/s") == {"n/late": "10.7.0.2"}
    assert (await stage.last_intent("|a/s")).reason is None


async def test_an_annotation_of_a_namespace_that_comes_late_counts_for_those_who_wait():
    stage = await Stage().start(vn("n/x", "10.7.0.0/24"), service("a/s"))
    assert (await stage.last_intent("|a/s")).reason == "NoDefaultNetwork"
    await stage.put(namespace("contrail", annotations={NETWORK: "n/x"}))
    await stage.run()
    assert await stage.held("a/s") == {"n/x": "10.7.0.2"}


async def test_a_namespace_whose_labels_change_makes_its_networks_match():
    stage = await Stage().start(
        kubemanager({"default-external": {"networkSelector": {}, "namespaceSelector": {"matchLabels": {"is": "lb"}}}}),
        vn("n/x", "10.7.0.0/24"),
        service("a/s"),
    )
    assert (await stage.last_intent("|a/s")).reason == "NoNetworkMatches"
    await stage.put(namespace("n", {"is": "lb"}))
    await stage.run()
    assert await stage.held("a/s") == {"n/x": "10.7.0.2"}


async def test_a_pending_newcomer_follows_what_changes_and_leaves_no_wish_behind():
    tiny = vn("n/full", "10.7.0.0/32")
    stage = await started(tiny, service("b/first", {NETWORK: "n/full"}))
    await stage.put(service("a/s"), namespace("a", annotations={NETWORK: "n/full"}))
    await stage.run()
    assert await stage.held("a/s") == {}
    assert (await stage.last_intent("n/full|a/s")).type == "want"
    await stage.put(namespace("a", annotations={NETWORK: ONE}))
    await stage.run()
    assert await stage.held("a/s") == {ONE: "192.168.103.2"}
    assert (await stage.last_intent("n/full|a/s")).type == "withdraw"
    assert (await stage.ledger()).refusals_of("a/s") == ()


# -- holders stay -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        namespace("a", annotations={NETWORK: ONE}),
        namespace("contrail", annotations={SELECTOR: "custom-external"}),
        kubemanager({}),
        vn("contrail/older", "10.9.0.0/24", labels=DEFAULT_LABEL, created="2020-01-01T00:00:00Z"),
        vn(DEFAULT, "192.168.102.0/24", annotations={"ledgerlb.io/allowed-namespaces": "q=r"}),
    ],
    ids=["namespace", "contrail-namespace", "kubemanager", "older-match", "relabelled-and-closed"],
)
async def test_what_does_not_concern_a_holder_leaves_it_where_it_is(change):
    stage = await started(service("a/s"))
    want = await stage.last_intent(f"{DEFAULT}|a/s")
    await stage.put(change)
    await stage.run()
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2"}
    assert await stage.last_intent(f"{DEFAULT}|a/s") == want
    said = await stage.last_intent("|a/s")
    assert (said.network, said.reason) == (DEFAULT, None)
    assert said.drift is not None or said.drift_reason is not None


async def test_a_holder_stays_over_a_restart_and_a_lost_intents_topic():
    stage = await started(service("a/s"))
    await stage.put(namespace("a", annotations={NETWORK: ONE}))
    await stage.run()
    stage.log.store.topics.pop(INTENTS.name)
    stage.selector = stage.new_selector()
    await stage.run(stage.selector)
    said = await stage.last_intent("|a/s")
    assert (said.network, said.drift) == (DEFAULT, ONE)


# -- moves ------------------------------------------------------------------------------------------------------------


async def move_to(stage, network, name="a/s"):
    await stage.put(service(name, {NETWORK: network}, ingress=tuple((await stage.held(name)).values())))
    await stage.run()


async def test_a_move_is_make_before_break():
    stage = await started(service("a/s", ingress=()))
    await stage.beat("agent-1")
    await stage.programmed("agent-1", "192.168.102.2")
    await move_to(stage, ONE)
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2", ONE: "192.168.103.2"}
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).type == "want", "the old one stays until the new one is there"
    # Published, but not forwarded yet.
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("192.168.103.2",)))
    await stage.run()
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).type == "want"
    await stage.programmed("agent-1", "192.168.103.2")
    await stage.run()
    withdrawal = await stage.last_intent(f"{DEFAULT}|a/s")
    assert (withdrawal.type, withdrawal.why) == ("withdraw", "Moved")
    assert await stage.held("a/s") == {ONE: "192.168.103.2"}


async def test_a_move_waits_until_the_new_address_is_published():
    stage = await started(service("a/s"))
    await move_to(stage, ONE)
    assert set(await stage.held("a/s")) == {DEFAULT, ONE}
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("192.168.102.2", "192.168.103.2")))
    await stage.run()
    assert set(await stage.held("a/s")) == {ONE}


async def test_an_agent_that_dies_does_not_hold_up_a_move_for_ever():
    stage = await started(service("a/s"))
    await stage.beat("agent-1")
    await move_to(stage, ONE)
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("192.168.103.2",)))
    await stage.run()
    assert set(await stage.held("a/s")) == {DEFAULT, ONE}
    await stage.advance(301)
    assert set(await stage.held("a/s")) == {ONE}


async def test_other_records_do_not_postpone_the_look_at_a_move():
    stage = await started(service("a/s"))
    await stage.beat("agent-1")
    await move_to(stage, ONE)
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("192.168.103.2",)))
    await stage.run()
    stage.now += timedelta(seconds=299.5)
    for turn in range(6):
        # The selector settles more than once a second, as it does in a busy cluster.
        stage.now += timedelta(seconds=0.4)
        await stage.put(namespace("elsewhere", {"turn": str(turn)}))
        await stage.run()
    assert set(await stage.held("a/s")) == {ONE}


async def test_an_agent_that_said_goodbye_does_not_hold_up_a_move():
    stage = await started(service("a/s"))
    await stage.beat("agent-1")
    await move_to(stage, ONE)
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("192.168.103.2",)))
    await stage.run()
    await stage.beat("agent-1", stopped=True)
    await stage.run()
    assert set(await stage.held("a/s")) == {ONE}


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ({NETWORK: "no/such"}, "NetworkNotFound"),
        ({NETWORK: "a/b/c"}, "InvalidAnnotation"),
        ({SELECTOR: "unknown"}, "SelectorNotFound"),
        ({"ledgerlb.io/addresses": "nonsense"}, "InvalidAnnotation"),
    ],
)
async def test_while_the_new_network_cannot_be_had_the_old_address_stays(annotations, reason):
    stage = await started(service("a/s"))
    want = await stage.last_intent(f"{DEFAULT}|a/s")
    await stage.put(service("a/s", annotations))
    await stage.run()
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2"}
    assert await stage.last_intent(f"{DEFAULT}|a/s") == want
    assert (await stage.last_intent("|a/s")).reason == reason


async def test_a_full_target_keeps_the_old_address_until_there_is_room():
    stage = await started(vn("n/full", "10.7.0.0/32"), service("b/first", {NETWORK: "n/full"}), service("a/s"))
    await move_to(stage, "n/full")
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2"}
    assert (await stage.last_intent("n/full|a/s")).type == "want"
    await stage.drop("Service", "b/first")
    await stage.run()
    assert set(await stage.held("a/s")) == {DEFAULT, "n/full"}


async def test_a_move_that_is_taken_back_leaves_the_service_where_it_was():
    stage = await started(service("a/s"))
    await move_to(stage, ONE)
    await stage.put(service("a/s", ingress=("192.168.102.2",)))
    await stage.run()
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2"}
    assert (await stage.last_intent(f"{ONE}|a/s")).type == "withdraw"
    assert (await stage.last_intent("|a/s")).network == DEFAULT


async def test_a_second_move_before_the_first_is_done_forgets_the_first_target():
    stage = await started(vn("n/full", "10.7.0.0/32"), service("b/first", {NETWORK: "n/full"}), service("a/s"))
    await move_to(stage, "n/full")
    await move_to(stage, TWO)
    assert set(await stage.held("a/s")) == {DEFAULT, TWO}
    assert (await stage.last_intent("n/full|a/s")).type == "withdraw"
    await stage.put(service("a/s", {NETWORK: TWO}, ingress=("192.168.104.2",)))
    await stage.run()
    assert set(await stage.held("a/s")) == {TWO}


async def test_and_back_again_later_with_a_higher_revision():
    stage = await started(service("a/s"))
    await move_to(stage, ONE)
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("192.168.103.2",)))
    await stage.run()
    gone = await stage.last_intent(f"{DEFAULT}|a/s")
    await stage.put(service("a/s", ingress=("192.168.103.2",)))
    await stage.run()
    await stage.put(service("a/s", ingress=("192.168.102.2",)))
    await stage.run()
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2"}
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).revision > gone.revision


async def test_holders_of_a_network_that_goes_move_and_keep_the_old_address_until_they_have():
    stage = await started(service("a/s", {SELECTOR: "pick"}))
    pick = {"namespaceSelector": {}, "networkSelector": {"matchLabels": {"is": "gold"}}}
    await stage.put(
        kubemanager({"pick": pick}),
        vn("n/first", "10.1.0.0/24", labels={"is": "gold"}, day=1),
        vn("n/second", "10.2.0.0/24", labels={"is": "gold"}, day=2),
    )
    await stage.run()
    assert await stage.held("a/s") == {"n/first": "10.1.0.2"}
    await stage.drop("VirtualNetwork", "n/first")
    await stage.run()
    assert (await stage.last_intent("n/first|")).gone
    assert set(await stage.held("a/s")) == {"n/first", "n/second"}
    await stage.put(service("a/s", {SELECTOR: "pick"}, ingress=("10.2.0.2",)))
    await stage.run()
    assert set(await stage.held("a/s")) == {"n/second"}


async def test_a_holder_of_a_network_that_goes_keeps_its_address_where_there_is_no_other():
    stage = await started(service("a/s", {NETWORK: ONE}))
    await stage.drop("VirtualNetwork", ONE)
    await stage.run()
    assert await stage.held("a/s") == {ONE: "192.168.103.2"}
    assert (await stage.last_intent("|a/s")).reason == "NetworkNotFound"


async def test_a_network_that_comes_back_is_offered_again():
    stage = await started(service("a/s", {NETWORK: ONE}))
    await stage.drop("VirtualNetwork", ONE)
    await stage.run()
    await stage.put(vn(ONE, "192.168.103.0/24"))
    await stage.run()
    offer = await stage.last_intent(f"{ONE}|")
    assert not offer.gone
    assert await stage.held("a/s") == {ONE: "192.168.103.2"}
    assert (await stage.last_intent("|a/s")).reason is None


async def test_dual_stack_moves_when_the_new_network_has_every_required_family():
    both = {"ip_families": (4, 6), "ip_family_policy": "RequireDualStack"}
    stage = await started(
        vn("n/one", "10.1.0.0/24", "2001:db8:1::/64"),
        vn("n/two", "10.2.0.0/24", "2001:db8:2::/64"),
        service("a/s", {NETWORK: "n/one"}, **both),
    )
    await stage.put(service("a/s", {NETWORK: "n/two"}, **both, ingress=("10.2.0.2",)))
    await stage.run()
    assert "n/one" in await stage.held("a/s")
    shown = tuple(h.address for h in (await stage.ledger()).holdings_of("a/s") if h.network == "n/two")
    assert len(shown) == 2
    await stage.put(service("a/s", {NETWORK: "n/two"}, **both, ingress=shown))
    await stage.run()
    assert set(await stage.held("a/s")) == {"n/two"}


# -- the end of a Service ---------------------------------------------------------------------------------------------


async def test_a_service_that_is_being_deleted_is_withdrawn_then_forgotten():
    stage = await started(service("a/s"))
    await stage.put(service("a/s", deleting=True))
    await stage.run()
    assert await stage.held("a/s") == {}
    await stage.drop("Service", "a/s")
    await stage.run()
    assert not [key for key in await stage.intents() if key.endswith("a/s")]
    withdrawals = [intent for intent in await every(stage) if isinstance(intent, Withdrawal)]
    assert [intent.why for intent in withdrawals] == ["ServiceDeleted"]


async def every(stage):
    return [decode_intent(record.key, record.value) for record in await stage.records()]


async def test_while_its_address_is_being_released_the_withdrawal_stands():
    stage = await started(service("a/s"))
    await stage.beat("agent-1")
    await stage.put(service("a/s", deleting=True))
    await stage.run()
    assert [h.state for h in (await stage.ledger()).holdings_of("a/s")] == ["releasing"]
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).type == "withdraw"


async def test_a_service_that_vanished_while_nobody_looked_is_withdrawn():
    stage = await started(service("a/s"))
    await stage.drop("Service", "a/s")
    stage.selector = stage.new_selector()
    await stage.run()
    assert await stage.held("a/s") == {}
    assert not [key for key in await stage.intents() if key.endswith("a/s")]


async def test_a_holder_that_vanished_is_withdrawn_even_if_the_intents_were_lost():
    stage = await started(service("a/s"))
    await stage.drop("Service", "a/s")
    stage.log.store.topics.pop(INTENTS.name)
    stage.selector, stage.ipam.reader = stage.new_selector(), None
    await stage.run()
    assert await stage.held("a/s") == {}


@pytest.mark.parametrize("now", [{"type": "ClusterIP"}, {"type": "ExternalName"}, {"load_balancer_class": "other"}])
async def test_a_service_that_ceases_to_be_ours_is_withdrawn_and_regains_its_address_later(now):
    stage = await started(service("a/s"), service("a/t"))
    await stage.put(service("a/s", **now))
    await stage.run()
    assert await stage.held("a/s") == {}
    words = [intent for intent in await every(stage) if isinstance(intent, Withdrawal)]
    assert [word.why for word in words] == ["NotOurs"]
    assert await stage.last_intent(f"{DEFAULT}|a/s") is None
    await stage.put(service("a/s"))
    await stage.run()
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.2"}


async def test_a_pending_service_that_goes_leaves_nothing_behind():
    stage = await started(vn("n/full", "10.7.0.0/32"), service("b/first", {NETWORK: "n/full"}))
    await stage.put(service("a/s", {NETWORK: "n/full"}))
    await stage.run()
    assert (await stage.ledger()).refusals_of("a/s")
    await stage.drop("Service", "a/s")
    await stage.run()
    assert (await stage.ledger()).refusals_of("a/s") == ()
    assert not [key for key in await stage.intents() if key.endswith("a/s")]


async def test_a_service_made_again_under_the_same_name_regains_its_address_under_its_new_uid():
    stage = await started(service("a/s"))
    await stage.put(service("a/s", uid="again", has_finalizer=False))
    await stage.run()
    holding = (await stage.ledger()).holdings_of("a/s")[0]
    assert (holding.address, holding.uid, holding.state) == ("192.168.102.2", "again", "held")


# -- adoption ---------------------------------------------------------------------------------------------------------


async def test_a_service_that_shows_an_address_from_before_asks_to_keep_it():
    stage = await started(service("a/s", ingress=("192.168.102.77", "lb.example.org")))
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).adopt == ("192.168.102.77",)
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.77"}


async def test_what_the_ledger_gave_is_never_adopted():
    stage = await started(service("a/s"))
    await stage.put(service("a/s", {"ledgerlb.io/sharing-key": "k"}, ingress=("192.168.102.2",)))
    await stage.run()
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).adopt == ()
    await stage.put(service("a/s", type="ClusterIP", ingress=("192.168.102.2",)))
    await stage.run()
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("192.168.102.2",)))
    await stage.run()
    assert (await stage.last_intent(f"{ONE}|a/s")).adopt == ()


async def test_an_address_that_was_not_adopted_is_claimed_until_the_status_no_longer_shows_it():
    stage = await started(service("a/s", {"ledgerlb.io/addresses": "192.168.102.9"}, ingress=("192.168.102.77",)))
    assert await stage.held("a/s") == {DEFAULT: "192.168.102.9"}
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).adopt == ("192.168.102.77",)
    await stage.put(service("a/s", {"ledgerlb.io/addresses": "192.168.102.9"}, ingress=("192.168.102.9",)))
    await stage.run()
    assert (await stage.last_intent(f"{DEFAULT}|a/s")).adopt == ()


# -- overlapping networks ---------------------------------------------------------------------------------------------


async def test_holders_decide_which_of_two_overlapping_networks_is_closed():
    stage = await started(vn("n/young", "10.1.0.0/24", day=9), service("a/s", {NETWORK: "n/young"}))
    await stage.put(vn("n/old", "10.1.0.0/16", created="2020-01-01T00:00:00Z"), service("a/t", {NETWORK: "n/old"}))
    await stage.run()
    assert (await stage.last_intent("n/old|")).problem == "NetworkConflict"
    assert (await stage.last_intent("|a/t")).reason == "NetworkConflict"
    await stage.drop("Service", "a/s")
    await stage.run()
    assert (await stage.last_intent("n/young|")).problem == "NetworkConflict"
    assert await stage.held("a/t") == {"n/old": "10.1.0.2"}


# -- how much it costs ------------------------------------------------------------------------------------------------


async def test_a_burst_of_services_wants_once_each():
    stage = await started(*(service(f"old/s{i}") for i in range(1000)), ipam=False)
    burst = [service(f"new/s{i}") for i in range(500)]
    await stage.put(*burst)
    await stage.run(stage.selector)
    wants = [key for key in await stage.intents() if key.startswith(f"{DEFAULT}|new/")]
    assert len(wants) == 500


async def test_a_change_of_one_service_looks_at_that_service_alone(monkeypatch):
    stage = await started(*(service(f"a/s{i}") for i in range(50)), ipam=False)
    looked = []
    real = stage.selector.processor._plan_for
    monkeypatch.setattr(
        stage.selector.processor, "_plan_for", lambda name, *rest: looked.append(name) or real(name, *rest)
    )
    await stage.put(service("a/s7", {NETWORK: ONE}))
    await stage.run(stage.selector)
    assert set(looked) == {"a/s7"}


async def test_what_the_status_shows_is_looked_at_only_where_it_counts(monkeypatch):
    stage = await started(service("a/s"))
    looked = []
    real = stage.selector.processor._plan_for
    monkeypatch.setattr(
        stage.selector.processor, "_plan_for", lambda name, *rest: looked.append(name) or real(name, *rest)
    )
    await stage.put(service("a/s", ingress=("198.51.100.1",)))
    await stage.run()
    assert looked == []  # it has its address, and does not move
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("198.51.100.1",)))
    await stage.run()
    assert set(looked) == {"a/s"}
    looked.clear()
    await stage.put(service("a/s", {NETWORK: ONE}, ingress=("198.51.100.2",)))
    await stage.run()
    assert set(looked) == {"a/s"}  # it moves: the old network waits for the status to show the new address


async def test_the_verdict_is_a_selection_record():
    stage = await started(service("a/s"))
    assert isinstance(await stage.last_intent("|a/s"), Selection)


# -- addresses that outlive their network -----------------------------------------------------------------------------


async def test_an_address_that_is_still_held_in_a_gone_network_goes_to_nobody_else():
    stage = await started(vn("n/old", "10.1.0.0/24"), service("a/s", {NETWORK: "n/old"}))
    await stage.drop("VirtualNetwork", "n/old")
    await stage.put(vn("n/new", "10.1.0.0/24"), service("a/t", {NETWORK: "n/new"}))
    await stage.run()
    assert await stage.held("a/s") == {"n/old": "10.1.0.2"}
    assert await stage.held("a/t") == {"n/new": "10.1.0.3"}
    assert (await stage.last_intent("n/new|")).prefixes[0].excluded == (("10.1.0.2", "10.1.0.2"),)
    await stage.put(service("a/s", {NETWORK: "n/new"}, ingress=("10.1.0.2",)))
    await stage.run()
    assert await stage.held("a/s") == {"n/old": "10.1.0.2", "n/new": "10.1.0.4"}
    await stage.put(service("a/s", {NETWORK: "n/new"}, ingress=("10.1.0.4",)))
    await stage.run()
    assert await stage.held("a/s") == {"n/new": "10.1.0.4"}
    assert (await stage.last_intent("n/new|")).prefixes[0].excluded == ()


async def test_an_address_outside_its_networks_changed_prefix_goes_to_nobody_else():
    stage = await started(vn("n/one", "10.1.0.0/24"), service("a/s", {NETWORK: "n/one"}))
    await stage.put(vn("n/one", "10.9.0.0/24"), vn("n/two", "10.1.0.0/24"), service("a/t", {NETWORK: "n/two"}))
    await stage.run()
    assert await stage.held("a/s") == {"n/one": "10.1.0.2"}
    assert await stage.held("a/t") == {"n/two": "10.1.0.3"}


async def test_in_another_routing_context_the_same_address_may_be_given():
    one, two = {"route_targets": ("t:1",)}, {"route_targets": ("t:2",)}
    stage = await started(vn("n/one", "10.1.0.0/24", **one), service("a/s", {NETWORK: "n/one"}))
    await stage.put(
        vn("n/one", "10.9.0.0/24", **one), vn("n/two", "10.1.0.0/24", **two), service("a/t", {NETWORK: "n/two"})
    )
    await stage.run()
    assert (await stage.last_intent("n/two|")).prefixes[0].excluded == ()


async def test_what_fits_no_record_holds_up_nobody_else(monkeypatch):
    monkeypatch.setattr(processor, "INTENTS", replace(INTENTS, max_bytes=3000))
    ports = tuple(ServicePort(name=f"p{port}", port=port, protocol="UDP") for port in range(10_000, 10_500))
    stage = await started(service("a/large", ports=ports), service("a/small"))
    assert await stage.last_intent(f"{DEFAULT}|a/large") is None
    assert (await stage.last_intent(f"{DEFAULT}|a/small")).type == "want"
    await stage.put(service("a/large", ports=ports[:1]))
    await stage.run()
    assert (await stage.last_intent(f"{DEFAULT}|a/large")).type == "want"
