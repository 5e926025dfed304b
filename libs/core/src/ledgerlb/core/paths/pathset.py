"""Path sets and reports: what the planner tells the agents, and what they answer.

``ledgerlb.paths.v1`` (compacted, key = address): one PathSet per external address that is held or being released; a
tombstone once it is released. ``ledgerlb.reports.v1`` (compacted): key ``<address>/<agent>`` Report, key
``heartbeat/<agent>`` Heartbeat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from ledgerlb.core.addresses import Family, address_order, cidr_of, family_of, is_canonical
from ledgerlb.core.decoding import first_problem
from ledgerlb.core.errors import UndecodableRecord
from ledgerlb.core.paths.upcast import VERSION, UnknownVersion, bring_up_to_date


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


_YEARS: Final = range(1970, 3000)


def _reckonable(moment: datetime) -> datetime:
    # The year is checked before the offset is applied: year 1 at +14:00 is no moment in UTC, and neither is year 10000.
    if moment.year not in _YEARS or (utc := moment.astimezone(UTC)).year not in _YEARS:
        raise ValueError(f"lies outside of the years {_YEARS.start} to {_YEARS.stop - 1}")
    return utc


Moment = Annotated[AwareDatetime, AfterValidator(_reckonable)]
"""A time in UTC to which durations can be added without an overflow."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A number that every JSON reader reads alike."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _is_backend(backend: str) -> str:
    address, port = split_backend(backend)
    if not is_canonical(address) or join_backend(address, port) != backend or port not in _PORTS:
        raise ValueError("is not ip:port in canonical form")
    return backend


def _is_prefix(text: str) -> str:
    if cidr_of(text).text != text:
        raise ValueError("is not a prefix in canonical form")
    return text


_PORTS: Final = range(1, 65536)
PortNumber = Annotated[int, Field(ge=1, le=65535)]
BackendText = Annotated[str, AfterValidator(_is_backend)]
"""``ip:port``, IPv6 in brackets."""
Prefix = Annotated[str, AfterValidator(_is_prefix)]
"""A prefix in canonical form. Agents pass it on to the kernel's tools."""


class NextHop(_Frozen):
    """One node: ``via`` is its InternalIP of the address's family (empty in records of older versions, where it had
    none), ``weight`` = its local pods that take new flows (counted once, however many ports).
    """

    node: str
    via: str = ""
    weight: Count


class LocalBackends(_Frozen):
    """The backends of one port on one node, as ``ip:port`` (IPv6 in brackets), in order of address and port.

    ``backends`` take new flows, ``draining`` only keep those that they have. ``unready`` exist and take none: an agent
    tells by them a pod that fails its checks, whose connections may go on, from one that is gone.
    """

    node: str
    backends: tuple[BackendText, ...] = ()
    draining: tuple[BackendText, ...] = ()
    unready: tuple[BackendText, ...] = ()


class Frontend(_Frozen):
    """One port of one Service on the address, and what applies to it alone.

    ``local`` is sorted by node. ``source_ranges`` None admits every client, and an empty tuple admits none. With
    ``affinity`` the flows of one client address go to one backend of a node.
    """

    service: str
    protocol: Literal["TCP", "UDP", "SCTP"]
    port: PortNumber
    source_ranges: tuple[Prefix, ...] | None = None
    affinity: bool = False
    affinity_timeout: Count = 0
    external_traffic_policy: str = "Cluster"
    local: tuple[LocalBackends, ...] = ()

    def on(self, node: str) -> LocalBackends:
        """Return the port's backends on a node."""
        return next((found for found in self.local if found.node == node), LocalBackends(node=node))


class Unserved(_Frozen):
    """A Service with backends of which none can be programmed, with a stable reason and a sentence that explains it."""

    service: str
    reason: str
    message: str


class PathSet(_Frozen):
    """How one external address is reached.

    ``next_hops`` (sorted by node name) are for the fabric, which sees addresses only; ``frontends`` (sorted by Service,
    protocol and port) are for the nodes. ``allocation`` names the ledger entry (``network#seq``) that gave the address
    to its first holder; ``sharers`` name those that gave it to the others, in order of network and number.
    ``withdraw``: the agent forwards nothing any more and reports ``withdrawn`` with ``release``, which names the entry
    that began the release (``network#seq``).
    """

    address: str
    family: Family
    network: str
    services: tuple[str, ...] = ()
    frontends: tuple[Frontend, ...] = ()
    next_hops: tuple[NextHop, ...] = ()
    allocation: str = ""
    sharers: tuple[str, ...] = ()
    withdraw: bool = False
    release: str = ""
    unserved: tuple[Unserved, ...] = ()
    """The Services of the address that have backends and none that can be programmed, by name."""
    notes: tuple[str, ...] = ()
    """What could not be programmed and why, for people (``10.0.0.9 is not reachable from …``)."""

    @property
    def admits_nobody(self) -> bool:
        """Whether the source ranges of every port are empty."""
        return bool(self.frontends) and all(frontend.source_ranges == () for frontend in self.frontends)

    def local(self) -> dict[str, LocalBackends]:
        """Return the backends of all ports by node; one that drains for one port may take new flows for another."""
        backends: dict[str, set[str]] = {}
        draining: dict[str, set[str]] = {}
        for frontend in self.frontends:
            for found in frontend.local:
                backends.setdefault(found.node, set()).update(found.backends)
                draining.setdefault(found.node, set()).update(found.draining)
        return {
            node: LocalBackends(
                node=node, backends=in_order(backends[node]), draining=in_order(draining[node] - backends[node])
            )
            for node in sorted(backends)
        }


def in_order(backends: Iterable[str]) -> tuple[str, ...]:
    """Return ``ip:port`` texts in order of address and port."""
    return tuple(sorted(backends, key=_backend_order))


def _backend_order(backend: str) -> tuple[tuple[int, int], int]:
    address, port = split_backend(backend)
    return address_order(address), port


def split_backend(backend: str) -> tuple[str, int]:
    """Return address and port of ``ip:port`` or ``[ip]:port``. Raises ValueError where it is neither."""
    address, _, port = backend.rpartition(":")
    return address.strip("[]"), int(port)


def join_backend(address: str, port: int) -> str:
    """Return ``ip:port``, with an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


RECORD: Final = "record"
"""The back end that programs nothing."""


class Report(_Frozen):
    """An agent's answer for one address.

    ``state`` is ``programmed``, ``withdrawn`` or ``failed``; ``path`` is the digest of the PathSet's bytes that the
    report answers. ``release`` repeats the path set's, and ``allocations`` repeats its ``allocation`` and ``sharers``,
    so that an old report does not count for the address's next holder. ``seconds`` is how long the change took;
    ``weights`` are per node, as programmed.
    """

    kind: Literal["report"] = "report"
    address: str
    agent: str
    state: Literal["programmed", "withdrawn", "failed"]
    path: str
    release: str = ""
    allocations: tuple[str, ...] = ()
    at: Moment
    seconds: Seconds = 0.0
    weights: dict[str, Count] = {}
    message: str = ""
    backend: str = ""
    """The back end that did it; empty in reports of older agents."""


class Heartbeat(_Frozen):
    """An agent is alive. ``started`` is when its process started, ``stopped`` True on a clean goodbye (nothing is
    programmed any more).
    """

    kind: Literal["heartbeat"] = "heartbeat"
    agent: str
    at: Moment
    started: Moment
    backend: str = ""
    stopped: bool = False


ReportRecord = Report | Heartbeat
_JSON: Final[TypeAdapter[Any]] = TypeAdapter(Any)
"""Any JSON, read within the bounds of pydantic: nesting that is too deep is an error and not a full stack."""
_REPORT: Final[TypeAdapter[ReportRecord]] = TypeAdapter(Annotated[ReportRecord, Field(discriminator="kind")])


def report_key(record: ReportRecord) -> str:
    """Return the record key of a report or heartbeat."""
    if isinstance(record, Heartbeat):
        return f"heartbeat/{record.agent}"
    return f"{record.address}/{record.agent}"


def encode_report(record: ReportRecord) -> bytes:
    """JSON bytes."""
    return record.model_dump_json().encode()


def decode_report(key: str, value: bytes | None) -> ReportRecord | None:
    """Decode one record, None for a tombstone; raises UndecodableRecord."""
    if not value:
        return None
    try:
        record = _REPORT.validate_json(value)
    except ValidationError as error:
        raise UndecodableRecord(f"report {key!r}", *first_problem(error), "the agent must write it again") from error
    if report_key(record) != key:
        problem = f"belongs under {report_key(record)!r}"
        raise UndecodableRecord(f"report {key!r}", "value", problem, "the agent must write it again")
    return record


def encode_path_set(path_set: PathSet) -> bytes:
    """Canonical JSON bytes: equal path sets have equal bytes."""
    return b'{"v":%d,' % VERSION + path_set.model_dump_json(exclude_defaults=True).encode()[1:]


def path_set_digest(value: bytes | None) -> str:
    """Return the digest by which reports name a path set: of its bytes as they stand in the log."""
    return hashlib.sha256(value or b"").hexdigest()


def decode_path_set(key: str, value: bytes | None) -> PathSet | None:
    """Decode one record of any version, None for a tombstone; raises UndecodableRecord."""
    if not value:
        return None
    try:
        path_set = PathSet.model_validate(bring_up_to_date(_JSON.validate_json(value)))
    except UnknownVersion as error:
        raise UndecodableRecord(f"path set {key!r}", "v", str(error), "upgrade this reader") from error
    except ValidationError as error:
        raise UndecodableRecord(
            f"path set {key!r}", *first_problem(error), "the planner must write it again"
        ) from error
    except ValueError as error:
        raise UndecodableRecord(f"path set {key!r}", "value", str(error), "the planner must write it again") from error
    if path_set.address != key:
        raise UndecodableRecord(
            f"path set {key!r}", "address", f"names {path_set.address}", "the planner must write it again"
        )
    if not is_canonical(path_set.address) or family_of(path_set.address) != path_set.family:
        problem = f"is not an IPv{path_set.family} address in canonical form"
        raise UndecodableRecord(f"path set {key!r}", "address", problem, "the planner must write it again")
    return path_set
