"""Which namespace is the contrail namespace: the setting, else the one that holds CN2's service network."""

from __future__ import annotations

from typing import Any, Final

from tests.behaviour.play import Case, Look, Moment, case, happened, network, pending, play, ready, says, table
from tests.builders.objects import (
    ADMITTED,
    DEFAULT_LABELS,
    NETWORK,
    SELECTOR,
    Object,
    aged,
    default_nad,
    kubemanager,
    matching,
    nad,
    namespace,
    node,
    service,
    vn,
)
from tests.support.simulate import apply, delete

CN2: Final = "contrail-k8s-kubemanager-c1-contrail"
S = service("a/s")


def field(*more: Object, home: str = CN2) -> Object:
    """A cluster as CN2 makes it: the service network in ``home``, the Kubemanager in namespace contrail."""
    spaces = [namespace(name) for name in ("contrail", CN2, "a", "other")]
    given = {obj["metadata"]["name"] for obj in more if obj["kind"] == "Namespace"}
    spaces = [space for space in spaces if space["metadata"]["name"] not in given]
    held = [vn(f"{home}/default-servicenetwork")] if home else []
    return {"apply": [*spaces, kubemanager(), node("n1"), *held, *more]}


def instance_on(*networks: str) -> Look:
    """The InstanceIPs of the step before are on these networks."""

    def look(moment: Moment) -> None:
        found = [write for write in moment.step["writes"] if write["kind"] == "InstanceIP"]
        references = [write["spec"]["virtualNetworkReference"] for write in found]
        assert sorted({f"{one['namespace']}/{one['name']}" for one in references}) == sorted(networks)

    return look


def unclear(*parts: str) -> tuple[Any, Look]:
    return pending("a/s", "ContrailNamespaceUnclear"), says("a/s", "contrailNamespace", *parts)


EXT = default_nad(f"{CN2}/ext")
SECOND = vn("other/default-servicenetwork")
CASES = [
    case("the-namespace-of-the-service-network-is-searched", field(EXT, S), ready("a/s", "192.0.2.2", network=f"{CN2}/ext")),
    case("the-namespace-named-contrail-is-then-no-longer-it", field(default_nad("contrail/ext"), S), pending("a/s", "NoNetworkMatches"), says("a/s", CN2)),
    case("without-a-service-network-it-is-contrail", field(default_nad("contrail/ext"), S, home=""), ready("a/s", "192.0.2.2", network="contrail/ext")),
    case("the-setting-decides-against-what-is-found", field(EXT, default_nad("other/ext", "198.51.100.0/24"), S), ready("a/s", "198.51.100.2", network="other/ext"), settings={"contrailNamespace": "other"}),
    case("annotations-of-the-found-namespace-count", field(namespace(CN2, annotations={NETWORK: "ext"}), nad(f"{CN2}/ext"), S), ready("a/s", "192.0.2.2", network=f"{CN2}/ext", rung="contrail-namespace-annotation:externalNetwork")),
    case("annotations-of-a-namespace-that-is-not-it-do-not", field(namespace("contrail", annotations={NETWORK: "ext"}), nad("contrail/ext"), S), pending("a/s", "NoNetworkMatches")),
    case("an-annotation-of-the-found-namespace-that-comes-later-counts", field(nad(f"{CN2}/ext"), S), pending("a/s", "NoNetworkMatches"), apply(namespace(CN2, annotations={NETWORK: "ext"})), ready("a/s", "192.0.2.2")),
    case("networks-of-the-found-namespace-are-admitted", field(aged(nad("other/old"), "01"), aged(nad(f"{CN2}/ext"), "02")), network("other/old", conflict=f"{CN2}/ext"), network(f"{CN2}/ext", conflict=None)),
    case("the-service-network-follows", field(EXT, S), instance_on(f"{CN2}/ext", f"{CN2}/default-servicenetwork")),
    case("the-setting-of-the-service-network-decides", field(EXT, S), instance_on(f"{CN2}/ext", "other/services"), settings={"serviceNetwork": "other/services"}),
    case("the-service-network-follows-the-setting-of-the-namespace", field(default_nad("other/ext"), S), instance_on("other/ext", "other/default-servicenetwork"), settings={"contrailNamespace": "other"}),
    case("one-made-by-a-nad-does-not-count", field(nad("other/default-servicenetwork", "198.51.100.0/24"), EXT, S), ready("a/s", "192.0.2.2", network=f"{CN2}/ext"), apply(service("a/t")), ready("a/t", "192.0.2.3", network=f"{CN2}/ext")),
    case("several-leave-the-default-open", field(SECOND, EXT, S), *unclear(CN2, "other")),
    case("several-leave-admitted-namespaces-open-too", field(SECOND, namespace("a", ADMITTED), default_nad("a/ext"), S), *unclear()),
    case("several-leave-annotations-of-each-open", field(SECOND, namespace("other", annotations={SELECTOR: "mine"}), EXT, S), *unclear()),
    case("several-and-a-setting", field(SECOND, EXT, S), ready("a/s", "192.0.2.2"), settings={"contrailNamespace": CN2}),
    case("several-do-not-concern-who-names-a-network", field(SECOND, nad("a/x", "198.51.100.0/24"), service("a/s", {NETWORK: "a/x"})), ready("a/s", "198.51.100.2")),
    case(
        "several-do-not-concern-a-default-that-names-its-namespaces",
        field(SECOND, default_nad("a/ext"), {**kubemanager({"default-external": matching(DEFAULT_LABELS, {})})}, S),
        ready("a/s", "192.0.2.2", network="a/ext"),
    ),
    case("one-of-several-goes", field(SECOND, EXT, S), *unclear(), delete("VirtualNetwork", "other/default-servicenetwork"), ready("a/s", "192.0.2.2")),
    case("a-second-one-moves-no-holder", field(EXT, S), ready("a/s", "192.0.2.2"), apply(SECOND), ready("a/s", "192.0.2.2"), happened(), apply(service("a/t")), pending("a/t", "ContrailNamespaceUnclear")),
    case("with-several-no-cluster-address-gets-an-object", field(SECOND, nad("a/x", "198.51.100.0/24"), service("a/s", {NETWORK: "a/x"})), instance_on("a/x")),
    case(
        "a-nad-with-a-null-cni-version-defines-its-network",
        field(nad(f"{CN2}/ext", labels=DEFAULT_LABELS, config='{"cniVersion": null, "type": "contrail-k8s-cni"}'), S),
        ready("a/s", "192.0.2.2"),
    ),
    case(
        "a-nad-with-a-null-cni-version-and-no-annotation-is-told-what-it-lacks",
        field(nad("a/x", raw=None, config='{"cniVersion": null, "name": null, "type": "contrail-k8s-cni", "ipam": null}'), service("a/s", {NETWORK: "a/x"})),
        pending("a/s", "InvalidAnnotation"),
        says("a/s", "names no prefix"),
    ),
]  # fmt: skip


@table(CASES)
def test_contrail_namespace(case: Case) -> None:
    play(case)
