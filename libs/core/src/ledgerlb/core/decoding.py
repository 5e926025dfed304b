"""What is wrong with data that does not fit its model."""

from __future__ import annotations

from pydantic import ValidationError


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the field (``value``: the whole) and the problem of the first thing that is wrong."""
    first = error.errors(include_url=False)[0]
    return ".".join(str(part) for part in first["loc"]) or "value", first["msg"]
