"""Settings of the ecmp-programmer, from environment variables beginning with ``LEDGERLB_``."""

from __future__ import annotations

import socket
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ledgerlb.core.settings import Seconds
from ledgerlb.ecmp_programmer.backends.base import DataPath
from ledgerlb.ecmp_programmer.backends.fabric_linux import DEFAULT_PROTOCOL, FabricLinux
from ledgerlb.ecmp_programmer.backends.fabric_state import DEFAULT_ID_BASE
from ledgerlb.ecmp_programmer.backends.node import DEFAULT_TABLE, Node
from ledgerlb.ecmp_programmer.backends.record import RecordBackend
from ledgerlb.ecmp_programmer.netlink.wire import MAIN_TABLE
from ledgerlb.runtime.settings import PREFIX, refused_variable

Role = Literal["planner", "agent"]
_MAX_U32: Final = 2**32 - 1


class ProgrammerSettings(BaseSettings):
    """See module. Build it with ``programmer_settings()``, which raises InvalidSetting instead of pydantic's error."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    roles: Annotated[tuple[Role, ...], NoDecode] = ("planner", "agent")
    """What this process does, comma-separated: ``planner`` (one a cluster) and ``agent`` (one a node or gateway)."""
    agent_name: str = ""
    """The node's name, or ``fabric`` for a gateway of the whole cluster; empty: ``fabric`` for the ``record`` back end,
    else the machine's host name."""
    backend: Literal["record", "fabric-linux", "node"] = "record"
    """What the agent programs: nothing (``record``), the routes of a gateway (``fabric-linux``), or the translation to
    the pods of a node (``node``)."""
    heartbeat_interval: Seconds = Field(default=5.0, ge=0.1, le=60)
    reconcile_interval: Seconds = Field(default=30.0, ge=1, le=3600)
    take_down_on_stop: bool = False
    """Whether a stopping agent removes what it programmed and sends a goodbye; by default the routes stay."""
    fabric_allow_host_namespace: bool = False
    """Whether ``fabric-linux`` may change the routes of the machine itself, as it must on a real gateway."""
    fabric_netns: str = Field(default="", pattern=r"^[^/]*$")
    """The network namespace (of ``ip netns``) to program; empty: the process's own."""
    node_allow_host_namespace: bool = False
    """Whether ``node`` may change the nftables of the machine itself, as it must on a real node."""
    node_netns: str = Field(default="", pattern=r"^[^/]*$")
    """The network namespace (of ``ip netns``) to program and set up; empty: the process's own, whose settings are only
    checked."""
    node_table: str = Field(default=DEFAULT_TABLE, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    """The nftables table (family inet) that is LedgerLB's alone."""
    fabric_table: int = Field(default=MAIN_TABLE, ge=1, le=_MAX_U32)
    fabric_protocol: int = Field(default=DEFAULT_PROTOCOL, ge=5, le=255)
    """The route protocol number that marks LedgerLB's objects."""
    fabric_id_base: int = Field(default=DEFAULT_ID_BASE, ge=1, le=_MAX_U32 - 2**20)
    """The first of 1,048,576 next-hop ids that are LedgerLB's alone."""

    @field_validator("roles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        return value

    @field_validator("roles")
    @classmethod
    def _some(cls, value: tuple[Role, ...]) -> tuple[Role, ...]:
        if not value:
            raise ValueError("names no role")
        return value

    def name_of_agent(self) -> str:
        """Return the agent's name; see ``agent_name``."""
        return self.agent_name or ("fabric" if self.backend == "record" else socket.gethostname())

    def make_backend(self) -> DataPath:
        """Return the back end that the settings name, not opened yet."""
        if self.backend == "record":
            return RecordBackend()
        if self.backend == "node":
            return Node(
                self.name_of_agent(),
                netns=self.node_netns,
                allow_host_namespace=self.node_allow_host_namespace,
                table=self.node_table,
            )
        return FabricLinux(
            netns=self.fabric_netns,
            allow_host_namespace=self.fabric_allow_host_namespace,
            protocol=self.fabric_protocol,
            table=self.fabric_table,
            id_base=self.fabric_id_base,
        )


def programmer_settings(**overrides: Any) -> ProgrammerSettings:
    """Return the settings from the environment, with ``overrides`` (by field name) above it; raises InvalidSetting."""
    try:
        return ProgrammerSettings(**overrides)
    except ValidationError as error:
        raise refused_variable(error) from error
