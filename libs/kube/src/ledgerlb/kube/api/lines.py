"""Split a byte stream into lines. Its chunks end anywhere, and an event of a watch can hold megabytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

MAX_LINE: Final = 64 * 1024 * 1024


class LineTooLong(Exception):
    """A line is over the limit, so the stream is not a watch."""


async def lines_of(chunks: AsyncIterator[bytes], max_line: int = MAX_LINE) -> AsyncIterator[list[bytes]]:
    """Yield the lines that each chunk completes, without blank ones and without an unfinished last one.

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
