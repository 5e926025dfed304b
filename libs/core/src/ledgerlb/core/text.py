"""Text for people, in bounded length: what is quoted from the cluster may be as long as an annotation."""

from __future__ import annotations

from typing import Final

MAX_MESSAGE: Final = 1000
"""Characters of a message on an object or in a record."""
MAX_LINE: Final = 300
"""Characters of one of many: a warning, a candidate, a rung's value."""


def shortened(text: str, limit: int = MAX_MESSAGE) -> str:
    """The text, cut to ``limit`` characters with an ellipsis where it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
