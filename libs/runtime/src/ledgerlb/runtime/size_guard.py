"""Leave out records over their topic's limit before an append.

The log refuses the whole append if one record is too large, and refuses it again at every try. So one absurd object
would hold up all others. The record that the key had before stays.
"""

from __future__ import annotations

from typing import Final

import structlog

from ledgerlb.eventlog.topics import Topic

MAX_REPORTED: Final = 1000

_logger = structlog.get_logger(__name__)


class SizeGuard:
    """Check whether a record fits its topic, and report each key that does not once, until it fits again."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._reported: dict[str, None] = {}

    def fits(self, key: str, value: bytes | None) -> bool:
        """Return whether the topic takes the record."""
        size = len(value or b"")
        if size <= self._topic.max_bytes:
            self._reported.pop(key, None)
            return True
        if key not in self._reported and len(self._reported) < MAX_REPORTED:
            self._reported[key] = None
            _logger.error(
                "left out a record that is too large; make the objects that it comes from smaller",
                topic=self._topic.name, key=key, bytes=size, most=self._topic.max_bytes,
            )  # fmt: skip
        return False
