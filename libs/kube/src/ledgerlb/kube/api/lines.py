"""Lines of a byte stream whose chunks end anywhere and whose lines may be long: an event of a watch can hold
megabytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

MAX_LINE: Final = 64 * 1024 * 1024


class LineTooLong(Exception):
    """A line over the limit: the stream is no watch."""


async def lines_of(chunks: AsyncIterator[bytes], max_line: int = MAX_LINE) -> AsyncIterator[list[bytes]]:
    """The whole lines that each chunk completes, together; blank ones and an unfinished last one are left out.

    Raises LineTooLong.
    """
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        head, newline, tail = chunk.rpartition(b"\n")
        size += len(chunk)
        if not newline:
            if size > max_line:
                raise LineTooLong(f"a line is longer than {max_line} bytes")
            parts.append(chunk)
            continue
        lines = b"".join([*parts, head]).split(b"\n")
        parts, size = [tail], len(tail)
        yield [line for line in lines if line.strip()]
