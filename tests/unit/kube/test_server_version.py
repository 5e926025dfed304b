"""Which API servers are refused at start."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ledgerlb.core.errors import ClusterError, InvalidSetting
from ledgerlb.kube.api import server_version
from ledgerlb.kube.api.refusals import ApiRefused, ApiUnavailable
from ledgerlb.kube.api.server_version import check_version

SERVER = "https://192.0.2.1:6443"


class Api:
    def __init__(self, answer: dict[str, Any] | ClusterError | None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, ClusterError):
            raise self.answer
        assert self.answer is not None
        return self.answer


@pytest.mark.parametrize(("major", "minor"), [("1", "29"), ("1", "29+"), ("1", "36"), ("2", "0")])
async def test_new_enough_servers_are_asked_once_and_accepted(major, minor, caplog):
    api = Api({"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0"})
    await check_version(api, SERVER)
    assert api.asked == ["/version"]
    assert caplog.text == ""


@pytest.mark.parametrize(("major", "minor"), [("1", "28"), ("1", "9"), ("1", "28+"), ("0", "99")])
async def test_older_servers_are_refused_with_version_and_remedy(major, minor):
    api = Api({"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.3"})
    with pytest.raises(InvalidSetting) as refused:
        await check_version(api, SERVER)
    said = str(refused.value)
    assert SERVER in said
    assert f"v{major}.{minor}.3" in said
    assert "upgrade the cluster to Kubernetes 1.29" in said


@pytest.mark.parametrize(
    "answer", [ApiUnavailable("no answer"), ApiRefused("forbidden", 403), {}, {"major": "x", "minor": []}, None]
)
async def test_where_the_version_cannot_be_learnt_the_start_goes_on_and_says_so(answer, caplog, monkeypatch):
    monkeypatch.setattr(server_version, "ASK_SECONDS", 0.05)
    await check_version(Api(answer), SERVER)
    assert SERVER in caplog.text
    assert "needed=Kubernetes 1.29 or newer" in caplog.text
