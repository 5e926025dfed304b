"""What the readers of all adapters share: their positions, and whether they have caught up."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from ledgerlb.eventlog.topics import Topic


class BaseReader:
    """A Reader without its ``poll``. ``positions`` and ``ends`` are offsets by topic name at opening.

    The adapter calls ``_advance_to`` when it has read further.
    """

    def __init__(self, positions: Mapping[str, int], ends: Mapping[str, int]) -> None:
        self._positions = dict(positions)
        self._behind = {name: end for name, end in ends.items() if positions[name] < end}
        self._closed = False

    def _advance_to(self, name: str, position: int) -> None:
        self._positions[name] = position
        end = self._behind.get(name)
        if end is not None and position >= end:
            del self._behind[name]

    @property
    def caught_up(self) -> bool:
        """See Reader."""
        return not self._behind

    def position(self, topic: Topic) -> int:
        """See Reader."""
        return self._positions[topic.name]

    async def close(self) -> None:
        """See Reader."""
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
