"""``ledgerlb import``: what it makes of foreign objects, and that Services keep their addresses after a takeover."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from tests.builders.objects import Object, made, namespace, pool, service
from tests.support.environment import remove_settings
from tests.support.foreign import cilium, foreign, kube_vip, metallb, patched, purelb, showing
from tests.support.simulate import apply, run
from tests.unit.cli.conftest import Invoke

FOREIGN = ("metallb.io", "cilium.io", "purelb.io")
ROOT = Path(__file__).resolve().parents[3]
BOUND = 60.0
"""Seconds for a takeover of 500 Services, tried twice, on a busy machine."""

Take = Callable[..., "Taken"]


class Taken:
    """The outcome of an import."""

    def __init__(self, done: Result, folder: Path) -> None:
        self.done = done
        self.pools = {obj["metadata"]["name"]: obj for obj in _documents(folder / "pools.yaml")}
        self.patches = _documents(folder / "services.yaml")

    @property
    def annotations(self) -> dict[str, dict[str, str]]:
        meta = [obj["metadata"] for obj in self.patches]
        return {f"{one['namespace']}/{one['name']}": one["annotations"] for one in meta}

    def spec(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = self.pools[name]["spec"]
        return spec


def _documents(path: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


@pytest.fixture
def take(tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Take:
    remove_settings(monkeypatch)

    def call(controller: str, *objects: Object) -> Taken:
        source = tmp_path / "cluster"
        source.mkdir()
        (source / "all.json").write_text(json.dumps({"kind": "List", "items": list(objects)}), "utf-8")
        out = tmp_path / "out"
        return Taken(invoke("import", controller, "-f", str(source), "-o", str(out)), out)

    return call


@pytest.mark.parametrize(
    ("controller", "cluster"),
    [("metallb", metallb), ("cilium", cilium), ("purelb", purelb), ("kube-vip", kube_vip)],
)
def test_500_of_500_services_keep_their_address(
    controller: str, cluster: Callable[[int], list[Object]], take: Take
) -> None:
    objects = cluster(500)
    before = time.monotonic()
    taken = take(controller, *objects)
    assert time.monotonic() - before < BOUND
    assert taken.done.exit_code == 0, taken.done.output[-3000:]
    assert "500 of 500 Services keep their address" in taken.done.stdout
    # Start on the cluster as it is after both applies, with newcomers beside: the old ones keep what they show.
    left = [obj for obj in patched(objects, taken.patches) if not obj["apiVersion"].startswith(FOREIGN)]
    newcomers = [service(f"shop/new{number}") for number in range(20)]
    step = run([apply(*taken.pools.values(), *left, *newcomers)])[-1]
    shown = {name: line["addresses"] for name, line in step["services"].items()}
    for obj in objects:
        if obj["kind"] == "Service":
            name = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
            assert shown[name] == [entry["ip"] for entry in obj["status"]["loadBalancer"]["ingress"]], name
    assert len([name for name, addresses in shown.items() if addresses]) == 520


def ippool(name: str, *addresses: str, **spec: Any) -> Object:
    return foreign("IPAddressPool", f"metallb-system/{name}", "metallb.io/v1beta1", addresses=list(addresses), **spec)


class TestMetallb:
    def test_priorities_and_pinned_pools_keep_their_order(self, take: Take) -> None:
        taken = take(
            "metallb",
            ippool("late", "10.1.0.0/24", serviceAllocation={"priority": 20}),
            ippool("soon", "10.2.0.0/24", serviceAllocation={"priority": 10}),
            ippool("last", "10.3.0.0/24"),
            ippool("pinned", "10.4.0.0/24", serviceAllocation={"namespaces": ["a", "b"]}),
            ippool("named", "10.5.0.0/24", autoAssign=False),
        )
        order = sorted(taken.pools, key=lambda name: -taken.spec(name).get("priority", 0))
        assert order[:3] == ["pinned", "soon", "late"]
        expression = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}
        assert taken.spec("pinned")["namespaceSelector"] == {"matchExpressions": [expression]}
        assert taken.spec("named")["autoAssign"] is False
        assert taken.spec("last")["spillOver"] is True

    def test_addresses_that_metallb_avoids_are_excluded(self, take: Take) -> None:
        taken = take("metallb", ippool("p", "10.1.0.0/23", avoidBuggyIPs=True))
        assert taken.spec("p")["exclude"] == ["10.1.0.0", "10.1.0.255", "10.1.1.0", "10.1.1.255"]

    def test_alternatives_of_selectors_are_not_carried_and_named(self, take: Take) -> None:
        selectors = [{"matchLabels": {"a": "b"}}, {"matchLabels": {"c": "d"}}]
        taken = take("metallb", ippool("p", "10.1.0.0/24", serviceAllocation={"serviceSelectors": selectors}))
        assert taken.spec("p")["autoAssign"] is False
        assert "IPAddressPool metallb-system/p: serves any of several selectors" in taken.done.stdout

    def test_every_annotation_is_carried_or_named(self, take: Take) -> None:
        annotations = {
            "metallb.io/address-pool": "p",
            "metallb.universe.tf/loadBalancerIPs": "10.1.0.7",
            "metallb.universe.tf/allow-shared-ip": "k",
            "metallb.universe.tf/ip-allocated-from-pool": "p",
            "metallb.io/no-such": "x",
        }
        taken = take("metallb", ippool("p", "10.1.0.0/24"), service("a/s", annotations))
        assert taken.annotations == {
            "a/s": {
                "service.contrail.juniper.net/externalNetwork": "pool/p",
                "ledgerlb.io/addresses": "10.1.0.7",
                "ledgerlb.io/sharing-key": "k",
            }
        }
        assert "Service a/s: the annotation metallb.io/no-such has no counterpart" in taken.done.stdout
        assert "1 more show none yet" in taken.done.stdout

    def test_an_address_that_cannot_be_kept_is_named_with_the_reason(self, take: Take) -> None:
        taken = take(
            "metallb",
            ippool("p", "10.1.0.0/24"),
            showing(service("a/outside"), "10.9.9.9"),
            showing(service("a/twice"), "10.1.0.5"),
            showing(service("b/twice"), "10.1.0.5"),
            showing(service("a/theirs", loadBalancerClass="example.com/lb"), "10.1.0.6"),
        )
        assert taken.done.exit_code == 1
        assert "1 of 4 Services keep their address" in taken.done.stdout
        lines = {line.split()[0]: line for line in taken.done.stdout.splitlines() if line.startswith("  a/")}
        lines |= {line.split()[0]: line for line in taken.done.stdout.splitlines() if line.startswith("  b/")}
        assert "10.9.9.9" in lines["a/outside"]
        assert "10.1.0.5" in lines["b/twice"]
        assert "example.com/lb" in lines["a/theirs"]

    def test_what_is_broken_is_named_and_the_rest_carried(self, take: Take) -> None:
        broken = {**ippool("broken"), "spec": {"addresses": "10.1.0.0/24"}}
        taken = take("metallb", ippool("p", "10.1.0.0/24", "ten-one"), broken, made("Service", "a/s"), {"kind": 7})
        assert list(taken.pools) == ["p"]
        assert "'ten-one' is no prefix" in taken.done.stdout
        assert "broken: has no addresses" in taken.done.stdout

    def test_the_older_kind_of_the_same_name_as_ours_is_metallbs(self, take: Take) -> None:
        old = foreign("AddressPool", "metallb-system/old", "metallb.io/v1beta1", addresses=["10.1.0.0/24"])
        taken = take("metallb", old, pool("mine", "10.2.0.0/24"), showing(service("a/s"), "10.1.0.9"))
        assert list(taken.pools) == ["old"]
        assert "1 of 1 Services keep" in taken.done.stdout


def test_a_service_whose_address_is_in_another_pool_than_its_first_is_annotated(take: Take) -> None:
    taken = take(
        "metallb",
        ippool("first", "10.1.0.0/24", serviceAllocation={"priority": 1}),
        ippool("second", "10.2.0.0/24"),
        showing(service("a/s"), "10.2.0.9"),
    )
    assert taken.done.exit_code == 0, taken.done.stdout
    assert "1 of 1 Services keep" in taken.done.stdout


def test_ciliums_selector_is_split_in_two(take: Take) -> None:
    selector = {
        "matchLabels": {"color": "blue"},
        "matchExpressions": [{"key": "io.kubernetes.service.namespace", "operator": "In", "values": ["a"]}],
    }
    blocks = [{"cidr": "10.1.0.0/29"}, {"start": "10.2.0.5"}]
    by_name = {"matchLabels": {"io.kubernetes.service.name": "web"}}
    taken = take(
        "cilium",
        foreign("CiliumLoadBalancerIPPool", "p", "cilium.io/v2", blocks=blocks, serviceSelector=selector),
        foreign("CiliumLoadBalancerIPPool", "off", "cilium.io/v2", blocks=[{"cidr": "10.3.0.0/24"}], disabled=True),
        foreign(
            "CiliumLoadBalancerIPPool", "n", "cilium.io/v2", blocks=[{"start": "10.4.0.1"}], serviceSelector=by_name
        ),
        service("a/s", {"lbipam.cilium.io/sharing-cross-namespace": "*"}),
    )
    assert taken.spec("p")["addresses"] == ["10.1.0.0/29", "10.2.0.5"]
    assert taken.spec("p")["serviceSelector"] == {"matchLabels": {"color": "blue"}}
    assert taken.spec("p")["namespaceSelector"]["matchExpressions"][0]["key"] == "kubernetes.io/metadata.name"
    assert (taken.spec("off")["disabled"], "spillOver" in taken.spec("off")) == (True, False)
    assert taken.spec("n")["autoAssign"] is False
    assert "sharing-cross-namespace has no counterpart" in taken.done.stdout


def test_purelbs_netbox_is_named(take: Take) -> None:
    group = foreign("ServiceGroup", "purelb/n", "purelb.io/v1", netbox={"url": "https://netbox"})
    assert "takes its addresses from Netbox" in take("purelb", group).done.stdout


def test_kube_vips_dhcp_and_other_keys_are_named(take: Take) -> None:
    data = {"cidr-global": "0.0.0.0/32,10.1.0.0/29", "skip-end-ips-in-cidr": "true", "allow-share-a": "true"}
    config = made("ConfigMap", "kube-system/kubevip", api_version="v1", data=data)
    taken = take("kube-vip", config)
    assert taken.spec("kube-vip-global")["exclude"] == ["10.1.0.0", "10.1.0.7"]
    assert "DHCP" in taken.done.stdout
    assert "the key allow-share-a has no counterpart" in taken.done.stdout


def test_without_a_folder_the_yaml_goes_to_standard_output(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(ippool("p", "10.1.0.0/24")), "utf-8")
    done = invoke("import", "metallb", "-f", str(tmp_path / "all.yaml"))
    assert [obj["kind"] for obj in yaml.safe_load_all(done.stdout)] == ["AddressPool"]
    assert "1 AddressPools" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("haproxy", "-f", "."), "write one of metallb, cilium, purelb, kube-vip"),
        (("metallb",), "name a folder with -f"),
        (("metallb", "-f", "no-such-folder"), "holds no manifests"),
    ],
)
def test_bad_arguments_end_with_a_sentence(arguments: tuple[str, ...], part: str, invoke: Invoke) -> None:
    done = invoke("import", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert part in done.stderr


def test_what_was_imported_is_taken_by_the_schema_of_the_kind(take: Take) -> None:
    taken = take("metallb", *metallb(20))
    known = {"addresses", "exclude", "priority", "serviceSelector", "namespaceSelector", "autoAssign", "spillOver"}
    assert all(set(obj["spec"]) <= known for obj in taken.pools.values())
    step = run([apply(namespace("pay"), *taken.pools.values())])[-1]
    assert {name: line["problem"] for name, line in step["networks"].items()} == dict.fromkeys(
        (f"pool/{name}" for name in taken.pools), None
    )


def test_the_page_shows_what_the_example_prints(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "coming-from-metallb.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    done = invoke("import", "metallb", "-f", str(ROOT / "examples" / "metallb"), "-o", "imported")
    assert done.exit_code == 1
    printed = "".join(f"    {line}\n" for line in done.stdout.splitlines())
    assert printed in page
