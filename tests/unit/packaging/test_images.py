"""The service images and the composed system, as far as their files tell."""

import re
import subprocess
import sys

import pytest
import yaml

from ledgerlb.core.settings import DomainSettings
from tests.unit.packaging.tree import ROOT, read

SERVICES = sorted(
    path.parent.name
    for path in ROOT.glob("services/*/pyproject.toml")
    if "[project.scripts]" in path.read_text("utf-8")
)
LONG_RUNNING = {"watcher", "network-selector", "ipam", "planner", "agent"}


def compose(*files):
    """The model that docker compose would see, without needing docker: anchors and merges resolved."""
    return [yaml.load(read(file), Loader=_Loader) for file in files]


class _Loader(yaml.SafeLoader):
    pass


_LoaderReset = object()
_Loader.add_constructor("!reset", lambda loader, node: _LoaderReset)


def default_of(text):
    """``${NAME:-default}`` as compose reads it when nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def shell(script):
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def members(*arguments):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "members.py", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.split()


class TestDockerfile:
    def test_there_is_one(self):
        assert [str(path.relative_to(ROOT)) for path in ROOT.glob("*/**/Dockerfile") if ".cache" not in path.parts] == [
            str(path.relative_to(ROOT)) for path in ROOT.glob("tests/images/*/Dockerfile")
        ]
        assert (ROOT / "Dockerfile").is_file()

    def test_rests_on_a_public_image_that_may_be_another(self):
        assert f"ARG BASE_IMAGE={shell('. scripts/lib.sh; public_image python')}\n" in read("Dockerfile")
        assert set(re.findall(r"^FROM (\S+)", read("Dockerfile"), re.MULTILINE)) <= {"${BASE_IMAGE}", "packages"}

    def test_runs_as_nobody_in_particular(self):
        final = read("Dockerfile").rpartition("\nFROM ")[2]
        users = re.findall(r"^USER (\S+)", final, re.MULTILINE)
        assert users
        assert int(users[-1].split(":")[0]) > 0

    def test_installs_by_hash_and_leaves_no_installer_behind(self):
        installs = [line for line in read("Dockerfile").replace("\\\n", " ").splitlines() if "pip install" in line]
        assert installs
        assert all("--require-hashes" in line or "--no-index" in line for line in installs)
        final = read("Dockerfile").rpartition("\nFROM ")[2]
        assert "pip install" not in final
        assert "pip uninstall" in final

    def test_what_comes_before_the_service_is_the_same_layer_for_all(self):
        assert (
            "SERVICE"
            not in re.search(r"^FROM \S+ AS packages\n.*?^FROM", read("Dockerfile"), re.DOTALL | re.MULTILINE)[0]
        )

    @pytest.mark.parametrize("service", SERVICES)
    def test_holds_what_the_service_imports_and_starts_it(self, service):
        """``test_members`` asserts that every member declares what it imports."""

        def needs(name):
            folder = next(iter(ROOT.glob(f"[ls]*/{name}")))
            found = {str(folder)}
            declared = (folder / "pyproject.toml").read_text("utf-8").partition("dependencies = [")[2].partition("]")[0]
            for sibling in re.findall(r'"ledgerlb-([\w-]+)"', declared):
                found |= needs(sibling)
            return found

        status, folders = members(service)
        assert status == 0
        assert set(folders) == needs(service)
        assert members("--command", service) == (0, ["ledgerlb" if service == "cli" else f"ledgerlb-{service}"])

    @pytest.mark.parametrize("arguments", [(), ("nobody",), ("../x",), ("--command", "nobody")])
    def test_another_service_is_refused(self, arguments):
        assert members(*arguments)[0] != 0


class TestCompose:
    @pytest.fixture
    def services(self):
        return compose("docker-compose.yml")[0]["services"]

    def test_runs_the_broker_the_topics_and_every_service(self, services):
        assert set(services) == LONG_RUNNING | {"kafka", "topics"}

    def test_third_party_images_are_public_ones_by_default(self, services):
        assert default_of(services["kafka"]["image"]) == shell(". scripts/lib.sh; public_image kafka")
        for name in LONG_RUNNING | {"topics"}:
            if "build" in services[name]:
                assert default_of(services[name]["build"]["args"]["BASE_IMAGE"]) == shell(
                    ". scripts/lib.sh; public_image python"
                )

    def test_images_are_those_that_make_up_builds(self, services):
        for name in LONG_RUNNING | {"topics"}:
            service = default_of(services[name]["image"]).partition("/")[2].partition(":")[0]
            assert service in SERVICES
            if "build" in services[name]:
                assert services[name]["build"]["args"]["SERVICE"] == service

    def test_every_service_tells_whether_it_is_well(self, services):
        for name in LONG_RUNNING:
            assert "/healthz" in " ".join(services[name]["healthcheck"]["test"])
            assert services[name]["environment"]["LEDGERLB_HTTP_PORT"] == "8080"
            assert services[name]["environment"]["LEDGERLB_HTTP_HOST"] == "0.0.0.0"

    def test_ports_are_published_on_loopback_only(self, services):
        ports = [port for service in services.values() for port in service.get("ports", [])]
        assert len(ports) == len(LONG_RUNNING) + 1
        assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
        hosts = [default_of(port).split(":")[1] for port in ports]
        assert len(set(hosts)) == len(hosts)

    def test_every_service_comes_back_and_starts_after_the_topics_are_there(self, services):
        for name in LONG_RUNNING:
            assert services[name]["restart"] == "unless-stopped"
            assert services[name]["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
        assert services["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}

    def test_the_log_is_kept_and_topics_come_only_from_their_declaration(self, services):
        assert services["kafka"]["volumes"] == ["kafka:/var/lib/kafka/data"]
        assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
        assert services["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"

    def test_only_the_watcher_has_credentials(self, services):
        holders = {name for name, service in services.items() if "kubeconfig" in str(service).lower()}
        assert holders == {"watcher"}

    def test_containers_have_no_rights_to_spare(self, services):
        for name in LONG_RUNNING | {"topics"}:
            assert services[name]["read_only"] is True
            assert services[name]["cap_drop"] == ["ALL"]
            assert services[name]["security_opt"] == ["no-new-privileges:true"]

    def test_the_loopback_override_touches_the_watcher_alone(self):
        override = compose("docker-compose.loopback.yml")[0]["services"]
        assert set(override) == {"watcher"}
        assert override["watcher"]["network_mode"] == "host"
        assert override["watcher"]["ports"] is _LoaderReset
        assert override["watcher"]["environment"]["LEDGERLB_HTTP_HOST"] == "127.0.0.1"

    def test_the_settings_that_it_mounts_are_the_defaults(self):
        said = yaml.safe_load(read("docker-compose.settings.yaml"))
        assert DomainSettings.model_validate(said) == DomainSettings()
        assert set(said) == set(DomainSettings().model_dump(by_alias=True))
