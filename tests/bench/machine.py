"""What a measurement was made on and with: no names, no paths."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.support.engine import image_name


def machine() -> dict[str, str]:
    """Cores, processor, memory, kernel."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "Cores": str(os.cpu_count()),
        "Processor": found.group(1) if found else platform.machine(),
        "Memory": f"{memory:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def versions() -> dict[str, str]:
    """What was measured, and with what."""
    return {
        "LedgerLB": version("ledgerlb-core"),
        "Kafka": _version_of_image("kafka"),
        "kube-apiserver": _version_of_image("kube-apiserver"),
        "etcd": _version_of_image("etcd"),
        "Python": platform.python_version(),
        "aiokafka": version("aiokafka"),
        "aiohttp": version("aiohttp"),
        "pydantic": version("pydantic"),
    }


def load() -> float:
    """Processes that wanted a core, on average over the last minute."""
    return os.getloadavg()[0]


def _version_of_image(kind: str) -> str:
    """The version that its label or tag names."""
    name = image_name(kind)
    shown = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", name],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    labels = json.loads(shown.stdout) or {}
    tag = name.rpartition(":")[2]
    return str(labels.get("org.opencontainers.image.version") or tag).removeprefix("v")
