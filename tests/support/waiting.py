"""Waiting for conditions: with a deadline, and with what was last seen in the message when it passes."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

NOT_YET = (AssertionError, OSError, LookupError, http.client.HTTPException)
"""What a look may raise to say "not yet"; the text of the last one goes into the message."""


def eventually(look: Callable[[], T], what: str, seconds: float = 30.0, every: float = 0.1) -> T:
    """Look until it gives something true, and return that. Raises AssertionError once `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
            if found:
                return found
            seen = f"last seen: {found!r}"
        except NOT_YET as error:
            seen = f"last seen: {type(error).__name__} {error}"
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; {seen}")
        time.sleep(every)
