"""Read and add the access rules of a Kafka cluster. The client library has the messages, but no methods for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import BrokerResponseError, SecurityDisabled, for_code
from aiokafka.protocol.admin import CreateAclsRequest_v1, DescribeAclsRequest
from aiokafka.protocol.api import Request

from ledgerlb.core.errors import LogUnavailable
from ledgerlb.eventlog.acls import ANYWHERE, Grant, Kind, Operation, Rule
from ledgerlb.eventlog.kafka.denial import DENIALS, denied

_ANY: Final = 1
_NAME: Final[Any] = None
"""Any name, in a filter; the client library's annotation leaves it out."""
_LITERAL: Final = 3
_PREFIXED: Final = 4
_ALLOW: Final = 3
_KINDS: Final[dict[int, Kind]] = {2: "topic", 4: "cluster"}
_KIND_CODES: Final = {kind: code for code, kind in _KINDS.items()}
_OPERATIONS: Final = {
    2: Operation.ALL,
    3: Operation.READ,
    4: Operation.WRITE,
    5: Operation.CREATE,
    6: Operation.DELETE,
    7: Operation.ALTER,
    8: Operation.DESCRIBE,
    9: Operation.CLUSTER_ACTION,
    10: Operation.DESCRIBE_CONFIGS,
    11: Operation.ALTER_CONFIGS,
    12: Operation.IDEMPOTENT_WRITE,
}
_OPERATION_CODES: Final = {operation: code for code, operation in _OPERATIONS.items()}


async def rules(client: AIOKafkaAdminClient) -> list[Rule] | None:
    """Return the rules about topics and the cluster; None where the brokers have no authorizer, so that everybody may
    do everything. Raises LogUnavailable, KafkaError.
    """
    request = DescribeAclsRequest(_ANY, _NAME, _ANY, _NAME, _NAME, _ANY, _ANY)
    response = await client._send_request(request)  # noqa: SLF001 - see module
    if response.error_code and for_code(response.error_code) is SecurityDisabled:
        return None
    _raise(response.error_code, response.error_message, "reading the access rules")
    return list(_decoded(response.resources))


def _decoded(resources: Iterable[tuple[int, str, int, Iterable[tuple[str, str, int, int]]]]) -> Iterable[Rule]:
    for kind, name, pattern, entries in resources:
        for principal, host, operation, permission in entries:
            if kind in _KINDS and operation in _OPERATIONS:
                yield Rule(
                    principal,
                    _KINDS[kind],
                    name,
                    _OPERATIONS[operation],
                    prefixed=pattern == _PREFIXED,
                    host=host,
                    allows=permission == _ALLOW,
                )


class _CreateRules(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """All rules in one request: the client library's own request has one, and each costs a round of the controller."""

    API_KEY: ClassVar[int] = CreateAclsRequest_v1.API_KEY

    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants = grants

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        """Return the request as it is sent."""
        return request_struct_class(
            [
                (
                    _KIND_CODES[grant.kind],
                    grant.name,
                    _LITERAL,
                    grant.principal,
                    ANYWHERE,
                    _OPERATION_CODES[grant.operation],
                    _ALLOW,
                )
                for grant in self._grants
            ]
        )


async def add(client: AIOKafkaAdminClient, grants: Sequence[Grant]) -> None:
    """Add a rule for each grant. Raises LogUnavailable, KafkaError."""
    if not grants:
        return
    response = await client._send_to_controller(_CreateRules(grants))  # noqa: SLF001 - see module
    for grant, (code, message) in zip(grants, response.creation_responses, strict=True):
        _raise(code, message, f"granting {grant.operation} on {grant.name} to {grant.principal}")


def _raise(code: int, message: str | None, what: str) -> None:
    if not code:
        return
    error: type[BrokerResponseError] = for_code(code)
    if issubclass(error, DENIALS):
        raise denied(what)
    if error is SecurityDisabled:
        raise LogUnavailable(f"{what}: the brokers have no authorizer; set authorizer.class.name on each broker")
    raise LogUnavailable(f"{what}: {message or error.__name__}")
