#!/usr/bin/env python3
"""kubeconfig.py SOURCE TARGET: make a kubeconfig that needs nothing but itself, for a container to mount.

Keeps the current context alone and takes in the files that it names (authority, certificate, key, token). Prints
``loopback`` when the server is on this machine's loopback address, else ``remote``. Exit status 2, with the reason,
when it cannot be used.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_FILES = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key")}


class Unusable(Exception):
    """The kubeconfig cannot be used in a container; the message says why and what to do."""


def flatten(config: Any, folder: Path) -> dict[str, Any]:
    """The current context alone, with every file's content in place of its path (relative ones are in ``folder``)."""
    if not isinstance(config, dict):
        raise Unusable("is not a mapping")
    context = _named(config, "contexts", str(config.get("current-context") or ""), "context")
    parts = {
        "cluster": _named(config, "clusters", str(context.get("cluster", "")), "cluster"),
        "user": _named(config, "users", str(context.get("user", "")), "user"),
    }
    for part, keys in _FILES.items():
        for key in keys:
            if path := parts[part].pop(key, None):
                parts[part].setdefault(f"{key}-data", base64.b64encode(_read(folder / path, key)).decode())
    user = parts["user"]
    if path := user.pop("tokenFile", None):
        user["token"] = _read(folder / path, "tokenFile").decode().strip()
    for key in ("exec", "auth-provider"):
        if key in user:
            raise Unusable(
                f"user {context['user']!r} logs in with {key!r}, which a container cannot run: "
                "make a kubeconfig with a ServiceAccount's token"
            )
    if not parts["cluster"].get("server"):
        raise Unusable(f"cluster {context['cluster']!r} has no server")
    name = "ledgerlb"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": parts["cluster"]}],
        "users": [{"name": name, "user": user}],
    }


def is_loopback(server: str) -> bool:
    """Whether the server's URL names this machine itself."""
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _named(config: dict[str, Any], listing: str, name: str, body: str) -> dict[str, Any]:
    for item in config.get(listing) or []:
        if item.get("name") == name:
            return dict(item.get(body) or {})
    if not name:
        raise Unusable("has no current-context: kubectl config use-context NAME")
    raise Unusable(f"has no entry {name!r} in {listing}")


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unusable(f"{key} cannot be read: {error}") from error


def main(arguments: list[str]) -> int:
    """See module."""
    source, target = Path(arguments[0]), Path(arguments[1])
    try:
        flat = flatten(yaml.safe_load(_read(source, "the file")), source.parent)
    except (Unusable, yaml.YAMLError) as error:
        print(f"kubeconfig {source}: {error}", file=sys.stderr)
        return 2
    # The folder is closed to others; the file in it is readable, because the container's user is another one.
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o700)
    # Written in place: a file that is bind-mounted must stay the same file.
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w", encoding="utf-8") as file:
        yaml.safe_dump(flat, file, sort_keys=False)
    target.chmod(0o644)
    print("loopback" if is_loopback(flat["clusters"][0]["cluster"]["server"]) else "remote")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
