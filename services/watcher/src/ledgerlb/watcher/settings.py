"""Settings of the watcher, from environment variables beginning with ``LEDGERLB_``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.settings import parse_duration
from ledgerlb.runtime.settings import PREFIX, refused_variable

Switch = Literal["auto", "off"]


class WatcherSettings(BaseSettings):
    """See module. Build it with ``watcher_settings()``, which raises InvalidSetting instead of pydantic's error."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    kubeconfig: Path | None = None
    """Which cluster; unset: the pod's own service account where there is one, else the file that kubectl would use."""
    manifests: Path | None = None
    """A folder of manifests to use in place of an API server."""
    write_concurrency: int = Field(default=32, ge=1, le=256)
    """Most writes to the API server at a time."""
    write_timeout: float = Field(default=10.0, gt=0, le=120)
    """Seconds for one write."""

    cn2_objects: Switch = "auto"
    """InstanceIPs and FloatingIPs of Services: made where the cluster serves them, or ``off``: none (those that an
    earlier run made are removed)."""
    nad_objects: Switch = "auto"
    """VirtualNetworks and Subnets of NetworkAttachmentDefinitions: made where the cluster serves them, or ``off``:
    CN2 or a person makes them."""

    adopt_log: bool = False
    """Whether to take over a log that is about another cluster or folder; the log records who did."""
    deletion_grace: float = Field(default=600.0, ge=0, le=7 * 86400)
    """Seconds, or a duration such as ``10m``, for which a mass deletion is held back (more than 20 % of the Services
    and at least 5 in one list or folder change, or networks with that share of all holders)."""

    @field_validator("deletion_grace", mode="before")
    @classmethod
    def _duration(cls, value: object) -> object:
        return parse_duration(value) if isinstance(value, str) else value

    @field_validator("kubeconfig", "manifests", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        return value or None


def watcher_settings(**overrides: Any) -> WatcherSettings:
    """Return the settings from the environment; ``overrides`` (by field name) win. Raises InvalidSetting."""
    try:
        settings = WatcherSettings(**overrides)
    except ValidationError as error:
        raise refused_variable(error) from error
    if settings.kubeconfig is not None and settings.manifests is not None:
        raise InvalidSetting(
            "environment",
            f"{PREFIX}MANIFESTS",
            f"is set, and so is {PREFIX}KUBECONFIG",
            "set one of them: a cluster, or a folder in its place",
        )
    return settings
