"""Intents: the network-selector's decisions about networks and Services, for IPAM and for ``ledgerlb explain``.

Topic ``ledgerlb.intents.v1`` (compacted), key ``<network>|<service>``:

| key                | record           | says |
|--------------------|------------------|------|
| ``ns/vn|``         | NetworkOffer     | what the network can give out, or why it gives out nothing |
| ``ns/vn|ns/svc``   | AddressIntent    | the Service wants addresses of this network |
| ``ns/vn|ns/svc``   | Withdrawal       | the Service wants none of this network any more |
| ``|ns/svc``        | Selection        | which rung chose, every candidate looked at, the reason if none |
| ``|``              | IntentsSynced    | the records of the first full look precede this one |

Intents are level-triggered: the last record under a key is the whole intent. ``revision`` rises by at least one
whenever the content changes, across restarts, so an older revision never undoes a newer one. A missing record releases
nothing: a release needs a Withdrawal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ledgerlb.core.addresses import Family, cidr_of, is_address, is_canonical
from ledgerlb.core.cluster.labels import parse_selector_text
from ledgerlb.core.decoding import first_problem
from ledgerlb.core.errors import BadInput, UndecodableRecord
from ledgerlb.core.settings import LONGEST

NOT_OURS: Final = "NotOurs"
SERVICE_DELETED: Final = "ServiceDeleted"
RELEASE_ALL: Final = "ReleaseAll"
LEFT_ALONE: Final = (NOT_OURS, SERVICE_DELETED, RELEASE_ALL)
"""Why a Service wants nothing of a network whose status LedgerLB may have to leave as it is."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


Revision = Annotated[int, Field(ge=0, lt=2**53)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
"""The ledger repeats these numbers, and its entries hold none that is larger."""
PortNumber = Annotated[int, Field(ge=0, le=65535)]
"""As the events of the ledger bound it: an entry with a larger number would not decode."""
Duration = Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False)]


class FactPosition(_Frozen):
    """The position in the log of a fact that led to a decision."""

    topic: str
    offset: Count
    partition: Count = 0


class PrefixOffer(_Frozen):
    """One family's part of a network: canonical CIDR, gateway (empty: network+1 is reserved by default), usable ranges
    (inclusive pairs; empty means the whole prefix) and exclusions (inclusive pairs).
    """

    family: Family
    prefix: str
    gateway: str = ""
    ranges: tuple[tuple[str, str], ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()


class NetworkOffer(_Frozen):
    """What an external network can give out.

    ``problem``: the reason why the network gives out nothing new; holders keep their addresses. ``problem_since`` is
    the revision with which this problem began (0: no problem), so that a problem that lasts differs from one that came
    back. ``carrier`` is the kind of the object that shows the problem or warning (NetworkAttachmentDefinition or
    VirtualNetwork, of the network's name). ``reserved`` is the warning about addresses that the cluster itself uses.
    ``gone``: the network no longer exists. Durations in seconds, 0 = off. None = the default of the settings.
    """

    type: Literal["network"] = "network"
    network: str
    revision: Revision
    uid: str = ""
    prefixes: tuple[PrefixOffer, ...] = ()
    allowed_namespaces: str = ""
    """Label selector in string form; empty = all."""
    quota_per_namespace: Count | None = None
    quarantine: Duration | None = None
    lease: Duration | None = None
    strict_quarantine: bool | None = None
    force_prefix: tuple[str, ...] = ()
    problem: str | None = None
    message: str = ""
    problem_since: Revision = 0
    carrier: str = ""
    reserved: str = ""
    gone: bool = False


class RungResult(_Frozen):
    """One rung of the priority order: ``present`` tells whether it had a value, and ``value`` is that value."""

    rung: str
    present: bool
    value: str = ""
    outcome: str = ""


class CandidateResult(_Frozen):
    """One candidate network of the deciding rung, and why it was taken or passed over."""

    network: str
    taken: bool
    why: str


class AddressIntent(_Frozen):
    """A Service wants addresses of ``network``, one per family of ``families`` (in ``ipFamilies`` order).

    The intent is met once the Service has all families of ``required``, or any family where ``required`` is empty.
    ``requested`` fixes addresses, at most one per family. ``adopt`` lists addresses that the Service's status showed
    while the ledger held none for it. ``adopt_only``: the Service wants nothing else of the network, which it did not
    choose. ``local`` (externalTrafficPolicy) and ``selector`` are those of a Service with a sharing key. ``basis`` is a
    fingerprint of what the Service itself asks for.
    """

    type: Literal["want"] = "want"
    network: str
    service: str
    revision: Revision
    uid: str = ""
    created: str = ""
    requester: str = ""
    families: tuple[Family, ...] = (4,)
    required: tuple[Family, ...] = (4,)
    requested: tuple[str, ...] = ()
    sharing_key: str = ""
    local: bool = False
    selector: str = ""
    ports: tuple[tuple[str, PortNumber], ...] = ()
    adopt: tuple[str, ...] = ()
    adopt_only: bool = False
    namespace_labels: dict[str, str] = {}
    basis: str = ""
    rung: str = ""
    explanation: str = ""
    facts: tuple[FactPosition, ...] = ()


class Withdrawal(_Frozen):
    """The Service wants nothing of ``network`` any more; ``why`` is a reason such as ``Moved`` or ``ServiceDeleted``.

    Only a Withdrawal releases addresses. ``shows`` are addresses of the network that the Service's status shows
    although it does not hold them. No other Service gets them as long as this record is in force.
    """

    type: Literal["withdraw"] = "withdraw"
    network: str
    service: str
    revision: Revision
    uid: str = ""
    why: str = ""
    shows: tuple[str, ...] = ()
    requester: str = ""
    facts: tuple[FactPosition, ...] = ()


class Selection(_Frozen):
    """The selector's verdict on a Service. ``ours`` False: not a Service for this instance. ``network``: the target,
    or None with ``reason``. ``drift``: the network a fresh choice would take, where it differs from the one held.
    """

    type: Literal["selection"] = "selection"
    service: str
    revision: Revision
    uid: str = ""
    ours: bool = True
    network: str | None = None
    rung: str | None = None
    reason: str | None = None
    message: str = ""
    drift: str | None = None
    drift_reason: str | None = None
    """Why a fresh choice would find no network, while the Service keeps the one it has."""
    rungs: tuple[RungResult, ...] = ()
    candidates: tuple[CandidateResult, ...] = ()
    families: tuple[Family, ...] = ()
    required: tuple[Family, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: tuple[FactPosition, ...] = ()


class IntentsSynced(_Frozen):
    """Marker: the selector has looked at everything once; IPAM may begin."""

    type: Literal["synced"] = "synced"


class Dropped(_Frozen):
    """A decoded tombstone: the key holds no intent any more."""

    network: str
    service: str


ServiceIntent = AddressIntent | Withdrawal
Intent = NetworkOffer | AddressIntent | Withdrawal | Selection | IntentsSynced
IntentRecord = Intent | Dropped

_INTENT: Final[TypeAdapter[Intent]] = TypeAdapter(Annotated[Intent, Field(discriminator="type")])


def intent_key(intent: IntentRecord) -> str:
    """Return the record key ``<network>|<service>`` of an intent."""
    match intent:
        case NetworkOffer():
            return f"{intent.network}|"
        case Selection():
            return f"|{intent.service}"
        case IntentsSynced():
            return "|"
        case _:
            return f"{intent.network}|{intent.service}"


def encode_intent(intent: Intent) -> bytes:
    """Return JSON bytes that leave out defaults, but never ``type``."""
    body = intent.model_dump_json(exclude_defaults=True, exclude={"type"})
    head = f'{{"type":"{intent.type}"'
    return (head + ("}" if body == "{}" else "," + body[1:])).encode()


def decode_intent(key: str, value: bytes | None) -> IntentRecord:
    """Decode one record; raises UndecodableRecord with key and field."""
    network, bar, service = key.partition("|")
    if not bar:
        raise UndecodableRecord(f"intent {key!r}", "key", "is not <network>|<service>", "drop the record")
    if not value:
        return Dropped(network=network, service=service)
    try:
        intent = _INTENT.validate_json(value)
    except ValidationError as error:
        remedy = "the network-selector must write it again"
        raise UndecodableRecord(f"intent {key!r}", *first_problem(error), remedy) from error
    if intent_key(intent) != key:
        raise UndecodableRecord(
            f"intent {key!r}",
            "value",
            f"belongs under {intent_key(intent)!r}",
            "the network-selector must write it again",
        )
    for field, text in _invalid_fields(intent):
        raise UndecodableRecord(
            f"intent {key!r}", field, f"cannot be {text[:100]!r}", "the network-selector must write it again"
        )
    return intent


def _invalid_fields(intent: Intent) -> Iterable[tuple[str, str]]:
    """Yield (field, text) of every text that IPAM would fail to read as an address, a prefix or a selector."""
    match intent:
        case AddressIntent():
            for field, addresses in (("requested", intent.requested), ("adopt", intent.adopt)):
                yield from ((field, address) for address in addresses if not is_canonical(address))
        case Withdrawal():
            yield from (("shows", address) for address in intent.shows if not is_canonical(address))
        case NetworkOffer():
            for prefix in intent.prefixes:
                yield from _invalid_in(prefix)
            if not _is_selector(intent.allowed_namespaces):
                yield "allowed_namespaces", intent.allowed_namespaces
        case _:
            pass


def _invalid_in(prefix: PrefixOffer) -> Iterable[tuple[str, str]]:
    if not _is_prefix(prefix.prefix, prefix.family):
        yield "prefixes.prefix", prefix.prefix
    if prefix.gateway and not is_address(prefix.gateway):
        yield "prefixes.gateway", prefix.gateway
    for field, pairs in (("ranges", prefix.ranges), ("excluded", prefix.excluded)):
        yield from ((f"prefixes.{field}", end) for pair in pairs for end in pair if not is_address(end))


def _is_prefix(text: str, family: Family) -> bool:
    try:
        cidr = cidr_of(text)
    except ValueError:
        return False
    return cidr.family == family and not cidr.cleared


def _is_selector(text: str) -> bool:
    try:
        parse_selector_text(text)
    except BadInput:
        return False
    return True
