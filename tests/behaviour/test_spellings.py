"""Odd spellings and extreme values in networks: LedgerLB reads them or refuses them with a reason, and never guesses."""

from __future__ import annotations

from typing import Any, Final

from tests.behaviour.play import Case, case, happened, network, pending, play, ready, says, table, told
from tests.behaviour.world import world
from tests.builders.objects import (
    ADDRESSES,
    EXCLUDE,
    FORCE,
    LEASE,
    NETWORK,
    QUARANTINE,
    QUOTA,
    SELECTOR,
    Object,
    aged,
    by_vn,
    dual,
    kubemanager,
    matching,
    nad,
    namespace,
    service,
    subnet,
    vn,
)
from tests.support.simulate import apply, delete

OTHER: Final = "198.51.100.0/24"
V6: Final = "2001:db8::/64"
LONG: Final = "1" * 400


def on(place: str, name: str = "a/s", **spec: Any) -> Object:
    return service(name, {NETWORK: place}, **spec)


NAMES = [
    *(
        case(
            f"a-network-name-{how}-is-refused-on-the-{place}",
            world(
                nad("net/x", OTHER),
                namespace("a", annotations={NETWORK: text} if place == "namespace" else {}),
                service("a/s", {NETWORK: text} if place == "service" else {}),
                service("b/t"),
            ),
            pending("a/s", "InvalidAnnotation"),
            says("a/s", NETWORK),
            told("InvalidAnnotation", about="Service a/s"),
            ready("b/t", "192.0.2.2"),
        )
        for place in ("service", "namespace")
        for how, text in {
            "with-a-blank-before": " net/x",
            "with-a-blank-after": "net/x ",
            "with-a-line-end": "net/x\n",
            "with-blanks-around-the-slash": "net / x",
            "of-blanks": "   ",
            "of-a-slash": "/",
            "of-two-names": "net/x,net/ext",
            "without-end": "x/" * 50_000,
        }.items()
        if how != "of-two-names"
    ),
    case("a-network-name-in-capitals-is-another", world(nad("net/x", OTHER), on("Net/X")), pending("a/s", "NetworkNotFound"), says("a/s", "Net/X")),
    case("two-network-names-with-a-comma-have-two-slashes", world(nad("net/x", OTHER), on("net/x,net/ext")), pending("a/s", "InvalidAnnotation")),
    case("two-bare-names-with-a-comma-are-one-that-does-not-exist", world(nad("a/x", OTHER), on("x,y")), pending("a/s", "NetworkNotFound")),
    *(
        case(
            f"a-selector-name-{how}-is-refused",
            world(nad("a/x", OTHER, labels={"tier": "gold"}), service("a/s", {SELECTOR: text}), service("a/t"),
                  kubemanagers=[kubemanager({"gold": matching({"tier": "gold"}), "default-external": matching({NETWORK: "default-external"})})]),
            pending("a/s", reason),
            ready("a/t", "192.0.2.2"),
        )
        for how, text, reason in (
            ("with-a-blank-after", "gold ", "InvalidAnnotation"),
            ("with-a-line-end", "gold\n", "InvalidAnnotation"),
            ("empty", "", "InvalidAnnotation"),
            ("in-capitals", "Gold", "SelectorNotFound"),
        )
    ),
    case("the-default-selector-may-be-named", world(service("a/s", {SELECTOR: "default-external"})), ready("a/s", "192.0.2.2", rung="service-annotation:externalNetworkSelector")),
]  # fmt: skip


def term(name: str, key: str, text: str, *expected: Any, about: Object | None = None) -> Case:
    return case(f"{key.partition('/')[2]}-{name}", world(nad("net/x", OTHER, annotations={key: text}), about or on("net/x"), service("a/t")), *expected, ready("a/t", "192.0.2.2"))  # fmt: skip


REFUSED, SERVED = pending("a/s", "InvalidAnnotation"), ready("a/s", "198.51.100.2")
TERMS = [
    *(term(f"{how}-is-refused", key, text, REFUSED, says("a/s", key), told("InvalidAnnotation", about="NetworkAttachmentDefinition net/x"))
      for key in (QUARANTINE, LEASE)
      for how, text in {
          "empty": "", "a-number": "5", "negative": "-5m", "with-a-blank-inside": "5 m", "with-capitals": "5M", "a-week": "1w", "beyond-all-time": "99999999999d",
          "without-end": f"{LONG}d", "in-foreign-digits": "\u0665m", "infinite": "inf", "with-a-comma": "5m,6m",
      }.items()),
    *(term(f"{how}-is-read", key, text, SERVED)
      for key in (QUARANTINE, LEASE)
      for how, text in {"zero": "0s", "with-blanks-around": " 5m ", "of-parts": "1h30m", "of-a-part-of-a-second": "1.5s", "of-years": "36500d"}.items()),
    *(term(f"{how}-is-refused", QUOTA, text, REFUSED, says("a/s", QUOTA))
      for how, text in {"empty": "", "a-fraction": "1.5", "signed": "+1", "hexadecimal": "0x1", "in-foreign-digits": "\u0661", "without-end": LONG}.items()),
    term("with-blanks-around-is-read", QUOTA, " 1 ", SERVED),
    *(term(f"{how}-is-refused", EXCLUDE, text, REFUSED, says("a/s", EXCLUDE))
      for how, text in {
          "empty": "", "with-an-empty-item": "198.51.100.2,,198.51.100.3", "of-mixed-families": "198.51.100.2-2001:db8::1", "with-a-zone": "fe80::1%eth0", "with-a-mask": "198.51.100.0/255.255.255.0",
          "half-a-range": "198.51.100.2-", "with-a-leading-zero": "198.51.100.02", "with-separators-of-blanks": "198.51.100.2 198.51.100.3",
      }.items()),
    term("with-blanks-around-the-dash-is-read", EXCLUDE, "198.51.100.2 - 198.51.100.3", ready("a/s", "198.51.100.4")),
    term("with-host-bits-is-read", EXCLUDE, "198.51.100.6/29", ready("a/s", "198.51.100.8")),
    term("beyond-the-prefix-excludes-what-is-inside", EXCLUDE, "198.51.0.0-198.51.100.9", ready("a/s", "198.51.100.10")),
    term("of-another-family-excludes-nothing", EXCLUDE, "2001:db8::/64", SERVED),
    *(term(f"{how}-is-refused", FORCE, text, REFUSED) for how, text in {"empty": "", "without-a-length": "198.51.100.0", "two-of-a-family": "198.51.100.0/25,198.51.100.128/25"}.items()),
]  # fmt: skip

NADS: Final[dict[str, tuple[str, bool]]] = {
    "an-unknown-key-that-is-no-text": ('{"ipamV4Subnet": "198.51.100.0/24", "\\ud800": 1}', False),
    "a-prefix-that-is-no-text": ('{"ipamV4Subnet": "\\ud800"}', False),
    "route-targets-that-are-no-text": ('{"ipamV4Subnet": "198.51.100.0/24", "routeTargetList": ["\\ud800"]}', False),
    "a-letter-of-two-surrogates": ('{"ipamV4Subnet": "198.51.100.0/24", "\\ud83d\\ude00": 1}', True),
    "a-number-without-end": ('{"ipamV4Subnet": "198.51.100.0/24", "podNetwork": ' + "9" * 5000 + "}", False),
    "lists-without-end": ("[" * 100_000, False),
    "blanks-around-the-prefix": ('{"ipamV4Subnet": " 198.51.100.0/24 "}', True),
    "an-empty-second-prefix": ('{"ipamV4Subnet": "198.51.100.0/24", "ipamV6Subnet": ""}', True),
    "a-prefix-with-a-mask": ('{"ipamV4Subnet": "198.51.100.0/255.255.255.0"}', False),
    "a-prefix-in-a-list": ('{"ipamV4Subnet": ["198.51.100.0/24"]}', False),
    "a-prefix-that-is-true": ('{"ipamV4Subnet": true}', False),
    "a-prefix-that-is-false": ('{"ipamV4Subnet": false, "ipamV6Subnet": "2001:db8::/64"}', False),
    "a-prefix-with-a-leading-zero": ('{"ipamV4Subnet": "198.051.100.0/24"}', False),
    "a-prefix-with-a-zone": ('{"ipamV4Subnet": "198.51.100.0/24", "ipamV6Subnet": "fe80::1%eth0/64"}', False),
    "route-targets-in-a-mapping": ('{"ipamV4Subnet": "198.51.100.0/24", "importRouteTargetList": {}}', False),
    "route-targets-with-a-null": ('{"ipamV4Subnet": "198.51.100.0/24", "exportRouteTargetList": [null]}', False),
    "not-a-number": ('{"ipamV4Subnet": NaN}', False),
}
FORMS = [
    case(
        f"a-nad-with-{how}-is-{'read' if read else 'refused'}",
        world(nad("net/x", raw=text), on("net/x"), service("a/t")),
        SERVED if read else REFUSED,
        ready("a/t", "192.0.2.2"),
    )
    for how, (text, read) in NADS.items()
]

TARGETS: Final[dict[str, Any]] = {"empty-texts": [""], "nulls": [None], "blanks": [" "], "a-blank-text": " , "}
CONTEXTS = [
    *(
        case(
            f"route-targets-of-{how}-are-none",
            world(aged(nad("net/o", OTHER, routeTargetList=["t:1"]), "01"), *(aged(obj, "02") for obj in by_vn("net/y", OTHER, routeTargetList=listed)), on("net/y")),
            pending("a/s", "NetworkConflict"),
            network("net/y", conflict="net/o"),
        )
        for how, listed in TARGETS.items()
    ),
    case(
        "blanks-around-route-targets-make-no-difference",
        world(aged(nad("net/o", OTHER, routeTargetList=["t:1"]), "01"), *(aged(obj, "02") for obj in by_vn("net/y", OTHER, importRouteTargetList=[" t:1 "])), on("net/y")),
        pending("a/s", "NetworkConflict"),
    ),
]  # fmt: skip

FAMILIES = [
    case(
        "an-ipv6-virtual-network-is-none-for-who-says-nothing",
        world(*by_vn("net/x", v6=V6), on("net/x"), on("net/x", "a/t", ipFamilies=["IPv6"]), dual("a/u", "PreferDualStack", {NETWORK: "net/x"}), dual("a/v", "RequireDualStack", {NETWORK: "net/x"})),
        pending("a/s", "FamilyUnavailable"),
        ready("a/t", "2001:db8::2"),
        ready("a/u", "2001:db8::3"),
        pending("a/v", "FamilyUnavailable"),
    ),
    case("an-ipv4-cidr-in-the-ipv6-reference-is-refused", world(*by_vn("net/x", v6=OTHER), on("net/x", ipFamilies=["IPv6"])), pending("a/s", "InvalidAnnotation"), says("a/s", "Subnet net/x-v6")),
    case("the-largest-ipv6-prefix", world(nad("net/x", None, "2001:db8::/32"), on("net/x", ipFamilies=["IPv6"])), ready("a/s", "2001:db8::2"), network("net/x", size=2**96 - 2)),
    case("the-largest-ipv4-prefix", world(*by_vn("net/x", "11.0.0.0/8"), on("net/x"), default=nad("net/y", V6[:0] or None, V6)), ready("a/s", "11.0.0.2"), network("net/x", size=2**24 - 3)),
    *(
        case(f"a-{prefix}-whose-gateway-it-is-has-no-address", world(*by_vn("net/x", *(("", prefix) if ":" in prefix else (prefix, "")), gateway=prefix.partition("/")[0]), on("net/x", ipFamilies=["IPv6" if ":" in prefix else "IPv4"])), pending("a/s", "NetworkFull"), network("net/x", size=0))
        for prefix in ("198.51.100.7/32", "2001:db8::7/128")
    ),
    *(
        case(f"every-address-of-a-{prefix}-may-be-requested", world(nad("net/x", *((None, prefix) if ":" in prefix else (prefix,))), *(service(f"a/s{n}", {NETWORK: "net/x", ADDRESSES: address}, ipFamilies=["IPv6" if ":" in prefix else "IPv4"]) for n, address in enumerate(addresses))), *(ready(f"a/s{n}", address) for n, address in enumerate(addresses)))
        for prefix, addresses in {"198.51.100.8/31": ("198.51.100.8", "198.51.100.9"), "198.51.100.9/32": ("198.51.100.9",), "2001:db8::8/127": ("2001:db8::8", "2001:db8::9"), "2001:db8::9/128": ("2001:db8::9",)}.items()
    ),
    case("a-gateway-that-is-the-network-address-frees-network-plus-one", world(*by_vn("net/x", OTHER, gateway="198.51.100.0"), on("net/x")), ready("a/s", "198.51.100.1"), network("net/x", size=254)),
    case("a-gateway-with-blanks-around", world(*by_vn("net/x", OTHER, gateway=" 198.51.100.9 "), on("net/x")), ready("a/s", "198.51.100.1")),
    case("a-range-with-blanks-around", world(*by_vn("net/x", OTHER, ranges=[(" 198.51.100.9", "198.51.100.9 ")]), on("net/x")), ready("a/s", "198.51.100.9")),
    case("a-range-of-reserved-addresses-alone-is-full", world(*by_vn("net/x", OTHER, ranges=[("198.51.100.0", "198.51.100.1")]), on("net/x")), pending("a/s", "NetworkFull"), network("net/x", size=0)),
    case("an-empty-range-group-is-the-whole-prefix", world(vn("net/x", "net/s"), {**subnet("net/s", OTHER), "spec": {"cidr": OTHER, "ranges": [{}, {"ipRanges": []}, {"ipRanges": None}]}}, on("net/x")), ready("a/s", "198.51.100.2")),
]  # fmt: skip

PREFIXES = [
    case(
        "a-prefix-that-moves-elsewhere-is-refused-and-newcomers-find-nothing-in-common",
        world(nad("net/x", OTHER), on("net/x")),
        apply(nad("net/x", "203.0.113.0/24"), on("net/x", "a/t")),
        ready("a/s", "198.51.100.2"),
        pending("a/t", "NetworkFull"),
        network("net/x", problem="PrefixChangeRefused"),
        delete("Service", "a/s"),
        ready("a/t", "203.0.113.2"),
        network("net/x", problem=None),
    ),
    case(
        "a-forced-prefix-may-be-written-with-host-bits-and-blanks",
        world(nad("net/x", OTHER), service("a/s", {NETWORK: "net/x", ADDRESSES: "198.51.100.200"})),
        apply(nad("net/x", "198.51.100.0/25", annotations={FORCE: " 198.51.100.7/25 "})),
        network("net/x", problem=None, size=125),
        ready("a/s", "198.51.100.200"),
    ),
    case(
        "a-refused-prefix-forced-later",
        world(nad("net/x", OTHER), service("a/s", {NETWORK: "net/x", ADDRESSES: "198.51.100.200"})),
        apply(nad("net/x", "198.51.100.0/25")),
        network("net/x", problem="PrefixChangeRefused"),
        apply(nad("net/x", "198.51.100.0/25", annotations={FORCE: "198.51.100.0/25"})),
        network("net/x", problem=None, size=125),
        ready("a/s", "198.51.100.200"),
    ),
    case(
        "a-prefix-narrowed-around-its-holders-is-taken",
        world(nad("net/x", OTHER), on("net/x")),
        apply(nad("net/x", "198.51.100.0/29")),
        happened(),
        network("net/x", problem=None, size=5),
        ready("a/s", "198.51.100.2"),
    ),
    case(
        "a-holder-that-becomes-the-gateway-is-not-cut-off",
        world(*by_vn("net/x", OTHER), on("net/x")),
        apply(subnet("net/x-v4", OTHER, gateway="198.51.100.2"), on("net/x", "a/t")),
        ready("a/s", "198.51.100.2"),
        ready("a/t", "198.51.100.1"),
    ),
]  # fmt: skip


@table([*NAMES, *TERMS, *FORMS, *CONTEXTS, *FAMILIES, *PREFIXES])
def test_spellings(case: Case) -> None:
    play(case)
