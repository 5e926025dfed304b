"""Every reason for which a Service waits: condition and Events show it, and unconcerned Services are served meanwhile."""

from __future__ import annotations

from typing import Any, Final

from ledgerlb.core.reasons import Reason
from tests.behaviour.play import Case, case, condition, ingress, pending, play, ready, table, told
from tests.behaviour.world import world
from tests.builders.objects import (
    ADDRESSES,
    ALLOWED,
    EXCLUDE,
    NETWORK,
    QUOTA,
    SELECTOR,
    SHARING,
    Object,
    aged,
    by_vn,
    kubemanager,
    matching,
    nad,
    pool,
    service,
)
from tests.support.simulate import apply, delete

OTHER: Final = "198.51.100.0/24"
X: Final = {NETWORK: "net/x"}
NEITHER: Final = "ledgerlb.io/NetworkSelected"
ALLOCATED: Final = "ledgerlb.io/AddressAllocated"
FREE: Final = service("b/t", {NETWORK: "net/ext"})


def waits(reason: str, kind: str, *objects: Object, steps: tuple[Object, ...] = (), **how: Any) -> Case:
    """``a/s`` waits for this reason, shown by a condition of this type; ``b/t`` and a newcomer are served."""
    made = world(*objects, *([] if steps else [FREE]), kubemanagers=how.pop("kubemanagers", None))
    return case(
        reason,
        made,
        *steps,
        *([apply(FREE)] if steps else [told(reason, about="Service a/s")]),
        pending("a/s", reason),
        condition("a/s", kind, status="False", reason=reason),
        ingress("a/s"),
        ready("b/t", "192.0.2.2"),
        apply(service("b/u", {NETWORK: "net/ext"})),
        ready("b/u", "192.0.2.3"),
        pending("a/s", reason),
        settings=how.pop("settings", None),
    )


WAITING = [
    waits("NoDefaultNetwork", NEITHER, service("a/s"), kubemanagers=[], settings={"externalNetworkSelectors": {}}),
    waits("PoolDisabled", NEITHER, pool("p", OTHER, disabled=True), service("a/s", {NETWORK: "pool/p"})),
    waits("NetworkNotFound", NEITHER, service("a/s", X)),
    waits("SelectorNotFound", NEITHER, service("a/s", {SELECTOR: "none"})),
    waits("NoNetworkMatches", NEITHER, service("a/s", {SELECTOR: "none"}), kubemanagers=[kubemanager({"none": matching({"no": "such"}, {})})]),
    waits("NetworkConflict", NEITHER, aged(nad("net/o", OTHER), "01"), nad("net/x", OTHER), service("a/s", X)),
    waits("NetworkNotAllowed", NEITHER, nad("net/x", OTHER, annotations={ALLOWED: "team=z"}), service("a/s", X)),
    waits("MultusRequiresNAD", NEITHER, *by_vn("net/x", OTHER), service("a/s", X), settings={"multus": True}),
    waits("InvalidAnnotation", NEITHER, nad("net/x", raw="{"), service("a/s", X)),
    waits("FamilyUnavailable", NEITHER, nad("net/x", OTHER), service("a/s", X, ipFamilies=["IPv6"])),
    waits("NetworkFull", ALLOCATED, nad("net/x", OTHER, annotations={EXCLUDE: OTHER}), service("a/s", X)),
    waits("QuotaExceeded", ALLOCATED, nad("net/x", OTHER, annotations={QUOTA: "0"}), service("a/s", X)),
    waits("RequestedAddressOutsideNetwork", ALLOCATED, nad("net/x", OTHER), service("a/s", {**X, ADDRESSES: "203.0.113.9"})),
    waits("RequestedAddressReserved", ALLOCATED, nad("net/x", OTHER), service("a/s", {**X, ADDRESSES: "198.51.100.255"})),
    waits("RequestedAddressInUse", ALLOCATED, nad("net/x", OTHER), aged(service("b/h", {**X, ADDRESSES: "198.51.100.9"}), "01"), service("a/s", {**X, ADDRESSES: "198.51.100.9"})),
    waits(
        "RequestedAddressQuarantined",
        ALLOCATED,
        nad("net/x", OTHER),
        service("b/h", {**X, ADDRESSES: "198.51.100.9"}),
        steps=(delete("Service", "b/h"), apply(service("a/s", {**X, ADDRESSES: "198.51.100.9"}))),
    ),
    waits(
        "SharingConflict",
        ALLOCATED,
        nad("net/x", OTHER),
        aged(service("a/h", {**X, ADDRESSES: "198.51.100.9", SHARING: "k"}), "01"),
        service("a/s", {**X, ADDRESSES: "198.51.100.9", SHARING: "k"}),
    ),
]  # fmt: skip
HELD: Final = {"InvalidSourceRange", "UnsupportedProtocol"}
"""Reasons of Services that hold an address; ``test_paths`` has their cases."""


@table(WAITING)
def test_a_service_that_waits_says_why_and_holds_nobody_up(case: Case) -> None:
    play(case)


def test_no_reason_is_left_out() -> None:
    named = {one.name for one in WAITING} | HELD
    documented = [
        "NoDefaultNetwork",
        "NetworkNotFound",
        "PoolDisabled",
        "SelectorNotFound",
        "NoNetworkMatches",
        "NetworkConflict",
        "NetworkNotAllowed",
        "MultusRequiresNAD",
        "NetworkFull",
        "QuotaExceeded",
        "FamilyUnavailable",
        "RequestedAddressOutsideNetwork",
        "RequestedAddressReserved",
        "RequestedAddressInUse",
        "RequestedAddressQuarantined",
        "SharingConflict",
        "InvalidAnnotation",
        "InvalidSourceRange",
        "UnsupportedProtocol",
    ]
    assert named == set(documented)
    assert named <= set(Reason)
