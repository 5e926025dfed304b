from __future__ import annotations

import re

import pytest

from ledgerlb.core import reasons
from ledgerlb.core.reasons import REASONS

WORDS = sorted(
    value
    for name, value in vars(reasons).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
)


def test_every_word_has_an_entry_and_every_entry_a_word():
    assert sorted(REASONS) == WORDS


@pytest.mark.parametrize("word", WORDS)
def test_words_are_fit_for_conditions_and_explained(word):
    assert re.fullmatch(r"[A-Z][A-Za-z]+", word)
    assert REASONS[word].meaning.endswith(".")
    assert "\n" not in REASONS[word].meaning
    assert REASONS[word].remedy.endswith(".") or not REASONS[word].remedy


def test_what_must_be_mended_has_a_remedy():
    assert [w for w in WORDS if REASONS[w].warning and not REASONS[w].remedy] == ["AdoptionRefused"]


def test_an_unknown_word_is_taken_for_a_warning():
    assert reasons.is_warning("SomethingNew")
    assert not reasons.is_warning("AddressAllocated")
