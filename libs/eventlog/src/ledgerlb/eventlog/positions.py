"""What every reader has in common: where it stands in each topic, how far it still has to go, and being closed."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.topics import Topic


class PositionedReader:
    """Base of the readers: all of the port but ``poll``. ``positions`` and ``ends`` are offsets by topic name."""

    def __init__(self, positions: Mapping[str, int], ends: Mapping[str, int]) -> None:
        self._positions = dict(positions)
        self._behind = {name: end for name, end in ends.items() if positions[name] < end}
        """Ends asked for at the start that were not reached yet."""
        self._closed = False

    def _arrive(self) -> None:
        """Strike out the ends that the positions have reached."""
        if self._behind:
            self._behind = {name: end for name, end in self._behind.items() if self._positions[name] < end}

    def _require_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the reader is closed; open a new one")

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
