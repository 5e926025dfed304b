"""The seeded script: which edit comes next, given what it has made of the cluster so far."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Self

from tests.builders import objects
from tests.integration.random_edits import estate
from tests.integration.random_edits.editor import MERGE, Call, Edit
from tests.integration.random_edits.estate import NETWORKS, SERVICE_NAMESPACES, Network
from tests.support import kube_objects as kube
from tests.support.kube_objects import NETWORK_ANNOTATION, SELECTOR_ANNOTATION, Object, path_of

ADDRESSES: Final = "ledgerlb.io/addresses"
SHARING_KEY: Final = "ledgerlb.io/sharing-key"
_PORTS: Final = (80, 443, 8080, 8443, 9000)
_KEYS: Final = ("", "", "k1", "k2")
_BACKENDS: Final = tuple((f"10.20.{node}.{pod}", f"node-{node}") for node in (1, 2, 3, 4) for pod in (1, 2))


class Script:
    """See module. An iterator without end; the same seed gives the same edits as long as the API server does what they
    ask."""

    def __init__(self, seed: int, services: int) -> None:
        self._random = random.Random(seed)
        self._networks: dict[str, Network] = {network.name: network for network in NETWORKS}
        self._gone_networks: dict[str, Network] = {}
        self._forms = dict.fromkeys(estate.SELECTORS, 0)
        self._namespaces = [SERVICE_NAMESPACES[number % len(SERVICE_NAMESPACES)] for number in range(services)]
        self.services: dict[str, Object] = {}
        self._gone_services: dict[str, Object] = {}
        self._number = 0

    # The start

    def first_services(self) -> list[Object]:
        """The Services that there are before anything is edited, each with its slice."""
        found = []
        for namespace in self._namespaces:
            service = self._new_service(namespace)
            found += [service, self._slice(service)]
        return found

    def _new_service(self, namespace: str) -> Object:
        name = f"svc-{self._number:05}"
        self._number += 1
        choose = self._random
        family = choose.choices(("4", "6", "4+", "6+", "46", "64"), (70, 6, 8, 3, 10, 3))[0]
        spec = _families(family)
        ports = choose.sample(_PORTS, choose.choice((1, 1, 2)))
        spec["ports"] = [_port(number) for number in sorted(ports)]
        annotations = self._wishes()
        service = objects.service(f"{namespace}/{name}", annotations, allocateLoadBalancerNodePorts=False, **spec)
        self.services[f"{namespace}/{name}"] = service
        return service

    def _wishes(self) -> dict[str, str]:
        """Annotations of a Service: most say nothing, some name a network or a selector, a few an address or a key."""
        choose = self._random
        found: dict[str, str] = {}
        what = choose.random()
        if what < 0.14:
            found[NETWORK_ANNOTATION] = self._some_network_name()
        elif what < 0.34:
            found[SELECTOR_ANNOTATION] = self._some_selector_name()
        if choose.random() < 0.04:
            found[ADDRESSES] = self._some_address()
        if choose.random() < 0.10:
            found[SHARING_KEY] = choose.choice(("k1", "k2"))
        return found

    def _some_network_name(self) -> str:
        choose = self._random
        if choose.random() < 0.04:
            return choose.choice(("nets-a/none", "a/b/c", "", "no-such-network"))
        if choose.random() < 0.1:
            return "own"  # in the Service's own namespace: most have none
        return choose.choice(NETWORKS).name

    def _some_selector_name(self) -> str:
        return self._random.choice((*estate.SELECTORS, "gold", "silver", "own", "unknown"))

    def _some_address(self) -> str:
        choose = self._random
        prefix = choose.choice([network.v4 for network in NETWORKS if network.v4])
        base, _, _ = prefix.rpartition(".")
        # Low ones: taken, reserved, quarantined or outside as often as free.
        return f"{base}.{choose.randrange(40)}" if choose.random() < 0.95 else "not-an-address"

    def _slice(self, service: Object) -> Object:
        metadata = service["metadata"]
        backends = self._random.sample(_BACKENDS, self._random.randrange(4))
        return kube.endpoint_slice(metadata["namespace"], metadata["name"], backends)

    # Edits

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Edit:
        kinds: tuple[tuple[int, Callable[[], Edit | None]], ...] = (
            (150, self._create_service), (130, self._delete_service), (60, self._recreate_service),
            (170, self._annotate_service), (60, self._change_type), (60, self._change_families),
            (60, self._change_ports), (140, self._change_endpoints),
            (40, self._annotate_namespace), (25, self._label_namespace), (4, self._annotate_contrail),
            (12, self._edit_kubemanager),
            (12, self._delete_network), (16, self._recreate_network), (12, self._relabel_network),
            (12, self._break_network), (12, self._change_terms),
        )  # fmt: skip
        makers, weights = [make for _, make in kinds], [weight for weight, _ in kinds]
        while True:
            edit = self._random.choices(makers, weights)[0]()
            if edit is not None:
                return edit

    def _any_service(self) -> tuple[str, Object]:
        name = self._random.choice(sorted(self.services))
        return name, self.services[name]

    def _create_service(self) -> Edit:
        service = self._new_service(self._random.choice(SERVICE_NAMESPACES))
        return self._creation("service created", service)

    def _creation(self, what: str, service: Object) -> Edit:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        full = f"{namespace}/{name}"

        def undo() -> None:
            self.services.pop(full, None)
            self._gone_services[full] = service

        slice_ = self._slice(service)
        calls = [Call("POST", path_of("Service", namespace), copy.deepcopy(service), undo=undo)]
        calls.append(Call("POST", path_of("EndpointSlice", namespace), slice_))
        return Edit(what, full, calls)

    def _delete_service(self) -> Edit:
        full, service = self._any_service()
        del self.services[full]
        self._gone_services[full] = service
        namespace, _, name = full.partition("/")
        calls = [Call("DELETE", path_of("Service", namespace, name))]
        calls.append(Call("DELETE", path_of("EndpointSlice", namespace, f"{name}-slice")))
        return Edit("service deleted", full, calls)

    def _recreate_service(self) -> Edit | None:
        if not self._gone_services:
            return None
        full = self._random.choice(sorted(self._gone_services))
        service = _fresh(self._gone_services.pop(full))
        if self._random.random() < 0.5:
            service["metadata"]["annotations"] = self._wishes()
        self.services[full] = service
        return self._creation("service made again", service)

    def _patch_service(self, what: str, full: str, body: Object) -> Edit:
        namespace, _, name = full.partition("/")
        return Edit(what, full, [Call("PATCH", path_of("Service", namespace, name), body, MERGE)])

    def _annotate_service(self) -> Edit:
        full, _ = self._any_service()
        choose = self._random
        said: dict[str, str | None]
        match choose.choices(("network", "selector", "none", "address", "key", "other"), (5, 5, 4, 2, 3, 1))[0]:
            case "network":
                said = {NETWORK_ANNOTATION: self._some_network_name()}
            case "selector":
                said = {SELECTOR_ANNOTATION: self._some_selector_name(), NETWORK_ANNOTATION: None}
            case "none":
                said = {NETWORK_ANNOTATION: None, SELECTOR_ANNOTATION: None}
            case "address":
                said = {ADDRESSES: self._some_address() if choose.random() < 0.6 else None}
            case "key":
                said = {SHARING_KEY: choose.choice(_KEYS) or None}
            case _:
                said = {"example.com/note": str(choose.randrange(1000))}
        return self._patch_service("service annotated", full, {"metadata": {"annotations": said}})

    def _change_type(self) -> Edit:
        full, service = self._any_service()
        others = sorted(name for name, one in self.services.items() if one["spec"]["type"] != "LoadBalancer")
        if others and self._random.random() < 0.4:
            full = self._random.choice(others)
            service = self.services[full]
        was = service["spec"]["type"]
        new = "ClusterIP" if was == "LoadBalancer" else "LoadBalancer"
        spec: Object = {"type": new, "allocateLoadBalancerNodePorts": False if new == "LoadBalancer" else None}
        service["spec"]["type"] = new
        return self._patch_service(f"service made {new}", full, {"spec": spec})

    def _change_families(self) -> Edit:
        full, service = self._any_service()
        policy = self._random.choice(("SingleStack", "PreferDualStack", "RequireDualStack"))
        service["spec"]["ipFamilyPolicy"] = policy
        return self._patch_service("families changed", full, {"spec": {"ipFamilyPolicy": policy}})

    def _change_ports(self) -> Edit:
        full, _ = self._any_service()
        ports = self._random.sample(_PORTS, self._random.choice((1, 2)))
        return self._patch_service("ports changed", full, {"spec": {"ports": [_port(n) for n in sorted(ports)]}})

    def _change_endpoints(self) -> Edit:
        full, service = self._any_service()
        namespace, _, name = full.partition("/")
        body = {"endpoints": self._slice(service)["endpoints"]}
        return Edit(
            "endpoints changed",
            full,
            [Call("PATCH", path_of("EndpointSlice", namespace, f"{name}-slice"), body, MERGE)],
        )

    def _annotate_namespace(self) -> Edit:
        name = self._random.choice(SERVICE_NAMESPACES)
        return self._namespace_edit("namespace annotated", name, {"annotations": self._namespace_wishes()})

    def _annotate_contrail(self) -> Edit:
        said = self._namespace_wishes()
        return self._namespace_edit("contrail namespace annotated", estate.CONTRAIL, {"annotations": said})

    def _namespace_wishes(self) -> dict[str, str | None]:
        said: dict[str, str | None] = {NETWORK_ANNOTATION: None, SELECTOR_ANNOTATION: None}
        what = self._random.random()
        if what < 0.3:
            said[NETWORK_ANNOTATION] = self._some_network_name()
        elif what < 0.6:
            said[SELECTOR_ANNOTATION] = self._some_selector_name()
        return said

    def _label_namespace(self) -> Edit:
        name = self._random.choice((*SERVICE_NAMESPACES, *estate.NET_NAMESPACES, *estate.NET_NAMESPACES))
        label = self._random.choice(({"team": "a"}, {"team": "b"}, {"team": "c"}, {"zone": "one"}, {"zone": "two"}))
        return self._namespace_edit("namespace labelled", name, {"labels": label})

    def _namespace_edit(self, what: str, name: str, metadata: Object) -> Edit:
        body = {"metadata": metadata}
        return Edit(what, f"namespace {name}", [Call("PATCH", path_of("Namespace", "", name), body, MERGE)])

    def _edit_kubemanager(self) -> Edit:
        name = self._random.choice(sorted(estate.SELECTORS))
        self._forms[name] = self._random.randrange(len(estate.SELECTORS[name]))
        found = estate.kubemanager(self._forms)
        path = path_of("Kubemanager", estate.CONTRAIL, found["metadata"]["name"])
        # A merge patch joins what stands: what is not to be is named with null, selectors are taken off first.
        selectors: Object = dict.fromkeys(estate.SELECTORS)
        empty = {"spec": {"externalNetworkSelectors": selectors}}
        whole = {"spec": found["spec"]}
        if self._random.random() < 0.5:
            whole = {"spec": {"externalNetworkSelectors": {name: found["spec"]["externalNetworkSelectors"].get(name)}}}
            empty = {"spec": {"externalNetworkSelectors": {name: None}}}
        calls = [Call("PATCH", path, empty, MERGE), Call("PATCH", path, whole, MERGE)]
        return Edit("kubemanager edited", "kubemanager", calls)

    # Networks

    def _some_network(self) -> Network | None:
        # The default ones hold most Services: they change seldom.
        names = sorted(self._networks)
        if not names:
            return None
        weights = [1 if name.startswith("contrail/") else 8 for name in names]
        return self._networks[self._random.choices(names, weights)[0]]

    def _delete_network(self) -> Edit | None:
        network = self._some_network()
        if network is None or len(self._gone_networks) > 6:
            return None
        del self._networks[network.name]
        self._gone_networks[network.name] = network
        calls = [Call("DELETE", path_of(*_place(obj))) for obj in reversed(network.objects())]
        return Edit("network deleted", f"network {network.name}", calls)

    def _recreate_network(self) -> Edit | None:
        if not self._gone_networks:
            return None
        name = self._random.choice(sorted(self._gone_networks))
        before = self._gone_networks.pop(name)
        network = estate.renewed(before, other=self._random.random() < 0.5)
        self._networks[name] = network

        def undo() -> None:
            self._networks.pop(name, None)
            self._gone_networks[name] = before

        calls = [Call("POST", path_of(*_place(obj)[:2]), obj) for obj in network.objects()]
        calls[-1].undo = undo
        return Edit("network made again", f"network {name}", calls)

    def _network_edit(self, what: str, network: Network, body: Object) -> Edit:
        self._networks[network.name] = network
        return Edit(what, f"network {network.name}", [Call("PATCH", path_of(*network.owner()), body, MERGE)])

    def _relabel_network(self) -> Edit | None:
        network = self._some_network()
        if network is None:
            return None
        label = self._random.choice(("gold", "silver", "bronze", "iron", ""))
        before = dict(network.labels)
        labels = {"tier": label} if label else {}
        if before.keys() & {"own"} or (before and "tier" not in before and self._random.random() < 0.7):
            labels = before if self._random.random() < 0.5 else {}
        said = {**dict.fromkeys(before), **labels}
        changed = replace(network, labels=tuple(labels.items()))
        return self._network_edit("network relabelled", changed, {"metadata": {"labels": said}})

    def _break_network(self) -> Edit | None:
        """Its JSON (or the prefix of its Subnet) does not parse, or does again."""
        network = self._some_network()
        if network is None:
            return None
        changed = replace(network, broken=not network.broken and self._random.random() < 0.6)
        what = "network broken" if changed.broken else "network mended"
        if changed.form == "nad":
            body = {"metadata": {"annotations": {"juniper.net/networks": changed.nad_json()}}}
            return self._network_edit(what, changed, body)
        self._networks[network.name] = changed
        subnet = changed.objects()[0]
        body = {"spec": {"cidr": subnet["spec"]["cidr"]}}
        return Edit(what, f"network {network.name}", [Call("PATCH", path_of(*_place(subnet)), body, MERGE)])

    def _change_terms(self) -> Edit | None:
        """Who is allowed, how many, what is excluded: narrowed, widened, or nonsense."""
        network = self._some_network()
        if network is None:
            return None
        key, values = self._random.choice(
            (
                ("ledgerlb.io/allowed-namespaces", ("team=a", "team in (a,b)", "zone", "", None, None)),
                ("ledgerlb.io/quota-per-namespace", ("1", "4", "50", "many", None, None)),
                ("ledgerlb.io/exclude", (_low_part(network), None, None, "10.0.0.300")),
                ("ledgerlb.io/quarantine", (f"{estate.SHORT_QUARANTINE}s", "0s", "10m", None)),
            )
        )
        value = self._random.choice(values)
        kept = {name: said for name, said in network.annotations if name != key}
        annotations = {**kept, key: value} if value is not None else kept
        changed = replace(network, annotations=tuple(annotations.items()))
        return self._network_edit("network's terms changed", changed, {"metadata": {"annotations": {key: value}}})


def _low_part(network: Network) -> str | None:
    prefix = network.v4 or network.v6
    base, _, _ = prefix.partition("/")
    return f"{base.rpartition('.')[0]}.2-{base.rpartition('.')[0]}.6" if network.v4 else f"{base}4"


def _place(obj: Object) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]


def _fresh(service: Object) -> Object:
    """The Service as it can be created, whatever its type and families were changed to."""
    spec = {**service["spec"], "type": "LoadBalancer"}
    if spec["ipFamilyPolicy"] == "SingleStack":
        spec["ipFamilies"] = spec["ipFamilies"][:1]
    return {**service, "metadata": dict(service["metadata"]), "spec": spec}


def _port(number: int) -> Object:
    return {"name": f"p{number}", "protocol": "TCP", "port": number, "targetPort": 8080}


def _families(what: str) -> Object:
    named = {"4": "IPv4", "6": "IPv6"}
    families = [named[letter] for letter in what if letter in named]
    policy = "PreferDualStack" if "+" in what else "RequireDualStack" if len(families) > 1 else "SingleStack"
    return {"ipFamilies": families, "ipFamilyPolicy": policy}
