"""A real Kafka broker and a real Kubernetes API server in containers, for tests and benchmarks.

Every method blocks; call it from a thread (`asyncio.to_thread`) where an event loop must go on.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.support.certificates import ClusterKeys, make_cluster_keys
from tests.support.engine import Container, ContainerError, free_port, image_name

__all__ = ["ContainerError", "KafkaBroker", "KubeApiServer"]

_KEY_FOLDER = "/etc/kubernetes/pki"
_REQUEST_SECONDS = 10.0


class KafkaBroker:
    """One Kafka node (broker and controller), reached at `bootstrap`, an address that stays over stop and start.

    `properties` are further lines of server.properties, as {"message.max.bytes": "1000000"}.
    A `{bootstrap}` in a value becomes the address. `files` are copied into the container, by path; `ports` are further
    ports to publish {container port: port here}. `heap` are the JVM's memory options. `start_seconds` bounds each wait
    for the broker. With `beside`, the broker shares the network namespace of that API server and is reached there only,
    at 127.0.0.1:9092.
    """

    def __init__(
        self,
        *,
        properties: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
        ports: Mapping[int, int] | None = None,
        heap: str = "-Xms256m -Xmx256m",
        start_seconds: float = 60.0,
        beside: KubeApiServer | None = None,
    ) -> None:
        self._port = free_port() if beside is None else 9092
        self._is_published = beside is None
        self._start_seconds = start_seconds
        network: dict[str, Any] = {"ports": {9092: self._port, **(ports or {})}}
        if beside is not None:
            network = {"network_mode": beside.network_mode}
        settings = {
            "node.id": "1",
            "process.roles": "broker,controller",
            "listeners": "PLAINTEXT://:9092,CONTROLLER://localhost:9093",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.quorum.voters": "1@localhost:9093",
            "log.dirs": "/var/lib/kafka/data",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            **(properties or {}),
        }
        self._container = Container(
            "the Kafka broker",
            image_name("kafka"),
            files=dict(files or {}),
            environment={
                **{
                    _kafka_variable(name): value.replace("{bootstrap}", self.bootstrap)
                    for name, value in settings.items()
                },
                "KAFKA_HEAP_OPTS": heap,
            },
            **network,
        )

    @property
    def bootstrap(self) -> str:
        """The broker's address, "127.0.0.1:PORT"."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The broker's process id on this machine."""
        return self._container.pid

    def start(self) -> Self:
        """Start it and wait until it serves requests. Raises ContainerError, leaving nothing behind."""
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.stop)
            self._container.start()
            self._wait()
            on_failure.pop_all()
        return self

    def stop(self) -> None:
        """End it and remove it with its data."""
        self._container.remove()

    def stop_broker(self, *, seconds: int = 20) -> None:
        """Shut the broker down in order (killed after `seconds`); its data and its address stay."""
        self._container.engine.stop(timeout=seconds)

    def kill_broker(self) -> None:
        """End the broker with SIGKILL; its data and its address stay."""
        self._container.engine.kill()
        self._container.engine.wait(timeout=20)

    def start_broker(self) -> None:
        """Start it again on the same address with its data, and wait until it serves requests."""
        self._container.engine.start()
        self._wait()

    def pause_broker(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self._container.engine.pause()

    def resume_broker(self) -> None:
        """Let a frozen broker go on."""
        self._container.engine.unpause()

    def log_tail(self) -> str:
        """Give the last lines of the broker's log."""
        return self._container.log_tail()

    def _wait(self) -> None:
        self._container.wait(self._answers, "serving requests", self._start_seconds)

    def pin(self, cores: str) -> None:
        """Let the broker run on these cores only, such as "0" or "0-1"."""
        self._container.engine.update(cpuset_cpus=cores)

    def _answers(self) -> bool:
        if not self._is_published:
            return "Kafka Server started" in self._container.log_tail()
        # The port is open as soon as the container runs, so a connection proves nothing: an ApiVersions request
        # (key 18, version 0, correlation id 7, no client id) is answered only once the broker is up.
        with socket.create_connection(("127.0.0.1", self._port), timeout=2) as connection:
            connection.sendall(struct.pack(">ihhih", 10, 18, 0, 7, -1))
            reply = connection.recv(10)
        return len(reply) == 10 and struct.unpack(">iih", reply)[1:] == (7, 0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class KubeApiServer:
    """A kube-apiserver with an etcd of its own: RBAC on, anonymous off, Services of both address families.

    Nothing else of a cluster runs. So no controller makes EndpointSlices, default ServiceAccounts or finishes the
    deletion of a Namespace, and no kubelet runs a Pod: tests write those objects themselves. (The admission of Pods
    does not ask for a ServiceAccount, as nothing makes the default one.)

    `fsync=False` lets etcd acknowledge before data is on disk: faster, and not what a cluster does.
    `names` are further host names or addresses that its certificate is for. `arguments` are further
    command line arguments of kube-apiserver, `files` what they name, by path. `start_seconds` bounds the wait for
    readiness.
    """

    def __init__(
        self,
        *,
        fsync: bool = True,
        names: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        files: Mapping[str, bytes] | None = None,
        start_seconds: float = 90.0,
    ) -> None:
        self._port = free_port()
        self._start_seconds = start_seconds
        self._files = dict(files or {})
        self._keys = make_cluster_keys(
            ("127.0.0.1", "::1", "10.96.0.1", "localhost", "kubernetes", "kubernetes.default.svc", *names)
        )
        self._arguments = arguments
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        # Both share one network namespace, so etcd is reachable from the API server and from nowhere else;
        # the container that owns the namespace is the one to publish the port.
        self._etcd = Container(
            "etcd",
            image_name("etcd"),
            _etcd_command(fsync=fsync),
            ports={6443: self._port},
        )
        self._server: Container | None = None

    @property
    def url(self) -> str:
        """The server's address, "https://127.0.0.1:PORT"."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of etcd and kube-apiserver on this machine; raises ContainerError when it is not started."""
        if self._server is None:
            raise ContainerError("the API server is not started: it has no process")
        return {"etcd": self._etcd.pid, "kube-apiserver": self._server.pid}

    @property
    def network_mode(self) -> str:
        """The engine's name for the network namespace of etcd and the API server."""
        return f"container:{self._etcd.id}"

    def pin(self, cores: str) -> None:
        """Let etcd and the API server run on these cores only, such as "0" or "0-1"."""
        for container in (self._etcd, self._server):
            if container is not None:
                container.engine.update(cpuset_cpus=cores)

    @property
    def kubeconfig(self) -> str:
        """A kubeconfig (YAML) of an administrator, with certificates and key in it."""
        return self._kubeconfig(
            {
                "client-certificate-data": _base64(self._keys.admin.public),
                "client-key-data": _base64(self._keys.admin.key),
            }
        )

    @property
    def kubeconfig_path(self) -> Path:
        """A file with `kubeconfig`, there as long as the server runs. Raises ContainerError when it does not."""
        if self._folder is None:
            raise ContainerError("the API server is not started: it has no kubeconfig file yet")
        return Path(self._folder.name) / "kubeconfig"

    def token_kubeconfig(self, token: str) -> str:
        """Give a kubeconfig (YAML) that authenticates with a bearer token, as a ServiceAccount does."""
        return self._kubeconfig({"token": token})

    def start(self) -> Self:
        """Start both and wait until the server is ready. Raises ContainerError, leaving nothing behind."""
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.stop)
            self._write_files()
            self._etcd.start()
            self._server = Container(
                "the API server",
                image_name("kube-apiserver"),
                [*_server_command(), *self._arguments],
                files={**_key_files(self._keys), **self._files},
                network_mode=self.network_mode,
            )
            self._server.start()
            self._server.wait(self._is_ready, "ready", self._start_seconds)
            on_failure.pop_all()
        return self

    def stop(self) -> None:
        """End and remove both with their data."""
        if self._server is not None:
            self._server.remove()
        self._etcd.remove()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Send one request as the administrator; gives the status and the decoded answer (text if not JSON)."""
        content = None if body is None else json.dumps(body)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=_REQUEST_SECONDS, context=self._tls())
        with contextlib.closing(connection):
            connection.request(method, path, content, {"Content-Type": kind, "Accept": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text

    def service_account_token(self, namespace: str, name: str) -> str:
        """Ask for a token of a ServiceAccount that exists (TokenRequest, one hour). Raises ContainerError."""
        status, answer = self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}},
        )
        if status != http.HTTPStatus.CREATED:
            raise ContainerError(f"no token for ServiceAccount {namespace}/{name}: status {status}: {answer}")
        return str(answer["status"]["token"])

    def log_tail(self) -> str:
        """Give the last lines of the API server's log."""
        return "(not started)" if self._server is None else self._server.log_tail()

    def printed(self) -> str:
        """Everything that the API server wrote to its standard output (its log goes elsewhere)."""
        if self._server is None:
            raise ContainerError("the API server is not started: it has printed nothing")
        return str(self._server.engine.logs(stdout=True, stderr=False).decode())

    def _write_files(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ledgerlb-kubeconfig-")
        for name, content in (
            ("kubeconfig", self.kubeconfig.encode()),
            ("admin.crt", self._keys.admin.public),
            ("admin.key", self._keys.admin.key),
        ):
            (Path(self._folder.name) / name).write_bytes(content)

    def _kubeconfig(self, user: Mapping[str, str]) -> str:
        cluster = {"server": self.url, "certificate-authority-data": _base64(self._keys.authority)}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": dict(user)}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "current-context": "test",
            }
        )

    def _tls(self) -> ssl.SSLContext:
        folder = self.kubeconfig_path.parent
        context = ssl.create_default_context(cadata=self._keys.authority.decode())
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        return context

    def _is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == http.HTTPStatus.OK
        except http.client.HTTPException as error:
            raise OSError(f"no proper answer: {error!r}") from error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _kafka_variable(name: str) -> str:
    return "KAFKA_" + name.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def _etcd_command(*, fsync: bool) -> list[str]:
    address = "http://127.0.0.1:2379"
    return [
        "etcd",
        "--data-dir=/var/lib/etcd",
        f"--listen-client-urls={address}",
        f"--advertise-client-urls={address}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--log-level=warn",
        *(() if fsync else ("--unsafe-no-fsync",)),
    ]


def _server_command() -> list[str]:
    return [
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=6443",
        f"--tls-cert-file={_KEY_FOLDER}/server.crt",
        f"--tls-private-key-file={_KEY_FOLDER}/server.key",
        f"--client-ca-file={_KEY_FOLDER}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={_KEY_FOLDER}/sa.pub",
        f"--service-account-signing-key-file={_KEY_FOLDER}/sa.key",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/108",
        "--disable-admission-plugins=ServiceAccount",
    ]


def _key_files(keys: ClusterKeys) -> dict[str, bytes]:
    return {
        f"{_KEY_FOLDER}/ca.crt": keys.authority,
        f"{_KEY_FOLDER}/server.crt": keys.server.public,
        f"{_KEY_FOLDER}/server.key": keys.server.key,
        f"{_KEY_FOLDER}/sa.pub": keys.token_signer.public,
        f"{_KEY_FOLDER}/sa.key": keys.token_signer.key,
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
