"""Small scenarios through the real processors: what a Service gets, and what becomes of it over time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.support import (
    ADDRESSES,
    NETWORK,
    SELECTOR,
    apply,
    base,
    delete,
    endpoints,
    events,
    events_of,
    kubemanager,
    nad,
    namespace,
    node,
    run,
    run_simulation,
    service,
    simulation_of,
)


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
        ("wish", "reason"),
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
    def test_never_gives_another_address_than_the_requested_one(self, wish: str, reason: str) -> None:
        (step,) = run([apply(*base(service("a/a", {ADDRESSES: "192.0.2.9"}), service("a/b", {ADDRESSES: wish})))])
        assert addresses(step, "a/a") == ["192.0.2.9"]
        found = step["services"]["a/b"]
        assert (found["state"], found["reason"], found["addresses"]) == ("Pending", reason, [])

    def test_takes_the_deprecated_field_as_a_request(self) -> None:
        (step,) = run([apply(*base(service("a/b", loadBalancerIP="192.0.2.77")))])
        assert addresses(step, "a/b") == ["192.0.2.77"]

    def test_a_freed_address_goes_to_who_waits_for_room(self) -> None:
        tiny = [namespace("contrail"), namespace("a"), kubemanager(), nad("net/ext", "192.0.2.0/30")]
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
            "size": 0, "allocated": 0, "quarantined": 1, "conflict": None, "problem": None,
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
    DUAL = (namespace("contrail"), namespace("a"), kubemanager(), nad("net/ext", "192.0.2.0/24", "2001:db8::/64"))

    def test_both_families_in_one_entry_in_the_order_of_the_service(self) -> None:
        (step,) = run(
            [apply(*self.DUAL, service("a/b", ipFamilies=["IPv6", "IPv4"], ipFamilyPolicy="RequireDualStack"))]
        )
        assert addresses(step, "a/b") == ["2001:db8::2", "192.0.2.2"]
        (entry,) = [entry for entry in step["entries"] if entry["events"][0]["type"] == "AddressAllocated"]
        assert len(entry["events"]) == 2

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
                apply(nad("net/ext", "192.0.2.0/24", "2001:db8::/64")),
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
                        nad("net/bad", raw='{"ipamV4Subnet": ', labels={}),
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
            [apply(*base(service("a/b", {NETWORK: "net/late"}))), apply(nad("net/late", "198.51.100.0/24"))]
        )
        assert first["services"]["a/b"]["reason"] == "NetworkNotFound"
        assert addresses(second, "a/b") == ["198.51.100.2"]

    def test_its_own_annotation_moves_a_service_new_address_first(self) -> None:
        _, moved = run(
            [
                apply(*base(nad("net/two", "198.51.100.0/24", labels={}), service("a/b"))),
                apply(service("a/b", {NETWORK: "net/two"})),
            ]
        )
        assert events(moved) == ["AddressAllocated", "AddressReleasing", "AddressReleased"]
        assert addresses(moved, "a/b") == ["198.51.100.2"]

    def test_a_move_waits_for_silent_agents_and_keeps_the_old_address_published(self) -> None:
        *_, moving, done = run(
            [
                apply(*base(nad("net/two", "198.51.100.0/24", labels={}), service("a/b"))),
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
                apply(nad("net/two", "198.51.100.0/24")),
            ]
        )
        assert gone["services"]["a/b"]["state"] == "Moving"
        assert addresses(gone, "a/b") == ["192.0.2.2"]
        assert addresses(moved, "a/b") == ["198.51.100.2"]
        assert "net/ext" not in moved["networks"]

    def test_overlapping_networks_conflict(self) -> None:
        (step,) = run(
            [apply(*base(nad("net/over", "192.0.2.128/25", labels={}), service("a/b", {NETWORK: "net/over"})))]
        )
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


class TestPathSets:
    def test_weights_are_ready_pods_per_node(self) -> None:
        objects = base(
            node("n2", "10.10.0.2"), service("a/b"), endpoints("a/b", n1=["10.1.0.1"], n2=["10.2.0.1", "10.2.0.2"])
        )
        first, second = run([apply(*objects), apply(endpoints("a/b", n2=["10.2.0.1"]))])
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
        objects = base(service("a/b"), endpoints("a/b", n1=["10.1.0.1"]))
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
