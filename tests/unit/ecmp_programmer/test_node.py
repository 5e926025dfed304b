"""The node back end against a kernel that only counts transactions: what it does when others interfere or refuse."""

from __future__ import annotations

from typing import Any

import pytest

from ledgerlb.core.errors import DataPathError
from ledgerlb.core.paths.pathset import PathSet
from ledgerlb.ecmp_programmer.backends import nft, node
from ledgerlb.ecmp_programmer.backends.node import Node
from ledgerlb.ecmp_programmer.netlink import conntrack
from ledgerlb.ecmp_programmer.netlink.conntrack import Flow
from tests.unit.ecmp_programmer.test_node_rules import ADDRESS, A, B, path_set

OTHER = "192.168.102.11"


class Kernel:
    """Counts transactions, and refuses those that contain one of ``bad``."""

    def __init__(self) -> None:
        self.generation = 7
        self.is_touched = False
        self.bad: list[str] = []
        self.broken = ""
        self.intruders = 0
        self.texts: list[str] = []
        self.flows: list[Flow] = []
        self.forgotten: list[Flow] = []

    def number(self) -> int:
        return self.generation

    def touched(self) -> bool:
        found, self.is_touched = self.is_touched, False
        return found

    def close(self) -> None:
        pass

    async def commit(self, text: str, netns: str) -> None:
        del netns
        if self.broken:
            raise DataPathError(self.broken)
        if any(bad in text for bad in self.bad):
            raise nft.Refused("nft refuses: not this one")
        self.texts.append(text)
        self.generation += 1 + self.intruders
        self.intruders = 0

    def forget(self, address: str, unwanted: Any) -> int:
        found = [flow for flow in self.flows if flow.address == address and unwanted(flow)]
        self.forgotten += found
        return len(found)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(nft, "commit", made.commit)
    monkeypatch.setattr(node, "Generation", lambda _: made)
    monkeypatch.setattr(node, "TableWatch", lambda *_: made)
    monkeypatch.setattr(node, "open_socket", lambda **_: None)
    monkeypatch.setattr(node, "within", lambda _, work: work())
    monkeypatch.setattr(conntrack, "flows", lambda: made.flows)
    monkeypatch.setattr(conntrack, "forget", made.forget)
    return made


async def opened(**wanted: PathSet) -> Node:
    backend = Node("n1", allow_host_namespace=True)
    await backend.open()
    await backend.reconcile({one.address: one for one in wanted.values()})
    return backend


async def test_the_machines_own_rules_are_not_touched_unless_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "in_host_namespace", lambda: True)
    with pytest.raises(DataPathError, match="LEDGERLB_NODE_ALLOW_HOST_NAMESPACE=true"):
        await Node("n1").open()


async def test_at_start_the_table_is_replaced_in_one_transaction(kernel: Kernel) -> None:
    await opened(web=path_set(A, B))
    (text,) = kernel.texts
    assert text.startswith("add table inet ledgerlb\ndelete table inet ledgerlb\nadd table inet ledgerlb\n")


async def test_what_is_right_already_is_not_said_again(kernel: Kernel) -> None:
    backend = await opened(web=path_set(A, B))
    await backend.reconcile({ADDRESS: path_set(A, B)})
    await backend.apply({ADDRESS: path_set(A, B)})
    assert len(kernel.texts) == 1


async def test_another_programs_transactions_in_its_own_tables_do_not_matter(kernel: Kernel) -> None:
    backend = await opened(web=path_set(A, B))
    kernel.generation += 3
    assert not backend.stale()
    await backend.reconcile({ADDRESS: path_set(A, B)})
    assert len(kernel.texts) == 1


async def test_a_table_that_another_program_changed_is_replaced(kernel: Kernel) -> None:
    backend = await opened(web=path_set(A, B))
    kernel.generation += 1
    kernel.is_touched = True
    assert backend.stale()
    await backend.apply({ADDRESS: path_set(A)})
    assert "delete table inet ledgerlb" in kernel.texts[1]
    assert not backend.stale()


async def test_a_transaction_in_between_makes_the_table_doubtful(kernel: Kernel) -> None:
    backend = await opened(web=path_set(A, B))
    kernel.intruders = 1
    await backend.apply({ADDRESS: path_set(A)})
    assert backend.stale()
    await backend.reconcile({ADDRESS: path_set(A)})
    assert "delete table inet ledgerlb" in kernel.texts[-1]


async def test_one_address_that_is_refused_does_not_keep_the_others_from_working(kernel: Kernel) -> None:
    kernel.bad = [OTHER]
    backend = Node("n1", allow_host_namespace=True)
    await backend.open()
    wanted = {
        ADDRESS: path_set(A),
        OTHER: path_set(B, address=OTHER),
        "192.168.102.12": path_set(B, address="192.168.102.12"),
    }
    outcomes = await backend.reconcile(wanted)
    assert {address: outcome.state for address, outcome in outcomes.items()} == {
        ADDRESS: "programmed", OTHER: "failed", "192.168.102.12": "programmed",
    }  # fmt: skip
    assert "not this one" in outcomes[OTHER].message
    kernel.bad = []
    assert (await backend.apply({OTHER: wanted[OTHER]}))[OTHER].state == "programmed"


async def test_a_missing_tool_is_named_and_the_next_try_starts_from_scratch(kernel: Kernel) -> None:
    kernel.broken = "the program nft is missing: install the package nftables"
    backend = Node("n1", allow_host_namespace=True)
    await backend.open()
    with pytest.raises(DataPathError, match="install the package nftables"):
        await backend.reconcile({ADDRESS: path_set(A)})
    kernel.broken = ""
    assert (await backend.reconcile({ADDRESS: path_set(A)}))[ADDRESS].state == "programmed"
    assert "delete table inet ledgerlb" in kernel.texts[0]


async def test_addresses_that_are_wanted_no_more_are_removed(kernel: Kernel) -> None:
    backend = await opened(web=path_set(A), api=path_set(B, address=OTHER))
    outcomes = await backend.reconcile({ADDRESS: path_set(A)})
    assert list(outcomes) == [ADDRESS]
    assert f"delete chain inet ledgerlb tcp-80-{OTHER}" in kernel.texts[1]


async def test_datagram_flows_of_a_backend_that_was_taken_away_are_forgotten(kernel: Kernel) -> None:
    backend = await opened(dns=path_set(A, B, protocol="UDP", port=53))
    stays, goes = (Flow(ADDRESS, "udp", 53, 4000, one, b"") for one in (A, B))
    kernel.flows = [stays, goes, Flow(ADDRESS, "udp", 99, 4000, B, b"")]
    await backend.apply({ADDRESS: path_set(A, protocol="UDP", port=53)})
    assert kernel.forgotten == [goes]


async def test_at_start_connections_to_backends_that_went_meanwhile_are_reset(kernel: Kernel) -> None:
    kernel.flows = [Flow(ADDRESS, "tcp", 80, 4000, one, b"") for one in (A, B)]
    await opened(web=path_set(A))
    assert [text.split("timeout")[0] for text in kernel.texts[1:]] == [
        f"add element inet ledgerlb gone4 {{ {ADDRESS} . 10.244.1.2 . 8080 "
    ]
