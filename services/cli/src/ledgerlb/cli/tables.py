"""Tables of plain text that fit the terminal without breaking a word, an address or a name.

The rule, in this order:

1. Output to a file or pipe gets every column, and one line per row, however long.
2. A terminal of fewer than ``NARROW`` columns gets no ``roomy`` column.
3. While the table does not fit, the column with the lowest ``drop`` leaves (0: never).
4. A last column of sentences is wrapped between words. Where its longest word does not fit beside the other columns,
   it leaves the table: each sentence is printed under its row, wrapped and indented.
5. Where even the other columns do not fit, rows get whole lines, as a file does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ledgerlb.cli.console import say, terminal_width
from ledgerlb.cli.wrapping import text_width, wrapped
from ledgerlb.core.text import printable

NARROW: Final = 100
"""Columns of a terminal below which a table leaves its roomy columns out."""
SENTENCE: Final = 30
"""Columns that sentences need at least."""
_GAP: Final = 2
"""Blanks between two columns."""

Cell = str | Sequence[str]
"""One line, or several."""
_Row = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Column:
    """A column. ``drop``: when it leaves a table that is too wide, 1 first, 0 never. ``roomy``: only on terminals of
    at least ``NARROW`` columns. ``sentence``: may be wrapped between words; only the last column may be one.
    """

    title: str
    drop: int = 0
    roomy: bool = False
    sentence: bool = False


@dataclass(frozen=True)
class Table:
    """A table laid out: the line of titles, and the lines of each row."""

    head: str
    rows: tuple[tuple[str, ...], ...]


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, whole_lines: bool = False) -> None:
    """Print a table; with ``whole_lines`` with every column and however wide."""
    laid_out = layout(columns, rows, None if whole_lines else terminal_width())
    say(laid_out.head, bold=True, whole=True)
    for row in laid_out.rows:
        for line in row:
            say(line, whole=True)


def layout(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int | None) -> Table:
    """Lay a table out by the rule of this module; ``width`` None is unbounded. Text is escaped for a terminal."""
    cells: list[_Row] = [tuple(_lines(cell) for cell in row) for row in rows]
    shown = _columns_for(columns, cells, width)
    kept = [tuple(row[index] for index in shown) for row in cells]
    titles = tuple((columns[index].title,) for index in shown)
    widths = [_width(column) for column in zip(titles, *kept, strict=True)]
    if width is None or not columns[shown[-1]].sentence:
        return _table(titles, kept, widths)
    used = sum(widths[:-1]) + _GAP * len(widths[:-1])
    if width - used >= _least((titles[-1], *(row[-1] for row in kept))):
        return _table(titles, [(*row[:-1], _wrapped_cell(row[-1], width - used)) for row in kept], widths)
    if width >= used - _GAP:
        return _with_sentences_below(titles, kept, widths, width)
    return _table(titles, kept, widths)


def _table(titles: _Row, rows: Sequence[_Row], widths: Sequence[int]) -> Table:
    return Table(_row_lines(titles, widths)[0], tuple(tuple(_row_lines(row, widths)) for row in rows))


def _with_sentences_below(titles: _Row, rows: Sequence[_Row], widths: Sequence[int], width: int) -> Table:
    """Lay out all columns but the last, whose sentences go under their rows."""
    lines = []
    for row in rows:
        below = _wrapped_cell(row[-1], width - _GAP) if any(row[-1]) else ()
        lines.append((*_row_lines(row[:-1], widths), *(" " * _GAP + line for line in below)))
    return Table(_row_lines(titles[:-1], widths)[0], tuple(lines))


def _wrapped_cell(cell: tuple[str, ...], width: int) -> tuple[str, ...]:
    return tuple(part for line in cell for part in wrapped(line, width))


def _columns_for(columns: Sequence[Column], rows: Sequence[_Row], width: int | None) -> list[int]:
    """Return the indices of the columns to show."""
    shown = list(range(len(columns)))
    if width is None:
        return shown
    if width < NARROW:
        shown = [index for index in shown if not columns[index].roomy]
    needs = [_width([(column.title,), *(row[index] for row in rows)]) for index, column in enumerate(columns)]
    if columns[-1].sentence:
        needs[-1] = min(needs[-1], SENTENCE)
    leaving = sorted((index for index in shown if columns[index].drop), key=lambda index: columns[index].drop)
    while leaving and sum(needs[index] + _GAP for index in shown) - _GAP > width:
        shown.remove(leaving.pop(0))
    return shown


def _lines(cell: Cell) -> tuple[str, ...]:
    return tuple(map(printable, (cell,) if isinstance(cell, str) else cell)) or ("",)


def _width(cells: Iterable[tuple[str, ...]]) -> int:
    return max(text_width(line) for cell in cells for line in cell)


def _least(cells: Iterable[tuple[str, ...]]) -> int:
    """Return the columns that sentences need: no word is broken, and a long sentence gets some room."""
    lines = [line for cell in cells for line in cell]
    longest_word = max((text_width(word) for line in lines for word in line.split(" ")), default=0)
    return max(longest_word, min(SENTENCE, max(map(text_width, lines), default=0)))


def _row_lines(row: _Row, widths: Sequence[int]) -> list[str]:
    lines = []
    for number in range(max(map(len, row))):
        parts = [
            _padded(cell[number] if number < len(cell) else "", width) for cell, width in zip(row, widths, strict=False)
        ]
        lines.append((" " * _GAP).join(parts).rstrip(" "))
    return lines


def _padded(text: str, width: int) -> str:
    return text + " " * (width - text_width(text))
