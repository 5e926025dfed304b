"""What the API writer sends, and what it makes of each answer; the API server is a stub on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes_asyncio.client import ApiClient, Configuration

from ledgerlb.core.cluster.facts import FINALIZER, ServiceFact
from ledgerlb.core.errors import ClusterRefused, ClusterUnavailable, NotSupported
from ledgerlb.kube.api import writer as writer_api
from ledgerlb.kube.api.refusals import ApiUnavailable
from ledgerlb.kube.api.writer import CONFLICT_TRIES, ApiWriter
from ledgerlb.kube.writer import Write, service_write

SERVICE = ServiceFact(namespace="a", name="web", uid="u1")


class Stub:
    """Answers from a list of (status, body, headers); then 200 with an object."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object, dict[str, str]]] = []
        self.requests: list[tuple[str, str, dict, str, dict]] = []

    def says(self, status: int, body: object = None, **headers: str) -> None:
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    async def handle(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text() or "null")
        kind = request.headers["Content-Type"]
        self.requests.append((request.method, request.path, dict(request.query), kind, body))
        status, answer, headers = self.answers.pop(0) if self.answers else (200, {"kind": "Service"}, {})
        if isinstance(answer, bytes):
            return web.Response(status=status, body=answer, headers=headers)
        return web.json_response(answer or {"message": f"status {status}"}, status=status, headers=headers)


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
async def writer(stub: Stub, monkeypatch) -> AsyncIterator[ApiWriter]:
    monkeypatch.setattr(writer_api, "_CONFLICT_WAIT", 0.0)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    configuration = Configuration(host=str(server.make_url("")).rstrip("/"))
    configuration.api_key = {"BearerToken": "Bearer t"}
    client = ApiClient(configuration)
    yield ApiWriter(client, timeout=2.0)
    await client.close()
    await server.close()


async def test_a_finalizer_is_a_strategic_patch_with_the_uid_as_precondition(stub, writer):
    await writer.write(service_write(SERVICE, finalizer=True))
    await writer.write(service_write(SERVICE, finalizer=False))
    assert stub.requests[0] == (
        "PATCH",
        "/api/v1/namespaces/a/services/web/status",
        {"fieldManager": "ledgerlb"},
        "application/strategic-merge-patch+json",
        {"metadata": {"finalizers": [FINALIZER], "uid": "u1"}},
    )
    assert stub.requests[1][4]["metadata"]["$deleteFromPrimitiveList/finalizers"] == [FINALIZER]


async def test_a_status_goes_to_the_subresource_and_touches_no_spec(stub, writer):
    await writer.write(service_write(SERVICE, ("192.0.2.1",), ()))
    method, path, _, _, body = stub.requests[0]
    assert (method, path) == ("PATCH", "/api/v1/namespaces/a/services/web/status")
    assert body == {
        "metadata": {"uid": "u1"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}},
    }


async def test_finalizer_and_status_are_one_request(stub, writer):
    await writer.write(service_write(SERVICE, ("192.0.2.1",), finalizer=True))
    await writer.write(service_write(SERVICE, (), dropped=["ledgerlb.io/X"], finalizer=False))
    assert [path for _, path, *_ in stub.requests] == ["/api/v1/namespaces/a/services/web/status"] * 2
    assert stub.requests[0][4] == {
        "metadata": {"finalizers": [FINALIZER], "uid": "u1"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}},
    }
    assert stub.requests[1][4] == {
        "metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER], "uid": "u1"},
        "status": {
            "loadBalancer": {"ingress": None},
            "conditions": [{"$patch": "delete", "type": "ledgerlb.io/X"}],
        },
    }


async def test_create_and_delete(stub, writer):
    await writer.write(Write("Event", "a", "e", "create", {"kind": "Event"}))
    await writer.write(Write("Service", "a", "web", "delete", {}, "u1"))
    assert [(r[0], r[1]) for r in stub.requests] == [
        ("POST", "/api/v1/namespaces/a/events"),
        ("DELETE", "/api/v1/namespaces/a/services/web"),
    ]
    assert stub.requests[1][4] == {"preconditions": {"uid": "u1"}}


async def test_a_conflict_is_tried_again_with_the_same_patch(stub, writer):
    stub.says(409)
    stub.says(409)
    assert await writer.write(service_write(SERVICE, finalizer=True)) == {"kind": "Service"}
    assert len(stub.requests) == 3
    assert stub.requests[0] == stub.requests[2]


async def test_conflicts_without_end_are_given_back(stub, writer):
    for _ in range(CONFLICT_TRIES):
        stub.says(409)
    with pytest.raises(ClusterUnavailable, match="other clients changed it"):
        await writer.write(service_write(SERVICE, finalizer=True))
    assert len(stub.requests) == CONFLICT_TRIES


async def test_absent_and_already_there_are_none(stub, writer):
    stub.says(404)
    assert await writer.write(service_write(SERVICE, finalizer=True)) is None
    stub.says(422, {"message": "m", "details": {"causes": [{"field": "metadata.uid"}]}})
    assert await writer.write(service_write(SERVICE, finalizer=True)) is None
    stub.says(409, {"reason": "AlreadyExists"})
    assert await writer.write(Write("Event", "a", "e", "create", {})) is None


@pytest.mark.parametrize("status", [400, 403, 405, 422])
async def test_a_refusal_names_object_and_cause(stub, writer, status):
    stub.says(status, {"message": "the webhook says no"})
    with pytest.raises(ClusterRefused, match="Service a/web: the webhook says no"):
        await writer.write(service_write(SERVICE, finalizer=True))
    assert len(stub.requests) == 1


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_no_usable_answer_is_unavailable(stub, writer, status):
    stub.says(status, None, Retry_After="7")
    with pytest.raises(ApiUnavailable) as caught:
        await writer.write(service_write(SERVICE, finalizer=True))
    assert caught.value.retry_after == 7.0


async def test_addresses_on_what_ceased_to_be_a_load_balancer_are_no_refusal(stub, writer):
    cause = {"field": "status.loadBalancer.ingress", "reason": "FieldValueForbidden"}
    stub.says(422, {"message": "may only be used when type is LoadBalancer", "details": {"causes": [cause]}})
    with pytest.raises(ApiUnavailable, match="Service a/web: may only be used"):
        await writer.write(service_write(SERVICE, ("192.0.2.1",), ()))
    stub.says(422, {"message": "no address", "details": {"causes": [{**cause, "reason": "FieldValueInvalid"}]}})
    with pytest.raises(ClusterRefused, match="no address"):
        await writer.write(service_write(SERVICE, ("192.0.2.1",), ()))


async def test_a_finalizer_on_what_began_to_be_deleted_is_no_refusal(stub, writer):
    cause = {"field": "metadata.finalizers", "reason": "FieldValueForbidden"}
    stub.says(422, {"message": "no new finalizers can be added", "details": {"causes": [cause]}})
    with pytest.raises(ApiUnavailable, match="Service a/web: no new finalizers"):
        await writer.write(service_write(SERVICE, ("192.0.2.1",), finalizer=True))


async def test_an_answer_that_is_no_json_is_unavailable(stub, writer):
    stub.says(200, b"<html>")
    with pytest.raises(ApiUnavailable, match="not JSON"):
        await writer.write(service_write(SERVICE, finalizer=True))
    stub.says(502, b"bad gateway")
    with pytest.raises(ApiUnavailable):
        await writer.write(service_write(SERVICE, finalizer=True))
    stub.says(403, b"proxy says no")
    with pytest.raises(ClusterRefused, match="proxy says no"):
        await writer.write(service_write(SERVICE, finalizer=True))


async def test_a_server_that_is_not_there_is_unavailable(writer):
    writer._client.configuration.host = "http://127.0.0.1:1"
    with pytest.raises(ApiUnavailable, match="Service a/web: no answer"):
        await writer.write(service_write(SERVICE, finalizer=True))


async def test_a_kind_that_is_not_written_says_so(writer):
    with pytest.raises(NotSupported, match="VirtualNetwork"):
        await writer.write(Write("VirtualNetwork", "a", "b", "delete", {}))


async def test_a_custom_resource_is_written_under_the_version_that_is_served(stub, writer):
    body = {"apiVersion": "core.contrail.juniper.net/v3", "kind": "FloatingIP", "metadata": {"name": "f"}}
    root = "/apis/core.contrail.juniper.net/v3/floatingips"
    await writer.write(Write("FloatingIP", "", "f", "create", body, version="v3"))
    await writer.write(Write("FloatingIP", "", "f", "patch", {"spec": {"a": None}}, "u1", "v3"))
    await writer.write(Write("FloatingIP", "", "f", "delete", {}, "u1", "v3"))
    assert stub.requests == [
        ("POST", root, {"fieldManager": "ledgerlb"}, "application/json", body),
        (
            "PATCH",
            f"{root}/f",
            {"fieldManager": "ledgerlb"},
            "application/merge-patch+json",
            {"spec": {"a": None}, "metadata": {"uid": "u1"}},
        ),
        ("DELETE", f"{root}/f", {}, "application/json", {"preconditions": {"uid": "u1"}}),
    ]


async def test_our_metadata_is_applied_by_the_server_and_an_object_that_is_gone_is_not_made(stub, writer):
    body = {"metadata": {"finalizers": ["ledgerlb.io/f"]}}
    write = Write("NetworkAttachmentDefinition", "a", "n", "apply-metadata", body, "u1", "v1")
    stub.says(409, {"message": "no existing object was found"})
    assert await writer.write(write) is None
    assert stub.requests == [
        (
            "PATCH",
            "/apis/k8s.cni.cncf.io/v1/namespaces/a/network-attachment-definitions/n",
            {"fieldManager": "ledgerlb", "force": "true"},
            "application/apply-patch+yaml",
            {
                "apiVersion": "k8s.cni.cncf.io/v1",
                "kind": "NetworkAttachmentDefinition",
                "metadata": {"finalizers": ["ledgerlb.io/f"], "namespace": "a", "name": "n", "uid": "u1"},
            },
        )
    ]
