"""Settings from the environment, and where fabric-linux refuses to work."""

from __future__ import annotations

import pytest

from ledgerlb.core.errors import DataPathError, InvalidSetting
from ledgerlb.ecmp_programmer.backends import fabric_linux
from ledgerlb.ecmp_programmer.backends.fabric_linux import FabricLinux
from ledgerlb.ecmp_programmer.settings import programmer_settings


def test_by_default_it_plans_and_records() -> None:
    settings = programmer_settings()
    assert (settings.roles, settings.make_backend().name, settings.name_of_agent()) == (
        ("planner", "agent"),
        "record",
        "fabric",
    )
    assert (settings.heartbeat_interval, settings.reconcile_interval) == (5, 30)
    assert not settings.fabric_allow_host_namespace


def test_the_environment_says_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ROLES": " agent ", "BACKEND": "fabric-linux", "AGENT_NAME": "gw1", "HEARTBEAT_INTERVAL": "2s", "FABRIC_TABLE": "1000",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LEDGERLB_{name}", value)
    settings = programmer_settings()
    assert (settings.roles, settings.make_backend().name, settings.name_of_agent()) == (
        ("agent",),
        "fabric-linux",
        "gw1",
    )
    assert (settings.heartbeat_interval, settings.fabric_table) == (2, 1000)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ROLES", "agent,king"), ("ROLES", ""), ("BACKEND", "magic"), ("HEARTBEAT_INTERVAL", "0s"), ("FABRIC_PROTOCOL", "2"), ("FABRIC_NETNS", "a/b")],
)  # fmt: skip
def test_a_bad_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"LEDGERLB_{name}", value)
    with pytest.raises(InvalidSetting, match=f"LEDGERLB_{name}"):
        programmer_settings()


async def test_the_machines_own_routes_are_not_touched_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*args: object) -> None:
        raise AssertionError("no socket may be opened")

    monkeypatch.setattr(fabric_linux, "in_host_namespace", lambda: True)
    monkeypatch.setattr(fabric_linux, "within", never)
    with pytest.raises(DataPathError, match="LEDGERLB_FABRIC_ALLOW_HOST_NAMESPACE=true"):
        await FabricLinux().open()


async def test_a_namespace_that_is_not_there_is_named() -> None:
    with pytest.raises(DataPathError, match="ip netns add"):
        await FabricLinux(netns="no-such-namespace").open()
