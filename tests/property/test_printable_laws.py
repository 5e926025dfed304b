"""Laws of the one function that decides which characters reach a terminal."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from ledgerlb.core.text import printable, printable_json

STEERING = {"Cc", "Cs", "Zl", "Zp"}
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
ANY = st.text(st.characters())
"""Halves of surrogate pairs included."""


def steers(char: str) -> bool:
    return unicodedata.category(char) in STEERING or unicodedata.bidirectional(char) in BIDI


def test_every_character_that_steers_is_escaped() -> None:
    everything = map(chr, range(0x110000))
    assert [hex(ord(char)) for char in everything if steers(char) and printable(char) == char] == []


def test_what_is_escaped_cannot_be_seen() -> None:
    invisible = {"Cc", "Cf", "Cs", "Zl", "Zp", "Mn", "Cn", "Lo"}
    escaped = [char for char in map(chr, range(0x110000)) if printable(char) != char]
    assert {unicodedata.category(char) for char in escaped} <= invisible
    fillers = [char for char in escaped if unicodedata.category(char) == "Lo"]
    assert all("FILLER" in unicodedata.name(char) for char in fillers)


@given(ANY)
def test_the_result_is_clean_encodable_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not any(map(steers, shown))
    assert printable(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\u115f\u1160\u3164\uffa0")))
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text


@given(st.recursive(ANY | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_json_keeps_its_meaning(data: object) -> None:
    document = printable_json(json.dumps(data, ensure_ascii=False))
    assert json.loads(document) == data
    assert printable(document) == document
