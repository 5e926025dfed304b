"""The priority order, selectors, and every reason that selection owns."""

from __future__ import annotations

import pytest

from ledgerlb.core.cluster.facts import ServicePort
from ledgerlb.core.selection import RUNGS, explain
from ledgerlb.core.selection.explain import MAX_BRIEF, explain_briefly
from ledgerlb.core.settings import DomainSettings
from tests.builders.objects import ADMITTED
from tests.unit.selection.world import (
    DEFAULT_LABEL,
    NETWORK,
    SELECTOR,
    SELECTORS,
    World,
    documented,
    kubemanager,
    nad,
    namespace,
    service,
    vn,
)

DEFAULT = "contrail/default-external-vn"
ONE = "custom-namespace/external-vn-1"
TWO = "custom-namespace/external-vn-2"


def outcome(choice):
    return choice.network, choice.rung, choice.reason


# -- the documented examples ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "network", "rung"),
    [
        (service("ns-of-service/svc"), DEFAULT, "default-selector"),
        (service("ns-of-service/svc", {NETWORK: ONE}), ONE, "service-annotation:externalNetwork"),
        (
            service("ns-of-service/svc", {SELECTOR: "custom-external"}),
            ONE,
            "service-annotation:externalNetworkSelector",
        ),
        (
            service("custom-namespace/svc", {SELECTOR: "custom-external-in-service-namespace"}),
            TWO,
            "service-annotation:externalNetworkSelector",
        ),
    ],
    ids=["example-1", "example-2", "example-3", "example-4"],
)
def test_documented_example(of, network, rung):
    assert outcome(World(*documented()).select(of)) == (network, rung, None)


def test_the_same_selectors_may_come_from_the_settings():
    facts = [fact for fact in documented() if fact.kind != "Kubemanager"]
    world = World(*facts, settings=DomainSettings(external_network_selectors=SELECTORS))
    assert world.select(service("x/s")).network == DEFAULT
    assert world.select(service("x/s", {SELECTOR: "custom-external"})).network == ONE


def test_a_kubemanager_counts_and_not_the_settings_even_if_it_defines_nothing():
    world = World(*documented(), kubemanager({}), settings=DomainSettings(external_network_selectors=SELECTORS))
    assert world.select(service("x/s")).reason == "NoDefaultNetwork"
    world.drop("Kubemanager", "contrail/contrail-k8s-kubemanager")
    assert world.select(service("x/s")).network == DEFAULT


def test_the_contrail_namespace_and_the_kubemanager_name_are_settings():
    settings = DomainSettings.model_validate(
        {"contrailNamespace": "cn2", "kubemanager": {"namespace": "cn2", "name": "km"}}
    )
    world = World(
        kubemanager().model_copy(update={"namespace": "cn2", "name": "km"}),
        vn("contrail/other", "10.0.0.0/24", labels=DEFAULT_LABEL),
        vn("cn2/net", "10.1.0.0/24", day=5, labels=DEFAULT_LABEL),
        settings=settings,
    )
    assert world.select(service("x/s")).network == "cn2/net"


# -- the order --------------------------------------------------------------------------------------------------------

NAMES = [rung.name for rung in RUNGS]


def ladder(*present):
    """A cluster in which exactly these rungs are present; rung number i leads to network ``n/r<i>``."""
    own, home, contrail, selectors = {}, {}, {}, {}
    places = {"service": own, "namespace": home, "contrail-namespace": contrail}
    facts = []
    for number, rung in enumerate(RUNGS[:-1]):
        facts += vn(f"n/r{number}", f"10.{number}.0.0/16", labels={"rung": f"r{number}"})
        if number not in present:
            continue
        if rung.meaning == "network":
            places[rung.place][rung.key] = f"n/r{number}"
            continue
        name = rung.key if rung.place == "selectors" else f"s{number}"
        selectors[name] = {
            "namespaceSelector": {},
            "networkSelector": {"matchLabels": {"rung": f"r{number}"}},
        }
        if rung.place != "selectors":
            places[rung.place][rung.key] = name
    world = World(
        *facts, kubemanager(selectors), namespace("a", annotations=home), namespace("contrail", annotations=contrail)
    )
    return world, service("a/s", own)


@pytest.mark.parametrize("number", range(7))
def test_each_rung_decides_where_it_stands_alone(number):
    world, of = ladder(number)
    assert outcome(world.select(of)) == (f"n/r{number}", NAMES[number], None)


@pytest.mark.parametrize(("higher", "lower"), [(h, lo) for lo in range(7) for h in range(lo)])
def test_each_rung_beats_each_lower_one(higher, lower):
    world, of = ladder(higher, lower)
    choice = world.select(of)
    assert outcome(choice) == (f"n/r{higher}", NAMES[higher], None)
    looks = {look.rung: look for look in choice.rungs}
    assert looks[NAMES[lower]].present
    assert looks[NAMES[lower]].outcome == f"outranked by {NAMES[higher]}"


def test_with_every_rung_present_the_first_decides():
    world, of = ladder(*range(7))
    assert world.select(of).network == "n/r0"


@pytest.mark.parametrize("number", range(7))
def test_no_fall_through_where_a_rung_cannot_be_used(number):
    world, of = ladder(*range(number, 7))
    world.drop("VirtualNetwork", f"n/r{number}")
    choice = world.select(of)
    reason = "NetworkNotFound" if RUNGS[number].meaning == "network" else "NoNetworkMatches"
    assert outcome(choice) == (None, NAMES[number], reason)


def test_nothing_at_all_leaves_the_service_without_a_network():
    world, of = ladder()
    choice = world.select(of)
    assert outcome(choice) == (None, None, "NoDefaultNetwork")
    assert "a/s" in choice.message
    assert "default-external" in choice.message


# -- no fall-through, for every reason --------------------------------------------------------------------------------

BROKEN = {
    "InvalidAnnotation": [
        {NETWORK: ""}, {NETWORK: "  "}, {NETWORK: "a/b/c"}, {NETWORK: "/b"}, {NETWORK: "b/"}, {NETWORK: "/"},
        {NETWORK: "a b"}, {SELECTOR: ""}, {SELECTOR: " "}, {SELECTOR: "malformed"}, {NETWORK: "n/invalid"},
        {SELECTOR: "finds-invalid"}, {NETWORK: DEFAULT, "ledgerlb.io/addresses": "10.0.0"},
        {NETWORK: DEFAULT, "ledgerlb.io/addresses": ""}, {"ledgerlb.io/addresses": "10.0.0.5,10.0.0.6"},
    ],
    "NetworkNotFound": [{NETWORK: "no/such"}, {NETWORK: "such"}, {NETWORK: "n/deleting"}],
    "SelectorNotFound": [{SELECTOR: "unknown"}],
    "NoNetworkMatches": [{SELECTOR: "finds-nothing"}],
    "NetworkConflict": [{NETWORK: "n/conflicting"}, {SELECTOR: "finds-conflicting"}],
    "NetworkNotAllowed": [{NETWORK: "n/closed"}, {SELECTOR: "finds-closed"}],
    "FamilyUnavailable": [{NETWORK: "n/six"}, {SELECTOR: "finds-six"}],
}  # fmt: skip


def finds(label):
    return {"namespaceSelector": {}, "networkSelector": {"matchLabels": {"is": label}}}


def pitfalls():
    return World(
        *documented(),
        kubemanager(
            {
                **SELECTORS,
                "malformed": {"networkSelector": {"matchLabel": {}}},
                "finds-nothing": finds("nothing"),
                **{f"finds-{it}": finds(it) for it in ("invalid", "conflicting", "closed", "six")},
            }
        ),
        vn("n/invalid", "10.5.0.0/24", labels={"is": "invalid"}, annotations={"ledgerlb.io/lease": "x"}),
        vn("n/deleting", "10.6.0.0/24", deleting=True),
        vn("n/older", "10.7.0.0/24", day=1),
        vn("n/conflicting", "10.7.0.0/24", day=2, labels={"is": "conflicting"}),
        vn("n/closed", "10.8.0.0/24", labels={"is": "closed"}, annotations={"ledgerlb.io/allowed-namespaces": "a=b"}),
        vn("n/six", "2001:db8::/64", labels={"is": "six"}),
    )


@pytest.mark.parametrize(
    ("reason", "annotations"), [(reason, case) for reason, cases in BROKEN.items() for case in cases]
)
def test_an_unusable_rung_leaves_the_service_pending_with_its_reason(reason, annotations):
    of = service("ns-of-service/svc", annotations)
    choice = pitfalls().select(of)
    assert (choice.network, choice.reason) == (None, reason)
    assert choice.message
    assert pitfalls().select(service("ns-of-service/svc")).network == DEFAULT, "others are served"


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({NETWORK: "a/b/c"}, ("Service ns-of-service/svc", NETWORK, "'a/b/c'", "namespace/name")),
        ({NETWORK: "no/such"}, ("no/such", "Service ns-of-service/svc", NETWORK, "create it")),
        ({NETWORK: "external-vn-1"}, ("ns-of-service/external-vn-1", "or name custom-namespace/external-vn-1")),
        ({NETWORK: "n/deleting"}, ("n/deleting is being deleted",)),
        ({SELECTOR: "unknown"}, ("'unknown'", "Kubemanager contrail/contrail-k8s-kubemanager", "custom-external")),
        (
            {SELECTOR: "malformed"},
            (
                "Kubemanager contrail/contrail-k8s-kubemanager",
                "spec.externalNetworkSelectors.malformed.networkSelector.matchLabel",
            ),
        ),
        ({SELECTOR: "finds-nothing"}, ("finds-nothing", "is=nothing", "any namespace", "label a network")),
        ({NETWORK: "n/closed"}, ("namespace ns-of-service", "n/closed", "a=b")),
        ({NETWORK: "n/six"}, ("n/six", "IPv4", "ipFamilies")),
        ({NETWORK: DEFAULT, "ledgerlb.io/addresses": "x"}, ("Service ns-of-service/svc", "ledgerlb.io/addresses")),
    ],
)
def test_a_reason_comes_with_the_object_the_field_and_the_remedy(annotations, words):
    message = pitfalls().select(service("ns-of-service/svc", annotations)).message
    for word in words:
        assert word in message


@pytest.mark.parametrize("value", ["", "a/b/c"])
@pytest.mark.parametrize("where", ["a", "contrail"])
def test_a_broken_annotation_of_a_namespace_is_told_with_the_namespace(where, value):
    world = World(*documented(), namespace(where, annotations={NETWORK: value}))
    choice = world.select(service("a/s"))
    assert choice.reason == "InvalidAnnotation"
    assert f"Namespace {where}, annotation {NETWORK}" in choice.message


# -- bare names -------------------------------------------------------------------------------------------------------


def test_a_bare_name_on_the_service_means_the_services_namespace():
    world = World(vn("a/net", "10.0.0.0/24"), vn("contrail/net", "10.1.0.0/24"))
    assert world.select(service("a/s", {NETWORK: "net"})).network == "a/net"


def test_a_bare_name_on_the_namespace_means_that_namespace():
    world = World(
        vn("a/net", "10.0.0.0/24"), vn("contrail/net", "10.1.0.0/24"), namespace("a", annotations={NETWORK: "net"})
    )
    assert world.select(service("a/s")).network == "a/net"


def test_a_bare_name_on_the_contrail_namespace_means_the_contrail_namespace():
    world = World(
        vn("a/net", "10.0.0.0/24"),
        vn("contrail/net", "10.1.0.0/24"),
        namespace("contrail", annotations={NETWORK: "net"}),
    )
    choice = world.select(service("a/s"))
    assert outcome(choice) == ("contrail/net", "contrail-namespace-annotation:externalNetwork", None)


def test_in_the_contrail_namespace_its_annotation_is_the_namespaces_own():
    world = World(vn("contrail/net", "10.1.0.0/24"), namespace("contrail", annotations={NETWORK: "net"}))
    assert world.select(service("contrail/s")).rung == "namespace-annotation:externalNetwork"


# -- selectors --------------------------------------------------------------------------------------------------------

TIERS = [
    vn("a/own", "10.0.0.0/24", day=5, labels={"tier": "gold"}),
    vn("b/other", "10.1.0.0/24", day=1, labels={"tier": "silver"}),
    vn("contrail/home", "10.2.0.0/24", day=3, labels={"tier": "gold", "old": "yes"}),
]


def by(selector, *facts, of="a/s", name="pick"):
    world = World(*TIERS, namespace("b", {"zone": "b"}), kubemanager({name: selector}), *facts)
    return world.select(service(of, {SELECTOR: name}))


IN_GOLD = {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}]}


@pytest.mark.parametrize(
    ("selector", "network"),
    [
        ({"networkSelector": {"matchLabels": {"tier": "gold"}}}, "a/own"),
        ({"networkSelector": {"matchLabels": {"tier": "gold"}}, "namespaceSelector": None}, "a/own"),
        ({"networkSelector": {"matchLabels": {"tier": "silver"}}}, None),
        ({"networkSelector": {"matchLabels": {"tier": "silver"}}, "namespaceSelector": {}}, "b/other"),
        ({"networkSelector": {}, "namespaceSelector": {}}, "b/other"),
        ({"networkSelector": IN_GOLD, "namespaceSelector": {}}, "contrail/home"),
        ({"networkSelector": {"matchExpressions": [{"key": "old", "operator": "Exists"}]}, "namespaceSelector": {}},
         "contrail/home"),
        ({"networkSelector": {"matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]},
          "namespaceSelector": {}}, "b/other"),
        ({"networkSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["silver"]}]},
          "namespaceSelector": {}}, "contrail/home"),
        ({"networkSelector": {}, "namespaceSelector": {"matchLabels": {"zone": "b"}}}, "b/other"),
        ({"networkSelector": IN_GOLD, "namespaceSelector": {"matchLabels": {"zone": "b"}}}, None),
        ({"networkSelector": {}, "namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a"]}]}}, "a/own"),
    ],
)  # fmt: skip
def test_selectors_with_expressions_and_namespaces(selector, network):
    choice = by(selector)
    assert choice.network == network
    assert choice.reason == (None if network else "NoNetworkMatches")


@pytest.mark.parametrize(
    ("selector", "field"),
    [
        ("text", ""),
        (None, ""),
        ({}, ".networkSelector"),
        ({"networkSelector": None}, ".networkSelector"),
        ({"networkSelector": []}, ".networkSelector"),
        ({"networkSelector": {}, "namespaceSelector": "a"}, ".namespaceSelector"),
        ({"networkSelector": {}, "namespaces": {}}, ".namespaces"),
        ({"networkSelector": {"matchLabels": {"a": 1}}}, ".networkSelector.matchLabels.a"),
        (
            {"networkSelector": {"matchExpressions": [{"key": "a", "operator": "Eq"}]}},
            ".networkSelector.matchExpressions[0].operator",
        ),
    ],
)
def test_a_malformed_selector_closes_itself_and_names_the_kubemanagers_field(selector, field):
    choice = by(selector)
    assert (choice.network, choice.reason) == (None, "InvalidAnnotation")
    assert f"Kubemanager contrail/contrail-k8s-kubemanager, spec.externalNetworkSelectors.pick{field}: " in (
        choice.message
    )


def test_a_malformed_selector_disturbs_no_other_one():
    world = World(*documented(), kubemanager({**SELECTORS, "broken": 5}))
    assert world.select(service("a/s")).network == DEFAULT


def test_a_malformed_default_selector_is_present_and_does_not_count_as_undefined():
    assert World(*documented(), kubemanager({"default-external": {}})).select(service("a/s")).reason == (
        "InvalidAnnotation"
    )


def test_a_missing_match_in_the_own_namespace_tells_of_matches_elsewhere():
    assert "1 elsewhere match" in by({"networkSelector": {"matchLabels": {"tier": "silver"}}}).message


# -- default-external -------------------------------------------------------------------------------------------------


def test_the_default_selector_prefers_the_contrail_namespace_however_young():
    world = World(
        kubemanager(),
        vn("a/net", "10.0.0.0/24", day=1, labels=DEFAULT_LABEL),
        vn("contrail/net", "10.1.0.0/24", day=9, labels=DEFAULT_LABEL),
    )
    assert world.select(service("a/s")).network == "contrail/net"


def test_the_default_selector_widens_to_admitted_namespaces_if_none_matches_in_contrail():
    world = World(
        kubemanager(),
        namespace("z", ADMITTED),
        namespace("b", ADMITTED),
        vn("contrail/unlabelled", "10.1.0.0/24"),
        vn("tenant/net", "10.3.0.0/24", day=1, labels=DEFAULT_LABEL),
        vn("z/net", "10.0.0.0/24", day=1, labels=DEFAULT_LABEL),
        vn("b/net", "10.2.0.0/24", day=2, labels=DEFAULT_LABEL),
    )
    choice = world.select(service("a/s"))
    assert choice.network == "z/net"
    assert "none matches in contrail" in choice.message


def test_the_default_selector_does_not_widen_where_contrails_match_is_unusable():
    world = World(
        kubemanager(),
        vn("contrail/net", "10.1.0.0/24", labels=DEFAULT_LABEL, annotations={"ledgerlb.io/lease": "x"}),
        vn("z/net", "10.0.0.0/24", labels=DEFAULT_LABEL),
    )
    assert outcome(world.select(service("a/s"))) == (None, "default-selector", "InvalidAnnotation")


def test_the_default_selector_widens_also_when_it_is_named():
    world = World(kubemanager(), namespace("z", ADMITTED), vn("z/net", "10.0.0.0/24", labels=DEFAULT_LABEL))
    assert world.select(service("a/s", {SELECTOR: "default-external"})).network == "z/net"


def test_a_namespace_selector_on_the_default_selector_is_taken_literally():
    selector = {**SELECTORS["default-external"], "namespaceSelector": {"matchLabels": {"zone": "b"}}}
    world = World(
        kubemanager({"default-external": selector}),
        namespace("b", {"zone": "b"}),
        vn("contrail/net", "10.1.0.0/24", labels=DEFAULT_LABEL),
        vn("b/net", "10.0.0.0/24", day=9, labels=DEFAULT_LABEL),
    )
    assert world.select(service("a/s")).network == "b/net"


def test_defined_but_matching_nothing_is_not_the_same_as_undefined():
    assert World(kubemanager()).select(service("a/s")).reason == "NoNetworkMatches"
    assert World(kubemanager({})).select(service("a/s")).reason == "NoDefaultNetwork"
    undefined = World(settings=DomainSettings(external_network_selectors={}))
    assert undefined.select(service("a/s")).reason == "NoDefaultNetwork"


# -- several matches --------------------------------------------------------------------------------------------------


def gold(*facts):
    world = World(
        kubemanager({"gold": {"namespaceSelector": {}, "networkSelector": {"matchLabels": {"is": "gold"}}}}), *facts
    )
    return world.select(service("a/s", {SELECTOR: "gold"}))


def golden(name, cidr, day, **more):
    return vn(name, cidr, day=day, labels={"is": "gold"}, **more)


def test_the_oldest_of_several_matches_is_taken_then_the_first_by_name():
    assert gold(golden("z/a", "10.0.0.0/24", 1), golden("a/z", "10.1.0.0/24", 2)).network == "z/a"
    assert gold(golden("b/a", "10.0.0.0/24", 1), golden("a/b", "10.1.0.0/24", 1)).network == "a/b"


@pytest.mark.parametrize(
    ("unusable", "reason"),
    [
        ([golden("n/x", "10.0.0.0/24", 1, annotations={"ledgerlb.io/lease": "x"})], "InvalidAnnotation"),
        ([vn("n/older", "10.0.0.0/16", day=1), golden("n/x", "10.0.0.0/24", 2)], "NetworkConflict"),
        ([golden("n/x", "10.0.0.0/24", 1, annotations={"ledgerlb.io/allowed-namespaces": "q=r"})], "NetworkNotAllowed"),
        ([golden("n/x", "2001:db8::/64", 1)], "FamilyUnavailable"),
    ],
)  # fmt: skip
def test_a_network_that_can_never_serve_is_passed_over_with_the_reason(unusable, reason):
    choice = gold(*unusable, golden("n/good", "10.9.0.0/24", 8), golden("n/younger", "10.10.0.0/24", 9))
    assert choice.network == "n/good"
    first, second, third = choice.candidates
    assert (first.network, first.taken) == ("n/x", False)
    assert first.why.startswith(f"{reason}: ")
    assert (second.network, second.taken) == ("n/good", True)
    assert (third.network, third.why) == ("n/younger", "younger than n/good")
    alone = gold(*unusable)
    assert (alone.network, alone.reason) == (None, reason)


def test_where_all_are_passed_over_the_first_ones_reason_counts():
    choice = gold(
        golden("n/six", "2001:db8::/64", 2),
        golden("n/closed", "10.0.0.0/24", 1, annotations={"ledgerlb.io/allowed-namespaces": "q=r"}),
    )
    assert choice.reason == "NetworkNotAllowed"
    assert [look.network for look in choice.candidates] == ["n/closed", "n/six"]


def test_explanations_of_many_candidates_are_bounded_and_hold_the_taken_one():
    closed = {"ledgerlb.io/lease": "x"}
    many = [golden(f"n/{i:03}", f"10.0.{i}.0/24", 1, annotations=closed) for i in range(200)]
    choice = gold(*many, golden("n/good", "10.9.0.0/24", 9))
    assert len(choice.candidates) <= 50
    assert [look.network for look in choice.candidates if look.taken] == ["n/good"]


# -- who may, and which families --------------------------------------------------------------------------------------


def test_allowed_namespaces_let_in_those_whose_labels_match():
    world = World(
        vn("n/x", "10.0.0.0/24", annotations={"ledgerlb.io/allowed-namespaces": "team=a,env in (dev,test)"}),
        namespace("yes", {"team": "a", "env": "dev"}),
        namespace("no", {"team": "a", "env": "prod"}),
    )
    assert world.select(service("yes/s", {NETWORK: "n/x"})).network == "n/x"
    assert world.select(service("no/s", {NETWORK: "n/x"})).reason == "NetworkNotAllowed"
    assert world.select(service("unknown/s", {NETWORK: "n/x"})).reason == "NetworkNotAllowed"


@pytest.mark.parametrize(
    ("policy", "families", "network", "reason"),
    [
        ("SingleStack", (4,), "n/four", None),
        ("", (), "n/four", None),
        ("SingleStack", (6,), "n/four", "FamilyUnavailable"),
        ("SingleStack", (6,), "n/six", None),
        ("PreferDualStack", (4, 6), "n/four", None),
        ("PreferDualStack", (6, 4), "n/four", None),
        ("PreferDualStack", (), "n/six", None),
        ("RequireDualStack", (4, 6), "n/four", "FamilyUnavailable"),
        ("RequireDualStack", (), "n/six", "FamilyUnavailable"),
        ("RequireDualStack", (6, 4), "n/both", None),
    ],
)
def test_families(policy, families, network, reason):
    world = World(
        vn("n/four", "10.0.0.0/24"), vn("n/six", "2001:db8::/64"), vn("n/both", "10.1.0.0/24", "2001:db8:1::/64")
    )
    of = service("a/s", {NETWORK: network}, ip_family_policy=policy, ip_families=families)
    choice = world.select(of)
    assert (choice.network, choice.reason) == (None if reason else network, reason)


def test_prefer_dual_stack_wants_both_and_requires_none_in_particular():
    of = service("a/s", {NETWORK: "n/four"}, ip_family_policy="PreferDualStack", ip_families=(6, 4))
    choice = World(vn("n/four", "10.0.0.0/24")).select(of)
    assert (choice.families, choice.required) == ((6, 4), ())


def test_requested_addresses_are_canonical_and_travel_with_the_choice():
    of = service("a/s", {NETWORK: "n/x", "ledgerlb.io/addresses": "2001:DB8::0:7 , 10.0.0.7"}, ip_families=(4, 6))
    assert World(vn("n/x", "10.0.0.0/24", "2001:db8::/64")).select(of).requested == ("2001:db8::7", "10.0.0.7")


# -- Multus -----------------------------------------------------------------------------------------------------------


def test_with_multus_a_named_bare_virtual_network_is_refused():
    world = World(*documented(), settings=DomainSettings(multus=True))
    choice = world.select(service("a/s", {NETWORK: ONE}))
    assert (choice.network, choice.reason) == (None, "MultusRequiresNAD")
    assert f"VirtualNetwork {ONE}" in choice.message
    assert "NetworkAttachmentDefinition" in choice.message


def test_with_multus_a_selector_that_matches_bare_virtual_networks_only_is_refused():
    world = World(*documented(), settings=DomainSettings(multus=True))
    assert world.select(service("a/s", {SELECTOR: "custom-external"})).reason == "MultusRequiresNAD"
    assert world.select(service("a/s")).reason == "MultusRequiresNAD"


def test_with_multus_a_nad_made_network_is_taken_although_an_older_bare_one_matches():
    made = nad("contrail/made", {"ipamV4Subnet": "10.0.0.0/24"}, day=9, labels=DEFAULT_LABEL)
    world = World(*documented(), made, settings=DomainSettings(multus=True))
    assert world.select(service("a/s")).network == "contrail/made"


# -- the explanation --------------------------------------------------------------------------------------------------


def test_every_rung_is_in_the_explanation():
    choice = World(*documented()).select(service("a/s"))
    assert [look.rung for look in choice.rungs][:7] == NAMES[:7]
    assert [look.present for look in choice.rungs][:7] == [False] * 6 + [True]
    text = explain(choice)
    for name in NAMES[:7]:
        assert name in text
    assert f"{DEFAULT} taken (the only match)" in text


def test_an_explanation_reads_the_same_off_the_record():
    choice = World(*documented()).select(service("a/s", {SELECTOR: "custom-external"}))
    assert explain(choice.to_selection(3)) == explain(choice)


def test_a_pending_service_is_explained_with_its_reason():
    text = explain(World(*documented()).select(service("a/s", {NETWORK: "no/such"})))
    assert text.startswith("Service a/s has no network: NetworkNotFound: ")
    assert "default-selector = 'default-external' outranked by service-annotation:externalNetwork" in text


def test_the_explanation_for_the_ledger_is_bounded():
    many = [golden(f"n/{i:03}", f"10.0.{i}.0/24", 1) for i in range(60)]
    assert len(explain_briefly(gold(*many))) <= MAX_BRIEF


def test_warnings_of_the_network_come_with_the_choice():
    choice = World(vn("n/x", "10.0.0.7/24")).select(service("a/s", {NETWORK: "n/x"}))
    assert "host bits" in choice.warnings[0]
    assert "host bits" in explain(choice)


def test_unsupported_ports_and_odd_services_do_not_disturb_the_choice():
    of = service("a/s", {NETWORK: ONE}, ports=(ServicePort(port=1, protocol="QUIC"),))
    assert World(*documented()).select(of).network == ONE


@pytest.mark.parametrize("key", [NETWORK, SELECTOR, "ledgerlb.io/addresses"])
def test_what_people_typed_is_quoted_in_bounded_length(key):
    choice = World(*documented()).select(service("a/s", {key: "x y/" * 50_000}))
    assert choice.reason == "InvalidAnnotation"
    assert len(choice.message) <= 1000
    assert all(len(look.value) <= 300 for look in choice.rungs)
    assert len(explain(choice)) < 5000


def test_the_problem_of_a_network_is_told_in_bounded_length():
    annotation = {"ipamV4Subnet": "10.0.0.0/24", "routeTargetList": {"x": "y" * 100_000}}
    world = World(nad("n/x", annotation))
    assert len(world.network("n/x").message) <= 1000
    choice = world.select(service("a/s", {NETWORK: "n/x"}))
    assert choice.reason == "InvalidAnnotation"
    assert all(len(look.why) <= 300 for look in choice.candidates)
