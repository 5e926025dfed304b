"""Lines that fit a terminal: broken between words only, so that no address and no name is ever torn."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_INDENT: Final = 2
_MAX_LABEL: Final = 24
"""Columns of the longest label under whose text the following lines begin."""
_LABEL: Final = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)")


def wrapped(text: str, width: int) -> list[str]:
    """Break a sentence into lines of at most ``width`` columns between its words; a longer word gets its own line."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and text_width(lines[-1]) + 1 + text_width(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def hanging(text: str, width: int) -> list[str]:
    """Break a line as ``wrapped`` does. The lines that follow begin under the text where a label precedes it, else a
    little further in than the first.
    """
    if text_width(text) <= width:
        return [text]
    label = _LABEL.match(text)
    blanks = len(text) - len(text.lstrip(" "))
    begin, indent = blanks, blanks + _INDENT
    if label is not None and len(label[0]) <= _MAX_LABEL:
        begin = indent = len(label[0])
    first, *rest = wrapped(text[begin:], max(1, width - indent))
    return [text[:begin] + first.rstrip(" "), *(" " * indent + line.rstrip(" ") for line in rest)]


def text_width(text: str) -> int:
    """Return the columns that a text takes on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(mark) in {"Mn", "Me"} else 2 if unicodedata.east_asian_width(mark) in "WF" else 1
        for mark in text
    )
