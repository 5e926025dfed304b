"""The broker and the API server that the integration tests run against are what those tests take them for."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker  # type: ignore[import-untyped]
import docker.errors  # type: ignore[import-untyped]
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from kubernetes_asyncio import client, config

from tests.support import engine
from tests.support.containers import ContainerError, KafkaBroker, KubeApiServer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as started:
        yield started


@pytest.fixture(scope="module")
def api_server() -> Iterator[KubeApiServer]:
    with KubeApiServer() as started:
        yield started


async def create_topic(broker: KafkaBroker, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def list_topics(broker: KafkaBroker) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        return list(await admin.list_topics())
    finally:
        await admin.close()


async def read_all(broker: KafkaBroker, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_a_running_producer_outlives_a_stopped_broker_and_nothing_is_lost(broker: KafkaBroker) -> None:
    address = broker.bootstrap
    await create_topic(broker, "stopped")
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all", request_timeout_ms=60_000) as producer:
        await producer.send_and_wait("stopped", b"before", partition=0)
        await asyncio.to_thread(broker.stop_broker)
        during = asyncio.create_task(producer.send_and_wait("stopped", b"during", partition=0))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(during), 1)
        await asyncio.to_thread(broker.start_broker)
        async with asyncio.timeout(60):
            await during
    assert broker.bootstrap == address
    assert await read_all(broker, "stopped", 2) == [b"before", b"during"]


async def test_records_outlive_a_killed_broker(broker: KafkaBroker) -> None:
    await create_topic(broker, "killed")
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        await producer.send_and_wait("killed", b"kept", partition=0)
    await asyncio.to_thread(broker.kill_broker)
    await asyncio.to_thread(broker.start_broker)
    assert await read_all(broker, "killed", 1) == [b"kept"]


async def test_a_paused_broker_answers_nothing_until_it_is_resumed(broker: KafkaBroker) -> None:
    await create_topic(broker, "paused")
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        await producer.send_and_wait("paused", b"first", partition=0)
        await asyncio.to_thread(broker.pause_broker)
        try:
            sent = asyncio.create_task(producer.send_and_wait("paused", b"second", partition=0))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(sent), 1)
        finally:
            await asyncio.to_thread(broker.resume_broker)
        async with asyncio.timeout(30):
            await sent
    assert await read_all(broker, "paused", 2) == [b"first", b"second"]


async def test_a_topic_comes_into_being_only_by_being_created(broker: KafkaBroker) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, request_timeout_ms=1500)
    await producer.start()
    try:
        with pytest.raises(KafkaError):
            await producer.send_and_wait("never-created", b"x")
    finally:
        await producer.stop()
    assert "never-created" not in await list_topics(broker)


def test_a_broker_that_cannot_start_says_why_and_leaves_nothing_behind() -> None:
    before = owned_containers()
    with pytest.raises(ContainerError, match=r"(?s)the Kafka broker is exited.*juggler"):
        KafkaBroker(properties={"process.roles": "juggler"}).start()
    assert owned_containers() == before


def test_ports_are_published_on_the_loopback_address_only(broker: KafkaBroker, api_server: KubeApiServer) -> None:
    with engine._client() as docker_client:
        published = [
            binding["HostIp"]
            for container in docker_client.containers.list(filters={"label": engine._OWNER_LABEL})
            if container.labels[engine._OWNER_LABEL] == engine._owner()
            for bindings in container.ports.values()
            for binding in bindings or []
        ]
    assert len(published) >= 2
    assert set(published) == {"127.0.0.1"}


def test_the_api_server_is_of_the_release_that_is_tested_against(api_server: KubeApiServer) -> None:
    status, version = api_server.request("GET", "/version")
    assert status == 200
    assert version["gitVersion"] == "v1.36.3"


async def test_a_service_gets_cluster_addresses_of_both_families(api_server: KubeApiServer) -> None:
    async with await config.new_client_from_config(str(api_server.kubeconfig_path)) as connection:
        service = await client.CoreV1Api(connection).create_namespaced_service(
            "default",
            client.V1Service(
                metadata=client.V1ObjectMeta(name="dual"),
                spec=client.V1ServiceSpec(
                    type="LoadBalancer",
                    ip_family_policy="RequireDualStack",
                    ports=[client.V1ServicePort(port=80)],
                ),
            ),
        )
    assert service.spec.ip_families == ["IPv4", "IPv6"]
    four, six = service.spec.cluster_ips
    assert ipaddress.ip_address(four) in ipaddress.ip_network("10.96.0.0/16")
    assert ipaddress.ip_address(six) in ipaddress.ip_network("fd00:96::/108")


def test_a_pod_can_be_created_although_nothing_makes_default_service_accounts(api_server: KubeApiServer) -> None:
    pod = {"metadata": {"name": "lone"}, "spec": {"containers": [{"name": "c", "image": "none.local/none"}]}}
    assert api_server.request("POST", "/api/v1/namespaces/default/pods", pod)[0] == 201


async def test_a_service_account_may_do_what_its_role_allows_and_no_more(api_server: KubeApiServer) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    assert api_server.request("POST", accounts, {"metadata": {"name": "reader"}})[0] == 201
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = {
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}],
    }
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "reader"}],
    }
    assert api_server.request("POST", f"{rbac}/clusterroles", role)[0] == 201
    assert api_server.request("POST", f"{rbac}/clusterrolebindings", binding)[0] == 201

    token = await asyncio.to_thread(api_server.service_account_token, "default", "reader")
    settings = yaml.safe_load(api_server.token_kubeconfig(token))
    async with await config.new_client_from_config_dict(settings) as connection:
        api = client.CoreV1Api(connection)
        async with asyncio.timeout(30):
            await wait_until_allowed(api)
        with pytest.raises(client.ApiException) as refused:
            await api.list_namespaced_secret("default")
    assert refused.value.status == 403


async def wait_until_allowed(api: client.CoreV1Api) -> None:
    """The authorizer learns of a new binding by its own watch, so the first requests may be refused."""
    while True:
        try:
            await api.list_namespaced_service("default")
        except client.ApiException as error:
            if error.status != 403:
                raise
            await asyncio.sleep(0.05)
        else:
            return


def test_who_does_not_say_who_they_are_is_refused(api_server: KubeApiServer) -> None:
    cluster = yaml.safe_load(api_server.kubeconfig)["clusters"][0]["cluster"]
    trusted = ssl.create_default_context()
    trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{cluster['server']}/api/v1/services", context=trusted, timeout=10)
    assert refused.value.code == 401


def test_an_api_server_that_cannot_start_says_why_and_leaves_nothing_behind() -> None:
    before = owned_containers()
    server = KubeApiServer(arguments=("--no-such-flag",))
    with pytest.raises(ContainerError, match=r"(?s)the API server is exited.*no-such-flag"):
        server.start()
    assert owned_containers() == before
    with pytest.raises(ContainerError, match="no kubeconfig file"):
        _ = server.kubeconfig_path


def test_containers_of_a_killed_process_are_removed_by_the_next_one() -> None:
    code = (
        "import sys\n"
        "from tests.support.engine import Container, image_name\n"
        "print(Container('etcd', image_name('etcd'), ['etcd']).start().id, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        identifier = process.stdout.readline().strip()  # type: ignore[union-attr]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    with engine._client() as docker_client:
        assert docker_client.containers.get(identifier).status == "running"
        engine._remove_orphans.cache_clear()
        engine._remove_orphans()
        with pytest.raises(docker.errors.NotFound):
            docker_client.containers.get(identifier)


def owned_containers() -> set[str]:
    """Identifiers of the containers of this process, running or not."""
    with engine._client() as docker_client:
        return {
            container.id
            for container in docker_client.containers.list(all=True, filters={"label": engine._OWNER_LABEL})
            if container.labels[engine._OWNER_LABEL] == engine._owner()
        }
