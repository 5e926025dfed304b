"""The workspace: every member says what it is, and the locks say all that is installed."""

import ast
import functools
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.packaging.tree import ROOT, read

MEMBERS = sorted(path.parent.relative_to(ROOT) for path in ROOT.glob("[ls]*/*/pyproject.toml"))
ALLOWED_LICENCES = (
    "apache",
    "mit",
    "bsd",
    "isc",
    "psf",
    "python software foundation",
    "mpl-2.0",
    "mozilla public license 2.0",
    "unlicense",
    "0bsd",
)


def project(member: Path):
    return tomllib.loads((ROOT / member / "pyproject.toml").read_text("utf-8"))


def pins(lock: str) -> dict[str, str]:
    """Version by canonical name; markers are dropped."""
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", read(lock), re.MULTILINE)
    }


def test_there_are_the_members_that_the_workspace_names():
    assert {path.parent.name for path in MEMBERS} == {"libs", "services"}
    assert len(MEMBERS) == len(tomllib.loads(read("pyproject.toml"))["project"]["dependencies"])


@pytest.mark.parametrize("member", MEMBERS, ids=str)
def test_member_says_who_may_use_it_and_how_it_is_built(member):
    data = project(member)
    assert data["project"]["license"] == "Apache-2.0"
    assert data["project"]["name"] == f"ledgerlb-{member.name}"
    assert data["project"]["version"] == tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert data["project"]["requires-python"] == ">=3.11"
    assert data["build-system"]["build-backend"] == "hatchling.build"


@pytest.mark.parametrize("member", MEMBERS, ids=str)
def test_member_is_typed_and_leaves_the_namespace_open(member):
    package = ROOT / member / "src" / "ledgerlb" / member.name.replace("-", "_")
    assert (package / "py.typed").is_file()
    assert not (package.parent / "__init__.py").exists(), "ledgerlb is a namespace that several packages share"


@functools.cache
def imported(member: Path) -> set[str]:
    """The packages that a member's code imports: ``ledgerlb.core``, ``yaml``, …"""
    found = set()
    for path in (ROOT / member / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {".".join(name.split(".")[: 2 if name.startswith("ledgerlb.") else 1]) for name in names}
    return found


@pytest.mark.parametrize("member", MEMBERS, ids=str)
def test_member_declares_what_it_imports(member):
    """Directly: what comes along with another package may stop coming along with it."""
    declared = {canonicalize_name(Requirement(text).name) for text in project(member)["project"]["dependencies"]}
    siblings = {
        f"ledgerlb.{path.name.replace('-', '_')}": f"ledgerlb-{path.name}" for path in MEMBERS if path != member
    }
    needed = {package for name, package in (PROVIDED_BY | siblings).items() if name in imported(member)}
    assert needed - declared == set()


@pytest.mark.parametrize("member", MEMBERS, ids=str)
def test_member_imports_nothing_that_nobody_declares(member):
    known = (
        set(PROVIDED_BY)
        | set(sys.stdlib_module_names)
        | {f"ledgerlb.{path.name.replace('-', '_')}" for path in MEMBERS}
    )
    assert imported(member) - known == set()


PROVIDED_BY = {
    "pydantic": "pydantic", "netaddr": "netaddr", "msgspec": "msgspec", "aiokafka": "aiokafka", "yaml": "pyyaml",
    "kubernetes_asyncio": "kubernetes-asyncio", "pydantic_settings": "pydantic-settings", "structlog": "structlog",
    "prometheus_client": "prometheus-client", "aiohttp": "aiohttp", "typer": "typer", "rich": "rich", "uvloop": "uvloop",
    "cryptography": "cryptography",
}  # fmt: skip


def test_what_is_tested_is_what_runs():
    running, testing = pins("requirements.lock"), pins("requirements-dev.lock")
    assert running
    assert {name: testing.get(name) for name in running} == running


def test_what_builds_an_image_is_what_builds_a_checkout():
    building, testing = pins("requirements-build.lock"), pins("requirements-dev.lock")
    assert {"uv", "hatchling"} <= set(building)
    assert {name: version for name, version in building.items() if testing.get(name, version) != version} == {}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "requirements-build.lock"])
def test_every_pin_has_a_hash(lock):
    entries = re.split(r"^(?=[\w.-]+==)", read(lock), flags=re.MULTILINE)[1:]
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert not re.search(r"^-e |^\.|@ file:|^--(index-url|extra-index-url|find-links)", read(lock), re.MULTILINE)


def test_the_checkout_has_what_the_lock_names():
    differing = {}
    for name, version in pins("requirements.lock").items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # its marker leaves it out on this platform
        if found != version:
            differing[name] = (version, found)
    assert differing == {}, "run make venv"


@pytest.mark.parametrize("name", sorted(pins("requirements.lock")))
def test_licence_of_what_runs_lets_people_use_it(name):
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return  # its marker leaves it out on this platform
    said = [metadata.get("License-Expression") or ""]
    said += [item.rpartition("::")[2] for item in metadata.get_all("Classifier") or [] if item.startswith("License ::")]
    said += [(metadata.get("License") or "").splitlines()[0]] if not any(said) and metadata.get("License") else []
    # An expression with OR offers a choice: one allowed part is enough.
    parts = [part.strip(" ()").lower() for text in said for part in re.split(r"\bOR\b", text) if part.strip()]
    assert any(part.startswith(ALLOWED_LICENCES) for part in parts), f"{name}: {said}"
