"""Tables: which columns a terminal of which width gets, and that nothing is broken inside a word."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.cli.tables import Column, layout
from ledgerlb.cli.wrapping import hanging, text_width, wrapped

COLUMNS = (
    Column("NAME"),
    Column("STATE", drop=2),
    Column("ROOMY", drop=1, roomy=True),
    Column("REASON", sentence=True),
)
ROWS = [
    ("shop/web", "Ready", "roomy-value", ""),
    ("shop/api", ("Pending", "again"), "x", "NetworkNotFound: create it, or correct the annotation of the Service"),
]


def lines_of(width: int | None, rows: object = ROWS) -> list[str]:
    table = layout(COLUMNS, rows, width)  # type: ignore[arg-type]
    return [table.head, *(line for row in table.rows for line in row)]


def test_what_is_no_terminal_gets_every_column_and_one_line_a_row() -> None:
    lines = lines_of(None, [("a/b", "Ready", "r", "a sentence " * 50)])
    assert lines[0].split() == ["NAME", "STATE", "ROOMY", "REASON"]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (100, ["NAME", "STATE", "ROOMY", "REASON"]),
        (99, ["NAME", "STATE", "REASON"]),
        (44, ["NAME", "REASON"]),
        (20, ["NAME"]),
    ],
)
def test_columns_leave_in_their_order(width: int, titles: list[str]) -> None:
    assert lines_of(width)[0].split() == titles


def test_columns_leave_a_wide_terminal_too_where_they_do_not_fit() -> None:
    rows = [("n" * 60, "Ready", "r" * 60, "short")]
    assert lines_of(120, rows)[0].split() == ["NAME", "STATE", "REASON"]


def test_a_sentence_with_a_word_that_does_not_fit_beside_goes_below() -> None:
    rows = [("shop/web", "Ready", "", "see service.contrail.juniper.net/externalNetwork please now")]
    assert lines_of(52, rows) == [
        "NAME      STATE",
        "shop/web  Ready",
        "  see service.contrail.juniper.net/externalNetwork",
        "  please now",
    ]


def test_names_that_do_not_fit_get_whole_lines() -> None:
    rows = [("a/" + "n" * 100, "Ready", "", "why not")]
    assert lines_of(40, rows)[1] == "a/" + "n" * 100 + "  why not"


@given(
    rows=st.lists(
        st.tuples(
            st.text("abc/", min_size=1, max_size=30),
            st.text("abc", max_size=10),
            st.text("abc", max_size=30),
            st.text("ab c日", max_size=200),
        ),
        min_size=1,
        max_size=5,
    ),
    width=st.integers(1, 220),
)
def test_no_word_is_ever_broken_and_what_fits_stays_inside(rows: list[tuple[str, ...]], width: int) -> None:
    lines = lines_of(width, rows)
    words = {word for row in rows for cell in row for word in cell.split()}
    assert {word for line in lines[1:] for word in line.split()} <= words
    longest = max(text_width(word) for word in words) if words else 0
    if width > longest + 2:
        assert all(text_width(line) <= width for line in lines[1:])


@given(text=st.text("ab ", max_size=100), width=st.integers(1, 40))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    assert " ".join(wrapped(text, width)) == text


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0)])
def test_the_width_of_text(text: str, width: int) -> None:
    assert text_width(text) == width


def test_cells_are_escaped_before_they_are_measured() -> None:
    assert lines_of(None, [("a\x1bb", "x\ny", "", "")])[1] == r"a\x1bb  x\ny"


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("short", ["short"]),
        (
            "  reason     NetworkFull: network a/b is full",
            ["  reason     NetworkFull:", "             network a/b", "             is full"],
        ),
        ("one sentence without a label goes on", ["one sentence without a", "  label goes on"]),
        ("  → rung: takes net/ext of all", ["  → rung: takes net/ext", "    of all"]),
    ],
)
def test_a_long_line_goes_on_under_its_text(line, lines):
    assert hanging(line, 25) == lines


@given(
    st.lists(st.text("ab.:/é漢", min_size=1, max_size=30), min_size=1, max_size=12),
    st.integers(10, 60),
    st.integers(0, 4),
)
def test_a_long_line_is_broken_between_words_only(words, width, indent):
    lines = hanging(" " * indent + " ".join(words), width)
    assert [word for line in lines for word in line.split()] == words
    for line in lines:
        assert text_width(line) <= width or len(line.split()) == 1


@pytest.mark.parametrize(
    "command", [["explain", "a/lost"], ["history", "192.0.2.2"], ["verify"], ["explain", "no/body"]]
)
def test_prose_fits_the_terminal(command, past, invoke, monkeypatch):
    monkeypatch.setattr("ledgerlb.cli.console.terminal_width", lambda *, err=False: 60)
    result = invoke(*command, "--log", past.url)
    prose = [line for line in (result.stdout + result.stderr).splitlines() if not re.search(r"[0-9a-f]{64}", line)]
    assert prose
    assert [line for line in prose if text_width(line) > 60] == []
