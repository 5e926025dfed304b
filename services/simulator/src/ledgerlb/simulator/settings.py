"""The settings of a scenario: the documented keys of the services' configuration, and no others."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from ledgerlb.core.settings import DomainSettings
from ledgerlb.simulator.located import Document, Place


def load_settings(document: Document, place: Place) -> DomainSettings:
    """Read the settings under ``place``; raises InvalidManifest for the first that cannot be used."""
    data = document.data
    for part in place:
        data = data[part]
    if not isinstance(data, dict):
        raise document.error(place, "is not a mapping", "write settings as key: value")
    try:
        return DomainSettings.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = (*place, *first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            raise document.error(at, "is not a setting", f"known: {', '.join(_known(first['loc']))}") from error
        raise document.error(at, message) from error


def _known(place: Sequence[str | int]) -> list[str]:
    """Return the settings that are allowed beside the one at ``place``."""
    model: type[BaseModel] = DomainSettings
    for part in place[:-1]:
        inner = next((f.annotation for name, f in model.model_fields.items() if part in {f.alias, name}), None)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return sorted(f.alias or name for name, f in model.model_fields.items())
