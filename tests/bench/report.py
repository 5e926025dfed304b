"""The page of figures: every number comes from a measurement, every sentence holds whatever the numbers are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.bench.cpu import REST

RATE_TARGET: Final = 0.8
P50_TARGET: Final = 2.0
STEADY_TARGET: Final = 60.0
NOISE: Final = 1.0
"""Cores' worth of other work (one-minute load before the start) from which the figures are called disturbed."""
NOISE_SHARE: Final = 0.25
"""The same for the part of the CPU time, kernel and container engine included, that is nobody's in the table."""

_HEAD: Final = """# Benchmarks

This page is written by `make bench`; every figure is from one run of it ({date})."""

_HOW_PIPELINE: Final = """The pipeline is five processes (watcher, network-selector, IPAM, planner, an agent with the `record`
back end) on one Kafka broker and one kube-apiserver with its etcd, all in this machine, together with the client that
measures. The *null controller* is a loop of 60 lines ({null}) that patches a sequential IP into each new Service: one
write a Service, nothing decided, nothing remembered. LedgerLB writes twice (the finalizer must be there before an
address is given out, then the status) and keeps a log of every step. Both sides serve the same client on the same API
server, one after the other, the null controller before LedgerLB and once more after it: a warm-up of {warm} Services, a burst of {burst} (16 create requests at a time), and
{rate:g} Services a second for {seconds:g} s. The time of a Service runs from sending its create request to its address in the
client's own watch. Kubernetes Events are written once a burst is over, so they are not in its figures; InstanceIPs and FloatingIPs are turned off. The broker's JVM
compiles with its quick compiler only (`-XX:TieredStopAtLevel=1`): in a run this short the optimising one would compile
for most of it."""

_HOW_CPU: Final = """Milliseconds of CPU for one Service, from the first create request to the last address. The cores are
shared by everything in this table, so its sum bounds the rate: {cores} cores give {milliseconds} ms of CPU a second. What
is done after the address is published (path sets, reports, the last facts) counts as far as it falls into that time."""

_HOW_FOLD: Final = """A ledger of {entries} entries in 20 networks, made in memory: each Service is allocated an address and
changed, or allocated, released and gone into quarantine. One process, one core; the chain of hashes is checked."""

_REPEAT: Final = """## Repeat it

    make bench

or one part of it, printed and not written here: `python -m tests.bench pipeline`, `python -m tests.bench fold`; with
`--quick` on a shorter stream and a smaller ledger. It takes about six minutes and wants the machine for itself: what
else runs shows in the last row of the CPU table, and slows both sides. One run is one sample; expect rates to differ by
a tenth from run to run, and p99 by more."""


def page(found: Mapping[str, Any]) -> str:
    """The whole page from what ``__main__`` measured: ``machine``, ``versions``, ``load``, ``date``, ``pipeline``,
    ``fold``.
    """
    parts = [
        _HEAD.format(date=found["date"]),
        "## Machine and versions",
        _table(("", ""), found["machine"].items()),
        _load(found["load"]),
        _table(("", ""), found["versions"].items()),
        pipeline(found["pipeline"], int(found["machine"]["Cores"])),
        fold(found["fold"]),
        _REPEAT,
    ]
    return "\n\n".join(parts) + "\n"


def pipeline(found: Mapping[str, Any], cores: int) -> str:
    """The sections about Services and their addresses."""
    shape = found["shape"]
    parts = [
        "## Create to address",
        _HOW_PIPELINE.format(null="`tests/bench/null_controller.py`", **shape),
        _latencies(found),
        _table(("Target", "Measured", "Met"), _targets(found)),
        _disturbance(found["cpu"]),
        "## Where the time goes",
        "Milliseconds, p50 and p99 of each hop. Records carry the broker's time, the ends are the client's; one machine, "
        "one clock, whole milliseconds.",
        _hops(found["hops"]),
        "### CPU",
        _HOW_CPU.format(cores=cores, milliseconds=1000 * cores),
        *(_cpu(found["cpu"][name], title) for name, title in (("burst", "Burst"), ("steady", "Steady"))),
        _share(found["cpu"]["burst"]),
    ]
    return "\n\n".join(parts)


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


def _load(load: float) -> str:
    said = f"Before the run, {load:.1f} processes wanted a core (one-minute load average)."
    if load > NOISE:
        said += " The machine was busy with something else: these figures are disturbed, on both sides."
    return said


def _latencies(found: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = []
    for name, title in (("burst", "Burst"), ("steady", "Steady")):
        before, after, own = (found[name][side] for side in ("before", "after", "ledgerlb"))
        for key, said, digits in (
            ("rate", "Services/s", 1),
            ("p50", "p50 ms", 0),
            ("p99", "p99 ms", 0),
            ("create_rate", "creates/s", 1),
        ):
            figures = (f"{value[key]:.{digits}f}" for value in (before, own, after))
            rows.append((f"{title}: {said}", *figures, f"{own[key] / _null(found[name], key):.2f}"))
    return _table(("", "null controller, before", "LedgerLB", "null controller, after", "ratio to their mean"), rows)


def _null(shape: Mapping[str, Mapping[str, float]], key: str) -> float:
    """What LedgerLB is measured by: the mean of the two runs of the null controller."""
    return (shape["before"][key] + shape["after"][key]) / 2


def _targets(found: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    burst, steady = found["burst"], found["steady"]["ledgerlb"]["p50"]
    rate, p50 = (burst["ledgerlb"][key] / _null(burst, key) for key in ("rate", "p50"))
    yield f"burst rate at least {RATE_TARGET} of the null controller's", f"{rate:.2f}", _met(rate >= RATE_TARGET)
    yield f"burst p50 at most {P50_TARGET:g} times the null controller's", f"{p50:.2f}", _met(p50 <= P50_TARGET)
    yield f"steady p50 below {STEADY_TARGET:g} ms", f"{steady:.0f} ms", _met(steady < STEADY_TARGET)


def _disturbance(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """How much else ran, told by what it took of the CPU that was spent."""
    shares = {
        f"{shape}, {title}": sum(v for name, v in found[shape][side].items() if name == REST)
        / sum(found[shape][side].values())
        for shape in ("burst", "steady")
        for side, title in (("null", "null controller"), ("ledgerlb", "LedgerLB"))
    }
    said = "Of the CPU time spent meanwhile, this part went to something else: "
    said += "; ".join(f"{name} {share:.0%}" for name, share in shares.items()) + "."
    if max(shares.values()) > NOISE_SHARE:
        said += (
            " That is a disturbed run: what queues for a core waits several times as long as on a machine of its own, "
            "and a pipeline of processes waits at every hop. Compare the CPU times below rather than the rates."
        )
    return said


def _met(is_met: bool) -> str:  # noqa: FBT001 - one word for one fact
    return "yes" if is_met else "**no**"


def _hops(hops: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    rows = []
    for title in hops["burst"]:
        cells = [f"{value:.0f}" for name in ("burst", "steady") for value in hops[name][title]]
        rows.append((title, *cells))
    return _table(("Hop", "burst p50", "burst p99", "steady p50", "steady p99"), rows)


def _cpu(found: Mapping[str, Mapping[str, float]], title: str) -> str:
    null, own = found["null"], found["ledgerlb"]
    names = list(dict.fromkeys((*own, *null)))
    names.append(names.pop(names.index(REST)))
    rows = [(name, *(f"{side[name]:.1f}" if name in side else "" for side in (null, own))) for name in names]
    sums = [sum(value for name, value in side.items() if name != names[-1]) for side in (null, own)]
    rows.insert(-1, ("**sum of these**", *(f"**{total:.1f}**" for total in sums)))
    return _table((title, "null controller", "LedgerLB"), rows)


def _share(burst: Mapping[str, Mapping[str, float]]) -> str:
    """What the burst's CPU went to, by who has a say in it."""
    null, own = ({name: value for name, value in burst[side].items() if name != REST} for side in ("null", "ledgerlb"))
    cluster = sum(own[name] for name in own if name in null)
    return (
        f"In the burst the API server, etcd, the proxy before them and the client take {cluster:.1f} ms for a Service of "
        f"LedgerLB (two writes) and everything that the null controller needs is {sum(null.values()):.1f} ms: a pipeline "
        f"that took no CPU at all would reach {sum(null.values()) / cluster:.2f} of its rate on cores that are always "
        f"busy, and one of {sum(own.values()) - cluster:.1f} ms reaches {sum(null.values()) / sum(own.values()):.2f}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, *rows]
    # Figures stand to the right; a table of names and words, to the left.
    marks = ["---", *("---:" if len(head) > 2 or not head[0] else "---" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], marks, *lines[1:]))
