"""A folder of manifests that stands for a cluster: what the files say is applied to a MemoryCluster, and their
changes are followed.

A file that cannot be read keeps its last good content; an object that cannot be used keeps its last good state;
each gives one message with file and line, and stops nothing else. An object that no file names any more is deleted,
finalizers and all. What was broken from the start hides what it once held, so until it is mended (or removed) the
folder is not complete, and nothing that was known before may be taken for gone. The same goes for a folder that cannot
be read now: what it held stays.

Concurrency: files are read in a worker thread, the cluster is changed on the event loop only.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ledgerlb.core.errors import BadInput, ClusterUnavailable, InvalidManifest
from ledgerlb.kube.deletion_guard import DeletionGuard
from ledgerlb.kube.manifests.files import SUFFIXES, Document, read_documents
from ledgerlb.kube.manifests.identity import FILE, file_identity, identity_of
from ledgerlb.kube.memory.cluster import Key, MemoryCluster
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.source import ClusterSource, ProblemLog, Sink
from ledgerlb.runtime.stopping import in_daemon_thread, run_or_stop, sleep_or_stop

Signature = tuple[int, int, int]
"""(mtime in ns, size, inode)"""

SETTLE: Final = 0.1
"""Seconds over which a file must stay the same before it is read: an editor may be in the middle of writing it."""


@dataclass(slots=True)
class _File:
    signature: Signature
    documents: dict[Key, Document] = field(default_factory=dict)
    whole: bool = False
    """Whether it was read without a problem at least once."""


MAX_FILES: Final = 50_000
"""Most files of a folder. Past it the folder counts as unreadable, and what it held stays."""


class ManifestFolder:
    """Follows ``root`` (a folder, read recursively, or one file) into ``cluster``, looking every ``poll`` seconds."""

    def __init__(
        self,
        root: Path,
        cluster: MemoryCluster,
        problems: ProblemLog | None = None,
        poll: float = 0.5,
        guard: DeletionGuard | None = None,
    ) -> None:
        self.root = root
        self.cluster = cluster
        self.problems = problems or ProblemLog()
        self.poll = poll
        self.on_look: Callable[[], None] = lambda: None
        """Called after changed files were taken up."""
        self.identity = ""
        """``folder:UUID`` once the folder is known by its identity file; then no other folder counts."""
        self._guard = guard
        self._foreign = False
        """Whether the last look found another folder, or an empty mount point, in place of this one."""
        self._files: dict[Path, _File] = {}
        self._applied: dict[Key, Document] = {}
        self._leaving: set[Key] = set()
        self._holds_back = False
        """Whether deletions wait for the guard."""
        self._refused: set[Key] = set()
        """Objects that could not be applied and of which no earlier state stands."""
        self._found = False
        self._unreadable: frozenset[str] = frozenset()
        """Folders and files of which the last look could not tell whether they changed."""

    @property
    def complete(self) -> bool:
        """Whether everything that the folder means to say is in the cluster."""
        whole = all(entry.whole for entry in self._files.values())
        return self._found and whole and not self._refused and not self._unreadable and not self._foreign

    def load(self) -> int:
        """Look once and apply what changed; returns how many objects were applied or deleted."""
        signatures, read = self._look_and_read()
        return 0 if signatures is None else self._take(read, set(signatures))

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until ``stop``."""
        while not stop.is_set():
            await run_or_stop(stop, self._follow())
            await sleep_or_stop(stop, self.poll)

    async def first_load(self, stop: asyncio.Event) -> None:
        """Look once, as ``load`` does, without holding up the event loop or a stop."""

        async def look_and_take() -> None:
            signatures, read = await in_daemon_thread(self._look_and_read)
            if signatures is not None:
                self._take(read, set(signatures))

        await run_or_stop(stop, look_and_take())

    def _look_and_read(self) -> tuple[dict[Path, Signature] | None, dict[Path, _File]]:
        signatures = self._look()
        return signatures, self._read(signatures or {})

    async def _follow(self) -> None:
        before = (self._unreadable, self._foreign)
        first = await in_daemon_thread(self._look)
        if (self._unreadable, self._foreign) != before:
            self.on_look()
        waits = bool(self._leaving) or self._holds_back
        if first is None or (self._found and not self._differs(first) and not waits):
            return
        await asyncio.sleep(SETTLE)
        second = await in_daemon_thread(self._look)
        if second is None:
            return
        settled = {path: signature for path, signature in second.items() if first.get(path) == signature}
        read = await in_daemon_thread(self._read, settled)
        # A file that is only now gone, or still being written, is looked at again next time.
        self._take(read, set(second) | (set(first) & set(self._files)))
        self.on_look()

    # Looking (worker thread)

    def _look(self) -> dict[Path, Signature] | None:
        """What stands there, or None where the folder itself is missing or cannot be read: that deletes nothing. What
        is known of a part that cannot be read counts as standing.
        """
        errors: list[OSError] = []
        found: dict[Path, Signature] = {}
        for path in self._paths(errors):
            try:
                status = path.stat()
            except OSError as error:
                errors.append(error)
                continue
            found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        missing = self._note_errors(errors)
        self._foreign = not missing and not self._is_ours()
        for path, entry in self._files.items():
            if any(str(place) in self._unreadable for place in (path, *path.parents)):
                found[path] = entry.signature
        return None if missing or self._foreign or str(self.root) in self._unreadable else found

    def _is_ours(self) -> bool:
        """Whether the folder still has the identity that it had at the start; tells where it has not."""
        if not self.identity.startswith("folder:"):
            return True
        place = str(self.root / FILE)
        try:
            found = file_identity(self.root)
            problem = "is missing" if not found else f"names {found} and not {self.identity}"
        except ClusterUnavailable as error:
            found, problem = "", str(error)
        if found == self.identity:
            self.problems.mended(place)
            return True
        remedy = f"mount the volume, or restore the file with {self.identity.partition(':')[2]}; what it held stays"
        self.problems(InvalidManifest(place, "", problem, remedy))
        return False

    def _note_errors(self, errors: list[OSError]) -> bool:
        """Tell what could not be read, and what can be again; whether the root is missing. Other things that are
        missing are gone since they were listed.
        """
        root = str(self.root)
        failed = {str(error.filename): error for error in errors if not isinstance(error, FileNotFoundError)}
        missing = any(isinstance(error, FileNotFoundError) and str(error.filename) == root for error in errors)
        if missing:
            self.problems(InvalidManifest(root, "", "does not exist", "name a folder of manifests"))
        for place, error in failed.items():
            said = f"cannot be read ({error.strerror})"
            self.problems(InvalidManifest(place, "", said, "check the path and its rights; what it held stays"))
        for place in {*self._unreadable, root} - failed.keys():
            if not (missing and place == root):
                self.problems.mended(place)
        self._unreadable = frozenset(failed)
        return missing

    def _paths(self, errors: list[OSError]) -> Iterator[Path]:
        try:
            is_file = self.root.is_file()
        except OSError as error:
            errors.append(error)
            return
        if is_file:
            yield self.root
            return
        files = 0
        for folder, folders, names in os.walk(self.root, onerror=errors.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.endswith(SUFFIXES) or name.startswith("."):
                    continue
                files += 1
                if files > MAX_FILES:
                    problem = f"more than {MAX_FILES} files"
                    errors.append(OSError(errno.EFBIG, problem, str(self.root)))
                    return
                yield Path(folder) / name

    def _differs(self, signatures: dict[Path, Signature]) -> bool:
        known = {path: entry.signature for path, entry in self._files.items()}
        return known != signatures

    def _read(self, signatures: dict[Path, Signature]) -> dict[Path, _File]:
        """The files that changed, with what they hold now (their last good content where they cannot be read)."""
        changed: dict[Path, _File] = {}
        for path, signature in signatures.items():
            known = self._files.get(path)
            if known is not None and known.signature == signature:
                continue
            changed[path] = self._read_file(path, signature, known or _File(signature))
        return changed

    def _read_file(self, path: Path, signature: Signature, before: _File) -> _File:
        try:
            documents, problems = read_documents(path, self.root if path != self.root else None)
        except InvalidManifest as error:
            self.problems(error)
            return _File(signature, before.documents, whole=before.whole)
        found: dict[Key, Document] = {}
        for document in documents:
            try:
                key = self.cluster.key_of(document.obj)
            except BadInput as error:
                problems.append(_placed(document, error))
                continue
            if key in found:
                problems.append(_twice(document, found[key]))
            found[key] = document
        for problem in problems:
            self.problems(problem)
        if not problems:
            self.problems.mended(str(path))
            return _File(signature, found, whole=True)
        # Which object a broken document used to be is not known, so while there is one nothing of this file is deleted.
        return _File(signature, {**before.documents, **found}, whole=before.whole)

    # Applying (event loop)

    def _take(self, read: dict[Path, _File], standing: set[Path]) -> int:
        for path in self._files.keys() - standing:
            self.problems.mended(str(path))
        self._files = {path: entry for path, entry in {**self._files, **read}.items() if path in standing}
        self._found = True
        wanted = self._wanted()
        changed = 0
        gone = [key for key in self._applied if key not in wanted]
        self._holds_back = not self._may_go(gone)
        if not self._holds_back:
            for key in gone:
                del self._applied[key]
                self.cluster.delete(*key)
            changed += len(gone)
        for key, document in wanted.items():
            known = self._applied.get(key)
            if known is not None and known.obj == document.obj:
                continue
            if self._still_leaving(key):
                continue
            changed += self._apply(key, document)
        self._refused &= wanted.keys()
        self._leaving = {key for key in self._leaving if key in wanted and key not in self._applied}
        return changed

    def _may_go(self, gone: list[Key]) -> bool:
        """Whether everything that the folder no longer names may be deleted now: a mass deletion of Services waits,
        and with it the networks and endpoints that went in the same change.
        """
        if self._guard is None:
            return True
        held = {key[1:] for key in self._applied if self._is_balanced(key)}
        return self._guard.judge("folder", held.intersection(key[1:] for key in gone if key[0] == "Service"), len(held))

    def _is_balanced(self, key: Key) -> bool:
        if key[0] != "Service":
            return False
        spec = self._applied[key].obj.get("spec")
        return isinstance(spec, dict) and spec.get("type") == "LoadBalancer"

    def _wanted(self) -> dict[Key, Document]:
        wanted: dict[Key, Document] = {}
        for path in sorted(self._files):
            for key, document in self._files[path].documents.items():
                if key in wanted:
                    self.problems(_twice(document, wanted[key]))
                wanted[key] = document
        return wanted

    def _still_leaving(self, key: Key) -> bool:
        """Whether the deleted object of this name is held back by a finalizer: the new one must wait for its end."""
        stored = self.cluster.get(*key)
        if stored is None or "deletionTimestamp" not in stored["metadata"]:
            return False
        self._leaving.add(key)
        return True

    def _apply(self, key: Key, document: Document) -> int:
        kind, namespace, _ = key
        obj = document.obj
        if namespace:
            obj = {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
        self._applied[key] = document
        try:
            fact_of(obj, kind, every_pod=True)
            age = datetime.fromtimestamp(self._files[document.path].signature[0] / 1e9, UTC)
            self.cluster.apply(obj, created=age, manager=f"manifest {document.path.name}")
        except BadInput as problem:
            self.problems(_placed(document, problem))
            if self.cluster.get(*key) is None:
                self._refused.add(key)
            return 0
        self._refused.discard(key)
        return 1


class ManifestSource:
    """A ManifestFolder as a source of objects (see ``source.ObjectSource``)."""

    def __init__(self, folder: ManifestFolder) -> None:
        self.folder = folder

    async def identify(self, known: str, renew: bool) -> str:
        """Return the folder's identity (see ``folder_identity``), and hold the folder to it from now on. Raises
        ClusterUnavailable.
        """
        found = await in_daemon_thread(identity_of, self.folder.root, known, renew=renew)
        self.folder.identity = found
        return found

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """Read the folder, hand over everything, then follow files and writes until ``stop``."""
        await self.folder.first_load(stop)
        source = ClusterSource(self.folder.cluster, self.folder.problems, lambda: self.folder.complete)
        self.folder.on_look = source.wake
        async with asyncio.TaskGroup() as group:
            group.create_task(self.folder.run(stop))
            group.create_task(source.run(sink, stop))


def _placed(document: Document, problem: BadInput) -> InvalidManifest:
    field = ", ".join(part for part in (problem.subject, problem.field) if part)
    return InvalidManifest(document.place, field, problem.problem, problem.remedy)


def _twice(document: Document, other: Document) -> InvalidManifest:
    return InvalidManifest(
        document.place, "", f"names the same object as {other.place}", "keep one of them; the later wins"
    )
