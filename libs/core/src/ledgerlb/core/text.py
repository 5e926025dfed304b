"""Text from the cluster: quoted for people in bounded length (it may be as long as an annotation), and read as JSON."""

from __future__ import annotations

import json
from typing import Any, Final

MAX_MESSAGE: Final = 1000
"""Characters of a message on an object or in a record."""
MAX_LINE: Final = 300
"""Characters of one of many: a warning, a candidate, a rung's value."""


def shortened(text: str, limit: int = MAX_MESSAGE) -> str:
    """The text, cut to ``limit`` characters with an ellipsis where it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def load_json(text: str) -> Any:
    """The JSON value of a text; raises ValueError or RecursionError. Half a surrogate pair, which JSON can spell and no
    record can hold, is refused too.
    """
    value = json.loads(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value
