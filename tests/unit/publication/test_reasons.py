from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ledgerlb.core.reasons import REASONS, Reason, is_warning

ROOT = Path(__file__).parents[3]
EVENT_TYPES = {
    "services/cli/src/ledgerlb/cli/commands/tail.py": {"PrefixChangeRefused"},
    "libs/core/src/ledgerlb/core/ledger/fold.py": {"Accepted"},
}
"""Modules that name a type of ledger event, or a class, which has the name of a reason."""


def test_every_reason_is_explained():
    assert sorted(REASONS) == sorted(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_reasons_are_fit_for_conditions_and_explained(reason):
    assert re.fullmatch(r"[A-Z][A-Za-z]+", reason)
    assert REASONS[reason].meaning.endswith(".")
    assert "\n" not in REASONS[reason].meaning
    assert REASONS[reason].remedy.endswith(".") or not REASONS[reason].remedy


def test_every_warning_has_a_remedy():
    assert [r for r in Reason if REASONS[r].warning and not REASONS[r].remedy] == [Reason.ADOPTION_REFUSED]


def test_an_unknown_reason_counts_as_a_warning():
    assert is_warning("SomethingNew")
    assert not is_warning("AddressAllocated")


def test_code_uses_the_enum_instead_of_the_values():
    found = [
        f"{path.relative_to(ROOT)}:{line} {text!r}"
        for part in ("libs", "services")
        for path in sorted((ROOT / part).rglob("*.py"))
        if path.name != "reasons.py"
        for line, text in _literals(path)
        if (word := text.partition(":")[0]) in REASONS
        and word not in EVENT_TYPES.get(str(path.relative_to(ROOT)), set())
    ]
    assert found == [], "use ledgerlb.core.reasons.Reason"


def _literals(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return ((node.lineno, node.value) for node in ast.walk(tree) if _is_text(node))


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
