from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.kube.api.lines import LineTooLong, lines_of


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@given(st.lists(st.text("ab{}", min_size=1)), st.lists(st.integers(0, 60)), st.text("ab", max_size=3))
async def test_lines_do_not_depend_on_where_chunks_end(lines, cuts, unfinished):
    raw = "".join(f"{line}\n" for line in lines).encode() + unfinished.encode()
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    parts = [raw[a:b] for a, b in pairwise(edges)]
    found = [line async for group in lines_of(chunks(*parts)) for line in group]
    assert found == [line.encode() for line in lines]


async def test_a_line_without_end_is_refused():
    with pytest.raises(LineTooLong):
        async for _ in lines_of(chunks(*[b"x" * 10] * 20), max_line=100):
            pass
