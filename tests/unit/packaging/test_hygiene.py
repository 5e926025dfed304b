"""What a public repository must not hold."""

import re
import subprocess

import pytest

from tests.unit.packaging.tree import ROOT, files, texts

# Spelt in parts, so that this file does not name them either.
REGISTRY_HOSTS = [
    r"\.".join(parts)
    for parts in (
        ("pypi", "org"), ("pypi", "python", "org"), ("pythonhosted", "org"), ("npmjs", "(org|com)"), ("yarnpkg", "com"),
        ("repo1?", "maven", "(org|apache)"), ("maven", "org"), ("proxy", "golang", "org"), ("sum", "golang", "org"), ("goproxy", "(io|cn)"),
        ("crates", "io"), ("debian", "org/debian"), ("(deb|ftp|security|snapshot)", "debian", "org"), ("rubygems", "org"), ("ubuntu", "com/ubuntu"),
    )
]  # fmt: skip
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(work|root|home/[a-z]\w*|Users/\w+)/[\w.]")


def offences(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_the_host_of_a_package_registry():
    assert offences(re.compile("|".join(REGISTRY_HOSTS))) == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    assert offences(MACHINE_PATH) == []


def test_the_patterns_find_what_they_are_for():
    assert re.search("|".join(REGISTRY_HOSTS), "https://files." + "pythonhosted" + ".org/packages")
    assert MACHINE_PATH.search(" /" + "root/.cache/x")
    assert not MACHINE_PATH.search("$HOME/work/x")


@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock", "package-lock.json"])
def test_no_lock_that_names_download_hosts(name):
    assert [path for path in files() if path.name == name] == []


@pytest.mark.parametrize("suffix", [".pyc", ".db", ".whl", ".jar", ".tar", ".gz", ".zip", ".pem", ".key"])
def test_nothing_built_and_no_secret_is_kept(suffix):
    assert [path for path in files() if path.suffix == suffix] == []


def test_no_file_is_larger_than_a_reader_wants():
    large = [path for path in files() if (ROOT / path).stat().st_size > 512 * 1024]
    assert large == []


def test_text_files_end_with_one_newline_and_have_no_trailing_blanks():
    bad = [
        str(path)
        for path, text in texts().items()
        if path.suffix in {".py", ".sh", ".md", ".yml", ".yaml", ".toml", ".tpl"}
        and text
        and (not text.endswith("\n") or text.endswith("\n\n") or re.search(r"[ \t]+$", text, re.MULTILINE))
    ]
    assert bad == []


def scripts():
    return [path for path in files() if path.suffix == ".sh" or str(path) == ".ci/run"]


@pytest.mark.parametrize("path", scripts(), ids=str)
def test_shell_scripts_parse_and_stop_at_unset_variables(path):
    done = subprocess.run(["bash", "-n", str(ROOT / path)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    text = (ROOT / path).read_text("utf-8")
    if path.name != "lib.sh":  # sourced by the others
        assert re.search(r"^set -e?uo? pipefail$", text, re.MULTILINE), "no set -u -o pipefail"
        assert (ROOT / path).stat().st_mode & 0o111, "is not executable"
