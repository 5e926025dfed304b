"""The access rules that follow from the topics, and what differs from them."""

from __future__ import annotations

import pytest

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.assemble import ProgrammerPorts
from ledgerlb.ecmp_programmer.assemble import assemble as assemble_programmer
from ledgerlb.ecmp_programmer.settings import ProgrammerSettings
from ledgerlb.eventlog.acls import (
    CLUSTER,
    Grant,
    Operation,
    Rule,
    findings,
    missing_grants,
    principals_of,
    wanted_grants,
)
from ledgerlb.eventlog.topics import ALL_TOPICS, DEAD_LETTERS, FACTS, LEDGER, PATHS, REPORTS, Role, Topic
from ledgerlb.ipam.assemble import IpamPorts
from ledgerlb.ipam.assemble import assemble as assemble_ipam
from ledgerlb.network_selector.assemble import assemble as assemble_selector
from ledgerlb.runtime.parts import Parts, Ports
from ledgerlb.watcher.objects.networks import NetworkObjectReconciler
from ledgerlb.watcher.objects.services import ServiceObjectReconciler
from ledgerlb.watcher.publisher import Publisher

PRINCIPALS = principals_of(())
IPAM = "User:ledgerlb-ipam"
EVE = "User:eve"


def as_rules(*extra: Rule) -> list[Rule]:
    """The rules of a broker where everything is granted, and these besides."""
    granted = [Rule(one.principal, one.kind, one.name, one.operation) for one in wanted_grants(PRINCIPALS)]
    return [*granted, *extra]


def ledger_rule(operation: Operation, principal: str = EVE, name: str = LEDGER.name, **fields: object) -> Rule:
    return Rule(principal, "topic", name, operation, **fields)  # type: ignore[arg-type]


def test_every_topic_but_the_dead_letters_has_one_writer() -> None:
    assert [topic for topic in ALL_TOPICS if len(topic.written_by) != 1] == [DEAD_LETTERS]
    assert set(DEAD_LETTERS.written_by) == set(Role)


def read_by_parts(parts: Parts) -> set[Topic]:
    return {topic for processor in parts.processors for topic in processor.reads}


def test_each_service_may_read_what_its_processors_read() -> None:
    domain = DomainSettings()
    planner, agent = (
        assemble_programmer(domain, ProgrammerSettings(roles=(role,), agent_name="x"), ProgrammerPorts())
        for role in ("planner", "agent")
    )
    needed = {
        Role.WATCHER: {*Publisher.reads, *ServiceObjectReconciler.reads, *NetworkObjectReconciler.reads},
        Role.SELECTOR: read_by_parts(assemble_selector(domain, Ports())),
        Role.IPAM: read_by_parts(assemble_ipam(domain, IpamPorts())),
        Role.PLANNER: read_by_parts(planner),
        Role.AGENT: read_by_parts(agent),
    }
    for role, topics in needed.items():
        assert topics
        assert [topic.name for topic in topics if role not in topic.read_by] == []


def test_nobody_may_delete_and_one_service_may_write_the_ledger() -> None:
    grants = wanted_grants(PRINCIPALS)
    assert not [one for one in grants if one.operation in (Operation.DELETE, Operation.ALL, Operation.ALTER)]
    writers = {one.principal for one in grants if one.name == LEDGER.name and one.operation is Operation.WRITE}
    assert writers == {IPAM}
    assert {one.operation for one in grants if one.kind == "cluster"} == {Operation.DESCRIBE}


def test_principals_have_default_names_and_given_ones() -> None:
    assert PRINCIPALS["ipam"] == (IPAM,)
    assert PRINCIPALS["administrator"] == ()
    given = principals_of(["agent=User:CN=a", "agent=User:CN=b", "ipam=User:i", "agent=User:CN=a"])
    assert (given["agent"], given["ipam"], given["planner"]) == (
        ("User:CN=a", "User:CN=b"), ("User:i",), ("User:ledgerlb-planner",),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", "ipam", "ipam=", "ipam=bob", "ipam=User:", "ipam=User:*", "selektor=User:x"])
def test_an_unusable_principal_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="--principal"):
        principals_of([text])


def test_complete_rules_have_no_findings() -> None:
    assert findings(as_rules(), PRINCIPALS) == []


def test_everything_is_missing_from_no_rules() -> None:
    wanted = wanted_grants(PRINCIPALS)
    assert missing_grants([], wanted) == list(wanted)
    assert f"{IPAM} may not write {LEDGER.name}; run ledgerlb topics apply --acls" in findings([], PRINCIPALS)


@pytest.mark.parametrize(
    "rule",
    [
        ledger_rule(Operation.WRITE, IPAM),
        ledger_rule(Operation.ALL, IPAM),
        ledger_rule(Operation.WRITE, "User:*"),
        ledger_rule(Operation.WRITE, IPAM, "*"),
        ledger_rule(Operation.WRITE, IPAM, "ledgerlb.", prefixed=True),
    ],
)
def test_a_wider_rule_grants_as_well(rule: Rule) -> None:
    assert missing_grants([rule], [Grant(IPAM, "topic", LEDGER.name, Operation.WRITE)]) == []
    assert missing_grants([rule], [Grant(IPAM, "topic", LEDGER.name, Operation.DESCRIBE)]) == []


@pytest.mark.parametrize(
    "rules",
    [
        [ledger_rule(Operation.WRITE, IPAM, host="192.0.2.1")],
        [ledger_rule(Operation.READ, IPAM)],
        [ledger_rule(Operation.WRITE, IPAM, "ledgerlb.")],
        [ledger_rule(Operation.WRITE, IPAM), ledger_rule(Operation.ALL, "User:*", allows=False)],
        [ledger_rule(Operation.WRITE, IPAM), ledger_rule(Operation.WRITE, IPAM, host="192.0.2.1", allows=False)],
    ],
)
def test_a_narrower_rule_or_a_denial_leaves_the_grant_missing(rules: list[Rule]) -> None:
    wanted = Grant(IPAM, "topic", LEDGER.name, Operation.WRITE)
    assert missing_grants(rules, [wanted]) == [wanted]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (ledger_rule(Operation.WRITE), f"{EVE} could write {LEDGER.name}; remove the rule that allows write on topic"),
        (ledger_rule(Operation.DELETE), f"{EVE} could delete {LEDGER.name}"),
        (ledger_rule(Operation.ALTER_CONFIGS), f"{EVE} could alter-configs {LEDGER.name}"),
        (ledger_rule(Operation.ALL), f"{EVE} could create {LEDGER.name}"),
        (ledger_rule(Operation.WRITE, host="192.0.2.1"), f"{EVE} could write {LEDGER.name}"),
        (ledger_rule(Operation.WRITE, "User:*"), f"User:* could write {LEDGER.name}"),
        (ledger_rule(Operation.WRITE, "User:ledgerlb-agent"), f"User:ledgerlb-agent could write {LEDGER.name}"),
        (ledger_rule(Operation.DELETE, IPAM), f"{IPAM} could delete {LEDGER.name}"),
        (ledger_rule(Operation.DELETE, EVE, "*"), f"{EVE} could delete {FACTS.name}, "),
        (ledger_rule(Operation.WRITE, IPAM, "ledgerlb.pa", prefixed=True), f"{IPAM} could write {PATHS.name}; "),
        (Rule(EVE, "cluster", CLUSTER, Operation.ALTER), f"{EVE} could alter {CLUSTER}"),
        (Rule(EVE, "cluster", CLUSTER, Operation.ALL), f"{EVE} could create {CLUSTER}"),
    ],
)
def test_who_could_do_too_much_is_named(rule: Rule, said: str) -> None:
    assert [line for line in findings(as_rules(rule), PRINCIPALS) if line.startswith(said)]


@pytest.mark.parametrize(
    "rule",
    [
        ledger_rule(Operation.READ),
        ledger_rule(Operation.DESCRIBE_CONFIGS),
        ledger_rule(Operation.ALL, name="somebody.elses"),
        ledger_rule(Operation.ALL, name="ledgerlb.v2", prefixed=True),
        ledger_rule(Operation.WRITE, "User:ledgerlb-agent", REPORTS.name),
        Rule("User:broker", "cluster", CLUSTER, Operation.CLUSTER_ACTION),
        ledger_rule(Operation.ALL, allows=False),
    ],
)
def test_what_harms_nobody_is_no_finding(rule: Rule) -> None:
    assert findings(as_rules(rule), PRINCIPALS) == []


def test_a_denial_everywhere_takes_a_permission_away() -> None:
    too_much, denial = ledger_rule(Operation.ALL), ledger_rule(Operation.ALL, allows=False)
    assert findings(as_rules(too_much), PRINCIPALS) != []
    assert findings(as_rules(too_much, denial), PRINCIPALS) == []
    some = ledger_rule(Operation.ALL, allows=False, host="192.0.2.1")
    assert findings(as_rules(too_much, some), PRINCIPALS) != []


def test_an_administrator_may_do_anything() -> None:
    rules = as_rules(ledger_rule(Operation.ALL), Rule(EVE, "cluster", CLUSTER, Operation.ALL))
    assert findings(rules, principals_of([f"administrator={EVE}"])) == []
