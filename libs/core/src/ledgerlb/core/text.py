"""Text from the cluster, the log or a file: bounded in length, escaped for a terminal, and read as JSON; and moments as
text.

``printable`` is the one place that decides which characters reach a terminal: command output, errors and logs all go
through it.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

MAX_MESSAGE: Final = 1000
"""Characters of a message on an object or in a record."""
MAX_LINE: Final = 300
"""Characters of one item of a list: a warning, a candidate, a rung's value."""

_LAST_SECOND: Final = datetime(9000, 12, 31, tzinfo=UTC).timestamp()

_UNSAFE: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 with the line breaks, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f"  # bidi controls, line and paragraph separators
    "\xad\u034f\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u3164"  # zero width
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff"  # halves of surrogate pairs, which no output can encode
    "]"
)


def timestamp(moment: datetime) -> str:
    """Return the moment in RFC 3339 in UTC, with microseconds where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def epoch_moment(seconds: float) -> datetime:
    """Return the aware UTC moment so many seconds after the epoch, or the nearest one between the years 1970 and 9000:
    timestamps of a log or of files may be absurd, and are for people only.
    """
    return datetime.fromtimestamp(min(max(seconds, 0.0), _LAST_SECOND), UTC)


def printable(text: str) -> str:
    """Return the text on one line. Every character that could steer a terminal, hide itself, reorder or break the line
    becomes an escape as Python writes it. Other text, markup such as ``[red]`` too, stays as it is.
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def printable_json(document: str) -> str:
    """Return a JSON document, given on one line, with the same characters in JSON's own escapes: its meaning stays."""
    return _UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1] if found[0] != "\x7f" else "\\u007f", document)


def shortened(text: str, limit: int = MAX_MESSAGE) -> str:
    """Return the text, cut to ``limit`` characters with an ellipsis if it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def load_json(text: str) -> Any:
    """The JSON value of a text; raises ValueError or RecursionError. Half a surrogate pair, which JSON can spell and no
    record can hold, is refused too.
    """
    value = json.loads(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value
