"""Records over their topic's limit, left out before they are appended.

The log refuses an append with one such record as a whole, so one absurd object would hold up all others; and it would
refuse it again at every try. What stood under the key before, stays.
"""

from __future__ import annotations

from typing import Final

import structlog

from ledgerlb.eventlog.topics import Topic

MAX_TOLD: Final = 1000

_logger = structlog.get_logger(__name__)


class SizeGuard:
    """Tells whether a record fits its topic; says so once, until it does again."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._told: dict[str, None] = {}

    def fits(self, key: str, value: bytes | None) -> bool:
        """Whether the topic takes the record."""
        size = len(value or b"")
        if size <= self._topic.max_bytes:
            self._told.pop(key, None)
            return True
        if key not in self._told and len(self._told) < MAX_TOLD:
            self._told[key] = None
            _logger.error(
                "a record is too large and is left out; make the objects that it is made from smaller",
                topic=self._topic.name, key=key, bytes=size, most=self._topic.max_bytes,
            )  # fmt: skip
        return False
