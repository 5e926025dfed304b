"""What "make up" makes of a kubeconfig: a file that needs nothing but itself."""

import base64
import subprocess
import sys

import pytest
import yaml

from tests.unit.packaging.tree import ROOT


def kubeconfig(**changes):
    cluster = {"server": "https://192.0.2.10:6443", "certificate-authority": "pki/ca.crt"} | changes.pop("cluster", {})
    user = changes.pop("user", {"client-certificate": "pki/me.crt", "client-key": "pki/me.key"})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "mine",
        "contexts": [
            {"name": "other", "context": {"cluster": "b", "user": "b"}},
            {"name": "mine", "context": {"cluster": "a", "user": "a", "namespace": "x"}},
        ],
        "clusters": [{"name": "a", "cluster": cluster}, {"name": "b", "cluster": {"server": "https://198.51.100.1"}}],
        "users": [{"name": "a", "user": user}, {"name": "b", "user": {"token": "not-this-one"}}],
    } | changes


@pytest.fixture
def flatten(tmp_path):
    (tmp_path / "pki").mkdir()
    for name in ("ca.crt", "me.crt", "me.key", "token"):
        (tmp_path / "pki" / name).write_text(f"content of {name}\n")

    def run(config):
        source, target = tmp_path / "config", tmp_path / "state" / "kubeconfig"
        source.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "kubeconfig.py", source, target],
            capture_output=True,
            text=True,
            check=False,
        )
        return done, target

    return run


def test_files_are_taken_in_and_other_contexts_left_out(flatten):
    done, target = flatten(kubeconfig())
    assert (done.returncode, done.stdout) == (0, "remote\n")
    made = yaml.safe_load(target.read_text())
    assert "not-this-one" not in target.read_text()
    cluster, user = made["clusters"][0]["cluster"], made["users"][0]["user"]
    assert base64.b64decode(cluster["certificate-authority-data"]) == b"content of ca.crt\n"
    assert base64.b64decode(user["client-certificate-data"]) == b"content of me.crt\n"
    assert base64.b64decode(user["client-key-data"]) == b"content of me.key\n"
    assert "client-key" not in user
    assert cluster["server"] == "https://192.0.2.10:6443"


def test_others_on_the_machine_cannot_reach_the_file_but_the_container_can_read_it(flatten):
    _, target = flatten(kubeconfig())
    assert target.parent.stat().st_mode & 0o777 == 0o700
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_second_run_keeps_the_same_file(flatten):
    _, target = flatten(kubeconfig())
    before = target.stat().st_ino
    _, target = flatten(kubeconfig(cluster={"server": "https://192.0.2.11:6443"}))
    assert target.stat().st_ino == before
    assert "192.0.2.11" in target.read_text()
    assert "192.0.2.10" not in target.read_text()


@pytest.mark.parametrize(
    ("server", "where"),
    [
        ("https://127.0.0.1:40123", "loopback"),
        ("https://127.9.9.9", "loopback"),
        ("https://[::1]:6443", "loopback"),
        ("https://localhost:6443", "loopback"),
        ("https://10.0.0.1:6443", "remote"),
        ("https://api.example.org", "remote"),
    ],
)
def test_a_server_on_loopback_is_told(flatten, server, where):
    done, _ = flatten(kubeconfig(cluster={"server": server}))
    assert done.stdout == f"{where}\n"


def test_a_token_file_becomes_a_token(flatten):
    _, target = flatten(kubeconfig(user={"tokenFile": "pki/token"}))
    assert yaml.safe_load(target.read_text())["users"][0]["user"] == {"token": "content of token"}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (kubeconfig(user={"exec": {"command": "aws"}}), "ServiceAccount's token"),
        (kubeconfig(user={"auth-provider": {"name": "gcp"}}), "ServiceAccount's token"),
        (kubeconfig(user={"client-key": "pki/gone.key"}), "client-key cannot be read"),
        (kubeconfig(**{"current-context": ""}), "kubectl config use-context"),
        (kubeconfig(**{"current-context": "nowhere"}), "no entry 'nowhere' in contexts"),
        (kubeconfig(cluster={"server": ""}), "has no server"),
        ("- a list\n", "is not a mapping"),
        ("{broken", "kubeconfig"),
    ],
)
def test_what_a_container_cannot_use_is_refused_with_the_reason(flatten, config, says):
    done, target = flatten(config)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not target.exists()
