"""List and watch against a small API server: nothing is missed and nothing is invented, however the streams behave."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from aiohttp import web

from ledgerlb.core.errors import BadInput
from ledgerlb.kube.api import discovery
from ledgerlb.kube.api.client import ApiConnection
from ledgerlb.kube.api.listwatch import WatchSettings
from ledgerlb.kube.api.source import ApiSource
from ledgerlb.kube.kinds import BY_KIND
from ledgerlb.kube.source import Batch, ProblemLog
from tests.builders.objects import bare_service
from tests.unit.kube.fake_api import FakeApi

DEADLINE = 10.0
SERVICES = "/api/v1/services"
NODES = "/api/v1/nodes"
SUBNETS = "/apis/core.contrail.juniper.net/{}/subnets"
SETTINGS = WatchSettings(page=2, watch=(30, 30), idle=20, pause=(0.01, 0.05), absent=0.05, healthy=0.5)


class World:
    """What a sink knows when it believes every batch."""

    def __init__(self) -> None:
        self.facts: dict[str, dict[str, Any]] = {}
        self.listed: dict[str, int] = {}
        self.present: dict[str, bool] = {}
        self.batches: list[Batch] = []
        self.woken = asyncio.Event()

    def __call__(self, batch: Batch) -> None:
        self.batches.append(batch)
        known = self.facts.setdefault(batch.kind, {})
        for entry in batch.upserts:
            known[entry.full_name] = entry
        for namespace, name in batch.gone:
            known.pop(f"{namespace}/{name}" if namespace else name, None)
        if batch.listed is not None:
            self.listed[batch.kind] = self.listed.get(batch.kind, 0) + 1
            self.present[batch.kind] = batch.listed.present
            names = {f"{ns}/{n}" if ns else n for ns, n in batch.listed.names}
            for name in [name for name in known if name not in names]:
                del known[name]
        self.woken.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self.woken.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.woken.wait(), 0.02)

    def names(self, kind: str) -> list[str]:
        return sorted(self.facts.get(kind, {}))


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as server:
        server.collections = {SERVICES: {}, NODES: {}}
        yield server


@pytest.fixture
async def follow(api: FakeApi, tmp_path) -> AsyncIterator[Any]:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(api.kubeconfig()))
    stop = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    async with ApiConnection(path) as connection:

        def begin(*kinds: str, settings: WatchSettings = SETTINGS) -> World:
            world = World()
            source = ApiSource(connection, kinds=[BY_KIND[kind] for kind in kinds], settings=settings)
            tasks.append(asyncio.create_task(source.run(world, stop)))
            return world

        yield begin
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), DEADLINE)


def subnet(name: str, cidr: Any = "192.0.2.0/24") -> dict[str, Any]:
    return {"metadata": {"namespace": "a", "name": name}, "spec": {"cidr": cidr}}


async def test_a_list_is_read_page_by_page_and_then_watched(api, follow):
    for name in ("p", "q", "r", "s", "t"):
        await api.put(SERVICES, bare_service(f"a/{name}"))
    world = follow("Service")
    await world.until(lambda: world.listed.get("Service"))
    assert world.names("Service") == ["a/p", "a/q", "a/r", "a/s", "a/t"]
    assert len(api.lists(SERVICES)) == 3
    assert [batch.listed is not None for batch in world.batches[:3]] == [False, False, True]

    await api.put(SERVICES, bare_service("a/u"))
    await api.put(SERVICES, bare_service("a/p", loadBalancerIP="192.0.2.7"))
    await api.remove(SERVICES, "a/q")
    await world.until(lambda: "a/q" not in world.names("Service"))
    assert world.names("Service") == ["a/p", "a/r", "a/s", "a/t", "a/u"]
    assert world.facts["Service"]["a/p"].load_balancer_ip == "192.0.2.7"
    assert world.listed["Service"] == 1
    assert api.watches(SERVICES)[0]["allowWatchBookmarks"] == "true"


async def test_a_watch_that_times_out_goes_on_where_it_was(api, follow):
    await api.put(SERVICES, bare_service("a/p"))
    world = follow("Service", settings=replace(SETTINGS, watch=(1, 1)))
    await world.until(lambda: len(api.watches(SERVICES)) >= 1)
    await api.bookmark(SERVICES)
    version = str(api.version)
    await world.until(lambda: len(api.watches(SERVICES)) >= 2)
    assert api.watches(SERVICES)[1]["resourceVersion"] == version, "the bookmark moved it on"
    await api.put(SERVICES, bare_service("a/q"))
    await world.until(lambda: world.names("Service") == ["a/p", "a/q"])
    assert world.listed["Service"] == 1, "nothing was listed again"


@pytest.mark.parametrize("how", ["event", "status"])
async def test_after_410_everything_is_listed_again_and_missed_deletions_are_found(api, follow, how):
    await api.put(SERVICES, bare_service("a/p"))
    await api.put(SERVICES, bare_service("a/q"))
    world = follow("Service", settings=replace(SETTINGS, watch=(1, 1)))
    await world.until(lambda: api.watches(SERVICES))
    if how == "status":
        del api.collections[SERVICES]["a/q"]
        api.version += 5
        api.compacted = api.version
    else:
        del api.collections[SERVICES]["a/q"]
        await api.error(SERVICES, 410)
    await world.until(lambda: world.listed["Service"] == 2)
    assert world.names("Service") == ["a/p"]
    await api.put(SERVICES, bare_service("a/r"))
    await world.until(lambda: world.names("Service") == ["a/p", "a/r"])


async def test_another_error_event_loses_nothing_that_came_with_it(api, follow):
    world = follow("Service")
    await world.until(lambda: api.watches(SERVICES))
    api.version += 1
    event = {"type": "ADDED", "object": bare_service("a/p")}
    event["object"]["metadata"]["resourceVersion"] = str(api.version)
    error = {"type": "ERROR", "object": {"code": 500, "message": "from the test"}}
    await api.raw(SERVICES, (json.dumps(event) + "\n" + json.dumps(error) + "\n").encode())
    await world.until(lambda: len(api.watches(SERVICES)) >= 2)
    assert world.names("Service") == ["a/p"]
    assert world.listed["Service"] == 1


async def test_a_connection_cut_in_the_middle_of_a_line_is_taken_up_again(api, follow):
    world = follow("Service")
    await world.until(lambda: api.watches(SERVICES))
    api.cut[SERVICES] = b""
    await api.put(SERVICES, bare_service("a/p"))
    await world.until(lambda: world.names("Service") == ["a/p"])
    assert len(api.watches(SERVICES)) >= 2
    assert world.listed["Service"] == 1


async def test_an_event_of_megabytes_is_read(api, follow):
    world = follow("Service")
    await world.until(lambda: api.watches(SERVICES))
    big = bare_service("a/p")
    big["metadata"]["annotations"] = {"ledgerlb.io/exclude": "x" * 3_000_000}
    await api.put(SERVICES, big)
    await world.until(lambda: world.names("Service") == ["a/p"])
    assert len(world.facts["Service"]["a/p"].annotations["ledgerlb.io/exclude"]) == 3_000_000


async def test_a_line_that_is_no_event_leads_to_a_new_list(api, follow):
    world = follow("Service")
    await world.until(lambda: api.watches(SERVICES))
    api.collections[SERVICES]["a/p"] = bare_service("a/p")
    await api.raw(SERVICES, b"<html>a proxy was here</html>\n")
    await world.until(lambda: world.names("Service") == ["a/p"])


async def test_a_silent_stream_is_given_up(api, follow):
    api.stuck.add(SERVICES)
    world = follow("Service", settings=replace(SETTINGS, idle=0.2))
    await world.until(lambda: len(api.watches(SERVICES)) >= 1)
    api.stuck.clear()
    await api.put(SERVICES, bare_service("a/p"))
    await world.until(lambda: world.names("Service") == ["a/p"])


async def test_a_stuck_stream_does_not_hold_up_another(api, follow):
    api.stuck.add(SERVICES)
    world = follow("Service", "Node")
    await world.until(lambda: api.watches(SERVICES) and api.watches(NODES))
    await api.put(NODES, {"metadata": {"name": "n1"}})
    await world.until(lambda: world.names("Node") == ["n1"])


async def test_errors_are_tried_again_and_retry_after_is_kept(api, follow):
    refusals = iter([500, 503, 429, 403])

    def refuse(request: web.Request) -> web.Response | None:
        if request.path != SERVICES:
            return None
        status = next(refusals, None)
        return None if status is None else web.json_response({"code": status, "message": "no"}, status=status)

    api.answers.append(refuse)
    await api.put(SERVICES, bare_service("a/p"))
    world = follow("Service")
    await world.until(lambda: world.names("Service") == ["a/p"])
    assert len(api.lists(SERVICES)) == 5


async def test_a_page_that_expires_begins_the_list_again(api, follow):
    for name in ("p", "q", "r"):
        await api.put(SERVICES, bare_service(f"a/{name}"))
    expired = iter([True])

    def expire(request: web.Request) -> web.Response | None:
        if "continue" in request.query and next(expired, False):
            return web.json_response({"code": 410, "reason": "Expired"}, status=410)
        return None

    api.answers.append(expire)
    world = follow("Service")
    await world.until(lambda: world.listed.get("Service"))
    assert world.names("Service") == ["a/p", "a/q", "a/r"]
    assert world.listed["Service"] == 1


async def test_a_definition_that_appears_later_is_picked_up_and_one_that_goes_is_empty(api, follow):
    world = follow("Subnet")
    await world.until(lambda: world.present.get("Subnet") is False)
    path = SUBNETS.format("v4")
    api.definitions["core.contrail.juniper.net"] = {"v1alpha1": ["subnets"], "v4": ["subnets"], "v3": ["subnets"]}
    api.collections[path] = {}
    await api.put(path, subnet("s"))
    await world.until(lambda: world.names("Subnet") == ["a/s"])
    assert world.present["Subnet"] is True
    api.definitions.clear()
    del api.collections[path]
    await api.error(path, 500)
    await world.until(lambda: world.present["Subnet"] is False)
    assert world.names("Subnet") == []


@pytest.mark.parametrize("when", ["list", "watch"])
async def test_not_found_of_a_kind_that_every_api_server_has_deletes_nothing(api, follow, when, caplog):
    """Such as from a load balancer in front of it that has lost its way."""
    await api.put(SERVICES, bare_service("a/p"))
    world = follow("Service")
    await world.until(lambda: api.watches(SERVICES))
    lost = {"now": True}

    def lose(request: web.Request) -> web.Response | None:
        return web.Response(status=404, text="default backend - 404") if lost["now"] else None

    api.answers.append(lose)
    asked = len(api.requests)
    await api.error(SERVICES, 410 if when == "list" else 500)
    await world.until(lambda: len(api.requests) > asked + 2)
    assert world.names("Service") == ["a/p"]
    assert world.present["Service"] is True
    assert "API server, services" in caplog.text
    lost["now"] = False
    await api.put(SERVICES, bare_service("a/q"))
    await world.until(lambda: world.names("Service") == ["a/p", "a/q"])


_NO_API_SERVER = [
    pytest.param((404, "default backend - 404"), id="404"),
    pytest.param((200, "{}"), id="empty"),
    pytest.param((200, '{"status": "ok"}'), id="greeting"),
    pytest.param((200, '{"metadata": [], "items": "none", "versions": {}, "resources": 1}'), id="absurd"),
    pytest.param((200, '{"metadata": {"resourceVersion": "1"}, "items": ["a"], "groups": [1]}'), id="no objects"),
]


@pytest.fixture
def _asked_anew(monkeypatch) -> None:
    monkeypatch.setattr(discovery, "KEEP_SECONDS", 0.0)


@pytest.mark.usefixtures("_asked_anew")
@pytest.mark.parametrize("answer", _NO_API_SERVER)
@pytest.mark.parametrize("when", ["list", "watch"])
async def test_whatever_answers_in_place_of_an_api_server_deletes_nothing(api, follow, when, answer, caplog):
    path = SUBNETS.format("v1")
    api.definitions["core.contrail.juniper.net"] = {"v1": ["subnets"]}
    api.collections[path] = {}
    await api.put(path, subnet("s"))
    await api.put(SERVICES, bare_service("a/p"))
    world = follow("Service", "Subnet")
    await world.until(lambda: api.watches(SERVICES) and api.watches(path))
    lost = {"now": True}

    def lose(request: web.Request) -> web.Response | None:
        status, text = answer
        return web.Response(status=status, text=text, content_type="application/json") if lost["now"] else None

    api.answers.append(lose)
    asked = len(api.requests)
    for one in (SERVICES, path):
        await api.error(one, 410 if when == "list" else 500)
    await world.until(lambda: len(api.requests) > asked + 8)
    assert world.names("Service") == ["a/p"]
    assert world.names("Subnet") == ["a/s"]
    assert world.present == {"Service": True, "Subnet": True}
    assert when == "watch" or "check what answers at" in caplog.text
    lost["now"] = False
    await api.put(SERVICES, bare_service("a/q"))
    await api.put(path, subnet("t"))
    await world.until(lambda: world.names("Service") == ["a/p", "a/q"] and world.names("Subnet") == ["a/s", "a/t"])


async def test_the_newest_version_that_serves_the_kind_is_taken(api, follow):
    api.definitions["core.contrail.juniper.net"] = {
        "v4": ["virtualnetworks"],
        "v2": ["subnets"],
        "v1alpha1": ["subnets"],
    }
    path = SUBNETS.format("v2")
    api.collections[path] = {}
    await api.put(path, subnet("s"))
    world = follow("Subnet")
    await world.until(lambda: world.names("Subnet") == ["a/s"])


async def test_a_broken_field_of_a_subnet_is_told_and_stops_no_other(api, follow, caplog):
    path = SUBNETS.format("v1")
    api.definitions["core.contrail.juniper.net"] = {"v1": ["subnets"]}
    api.collections[path] = {}
    await api.put(path, subnet("s"))
    world = follow("Subnet")
    await world.until(lambda: api.watches(path))
    await api.put(path, subnet("s", cidr=24))
    await api.put(path, subnet("t"))
    await world.until(lambda: world.names("Subnet") == ["a/s", "a/t"])
    broken = world.facts["Subnet"]["a/s"]
    assert (broken.cidr, broken.malformed) == ("", (("spec.cidr", "24 is not a string (quote it)"),))
    assert "Subnet a/s, spec.cidr: 24 is not a string" in caplog.text
    await api.error(path, 410)
    await world.until(lambda: world.listed["Subnet"] == 2)
    assert world.names("Subnet") == ["a/s", "a/t"]


async def test_a_broken_object_stops_no_other_and_keeps_its_last_good_state(api, follow, caplog):
    await api.put(SERVICES, bare_service("a/s", type="LoadBalancer"))
    world = follow("Service")
    await world.until(lambda: api.watches(SERVICES))
    await api.put(SERVICES, bare_service("a/s", type=24))
    await api.put(SERVICES, bare_service("a/t"))
    await world.until(lambda: world.names("Service") == ["a/s", "a/t"])
    assert world.facts["Service"]["a/s"].type == "LoadBalancer"
    assert "Service a/s, spec.type: 24 is not a string" in caplog.text
    await api.error(SERVICES, 410)
    await world.until(lambda: world.listed["Service"] == 2)
    assert world.names("Service") == ["a/s", "a/t"]


async def test_an_api_server_that_starts_late_is_found(tmp_path):
    late = FakeApi()
    async with FakeApi() as first:
        config = first.kubeconfig()
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    port = int(config["clusters"][0]["cluster"]["server"].rpartition(":")[2])
    world, stop = World(), asyncio.Event()
    async with ApiConnection(path) as connection:
        source = ApiSource(connection, kinds=[BY_KIND["Service"]], settings=SETTINGS)
        task = asyncio.create_task(source.run(world, stop))
        await asyncio.sleep(0.1)
        assert not task.done()
        late.collections = {SERVICES: {}}
        late.port = port
        async with late:
            await late.put(SERVICES, bare_service("a/p"))
            await world.until(lambda: world.names("Service") == ["a/p"])
            stop.set()
            await asyncio.wait_for(task, DEADLINE)


NAMESPACES = "/api/v1/namespaces"


def kube_system(uid: str) -> dict[str, Any]:
    return {"metadata": {"name": "kube-system", "uid": uid}}


class Problems(ProblemLog):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def __call__(self, problem: BadInput) -> None:
        self.said.append(str(problem))


async def test_another_cluster_at_the_address_is_not_believed(api, tmp_path, monkeypatch):
    monkeypatch.setattr("ledgerlb.kube.api.source.CHECK_SECONDS", 0.0)
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(api.kubeconfig()))
    api.collections[NAMESPACES] = {}
    await api.put(NAMESPACES, kube_system("one"))
    await api.put(SERVICES, bare_service("a/p"))
    stop, world, problems = asyncio.Event(), World(), Problems()
    async with ApiConnection(path) as connection:
        source = ApiSource(connection, kinds=[BY_KIND["Service"]], settings=SETTINGS, problems=problems)
        assert await source.identify("", False) == "cluster:one"
        task = asyncio.create_task(source.run(world, stop))
        await world.until(lambda: world.names("Service") == ["a/p"])
        await api.put(NAMESPACES, kube_system("two"))
        api.collections[SERVICES].clear()
        before = len(world.batches)
        await api.error(SERVICES, 410)  # the watch ends, and the kind is listed again
        await world.until(lambda: any("another cluster answers" in line for line in problems.said))
        assert world.names("Service") == ["a/p"]
        assert len(world.batches) == before
        await api.put(NAMESPACES, kube_system("one"))
        await world.until(lambda: world.names("Service") == [])
        stop.set()
        await asyncio.wait_for(task, DEADLINE)
