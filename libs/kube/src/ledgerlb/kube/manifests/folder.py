"""Follow a folder of manifests in place of a cluster: apply its files to a MemoryCluster, and then their changes.

A file that cannot be read keeps its last good content, and an object that cannot be used keeps its last good state.
Each gives one message with file and line, and stops nothing else. An object that no file names any more is deleted,
whatever its finalizers.

We do not know what a file that was broken from the start once held. Until a person fixes or removes it, the folder is
not complete, and no object that the log knows counts as gone. The same holds for a folder that cannot be read now.

Concurrency: a worker thread reads the files; only the event loop changes the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledgerlb.core.cluster.facts import Gone, Synced, decode_fact
from ledgerlb.core.errors import BadInput, ClusterUnavailable, InvalidManifest
from ledgerlb.core.text import epoch_moment
from ledgerlb.kube.deletion_guard import DeletionGuard
from ledgerlb.kube.manifests.files import SUFFIXES, Document, read_documents
from ledgerlb.kube.manifests.identity import FILE, file_identity, identity_of
from ledgerlb.kube.memory.cluster import Key, MemoryCluster
from ledgerlb.kube.memory.remembered import KINDS
from ledgerlb.kube.names import unread
from ledgerlb.kube.normalise.dispatch import fact_of
from ledgerlb.kube.source import ClusterSource, ProblemLog, Sink
from ledgerlb.runtime.stopping import in_daemon_thread, run_or_stop, sleep_or_stop

Signature = tuple[int, int, int]
"""(mtime in ns, size, inode)"""

POLL: Final = 0.5
"""Seconds between two looks at the folder."""
SETTLE: Final = 0.1
"""Seconds over which a file must stay the same before it is read: an editor may be in the middle of writing it."""


@dataclass(slots=True)
class _File:
    signature: Signature
    documents: dict[Key, Document] = field(default_factory=dict)
    whole: bool = False
    """Whether we read it without a problem at least once."""


MAX_FILES: Final = 50_000
"""Most files of a folder. Past it the folder counts as unreadable, and LedgerLB keeps what it held."""


class ManifestFolder:
    """Follow ``root`` (a folder and its subfolders, or one file) into ``cluster``.

    Look every ``poll`` seconds, by default every ``POLL``.
    """

    def __init__(
        self,
        root: Path,
        cluster: MemoryCluster,
        problems: ProblemLog | None = None,
        poll: float | None = None,
        guard: DeletionGuard | None = None,
    ) -> None:
        self.root = root
        self.cluster = cluster
        self.problems = problems or ProblemLog()
        self.poll = POLL if poll is None else poll
        self.on_look: Callable[[], None] = lambda: None
        """Called after the folder has taken changed files into account."""
        self.identity = ""
        """``folder:UUID`` once the folder has an identity file; no other folder is then accepted."""
        self._guard = guard
        self._foreign = False
        """Whether the last look found another folder, or an empty mount point, in place of this one."""
        self._files: dict[Path, _File] = {}
        self._applied: dict[Key, Document] = {}
        self._leaving: set[Key] = set()
        self._holds_back = False
        """Whether deletions wait for the guard."""
        self._refused: set[Key] = set()
        """Objects that could not be applied and have no earlier state in the cluster."""
        self._found = False
        self._unreadable: frozenset[str] = frozenset()
        """Folders and files that the last look could not read."""

    @property
    def complete(self) -> bool:
        """Whether every object of the folder is in the cluster."""
        whole = all(entry.whole for entry in self._files.values())
        return self._found and whole and not self._refused and not self._unreadable and not self._foreign

    def load(self) -> int:
        """Look once, apply what changed, and return how many objects were applied or deleted."""
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
        # Keep a file that has just gone, or that an editor is still writing, until the next look.
        self._take(read, set(second) | (set(first) & set(self._files)))
        self.on_look()

    # Looking (worker thread)

    def _look(self) -> dict[Path, Signature] | None:
        """Return the files, or None if the folder itself is missing or cannot be read, which deletes nothing.

        Files that we know in a part that cannot be read now count as existing.
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
        """Return whether the folder still has the identity that it had at the start; report if not."""
        if not self.identity.startswith("folder:"):
            return True
        place = str(self.root / FILE)
        try:
            found = file_identity(self.root)
            problem = "is missing" if not found else f"names {found} and not {self.identity}"
        except ClusterUnavailable as error:
            found, problem = "", str(error)
        if found == self.identity:
            self.problems.resolved(place)
            return True
        remedy = (
            f"mount the volume, or restore the file with {self.identity.partition(':')[2]}; LedgerLB keeps what it held"
        )
        self.problems(InvalidManifest(place, "", problem, remedy))
        return False

    def _note_errors(self, errors: list[OSError]) -> bool:
        """Report what cannot be read, and return whether the root is missing.

        Other missing files have gone since we listed them.
        """
        root = str(self.root)
        failed = {str(error.filename): error for error in errors if not isinstance(error, FileNotFoundError)}
        missing = any(isinstance(error, FileNotFoundError) and str(error.filename) == root for error in errors)
        if missing:
            self.problems(InvalidManifest(root, "", "does not exist", "name a folder of manifests"))
        for place, error in failed.items():
            problem = f"cannot be read ({error.strerror})"
            self.problems(
                InvalidManifest(place, "", problem, "check the path and its rights; LedgerLB keeps what it held")
            )
        for place in {*self._unreadable, root} - failed.keys():
            if not (missing and place == root):
                self.problems.resolved(place)
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
        """Return the files that changed with their content, or their last good content if they cannot be read."""
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
        passed_over: list[InvalidManifest] = []
        for document in documents:
            if (why := unread(document.obj)) is not None:
                passed_over.append(InvalidManifest(document.place, "", *why))
                continue
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
            self.problems.resolved(str(path))
        for warning in passed_over:
            self.problems(warning)
        if not problems:
            return _File(signature, found, whole=True)
        # Which object a broken document used to be is not known, so while there is one nothing of this file is deleted.
        return _File(signature, {**before.documents, **found}, whole=before.whole)

    # Applying (event loop)

    def _take(self, read: dict[Path, _File], existing: set[Path]) -> int:
        for path in self._files.keys() - existing:
            self.problems.resolved(str(path))
        self._files = {path: entry for path, entry in {**self._files, **read}.items() if path in existing}
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
        """Return whether everything that the folder no longer names may be deleted now.

        A mass deletion of Services, or of networks that would strand many, waits, together with everything that went in
        the same change.
        """
        if self._guard is None:
            return True
        held = {key[1:] for key in self._applied if self._is_balanced(key)}
        services = held.intersection(key[1:] for key in gone if key[0] == "Service")
        networks = [(key[0], key[1:]) for key in gone]
        may_go = self._guard.judge_networks("folder's networks", networks, leaving=services)
        return self._guard.judge("folder", services, len(held)) and may_go

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
        """Return whether a finalizer still holds back a deleted object of this name. The new one must wait for it."""
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
            age = epoch_moment(self._files[document.path].signature[0] / 1e9)
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
        """Return the folder's identity (see ``identity``), and accept no other folder from now on.

        Raises ClusterUnavailable.
        """
        found = await in_daemon_thread(identity_of, self.folder.root, known, renew=renew)
        self.folder.identity = found
        return found

    def remember(self, known: Callable[[str], Mapping[str, bytes]]) -> None:
        """Take what LedgerLB wrote before from the facts of the log; ``known`` returns those of a kind by key.

        Call it before ``run``. A fact that does not decode is passed over: the object then starts without it.
        """
        for kind in KINDS:
            for key, value in known(kind).items():
                with contextlib.suppress(BadInput):
                    fact = decode_fact(key, value)
                    if not isinstance(fact, Gone | Synced):
                        self.folder.cluster.remember([fact])

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
