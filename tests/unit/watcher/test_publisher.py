"""The publisher's behaviour: what is written, in which order, and what is not written again."""

from __future__ import annotations

import asyncio

import pytest

from ledgerlb.core.cluster.facts import FINALIZER, encode_fact, key_of
from ledgerlb.core.errors import ClusterRefused, ClusterUnavailable, UndecodableRecord
from ledgerlb.core.intents.model import AddressIntent
from ledgerlb.core.ledger import events as ev
from ledgerlb.core.ledger.chain import Head
from ledgerlb.core.paths.pathset import Heartbeat
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.port import NewRecord
from ledgerlb.eventlog.topics import FACTS, INTENTS, LEDGER, REPORTS
from ledgerlb.watcher.publisher import MOVE_CHECK, RETRY, VERDICT_GRACE
from ledgerlb.watcher.work import Limits
from tests.unit.watcher.publisher_rig import NET, Rig, ready

A, B = "192.0.2.1", "192.0.2.2"
OTHER = "contrail/other"


@pytest.fixture
def rig() -> Rig:
    return Rig()


# The way of one Service


async def test_a_service_that_nothing_was_decided_for_is_left_alone(rig):
    rig.service()
    await rig.turn()
    assert rig.writer.take() == []


async def test_a_service_costs_one_write_to_serve_and_one_to_let_go(rig):
    rig.service()
    await rig.select()
    await rig.allocate(A)
    await rig.turn()
    assert [write for write in rig.writer.take() if not write.startswith("event")] == ["publish"]
    assert (rig.has_finalizer(), rig.ingress()) == (True, [A])
    rig.cluster.delete("Service", "a", "web")
    await rig.withdraw()
    await rig.releasing(A)
    await rig.turn()
    await rig.released(A)
    await rig.turn()
    assert rig.writer.take() == ["release"]
    assert rig.cluster.get("Service", "a", "web") is None


async def test_no_version_of_a_service_shows_our_address_without_our_finalizer(rig):
    versions = []
    rig.writer.after = lambda _write: versions.append(rig.cluster.get("Service", "a", "web"))
    rig.service()
    await rig.select()
    await rig.allocate(A)
    await rig.turn()
    finalizers = [*rig.obj()["metadata"]["finalizers"], "example.com/other"]
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": finalizers})
    rig.cluster.delete("Service", "a", "web")
    await rig.withdraw()
    await rig.releasing(A)
    await rig.turn()
    await rig.released(A)
    await rig.turn()
    shown = [
        (bool(obj["status"].get("loadBalancer", {}).get("ingress")), FINALIZER in obj["metadata"].get("finalizers", []))
        for obj in versions
    ]
    assert set(shown) == {(True, True), (False, False)}
    assert rig.obj()["metadata"]["finalizers"] == ["example.com/other"]
    assert (rig.ingress(), rig.conditions()) == ([], {})


async def test_a_service_that_only_waits_has_no_finalizer(rig):
    rig.service()
    await rig.select(network=None, reason="NetworkNotFound", message="m")
    await rig.turn()
    assert rig.writer.take()[0] == "status"
    assert not rig.has_finalizer()


async def test_a_service_that_is_deleted_just_before_its_address_is_shown_gets_nothing(rig):
    rig.service()
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": ["example.com/other"]})
    await rig.turn()
    await rig.select()
    await rig.allocate(A)
    rig.cluster.delete("Service", "a", "web")  # no fact tells yet
    await rig.fold()
    async with asyncio.timeout(5):
        while not rig.publisher.queue.counts["failed"]:
            await asyncio.sleep(0.001)
    assert (rig.ingress(), rig.has_finalizer()) == ([], False)
    await rig.turn()
    assert (rig.ingress(), rig.has_finalizer(), rig.publisher.counts["refused"]) == ([], False, 0)


async def test_a_service_that_vanishes_before_its_address_is_shown_is_no_error(rig):
    rig.service()
    await rig.turn()
    await rig.select()
    await rig.allocate(A)
    rig.cluster.delete("Service", "a", "web")  # no fact tells yet
    await rig.fold()
    assert await rig.publisher.idle(5.0)
    assert rig.writer.take() == ["publish"]
    await rig.turn()
    assert (rig.writer.take(), rig.publisher.counts["refused"]) == ([], 0)


async def test_an_address_released_before_the_others_is_shown_no_longer(rig):
    rig.service(ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"])
    await rig.select()
    await rig.allocate(A)
    await rig.allocate("2001:db8::1")
    await rig.turn()
    assert rig.ingress() == [A, "2001:db8::1"]
    rig.cluster.delete("Service", "a", "web")
    await rig.withdraw()
    await rig.releasing(A)
    await rig.releasing("2001:db8::1")
    await rig.released("2001:db8::1")
    await rig.turn()
    assert (rig.ingress(), rig.has_finalizer()) == ([A], True)
    await rig.released(A)
    await rig.turn()
    assert rig.cluster.get("Service", "a", "web") is None


async def test_the_status_follows_the_ledger_in_one_write(rig):
    rig.service()
    await rig.turn()
    await rig.select()
    await rig.turn()
    assert rig.writer.take() == []  # nothing to say while the verdict is outstanding
    await rig.allocate(A)
    await rig.turn()
    assert rig.writer.take() == ["publish", "event NetworkSelected", "event AddressAllocated"]
    assert rig.ingress() == [A]
    assert rig.obj()["status"]["loadBalancer"]["ingress"] == [{"ip": A, "ipMode": "VIP"}]
    assert rig.conditions() == {
        "NetworkSelected": ("True", "NetworkSelected"),
        "AddressAllocated": ("True", "AddressAllocated"),
        "Accepted": ("True", "Accepted"),
        "Programmed": ("False", "NoAgents"),
    }


async def test_a_pending_service_says_why(rig):
    rig.service()
    await rig.turn()
    await rig.select(network=None, reason="NetworkNotFound", message="no such network")
    await rig.turn()
    assert rig.conditions() == {
        "NetworkSelected": ("False", "NetworkNotFound"),
        "AddressAllocated": ("False", "NetworkNotFound"),
        "Accepted": ("False", "NetworkNotFound"),
    }
    assert rig.events() == [("web", "NetworkNotFound")]
    assert rig.ingress() == []


async def test_a_refusal_then_an_address(rig):
    rig.service()
    await rig.turn()
    await rig.select()
    await rig.refuse("NetworkFull")
    await rig.turn()
    assert rig.conditions()["AddressAllocated"] == ("False", "NetworkFull")
    await rig.enter(
        ev.AddressAllocated(A, 4, "a/web", rig.obj()["metadata"]["uid"], "longest-free"), ev.RefusalCleared("a/web")
    )
    await rig.turn()
    assert rig.ingress() == [A]
    assert [reason for _, reason in rig.events()] == ["NetworkSelected", "NetworkFull", "AddressAllocated"]


async def test_a_lost_address_is_cleared(rig):
    await ready(rig)
    await rig.releasing(A)
    await rig.refuse("NetworkNotAllowed")
    await rig.turn()
    assert rig.ingress() == []
    assert rig.conditions()["AddressAllocated"] == ("False", "NetworkNotAllowed")
    assert rig.has_finalizer()
    await rig.released(A)
    await rig.turn()
    assert not rig.has_finalizer()
    assert rig.conditions()["AddressAllocated"] == ("False", "NetworkNotAllowed")


async def test_a_status_from_before_is_left_to_be_adopted(rig):
    rig.service()
    rig.cluster.patch_status("Service", "a", "web", {"loadBalancer": {"ingress": [{"ip": A}]}})
    await rig.turn()
    await rig.select()
    rig.pass_time(VERDICT_GRACE + 1)
    await rig.turn()
    assert rig.ingress() == [A]
    await rig.enter(ev.AddressAdopted(A, 4, "a/web", rig.obj()["metadata"]["uid"]))
    await rig.turn()
    assert rig.ingress() == [A]
    assert rig.events()[-1] == ("web", "AddressAdopted")


async def test_a_status_of_a_namesake_is_left_to_be_adopted(rig):
    await rig.enter(ev.AddressAllocated(B, 4, "a/web", "an earlier one", "never-used"))
    await rig.releasing(B)
    await rig.released(B)
    rig.service()
    uid = rig.obj()["metadata"]["uid"]
    rig.cluster.patch_status("Service", "a", "web", {"loadBalancer": {"ingress": [{"ip": A}]}})
    await rig.select()
    await rig.intend(AddressIntent(network=NET, service="a/web", revision=9, uid=uid, adopt=(A,)))
    await rig.turn()
    assert rig.ingress() == [A]
    await rig.enter(ev.AdoptionRefused(A, "a/web", uid, "RequestedAddressReserved", "is the gateway"))
    await rig.turn()
    assert rig.ingress() == []


async def test_a_status_from_before_that_is_not_adopted_goes(rig):
    rig.service()
    rig.cluster.patch_status("Service", "a", "web", {"loadBalancer": {"ingress": [{"ip": A}]}})
    await rig.turn()
    uid = rig.obj()["metadata"]["uid"]
    await rig.select()
    await rig.enter(
        ev.AdoptionRefused(A, "a/web", uid, "RequestedAddressReserved", "is the gateway"),
        ev.AddressAllocated(B, 4, "a/web", uid, "never-used"),
    )
    await rig.turn()
    assert rig.ingress() == [B]
    assert ("web", "AdoptionRefused") in rig.events()


async def test_an_outstanding_verdict_is_said_after_a_while(rig):
    rig.service()
    await rig.turn()
    await rig.select()
    assert await rig.turn() == MOVE_CHECK  # it wants to look again
    rig.pass_time(VERDICT_GRACE + 1)
    await rig.fold()
    await rig.publisher.idle(5.0)
    assert rig.conditions()["AddressAllocated"] == ("Unknown", "WaitingForAllocation")
    assert rig.events() == [("web", "NetworkSelected")]


# Who is ours


@pytest.mark.parametrize("spec", [{"type": "ClusterIP"}, {"loadBalancerClass": "example.com/other"}])
async def test_services_of_others_are_never_touched(rig, spec):
    rig.service(**spec)
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": [FINALIZER]})
    ingress = {"loadBalancer": {"ingress": [{"ip": A}]}} if "type" not in spec else {}
    conditions = {"conditions": [{"type": "ledgerlb.io/X", "status": "True"}]}
    rig.cluster.patch_status("Service", "a", "web", ingress | conditions)
    await rig.turn()
    rig.cluster.delete("Service", "a", "web")
    await rig.turn()
    assert rig.writer.asked == []


async def test_an_instance_with_a_class_serves_that_class():
    rig = Rig(DomainSettings(load_balancer_class="example.com/lb"))
    rig.service("none")
    rig.service("mine", loadBalancerClass="example.com/lb")
    for name, address in (("none", A), ("mine", B)):
        await rig.select(name)
        await rig.allocate(address, name)
    await rig.turn()
    assert (rig.has_finalizer("mine"), rig.has_finalizer("none")) == (True, False)


async def test_a_type_change_cleans_up_and_lets_go(rig):
    await ready(rig)
    rig.service(type="ClusterIP")
    await rig.turn()
    assert rig.has_finalizer()
    await rig.withdraw()
    await rig.releasing(A)
    await rig.turn()
    assert rig.has_finalizer()
    await rig.released(A)
    await rig.turn()
    assert rig.writer.take() == ["release"]
    assert (rig.has_finalizer(), rig.conditions()) == (False, {})


async def to_another_class(rig):
    """The Service as it is once its class changed: an API server allows that by way of another type only."""
    obj = rig.obj()
    spec = {**obj["spec"], "loadBalancerClass": "example.com/other"}
    rig.cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": obj["metadata"], "spec": spec})
    await rig.turn()


async def test_a_service_that_goes_to_another_class_loses_what_we_wrote_and_nothing_else(rig):
    await ready(rig)
    await to_another_class(rig)
    await rig.withdraw()
    await rig.releasing(A)
    rig.cluster.patch_status("Service", "a", "web", {"loadBalancer": {"ingress": [{"ip": A}, {"ip": "203.0.113.9"}]}})
    await rig.turn()
    assert rig.writer.take() == []
    await rig.released(A)
    await rig.turn()
    assert rig.writer.take() == ["release"]
    assert (rig.ingress(), rig.conditions(), rig.has_finalizer()) == (["203.0.113.9"], {}, False)


async def test_the_next_controller_may_show_the_address_that_was_ours(rig):
    await ready(rig)
    await to_another_class(rig)
    await rig.withdraw()
    await rig.releasing(A)
    await rig.released(A)
    await rig.turn()
    rig.writer.take()
    rig.cluster.patch_status("Service", "a", "web", {"loadBalancer": {"ingress": [{"ip": A}]}})
    await rig.turn()
    rig.restart()
    await rig.turn()
    assert (rig.writer.take(), rig.ingress()) == ([], [A])


async def test_conditions_go_with_a_service_that_only_waited(rig):
    rig.service()
    await rig.select(network=None, reason="NetworkNotFound", message="m")
    await rig.turn()
    rig.writer.take()
    rig.service(type="ClusterIP")
    await rig.turn()
    assert (rig.writer.take(), rig.conditions()) == (["status"], {})


# Going


async def test_the_finalizer_goes_only_after_the_release(rig):
    await ready(rig)
    rig.cluster.delete("Service", "a", "web")
    await rig.turn()
    assert rig.has_finalizer()
    await rig.withdraw()
    await rig.turn()
    assert rig.has_finalizer()  # still held
    await rig.releasing(A)
    await rig.turn()
    assert rig.has_finalizer()
    assert rig.ingress() == [A]  # agents may still forward it
    await rig.released(A)
    await rig.turn()
    assert rig.cluster.get("Service", "a", "web") is None
    assert rig.writer.take() == ["release"]


async def test_what_others_hold_back_shows_no_address_that_was_released(rig):
    await ready(rig)
    finalizers = [*rig.obj()["metadata"]["finalizers"], "example.com/other"]
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": finalizers})
    rig.cluster.delete("Service", "a", "web")
    await rig.withdraw()
    await rig.releasing(A)
    await rig.released(A)
    await rig.turn()
    assert (rig.has_finalizer(), rig.ingress()) == (False, [])


async def test_a_wish_that_stands_keeps_the_finalizer(rig):
    await ready(rig)
    rig.cluster.delete("Service", "a", "web")
    await rig.releasing(A)
    await rig.released(A)
    await rig.turn()
    assert rig.has_finalizer()
    await rig.withdraw()
    await rig.turn()
    assert rig.cluster.get("Service", "a", "web") is None


async def test_foreign_finalizers_stay(rig):
    rig.service()
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": ["example.com/other"]})
    await rig.select()
    await rig.allocate(A)
    await rig.turn()
    assert rig.obj()["metadata"]["finalizers"] == ["example.com/other", FINALIZER]
    rig.cluster.delete("Service", "a", "web")
    await rig.withdraw()
    await rig.releasing(A)
    await rig.released(A)
    await rig.turn()
    assert rig.obj()["metadata"]["finalizers"] == ["example.com/other"]


async def test_a_service_that_is_going_gets_no_finalizer(rig):
    rig.service()
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": ["example.com/other"]})
    rig.cluster.delete("Service", "a", "web")
    await rig.turn()
    assert rig.writer.asked == []


async def test_a_namesake_made_anew_starts_over(rig):
    await ready(rig)
    rig.cluster.delete("Service", "a", "web")
    await rig.withdraw()
    await rig.releasing(A)
    await rig.released(A)
    await rig.turn()
    rig.service()
    await rig.turn()
    assert rig.ingress() == []
    await rig.select()
    await rig.allocate(A)
    await rig.turn()
    assert rig.ingress() == [A]


# Moving


async def moving(rig: Rig) -> None:
    await ready(rig)
    await rig.agent()
    await rig.select(network=OTHER)
    await rig.allocate(B, network=OTHER)


async def test_a_move_shows_the_old_address_until_the_agents_forward_the_new_one(rig):
    await moving(rig)
    assert await rig.turn() == MOVE_CHECK
    assert rig.ingress() == [A]
    assert rig.conditions()["AddressAllocated"] == ("True", "AddressMoving")
    await rig.programmed(B)
    await rig.turn()
    assert rig.ingress() == [B]
    assert rig.conditions()["AddressAllocated"] == ("True", "AddressAllocated")


async def test_a_move_goes_on_when_the_agent_dies(rig):
    await moving(rig)
    await rig.turn()
    rig.pass_time(rig.settings.agent_timeout + 1)
    await rig.fold()
    await rig.publisher.idle(5.0)
    assert rig.ingress() == [B]


# Differences


async def test_a_foreign_change_is_reverted(rig):
    await ready(rig)
    rig.cluster.patch_status("Service", "a", "web", {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}})
    await rig.turn()
    assert rig.ingress() == [A]
    rig.cluster.patch_status("Service", "a", "web", {"loadBalancer": None, "conditions": None})
    await rig.turn()
    assert rig.ingress() == [A]
    assert rig.conditions()["AddressAllocated"] == ("True", "AddressAllocated")
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": []})
    await rig.turn()
    assert rig.has_finalizer()


async def test_a_foreign_change_during_a_write_is_reverted(rig):
    rig.service()
    await rig.turn()
    await rig.select()
    await rig.allocate(A)

    async def meddle() -> None:
        """Ours is written; before its answer is here, somebody else writes and the watch tells of it."""
        rig.writer.after = lambda _write: None
        rig.cluster.patch_status("Service", "a", "web", {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}})
        await rig.observe()
        await rig.fold()

    rig.writer.after = lambda _write: meddle()
    await rig.turn()
    assert rig.ingress() == [A]


async def test_the_watch_may_be_faster_than_the_answer_to_a_write(rig):
    rig.service()
    await rig.turn()
    await rig.select()
    await rig.allocate(A)

    async def echo() -> None:
        await rig.observe()
        await rig.fold()

    rig.writer.take()
    rig.writer.after = lambda write: echo() if write.kind == "Service" else None
    await rig.turn()
    assert rig.writer.take() == ["publish", "event NetworkSelected", "event AddressAllocated"]


async def test_a_restart_writes_nothing_new(rig):
    await ready(rig)
    await ready(rig, B, "api")
    rig.service("pending")
    await rig.turn()
    await rig.select("pending", network=None, reason="NetworkNotFound", message="m")
    await rig.turn()
    rig.writer.take()
    events = rig.events()
    for _ in range(2):
        rig.restart()
        await rig.turn()
    assert rig.writer.take() == []
    assert rig.events() == events


async def test_a_restart_in_the_middle_finishes_the_rest(rig):
    rig.service()
    await rig.turn()
    await rig.select()
    await rig.allocate(A)
    rig.writer.errors = [ClusterUnavailable("down")] * 100
    rig.restart(Limits(first=60, longest=60))
    await rig.fold()
    assert rig.ingress() == []
    await rig.publisher.close()
    rig.writer.errors.clear()
    rig.restart()
    await rig.turn()
    assert rig.ingress() == [A]


async def test_an_edit_that_concerns_nobody_writes_nothing(rig):
    await ready(rig)
    rig.cluster.patch_metadata("Service", "a", "web", {"annotations": {"ledgerlb.io/note": "x"}})
    await rig.turn()
    assert rig.writer.take() == []
    assert len(await rig.facts_of("Service/a/web")) > 2


async def test_conditions_name_the_generation_that_they_are_about(rig):
    await ready(rig)
    rig.service(sessionAffinity="ClientIP")
    await rig.turn()
    generations = {c["observedGeneration"] for c in rig.obj()["status"]["conditions"]}
    assert generations == {rig.obj()["metadata"]["generation"]}
    assert rig.writer.take() == ["status"]  # no Event: nothing else changed


async def test_reset_forgets_and_comes_to_the_same(rig):
    await ready(rig)
    rig.publisher.reset()
    rig.reader = None
    assert rig.publisher.publication("a/web") is None
    await rig.turn()
    assert rig.writer.take() == []
    found = rig.publisher.publication("a/web")
    assert found is not None
    assert found.addresses == (A,)


async def test_nothing_is_decided_on_a_half_read_log(rig):
    await ready(rig)
    rig.publisher.reset()
    async with await rig.log.open([FACTS]) as reader:
        records = [record for record in await reader.poll(0.0) if record.key == "Service/a/web"]
    rig.publisher.take(records[0])  # as it was before it got its finalizer
    rig.publisher.queue.add("a/web")
    assert await rig.publisher.idle(5.0)
    assert rig.writer.take() == []


# A cluster that does not answer, or refuses


async def test_an_api_server_that_fails_for_a_while(rig):
    rig.service()
    await rig.select()
    await rig.allocate(A)
    rig.writer.errors = [ClusterUnavailable("500")] * 5
    await rig.turn()
    assert rig.writer.errors == []
    assert rig.ingress() == [A]


async def test_settle_does_not_wait_for_a_slow_api_server(rig):
    hold = asyncio.Event()
    rig.writer.before = lambda _write: hold.wait()
    for number in range(40):
        rig.service(f"s{number}")
    await rig.observe()
    async with asyncio.timeout(2):
        await rig.fold()
        for number in range(40):
            await rig.select(f"s{number}")
            await rig.allocate(f"192.0.2.{number + 1}", f"s{number}")
        await rig.fold()
    await asyncio.sleep(0)
    assert len(rig.writer.asked) == 16
    hold.set()
    assert await rig.publisher.idle(5.0)


async def test_a_refused_write_is_shown_once(rig):
    await ready(rig)
    rig.writer.errors = [ClusterRefused("admission says no")]
    await rig.select(network=OTHER)
    await rig.allocate(B, network=OTHER)
    await rig.turn()
    assert rig.publisher.counts["refused"] == 1
    assert rig.events()[-1] == ("web", "StatusRefused")
    asked = len(rig.writer.asked)
    rig.publisher.queue.add("a/web")
    await rig.turn()
    assert len(rig.writer.asked) == asked
    rig.service(sessionAffinity="ClientIP")  # the Service changed: worth another try
    await rig.turn()
    assert rig.ingress() == [B]


async def test_a_refused_write_is_tried_again_in_the_end_though_nothing_changed(rig):
    """Whoever grants a permission does not touch the Service."""
    rig.service()
    await rig.select()
    await rig.allocate(A)
    rig.writer.errors = [ClusterRefused("services is forbidden")]
    wake = await rig.turn()
    assert wake is not None
    for _ in range(2):  # a look now and then asks nothing of the server
        rig.pass_time(MOVE_CHECK)
        await rig.turn()
    assert (rig.has_finalizer(), rig.publisher.counts["refused"]) == (False, 1)
    rig.writer.errors = [ClusterRefused("services is forbidden")]
    rig.pass_time(RETRY)
    await rig.turn()
    assert (rig.has_finalizer(), rig.publisher.counts["refused"]) == (False, 2)
    rig.pass_time(RETRY)
    await rig.turn()
    assert rig.has_finalizer()
    assert rig.writer.take().count("event StatusRefused") == 1


async def test_a_refused_write_is_tried_again_also_where_the_clock_was_set_back(rig):
    rig.service()
    await rig.select()
    await rig.allocate(A)
    rig.writer.errors = [ClusterRefused("services is forbidden")]
    await rig.turn()
    assert not rig.has_finalizer()
    rig.pass_time(-3600)
    await rig.turn()
    assert rig.has_finalizer()


async def test_a_service_made_anew_while_a_write_to_the_old_one_was_under_way_is_served(rig):
    rig.service()
    await rig.select()
    await rig.allocate(A)
    await rig.observe()
    written, go = asyncio.Event(), asyncio.Event()

    def hold(_write):
        written.set()
        return go.wait()

    rig.writer.after = hold
    await rig.fold()
    await written.wait()
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": []})
    rig.cluster.delete("Service", "a", "web")
    await rig.observe()
    await rig.fold()
    rig.service()
    await rig.observe()
    await rig.select()
    await rig.fold()
    rig.writer.after = lambda _write: None
    go.set()
    await rig.turn()
    assert (rig.has_finalizer(), rig.ingress()) == (True, [A])


async def test_a_late_fact_of_a_service_that_is_gone_is_ignored(rig):
    await ready(rig)
    rig.cluster.delete("Service", "a", "web")
    await rig.withdraw()
    await rig.releasing(A)
    await rig.released(A)
    await rig.observe()
    await rig.fold()
    last = (await rig.facts_of("Service/a/web"))[-1]
    assert await rig.publisher.idle(5.0)
    assert rig.cluster.get("Service", "a", "web") is None
    rig.writer.take()
    # An older version of it, from before its finalizer went, comes in after the answer to the write.
    await rig.log.append(FACTS, [NewRecord(key_of(last), encode_fact(last))])
    await rig.fold()
    assert await rig.publisher.idle(5.0)
    assert rig.writer.take() == []
    await rig.turn()
    rig.service()
    await rig.select()
    await rig.allocate(B)
    await rig.turn()
    assert rig.ingress() == [B]


async def test_a_service_that_vanished_is_no_error(rig):
    await ready(rig)
    await rig.releasing(A)
    rig.cluster.patch_metadata("Service", "a", "web", {"finalizers": []})
    rig.cluster.delete("Service", "a", "web")
    await rig.fold()
    assert await rig.publisher.idle(5.0)
    assert rig.publisher.counts["refused"] == 0
    await rig.turn()


# Events about networks, bad records


async def test_a_bad_network_has_an_event_of_its_own(rig):
    nad = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
    rig.cluster.apply({**nad, "metadata": {"namespace": "contrail", "name": "ext"}, "spec": {}})
    await rig.offer(problem="InvalidAnnotation", message="juniper.net/networks is not JSON")
    await rig.turn()
    await rig.offer(problem="InvalidAnnotation", message="juniper.net/networks is not JSON")
    await rig.turn()
    event = rig.writer.memory.events[0]
    assert (event["involvedObject"]["kind"], event["involvedObject"]["namespace"]) == (
        "NetworkAttachmentDefinition", "contrail",
    )  # fmt: skip
    assert (event["type"], event["message"]) == ("Warning", "juniper.net/networks is not JSON")
    assert len(rig.writer.memory.events) == 1
    await rig.offer()
    await rig.offer(problem="InvalidAnnotation", message="juniper.net/networks is not JSON")
    await rig.turn()
    rig.restart()
    await rig.turn()
    assert len(rig.writer.memory.events) <= 2


async def troubled(rig, since, **more):
    await rig.offer(
        problem="InvalidAnnotation", message="juniper.net/networks is not JSON", problem_since=since, **more
    )


async def test_a_problem_of_a_network_is_said_once_however_many_revisions_and_restarts_it_outlives(rig):
    vn = {"apiVersion": "core.contrail.juniper.net/v1", "kind": "VirtualNetwork"}
    rig.cluster.apply({**vn, "metadata": {"namespace": "contrail", "name": "ext"}, "spec": {}})
    await troubled(rig, 7)
    await rig.turn()
    await troubled(rig, 7, quarantine=60.0)  # an edit that mends nothing
    await rig.turn()
    rig.restart()
    await rig.turn()
    assert rig.events() == [("ext", "InvalidAnnotation")]
    await rig.offer()
    await troubled(rig, 12)  # it was well between
    await rig.turn()
    assert rig.events() == [("ext", "InvalidAnnotation")] * 2


async def test_a_problem_older_than_its_event_is_not_said_again_at_a_start(rig):
    vn = {"apiVersion": "core.contrail.juniper.net/v1", "kind": "VirtualNetwork"}
    rig.cluster.apply({**vn, "metadata": {"namespace": "contrail", "name": "ext"}, "spec": {}})
    await troubled(rig, 7)
    await rig.turn()
    rig.pass_time(3500)
    await troubled(rig, 7, quarantine=60.0)
    await rig.turn()
    rig.pass_time(200)
    rig.writer.take()
    rig.restart()
    await rig.turn()
    assert rig.writer.take() == []


async def test_what_came_while_no_watcher_ran_is_said_by_the_next_one(rig):
    await ready(rig)
    vn = {"apiVersion": "core.contrail.juniper.net/v1", "kind": "VirtualNetwork"}
    rig.cluster.apply({**vn, "metadata": {"namespace": "contrail", "name": "ext"}, "spec": {}})
    await rig.observe()
    await rig.enter(ev.PrefixChangeRefused((), ((A, "a/web"),)))
    await troubled(rig, 7)
    rig.pass_time(600)
    rig.restart()
    await rig.turn()
    assert sorted(event for event in rig.events() if event[0] == "ext") == [
        ("ext", "InvalidAnnotation"), ("ext", "PrefixChangeRefused"),
    ]  # fmt: skip


async def test_a_refused_prefix_change_is_said_on_the_network_once(rig):
    vn = {"apiVersion": "core.contrail.juniper.net/v1", "kind": "VirtualNetwork"}
    rig.cluster.apply({**vn, "metadata": {"namespace": "contrail", "name": "ext"}, "spec": {}})
    await rig.turn()
    await rig.enter(ev.PrefixChangeRefused((), ((A, "a/web"),)))
    await rig.turn()
    assert rig.writer.take() == ["event PrefixChangeRefused"]
    rig.restart()
    await rig.turn()
    assert rig.events() == [("ext", "PrefixChangeRefused")]
    rig.pass_time(3601)  # by now no API server remembers the Event
    rig.writer.take()
    rig.restart()
    await rig.turn()
    assert rig.writer.take() == []
    assert rig.events() == [("ext", "PrefixChangeRefused")]
    assert "192.0.2.1 (a/web)" in rig.writer.memory.events[0]["message"]


@pytest.mark.parametrize(
    ("topic", "key"), [(FACTS, "Service/a/web"), (INTENTS, "|a/web"), (LEDGER, NET), (REPORTS, f"{A}/n1")]
)
async def test_an_undecodable_record_is_refused_and_changes_nothing(rig, topic, key):
    await ready(rig)
    await rig.log.append(topic, [NewRecord(key, b"{nonsense")])
    records = await rig.reader.poll(0.0)
    with pytest.raises(UndecodableRecord):
        rig.publisher.take(records[-1])
    await rig.turn()
    assert rig.writer.take() == []


async def test_a_heartbeat_costs_no_write_and_no_look(rig):
    await rig.agent()
    await ready(rig)
    looked = []
    rig.publisher.queue.add = looked.append
    await rig.report(Heartbeat(agent="n1", at=rig.now, started=rig.now))
    await rig.fold()
    assert looked == []


async def test_a_batch_costs_what_it_changes(rig):
    for number in range(20):
        rig.service(f"s{number}")
    await rig.turn()
    looked: list[str] = []
    rig.publisher.queue.add = looked.append
    await rig.select("s3")
    await rig.allocate(A, "s3")
    await rig.fold()
    assert looked == ["a/s3"]


async def test_in_a_burst_statuses_are_written_before_events():
    rig = Rig()
    rig.restart(Limits(quiet=0.05, patience=60.0))
    for number in range(100):
        rig.service(f"s{number}")
    await rig.turn(1)
    for number in range(100):
        await rig.select(f"s{number}")
        await rig.allocate(f"192.0.2.{number + 1}", f"s{number}")
    await rig.turn()
    short = rig.writer.take()
    first_event = next(at for at, said in enumerate(short) if said.startswith("event"))
    assert short[:first_event].count("publish") == 100
    assert len(short) == 100 * 3


async def test_a_network_that_lost_its_last_entries_keeps_its_holders_and_lets_newcomers_wait(rig):
    await ready(rig)
    rig.service("late")
    await rig.turn(1)
    await rig.select("late")
    rig.restart()
    rig.publisher._projection.heads.remember(NET, Head(9, "a" * 64))
    await rig.turn()
    assert rig.ingress() == [A]
    assert rig.conditions("late")["AddressAllocated"] == ("False", "LedgerDamaged")
