"""The whole pipeline on a real broker with a key for each service: what others write to the topics changes nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ledgerlb.core.ledger.entry import Entry, decode_entry, digest, encode_entry
from ledgerlb.core.ledger.events import AddressReleasing
from ledgerlb.core.signatures import KEY_HEADER, SIGNATURE_HEADER
from ledgerlb.eventlog.keys import TrustedFile, make_key, write_private, write_trusted
from ledgerlb.eventlog.topics import HEADS, LEDGER, PATHS, REPORTS
from tests.support import scene
from tests.support.containers import KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline, program
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ADDRESS = scene.nth_address(0)


def keys_for_each(folder: Path) -> dict[str, dict[str, str]]:
    """The variables of each service: its own key, and the keys of all."""
    folder.mkdir()
    trusted, environment = [], {}
    for service, signs in (("ipam", "ledger"), ("planner", "paths"), ("agent", "reports")):
        pem, public = make_key((signs,))  # type: ignore[arg-type]
        write_private(folder / f"{service}.pem", pem)
        trusted.append(public)
        environment[service] = {"LEDGERLB_SIGNING_KEY_FILE": str(folder / f"{service}.pem")}
    write_trusted(folder / "trusted.json", TrustedFile(keys=tuple(trusted)))
    names = {"LEDGERLB_TRUSTED_KEYS_FILE": str(folder / "trusted.json")}
    return {
        name: {**environment.get(name, {}), **names}
        for name in ("watcher", "network-selector", "ipam", "planner", "agent")
    }


def forge(kafka: LogView) -> None:
    """Say that the address is being released, that nobody forwards it, and that its path set is gone."""
    last = kafka.records(LEDGER)[-1]
    before = decode_entry(last.key, last.value)
    event = AddressReleasing(ADDRESS, f"{scene.SHOP}/web", "ServiceDeleted")
    prev = digest(last.value or b"")
    raw = encode_entry(Entry(before.v, last.key, before.seq + 1, prev, before.decided_at, "evil", (), (event,)))
    kafka.append(PATHS, ADDRESS, None)
    kafka.append(REPORTS, f"{ADDRESS}/fabric", None)
    kafka.append(LEDGER, last.key, raw)


def verify(url: str, keys: Path) -> tuple[int, dict[str, Any]]:
    command = [program("ledgerlb"), "verify", "--log", url, "--keys", str(keys), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


def test_what_no_service_signed_changes_nothing(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    environment = keys_for_each(tmp_path / "keys")
    trusted = tmp_path / "keys" / "trusted.json"
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path, environment=environment) as pipeline:
        scene.set_up(cluster)
        scene.serve_one(cluster, "web")
        eventually(lambda: kafka.records(HEADS), "IPAM keeps a head")
        for topic in (LEDGER, HEADS, PATHS, REPORTS):
            found = kafka.records(topic)
            assert found, topic.name
            assert all({KEY_HEADER, SIGNATURE_HEADER} <= dict(record.headers).keys() for record in found), topic.name
        status, report = verify(kafka.url, trusted)
        assert (status, report["findings"]) == (0, [])
        assert [head["proven"] for head in report["heads"]] == [head["seq"] for head in report["heads"]]

        forge(kafka)
        pipeline.wait_not_ready("ipam", seconds=20)

        def written_again() -> bool:
            last = [record for record in kafka.records(PATHS) if record.key == ADDRESS][-1]
            return bool(last.value and last.headers)

        eventually(written_again, "the planner writes its path set again")
        assert scene.wait_served(cluster, ["web"]) == {"web": ADDRESS}
        assert pipeline.pids(), "no process ended"
    status, report = verify(kafka.url, trusted)
    assert status == 1
    assert {finding["rule"] for finding in report["findings"]} == {"Unsigned"}
