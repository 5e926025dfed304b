"""Files that never end, never answer, or stand for more than memory holds."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.core.errors import InvalidManifest, InvalidSetting
from ledgerlb.kube.manifests.files import read_documents
from ledgerlb.kube.manifests.folder import ManifestFolder, ManifestSource
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.runtime import files, yaml_reader
from ledgerlb.runtime.settings import ProcessSettings, domain_settings
from ledgerlb.runtime.yaml_reader import CORE, KUBERNETES, YamlError, read_yaml
from ledgerlb.simulator.scenario import load_scenario
from tests.attacks.samples import MERGES

SERVICE = "kind: Service\nmetadata: {name: good, namespace: a}\nspec: {type: LoadBalancer}\n"
BOUND = 10.0
"""Seconds; each of these took for ever."""

ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def urandom(path: Path) -> None:
    path.symlink_to("/dev/urandom")


def terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def listener(path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    try:
        os.chdir(path.parent)  # the name of a socket is short
        sock.bind(path.name)
    finally:
        os.chdir(here)
        sock.close()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def outside(path: Path) -> None:
    secret = path.parent.parent / "secret.yaml"
    secret.write_text(SERVICE.replace("good", "secret"))
    path.symlink_to(secret)


def merges(path: Path) -> None:
    path.write_text(MERGES)


def aliases(path: Path) -> None:
    path.write_text(ALIASES)


def large(path: Path) -> None:
    with path.open("wb") as opened:
        opened.truncate(files.MAX_BYTES + 1)


def deep(path: Path) -> None:
    path.write_text("a: " + "[" * 100_000)


def many(path: Path) -> None:
    path.write_text("a: [" + "1," * 20_001 + "1]")


HOSTILE = [fifo, zero, urandom, terminal, listener, loop, outside, merges, aliases, large, deep, many]


@pytest.fixture(autouse=True)
def _bounded(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(yaml_reader, "MAX_VALUES", 20_000)
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 6 * BOUND, "it took too long"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "manifests"
    root.mkdir()
    return root


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))


def names(cluster: MemoryCluster) -> list[str]:
    return [entry["metadata"]["name"] for entry in cluster.list("Service")]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(BOUND):
        while not condition():
            await asyncio.sleep(0.01)


def test_the_merge_bomb_is_small():
    assert len(MERGES) < 500


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_file_of_a_folder_is_named_and_the_others_count(root, cluster, caplog, make):
    make(root / "bad.yaml")
    (root / "good.yaml").write_text(SERVICE)
    folder = ManifestFolder(root, cluster)
    folder.load()
    assert names(cluster) == ["good"]
    assert str(root / "bad.yaml") in caplog.text
    assert not folder.complete, "what the file should have held is unknown, so nothing may be taken for gone"


@pytest.mark.parametrize("make", [fifo, zero, listener, outside, merges], ids=lambda make: make.__name__)
def test_a_file_that_turns_hostile_keeps_what_it_held(root, cluster, make):
    (root / "good.yaml").write_text(SERVICE)
    folder = ManifestFolder(root, cluster)
    folder.load()
    (root / "good.yaml").unlink()
    make(root / "good.yaml")
    folder.load()
    assert names(cluster) == ["good"]


@pytest.mark.parametrize("make", [fifo, zero, listener, merges, large, deep], ids=lambda make: make.__name__)
def test_a_hostile_scenario_is_refused(root, make):
    make(root / "scenario.yaml")
    with pytest.raises(InvalidManifest):
        load_scenario(root / "scenario.yaml")


@pytest.mark.parametrize("make", [fifo, zero, listener, merges, aliases, large, deep], ids=lambda make: make.__name__)
def test_a_hostile_settings_file_is_refused(root, make):
    make(root / "settings.yaml")
    with pytest.raises(InvalidSetting):
        domain_settings(ProcessSettings(settings=root / "settings.yaml"), {})


def test_links_within_the_folder_are_followed_as_a_mounted_config_map_needs(root, cluster):
    (root / "..data").mkdir()
    (root / "..data" / "x.yaml").write_text(SERVICE)
    (root / "x.yaml").symlink_to("..data/x.yaml")
    ManifestFolder(root, cluster).load()
    assert names(cluster) == ["good"]


def test_a_linked_folder_is_a_folder(root, cluster, tmp_path):
    (root / "x.yaml").write_text(SERVICE)
    (tmp_path / "link").symlink_to(root)
    ManifestFolder(tmp_path / "link", cluster).load()
    assert names(cluster) == ["good"]


def test_a_file_that_becomes_a_fifo_between_the_look_and_the_opening_does_not_wait(root, monkeypatch):
    os.mkfifo(root / "x.yaml")
    (root / "y.yaml").write_text(SERVICE)
    regular, stat = (root / "y.yaml").stat(), Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **more: regular if path.name == "x.yaml" else stat(path, **more))
    with pytest.raises(InvalidManifest, match="not a regular file but a FIFO"):
        files.read_regular(root / "x.yaml")


def test_a_file_that_takes_too_long_is_given_up():
    now = iter(range(1_000_000))
    with pytest.raises(YamlError, match="takes more than 60 s"):
        list(read_yaml("a: [" + "1," * 40_000 + "1]", KUBERNETES, clock=lambda: float(next(now))))


def test_aliases_are_counted():
    text = "a: &a x\nb: [" + "*a," * (yaml_reader.MAX_ALIASES + 1) + "]"
    with pytest.raises(YamlError, match="aliases"):
        list(read_yaml(text, CORE))


def test_honest_merge_keys_still_work(root):
    text = "kind: Service\nmetadata: {name: m, labels: &l {a: '1', b: '2'}}\nspec: {selector: {<<: *l, b: '3'}}\n"
    (root / "x.yaml").write_text(text)
    (document,), problems = read_documents(root / "x.yaml")
    assert not problems
    assert document.obj["spec"]["selector"] == {"a": "1", "b": "3"}


def test_too_many_files_take_nothing_for_gone(root, cluster, monkeypatch, caplog):
    (root / "a.yaml").write_text(SERVICE)
    folder = ManifestFolder(root, cluster)
    folder.load()
    monkeypatch.setattr("ledgerlb.kube.manifests.folder.MAX_FILES", 3)
    (root / "a.yaml").unlink()
    for number in range(5):
        (root / f"{number}.yaml").write_text("")
    folder.load()
    assert names(cluster) == ["good"]
    assert "more than 3 files" in caplog.text


async def test_a_read_that_never_returns_holds_up_neither_the_loop_nor_a_stop(root, cluster, monkeypatch):
    """A network file system that does not answer: nothing can interrupt the call."""
    (root / "x.yaml").write_text(SERVICE)
    release, entered = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> bytes:
        entered.set()
        release.wait()
        return b""

    monkeypatch.setattr("ledgerlb.kube.manifests.files.read_regular", hang)
    stop = asyncio.Event()
    running = asyncio.create_task(ManifestSource(ManifestFolder(root, cluster)).run(lambda batch: None, stop))
    try:
        await until(entered.is_set)
        stop.set()
        await asyncio.wait_for(running, BOUND)
    finally:
        release.set()


@pytest.mark.parametrize("make", [fifo, zero], ids=lambda make: make.__name__)
def test_a_process_on_a_hostile_folder_serves_the_rest_and_ends_at_sigterm(root, tmp_path, make):
    make(root / "bad.yaml")
    (root / "good.yaml").write_text(SERVICE)
    command = [sys.executable, "-m", "ledgerlb.cli.main", "run", "--manifests", str(root)]
    log = f"sqlite://{tmp_path}/ledger.db"
    with subprocess.Popen(
        [*command, "--log", log], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
    ) as process:
        killer = threading.Timer(3 * BOUND, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "a/good" in line:
                    break
            assert any("a/good" in line for line in lines), lines
            process.send_signal(signal.SIGTERM)
            assert process.wait(BOUND) == 0
        finally:
            killer.cancel()
            process.kill()
