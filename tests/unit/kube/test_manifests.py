"""A folder of manifests: its changes are followed, and what is broken in it stops nothing else."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledgerlb.core.cluster.facts import FINALIZER
from ledgerlb.core.errors import InvalidManifest
from ledgerlb.kube.manifests.files import read_documents
from ledgerlb.kube.manifests.folder import ManifestFolder, ManifestSource
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.source import Batch
from tests.builders.objects import bare_service

DEADLINE = 10.0


def manifest(name: str, address: object = "") -> str:
    """The text of a Service in namespace a."""
    requested = {"loadBalancerIP": address} if address != "" else {}
    return "\n" + yaml.safe_dump(bare_service(f"a/{name}", **requested))


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def folder(tmp_path: Path, cluster: MemoryCluster) -> ManifestFolder:
    root = tmp_path / "manifests"
    root.mkdir()
    return ManifestFolder(root, cluster, poll=0.02)


@pytest.fixture
async def following(folder: ManifestFolder) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(folder.run(stop))
    yield
    stop.set()
    await asyncio.wait_for(task, DEADLINE)


def names(cluster: MemoryCluster) -> list[str]:
    return [entry["metadata"]["name"] for entry in cluster.list("Service")]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(content.encode() if isinstance(content, str) else content)
    draft.rename(path)


def test_every_form_of_file_is_read(folder, cluster):
    write(folder.root / "one.yaml", manifest("p") + "---" + manifest("q") + "---\n# nothing\n---\n")
    write(folder.root / "deep" / "two.yml", manifest("r"))
    objects = [{"kind": "Service", "metadata": {"name": name, "namespace": "a"}} for name in ("s", "t")]
    write(folder.root / "three.json", json.dumps({"kind": "List", "apiVersion": "v1", "items": objects}))
    write(folder.root / "four.json", json.dumps({"kind": "Service", "metadata": {"name": "u", "namespace": "a"}}))
    write(folder.root / "five.txt", manifest("v"))
    write(folder.root / ".hidden" / "six.yaml", manifest("w"))
    assert folder.load() == 6
    assert names(cluster) == ["p", "q", "r", "s", "t", "u"]
    assert folder.load() == 0


def test_one_file_may_be_the_folder(tmp_path, cluster):
    write(tmp_path / "one.yaml", manifest("p"))
    write(tmp_path / "two.yaml", manifest("q"))
    ManifestFolder(tmp_path / "one.yaml", cluster).load()
    assert names(cluster) == ["p"]


def test_dates_stay_text(folder, cluster):
    write(
        folder.root / "one.yaml",
        manifest("p") + "---\nkind: Namespace\nmetadata: {name: n, creationTimestamp: 2020-01-01T00:00:00Z}\n",
    )
    folder.load()
    assert cluster.get("Namespace", "", "n")["metadata"]["creationTimestamp"] == "2020-01-01T00:00:00Z"


def test_age_comes_from_the_file_so_that_a_restart_does_not_change_it(folder, cluster):
    write(folder.root / "one.yaml", manifest("p"))
    os.utime(folder.root / "one.yaml", (1_600_000_000, 1_600_000_000))
    folder.load()
    assert cluster.get("Service", "a", "p")["metadata"]["creationTimestamp"] == "2020-09-13T12:26:40Z"


async def test_changes_are_followed(folder, cluster, following):
    write(folder.root / "one.yaml", manifest("p") + "---" + manifest("q"))
    await until(lambda: names(cluster) == ["p", "q"])
    uid = cluster.get("Service", "a", "p")["metadata"]["uid"]
    write(folder.root / "one.yaml", manifest("p", "192.0.2.7"))
    await until(lambda: names(cluster) == ["p"])
    assert cluster.get("Service", "a", "p")["spec"]["loadBalancerIP"] == "192.0.2.7"
    assert cluster.get("Service", "a", "p")["metadata"]["uid"] == uid
    write(folder.root / "two.yaml", manifest("r"))
    await until(lambda: names(cluster) == ["p", "r"])
    (folder.root / "one.yaml").unlink()
    await until(lambda: names(cluster) == ["r"])


async def test_an_object_may_move_to_another_file(folder, cluster, following):
    write(folder.root / "one.yaml", manifest("p"))
    await until(lambda: names(cluster) == ["p"])
    uid = cluster.get("Service", "a", "p")["metadata"]["uid"]
    write(folder.root / "two.yaml", manifest("p"))
    (folder.root / "one.yaml").unlink()
    write(folder.root / "three.yaml", manifest("q"))
    await until(lambda: names(cluster) == ["p", "q"])
    assert cluster.get("Service", "a", "p")["metadata"]["uid"] == uid


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("kind: [Service\nmetadata: {", "invalid YAML"),
        ("kind: Service\n\tmetadata: x", "invalid YAML"),
        (b"\xff\xfe\xfa", "invalid YAML"),
        ("a: *unknown", "invalid YAML"),
        ("!!python/object:os.system {}", "is not supported"),
    ],
)
@pytest.mark.usefixtures("following")
async def test_a_file_that_is_no_yaml_keeps_its_last_good_content(folder, cluster, caplog, broken, said):
    write(folder.root / "one.yaml", manifest("p"))
    await until(lambda: names(cluster) == ["p"])
    write(folder.root / "one.yaml", broken)
    write(folder.root / "two.yaml", manifest("q"))
    await until(lambda: names(cluster) == ["p", "q"] and said in caplog.text)
    assert str(folder.root / "one.yaml") in caplog.text
    write(folder.root / "one.yaml", manifest("r"))
    await until(lambda: names(cluster) == ["q", "r"])


def test_broken_json_names_its_line(folder, caplog):
    write(folder.root / "one.json", '{"kind":\n "Service",\n oops}')
    folder.load()
    assert f"{folder.root / 'one.json'}:3: invalid JSON" in caplog.text


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("just text", ":9: holds no Kubernetes object"),
        ("kind: Service", ":9, Service (without a name), metadata.name: is missing"),
        ("metadata: {name: x}", ":9, object x, kind: is missing"),
        ("kind: Service\nmetadata: {name: q, namespace: a}\nspec: {ports: [{port: '80'}]}",
         ":9, Service a/q, spec.ports[0].port: '80' is not a whole number; correct the object"),
        ("kind: Service\nmetadata: {name: q, namespace: a, annotations: {ledgerlb.io/exclude: 7}}",
         ":9, Service a/q, metadata.annotations[ledgerlb.io/exclude]: 7 is not a string (quote it)"),
        ("kind: Service\nmetadata: {name: q}\n1: 2", ":9: has the key 1, which is not a string"),
        ("kind: Service\nmetadata: &m {name: q, self: *m}", ":9: expands to more than 64 levels of nesting"),
        ("kind: Service\nmetadata: {name: q}\nspec: !!binary aGk=", ":9: tag 'tag:yaml.org,2002:binary' is not supported"),
    ],
)  # fmt: skip
def test_a_broken_object_is_named_with_its_line_and_the_others_count(folder, cluster, caplog, broken, said):
    write(folder.root / "one.yaml", manifest("p").strip() + "\n---\n" + broken + "\n---" + manifest("z"))
    folder.load()
    assert f"{folder.root / 'one.yaml'}{said}" in caplog.text
    assert names(cluster) == ["p", "z"]


async def test_nothing_is_deleted_while_a_file_holds_a_broken_object(folder, cluster, following, caplog):
    write(folder.root / "one.yaml", manifest("p") + "---" + manifest("q"))
    await until(lambda: names(cluster) == ["p", "q"])
    write(folder.root / "one.yaml", manifest("p", "192.0.2.7") + "---\nkind: Service\nmetadata: oops\n")
    await until(lambda: "metadata: 'oops' is not a mapping" in caplog.text)
    await until(lambda: "loadBalancerIP" in cluster.get("Service", "a", "p")["spec"])
    assert names(cluster) == ["p", "q"]


async def test_a_broken_object_keeps_its_last_good_state(folder, cluster, following, caplog):
    write(folder.root / "one.yaml", manifest("p", "192.0.2.7"))
    await until(lambda: names(cluster) == ["p"])
    write(folder.root / "one.yaml", manifest("p", []))
    await until(lambda: "spec.loadBalancerIP" in caplog.text)
    assert cluster.get("Service", "a", "p")["spec"]["loadBalancerIP"] == "192.0.2.7"


def test_text_that_is_no_unicode_is_refused(folder, caplog):
    write(folder.root / "one.json", '{"kind": "Service", "metadata": {"name": "q", "labels": {"a": "\\ud800"}}}')
    folder.load()
    assert "one.json:1: holds text that is not valid Unicode" in caplog.text


def test_aliases_that_explode_are_refused(folder, cluster, caplog):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 12):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    write(folder.root / "bomb.yaml", bomb)
    write(folder.root / "one.yaml", manifest("p"))
    folder.load()
    assert "expands to more than 500000 values" in caplog.text
    assert names(cluster) == ["p"]


def test_nesting_without_end_is_refused(folder, cluster, caplog):
    write(folder.root / "deep.json", "[" * 200_000)
    write(folder.root / "deep.yaml", "a: " + "[" * 3_000 + "]" * 3_000)
    write(folder.root / "one.yaml", manifest("p"))
    folder.load()
    assert names(cluster) == ["p"]
    assert "deep.json" in caplog.text
    assert "deep.yaml" in caplog.text


def test_the_same_object_in_two_files_is_said_and_the_later_wins(folder, cluster, caplog):
    write(folder.root / "one.yaml", manifest("p", "192.0.2.1"))
    write(folder.root / "two.yaml", manifest("p", "192.0.2.2"))
    folder.load()
    assert "names the same object as" in caplog.text
    assert cluster.get("Service", "a", "p")["spec"]["loadBalancerIP"] == "192.0.2.2"


@pytest.mark.parametrize("mend", ["rewritten", "removed"])
def test_a_file_that_was_well_in_between_is_told_again(folder, caplog, mend):
    for broken in ("x: [1,, 2]", "kind: Service"):
        write(folder.root / "one.yaml", broken)
        folder.load()
        assert "one.yaml:1" in caplog.text
        if mend == "removed":
            (folder.root / "one.yaml").unlink()
        else:
            write(folder.root / "one.yaml", manifest("p"))
        folder.load()
        caplog.clear()
        write(folder.root / "one.yaml", broken)
        folder.load()
        assert "one.yaml:1" in caplog.text


async def test_a_folder_that_goes_deletes_nothing(folder, cluster, following, caplog):
    write(folder.root / "one.yaml", manifest("p"))
    await until(lambda: names(cluster) == ["p"])
    folder.root.rename(folder.root.with_name("away"))
    await until(lambda: "does not exist" in caplog.text)
    assert names(cluster) == ["p"]
    folder.root.with_name("away").rename(folder.root)
    write(folder.root / "two.yaml", manifest("q"))
    await until(lambda: names(cluster) == ["p", "q"])


async def test_an_object_that_comes_back_waits_for_the_end_of_its_predecessor(folder, cluster, following):
    write(folder.root / "one.yaml", manifest("p"))
    await until(lambda: names(cluster) == ["p"])
    uid = cluster.get("Service", "a", "p")["metadata"]["uid"]
    cluster.patch_metadata("Service", "a", "p", {"finalizers": [FINALIZER]})
    (folder.root / "one.yaml").unlink()
    await until(lambda: "deletionTimestamp" in cluster.get("Service", "a", "p")["metadata"])
    write(folder.root / "one.yaml", manifest("p", "192.0.2.7"))
    await asyncio.sleep(0.3)
    assert cluster.get("Service", "a", "p")["metadata"]["uid"] == uid
    cluster.patch_metadata("Service", "a", "p", {"finalizers": []})
    await until(lambda: names(cluster) == ["p"])
    assert cluster.get("Service", "a", "p")["metadata"]["uid"] != uid


async def test_a_file_that_is_being_written_is_not_taken_for_empty(folder, cluster, following):
    path = folder.root / "one.yaml"
    write(path, manifest("p"))
    await until(lambda: names(cluster) == ["p"])
    watching = cluster.subscribe()
    with path.open("w") as opened:
        for piece in (manifest("p"), "---", manifest("q")):
            opened.write(piece)
            opened.flush()
            await asyncio.sleep(0.04)
    await until(lambda: names(cluster) == ["p", "q"])
    assert [key for key, obj in watching.drain() if obj is None] == []


async def test_a_source_of_manifests_follows_files_and_writes(folder, cluster):
    write(folder.root / "one.yaml", manifest("p"))
    seen: dict[str, Any] = {}

    def sink(batch: Batch) -> None:
        for entry in batch.upserts:
            seen[entry.full_name] = entry

    stop = asyncio.Event()
    task = asyncio.create_task(ManifestSource(folder).run(sink, stop))
    await until(lambda: "a/p" in seen)
    cluster.patch_status("Service", "a", "p", {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    await until(lambda: seen["a/p"].ingress == ("192.0.2.1",))
    write(folder.root / "two.yaml", manifest("q"))
    await until(lambda: "a/q" in seen)
    stop.set()
    await asyncio.wait_for(task, DEADLINE)


class Lists:
    """What a source says about Services: how often it listed them, whether in full, and the last names."""

    def __init__(self) -> None:
        self.said: list[tuple[bool, list[str]]] = []

    def __call__(self, batch: Batch) -> None:
        if batch.kind == "Service" and batch.listed is not None:
            self.said.append((batch.listed.complete, sorted(name for _, name in batch.listed.names)))


@pytest.mark.parametrize(
    "broken",
    ["kind: [", "kind: Service\nmetadata: {}\n", manifest("q", [])],
    ids=["no YAML", "no name", "a wrong value"],
)
@pytest.mark.parametrize("mended", [True, False])
async def test_what_was_broken_from_the_start_takes_nothing_for_gone(folder, broken, mended):
    write(folder.root / "one.yaml", manifest("p"))
    write(folder.root / "two.yaml", broken)
    lists, stop = Lists(), asyncio.Event()
    task = asyncio.create_task(ManifestSource(folder).run(lists, stop))
    await until(lambda: lists.said)
    assert lists.said == [(False, ["p"])], "the good ones count, and it is said that there may be more"
    if mended:
        write(folder.root / "two.yaml", manifest("q"))
    else:
        (folder.root / "two.yaml").unlink()
    await until(lambda: len(lists.said) > 1)
    assert lists.said[1] == (True, ["p", "q"] if mended else ["p"])
    stop.set()
    await asyncio.wait_for(task, DEADLINE)


async def test_a_folder_that_is_not_there_yet_takes_nothing_for_gone(folder):
    folder.root.rmdir()
    lists, stop = Lists(), asyncio.Event()
    task = asyncio.create_task(ManifestSource(folder).run(lists, stop))
    await until(lambda: lists.said)
    staged = folder.root.with_name("staged")  # appears with its file: an empty folder would be a complete one
    write(staged / "one.yaml", manifest("p"))
    staged.rename(folder.root)
    await until(lambda: len(lists.said) > 1)
    assert lists.said == [(False, []), (True, ["p"])]
    stop.set()
    await asyncio.wait_for(task, DEADLINE)


class Closed:
    """Places that cannot be read for now, as on a network file system that does not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.places: set[str] = set()
        self.asked = 0
        scandir, stat = os.scandir, Path.stat

        def scan(path: Any) -> Any:
            self._check(path)
            return scandir(path)

        def look(path: Path, **more: Any) -> Any:
            self._check(path)
            return stat(path, **more)

        monkeypatch.setattr(os, "scandir", scan)
        monkeypatch.setattr(Path, "stat", look)

    def _check(self, path: Any) -> None:
        if str(path) in self.places:
            self.asked += 1
            raise OSError(errno.ESTALE, "Stale file handle", str(path))


@pytest.mark.usefixtures("following")
@pytest.mark.parametrize("place", ["", "sub", "sub/q.yaml"])
async def test_what_cannot_be_read_for_now_deletes_nothing(folder, cluster, monkeypatch, caplog, place):
    write(folder.root / "p.yaml", manifest("p"))
    write(folder.root / "sub" / "q.yaml", manifest("q"))
    await until(lambda: names(cluster) == ["p", "q"] and folder.complete)
    closed = Closed(monkeypatch)
    closed.places = {str(folder.root / place)}
    await until(lambda: not folder.complete)
    assert f"{folder.root / place}: cannot be read (Stale file handle); check the path" in caplog.text
    if place:  # everything else is followed meanwhile
        write(folder.root / "r.yaml", manifest("r"))
        (folder.root / "p.yaml").unlink()
        await until(lambda: names(cluster) == ["q", "r"])
    else:
        looked = closed.asked
        await until(lambda: closed.asked > looked + 5)
        assert names(cluster) == ["p", "q"]
    closed.places = set()
    (folder.root / "sub" / "q.yaml").unlink()
    await until(lambda: "q" not in names(cluster) and folder.complete)


@pytest.mark.usefixtures("following")
async def test_a_folder_that_cannot_be_read_from_the_start_is_not_complete(folder, cluster, monkeypatch):
    (folder.root / "sub").mkdir()
    write(folder.root / "p.yaml", manifest("p"))
    closed = Closed(monkeypatch)
    closed.places = {str(folder.root / "sub")}
    looks = []
    folder.on_look = lambda: looks.append(folder.complete)
    await until(lambda: names(cluster) == ["p"])
    assert not folder.complete
    closed.places = set()
    await until(lambda: looks and looks[-1])  # whoever asks is told, although no file changed


def test_a_missing_or_huge_file_is_named(tmp_path):
    with pytest.raises(InvalidManifest, match="cannot be read"):
        read_documents(tmp_path / "none.yaml")
    big = tmp_path / "big.yaml"
    with big.open("wb") as opened:
        opened.truncate(17 * 1024 * 1024)
    with pytest.raises(InvalidManifest, match="larger than"):
        read_documents(big)


def test_a_file_of_nothing_but_brackets_ends_its_reading_and_not_the_process(tmp_path):
    path = tmp_path / "deep.yaml"
    path.write_text("[" * 200_000)
    with pytest.raises(InvalidManifest, match=r"deep\.yaml:1: is nested more than 64 deep"):
        read_documents(path)
