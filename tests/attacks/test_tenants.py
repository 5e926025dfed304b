"""Tenants: whoever may create a NetworkAttachmentDefinition and Services takes nothing away from others."""

import pytest

from tests.builders import objects as build
from tests.builders.objects import (
    ADDRESSES,
    ADMITTED,
    DEFAULT_LABELS,
    NETWORK,
    kubemanager,
    namespace,
    node,
    service,
)
from tests.builders.objects import (
    backends as endpoints,
)
from tests.support.simulate import apply, run, run_simulation, simulation_of

MONTH = {"advance": "720h"}


def nad(full_name, prefix, targets=(), labels=None, created=""):
    v4, v6 = (None, prefix) if ":" in prefix else (prefix, None)
    made = build.nad(full_name, v4, v6, labels=labels, routeTargetList=list(targets))
    return {**made, "metadata": {**made["metadata"], **({"creationTimestamp": created} if created else {})}}


def backends(step, name):
    """{address: backends} of a Service's path sets."""
    path_set = step["services"][name].get("path_set") or {}
    return {
        address: [backend for hop in hops.values() for backend in hop["backends"]] for address, hops in path_set.items()
    }


def conditions(steps, namespace, name):
    """{type: condition} of a Service as the API server shows it after the steps."""
    simulation = simulation_of(steps)
    run_simulation(simulation)
    shown = simulation.engine._cluster.get("Service", namespace, name)
    return {condition["type"]: condition for condition in shown["status"]["conditions"]}


VICTIM = [
    namespace("contrail"), namespace("v"), namespace("zzz"), node("n1"), kubemanager(),
    nad("contrail/main", "10.9.0.0/28", ["64512:1"]),
    service("v/web", {NETWORK: "contrail/main", ADDRESSES: "10.9.0.4"}), endpoints("v/web", n1=["10.1.1.1"]),
]  # fmt: skip
THIEF = [
    nad("zzz/x", "10.9.0.0/28", ["64512:666"]),
    service("zzz/thief", {NETWORK: "zzz/x", ADDRESSES: "10.9.0.4"}), endpoints("zzz/thief", n1=["10.1.1.66"]),
]  # fmt: skip


class TestALiveAddress:
    """A tenant's network with the same prefix and other route targets is a routing context of its own."""

    def test_stays_with_its_holder_in_the_data_path(self):
        steps = run([apply(*VICTIM), MONTH, apply(*THIEF)])
        assert backends(steps[-1], "v/web") == {"10.9.0.4": ["10.1.1.1:8080"]}
        assert steps[-1]["services"]["v/web"]["state"] == "Ready"
        assert backends(steps[-1], "zzz/thief") in ({}, {"10.9.0.4": []})
        assert steps[-1]["services"]["v/web"]["reason"] is None
        assert steps[-1]["services"]["zzz/thief"]["reason"] == "AddressInUseElsewhere"

    def test_stays_when_the_thief_leaves_and_comes_again(self):
        gone = {"delete": [{"kind": "Service", "namespace": "zzz", "name": "thief"}]}
        steps = run([apply(*VICTIM), MONTH, apply(*THIEF), gone, {"advance": "10m"}, apply(THIEF[1])])
        assert all(backends(step, "v/web") == {"10.9.0.4": ["10.1.1.1:8080"]} for step in steps[2:])
        assert "zzz/thief" not in steps[4]["services"]

    def test_stays_when_the_thief_edits_its_route_targets(self):
        steps = run(
            [apply(*VICTIM), MONTH, apply(*THIEF), apply(nad("zzz/x", "10.9.0.0/28", ["64512:1"])), {"advance": "10m"}]
        )
        assert backends(steps[-1], "v/web") == {"10.9.0.4": ["10.1.1.1:8080"]}
        assert steps[-1]["services"]["v/web"]["state"] == "Ready"

    def test_goes_to_the_next_holder_once_the_first_released_it(self):
        steps = run([apply(*VICTIM), MONTH, apply(*THIEF), GONE, {"advance": "10m"}])
        assert backends(steps[-1], "zzz/thief") == {"10.9.0.4": ["10.1.1.66:8080"]}


GONE = {"delete": [{"kind": "Service", "namespace": "v", "name": "web"}]}


class TestTheLaterHolder:
    """A Service whose address the data path serves for another network says so, for as long as that lasts."""

    def test_shows_which_network_is_served_instead(self):
        shown = conditions([apply(*VICTIM), MONTH, apply(*THIEF)], "zzz", "thief")
        programmed = shown["ledgerlb.io/Programmed"]
        assert (programmed["status"], programmed["reason"]) == ("False", "AddressInUseElsewhere")
        assert "contrail/main" in programmed["message"]
        assert "10.9.0.4" in programmed["message"]
        assert "use another address" in programmed["message"]
        assert "v/web" not in programmed["message"], "another tenant's Service is not named"
        assert shown["ledgerlb.io/AddressAllocated"]["reason"] == "AddressAllocated"

    def test_is_the_only_one_to_show_it(self):
        assert (
            conditions([apply(*VICTIM), MONTH, apply(*THIEF)], "v", "web")["ledgerlb.io/Programmed"]["reason"]
            == "RecordOnly"
        )

    def test_shows_it_no_more_once_the_owner_released_the_address(self):
        steps = [apply(*VICTIM), MONTH, apply(*THIEF), GONE, {"advance": "10m"}]
        assert conditions(steps, "zzz", "thief")["ledgerlb.io/Programmed"]["reason"] == "RecordOnly"
        assert run(steps)[-1]["services"]["zzz/thief"]["reason"] is None

    def test_shows_it_also_after_a_restart(self):
        steps = [apply(*VICTIM), MONTH, apply(*THIEF), {"restart": ["watcher"]}]
        assert "ledgerlb.io/Programmed" in conditions(steps, "zzz", "thief")


@pytest.mark.parametrize(
    "prefix",
    [
        "0.0.0.0/0", "0.1.2.0/24", "127.0.0.0/24", "169.254.169.0/24", "224.0.0.0/24", "240.0.0.0/8", "255.255.255.0/24",
        "8.0.0.0/7", "::/0", "::/128", "::1/128", "::ffff:8.8.8.0/120", "fe80::/64", "ff02::/64", "2001::/16",
    ],
)  # fmt: skip
def test_no_network_announces_what_nobody_can_route(prefix):
    families = {} if ":" not in prefix else {"ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack"}
    step = run(
        [
            apply(
                namespace("contrail"),
                namespace("t"),
                node("n1"),
                nad("t/x", prefix),
                service("t/s", {NETWORK: "t/x"}, **families),
            )
        ]
    )[-1]
    assert step["networks"]["t/x"]["problem"] == "InvalidAnnotation"
    assert (step["services"]["t/s"]["state"], step["services"]["t/s"]["addresses"]) == ("Pending", [])


class TestTheDefault:
    """Only a network that an administrator vouches for can become everybody's default."""

    def test_is_no_tenants_network(self):
        mine = nad("t/x", "10.7.0.0/24", labels=DEFAULT_LABELS)
        step = run([apply(namespace("contrail"), namespace("t"), kubemanager(), mine, service("t/s"))])[-1]
        assert (step["services"]["t/s"]["state"], step["services"]["t/s"]["reason"]) == ("Pending", "NoNetworkMatches")

    def test_is_a_network_of_an_admitted_namespace(self):
        mine = nad("t/x", "10.7.0.0/24", labels=DEFAULT_LABELS)
        steps = run([
            apply(namespace("contrail"), namespace("t", ADMITTED), kubemanager(), mine, service("t/s")),
            apply(namespace("t"), service("t/late")),
        ])  # fmt: skip
        assert steps[0]["services"]["t/s"]["network"] == "t/x"
        assert steps[1]["services"]["t/s"]["state"] == "Ready"
        assert steps[1]["services"]["t/late"]["reason"] == "NoNetworkMatches"

    def test_a_label_with_another_value_admits_nobody(self):
        mine = nad("t/x", "10.7.0.0/24", labels=DEFAULT_LABELS)
        spaces = [namespace("contrail"), namespace("t", {"ledgerlb.io/external-networks": "false"})]
        step = run([apply(*spaces, kubemanager(), mine, service("t/s"))])[-1]
        assert step["services"]["t/s"]["reason"] == "NoNetworkMatches"

    def test_the_setting_names_the_namespaces(self):
        mine = nad("t/x", "10.7.0.0/24", labels=DEFAULT_LABELS)
        spaces = [namespace("contrail"), namespace("t", {"tier": "edge"})]
        step = run([apply(*spaces, kubemanager(), mine, service("t/s"))], {"networkNamespaces": "tier=edge"})[-1]
        assert step["services"]["t/s"]["network"] == "t/x"


class TestOverlaps:
    def test_an_older_tenants_network_puts_no_admitted_one_into_conflict(self):
        old = nad("t/x", "10.9.0.0/16", created="2020-01-01T00:00:00Z")
        main = nad("contrail/main", "10.9.0.0/28", created="2025-01-01T00:00:00Z")
        step = run(
            [
                apply(
                    namespace("contrail"),
                    namespace("t"),
                    namespace("v"),
                    old,
                    main,
                    service("v/web", {NETWORK: "contrail/main"}),
                )
            ]
        )[-1]
        assert step["services"]["v/web"]["state"] == "Ready"
        assert step["networks"]["t/x"]["conflict"] == "contrail/main"

    def test_addresses_that_its_holders_keep_are_given_to_nobody_else(self):
        early = [
            namespace("contrail"),
            namespace("t"),
            namespace("v"),
            nad("t/x", "10.9.0.0/28"),
            service("t/first", {NETWORK: "t/x"}),
        ]
        steps = run(
            [
                apply(*early),
                apply(nad("contrail/main", "10.9.0.0/28")),
                apply(service("v/web", {NETWORK: "contrail/main"})),
            ]
        )
        assert steps[0]["services"]["t/first"]["addresses"] == ["10.9.0.2"]
        assert steps[-1]["services"]["t/first"]["addresses"] == ["10.9.0.2"]
        assert steps[-1]["services"]["v/web"]["addresses"] == ["10.9.0.3"]

    def test_a_network_in_conflict_puts_no_third_one_into_conflict(self):
        nets = [
            nad(f"contrail/{name}", prefix, created=f"2025-0{number}-01T00:00:00Z")
            for number, (name, prefix) in enumerate(
                (("a", "10.9.0.0/28"), ("b", "10.9.0.0/24"), ("c", "10.9.0.128/28")), 1
            )
        ]
        step = run([apply(namespace("contrail"), *nets)])[-1]
        assert [step["networks"][f"contrail/{name}"]["conflict"] for name in "abc"] == [None, "contrail/a", None]


def test_a_service_may_move_between_two_contexts_and_keep_its_address():
    nets = [nad("contrail/one", "10.9.0.0/28", ["64512:1"]), nad("contrail/two", "10.9.0.0/28", ["64512:2"])]
    spaces = [namespace("contrail"), namespace("v"), node("n1"), *nets, endpoints("v/web", n1=["10.1.1.1"])]
    steps = run(
        [
            apply(*spaces, service("v/web", {NETWORK: "contrail/one", ADDRESSES: "10.9.0.4"})),
            apply(service("v/web", {NETWORK: "contrail/two", ADDRESSES: "10.9.0.4"})),
            {"advance": "10m"},
        ]
    )
    found = steps[-1]["services"]["v/web"]
    assert (found["state"], found["network"], found["addresses"]) == ("Ready", "contrail/two", ["10.9.0.4"])
    assert backends(steps[-1], "v/web") == {"10.9.0.4": ["10.1.1.1:8080"]}


class TestSettingsOfTheAdministrator:
    def test_restricted_networks_serve_admitted_namespaces_only(self):
        spaces = [namespace("contrail"), namespace("t"), nad("t/x", "10.7.0.0/24"), nad("contrail/y", "10.8.0.0/24")]
        services = [service("t/s", {NETWORK: "t/x"}), service("t/r", {NETWORK: "contrail/y"})]
        step = run([apply(*spaces, *services)], {"restrictNetworks": True})[-1]
        assert step["services"]["t/s"]["reason"] == "NetworkNotAdmitted"
        assert step["services"]["t/r"]["state"] == "Ready"

    def test_external_prefixes_bound_what_is_ever_announced(self):
        spaces = [namespace("contrail"), nad("contrail/x", "8.8.8.0/24"), nad("contrail/y", "203.0.113.0/25")]
        services = [service("contrail/s", {NETWORK: "contrail/x"}), service("contrail/r", {NETWORK: "contrail/y"})]
        step = run([apply(*spaces, *services)], {"externalPrefixes": ["203.0.113.0/24"]})[-1]
        assert step["services"]["contrail/s"]["reason"] == "NetworkNotAdmitted"
        assert step["services"]["contrail/r"]["state"] == "Ready"

    def test_a_quota_holds_for_every_network_that_has_none(self):
        spaces = [namespace("contrail"), namespace("t"), nad("contrail/x", "10.8.0.0/24")]
        services = [service(f"t/s{n}", {NETWORK: "contrail/x"}) for n in range(3)]
        step = run([apply(*spaces, *services)], {"defaults": {"quotaPerNamespace": 2}})[-1]
        reasons = sorted(str(found["reason"]) for found in step["services"].values())
        assert reasons == ["None", "None", "QuotaExceeded"]
