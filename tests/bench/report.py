"""Write the page of figures. Every number comes from a measurement; every sentence holds whatever the numbers are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tests.bench.cpu import REST
from tests.bench.lab import LAYOUTS
from tests.bench.pipeline import AFTER, BEFORE, KAFKA, RUN_SQLITE, SHAPES
from tests.bench.startup import BASE

NOISE: Final = 1.0
"""Cores' worth of other work (one-minute load before the start) above which the figures are called disturbed."""
NOISE_SHARE: Final = 0.25
"""The same for the part of the CPU time, kernel and container engine included, that no row of the table explains."""

Target = tuple[str, str, str, float, float]
"""(what, side, figure, limit for shared, limit for partitioned); a rate must be at least the limit, a time at most."""
TARGETS: Final[tuple[Target, ...]] = (
    ("burst rate, ratio to null", KAFKA, "burst rate", 0.78, 0.97),
    ("burst p50, ratio to null", KAFKA, "burst p50", 1.7, 1.3),
    ("steady p50, ratio to null", KAFKA, "steady p50", 1.3, 1.5),
    ("steady p99, ratio to null", KAFKA, "steady p99", 2.0, float("nan")),
    ("burst rate, ratio to null", RUN_SQLITE, "burst rate", 0.9, float("nan")),
    ("steady p50, ratio to null", RUN_SQLITE, "steady p50", 1.2, float("nan")),
    ("steady p99, ratio to null", RUN_SQLITE, "steady p99", 2.0, float("nan")),
)
OWN_CPU_LIMIT: Final = 8.0
IDLE_SHARE_LIMIT: Final = 0.005
IDLE_MIB_LIMIT: Final = 80.0
FOLD_LIMIT: Final = 70_000
ADDRESS_LIMIT: Final = 900
VERSION_LIMIT: Final = 2.5
HISTORY_LIMIT: Final = 5.0

_HEAD: Final = """# Benchmarks

`make bench` writes this page. Every figure is from one run of it ({date})."""

_HOW_PIPELINE: Final = """The client creates Services on a real kube-apiserver and waits for their addresses in its own watch. The time of a
Service runs from its create request to its address. Each side serves a warm-up of {warm} Services, a burst of {burst} (16 create requests at a
time), and {rate:g} Services a second for {seconds:g} s, while no other side runs.

- The *null controller* is a loop of 60 lines (`tests/bench/null_controller.py`). It patches a sequential IP into each new Service, decides nothing and
  remembers nothing. It runs first and last.
- *LedgerLB on Kafka* is five processes: watcher, network-selector, IPAM, planner, one agent with the `record` back end.
- *`ledgerlb run`* is all of these in one process, on the same Kafka or on a SQLite file.

InstanceIPs and FloatingIPs are off. LedgerLB writes Kubernetes Events once a burst is over, so they are not in its figures. The broker's JVM uses its quick
compiler only (`-XX:TieredStopAtLevel=1`), because the optimising one would compile during most of so short a run."""

_LAYOUT: Final = {
    "shared": """All processes share all cores, and reach the containers through published loopback ports.""",
    "partitioned": """etcd, the API server and the client run on core 0; the broker and the controller on core 1. Everything shares one network namespace, so
the container engine's proxy is not in between. Production looks like this: its API server has a machine of its own.""",
}

_HOW_CPU: Final = """Milliseconds of CPU for one Service, from the first create request to the last address. The cores are
shared by everything in this table, so its sum bounds the rate: {cores} cores give {milliseconds} ms of CPU a second."""

_HOW_FOLD: Final = """A ledger of {entries} entries in 20 networks, made in memory: each Service is allocated an address and
changed, or allocated, released and moved into quarantine. One process, one core; the fold checks the chain of hashes."""

_HOW_TLS: Final = """The streams of [Create to address](#create-to-address) once more, on one broker with two listeners: without any security, and with TLS and
SCRAM-SHA-512. All processes share all cores. The CPU times are milliseconds for one Service."""

_HOW_SCALE: Final = """A folder of manifests stands for the cluster: 200 namespaces, 100 networks. *All served* is the time that one `ledgerlb run` takes from an
empty SQLite log until every Service has its address. Then each service starts alone on that log; the time runs until it reports ready. *One more Service* runs
from writing one more manifest until its address is in the ledger, and includes the folder's polling. `--large` measures 10,000 and 50,000 Services too."""

_HOW_SIGNING: Final = """A SQLite log on one process, Ed25519. Appends are one at a time. CPU time counts all threads of the process. A start reads the log to its
end and folds it; with signed heads, the chain proves the entries before a head. `--large` starts from 1,000,000 entries."""

_REPEAT: Final = """## Repeat it

    make bench

or one part of it, printed and not written here: `python -m tests.bench PART`, with PART one of {parts}; `--quick` takes a shorter stream and a smaller
ledger. A full run takes about {minutes} minutes and wants the machine for itself. Whatever else runs shows in the last row of the CPU tables, and slows every side.
One run is one sample; expect rates to differ by a tenth from run to run, and p99 by more."""


def page(found: Mapping[str, Any], parts: Sequence[str]) -> str:
    """Compose the whole page from what ``__main__`` measured, by part."""
    sections = [
        _HEAD.format(date=found["date"]),
        "## Machine and versions",
        _table(("", ""), found["machine"].items()),
        _load(found["load"]),
        _table(("", ""), found["versions"].items()),
        "## Targets",
        _table(("Target", "Where", "Limit", "Measured", "Met"), targets(found)),
        "## Create to address",
        _HOW_PIPELINE.format(**found["shared"]["shape"]),
        *(pipeline(layout, found[layout], int(found["machine"]["Cores"])) for layout in LAYOUTS),
        idle(found["idle"]),
        startup(found["startup"]),
        fold(found["fold"]),
        replan(found["replan"]),
        signing(found["signing"]),
        tls(found["tls"]),
        scale(found["scale"]),
        _REPEAT.format(parts=", ".join(f"`{part}`" for part in parts), minutes=round(found["minutes"])),
    ]
    return "\n\n".join(sections) + "\n"


def targets(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of every target: what, where, limit, measured, met."""
    for number, layout in enumerate(LAYOUTS):
        for what, side, figure, *limits in TARGETS:
            limit = limits[number]
            if limit != limit:  # noqa: PLR0124 - not a number: no target in this layout
                continue
            shape, key = figure.split()
            measured = ratio(found[layout][shape], side, key)
            met = measured >= limit if key == "rate" else measured <= limit
            bound = f"≥ {limit:g}" if key == "rate" else f"≤ {limit:g}"
            yield (f"{side}: {what}", layout, bound, f"{measured:.2f}", _met(met))
    for shape in SHAPES:
        own = found["shared"]["cpu"][shape][RUN_SQLITE]["ledgerlb run"]
        yield (
            f"{RUN_SQLITE}: own CPU ms a Service, {shape}",
            "shared",
            f"≤ {OWN_CPU_LIMIT:g}",
            f"{own:.1f}",
            _met(own <= OWN_CPU_LIMIT),
        )
    share, mib = found["idle"]["share"], found["idle"]["mib"]
    yield (
        f"{RUN_SQLITE}: share of a core at rest",
        "idle",
        f"≤ {IDLE_SHARE_LIMIT:.1%}",
        f"{share:.2%}",
        _met(share <= IDLE_SHARE_LIMIT),
    )
    yield (f"{RUN_SQLITE}: MiB at rest", "idle", f"≤ {IDLE_MIB_LIMIT:g}", f"{mib:.0f}", _met(mib <= IDLE_MIB_LIMIT))
    rate, size = found["fold"]["entries_per_second"], found["fold"]["resident_bytes_per_address"]
    yield ("fold: entries a second", "fold", f"≥ {FOLD_LIMIT:,}", f"{rate:,.0f}", _met(rate >= FOLD_LIMIT))
    yield ("fold: bytes an address", "fold", f"≤ {ADDRESS_LIMIT}", f"{size:,.0f}", _met(size <= ADDRESS_LIMIT))
    base = found["startup"][BASE]
    for command, limit in (("ledgerlb --version", VERSION_LIMIT), ("ledgerlb history", HISTORY_LIMIT)):
        times = found["startup"][command] / base
        yield (f"`{command}`: CPU, ratio to `{BASE}`", "start-up", f"≤ {limit:g}", f"{times:.1f}", _met(times <= limit))


def ratio(shape: Mapping[str, Mapping[str, float]], side: str, key: str) -> float:
    """One figure of a side, divided by the mean of the null controller's two runs."""
    return shape[side][key] / ((shape[BEFORE][key] + shape[AFTER][key]) / 2)


def pipeline(layout: str, found: Mapping[str, Any], cores: int) -> str:
    """The section of one layout."""
    parts = [f"### Layout: {layout}", _LAYOUT[layout], _latencies(found), _disturbance(found["cpu"])]
    if found["hops"]:
        parts += [
            "#### Where the time of LedgerLB on Kafka goes",
            "Milliseconds, p50 and p99 of each hop. Records carry the broker's time, the ends are the client's; one machine, one clock, whole milliseconds.",
            _hops(found["hops"]),
        ]
    parts += [f"#### CPU, {layout}", _HOW_CPU.format(cores=cores, milliseconds=1000 * cores)]
    parts += [_cpu(found["cpu"][shape], shape.capitalize()) for shape in SHAPES]
    return "\n\n".join(parts)


def idle(found: Mapping[str, float]) -> str:
    """The section about a process at rest."""
    rows = (("Share of one core", f"{found['share']:.2%}"), ("Resident MiB", f"{found['mib']:.0f}"))
    how = "`ledgerlb run` on a folder of manifests and a SQLite log, 30 s in which nothing changes."
    return "\n\n".join(("## At rest", how, _table(("", ""), rows)))


def startup(found: Mapping[str, float]) -> str:
    """The section about the start of commands."""
    base = found[BASE]
    rows = ((f"`{name}`", f"{seconds:.2f}", f"{seconds / base:.1f}") for name, seconds in found.items())
    how = "Seconds of CPU (user and system), the least of five runs, on a ledger of five Services."
    return "\n\n".join(("## Start-up of commands", how, _table(("Command", "CPU s", "ratio"), rows)))


def replan(found: Mapping[str, float]) -> str:
    """The section about planning every address again."""
    rows = (
        ("Plan every address, CPU s", f"{found['first_s']:.1f}"),
        ("Plan every address again after a node is gone, CPU s", f"{found['again_s']:.1f}"),
        ("the same, ms an address", f"{found['again_s'] / found['addresses'] * 1000:.1f}"),
        ("Memory of the facts and the planner, MiB", f"{found['mib']:.0f}"),
    )
    shape = f"{found['addresses']:,.0f} addresses with {found['backends']:.0f} backends each on 20 nodes. One process, one core, one pass."
    return f"## Planning\n\n{shape}\n\n{_table(('', ''), rows)}"


def fold(found: Mapping[str, float]) -> str:
    """The section about folding a ledger."""
    rows = (
        ("Entries folded per second", f"{found['entries_per_second']:,.0f}"),
        ("Time for all", f"{found['fold_seconds']:.1f} s"),
        ("of it decoding", f"{found['decode_share']:.0%}"),
        ("of it hashing", f"{found['hash_share']:.0%}"),
        ("Bytes of an entry", f"{found['bytes_per_entry']:.0f}"),
        ("Addresses remembered at the end", f"{found['addresses']:,.0f}"),
        ("Memory of the state", f"{found['resident_mib']:.0f} MiB"),
        ("Memory of an address", f"{found['resident_bytes_per_address']:.0f} bytes"),
    )
    how = _HOW_FOLD.format(entries=f"{found['entries']:,.0f}")
    return "\n\n".join(("## Folding the ledger", how, _table(("", ""), rows)))


def signing(found: Mapping[str, float]) -> str:
    """The section about signatures."""

    def ratio(one: str, other: str) -> str:
        return f"{found[one] / found[other]:.2f}"

    each, entries = found["start_each_us"], found["entries"]
    plain = found["start_plain_s"] / entries * 1e6
    rows = (
        ("Sign a record, CPU µs", f"{found['sign_us']:.0f}", ""),
        ("Verify a record, CPU µs", f"{found['verify_us']:.0f}", ""),
        ("Append, read back and fold, unsigned, CPU µs", f"{found['append_plain_cpu_us']:.0f}", ""),
        (
            "the same, signed and verified",
            f"{found['append_signed_cpu_us']:.0f}",
            ratio("append_signed_cpu_us", "append_plain_cpu_us"),
        ),
        ("Append to fold, unsigned, p50 µs", f"{found['append_plain_us']:.0f}", ""),
        (
            "the same, signed and verified",
            f"{found['append_signed_us']:.0f}",
            ratio("append_signed_us", "append_plain_us"),
        ),
        (f"Start from {entries:,.0f} entries, unsigned, CPU s", f"{found['start_plain_s']:.2f}", ""),
        (
            "the same, signed, with signed heads",
            f"{found['start_heads_s']:.2f}",
            ratio("start_heads_s", "start_plain_s"),
        ),
        ("Start, each entry verified, CPU µs an entry", f"{each:.0f}", f"{each / plain:.1f}"),
        (
            "Bytes of an entry in the file",
            f"{found['bytes_plain']:.0f} / {found['bytes_signed']:.0f}",
            ratio("bytes_signed", "bytes_plain"),
        ),
    )
    return "\n\n".join(("## Signatures", _HOW_SIGNING, _table(("", "", "ratio to unsigned"), rows)))


def tls(found: Mapping[str, Any]) -> str:
    """The section about encryption and passwords between LedgerLB and its broker."""
    names = list(found["burst"])
    rows = [
        (f"{shape.capitalize()}: {title}", *(f"{found[shape][side][key]:.{digits}f}" for side in names))
        for shape in SHAPES
        for key, title, digits in (("rate", "Services/s", 1), ("p50", "p50 ms", 0), ("p99", "p99 ms", 0))
    ]
    parts = ["## TLS", _HOW_TLS, _table(("LedgerLB on Kafka", *names), rows), _disturbance(found["cpu"])]
    parts += [_cpu(found["cpu"][shape], shape.capitalize()) for shape in SHAPES]
    return "\n\n".join(parts)


def scale(found: Mapping[str, Mapping[str, float]]) -> str:
    """The section about many Services."""
    sizes = list(found)
    names = [
        ("All served, s", "settle", 0),
        ("One more Service, ms", "one more ms", 0),
        ("`ledgerlb run`, MiB", "run mib", 0),
    ]
    services = [key.removesuffix(" seconds") for key in found[sizes[0]] if key.endswith(" seconds")]
    for service in services:
        names += [(f"{service}: cold start, s", f"{service} seconds", 1), (f"{service}: MiB", f"{service} mib", 0)]
    rows = [(title, *(f"{found[size][key]:,.{digits}f}" for size in sizes)) for title, key, digits in names]
    head = ("", *(f"{int(size):,} Services" for size in sizes))
    return "\n\n".join(("## Scale", _HOW_SCALE, _table(head, rows)))


def _load(load: float) -> str:
    text = f"Before the run, {load:.1f} processes wanted a core (one-minute load average)."
    if load > NOISE:
        text += " The machine was busy with something else: these figures are disturbed, on every side."
    return text


def _latencies(found: Mapping[str, Any]) -> str:
    sides = list(found["burst"])
    rows: list[tuple[str, ...]] = []
    for shape in SHAPES:
        for key, title, digits in (("rate", "Services/s", 1), ("p50", "p50 ms", 0), ("p99", "p99 ms", 0)):
            cells = [_cell(found[shape], side, key, digits) for side in sides]
            rows.append((f"{shape.capitalize()}: {title}", *cells))
    rows.append(("Controller, MiB after", *(f"{found['steady'][side]['mib']:.0f}" for side in sides)))
    return _table(("ratio to the null controller's mean in brackets", *sides), rows)


def _cell(shape: Mapping[str, Mapping[str, float]], side: str, key: str, digits: int) -> str:
    text = f"{shape[side][key]:.{digits}f}"
    return text if side in {BEFORE, AFTER} else f"{text} ({ratio(shape, side, key):.2f})"


def _disturbance(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Say how much else ran, by what it took of the CPU time."""
    shares = [sides[side][REST] / sum(sides[side].values()) for sides in found.values() for side in sides]
    text = f"Processes outside this benchmark, and the kernel, took at most {max(shares):.0%} of the CPU time of any stream."
    if max(shares) > NOISE_SHARE:
        text += " This run is disturbed: compare the CPU times rather than the rates."
    return text


def _met(is_met: bool) -> str:  # noqa: FBT001 - one word for one fact
    return "yes" if is_met else "**no**"


def _hops(hops: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    rows = []
    for title in hops["burst"]:
        cells = [f"{value:.0f}" for name in SHAPES for value in hops[name][title]]
        rows.append((title, *cells))
    return _table(("Hop", "burst p50", "burst p99", "steady p50", "steady p99"), rows)


def _cpu(found: Mapping[str, Mapping[str, float]], title: str) -> str:
    names = list(dict.fromkeys(name for side in found.values() for name in side if name != REST))
    rows = [(name, *(f"{side[name]:.1f}" if name in side else "" for side in found.values())) for name in names]
    total: Callable[[Mapping[str, float]], float] = lambda side: sum(v for name, v in side.items() if name != REST)  # noqa: E731
    rows.append(("**sum of these**", *(f"**{total(side):.1f}**" for side in found.values())))
    rows.append((REST, *(f"{side[REST]:.1f}" for side in found.values())))
    return _table((title, *found), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, *rows]
    # Figures are right-aligned; a table of names and words is left-aligned.
    marks = ["---", *("---:" if len(head) > 2 or not head[0] else "---" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], marks, *lines[1:]))
