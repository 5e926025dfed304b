"""VirtualNetworkRouters: which networks reach each other without a common route target."""

from __future__ import annotations

from typing import Any, Final

from tests.behaviour.play import Case, Look, Moment, case, network, play, ready, table
from tests.behaviour.world import world
from tests.builders.objects import NETWORK, Object, aged, endpoint, made, nad, namespace, pod, service, slice_of
from tests.support.simulate import apply, delete

VIP: Final = "198.51.100.2"
WIDE: Final = "198.51.100.0/24"
BY_HAND = service("b/s", {NETWORK: "b/front"}, selector=None)
STATUS = [{"name": "pods", "ips": ["10.1.0.1"], "default": True}, {"name": "b/back", "ips": ["172.16.0.9"]}]


def router(name: str, kind: str = "mesh", selector: Any = None, imports: Any = None, **labels: str) -> Object:
    """A router of ``b`` that selects the networks labelled with its bare name, and is labelled so itself."""
    bare = name.rpartition("/")[2]
    spec: Object = {"type": kind, "virtualNetworkSelector": selector or {"matchLabels": {"of": bare}}}
    if imports is not None:
        spec["import"] = {"virtualNetworkRouters": imports}
    return made("VirtualNetworkRouter", name, metadata={"labels": {"name": bare, **labels}}, spec=spec)


def importing(*names: str, namespaces: Any = None) -> list[Object]:
    more = {} if namespaces is None else {"namespaceSelector": namespaces}
    return [{"virtualNetworkRouterSelector": {"matchLabels": {"name": name}}, **more} for name in names]


def net(name: str, of: str = "", v4: Any = "172.16.0.0/24", **more: Any) -> Object:
    return nad(name, v4, labels={"of": of} if of else None, **more)


def joined(front: str = "", back: str = "") -> list[Object]:
    """The external network ``b/front``, and a pod with an interface on ``b/back`` behind a Service of it."""
    return [
        net("b/front", front, WIDE),
        net("b/back", back),
        pod("b/p", "10.1.0.1", status=STATUS),
        slice_of("b/s", endpoint("172.16.0.9", of="b/p")),
        BY_HAND,
    ]


def reaches(yes: bool = True) -> Look:
    def look(moment: Moment) -> None:
        assert bool(moment.step["services"]["b/s"]["path_set"][VIP]) == yes

    return look


def warned(*parts: str) -> Look:
    """The explanation of the Service's network names all of this."""

    def look(moment: Moment) -> None:
        selection = moment.simulation.engine.view.intents.selections["b/s"]
        assert all(part in "; ".join(selection.warnings) for part in parts), selection.warnings

    return look


HUB, SPOKE = router("b/h", "hub", imports=importing("s")), router("b/s", "spoke", imports=importing("h"))
REACH = [
    case("networks-of-one-mesh-reach-each-other", world(router("b/m"), *joined("m", "m")), ready("b/s", VIP), reaches()),
    case("without-a-router-they-do-not", world(*joined()), ready("b/s", VIP), reaches(yes=False)),
    case("a-network-that-the-mesh-does-not-select-is-not-reached", world(router("b/m"), *joined("m", "")), reaches(yes=False)),
    case("a-mesh-that-comes-later-joins-at-once", world(*joined("m", "m")), reaches(yes=False), apply(router("b/m")), reaches(), delete("VirtualNetworkRouter", "b/m"), reaches(yes=False)),
    case("a-network-that-is-labelled-later-joins", world(router("b/m"), *joined("m", "")), reaches(yes=False), apply(net("b/back", "m")), reaches()),
    case("a-mesh-of-another-namespace-selects-nothing-here", world(router("a/m"), *joined("m", "m")), reaches(yes=False)),
    case("an-empty-selector-selects-every-network-of-the-namespace", world(router("b/m", selector={"matchExpressions": []}), *joined()), reaches()),
    case("routers-that-import-each-other-are-joined", world(router("b/m", imports=importing("n")), router("b/n", imports=importing("m")), *joined("m", "n")), reaches()),
    case("an-import-of-one-side-alone-joins-nothing", world(router("b/m", imports=importing("n")), router("b/n"), *joined("m", "n")), reaches(yes=False), warned("b/m", "does not import it")),
    case("a-spoke-reaches-the-hub", world(HUB, SPOKE, *joined("s", "h")), reaches()),
    case("the-hub-reaches-a-spoke", world(HUB, SPOKE, *joined("h", "s")), reaches()),
    case("networks-of-one-spoke-do-not-reach-each-other", world(HUB, SPOKE, *joined("s", "s")), reaches(yes=False)),
    case("networks-of-the-hub-reach-each-other", world(HUB, SPOKE, *joined("h", "h")), reaches()),
    case("two-spokes-of-a-hub-do-not-reach-each-other", world(router("b/h", "hub", imports=importing("s", "t")), SPOKE, router("b/t", "spoke", imports=importing("h")), *joined("s", "t")), reaches(yes=False)),
    case("spokes-that-import-each-other-are-not-joined-either", world(router("b/s", "spoke", imports=importing("t")), router("b/t", "spoke", imports=importing("s")), *joined("s", "t")), reaches(yes=False)),
    case("imports-stay-in-the-namespace-without-a-selector", world(router("b/m", imports=importing("n")), router("a/n", imports=importing("m", namespaces={})), net("a/x", "n", "172.17.0.0/24"), *joined("m", "")), reaches(yes=False)),
    case(
        "imports-cross-namespaces-with-a-selector",
        world(
            namespace("a", {"team": "x"}), namespace("b", {"team": "x"}),
            router("b/m", imports=importing("n", namespaces={"matchLabels": {"team": "x"}})), router("a/n", imports=importing("m", namespaces={"matchLabels": {"team": "x"}})),
            net("b/front", "m", WIDE), net("a/back", "n"), BY_HAND, slice_of("b/s", endpoint("172.16.0.9", of="b/p")),
            pod("b/p", "10.1.0.1", status=[STATUS[0], {"name": "a/back", "ips": ["172.16.0.9"]}]),
        ),
        reaches(),
        apply(namespace("a", {"team": "y"})),
        reaches(yes=False),
    ),
    case("a-ring-of-routers-passes-nothing-on", world(router("b/m", imports=importing("n")), router("b/n", imports=importing("o")), router("b/o", imports=importing("m")), *joined("m", "n")), reaches(yes=False), warned("b/m", "so they are not joined")),
    case("a-mutual-ring-joins-neighbours-only", world(router("b/m", imports=importing("n", "q")), router("b/n", imports=importing("m", "o")), router("b/o", imports=importing("n", "q")), router("b/q", imports=importing("o", "m")), *joined("m", "o")), reaches(yes=False)),
]  # fmt: skip

BAD = [
    case("a-router-that-imports-itself-joins-its-own-networks", world(router("b/m", imports=importing("m")), *joined("m", "m")), reaches(), warned("b/m", "imports itself")),
    case("a-router-that-selects-nothing-is-told-on-the-networks-there", world(router("b/m"), *joined()), ready("b/s", VIP), warned("b/m", "selects no network")),
    case("an-unknown-type-joins-nothing", world(router("b/m", "star"), *joined("m", "m")), ready("b/s", VIP), reaches(yes=False), warned("b/m", "'star'")),
    case("a-broken-selector-joins-nothing", world(router("b/m", selector={"matchExpressions": [{"key": "x", "operator": "Near"}]}), *joined("m", "m")), ready("b/s", VIP), reaches(yes=False), warned("b/m", "spec.virtualNetworkSelector")),
    case("a-selector-of-the-wrong-type-joins-nothing", world(made("VirtualNetworkRouter", "b/m", spec={"type": "mesh", "virtualNetworkSelector": "all"}), *joined("m", "m")), reaches(yes=False), warned("b/m", "spec.virtualNetworkSelector")),
    case("a-missing-selector-joins-nothing", world(made("VirtualNetworkRouter", "b/m", spec={"type": "mesh"}), *joined("m", "m")), reaches(yes=False), warned("b/m", "is missing")),
    case("an-import-without-a-selector-joins-nothing", world(router("b/m", imports=[{"namespaceSelector": {}}]), *joined("m", "m")), reaches(yes=False), warned("virtualNetworkRouterSelector")),
    case("a-broken-router-leaves-the-others", world(router("b/x", "star"), router("b/m"), *joined("m", "m")), reaches()),
]  # fmt: skip


def targets(*both: str) -> Object:
    return {"routeTargetList": list(both)}


OVERLAP = [
    case(
        "networks-with-separate-targets-that-a-router-joins-conflict",
        world(aged(net("b/o", "m", WIDE, **targets("t:1")), "01"), aged(net("b/y", "m", WIDE, **targets("t:2")), "02")),
        network("b/y", conflict=None),
        apply(router("b/m")),
        network("b/y", conflict="b/o"),
        delete("VirtualNetworkRouter", "b/m"),
        network("b/y", conflict=None),
    ),
    case("networks-of-two-routers-do-not", world(router("b/m"), router("b/n"), net("b/o", "m", WIDE, **targets("t:1")), net("b/y", "n", WIDE, **targets("t:2"))), network("b/y", conflict=None)),
    case("two-spokes-do-not-share-a-context", world(HUB, SPOKE, net("b/o", "s", WIDE, **targets("t:1")), net("b/y", "s", WIDE, **targets("t:2"))), network("b/y", conflict=None)),
    case("a-router-alone-is-no-list-of-targets", world(router("b/m"), router("b/n"), aged(net("b/o", "m", WIDE), "01"), aged(net("b/y", "n", WIDE), "02")), network("b/y", conflict="b/o")),
]  # fmt: skip


@table([*REACH, *BAD, *OVERLAP])
def test_routers(case: Case) -> None:
    play(case)
