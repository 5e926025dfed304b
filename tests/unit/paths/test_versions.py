"""Path sets of every released version are read; those of a newer one are refused.

``tests/golden/path-sets-v<n>.jsonl`` holds path sets as version n wrote them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.paths.pathset import Frontend, LocalBackends, PathSet, decode_path_set, encode_path_set
from ledgerlb.core.paths.upcast import VERSION

GOLDEN = Path(__file__).parents[2] / "golden"


def golden(version: int) -> dict[str, PathSet]:
    found = {}
    for line in (GOLDEN / f"path-sets-v{version}.jsonl").read_bytes().splitlines():
        address = json.loads(line)["address"]
        path_set = decode_path_set(address, line)
        assert path_set is not None
        found[address] = path_set
    return found


def test_version_1_is_read_with_its_ranges_and_affinity_for_each_port() -> None:
    one = golden(1)["192.168.102.2"]
    assert one.frontends == (
        Frontend(
            service="shop/web", protocol="TCP", port=80, source_ranges=("10.0.0.0/8",), affinity=True,
            affinity_timeout=60, external_traffic_policy="Local",
            local=(
                LocalBackends(node="n1", backends=("10.1.1.1:8080",)),
                LocalBackends(node="n2", backends=("10.1.2.1:8080",), draining=("10.1.2.2:8080",)),
            ),
        ),
    )  # fmt: skip
    assert [(hop.node, hop.via, hop.weight) for hop in one.next_hops] == [("n1", "10.0.0.1", 1), ("n2", "10.0.0.2", 1)]


def test_version_1_does_not_tell_the_backends_of_several_ports_apart_so_weights_are_kept_only() -> None:
    shared = golden(1)["192.168.102.3"]
    assert [(found.port, found.source_ranges, found.local) for found in shared.frontends] == [
        (53, ("10.0.0.0/8",), ()),
        (80, ("10.0.0.0/8",), ()),
    ]
    assert [(hop.node, hop.weight) for hop in shared.next_hops] == [("n1", 1), ("n2", 1)]


def test_version_1_closed_empty_and_withdrawn_path_sets_stay_so() -> None:
    found = golden(1)
    assert found["192.168.102.4"].admits_nobody
    assert found["2001:db8::2"].next_hops == ()
    assert (found["192.168.102.5"].withdraw, found["192.168.102.5"].release) == (True, "contrail/external#9")


def test_what_is_read_of_an_older_version_is_written_as_the_present_one() -> None:
    for address, path_set in golden(1).items():
        written = encode_path_set(path_set)
        assert json.loads(written)["v"] == VERSION
        assert decode_path_set(address, written) == path_set


def test_a_newer_version_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(UndecodableRecord, match=f"versions up to {VERSION}.*upgrade this reader"):
        decode_path_set("192.0.2.1", b'{"v":3,"address":"192.0.2.1","family":4,"network":"a/b"}')


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("local", [{"node": "n1", "backends": ["10.0.0.1"]}]),
        ("local", [{"node": "n1", "backends": ["10.0.0.1:0"]}]),
        ("local", [{"node": "n1", "backends": ["10.0.0.1:+80"]}]),
        ("local", [{"node": "n1", "backends": ["fd00::1:80"]}]),
        ("local", [{"node": "n1", "draining": ["10.0.0.1 }\n flush ruleset:80"]}]),
        ("source_ranges", ["10.0.0.1/8"]),
        ("source_ranges", ["10.0.0.0/8 }"]),
        ("protocol", "DCCP"),
        ("port", 0),
        ("port", 70000),
    ],
)
def test_what_agents_pass_on_to_the_kernels_tools_is_checked_when_it_is_read(field: str, value: object) -> None:
    frontend = {"service": "a/b", "protocol": "TCP", "port": 80, field: value}
    record = {"v": VERSION, "address": "192.0.2.1", "family": 4, "network": "a/b", "frontends": [frontend]}
    with pytest.raises(UndecodableRecord, match=f"frontends.0.{field}"):
        decode_path_set("192.0.2.1", json.dumps(record).encode())


@pytest.mark.parametrize("value", [b"[]", b"{", b'{"frontends": 1}', b'{"frontends": [1]}', b"\xff", b"[" * 10_000])
def test_what_is_no_path_set_is_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        decode_path_set("192.0.2.1", value)
