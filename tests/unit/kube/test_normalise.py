"""Objects into facts: what is kept, what absent values mean, and how wrong values are named."""

from __future__ import annotations

from typing import Any

import pytest

from ledgerlb.core.cluster.facts import FINALIZER, decode_fact, encode_fact, key_of
from ledgerlb.core.errors import BadInput
from ledgerlb.kube.kinds import BY_KIND, WATCHED, newest_first
from ledgerlb.kube.normalise.dispatch import fact_of
from tests.builders.objects import bare_service

BORN = {"uid": "u1", "creationTimestamp": "2026-01-02T03:04:05Z"}


def obj(kind: str, namespace: str = "a", **body: Any) -> dict[str, Any]:
    meta = {"name": "x", "namespace": namespace, **BORN}
    meta.update(body.pop("metadata", {}))
    return {"kind": kind, "metadata": meta, **body}


def test_a_service_in_full():
    fact = fact_of(
        bare_service(
            "a/x",
            metadata={
                **BORN,
                "generation": 3,
                "labels": {"app": "web"},
                "annotations": {
                    "ledgerlb.io/addresses": "192.0.2.7",
                    "service.contrail.juniper.net/externalNetwork": "n/v",
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                },
                "finalizers": [FINALIZER],
                "deletionTimestamp": "2026-01-03T00:00:00Z",
                "managedFields": [
                    {"manager": "late", "time": "2026-01-02T03:04:09Z", "fieldsV1": {"f:spec": {}}},
                    {
                        "manager": "status",
                        "time": "2026-01-01T00:00:00Z",
                        "subresource": "status",
                        "fieldsV1": {"f:spec": {}},
                    },
                    {
                        "manager": "kubectl",
                        "time": "2026-01-02T03:04:05Z",
                        "fieldsV1": {"f:metadata": {}, "f:spec": {}},
                    },
                ],
            },
            clusterIPs=["10.0.0.1", "fd00::1"],
            ipFamilies=["IPv6", "IPv4"],
            ipFamilyPolicy="RequireDualStack",
            loadBalancerClass="ledgerlb.io/own",
            loadBalancerIP="192.0.2.9",
            loadBalancerSourceRanges=[" 10.0.0.0/8 "],
            externalTrafficPolicy="Local",
            sessionAffinity="ClientIP",
            sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}},
            healthCheckNodePort=30000,
            selector={"app": "web"},
            ports=[
                {"name": "web", "port": 80, "targetPort": "http", "nodePort": 30080, "protocol": "TCP"},
                {"name": "dns", "port": 53, "protocol": "UDP"},
            ],
        )
        | {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7", "ipMode": "VIP"}, {"hostname": "h"}]}}}
    )
    assert fact is not None
    assert fact.model_dump(exclude_defaults=True) | {"ports": None} == {
        "namespace": "a", "name": "x", "uid": "u1", "created": "2026-01-02T03:04:05Z", "deleting": True,
        "labels": {"app": "web"},
        "annotations": {"ledgerlb.io/addresses": "192.0.2.7", "service.contrail.juniper.net/externalNetwork": "n/v"},
        "generation": 3, "type": "LoadBalancer", "cluster_ips": ("10.0.0.1", "fd00::1"), "ip_families": (6, 4),
        "ip_family_policy": "RequireDualStack", "load_balancer_class": "ledgerlb.io/own", "load_balancer_ip": "192.0.2.9",
        "source_ranges": ("10.0.0.0/8",), "external_traffic_policy": "Local", "session_affinity": "ClientIP",
        "session_affinity_timeout": 60, "has_finalizer": True,
        "ingress": ("192.0.2.7",), "selector": {"app": "web"}, "requester": "kubectl", "ports": None,
    }  # fmt: skip
    assert [(p.name, p.protocol, p.port, p.target_port) for p in fact.ports] == [
        ("web", "TCP", 80, "http"),
        ("dns", "UDP", 53, 53),
    ]
    assert decode_fact(key_of(fact), encode_fact(fact)) == fact


@pytest.mark.parametrize(
    ("listed", "annotation", "expected"),
    [
        (["10.0.0.0/8"], "192.0.2.0/24", ("10.0.0.0/8",)),
        ([], "192.0.2.0/24, 198.51.100.0/24", ("192.0.2.0/24", "198.51.100.0/24")),
        (None, "nonsense", ("nonsense",)),
        (None, " ", ()),
        (None, None, ()),
    ],
)
def test_source_ranges_fall_back_to_the_legacy_annotation(listed, annotation, expected):
    key = "service.beta.kubernetes.io/load-balancer-source-ranges"
    metadata = {} if annotation is None else {"annotations": {key: annotation}}
    assert fact_of(bare_service("a/x", metadata=metadata, loadBalancerSourceRanges=listed)).source_ranges == expected


def test_a_service_of_another_type_and_without_anything():
    fact = fact_of({"kind": "Service", "metadata": {"name": "x", "namespace": "a"}, "spec": {"type": "ExternalName"}})
    assert (fact.type, fact.ports, fact.has_selector, fact.ingress) == ("ExternalName", (), False, ())
    assert fact_of({"kind": "Service", "metadata": {"name": "x", "namespace": "a"}}).type == "ClusterIP"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"ports": [{"port": "80"}]}, "spec.ports[0].port"),
        ({"ports": [{"port": True}]}, "spec.ports[0].port"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port"),
        ({"ports": [{"port": 70000}]}, "spec.ports[0].port"),
        ({"ports": [{}]}, "spec.ports[0].port"),
        ({"ports": [80]}, "spec.ports[0]"),
        ({"ports": {"port": 80}}, "spec.ports"),
        ({"ports": [{"port": 80, "targetPort": 0.5}]}, "spec.ports[0].targetPort"),
        ({"ipFamilies": ["IPv5"]}, "spec.ipFamilies[0]"),
        ({"ipFamilies": "IPv4"}, "spec.ipFamilies"),
        ({"loadBalancerIP": 7}, "spec.loadBalancerIP"),
        ({"loadBalancerSourceRanges": [1]}, "spec.loadBalancerSourceRanges[0]"),
        ({"selector": "app=web"}, "spec.selector"),
        ({"type": ["LoadBalancer"]}, "spec.type"),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": "1h"}}},
         "spec.sessionAffinityConfig.clientIP.timeoutSeconds"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_object_and_field(spec, field):
    with pytest.raises(BadInput) as caught:
        fact_of(bare_service("a/x", **spec))
    assert (caught.value.subject, caught.value.field) == ("Service a/x", field)


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"kind": "Service"}, "metadata.name"),
        ({"kind": "Service", "metadata": []}, "metadata"),
        ({"kind": "Service", "metadata": {"name": 1}}, "metadata.name"),
        ({"kind": "Service", "metadata": {"name": "x", "annotations": {"ledgerlb.io/exclude": 1}}},
         "metadata.annotations[ledgerlb.io/exclude]"),
        ({"kind": "Service", "metadata": {"name": "x", "labels": ["a"]}}, "metadata.labels"),
        ({"kind": "Service", "metadata": {"name": "x"}, "spec": "?"}, "spec"),
        ({"kind": "Service", "metadata": {"name": "x"}, "status": {"loadBalancer": {"ingress": {}}}},
         "status.loadBalancer.ingress"),
        ({"kind": "Subnet", "metadata": {"name": 4}}, "metadata.name"),
        ({"kind": "VirtualNetwork", "metadata": {"name": "x", "labels": []}}, "metadata.labels"),
        ({"kind": "Endpoints", "metadata": {"name": "x", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
          "subsets": [{"addresses": [{}]}]}, "subsets[0].addresses[0].ip"),
    ],
)  # fmt: skip
def test_any_broken_object_is_bad_input(broken, field):
    with pytest.raises(BadInput) as caught:
        fact_of(broken)
    assert caught.value.field == field
    assert caught.value.subject.startswith(broken["kind"])


@pytest.mark.parametrize(
    ("kind", "spec", "fields"),
    [
        ("Subnet", {"cidr": 24}, ["spec.cidr"]),
        ("Subnet", {"ranges": [{"ipRanges": [{"from": 1}]}]}, ["spec.ranges[0].ipRanges[0].from"]),
        ("Subnet", [], ["spec"]),
        ("Kubemanager", {"externalNetworkSelectors": []}, ["spec.externalNetworkSelectors"]),
        ("Kubemanager", {"externalNetworkSelectors": {5: {}}}, ["spec.externalNetworkSelectors"]),
        ("Kubemanager", "x", ["spec"]),
        (
            "VirtualNetwork",
            {"v4SubnetReference": "s", "v6SubnetReference": {"name": 6}, "routeTargetList": 1},
            ["spec.v4SubnetReference", "spec.v6SubnetReference.name", "spec.routeTargetList"],
        ),
        ("NetworkAttachmentDefinition", {"config": {}}, ["spec.config"]),
    ],
)
def test_what_networks_are_made_of_says_which_fields_are_broken(kind, spec, fields):
    fact = fact_of({"kind": kind, "metadata": {"name": "x", "namespace": "a"}, "spec": spec})
    assert [field for field, _ in fact.malformed] == fields
    assert decode_fact(f"{kind}/a/x", encode_fact(fact)) == fact


def test_a_broken_field_leaves_the_others_as_they_are():
    fact = fact_of(obj("Subnet", spec={"cidr": "192.0.2.0/24", "defaultGateway": 1, "ranges": "all"}))
    assert (fact.cidr, fact.default_gateway, fact.ranges) == ("192.0.2.0/24", "", ())
    assert [field for field, _ in fact.malformed] == ["spec.defaultGateway", "spec.ranges"]


@pytest.mark.parametrize("what", [{}, {"kind": "ConfigMap"}, {"kind": ["Service"]}, {"kind": None, "metadata": 1}])
def test_what_we_do_not_read_is_no_fact(what):
    assert fact_of(what) is None


NIL = object()


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (NIL, (True, True, False)),
        (None, (True, True, False)),
        ({}, (True, True, False)),
        ({"ready": None, "serving": None, "terminating": None}, (True, True, False)),
        ({"ready": False}, (False, True, False)),
        ({"ready": False, "serving": False}, (False, False, False)),
        ({"ready": False, "serving": True, "terminating": True}, (False, True, True)),
    ],
)
def test_absent_endpoint_conditions(conditions, expected):
    endpoint: dict[str, Any] = {"addresses": ["10.0.0.4"]}
    if conditions is not NIL:
        endpoint["conditions"] = conditions
    found = fact_of(
        obj("EndpointSlice", metadata={"labels": {"kubernetes.io/service-name": "web"}}, endpoints=[endpoint])
    ).endpoints[0]
    assert (found.ready, found.serving, found.terminating) == expected


def test_an_endpoint_slice_in_full():
    fact = fact_of(
        obj(
            "EndpointSlice",
            metadata={
                "labels": {
                    "kubernetes.io/service-name": "web",
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                }
            },
            addressType="IPv6",
            ports=[{"name": "web", "port": 8080, "protocol": "TCP"}, {"name": None, "port": None}],
            endpoints=[
                {
                    "addresses": ["fd00::4"],
                    "nodeName": "n1",
                    "targetRef": {"kind": "Pod", "namespace": "a", "name": "p", "uid": "pu"},
                }
            ],
        )
    )
    assert (fact.service, fact.address_type, fact.managed_by) == ("web", "IPv6", "endpointslice-controller.k8s.io")
    assert [(p.name, p.protocol, p.port) for p in fact.ports] == [("web", "TCP", 8080), ("", "TCP", 0)]
    endpoint = fact.endpoints[0]
    assert (endpoint.node, endpoint.target_kind, endpoint.target_name) == ("n1", "Pod", "p")


def test_a_slice_of_no_service_concerns_nobody():
    assert fact_of(obj("EndpointSlice", endpoints=None, ports=None)) is None


def test_endpoints_only_where_the_api_server_does_not_mirror_them():
    subsets = [
        {
            "addresses": [{"ip": "172.16.23.0", "nodeName": "n1"}],
            "notReadyAddresses": [{"ip": "172.16.24.0"}],
            "ports": [{"port": 80}],
        },
        {"addresses": [{"ip": "172.16.25.0"}]},
    ]
    assert fact_of(obj("Endpoints", subsets=subsets)) is None
    fact = fact_of(
        obj("Endpoints", subsets=subsets, metadata={"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}})
    )
    first, second = fact.subsets
    assert [(e.addresses, e.ready, e.node) for e in first.endpoints] == [
        (("172.16.23.0",), True, "n1"),
        (("172.16.24.0",), False, ""),
    ]
    assert first.ports[0].port == 80
    assert second.endpoints[0].addresses == ("172.16.25.0",)


def test_pods():
    plain = obj(
        "Pod",
        spec={"nodeName": "n1"},
        status={
            "phase": "Running",
            "podIPs": [{"ip": "10.0.0.4"}, {"ip": "fd00::4"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    )
    assert fact_of(plain) is None
    fact = fact_of(plain, every_pod=True)
    assert (fact.node, fact.ips, fact.phase) == ("n1", ("10.0.0.4", "fd00::4"), "Running")
    status = '[{"name": "x"}]'
    multi = obj("Pod", metadata={"annotations": {"k8s.v1.cni.cncf.io/network-status": status}})
    assert fact_of(multi).network_status == status


def test_nodes():
    node = obj(
        "Node",
        metadata={"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}},
        status={
            "addresses": [
                {"type": "Hostname", "address": "n1"},
                {"type": "InternalIP", "address": "192.0.2.1"},
                {"type": "InternalIP", "address": "2001:db8::1"},
            ],
            "conditions": [{"type": "Ready", "status": "Unknown"}],
        },
    )
    fact = fact_of(node)
    assert (fact.full_name, fact.addresses, fact.excluded) == (
        "x",
        ("192.0.2.1", "2001:db8::1"),
        True,
    )


def test_networks_keep_what_people_typed():
    nad = fact_of(
        obj(
            "NetworkAttachmentDefinition",
            metadata={"labels": {"k": "v"}, "annotations": {"juniper.net/networks": "{broken"}},
            spec={"config": '{"type": "contrail-k8s-cni"}'},
        )
    )
    assert (nad.networks, nad.config, nad.labels) == ("{broken", '{"type": "contrail-k8s-cni"}', {"k": "v"})
    assert fact_of(obj("NetworkAttachmentDefinition")).networks is None


@pytest.mark.parametrize("version", ["v1alpha1", "v1", "v2", "v3", "v4"])
def test_a_virtual_network_of_any_version(version):
    fact = fact_of(
        obj(
            "VirtualNetwork",
            apiVersion=f"core.contrail.juniper.net/{version}",
            metadata={"annotations": {"juniper.net/nad-name": "n", "juniper.net/nad-namespace": "m"}},
            spec={
                "v4SubnetReference": {"kind": "Subnet", "name": "s4"},
                "v6SubnetReference": {"namespace": "b", "name": "s6"},
                "routeTargetList": ["target:64512:1"],
                "importRouteTargetList": "target:1:1, target:2:2",
                "exportRouteTargetList": None,
            },
        )
    )
    assert (fact.v4_subnet, fact.v6_subnet, fact.nad) == ("a/s4", "b/s6", "m/n")
    assert fact.route_targets == ("target:64512:1",)
    assert fact.import_route_targets == ("target:1:1", "target:2:2")
    assert fact.export_route_targets == ()


def test_subnet_kubemanager_and_interface():
    subnet = fact_of(
        obj(
            "Subnet",
            spec={
                "cidr": "192.0.2.0/24",
                "defaultGateway": "192.0.2.1",
                "ranges": [{"ipRanges": [{"from": "192.0.2.5", "to": "192.0.2.9"}, {"from": "192.0.2.20"}]}],
            },
        )
    )
    assert subnet.ranges == (("192.0.2.5", "192.0.2.9"), ("192.0.2.20", ""))
    selectors = {"default-external": {"networkSelector": {"matchLabels": {"a": "b"}}}, "broken": 7}
    assert (
        fact_of(obj("Kubemanager", spec={"externalNetworkSelectors": selectors})).external_network_selectors
        == selectors
    )
    interface = fact_of(
        obj(
            "VirtualMachineInterface",
            metadata={
                "annotations": {
                    "kube-manager.juniper.net/pod-name": "p",
                    "kube-manager.juniper.net/pod-namespace": "b",
                }
            },
            spec={"virtualNetworkReference": {"namespace": "b", "name": "v"}},
        )
    )
    assert (interface.pod, interface.network) == ("b/p", "b/v")


@pytest.mark.parametrize("kind", ["InstanceIP", "FloatingIP"])
def test_objects_that_we_write_are_told_from_those_of_others(kind):
    spec = {"instanceIPAddress": "192.0.2.7"}
    foreign = fact_of(obj(kind, spec=spec))
    ours = fact_of(obj(kind, spec=spec, metadata={"labels": {"app.kubernetes.io/managed-by": "ledgerlb"}}))
    assert (foreign.ours, ours.ours) == (False, True)
    assert (ours.full_name, ours.spec, ours.kind) == ("x", spec, kind)


def test_equal_objects_have_equal_bytes_whatever_the_order_of_their_keys():
    one = obj("Namespace", metadata={"labels": {"a": "1", "b": "2"}})
    two = obj("Namespace", metadata={"labels": {"b": "2", "a": "1"}, "resourceVersion": "77"})
    assert encode_fact(fact_of(one)) == encode_fact(fact_of(two))


def test_the_kind_may_come_from_outside():
    assert fact_of({"metadata": {"name": "x"}}, "Namespace").full_name == "x"


def test_newest_version_first():
    versions = ["v1alpha1", "v2", "v10", "v1beta1", "v1", "v1alpha2", "other"]
    assert newest_first(versions) == ["v10", "v2", "v1", "v1beta1", "v1alpha2", "v1alpha1", "other"]


def test_paths():
    assert BY_KIND["Service"].path("v1") == "/api/v1/services"
    assert BY_KIND["Service"].path("v1", "a", "x", "status") == "/api/v1/namespaces/a/services/x/status"
    assert BY_KIND["FloatingIP"].path("v4", "a", "x") == "/apis/core.contrail.juniper.net/v4/floatingips/x"
    assert len({kind.kind for kind in WATCHED}) == 15


@pytest.mark.parametrize(
    ("value", "excluded"), [("", True), ("true", True), ("yes", True), ("false", False), ("False", False)]
)
def test_a_label_that_says_false_excludes_no_node(value, excluded):
    labels = {"node.kubernetes.io/exclude-from-external-load-balancers": value}
    assert fact_of({"kind": "Node", "metadata": {"name": "n1", "labels": labels}}).excluded is excluded
