"""External networks out of NetworkAttachmentDefinitions, VirtualNetworks and Subnets."""

from __future__ import annotations

import time

import pytest

from ledgerlb.core.cluster.facts import SubnetFact, Synced
from ledgerlb.core.networks import gone_offer, to_offer
from ledgerlb.core.networks.overlap import with_conflicts
from ledgerlb.core.settings import DomainSettings
from tests.unit.selection.world import World, at, nad, vn

V4 = {"ipamV4Subnet": "192.168.102.0/24"}


def prefixes(network):
    return [prefix.prefix for prefix in network.prefixes]


# -- a NAD defines a network ------------------------------------------------------------------------------------------


def test_the_documented_nad_makes_a_network_with_its_labels_age_and_uid():
    world = World(nad("ecmp-project/ecmp-default", V4, day=3, labels={"a": "b"}))
    network = world.network("ecmp-project/ecmp-default")
    assert prefixes(network) == ["192.168.102.0/24"]
    assert (network.source, network.problem, network.labels) == ("nad", None, {"a": "b"})
    assert (network.created, network.uid) == (at(3), "uid-nad-ecmp-project/ecmp-default")


def test_nulls_in_the_nad_json_mean_nothing():
    world = World(
        nad(
            "a/n",
            {
                "ipamV4Subnet": "10.0.0.0/24",
                "ipamV6Subnet": None,
                "routeTargetList": None,
                "importRouteTargetList": None,
                "exportRouteTargetList": None,
                "fabricSNAT": None,
                "podNetwork": None,
            },
        )
    )
    network = world.network("a/n")
    assert (network.problem, network.warnings, prefixes(network)) == (None, (), ["10.0.0.0/24"])
    assert not network.targets


def test_a_dual_stack_nad_has_both_families_ipv4_first():
    network = World(nad("a/n", {"ipamV6Subnet": "2001:db8::/64", **V4})).network("a/n")
    assert network.families == (4, 6)
    assert prefixes(network) == ["192.168.102.0/24", "2001:db8::/64"]


def test_a_nad_with_an_ipv6_prefix_alone_is_a_network():
    assert World(nad("a/n", {"ipamV6Subnet": "2001:db8::/64"})).network("a/n").families == (6,)


def test_route_targets_are_read_as_lists_and_as_text_with_commas():
    network = World(
        nad(
            "a/n",
            {
                **V4,
                "routeTargetList": ["target:1:1"],
                "importRouteTargetList": "target:2:2, target:3:3",
                "exportRouteTargetList": [],
            },
        )
    ).network("a/n")
    assert network.targets.both == ("target:1:1",)
    assert network.targets.imported == {"target:1:1", "target:2:2", "target:3:3"}
    assert network.targets.exported == {"target:1:1"}


def test_the_virtual_network_that_a_nad_made_is_the_same_network():
    made = vn("a/n", "192.168.102.0/24", day=9, nad="a/n", labels={"x": "old", "y": "vn"}, gateway="192.168.102.254")
    world = World(nad("a/n", V4, day=2, labels={"x": "nad"}), made)
    assert list(world.networks()) == ["a/n"]
    network = world.network("a/n")
    assert (network.source, network.created) == ("nad", at(2))
    assert network.labels == {"x": "nad", "y": "vn"}
    assert network.prefixes[0].gateway == "192.168.102.254"


def test_a_network_outlives_its_virtual_network_as_long_as_the_nad_lives():
    world = World(nad("a/n", V4), vn("a/n", "192.168.102.0/24", nad="a/n"))
    before = world.network("a/n")
    world.put(vn("a/n", "192.168.102.0/24", nad="a/n", deleting=True))
    assert prefixes(world.network("a/n")) == prefixes(before)
    world.drop("VirtualNetwork", "a/n")
    assert prefixes(world.network("a/n")) == prefixes(before)


def test_a_network_goes_with_its_nad_even_before_its_virtual_network():
    world = World(nad("a/n", V4), vn("a/n", "192.168.102.0/24", nad="a/n"))
    world.put(nad("a/n", V4, deleting=True))
    assert world.networks() == {}
    world.drop("NetworkAttachmentDefinition", "a/n")
    assert world.networks() == {}


def test_where_the_cluster_has_no_nads_a_virtual_network_with_a_nad_name_stands_by_itself():
    world = World(vn("a/n", "192.168.102.0/24", nad="a/n"))
    assert world.networks() == {}
    kind = "NetworkAttachmentDefinition"
    world.view.take(f"Synced//{kind}", Synced(of=kind, present=False))
    assert list(world.networks()) == ["a/n"]


def test_a_nad_of_another_plug_in_defines_no_network():
    other = '{"type": "macvlan"}'
    assert World(nad("a/n", config=other), nad("a/o", config=""), nad("a/p", config="{}")).networks() == {}


def test_a_nad_that_cannot_be_told_to_be_anybodys_is_a_network_that_serves_nobody():
    network = World(nad("a/m", config="{")).network("a/m")
    assert network.problem == "InvalidAnnotation"
    assert network.message.startswith("NetworkAttachmentDefinition a/m, spec.config: is not a JSON object")


def test_a_changed_nad_prefix_counts_before_its_subnet_follows():
    world = World(
        nad("a/n", {"ipamV4Subnet": "10.9.0.0/24"}),
        vn("a/n", "10.0.0.0/24", nad="a/n", gateway="10.0.0.1", ranges=(("10.0.0.5", "10.0.0.9"),)),
    )
    network = world.network("a/n")
    assert (prefixes(network), network.problem) == (["10.9.0.0/24"], None)
    assert (network.prefixes[0].gateway, network.prefixes[0].ranges) == ("", ())
    assert "outside 10.9.0.0/24" in " ".join(network.warnings)


@pytest.mark.parametrize(
    ("annotation", "complaint"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "is not a JSON object"),
        ('"x"', "is not a JSON object"),
        ("", "is not valid JSON"),
        ("{}", "names no prefix"),
        ({"ipamV4Subnet": None}, "names no prefix"),
        ({"ipamV4Subnet": ""}, "names no prefix"),
        ({"ipamV4Subnett": "10.0.0.0/24"}, "names no prefix"),
        ({"ipamV4Subnet": "10.0.0.0"}, "is not a prefix"),
        ({"ipamV4Subnet": "10.0.0.0/33"}, "is not a prefix"),
        ({"ipamV4Subnet": "10.0.0/24"}, "is not a prefix"),
        ({"ipamV4Subnet": "10.0.0.0/255.255.255.0"}, "is not a prefix"),
        ({"ipamV4Subnet": "fe80::%eth0/64"}, "is not a prefix"),
        ({"ipamV4Subnet": "2001:db8::/64"}, "is not an IPv4 prefix"),
        ({"ipamV6Subnet": "10.0.0.0/24"}, "is not an IPv6 prefix"),
        ({"ipamV4Subnet": 5}, "is not a prefix"),
        ({**V4, "ipamV6Subnet": "nonsense"}, "is not a prefix"),
        ({**V4, "routeTargetList": 5}, "is not a list of route targets"),
        ({**V4, "importRouteTargetList": [1]}, "is not a list of route targets"),
        (None, "names no prefix"),
    ],
)
def test_a_broken_nad_annotation_closes_the_network_and_says_where(annotation, complaint):
    network = World(nad("a/n", annotation)).network("a/n")
    assert network.problem == "InvalidAnnotation"
    assert complaint in network.message
    assert network.message.startswith("NetworkAttachmentDefinition a/n, annotation juniper.net/networks")
    assert ";" in network.message, "a remedy follows"


def test_unknown_keys_are_named_in_a_warning():
    assert "ipamV4Subnett" in World(nad("a/n", {**V4, "ipamV4Subnett": "x"})).network("a/n").warnings[0]


# -- a VirtualNetwork stands by itself --------------------------------------------------------------------------------


def test_a_virtual_network_with_subnets_is_a_network():
    network = World(
        vn(
            "a/n",
            "10.0.0.0/24",
            "2001:db8::/64",
            route_targets=("t:1",),
            labels={"x": "y"},
        )
    ).network("a/n")
    assert (network.source, network.families, network.problem) == ("vn", (4, 6), None)
    assert network.targets.both == ("t:1",)
    assert network.labels == {"x": "y"}


def test_gateway_and_ranges_come_from_the_subnet_merged_and_sorted():
    ranges = (("10.0.0.50", "10.0.0.60"), ("10.0.0.10", "10.0.0.20"), ("10.0.0.15", "10.0.0.30"))
    offer = World(vn("a/n", "10.0.0.0/24", gateway="10.0.0.254", ranges=ranges)).network("a/n").prefixes[0]
    assert offer.gateway == "10.0.0.254"
    assert offer.ranges == (("10.0.0.10", "10.0.0.30"), ("10.0.0.50", "10.0.0.60"))


def test_host_bits_are_cleared_with_a_warning():
    network = World(vn("a/n", "10.0.0.17/24"), nad("a/m", {"ipamV4Subnet": "10.1.0.17/24"})).networks()
    assert prefixes(network["a/n"]) == ["10.0.0.0/24"]
    assert prefixes(network["a/m"]) == ["10.1.0.0/24"]
    for found in network.values():
        assert found.problem is None
        assert "host bits" in found.warnings[0]


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        (vn("a/n"), "VirtualNetwork a/n, spec.v4SubnetReference, spec.v6SubnetReference: give the network no prefix"),
        (vn("a/n", v4_subnet="a/missing"), "spec.v4SubnetReference: names Subnet a/missing, which does not exist"),
        (vn("a/n", "10.0.0.0/24", gateway="10.1.0.1"), "spec.defaultGateway: 10.1.0.1 is outside 10.0.0.0/24"),
        (vn("a/n", "10.0.0.0/24", gateway="gw"), "spec.defaultGateway: 'gw' is not an IP address"),
        (vn("a/n", "10.0.0.0/24", ranges=(("10.0.0.9", "10.0.0.5"),)), "spec.ranges: 10.0.0.9-10.0.0.5 is not a range"),
        (vn("a/n", "10.0.0.0/24", ranges=(("10.0.0.9", "10.0.1.5"),)), "is outside 10.0.0.0/24"),
        (vn("a/n", "10.0.0.0/24", ranges=(("", ""),)), "'' is not an IP address"),
        ([*vn("a/n", v4_subnet="a/s"), SubnetFact(namespace="a", name="s")], "Subnet a/s, spec.cidr: is empty"),
        ([*vn("a/n", v4_subnet="a/s"), SubnetFact(namespace="a", name="s", cidr="x")], "'x' is not a prefix"),
        ([*vn("a/n", v4_subnet="a/s"), SubnetFact(namespace="a", name="s", cidr="2001:db8::/64")], "not an IPv4 prefix"),
    ],
)  # fmt: skip
def test_a_broken_subnet_closes_the_network_and_says_where(facts, complaint):
    network = World(facts).network("a/n")
    assert network.problem == "InvalidAnnotation"
    assert complaint in network.message


def test_every_problem_of_a_network_is_told():
    facts = vn("a/n", "10.0.0.0/24", gateway="x", annotations={"ledgerlb.io/lease": "soon"})
    message = World(facts).network("a/n").message
    assert "ledgerlb.io/lease" in message
    assert "spec.defaultGateway" in message


def test_a_deleted_virtual_network_is_gone_while_its_finalizer_waits():
    assert World(vn("a/n", "10.0.0.0/24", deleting=True)).networks() == {}


def test_with_multus_a_bare_virtual_network_is_refused_and_a_nad_is_not():
    settings = DomainSettings(multus=True)
    world = World(
        vn("a/bare", "10.0.0.0/24"), nad("a/n", V4), vn("a/n", "192.168.102.0/24", nad="a/n"), settings=settings
    )
    assert world.network("a/bare").problem == "MultusRequiresNAD"
    assert "VirtualNetwork a/bare" in world.network("a/bare").message
    assert world.network("a/n").problem is None


# -- our annotations --------------------------------------------------------------------------------------------------


def annotated(**annotations):
    found = {f"ledgerlb.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return World(vn("a/n", "10.0.0.0/24", annotations=found)).network("a/n")


def test_annotations_are_read():
    network = annotated(
        exclude="10.0.0.5, 10.0.0.10-10.0.0.12 ,10.0.0.16/30",
        allowed_namespaces="team=a,env in (dev,test)",
        quota_per_namespace="3",
        quarantine="0s",
        lease="1h30m",
        force_prefix="10.0.0.0/25",
    )
    assert network.problem is None
    assert network.prefixes[0].excluded == (
        ("10.0.0.5", "10.0.0.5"),
        ("10.0.0.10", "10.0.0.12"),
        ("10.0.0.16", "10.0.0.19"),
    )
    assert str(network.allowed_namespaces) == "env in (dev,test),team=a"
    assert (network.quota_per_namespace, network.quarantine, network.lease) == (3, 0.0, 5400.0)
    assert network.force_prefix == ("10.0.0.0/25",)


def test_unset_annotations_leave_the_defaults_open():
    network = annotated()
    assert (network.allowed_namespaces, network.quota_per_namespace, network.quarantine, network.lease) == (None,) * 4
    assert (network.force_prefix, network.prefixes[0].excluded) == ((), ())


def test_an_exclusion_is_cut_to_the_prefix_with_a_warning():
    network = annotated(exclude="10.0.0.250-10.0.1.5,10.9.0.1")
    assert network.prefixes[0].excluded == (("10.0.0.250", "10.0.0.255"),)
    assert len(network.warnings) == 2


def test_exclusions_go_to_their_own_family():
    world = World(
        vn("a/n", "10.0.0.0/24", "2001:db8::/64", annotations={"ledgerlb.io/exclude": "2001:db8::5-2001:db8::9"})
    )
    four, six = world.network("a/n").prefixes
    assert (four.excluded, six.excluded) == ((), (("2001:db8::5", "2001:db8::9"),))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("exclude", ""), ("exclude", "10.0.0.5,"), ("exclude", "10.0.0"), ("exclude", "10.0.0.9-10.0.0.5"),
        ("exclude", "10.0.0.9-2001:db8::1"), ("exclude", "10.0.0.0/99"), ("exclude", "10.0.0.1 10.0.0.2"),
        ("exclude", ",".join(["10.0.0.9"] * 2000)),
        ("allowed_namespaces", ""), ("allowed_namespaces", "a=b,"), ("allowed_namespaces", "a > b"),
        ("quota_per_namespace", ""), ("quota_per_namespace", "-1"), ("quota_per_namespace", "1.5"),
        ("quota_per_namespace", "many"), ("quota_per_namespace", "9" * 30), ("quota_per_namespace", "٣"),
        ("quarantine", "5"), ("quarantine", "soon"), ("quarantine", ""), ("lease", "-5m"), ("lease", "5 m"),
        ("force_prefix", ""), ("force_prefix", "10.0.0.0"), ("force_prefix", "10.0.0.0/25,10.0.0.128/25"),
    ],
)  # fmt: skip
def test_an_annotation_that_does_not_parse_closes_the_network_and_is_named(key, value):
    network = annotated(**{key: value})
    assert network.problem == "InvalidAnnotation"
    assert f"VirtualNetwork a/n, annotation ledgerlb.io/{key.replace('_', '-')}: " in network.message
    assert prefixes(network) == ["10.0.0.0/24"]


def test_on_a_nad_its_own_annotation_goes_before_that_of_its_virtual_network():
    made = vn("a/n", nad="a/n", annotations={"ledgerlb.io/lease": "2h", "ledgerlb.io/quarantine": "7s"})
    network = World(nad("a/n", V4, annotations={"ledgerlb.io/lease": "1h"}), made).network("a/n")
    assert (network.lease, network.quarantine) == (3600.0, 7.0)


def test_the_message_names_the_object_that_carries_the_annotation():
    made = vn("a/n", nad="a/n", annotations={"ledgerlb.io/lease": "x"})
    assert World(nad("a/n", V4), made).network("a/n").message.startswith("VirtualNetwork a/n, annotation")
    own = nad("a/n", V4, annotations={"ledgerlb.io/lease": "x"})
    assert World(own).network("a/n").message.startswith("NetworkAttachmentDefinition a/n, annotation")


# -- overlaps ---------------------------------------------------------------------------------------------------------


def conflicts(world, *holders):
    return {name: network.conflict for name, network in world.networks(*holders).items() if network.conflict}


@pytest.mark.parametrize(
    ("mine", "theirs", "overlap"),
    [
        ("10.0.0.0/24", "10.0.0.0/24", True),
        ("10.0.0.0/24", "10.0.0.128/25", True),
        ("10.0.0.128/25", "10.0.0.0/16", True),
        ("10.0.0.0/24", "10.0.1.0/24", False),
        ("10.0.0.0/8", "10.0.1.0/24", True),
        ("10.0.0.1/32", "10.0.0.1/32", True),
        ("2001:db8::/64", "2001:db8::/48", True),
        ("2001:db8::/64", "2001:db8:0:1::/64", False),
        ("2001:db8::/32", "10.0.0.0/8", False),
    ],
)
def test_the_younger_of_two_overlapping_networks_conflicts(mine, theirs, overlap):
    expected = {"a/young": "a/old"} if overlap else {}
    for young, old in ((mine, theirs), (theirs, mine)):
        world = World(vn("a/young", young, day=2), vn("a/old", old, day=1))
        assert conflicts(world) == expected


def test_a_conflict_names_both_networks_and_a_remedy():
    network = World(vn("a/b", "10.0.0.0/24", day=2), vn("a/a", "10.0.0.0/16")).network("a/b")
    assert network.problem == "NetworkConflict"
    for word in ("a/b", "a/a", "10.0.0.0/24", "10.0.0.0/16", "route targets"):
        assert word in network.message


def test_equally_old_networks_are_told_apart_by_name():
    assert conflicts(World(vn("a/y", "10.0.0.0/24"), vn("a/x", "10.0.0.0/24"))) == {"a/y": "a/x"}


def test_a_network_with_holders_counts_as_older_than_one_without():
    world = World(vn("a/young", "10.0.0.0/24", day=2), vn("a/old", "10.0.0.0/24", day=1))
    assert conflicts(world, "a/young") == {"a/old": "a/young"}
    assert conflicts(world, "a/young", "a/old") == {"a/young": "a/old"}


def test_a_nad_made_network_has_the_age_of_its_nad():
    world = World(
        nad("a/n", V4, day=1), vn("a/n", "192.168.102.0/24", day=9, nad="a/n"), vn("a/m", "192.168.102.0/25", day=5)
    )
    assert conflicts(world) == {"a/m": "a/n"}


@pytest.mark.parametrize(
    ("mine", "theirs", "conflict"),
    [
        ({"route_targets": ("t:1",)}, {"route_targets": ("t:2",)}, False),
        ({"route_targets": ("t:1",)}, {"import_route_targets": ("t:1",)}, True),
        ({"export_route_targets": ("t:1",)}, {"export_route_targets": ("t:1",)}, True),
        ({"route_targets": ("t:1",)}, {}, True),
        ({}, {"export_route_targets": ("t:1",)}, True),
        ({}, {}, True),
    ],
)
def test_only_route_targets_with_nothing_in_common_keep_networks_apart(mine, theirs, conflict):
    world = World(vn("a/x", "10.0.0.0/24", day=2, **mine), vn("a/y", "10.0.0.0/24", day=1, **theirs))
    assert conflicts(world) == ({"a/x": "a/y"} if conflict else {})


def test_a_conflict_ends_with_the_overlap():
    world = World(vn("a/x", "10.0.0.0/24", day=2), vn("a/y", "10.0.0.0/24", day=1))
    world.drop("VirtualNetwork", "a/y")
    assert conflicts(world) == {}


def test_the_oldest_overlapping_network_is_named():
    world = World(*(vn(f"a/n{day}", "10.0.0.0/24", day=day) for day in (3, 1, 2)))
    assert conflicts(world) == {"a/n2": "a/n1", "a/n3": "a/n1"}


def test_a_network_that_multus_forbids_takes_no_part_even_with_holders():
    world = World(
        vn("a/bare", "10.0.0.0/24", day=1),
        nad("a/n", {"ipamV4Subnet": "10.0.0.0/24"}, day=2),
        settings=DomainSettings(multus=True),
    )
    assert conflicts(world) == {}
    assert conflicts(world, "a/bare") == {}


def test_a_network_with_a_problem_of_its_own_takes_no_part_in_conflicts():
    world = World(vn("a/x", "10.0.0.0/24", day=2, annotations={"ledgerlb.io/lease": "x"}), vn("a/y", "10.0.0.0/24"))
    found = with_conflicts(world.networks(), holders=["a/x", "a/y"])
    assert [(n.problem, n.conflict) for n in found.values()] == [("InvalidAnnotation", None), (None, None)]


def test_overlaps_among_a_thousand_networks_are_found_quickly():
    facts = [vn(f"a/n{i}", f"10.{i // 250}.{i % 250}.0/24", f"2001:db8:{i:x}::/48") for i in range(1000)]
    same = [vn(f"b/n{i}", "10.0.0.0/8", day=2, route_targets=(f"t:{i}",)) for i in range(1000)]
    found = World(*facts, *same).networks()
    started = time.perf_counter()
    marked = with_conflicts(found)
    assert time.perf_counter() - started < 2.0
    assert sum(1 for network in marked.values() if network.conflict) == 1000


# -- the offer --------------------------------------------------------------------------------------------------------


def test_the_offer_says_what_ipam_needs():
    network = annotated(allowed_namespaces="a=b", quota_per_namespace="2", lease="1m", quarantine="0s")
    offer = to_offer(network, 7)
    assert (offer.network, offer.revision, offer.uid, offer.gone) == ("a/n", 7, "uid-a/n", False)
    assert (offer.allowed_namespaces, offer.quota_per_namespace) == ("a=b", 2)
    assert (offer.lease, offer.quarantine, offer.problem) == (60.0, 0.0, None)
    assert [prefix.prefix for prefix in offer.prefixes] == ["10.0.0.0/24"]


def test_the_offer_of_a_closed_network_says_why():
    offer = to_offer(annotated(lease="x"), 1)
    assert offer.problem == "InvalidAnnotation"
    assert "ledgerlb.io/lease" in offer.message
    assert gone_offer("a/n", 3).gone
