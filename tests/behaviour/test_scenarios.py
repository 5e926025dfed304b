"""Small scenarios through the real processors: what a Service gets, and how that changes over time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.objects import (
    ADDRESSES,
    ADMITTED,
    NETWORK,
    SELECTOR,
    SHARING,
    backends,
    default_nad,
    kubemanager,
    nad,
    namespace,
    node,
    service,
)
from tests.support.simulate import apply, base, delete, events, events_of, run, run_simulation, simulation_of


def addresses(step: dict[str, Any], name: str) -> list[str]:
    return list(step["services"][name]["addresses"])


class TestAllocation:
    def test_gives_the_lowest_addresses_after_the_gateway_by_age_then_name(self) -> None:
        first, second = run(
            [apply(*base(service("a/c"), service("a/b"), service("a/d"))), apply(service("a/aa"), service("a/e"))]
        )
        assert [addresses(first, f"a/{n}") for n in "bcd"] == [["192.0.2.2"], ["192.0.2.3"], ["192.0.2.4"]]
        assert addresses(second, "a/aa") == ["192.0.2.5"]
        assert addresses(second, "a/e") == ["192.0.2.6"]
        assert addresses(second, "a/b") == ["192.0.2.2"]

    def test_an_older_service_comes_first_whatever_its_name(self) -> None:
        young, old = service("a/b"), service("a/z")
        old["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
        (step,) = run([apply(*base(young, old))])
        assert addresses(step, "a/z") == ["192.0.2.2"]
        assert addresses(step, "a/b") == ["192.0.2.3"]

    @pytest.mark.parametrize(
        ("requested", "reason"),
        [
            ("192.0.2.0", "RequestedAddressReserved"),
            ("192.0.2.1", "RequestedAddressReserved"),
            ("192.0.2.255", "RequestedAddressReserved"),
            ("192.0.3.9", "RequestedAddressOutsideNetwork"),
            ("192.0.2.9", "RequestedAddressInUse"),
            ("192.0.2", "InvalidAnnotation"),
            ("192.0.2.7,192.0.2.8", "InvalidAnnotation"),
        ],
    )
    def test_never_gives_another_address_than_the_requested_one(self, requested: str, reason: str) -> None:
        (step,) = run([apply(*base(service("a/a", {ADDRESSES: "192.0.2.9"}), service("a/b", {ADDRESSES: requested})))])
        assert addresses(step, "a/a") == ["192.0.2.9"]
        found = step["services"]["a/b"]
        assert (found["state"], found["reason"], found["addresses"]) == ("Pending", reason, [])

    def test_takes_the_deprecated_field_as_a_request(self) -> None:
        (step,) = run([apply(*base(service("a/b", loadBalancerIP="192.0.2.77")))])
        assert addresses(step, "a/b") == ["192.0.2.77"]

    def test_a_freed_address_goes_to_who_waits_for_room(self) -> None:
        tiny = [
            namespace("contrail"),
            namespace("net", ADMITTED),
            namespace("a"),
            kubemanager(),
            default_nad("net/ext", "192.0.2.0/30"),
        ]
        first, second = run([apply(*tiny, service("a/b"), service("a/c")), delete("Service", "a/b")])
        assert first["services"]["a/c"]["reason"] == "NetworkFull"
        assert addresses(second, "a/c") == ["192.0.2.2"]
        assert events_of(second, "AddressAllocated")[0]["choice"] == "quarantine-cut"

    def test_a_refusal_is_one_entry_however_often_it_is_looked_at(self) -> None:
        steps = run(
            [
                apply(*base(service("a/b", {ADDRESSES: "10.0.0.1"}))),
                {"restart": "all"},
                {"redeliver": 50},
                {"advance": "1h"},
            ]
        )
        assert [len(events_of(step, "AllocationRefused")) for step in steps] == [1, 0, 0, 0]


class TestRelease:
    def test_waits_for_the_agents_then_quarantines(self) -> None:
        first, second, third = run(
            [apply(*base(service("a/b"))), delete("Service", "a/b"), {"advance": "5m1s"}],
        )
        assert first["networks"]["net/ext"]["allocated"] == 1
        assert events(second) == ["AddressReleasing", "AddressReleased"]
        assert events_of(second, "AddressReleased")[0]["confirmed"] == ["n1"]
        assert second["services"]["a/b"]["state"] == "Deleted"
        assert second["networks"]["net/ext"] | {"size": 0} == {
            "size": 0, "allocated": 0, "quarantined": 1, "conflict": None, "problem": None, "warning": None,
        }  # fmt: skip
        assert "a/b" not in third["services"]
        assert third["networks"]["net/ext"]["quarantined"] == 0

    def test_silent_agents_delay_it_until_they_are_declared_dead(self) -> None:
        _, _, gone, later, dead = run(
            [
                apply(*base(service("a/b"))),
                {"agents": "silent"},
                delete("Service", "a/b"),
                {"advance": "4m"},
                {"advance": "2m"},
            ]
        )
        assert events(gone) == ["AddressReleasing"]
        assert gone["services"]["a/b"]["state"] == later["services"]["a/b"]["state"] == "Deleted"
        assert events(later) == []
        assert later["networks"]["net/ext"]["allocated"] == 1
        assert events(dead) == ["AddressReleased"]
        assert events_of(dead, "AddressReleased")[0]["dead"] == ["n1"]

    def test_agents_that_come_back_report_what_they_missed(self) -> None:
        *_, back = run(
            [
                apply(*base(service("a/b"))),
                {"agents": "silent"},
                delete("Service", "a/b"),
                {"advance": "1m"},
                {"agents": "normal"},
            ]
        )
        assert events_of(back, "AddressReleased")[0]["confirmed"] == ["n1"]

    def test_silent_agents_do_not_delay_an_allocation(self) -> None:
        _, second = run([{"agents": "silent"}, apply(*base(service("a/b")))])
        assert second["services"]["a/b"]["state"] == "Ready"

    def test_an_agent_timeout_from_the_settings_counts(self) -> None:
        *_, last = run(
            [apply(*base(service("a/b"))), {"agents": "silent"}, delete("Service", "a/b"), {"advance": "11s"}],
            {"agentTimeout": "10s"},
        )
        assert events(last) == ["AddressReleased"]

    def test_others_wait_for_quarantine_and_the_former_holder_does_not(self) -> None:
        *_, other, back = run(
            [apply(*base(service("a/b"))), delete("Service", "a/b"), apply(service("a/c")), apply(service("a/b"))]
        )
        assert addresses(other, "a/c") == ["192.0.2.3"]
        assert addresses(back, "a/b") == ["192.0.2.2"]
        assert events_of(back, "AddressAllocated")[0]["choice"] == "former"

    def test_a_service_that_stops_being_a_load_balancer_gives_its_address_back(self) -> None:
        _, second, third = run(
            [
                apply(*base(service("a/b"))),
                apply(service("a/b", type="ClusterIP")),
                apply(service("a/b")),
            ]
        )
        assert events(second) == ["AddressReleasing", "AddressReleased"]
        assert second["services"]["a/b"]["state"] == "Ignored"
        assert addresses(third, "a/b") == ["192.0.2.2"]

    def test_quarantine_can_be_turned_off(self) -> None:
        _, second, third = run(
            [apply(*base(service("a/b"))), delete("Service", "a/b"), apply(service("a/c", {ADDRESSES: "192.0.2.2"}))],
            {"defaults": {"quarantine": "0s"}},
        )
        assert second["networks"]["net/ext"]["quarantined"] == 0
        assert addresses(third, "a/c") == ["192.0.2.2"]


class TestFamilies:
    DUAL = (
        namespace("contrail"),
        namespace("net", ADMITTED),
        namespace("a"),
        kubemanager(),
        default_nad("net/ext", "192.0.2.0/24", "2001:db8::/64"),
    )

    def test_both_families_in_one_entry_in_the_order_of_the_service(self) -> None:
        (step,) = run(
            [apply(*self.DUAL, service("a/b", ipFamilies=["IPv6", "IPv4"], ipFamilyPolicy="RequireDualStack"))]
        )
        assert addresses(step, "a/b") == ["2001:db8::2", "192.0.2.2"]
        given = [[e for e in entry["events"] if e["type"] == "AddressAllocated"] for entry in step["entries"]]
        assert [len(events) for events in given if events] == [2]

    def test_single_stack_gets_its_family_only(self) -> None:
        (step,) = run([apply(*self.DUAL, service("a/b", ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack"))])
        assert addresses(step, "a/b") == ["2001:db8::2"]

    def test_prefer_dual_stack_takes_what_a_one_family_network_has(self) -> None:
        (step,) = run([apply(*base(service("a/b", ipFamilyPolicy="PreferDualStack")))])
        found = step["services"]["a/b"]
        assert (found["state"], found["reason"], found["addresses"]) == ("Ready", None, ["192.0.2.2"])
        assert "IPv6" in found["message"]

    def test_require_dual_stack_waits_on_a_one_family_network(self) -> None:
        (step,) = run([apply(*base(service("a/b", ipFamilyPolicy="RequireDualStack")))])
        found = step["services"]["a/b"]
        assert (found["state"], found["reason"], found["addresses"]) == ("Pending", "FamilyUnavailable", [])

    def test_a_second_family_comes_when_the_network_gains_it(self) -> None:
        first, second = run(
            [
                apply(*base(service("a/b", ipFamilyPolicy="PreferDualStack"))),
                apply(default_nad("net/ext", "192.0.2.0/24", "2001:db8::/64")),
            ]
        )
        assert addresses(first, "a/b") == ["192.0.2.2"]
        assert addresses(second, "a/b") == ["192.0.2.2", "2001:db8::2"]


class TestSelection:
    def test_a_broken_nad_gives_nothing_and_stops_nobody_else(self) -> None:
        (step,) = run(
            [
                apply(
                    *base(
                        nad("net/bad", raw='{"ipamV4Subnet": '),
                        service("a/b", {NETWORK: "net/bad"}),
                        service("a/c"),
                    )
                )
            ]
        )
        found = step["services"]["a/b"]
        assert (found["state"], found["reason"]) == ("Pending", "InvalidAnnotation")
        assert "NetworkAttachmentDefinition net/bad" in found["message"]
        assert "juniper.net/networks" in found["message"]
        assert step["networks"]["net/bad"]["problem"] == "InvalidAnnotation"
        assert step["services"]["a/c"]["state"] == "Ready"

    @pytest.mark.parametrize(
        ("annotations", "reason"),
        [
            ({NETWORK: "net/none"}, "NetworkNotFound"),
            ({NETWORK: ""}, "InvalidAnnotation"),
            ({NETWORK: "a/b/c"}, "InvalidAnnotation"),
            ({SELECTOR: "none"}, "SelectorNotFound"),
        ],
    )
    def test_a_rung_that_cannot_be_used_never_falls_through(self, annotations: dict[str, str], reason: str) -> None:
        (step,) = run([apply(*base(service("a/b", annotations)))])
        found = step["services"]["a/b"]
        assert (found["state"], found["reason"], found["network"]) == ("Pending", reason, None)

    def test_says_so_where_no_selector_is_the_default(self) -> None:
        selectors = {"other": {"networkSelector": {"matchLabels": {"x": "y"}}}}
        (step,) = run([apply(*base(service("a/b")), kubemanager(selectors))])
        assert step["services"]["a/b"]["reason"] == "NoDefaultNetwork"

    def test_a_network_that_appears_late_serves_who_waited(self) -> None:
        first, second = run(
            [apply(*base(service("a/b", {NETWORK: "net/late"}))), apply(default_nad("net/late", "198.51.100.0/24"))]
        )
        assert first["services"]["a/b"]["reason"] == "NetworkNotFound"
        assert addresses(second, "a/b") == ["198.51.100.2"]

    def test_its_own_annotation_moves_a_service_new_address_first(self) -> None:
        _, moved = run(
            [
                apply(*base(nad("net/two", "198.51.100.0/24"), service("a/b"))),
                apply(service("a/b", {NETWORK: "net/two"})),
            ]
        )
        assert events(moved) == ["AddressAllocated", "AddressReleasing", "AddressReleased"]
        assert addresses(moved, "a/b") == ["198.51.100.2"]

    def test_a_move_waits_for_silent_agents_and_keeps_the_old_address_published(self) -> None:
        *_, moving, done = run(
            [
                apply(*base(nad("net/two", "198.51.100.0/24"), service("a/b"))),
                {"agents": "silent"},
                apply(service("a/b", {NETWORK: "net/two"})),
                {"agents": "normal"},
            ]
        )
        found = moving["services"]["a/b"]
        assert (found["state"], found["network"], found["wanted"]) == ("Moving", "net/ext", "net/two")
        assert found["addresses"] == ["192.0.2.2"]
        assert done["services"]["a/b"]["state"] == "Ready"
        assert addresses(done, "a/b") == ["198.51.100.2"]

    def test_a_holder_stays_when_the_default_selector_changes(self) -> None:
        other = {"default-external": {"networkSelector": {"matchLabels": {"x": "y"}}}}
        _, second = run(
            [
                apply(*base(nad("net/two", "198.51.100.0/24", labels={"x": "y"}), service("a/b"))),
                apply(kubemanager(other), service("a/c")),
            ]
        )
        assert addresses(second, "a/b") == ["192.0.2.2"]
        assert addresses(second, "a/c") == ["198.51.100.2"]

    def test_a_holder_keeps_its_address_until_it_has_one_elsewhere_when_its_network_goes(self) -> None:
        _, gone, moved = run(
            [
                apply(*base(service("a/b"))),
                delete("NetworkAttachmentDefinition", "net/ext"),
                apply(default_nad("net/two", "198.51.100.0/24")),
            ]
        )
        assert gone["services"]["a/b"]["state"] == "Moving"
        assert addresses(gone, "a/b") == ["192.0.2.2"]
        assert addresses(moved, "a/b") == ["198.51.100.2"]
        assert "net/ext" not in moved["networks"]

    def test_overlapping_networks_conflict(self) -> None:
        (step,) = run([apply(*base(nad("net/over", "192.0.2.128/25"), service("a/b", {NETWORK: "net/over"})))])
        assert step["networks"]["net/over"]["conflict"] == "net/ext"
        assert step["networks"]["net/ext"]["conflict"] is None
        assert step["services"]["a/b"]["reason"] == "NetworkConflict"

    def test_selectors_come_from_the_settings_where_no_kubemanager_exists(self) -> None:
        objects = [o for o in base(service("a/b")) if o["kind"] != "Kubemanager"]
        settings = {
            "externalNetworkSelectors": {
                "default-external": {"networkSelector": {"matchLabels": {NETWORK: "default-external"}}}
            }
        }
        (step,) = run([apply(*objects)], settings)
        assert step["services"]["a/b"]["state"] == "Ready"

    def test_serves_its_own_class_only(self) -> None:
        objects = base(service("a/b"), service("a/c", loadBalancerClass="example.com/x"))
        (default,) = run([apply(*objects)])
        (other,) = run([apply(*objects)], {"loadBalancerClass": "example.com/x"})
        assert [default["services"][n]["state"] for n in ("a/b", "a/c")] == ["Ready", "Ignored"]
        assert [other["services"][n]["state"] for n in ("a/b", "a/c")] == ["Ignored", "Ready"]


class TestLedgerRules:
    """Sharing, quotas, plans that change, adoption: who holds what afterwards, or why not."""

    @staticmethod
    def standing(step: dict[str, Any]) -> dict[str, Any]:
        return {
            name.removeprefix("a/"): found["addresses"] or found["reason"] for name, found in step["services"].items()
        }

    @staticmethod
    def on(network: dict[str, Any], *services: dict[str, Any]) -> list[dict[str, Any]]:
        return [*(obj for obj in base(*services) if obj["kind"] != "NetworkAttachmentDefinition"), network]

    def test_services_share_an_address_under_one_key_with_other_ports(self) -> None:
        _, first, second, third = run(
            [
                apply(
                    *base(
                        service("a/a", {SHARING: "k"}, port=80),
                        service("a/b", {SHARING: "k"}, port=81),
                        service("a/c", {SHARING: "k"}, port=80),
                    )
                ),
                apply(
                    service("a/d", {SHARING: "k", ADDRESSES: "192.0.2.2"}, port=80),
                    service("a/e", {ADDRESSES: "192.0.2.2"}, port=99),
                ),
                delete("Service", "a/a"),
                apply(service("a/b", {SHARING: "z"}, port=81)),
            ]
        )
        assert self.standing(first) == {
            "a": ["192.0.2.2"],
            "b": ["192.0.2.2"],
            "c": ["192.0.2.3"],
            "d": "SharingConflict",
            "e": "RequestedAddressInUse",
        }
        assert first["networks"]["net/ext"]["allocated"] == 2
        assert self.standing(second)["d"] == ["192.0.2.2"]
        assert self.standing(third) == {
            "b": ["192.0.2.4"],
            "c": ["192.0.2.3"],
            "d": ["192.0.2.2"],
            "e": "RequestedAddressInUse",
        }

    def test_a_quota_holds_back_and_lets_go(self) -> None:
        limited = default_nad("net/ext", annotations={"ledgerlb.io/quota-per-namespace": "1"})
        first, second = run([apply(*self.on(limited, service("a/a"), service("a/b"))), delete("Service", "a/a")])
        assert self.standing(first) == {"a": ["192.0.2.2"], "b": "QuotaExceeded"}
        assert self.standing(second)["b"] == ["192.0.2.3"]

    def test_an_allow_list_concerns_newcomers_only(self) -> None:
        closed = default_nad("net/ext", annotations={"ledgerlb.io/allowed-namespaces": "team=x"})
        first, second, third = run(
            [
                apply(*self.on(closed, service("a/a"))),
                apply(namespace("a", {"team": "x"})),
                apply(namespace("a"), service("a/b")),
            ]
        )
        assert self.standing(first) == {"a": "NetworkNotAllowed"}
        assert self.standing(second) == {"a": ["192.0.2.2"]}
        assert self.standing(third) == {"a": ["192.0.2.2"], "b": "NetworkNotAllowed"}

    def test_excluded_addresses_are_never_given(self) -> None:
        network = default_nad("net/ext", annotations={"ledgerlb.io/exclude": "192.0.2.2-192.0.2.4, 192.0.2.8/30"})
        (step,) = run([apply(*self.on(network, service("a/a"), service("a/b", {ADDRESSES: "192.0.2.9"})))])
        assert self.standing(step) == {"a": ["192.0.2.5"], "b": "RequestedAddressReserved"}
        assert step["networks"]["net/ext"]["size"] == 253 - 7

    def test_a_shrink_that_cuts_a_holder_off_is_refused_until_it_is_forced(self) -> None:
        smaller = "192.0.2.0/25"
        _, refused, newcomer, forced = run(
            [
                apply(*base(service("a/a", {ADDRESSES: "192.0.2.200"}))),
                apply(default_nad("net/ext", smaller)),
                apply(service("a/b"), service("a/c", {ADDRESSES: "192.0.2.201"})),
                apply(default_nad("net/ext", smaller, annotations={"ledgerlb.io/force-prefix": smaller})),
            ]
        )
        assert refused["networks"]["net/ext"]["problem"] == "PrefixChangeRefused"
        assert events_of(refused, "PrefixChangeRefused")[0]["holders"] == [["192.0.2.200", "a/a"]]
        kept = {"a": ["192.0.2.200"], "b": ["192.0.2.2"], "c": "RequestedAddressOutsideNetwork"}
        assert self.standing(newcomer) == kept
        assert self.standing(forced) == kept
        assert forced["networks"]["net/ext"]["problem"] is None
        assert forced["networks"]["net/ext"]["size"] == 125

    def test_addresses_from_before_are_adopted_where_they_can_be(self) -> None:
        def showing(name: str, ip: str) -> dict[str, Any]:
            return service(name) | {"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}}

        objects = base(
            showing("a/a", "192.0.2.9"), showing("a/b", "192.0.2.1"), showing("a/c", "192.0.2.9"), service("a/d")
        )
        (step,) = run([apply(*objects)])
        assert self.standing(step) == {
            "a": ["192.0.2.9"],
            "b": ["192.0.2.2"],
            "c": ["192.0.2.3"],
            "d": ["192.0.2.4"],
        }
        assert len(events_of(step, "AddressAdopted")) == 1
        assert len(events_of(step, "AdoptionRefused")) == 2

    def test_a_bare_virtual_network_is_refused_with_multus(self) -> None:
        bare = [
            {
                "apiVersion": "core.contrail.juniper.net/v1alpha1",
                "kind": "Subnet",
                "metadata": {"name": "s", "namespace": "net"},
                "spec": {"cidr": "192.0.2.0/24"},
            },
            {
                "apiVersion": "core.contrail.juniper.net/v1alpha1",
                "kind": "VirtualNetwork",
                "metadata": {"name": "vn", "namespace": "net"},
                "spec": {"v4SubnetReference": {"kind": "Subnet", "namespace": "net", "name": "s"}},
            },
        ]
        objects = [
            namespace("net", ADMITTED),
            namespace("a"),
            kubemanager(),
            *bare,
            service("a/a", {NETWORK: "net/vn"}),
        ]
        (without,) = run([apply(*objects)])
        (with_multus,) = run([apply(*objects)], {"multus": True})
        assert self.standing(without) == {"a": ["192.0.2.2"]}
        assert self.standing(with_multus) == {"a": "MultusRequiresNAD"}

    def test_a_family_that_comes_and_goes_leaves_the_other_alone(self) -> None:
        dual = [
            namespace("net", ADMITTED),
            namespace("a"),
            kubemanager(),
            default_nad("net/ext", "192.0.2.0/24", "2001:db8::/64"),
        ]
        _, both, one = run(
            [
                apply(*dual, service("a/a")),
                apply(service("a/a", ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"])),
                apply(service("a/a", ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])),
            ]
        )
        assert self.standing(both) == {"a": ["192.0.2.2", "2001:db8::2"]}
        assert self.standing(one) == {"a": ["192.0.2.2"]}
        assert [event["address"] for event in events_of(one, "AddressReleased")] == ["2001:db8::2"]

    @pytest.mark.parametrize(
        ("spec", "reason"),
        [
            ({"loadBalancerSourceRanges": ["10.0.0.0/99"]}, "InvalidSourceRange"),
            ({"ports": [{"name": "x", "protocol": "ICMP", "port": 1}]}, "UnsupportedProtocol"),
            ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, None),
            ({"clusterIP": "None"}, None),
        ],
    )
    def test_what_the_data_path_cannot_do_is_said_while_the_address_is_held(
        self, spec: dict[str, Any], reason: str | None
    ) -> None:
        (step,) = run([apply(*base(service("a/a", **spec)))])
        found = step["services"]["a/a"]
        assert (found["state"], found["reason"], found["addresses"]) == ("Ready", reason, ["192.0.2.2"])


class TestPathSets:
    def test_weights_are_ready_pods_per_node(self) -> None:
        objects = base(
            node("n2", "10.10.0.2"), service("a/b"), backends("a/b", n1=["10.1.0.1"], n2=["10.2.0.1", "10.2.0.2"])
        )
        first, second = run([apply(*objects), apply(backends("a/b", n2=["10.2.0.1"]))])
        assert first["services"]["a/b"]["path_set"] == {
            "192.0.2.2": {
                "n1": {"weight": 1, "backends": ["10.1.0.1:8080"]},
                "n2": {"weight": 2, "backends": ["10.2.0.1:8080", "10.2.0.2:8080"]},
            }
        }
        assert second["services"]["a/b"]["path_set"] == {
            "192.0.2.2": {"n2": {"weight": 1, "backends": ["10.2.0.1:8080"]}}
        }
        assert second["entries"] == []


class TestSteps:
    def test_every_restart_and_redelivery_changes_nothing(self) -> None:
        objects = base(
            service("a/b"), service("a/c", {ADDRESSES: "192.0.2.9"}), service("a/d", {ADDRESSES: "192.0.2.9"})
        )
        harmless: list[dict[str, Any]] = [
            {"restart": "all"}, {"restart": ["ipam"]}, {"restart": ["selector"]}, {"restart": ["programmer"]},
            {"restart": ["watcher", "ipam"]}, {"redeliver": 20}, {"redeliver": 1000}, {"redeliver": 0},
            {"crash": "ipam"}, {"crash": "selector"}, {"crash": "programmer"}, {"crash": "watcher"}, {"agents": "normal"},
        ]  # fmt: skip
        first, *rest = run([apply(*objects), *harmless])
        for step in rest:
            assert step["services"] == first["services"]
            assert step["networks"] == first["networks"]
            assert step["entries"] == []
            assert step["writes"] == []

    def test_time_advances_and_stands_still_otherwise(self) -> None:
        steps = run([apply(*base()), {"advance": "90s"}, {"advance": 30}, {"restart": "all"}])
        assert [step["time"] for step in steps] == [
            "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z", "2026-01-01T00:02:00Z", "2026-01-01T00:02:00Z",
        ]  # fmt: skip

    def test_a_wake_up_is_honoured_at_its_own_time(self) -> None:
        *_, last = run([apply(*base(service("a/b"))), delete("Service", "a/b"), {"advance": "2d"}])
        times = {event["type"]: entry["decided_at"] for entry in last["entries"] for event in entry["events"]}
        assert times["QuarantineEnded"].startswith("2026-01-01T00:05:00")
        assert times["LeaseEnded"].startswith("2026-01-02T00:00:00")

    def test_a_service_is_deleted_in_the_step_in_which_it_goes_and_then_absent(self) -> None:
        steps = run([apply(*base(service("a/b"))), delete("Service", "a/b"), {"advance": "1s"}])
        assert [step["services"].get("a/b", {}).get("state") for step in steps] == ["Ready", "Deleted", None]

    def test_nodes_that_come_and_go(self) -> None:
        steps = run(
            [
                apply(*[o for o in base(service("a/b")) if o["kind"] != "Node"]),
                apply(node("n1")),
                delete("Service", "a/b"),
                delete("Node", "n1"),
                apply(service("a/c")),
            ]
        )
        assert events_of(steps[2], "AddressReleased")[0]["confirmed"] == ["n1"]
        assert steps[-1]["services"]["a/c"]["state"] == "Ready"

    def test_unmet_expectations_say_what_differs(self) -> None:
        expect = {
            "expect": {
                "services": {
                    "a/b": {"state": "Pending", "addresses": ["192.0.2.2"], "reason": None},
                    "a/x": {"state": "Ready"},
                },
                "networks": {"net/ext": {"allocated": 1}, "net/none": None},
            }
        }
        _, step = run([apply(*base(service("a/b"))), expect])
        assert step["expect"] == [
            "services.a/b.state: expected Pending, is Ready",
            "services.a/x: expected {'state': 'Ready'}, is absent",
        ]

    def test_lists_compare_exactly_and_mappings_as_subsets(self) -> None:
        objects = base(service("a/b"), backends("a/b", n1=["10.1.0.1"]))
        hops = {"192.0.2.2": {"n1": {"weight": 1}}}
        _, met, unmet = run(
            [
                apply(*objects),
                {"expect": {"services": {"a/b": {"path_set": hops}}}},
                {"expect": {"services": {"a/b": {"addresses": []}}}},
            ]
        )
        assert met["expect"] == "met"
        assert unmet["expect"] == ["services.a/b.addresses: expected [], is ['192.0.2.2']"]

    def test_shows_what_would_be_written(self) -> None:
        (step,) = run([apply(*base(service("a/b")))])
        status = [w for w in step["writes"] if w.get("subresource") == "status"]
        assert status[0]["kind"] == "Service"
        assert status[0]["status"]["loadBalancer"] == {"ingress": [{"ip": "192.0.2.2", "ipMode": "VIP"}]}
        finalizers = [w["metadata"]["finalizers"] for w in step["writes"] if w["kind"] == "Service"]
        assert finalizers[0] == ["service.kubernetes.io/load-balancer-cleanup"]
        assert {w["reason"] for w in step["writes"] if w["kind"] == "Event"} == {"NetworkSelected", "AddressAllocated"}


class TestBrokenObjects:
    def test_a_custom_resource_with_a_broken_field_is_told_and_stops_nobody(self) -> None:
        broken = {
            "apiVersion": "core.contrail.juniper.net/v1alpha1",
            "kind": "Subnet",
            "metadata": {"name": "bad", "namespace": "net"},
            "spec": {"cidr": ["192.0.2.0/24"]},
        }
        simulation = simulation_of([apply(*base(broken, service("a/b")))])
        (step,) = run_simulation(simulation)
        assert step["services"]["a/b"]["state"] == "Ready"
        (warning,) = simulation.warnings
        assert "step 1" in warning
        assert "Subnet net/bad" in warning
        assert "spec.cidr" in warning
