"""The environment without settings of LedgerLB: a test and its child processes get only what the test sets."""

from __future__ import annotations

import os

import pytest

_SETTINGS = ("LEDGERLB_", "KUBE")


def without_settings() -> dict[str, str]:
    """Return the environment for a child process, without settings of LedgerLB and without a kubeconfig."""
    return {key: value for key, value in os.environ.items() if not key.startswith(_SETTINGS)}


def remove_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of LedgerLB and the kubeconfig from the environment of this process, for one test."""
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
        monkeypatch.delenv(name)
