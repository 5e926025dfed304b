"""What the containers of the tests have in common: image names, loopback ports, waiting, and being cleaned up.

Containers publish their ports on 127.0.0.1 only. They are removed when they are stopped, when this process exits, and,
if it was killed, by the next process on this machine that starts one. (testcontainers' own reaper is a container from
a public registry, which a machine without one could not run.)
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import platform
import random
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import docker  # type: ignore[import-untyped]
import docker.errors  # type: ignore[import-untyped]
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

testcontainers_config.ryuk_disabled = True

_ROOT = Path(__file__).resolve().parents[2]
_OWNER_LABEL = "ledgerlb.tests.owner"
_LOG_TAIL_LINES = 40
_PULL_SECONDS = 700
_POLL_SECONDS = 0.05
# Below the range from which the kernel takes ports for outgoing connections: such a port cannot be lost to one
# of those while a broker is stopped and to be started again.
_PORTS = range(17000, 30000)


class ContainerError(RuntimeError):
    """A container could not be started or did not become ready; the message says which and why."""


@functools.cache
def image_name(kind: str) -> str:
    """Name the image for `kind` (kafka, etcd, kube-apiserver); it is present afterwards.

    Raises ContainerError with the remedy when it is neither present nor to be had.
    """
    script = _ROOT / "scripts" / "image-name.sh"
    try:
        done = subprocess.run([str(script), kind], capture_output=True, text=True, check=True, timeout=_PULL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        raise ContainerError(f"no image name for {kind}: {script} failed: {error}") from error
    name = done.stdout.strip()
    with _client() as client:
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            raise ContainerError(f"the image {name} is not present: run scripts/build-images.sh {kind}") from None
    return name


def free_port() -> int:
    """Choose a loopback TCP port that nothing listens on now and that outgoing connections do not take."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ContainerError(f"200 ports tried between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1, all of them taken")


class Container:
    """One container: a name for messages, an image, a command, and loopback ports {container port: host port}."""

    def __init__(self, name: str, image: str, command: list[str] | None = None, **options: Any) -> None:
        self.name = name
        self._options = options
        self._ports: dict[int, int] = options.pop("ports", {})
        self._files: dict[str, bytes] = options.pop("files", {})
        self._environment: dict[str, str] = options.pop("environment", {})
        self._image, self._command = image, command
        self._container: DockerContainer | None = None

    def start(self) -> Self:
        """Create and start it. Raises ContainerError, also when another process holds one of its ports."""
        _remove_orphans()
        container = DockerContainer(self._image, env=dict(self._environment))
        if self._command:
            container.with_command(self._command)
        for path, content in self._files.items():
            container.with_copy_into_container(content, path, 0o644)
        # The wrapper's own way to publish a port has no address and would open it on every interface.
        published = cast("dict[str, Any]", container.ports)
        published.update({f"{inside}/tcp": ("127.0.0.1", outside) for inside, outside in self._ports.items()})
        container.with_kwargs(labels={_OWNER_LABEL: _owner()}, **self._options)
        self._container = container
        _live.append(self)
        try:
            container.start()
        except (docker.errors.DockerException, OSError) as error:
            self.remove()
            raise ContainerError(f"{self.name} ({self._image}) could not be started: {error}") from error
        return self

    def remove(self) -> None:
        """End it at once and remove it with its data; harmless when it was never started."""
        container, self._container = self._container, None
        if self in _live:
            _live.remove(self)
        if container is not None:
            with contextlib.suppress(docker.errors.NotFound):
                container.stop()

    @property
    def engine(self) -> Any:
        """The engine's own object for this container, with stop(), start(), pause(), unpause(), kill()."""
        if self._container is None:
            raise ContainerError(f"{self.name} is not started")
        return self._container.get_wrapped_container()

    @property
    def id(self) -> str:
        """The engine's identifier of this container."""
        return str(self.engine.id)

    @property
    def pid(self) -> int:
        """The process id of its first process on this machine; 0 when it is not running."""
        engine = self.engine
        engine.reload()
        return int(engine.attrs["State"]["Pid"])

    def log_tail(self) -> str:
        """Give the last lines that it printed."""
        try:
            return str(self.engine.logs(tail=_LOG_TAIL_LINES).decode(errors="replace")).rstrip()
        except (docker.errors.DockerException, ContainerError) as error:
            return f"(no log: {error})"

    def wait(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until `ready()` is true; what it raises as OSError counts as not ready.

        Raises ContainerError with the end of the log when the container ends or `seconds` pass.
        """
        deadline = time.monotonic() + seconds
        reason = "it answered, but not as expected"
        while True:
            try:
                if ready():
                    return
            except OSError as error:
                reason = str(error)
            self.engine.reload()
            status = str(self.engine.status)
            if status not in {"running", "created"}:
                raise ContainerError(f"{self.name} is {status} instead of {what}; its log ends:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ContainerError(
                    f"{self.name} was not {what} within {seconds:g} s ({reason}); its log ends:\n{self.log_tail()}"
                )
            time.sleep(_POLL_SECONDS)


_live: list[Container] = []


@atexit.register
def _remove_live() -> None:
    for container in _live.copy():
        with contextlib.suppress(Exception):
            container.remove()


def _client() -> contextlib.closing[Any]:
    try:
        return contextlib.closing(docker.from_env())
    except docker.errors.DockerException as error:
        raise ContainerError(f"no Docker engine answers ({error}): run scripts/docker-engine.sh ensure") from error


@functools.cache
def _owner() -> str:
    return _owner_of(os.getpid())


def _owner_of(pid: int) -> str:
    """Name a process so that no later one on this machine has the same name: host, boot, pid, start time."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The program's name, in parentheses, may hold spaces; the start time is the 20th field after it.
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        boot, started = "unknown", "0"
    return f"{platform.node()}/{boot}/{pid}/{started}"


@functools.cache
def _remove_orphans() -> None:
    """Remove, once per process, the containers of processes on this machine that have ended."""
    own = _owner().split("/")
    if own[1] == "unknown":
        return
    with _client() as client:
        for container in client.containers.list(all=True, filters={"label": _OWNER_LABEL}):
            owner = str(container.labels[_OWNER_LABEL]).split("/")
            if owner[0] != own[0] or len(owner) != len(own):
                continue
            if owner[1] != own[1] or _owner_of(int(owner[2])).split("/")[3] != owner[3]:
                with contextlib.suppress(docker.errors.DockerException):
                    container.remove(force=True, v=True)
