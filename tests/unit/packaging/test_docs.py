"""The documentation says what is: links lead somewhere, names exist, tables follow from the code."""

import importlib
import re
import subprocess
import sys

import pytest

from ledgerlb.core.reasons import REASONS
from tests.unit.packaging.tree import ROOT, files, read

PAGES = [str(path) for path in files() if path.suffix == ".md"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
NAME = re.compile(r"`(ledgerlb(?:\.\w+)+)`")


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#{1,6} (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_there_are_the_pages_that_people_look_for():
    assert {
        "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/operations.md", "docs/reasons.md",
        "docs/cli.md", "docs/scenarios.md", "docs/benchmarks.md",
    } <= set(PAGES)  # fmt: skip
    assert "Apache License" in read("LICENSE")
    assert "Version 2.0, January 2004" in read("LICENSE")


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_repository_lead_somewhere(page):
    broken = []
    for target in LINK.findall(read(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (ROOT / page).parent / path if path else ROOT / page
        if not place.exists() or (anchor and anchor not in anchors(place.read_text("utf-8"))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_and_names_exist(page):
    missing = []
    for name in set(NAME.findall(read(page))):
        if re.search(r"\.v\d$", name) or name.split(".")[1] in {"io", "local", "inputs"}:
            continue  # a topic, our annotations' domain, names of images and their labels
        parts = name.split(".")
        for length in range(len(parts), 1, -1):
            try:
                found = importlib.import_module(".".join(parts[:length]))
            except ModuleNotFoundError:
                continue
            for attribute in parts[length:]:
                found = getattr(found, attribute, None)
            if found is None:
                missing.append(name)
            break
        else:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    """A path in code that begins with a folder of this repository."""
    named = re.findall(r"`((?:libs|services|tests|docs|examples|scripts|helm|images)/[\w./*-]+)`", read(page))
    # `services/status` is a subresource of the Kubernetes API.
    paths = [path for path in named if not path.endswith("/status")]
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_that_are_named_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"^\s+make ([a-z-]+)", read(page), re.MULTILINE)) | set(
        re.findall(r"`make ([a-z-]+)", read(page))
    )
    assert named <= targets


def test_every_architecture_module_map_entry_is_a_link_to_code():
    assert len(set(NAME.findall(read("docs/architecture.md")))) > 20


def test_tables_follow_from_the_code():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "<!-- generated: reasons -->\n\n| Reason |" in read("docs/reasons.md")


def test_the_readme_begins_with_what_to_run():
    text = read("README.md")
    assert "make demo" in text
    assert "make test" in text
    assert "## Limits" in text


def test_drawings_are_as_their_script_draws_them_and_stand_in_a_page():
    script = ROOT / "scripts" / "drawings.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    shown = {name for page in PAGES for name in re.findall(r"!\[[^\]]+\]\([\w./]*drawings/([\w-]+)\.svg\)", read(page))}
    assert shown == {path.stem for path in (ROOT / "docs" / "drawings").glob("*.svg")}


def test_every_reason_is_in_the_troubleshooting_page():
    page = read("docs/troubleshoot.md")
    assert [word for word in REASONS if f"| `{word}` |" not in page] == []
