"""Carries edits out on the API server, several at a time."""

from __future__ import annotations

import http
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.kube_objects import Cluster, Object

MERGE: Final = "application/merge-patch+json"
EXPECTED: Final = frozenset(
    {http.HTTPStatus.OK, http.HTTPStatus.CREATED, http.HTTPStatus.ACCEPTED, http.HTTPStatus.NOT_FOUND,
     http.HTTPStatus.CONFLICT}
)  # fmt: skip
"""Also what is gone already, or still there: an object with a finalizer goes when it may."""


@dataclass
class Call:
    """One request. `undo` is called where the API server did not do it."""

    method: str
    path: str
    body: Object | None = None
    kind: str = "application/json"
    undo: Callable[[], None] | None = None


@dataclass
class Edit:
    """What one edit asks of the API server, in order. `touches`: two edits of one object never run at a time."""

    what: str
    touches: str
    calls: list[Call] = field(default_factory=list)


class Editor:
    """Carries edits out. `done` counts them by what they were, `answers` the API server's by status, `odd` keeps
    answers that no edit of this script may have."""

    def __init__(self, cluster: Cluster, edits: Iterator[Edit]) -> None:
        self._cluster = cluster
        self._edits = edits
        self.done: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.odd: list[str] = []

    def carry_out(self, count: int) -> None:
        """The next `count` edits, several at a time, never two of one object."""
        waiting = [next(self._edits) for _ in range(count)]
        while waiting:
            together: dict[str, Edit] = {}
            later = []
            for edit in waiting:
                if edit.touches in together:
                    later.append(edit)
                else:
                    together[edit.touches] = edit
            for edit, answers in zip(together.values(), self._cluster.each(self._do, together.values()), strict=True):
                self._note(edit, answers)
            waiting = later

    def _do(self, edit: Edit) -> list[tuple[Call, int, Any]]:
        return [(call, *self._cluster.request(call.method, call.path, call.body, call.kind)) for call in edit.calls]

    def _note(self, edit: Edit, answers: list[tuple[Call, int, Any]]) -> None:
        self.done[edit.what] += 1
        for call, status, answer in answers:
            self.answers[status] += 1
            if status >= http.HTTPStatus.BAD_REQUEST and call.undo is not None:
                call.undo()
            if status not in EXPECTED:
                self.odd.append(f"{edit.what}: {call.method} {call.path}: {status} {str(answer)[:300]}")
