"""The chart: what it renders, and what it refuses to."""

import json
import re
import subprocess

import pytest
import yaml

from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer.settings import ProgrammerSettings
from ledgerlb.kube.kinds import WATCHED
from tests.unit.packaging.tree import ROOT, read

CHART = ROOT / "helm" / "ledgerlb"


def helm(*arguments, check=True):
    """helm is built at its first use where there is none, which takes about a minute."""
    done = subprocess.run(
        [ROOT / "scripts" / "helm.sh", *arguments], capture_output=True, text=True, check=False, timeout=580
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def render(*settings, release="ledgerlb"):
    arguments = [part for setting in settings for part in ("--set-json", setting)]
    return list(yaml.safe_load_all(helm("template", release, str(CHART), "--namespace", "lb", *arguments).stdout))


def by_kind(objects, kind):
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


@pytest.fixture(scope="module")
def default():
    return render()


@pytest.fixture(scope="module")
def with_agent():
    return render("agent.enabled=true", 'agent.backend="fabric-linux"', 'agent.nodeSelector={"role":"gateway"}')


def pod_specs(objects):
    return {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]
        for item in objects
        if item["kind"] in {"Deployment", "DaemonSet", "Job"}
    }


def test_lint_finds_nothing():
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART)).stdout


def test_every_service_is_deployed_and_no_agent_unless_asked_for(default, with_agent):
    names = {"ledgerlb-watcher", "ledgerlb-network-selector", "ledgerlb-ipam", "ledgerlb-planner"}
    assert set(by_kind(default, "Deployment")) == names
    assert by_kind(default, "DaemonSet") == {}
    assert set(by_kind(with_agent, "DaemonSet")) == {"ledgerlb-agent"}


def test_selectors_meet_their_pods_and_no_other_ones(with_agent):
    owners = [item for item in with_agent if item["kind"] in {"Deployment", "DaemonSet"}]
    for owner in owners:
        wanted = owner["spec"]["selector"]["matchLabels"].items()
        matching = [other for other in owners if wanted <= other["spec"]["template"]["metadata"]["labels"].items()]
        assert matching == [owner]


def test_two_releases_do_not_share_a_name():
    def names(objects):
        # The definition of AddressPools belongs to the first release, which the second one sees.
        kinds = ((item["kind"], item["metadata"]["name"]) for item in objects)
        return {name for name in kinds if name[0] != "CustomResourceDefinition"}

    assert not names(render(release="one")) & names(render(release="two"))


class TestRights:
    def test_only_the_watcher_has_an_account(self, with_agent):
        assert set(by_kind(with_agent, "ServiceAccount")) == {"ledgerlb-watcher"}
        holders = {name for name, spec in pod_specs(with_agent).items() if spec["automountServiceAccountToken"]}
        assert holders == {"ledgerlb-watcher"}
        (binding,) = by_kind(with_agent, "ClusterRoleBinding").values()
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "ledgerlb-watcher", "namespace": "lb"}]

    def test_no_rule_has_a_wildcard(self, default):
        (role,) = by_kind(default, "ClusterRole").values()
        assert "*" not in json.dumps(role["rules"])

    def test_everything_watched_may_be_watched_and_nothing_else(self, default):
        (role,) = by_kind(default, "ClusterRole").values()
        readable = {
            (group, resource)
            for rule in role["rules"]
            if {"list", "watch"} <= set(rule["verbs"])
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        assert readable == {(kind.group, kind.plural) for kind in WATCHED}

    def test_what_may_be_written_is_the_status_events_and_cn2s_objects(self, default):
        (role,) = by_kind(default, "ClusterRole").values()
        writable = {
            (resource, verb)
            for rule in role["rules"]
            for resource in rule["resources"]
            for verb in set(rule["verbs"]) - {"get", "list", "watch"}
        }
        objects = ("virtualnetworks", "subnets", "instanceips", "floatingips")
        assert writable == {
            ("services/status", "patch"),
            ("events", "create"),
            ("network-attachment-definitions", "patch"),
            ("addresspools/status", "patch"),
            *((resource, verb) for resource in objects for verb in ("create", "patch", "delete")),
        }

    def test_rights_can_be_left_to_somebody_else(self):
        objects = render("rbac.create=false", "serviceAccount.create=false", 'serviceAccount.name="theirs"')
        assert not by_kind(objects, "ClusterRole")
        assert not by_kind(objects, "ServiceAccount")
        assert pod_specs(objects)["ledgerlb-watcher"]["serviceAccountName"] == "theirs"


class TestPods:
    def test_run_without_rights_to_spare(self, default):
        for name, spec in pod_specs(default).items():
            assert spec["securityContext"]["runAsNonRoot"] is True, name
            assert spec["securityContext"]["runAsUser"] > 0, name
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
            for container in spec["containers"]:
                assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
                assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name

    def test_an_agent_that_sets_routes_has_one_capability_on_the_chosen_nodes(self, with_agent):
        spec = pod_specs(with_agent)["ledgerlb-agent"]
        assert spec["hostNetwork"] is True
        assert spec["nodeSelector"] == {"role": "gateway"}
        (container,) = spec["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True

    def test_an_agent_that_only_records_has_none(self):
        spec = pod_specs(render("agent.enabled=true"))["ledgerlb-agent"]
        assert spec["hostNetwork"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}

    def test_are_probed_where_they_listen(self, with_agent):
        for name, spec in pod_specs(with_agent).items():
            (container,) = spec["containers"]
            if name == "ledgerlb-topics":
                continue
            environment = {item["name"]: item.get("value") for item in container["env"]}
            assert {port["name"]: str(port["containerPort"]) for port in container["ports"]} == {
                "http": environment["LEDGERLB_HTTP_PORT"]
            }
            assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
            assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}

    def test_mount_what_they_name(self, with_agent):
        for name, spec in pod_specs(with_agent).items():
            volumes = {volume["name"] for volume in spec.get("volumes", [])}
            for container in spec["containers"]:
                assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes, name

    def test_reach_the_brokers_of_the_values(self):
        specs = pod_specs(render('kafka.bootstrapServers=["a:9092","b:9093"]', "agent.enabled=true"))
        assert len(specs) == 6
        for spec in specs.values():
            environment = {item["name"]: item.get("value") for item in spec["containers"][0]["env"]}
            assert environment["LEDGERLB_LOG"] == "kafka://a:9092,b:9093"

    def test_use_the_kafka_security_of_the_values(self):
        values = (
            'kafka.tls={"secretName":"kafka-tls","clientCertificate":true}',
            'kafka.sasl={"mechanism":"SCRAM-SHA-512","username":"lb","secretName":"kafka-password"}',
            "kafka.insecure=false", "agent.enabled=true",
        )  # fmt: skip
        specs = pod_specs(render(*values))
        assert len(specs) == 6
        for name, spec in specs.items():
            (container,) = spec["containers"]
            environment = {item["name"]: item.get("value") for item in container["env"]}
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            volumes = {volume["name"]: volume for volume in spec["volumes"]}
            for variable, secret in (
                ("TLS_CA", "kafka-tls"), ("TLS_CERT", "kafka-tls"), ("TLS_KEY", "kafka-tls"),
                ("SASL_PASSWORD_FILE", "kafka-password"),
            ):  # fmt: skip
                folder = environment[f"LEDGERLB_LOG_{variable}"].rpartition("/")[0]
                assert volumes[mounts[folder]]["secret"]["secretName"] == secret, (name, variable)
            assert environment["LEDGERLB_LOG_SASL_MECHANISM"] == "SCRAM-SHA-512"
            assert environment["LEDGERLB_LOG_SASL_USERNAME"] == "lb"
            assert environment["LEDGERLB_LOG_INSECURE"] == "false"

    def test_use_kafka_as_their_own_user_where_the_values_name_one(self):
        values = (
            'kafka.tls={"secretName":"kafka-tls","clientCertificate":true}',
            'kafka.sasl={"mechanism":"SCRAM-SHA-512","username":"lb","secretName":"kafka-password"}',
            'kafka.users.ipam={"username":"lb-ipam","secretName":"ipam-password","tlsSecretName":"ipam-tls"}',
            'kafka.users.topics={"username":"lb-topics"}',
            "agent.enabled=true",
        )
        found = {}
        for name, spec in pod_specs(render(*values)).items():
            environment = {item["name"]: item.get("value") for item in spec["containers"][0]["env"]}
            secrets = {
                volume["name"]: volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume
            }
            found[name] = (environment["LEDGERLB_LOG_SASL_USERNAME"], secrets["kafka-sasl"], secrets["kafka-tls"])
        shared = ("lb", "kafka-password", "kafka-tls")
        assert found.pop("ledgerlb-ipam") == ("lb-ipam", "ipam-password", "ipam-tls")
        assert found.pop("ledgerlb-topics") == ("lb-topics", "kafka-password", "kafka-tls")
        assert set(found.values()) == {shared}
        assert len(found) == 4

    def test_planner_and_agent_are_one_image_in_two_roles(self, with_agent):
        specs = pod_specs(with_agent)
        for name, role in (("ledgerlb-planner", "planner"), ("ledgerlb-agent", "agent")):
            environment = {item["name"]: item for item in specs[name]["containers"][0]["env"]}
            assert environment["LEDGERLB_ROLES"]["value"] == role
        assert environment["LEDGERLB_BACKEND"]["value"] == "fabric-linux"
        assert environment["LEDGERLB_FABRIC_ALLOW_HOST_NAMESPACE"]["value"] == "true"
        # One name a node: two agents of one name would answer for each other.
        assert environment["LEDGERLB_AGENT_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
        assert {"roles", "backend", "agent_name", "fabric_allow_host_namespace"} <= set(ProgrammerSettings.model_fields)

    def test_images_are_those_of_the_values(self):
        specs = pod_specs(render('image.registry="r.example:5000"', 'image.tag="7"', "agent.enabled=true"))
        images = {spec["containers"][0]["image"] for spec in specs.values()}
        members = ROOT.glob("services/*/pyproject.toml")
        built = {path.parent.name for path in members if "[project.scripts]" in path.read_text("utf-8")}
        assert images == {f"r.example:5000/ledgerlb/{name}:7" for name in built}


class TestSettings:
    def test_the_default_values_are_the_defaults_of_the_code(self, default):
        (config,) = by_kind(default, "ConfigMap").values()
        said = yaml.safe_load(config["data"]["settings.yaml"])
        assert DomainSettings.model_validate(said) == DomainSettings()
        assert set(said) == set(DomainSettings().model_dump(by_alias=True))

    def test_every_setting_is_in_the_schema(self):
        schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))["properties"]["settings"]["properties"]
        said = DomainSettings().model_dump(by_alias=True)
        assert set(schema) == set(said)
        for key, value in said.items():
            if isinstance(value, dict) and "properties" in schema[key]:
                assert set(schema[key]["properties"]) == set(value)

    def test_selectors_reach_the_services(self):
        selectors = {"default-external": {"networkSelector": {"matchLabels": {"a": "b"}}}}
        objects = render(f"settings.externalNetworkSelectors={json.dumps(selectors)}")
        (config,) = by_kind(objects, "ConfigMap").values()
        made = DomainSettings.model_validate(yaml.safe_load(config["data"]["settings.yaml"]))
        assert made.external_network_selectors == selectors

    def test_changed_settings_restart_the_pods(self, default):
        changed = render("settings.multus=true")

        def annotations(objects):
            return {
                name: item["spec"]["template"]["metadata"]["annotations"]
                for name, item in by_kind(objects, "Deployment").items()
            }

        before, after = annotations(default), annotations(changed)
        assert all(before[name] != after[name] for name in before)

    @pytest.mark.parametrize(
        ("setting", "named"),
        [
            ('settings.quarantine="5m"', "quarantine"),
            ('settings.defaults.lease="a day"', "lease"),
            ('kafka.bootstrapServers=["kafka"]', "bootstrapServers"),
            ("kafka.bootstrapServers=[]", "bootstrapServers"),
            ('agent.backend="iptables"', "backend"),
            ("nonsense=1", "nonsense"),
            ("ipam.replicas=-1", "replicas"),
        ],
    )
    def test_bad_values_are_refused_by_name(self, setting, named):
        done = helm("template", "ledgerlb", str(CHART), "--set-json", setting, check=False)
        assert done.returncode != 0
        assert named in done.stderr


def test_the_topics_job_runs_before_anything_else_and_can_be_left_out(default):
    (job,) = by_kind(default, "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["topics", "apply", "--replication", "3"]
    assert by_kind(render("topics.job=false"), "Job") == {}


def test_versions_are_those_of_the_packages():
    chart = yaml.safe_load(read("helm/ledgerlb/Chart.yaml"))
    version = re.findall(r'^version = "([^"]+)"', read("pyproject.toml"), re.MULTILINE)[0]
    assert (chart["version"], chart["appVersion"]) == (version, version)


class TestDefinitions:
    def test_are_left_to_the_cluster_unless_asked_for(self, default):
        assert set(by_kind(default, "CustomResourceDefinition")) == {"addresspools.ledgerlb.io"}
        assert by_kind(render("crds.addressPools=false"), "CustomResourceDefinition") == {}

    def test_rights_on_pools_come_with_their_definition(self, default):
        (role,) = by_kind(default, "ClusterRole").values()
        (less,) = by_kind(render("crds.addressPools=false"), "ClusterRole").values()
        assert "addresspools" in json.dumps(role["rules"])
        assert "addresspools" not in json.dumps(less["rules"])

    def test_are_those_of_the_examples_and_outlive_the_release(self):
        examples = {
            crd["metadata"]["name"]: crd
            for crd in (yaml.safe_load(path.read_text("utf-8")) for path in sorted(ROOT.glob("examples/crds/*.yaml")))
        }
        rendered = by_kind(render("crds.install=true"), "CustomResourceDefinition")
        assert rendered.keys() == examples.keys()
        for name, crd in rendered.items():
            assert crd["spec"] == examples[name]["spec"]
            assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_each_component_gets_its_own_signing_key_and_all_get_the_trusted_ones():
    objects = render(
        "agent.enabled=true",
        'signing={"secrets":{"ipam":"k-ipam","planner":"k-planner","agent":"k-agent"},"trustedConfigMap":"trusted"}',
    )
    specs = {name: spec for name, spec in pod_specs(objects).items() if not name.endswith("-topics")}
    keys = {}
    for name, spec in specs.items():
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        environment = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
        assert volumes["trusted-keys"]["configMap"]["name"] == "trusted"
        assert environment["LEDGERLB_TRUSTED_KEYS_FILE"] == f"{mounts['trusted-keys']}/trusted.json"
        if "signing-key" in volumes:
            assert environment["LEDGERLB_SIGNING_KEY_FILE"] == f"{mounts['signing-key']}/signing.pem"
            keys[name] = volumes["signing-key"]["secret"]["secretName"]
    assert keys == {"ledgerlb-ipam": "k-ipam", "ledgerlb-planner": "k-planner", "ledgerlb-agent": "k-agent"}


def test_without_keys_nothing_is_mounted(default):
    for spec in pod_specs(default).values():
        assert not {"signing-key", "trusted-keys"} & {volume["name"] for volume in spec.get("volumes", ())}
