#!/usr/bin/env python3
"""docs.py [--check]: write what follows from the code into the documentation, between its markers.

``<!-- generated: NAME -->`` … ``<!-- end -->`` in docs/*.md. With ``--check`` nothing is written, and the exit status
is 1 where a page does not say what the code says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer.main
import yaml
from prometheus_client.metrics_core import Metric
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ledgerlb.cli.main import app
from ledgerlb.core.reasons import REASONS, Reason
from ledgerlb.core.settings import DomainSettings
from ledgerlb.ecmp_programmer import assemble as programmer
from ledgerlb.ecmp_programmer.settings import ProgrammerSettings
from ledgerlb.eventlog.topics import ALL_TOPICS, EVERY_ROLE, Role
from ledgerlb.ipam import assemble as ipam
from ledgerlb.kube.memory.cluster import MemoryCluster
from ledgerlb.kube.memory.writer import MemoryWriter
from ledgerlb.kube.source import ClusterSource
from ledgerlb.network_selector import assemble as selector
from ledgerlb.runtime.metrics import Metrics
from ledgerlb.runtime.parts import Ports, utc_now
from ledgerlb.runtime.settings import PREFIX, ProcessSettings
from ledgerlb.watcher import assemble as watcher
from ledgerlb.watcher.assemble import WatcherPorts
from ledgerlb.watcher.settings import WatcherSettings

DOCS = Path(__file__).resolve().parents[1] / "docs"
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DAY = 24 * 3600 * 1000
# Settings whose name says it all in the code.
_PLAIN = {
    "http_host": "Where health and metrics are served.",
    "log_level": "What is logged.",
    "backend": "What the agent programs.",
    "heartbeat_interval": "Seconds (or text such as `5s`) between two signs of life of the agent.",
    "reconcile_interval": "Seconds between two comparisons of what is programmed with what should be.",
    "fabric_table": "The kernel's routing table (254: main).",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def code(text: object) -> str:
    """The text as code; nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def reasons() -> str:
    """Every reason word."""
    return table(
        ("Reason", "About", "What it means", "What to do"),
        ((code(r.reason), r.subject, r.meaning, r.remedy or "-") for r in REASONS.values()),
    )


def topics() -> str:
    """Every topic as it is declared."""

    def policy(topic: Any) -> str:
        kept = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // _DAY} days"
        lag = f", history for {topic.min_compaction_lag_ms // _DAY} days" if topic.min_compaction_lag_ms else ""
        return f"compacted{lag}" if topic.cleanup == "compact" else f"kept {kept}"

    def roles(found: tuple[Role, ...]) -> str:
        return "every service" if found == EVERY_ROLE else ", ".join(found)

    return table(
        ("Topic", "Key", "Kept", "Written by", "Read by", "Carries"),
        ((code(t.name), code(t.key), policy(t), roles(t.written_by), roles(t.read_by), t.carries) for t in ALL_TOPICS),
    )


def process_settings() -> str:
    """The settings of every process."""
    return _variables(ProcessSettings)


def watcher_settings() -> str:
    """The settings of the watcher alone."""
    return _variables(WatcherSettings)


def programmer_settings() -> str:
    """The settings of the ecmp-programmer alone."""
    return _variables(ProgrammerSettings)


def _variables(model: Any) -> str:
    described = _attribute_docs(model)
    rows = []
    for name, field in model.model_fields.items():
        meaning = [described.get(name) or _PLAIN.get(name, "")]
        if get_origin(field.annotation) is Literal:
            meaning.append(f"One of {', '.join(map(code, get_args(field.annotation)))}.")
        rows.append((code(PREFIX + name.upper()), code(_default(field)) or "-", " ".join(filter(None, meaning))))
    return table(("Variable", "Default", "Meaning"), rows)


def domain_settings() -> str:
    """The settings that decisions depend on."""
    rows = []
    for key, variable, default in _flat(DomainSettings(), ""):
        rows.append((code(key), code(variable), code(default)))
    return table(("Key", "Variable", "Default"), rows)


def _flat(model: Any, place: str) -> Iterable[tuple[str, str, object]]:
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), place + str(field.alias or name)
        if isinstance(value, BaseModel):
            for inner, variable, default in _flat(value, f"{key}."):
                yield inner, variable.replace(PREFIX, f"{PREFIX}{name.upper()}__", 1), default
        else:
            shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
            yield key, PREFIX + name.upper(), shown


def _default(field: FieldInfo) -> object:
    value = field.get_default()
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def _attribute_docs(model: type) -> dict[str, str]:
    """The string under each attribute, off the source."""
    source = Path(sys.modules[model.__module__].__file__ or "").read_text("utf-8")
    found = re.findall(r'^    (\w+): [^\n]+\n    """(.*?)"""', source, re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()).replace("``", "`") for name, text in found}


def metrics() -> str:
    """Every metric, and the alerts that watch it."""
    watching: dict[str, list[str]] = {}
    for rule in alert_rules():
        for name in re.findall(r"ledgerlb_\w+", rule["expr"]):
            watching.setdefault(name, []).append(rule["alert"])
    labels_of = {one._name: one._labelnames for one in vars(Metrics()).values() if hasattr(one, "_labelnames")}  # noqa: SLF001
    rows = []
    for process, families in exported().items():
        for family in families:
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(map(code, labels_of.get(family.name) or getattr(family, "_labelnames", None) or ()))
            alerts = ", ".join(f"[{alert}](#alerts)" for alert in dict.fromkeys(watching.get(name, ())))
            rows.append((code(name), family.type, labels, process, family.documentation, alerts))
    return table(("Metric", "Type", "Labels", "Shown by", "Meaning", "Alert"), sorted(rows))


def exported() -> dict[str, list[Metric]]:
    """The families that processes show under /metrics, by the process that shows them; ``ledgerlb run`` shows all."""
    cluster = MemoryCluster(utc_now)
    domain = DomainSettings()
    ports = WatcherPorts(source=ClusterSource(cluster), writer=MemoryWriter(cluster))
    parts = {
        "watcher": watcher.assemble(domain, WatcherSettings(), ports),
        "ipam": ipam.assemble(domain, ipam.IpamPorts()),
        "network-selector": selector.assemble(domain, Ports()),
        "ecmp-programmer": programmer.assemble(
            domain, ProgrammerSettings(backend="record"), programmer.ProgrammerPorts()
        ),
    }
    found = {name: [one for part in given.collectors for one in part.collect()] for name, given in parts.items()}
    return {"every process": list(Metrics().registry.collect()), **found}


_LOOK: Final = {
    Reason.NETWORK_FULL: (
        "`ledgerlb networks`: how full it is; `ledgerlb explain network NAMESPACE/NAME`: who holds what"
    ),
    Reason.NETWORK_CONFLICT: "`ledgerlb networks`: the network that it overlaps",
    Reason.NO_DEFAULT_NETWORK: (
        "`kubectl get kubemanagers -A -o yaml`, or the setting `externalNetworkSelectors`; `ledgerlb networks`"
    ),
    Reason.NO_NETWORK_MATCHES: (
        "`ledgerlb networks`: which networks there are; `ledgerlb explain NAMESPACE/NAME`: what the selector asks for"
    ),
    Reason.SELECTOR_NOT_FOUND: "`kubectl get kubemanagers -A -o yaml`, or the setting `externalNetworkSelectors`",
    Reason.REQUESTED_ADDRESS_IN_USE: "`ledgerlb history ADDRESS`: who holds it",
    Reason.REQUESTED_ADDRESS_QUARANTINED: "`ledgerlb history ADDRESS`: when it was released, and by whom",
    Reason.ADDRESS_IN_USE_ELSEWHERE: "`ledgerlb history ADDRESS`: who has held it for longest",
    Reason.SHARING_CONFLICT: (
        "`ledgerlb history ADDRESS`: the sharers; their ports are in `kubectl get service -o wide`"
    ),
    Reason.LEDGER_DAMAGED: "`ledgerlb verify`: the record; [a damaged ledger](operations.md#a-damaged-ledger)",
    Reason.LEDGER_TOO_NEW: "`ledgerlb verify`: the record; `ledgerlb version` of every process; [upgrade](upgrade.md)",
    Reason.ADOPTION_REFUSED: "`ledgerlb history ADDRESS`: who holds the address that the status showed",
    Reason.STATUS_REFUSED: "the watcher's log; its rights: `kubectl auth can-i patch services/status --as …`",
}
"""Where to look at a reason, where that is another place than ``ledgerlb explain``."""


def troubleshoot() -> str:
    """Every reason: what it means, where to look, what to do."""
    rows = []
    for word, reason in REASONS.items():
        kind = "network " if reason.subject == "network" else ""
        look = _LOOK.get(reason.reason, code(f"ledgerlb explain {kind}NAMESPACE/NAME"))
        rows.append((code(word), reason.meaning, look, reason.remedy or "Nothing."))
    return table(("Reason", "It means", "Look at", "Do"), rows)


def alert_rules() -> list[dict[str, Any]]:
    """The rules of docs/alerts.yaml."""
    groups = yaml.safe_load((DOCS / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> str:
    """Every alert with its expression."""
    rows = (
        (
            rule["alert"],
            code(" ".join(rule["expr"].split())),
            rule.get("for", ""),
            rule["labels"]["severity"],
            rule["annotations"]["summary"],
            rule["annotations"]["action"],
        )
        for rule in alert_rules()
    )
    return table(("Alert", "Expression", "For", "Severity", "It means", "What to do"), rows)


def cli() -> str:
    """Every command with its usage, arguments and options."""
    root = typer.main.get_command(app)
    return "\n".join(_command(command, path) for path, command in _commands(root, "ledgerlb"))


def _commands(command: Any, path: str) -> Iterable[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, placeholder in command.commands.items():
            inner = placeholder.load() if hasattr(placeholder, "load") else placeholder
            yield from _commands(inner, f"{path} {name}")
    else:
        yield path, command


def _command(command: Any, path: str) -> str:
    words = [path]
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            shown = parameter.metavar or parameter.name.upper()
            words.append(shown if parameter.required or shown.startswith("[") else f"[{shown}]")
            rows.append((code(shown), getattr(parameter, "help", "") or "", ""))
        else:
            rows.append((", ".join(map(code, [*parameter.opts, *parameter.secondary_opts])), *_option(parameter)))
    text = f"### `{' '.join(words)}`\n\n{' '.join((command.help or '').replace('``', '`').split())}\n"
    return text + ("\n" + table(("", "Meaning", "Default"), rows) if rows else "")


def _option(parameter: Any) -> tuple[str, str]:
    meaning = parameter.help or ""
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        meaning += f" One of {', '.join(code(member.value) for member in kind)}."
    if parameter.envvar:
        meaning += f" Also {code(parameter.envvar)}."
    default = parameter.default
    shown = "" if default is None or default is False or callable(default) else getattr(default, "value", default)
    return meaning.strip(), code("on" if shown is True else shown)


BLOCKS: dict[str, Callable[[], str]] = {
    "reasons": reasons,
    "topics": topics,
    "process-settings": process_settings,
    "watcher-settings": watcher_settings,
    "programmer-settings": programmer_settings,
    "domain-settings": domain_settings,
    "metrics": metrics,
    "alerts": alerts,
    "troubleshoot": troubleshoot,
    "cli": cli,
}


def main(check: bool) -> int:
    """See module."""
    stale = []
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8")
        fresh = _BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n{block[3]}", text)
        if fresh != text:
            stale.append(page.name)
            if not check:
                page.write_text(fresh, "utf-8")
    if stale:
        print(f"docs: {', '.join(stale)} {'do not say what the code says: run make docs' if check else 'written'}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
