"""Signals for child processes of the tests, however the tests were started.

A shell starts ``make test &`` with SIGINT and SIGQUIT ignored, and ``nohup`` ignores SIGHUP. Children inherit that: a
program under test would never see the SIGINT that its test sends.
"""

from __future__ import annotations

import signal

_INHERITED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def start_children_with_default_signals() -> None:
    """Give children the default disposition of each signal that this process ignores; it goes on ignoring them.

    The kernel resets a signal with a handler to its default when a child starts its program, an ignored one it does not.
    """
    for number in _INHERITED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _nothing)


def _nothing(*_: object) -> None:
    """Ignore the signal."""
