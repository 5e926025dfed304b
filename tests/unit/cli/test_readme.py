"""The YAML of README.md, put into a folder with one Service, gives that Service an address."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders.objects import backends, node, service
from tests.support.environment import remove_settings
from tests.unit.cli.conftest import Invoke

README = Path(__file__).resolve().parents[3] / "README.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
NETWORKS = {
    "NetworkAttachmentDefinition": ("ecmp-project/ecmp-default", "192.168.102.2", "default-selector"),
    "AddressPool": ("pool/edge", "198.51.100.10", "default-pool"),
}

PLANS = {
    "NetworkAttachmentDefinition": "  prefix       192.168.102.0/24\n",
    "AddressPool": "  addresses    198.51.100.10-198.51.100.20, 203.0.113.0/24\n",
}


def test_the_readme_shows_a_network_of_each_kind() -> None:
    kinds = {document["kind"] for block in BLOCKS for document in yaml.safe_load_all(block)}
    assert set(NETWORKS) <= kinds


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_and_a_service_are_enough(
    block: str, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_settings(monkeypatch)
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "network.yaml").write_text(block, "utf-8")
    objects = [service("shop/web"), backends("shop/web", n1=["10.1.0.1"]), node("n1")]
    (folder / "service.yaml").write_text(yaml.safe_dump_all(objects), "utf-8")
    log = f"sqlite://{tmp_path / 'ledger.db'}"
    done = invoke("run", "--manifests", str(folder), "--log", log, "--until-settled", "--require-ready", "-o", "json")
    assert done.exit_code == 0, done.output
    shown: dict[str, Any] = json.loads(done.stdout)["services"]["shop/web"]
    kind = next(document["kind"] for document in yaml.safe_load_all(block) if document["kind"] in NETWORKS)
    assert (shown["network"], shown["addresses"][0], shown["rung"]) == NETWORKS[kind]
    explained = invoke("explain", "network", shown["network"], "--log", log).stdout
    assert PLANS[kind] in explained
    assert shown["network"] in invoke("history", shown["addresses"][0], "--log", log).stdout
