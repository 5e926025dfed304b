"""Who may do what on the log: the grants that follow from the topics, and what differs from them on a broker.

Each service has a principal of its own. A principal appends only to the topics that its service writes, and nobody
deletes topics or records. Two further principals are not services: ``topics`` makes the topics and sets them up, and
``reader`` is for commands that read. An ``administrator`` is a principal that may do anything, so nothing about it is a
finding.

The rules are those of Kafka: a rule allows or denies one operation on the topics of a name or of a prefix (or on the
cluster) to one principal; what no rule allows is refused, and a denial outweighs every permission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.eventlog.topics import ALL_TOPICS, HEADS, Role, Topic

Kind = Literal["topic", "cluster"]
CLUSTER: Final = "kafka-cluster"
"""Kafka's name for the cluster itself."""
ANYONE: Final = "User:*"
ANYWHERE: Final = "*"
TOPICS: Final = "topics"
READER: Final = "reader"
ADMINISTRATOR: Final = "administrator"
ROLES: Final = (*(str(role) for role in Role), TOPICS, READER, ADMINISTRATOR)


class Operation(StrEnum):
    """The operations of Kafka that concern topics and the cluster. ``ALL`` stands for each of the others."""

    ALL = "all"
    READ = "read"
    WRITE = "write"
    CREATE = "create"
    DELETE = "delete"
    ALTER = "alter"
    DESCRIBE = "describe"
    CLUSTER_ACTION = "cluster-action"
    DESCRIBE_CONFIGS = "describe-configs"
    ALTER_CONFIGS = "alter-configs"
    IDEMPOTENT_WRITE = "idempotent-write"


_IMPLIED: Final[Mapping[Operation, frozenset[Operation]]] = {
    Operation.DESCRIBE: frozenset((Operation.READ, Operation.WRITE, Operation.DELETE, Operation.ALTER)),
    Operation.DESCRIBE_CONFIGS: frozenset((Operation.ALTER_CONFIGS,)),
}
"""Operations that Kafka allows to every principal that may do one of these."""
_HARMFUL: Final[Mapping[Kind, tuple[Operation, ...]]] = {
    # A principal that may create topics can recreate a lost ledger. Reading harms no address.
    "topic": (
        Operation.WRITE, Operation.CREATE, Operation.DELETE, Operation.ALTER, Operation.ALTER_CONFIGS,
    ),
    # Brokers need cluster-action among themselves, and a producer idempotent-write: neither is a finding.
    "cluster": (Operation.CREATE, Operation.ALTER, Operation.ALTER_CONFIGS),
}  # fmt: skip
_SHOWN: Final = 5
"""Topics that a finding names."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One thing that a principal (``User:name``) may do with a topic, or with the cluster."""

    principal: str
    kind: Kind
    name: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class Rule:
    """One access rule of a broker. ``name`` is a topic's, the beginning of names (``prefixed``), or ``*``."""

    principal: str
    kind: Kind
    name: str
    operation: Operation
    prefixed: bool = False
    host: str = ANYWHERE
    allows: bool = True

    def covers(self, grant: Grant) -> bool:
        """Return whether the rule is about this, for some host."""
        return (
            self.principal in (grant.principal, ANYONE)
            and self.operation in (grant.operation, Operation.ALL)
            and self.is_about(grant.kind, grant.name)
        )

    def is_about(self, kind: Kind, name: str) -> bool:
        """Return whether the rule is about this topic or the cluster."""
        if self.kind != kind:
            return False
        return self.name == ANYWHERE or (name.startswith(self.name) if self.prefixed else name == self.name)


def principals_of(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the principals of each role: ``User:ledgerlb-<role>``, or those that the texts (``ROLE=PRINCIPAL``) name.

    A role may have several principals, such as one for each agent. Raises InvalidSetting.
    """
    given: dict[str, list[str]] = {}
    for text in texts:
        role, _, principal = text.partition("=")
        if role not in ROLES:
            raise _invalid(text, f"{role!r} is not a role", f"use one of {', '.join(ROLES)}")
        kind, _, name = principal.partition(":")
        if not kind or not name or name == ANYWHERE:
            raise _invalid(text, f"{principal!r} is not one principal", f"write {role}=User:NAME, as Kafka spells it")
        given.setdefault(role, []).append(principal)
    defaults = {role: [] if role == ADMINISTRATOR else [f"User:ledgerlb-{role}"] for role in ROLES}
    return {role: tuple(dict.fromkeys(given.get(role, defaults[role]))) for role in ROLES}


def wanted_grants(principals: Mapping[str, Sequence[str]], topics: Sequence[Topic] = ALL_TOPICS) -> tuple[Grant, ...]:
    """Return what the principals of every role may do, sorted; nothing for administrators."""
    found = {
        Grant(principal, kind, name, operation)
        for role, named in principals.items()
        for kind, name, operation in _rights(role, topics)
        for principal in named
    }
    return tuple(sorted(found))


def _rights(role: str, topics: Sequence[Topic]) -> Iterable[tuple[Kind, str, Operation]]:
    if role == ADMINISTRATOR:
        return
    if role in (TOPICS, READER):
        # For the check of the rules themselves. A rule on the cluster also closes it to everybody else on brokers with
        # allow.everyone.if.no.acl.found.
        yield "cluster", CLUSTER, Operation.DESCRIBE
    for topic in topics:
        yield "topic", topic.name, Operation.DESCRIBE
        yield "topic", topic.name, Operation.DESCRIBE_CONFIGS
        if role == TOPICS:
            yield from (("topic", topic.name, one) for one in (Operation.CREATE, Operation.ALTER_CONFIGS))
        # The topics job first makes sure that the log held no ledger before: the remembered heads show it.
        if role == READER or role in topic.read_by or (role == TOPICS and topic == HEADS):
            yield "topic", topic.name, Operation.READ
        if role in topic.written_by:
            yield "topic", topic.name, Operation.WRITE


def missing_grants(rules: Sequence[Rule], wanted: Sequence[Grant]) -> list[Grant]:
    """Return the wanted grants that the rules do not allow from every host."""
    return [grant for grant in wanted if not _is_allowed(rules, grant)]


def _is_allowed(rules: Sequence[Rule], grant: Grant) -> bool:
    if any(not rule.allows and rule.covers(grant) for rule in rules):
        return False
    ways = (grant, *(_with(grant, operation) for operation in _IMPLIED.get(grant.operation, ())))
    return any(rule.allows and rule.host == ANYWHERE and rule.covers(way) for rule in rules for way in ways)


def findings(
    rules: Sequence[Rule], principals: Mapping[str, Sequence[str]], topics: Sequence[Topic] = ALL_TOPICS
) -> list[str]:
    """Return a line for each principal that lacks what its service needs, or could do too much."""
    wanted = wanted_grants(principals, topics)
    lines = [
        f"{grant.principal} may not {grant.operation} {grant.name}; run ledgerlb topics apply --acls"
        for grant in missing_grants(rules, wanted)
    ]
    for rule in rules:
        if rule.allows and rule.principal not in principals.get(ADMINISTRATOR, ()):
            lines.extend(_excess(rule, rules, frozenset(wanted), topics))
    return list(dict.fromkeys(lines))


def _excess(rule: Rule, rules: Sequence[Rule], wanted: frozenset[Grant], topics: Sequence[Topic]) -> Iterable[str]:
    """A line for each harmful operation that this rule allows and no service's grant explains."""
    names = [CLUSTER] if rule.kind == "cluster" else [topic.name for topic in topics]
    for operation in _HARMFUL[rule.kind]:
        grants = (Grant(rule.principal, rule.kind, name, operation) for name in names)
        reached = [
            grant.name
            for grant in grants
            if rule.covers(grant) and grant not in wanted and not _is_denied_everywhere(rules, grant)
        ]
        if reached:
            yield (
                f"{rule.principal} could {operation} {_listed(reached)}; remove the rule that allows "
                f"{rule.operation} on {_place(rule)}, or use --principal {ADMINISTRATOR}={rule.principal}"
            )


def _is_denied_everywhere(rules: Sequence[Rule], grant: Grant) -> bool:
    return any(not rule.allows and rule.host == ANYWHERE and rule.covers(grant) for rule in rules)


def _with(grant: Grant, operation: Operation) -> Grant:
    return Grant(grant.principal, grant.kind, grant.name, operation)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _place(rule: Rule) -> str:
    if rule.kind == "cluster":
        return "the cluster"
    return f"topics {rule.name}*" if rule.prefixed else f"topic {rule.name}"


def _invalid(text: str, problem: str, remedy: str) -> InvalidSetting:
    return InvalidSetting("option --principal", text, problem, remedy)
