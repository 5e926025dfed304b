"""The newest records of each topic in memory, as this process appended them.

Most readers of a process follow the end of the log. They take records from here instead of asking SQLite once per
reader and append, which cost more than the appends themselves. Bounds: ``MAX_BYTES`` of values and ``MAX_RECORDS`` per
topic; older records are read from the file. Concurrency: one event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledgerlb.eventlog.port import Record

MAX_BYTES: Final = 1024 * 1024
MAX_RECORDS: Final = 4096


class Tail:
    """See module. Each topic's records are a range of offsets without a gap."""

    def __init__(self) -> None:
        self._topics: dict[str, _Range] = {}

    def add(self, topic: str, records: list[Record]) -> None:
        """Keep records that were just appended, in order. Offsets that another process used in between make a gap: the
        older records are dropped then.
        """
        kept = self._topics.get(topic)
        if kept is None or kept.end != records[0].offset:
            kept = self._topics[topic] = _Range(records[0].offset)
        kept.extend(records)

    def read(self, positions: Mapping[str, int], max_records: int) -> list[Record]:
        """The records from each position on, as far as they are kept here."""
        batch: list[Record] = []
        for topic, position in positions.items():
            kept = self._topics.get(topic)
            if kept is not None and kept.start <= position < kept.end and len(batch) < max_records:
                batch += kept.from_position(position, max_records - len(batch))
        return batch

    def is_behind(self, positions: Mapping[str, int]) -> bool:
        """Whether some position lies before the kept records, so that the file has to be read."""
        return any(
            (kept := self._topics.get(topic)) is not None and position < kept.start
            for topic, position in positions.items()
        )

    def clear(self) -> None:
        """Forget everything."""
        self._topics.clear()


class _Range:
    def __init__(self, start: int) -> None:
        self.start = start
        self._records: list[Record] = []
        self._bytes = 0

    @property
    def end(self) -> int:
        return self.start + len(self._records)

    def extend(self, records: list[Record]) -> None:
        self._records += records
        self._bytes += sum(len(record.value or b"") for record in records)
        excess = 0
        while self._bytes > MAX_BYTES or len(self._records) - excess > MAX_RECORDS:
            self._bytes -= len(self._records[excess].value or b"")
            excess += 1
        if excess:
            del self._records[:excess]
            self.start += excess

    def from_position(self, position: int, limit: int) -> list[Record]:
        first = position - self.start
        return self._records[first : first + limit]
