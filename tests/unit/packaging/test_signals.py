"""The suite runs in the background too: child processes see the signals that their tests send."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support.signals import start_children_with_default_signals

SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
PRINT = "import signal; print(*(signal.getsignal(number) is signal.SIG_IGN for number in (2, 3, 1)))"


@pytest.fixture
def ignored():
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_children_get_the_default_signals_and_the_tests_go_on_ignoring_them(ignored):
    start_children_with_default_signals()
    child = subprocess.run([sys.executable, "-S", "-c", PRINT], capture_output=True, text=True, check=True, timeout=60)
    assert child.stdout.split() == ["False"] * 3
    for number in SIGNALS:
        os.kill(os.getpid(), number)


def test_a_signal_that_is_not_ignored_keeps_its_handler():
    before = signal.getsignal(signal.SIGINT)
    start_children_with_default_signals()
    assert signal.getsignal(signal.SIGINT) is before or before is signal.SIG_IGN
