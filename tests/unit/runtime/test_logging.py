"""Log lines cannot steer a terminal, whichever form they have."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from ledgerlb.runtime.logging import configure

HOSTILE = "\x1b]0;owned\x07\x9b2J\r\nfake \u202egnp\u200b\x7f[red]x[/red]"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def written(form: Literal["json", "console"], write: Any) -> str:
    out = io.StringIO()
    configure("test", form=form, stream=out)
    write()
    return out.getvalue()


def by_structlog() -> None:
    structlog.get_logger("x").warning(HOSTILE, name=HOSTILE, many=[HOSTILE], error=ValueError(HOSTILE), count=3)


def by_a_library() -> None:
    logging.getLogger("library").warning("broken: %s", HOSTILE)


def with_a_traceback() -> None:
    try:
        int(HOSTILE)
    except ValueError:
        structlog.get_logger("x").exception("failed")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("write", [by_structlog, by_a_library, with_a_traceback])
def test_nothing_steers(form: Literal["json", "console"], write: Any) -> None:
    text = written(form, write)
    assert text
    assert [char for char in text if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"}] == []


@pytest.mark.parametrize("write", [by_structlog, by_a_library])
def test_a_line_break_makes_no_second_line(write: Any) -> None:
    assert len(written("console", write).splitlines()) == 1


def test_json_keeps_the_meaning() -> None:
    assert json.loads(written("json", by_structlog))["name"] == HOSTILE


def test_a_traceback_keeps_its_lines() -> None:
    assert "\n    int(HOSTILE)\n" in written("console", with_a_traceback)


def test_numbers_stay_numbers() -> None:
    assert "count=3" in written("console", by_structlog)
