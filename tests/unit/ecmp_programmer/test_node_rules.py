"""The rules of the node back end as text: what one change says, and what it leaves alone."""

from __future__ import annotations

from ledgerlb.core.paths.pathset import Frontend, PathSet
from ledgerlb.ecmp_programmer.backends.node_rules import Gone, Port, Writer, gone, known_of, rules_of

ADDRESS = "192.168.102.10"
WEB = Port(ADDRESS, "tcp", 80)
A, B, C = "10.244.1.1:8080", "10.244.1.2:8080", "10.244.1.3:8080"
WRITER = Writer("ledgerlb")


def path_set(*backends: str, address: str = ADDRESS, node: str = "n1", **more: object) -> PathSet:
    here = {"node": node, "backends": backends, **{k: more.pop(k) for k in ("draining", "unready") if k in more}}
    frontend = Frontend.model_validate({"service": "a/b", "protocol": "TCP", "port": 80, "local": [here], **more})
    return PathSet(address=address, family=6 if ":" in address else 4, network="a/b", frontends=(frontend,))


def test_a_node_has_rules_for_its_own_backends_only() -> None:
    assert rules_of(path_set(A, B), "n1")[WEB].backends == {A, B}
    assert rules_of(path_set(A, B), "n2") == {}
    assert rules_of(path_set(unready=(C,)), "n1") == {}


def test_nothing_is_translated_for_a_withdrawn_address_or_one_that_admits_nobody() -> None:
    assert rules_of(None, "n1") == {}
    assert rules_of(path_set(A).model_copy(update={"withdraw": True}), "n1") == {}
    assert rules_of(path_set(A, source_ranges=()), "n1") == {}


def test_backends_that_drain_take_no_new_flow_while_another_can() -> None:
    assert set(rules_of(path_set(A, draining=(B,)), "n1")[WEB].slots) == {A}
    assert set(rules_of(path_set(draining=(B,)), "n1")[WEB].slots) == {B}, (
        "late flows are served until the fabric lets go"
    )


def test_the_same_rules_need_no_transaction() -> None:
    rules = rules_of(path_set(A, B), "n1")
    assert WRITER.change(rules, rules) == ""


def test_a_change_of_backends_says_the_changed_slots_only() -> None:
    old, new = rules_of(path_set(A, B, C), "n1"), rules_of(path_set(A, B), "n1")
    lines = WRITER.change(old, new).splitlines()
    changed = sum(1 for one, other in zip(old[WEB].slots, new[WEB].slots, strict=True) if one != other)
    assert [line.split(" {")[0] for line in lines] == [
        "delete element inet ledgerlb tcp-80-192.168.102.10-slots",
        "add element inet ledgerlb tcp-80-192.168.102.10-slots",
    ]
    assert lines[1].count(" : ") == changed
    assert changed < len(old[WEB].slots) / 2


def test_other_clients_or_affinity_replace_the_port_in_the_same_transaction() -> None:
    text = WRITER.change(rules_of(path_set(A), "n1"), rules_of(path_set(A, source_ranges=("10.0.0.0/8",)), "n1"))
    assert text.index("delete chain inet ledgerlb tcp-80-192.168.102.10\n") < text.index("add chain")
    assert "add element inet ledgerlb tcp-80-192.168.102.10-clients { 10.0.0.0/8 }" in text
    assert "ip saddr != @tcp-80-192.168.102.10-clients drop" in text
    assert "addresses4" not in text, "the address stays"
    sticky = WRITER.change({}, rules_of(path_set(A, affinity=True), "n1"))
    assert "jhash ip saddr mod 251" in sticky


def test_ipv6_is_said_in_its_own_words() -> None:
    text = WRITER.change({}, rules_of(path_set("[fd00::1]:8080", address="fd00:102::10"), "n1"))
    assert "dnat ip6 to jhash ip6 saddr . tcp sport mod 251" in text
    assert "add element inet ledgerlb ports6 { fd00:102::10 . tcp . 80 : goto tcp-80-fd00_102__10 }" in text


def test_a_backend_is_gone_only_if_it_exists_no_more() -> None:
    old = rules_of(path_set(A, B, unready=(C,)), "n1")
    assert gone(old, known_of(path_set(A, unready=(B,)), "n1")) == {Gone(ADDRESS, C)}
    assert gone(old, known_of(path_set(node="n2"), "n1")) == {Gone(ADDRESS, one) for one in (A, B, C)}
    assert gone(old, known_of(None, "n1")) == set(), "the fabric sends nothing for an address that was given back"


def test_clients_of_a_backend_that_came_back_get_no_reset() -> None:
    old, new = rules_of(path_set(A), "n1"), rules_of(path_set(A, B), "n1")
    lines = WRITER.change(old, new).splitlines()
    element = f"{ADDRESS} . 10.244.1.2 . 8080"
    assert lines[-1] == f"delete element inet ledgerlb gone4 {{ {element} }}"
    assert lines[-2].startswith(f"add element inet ledgerlb gone4 {{ {element} timeout"), "it may have expired"


def test_every_line_names_our_table_and_no_other() -> None:
    old, new = rules_of(path_set(A, B, source_ranges=("10.0.0.0/8",)), "n1"), rules_of(path_set(A), "n1")
    text = WRITER.whole(old.values()) + WRITER.change(old, new, {Gone(ADDRESS, B)}) + WRITER.change(new, {})
    for line in text.replace("\n}", "").splitlines():
        verb, _, family, table, *_ = line.split(" ")
        assert verb in {"add", "delete", "flush"}
        assert (family, table) == ("inet", "ledgerlb")
