#!/usr/bin/env python3
"""Measure the tests: break ``libs/core`` on purpose, one small fault at a time, and count what the tests notice.

    scripts/mutate.py [--count 200] [--seed 1] [--only selection]

Nothing on disk changes: a child process imports one module with the fault in it and runs the tests that reach the
changed function, the quickest first. What reaches what is found by one run of the tests with a counter in each function
of core, kept in .cache/mutation until the code or a test changes. The seed fixes which faults are tried.

Prints each fault that no test noticed (a survivor) as ``file:line operator``, and the score at the end. A survivor is a
gap in the tests, or a fault that changes no behaviour (an equivalent): somebody has to look. Exit status: 0.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import functools
import hashlib
import importlib.abc
import importlib.machinery
import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
CORE: Final = ROOT / "libs" / "core" / "src"
CACHE: Final = ROOT / ".cache" / "mutation" / "reach.json"
SUITES: Final = ("tests/unit", "tests/property", "tests/behaviour")
"""Where the tests are that may notice a fault: all that run in this process."""
LEFT_OUT: Final = ("tests/unit/cli", "tests/unit/helm", "tests/unit/packaging", "tests/unit/eventlog")
"""Slow, or about something else."""
FIRST_SECONDS: Final = 4.0
"""How long the quickest tests of a function may take together; nearly every fault falls to them."""
SECOND_SECONDS: Final = 40.0
"""How long all of them may take, for the faults that the first ones missed."""
START_SECONDS: Final = 30.0
"""What a child may need besides its tests, on a busy machine."""
SLOWDOWN: Final = 8.0
"""How much longer tests may take in a child than they took when they were measured: then a fault made them hang."""

Edit = Callable[[], None]


# --- Faults -----------------------------------------------------------------------------------------------------

COMPARE: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC: Final[Mapping[type[ast.operator], type[ast.operator]]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}


@dataclass(frozen=True)
class Fault:
    """One fault of a module: its line, the line of its function (0: the module's own level), and how to make it."""

    line: int
    function: int
    operator: str
    make: Edit


def faults(tree: ast.Module) -> list[Fault]:
    """Every fault that can be made in the module, always in the same order; ``make`` changes ``tree`` itself."""
    return list(_in_block(tree, 0))


def _in_block(node: ast.AST, function: int) -> Iterator[Fault]:
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"}:
            continue
        listed = value if isinstance(value, list) else [value]
        for index, child in enumerate(listed):
            if not isinstance(child, ast.AST) or isinstance(
                child, ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom
            ):
                continue
            inside = child.lineno if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            if isinstance(child, ast.stmt) and isinstance(value, list):
                yield from _dropped(child, value, index, inside)
            yield from _of_node(child, inside)
            yield from _in_block(child, inside)


def _dropped(statement: ast.stmt, block: list[Any], index: int, function: int) -> Iterator[Fault]:
    """Leave the statement out, where the function still makes sense without it."""
    call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await)
    if function and (call or isinstance(statement, ast.AugAssign | ast.Continue | ast.Raise | ast.Delete)):
        nothing = ast.copy_location(ast.Pass(), statement)
        yield Fault(statement.lineno, function, "drop statement", lambda: block.__setitem__(index, nothing))


def _of_node(node: ast.AST, function: int) -> Iterator[Fault]:
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                other = COMPARE[type(operator)]
                label = f"{type(operator).__name__} -> {other.__name__}"
                yield Fault(node.lineno, function, label, _set(node.ops, index, other()))
        case ast.BoolOp():
            other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            label = "and -> or" if isinstance(node.op, ast.And) else "or -> and"
            yield Fault(node.lineno, function, label, _put(node, "op", other_op))
        case ast.BinOp() if type(node.op) in ARITHMETIC and not _text(node.left) and not _text(node.right):
            label = "+ -> -" if isinstance(node.op, ast.Add) else "- -> +"
            yield Fault(node.lineno, function, label, _put(node, "op", ARITHMETIC[type(node.op)]()))
        case ast.If() | ast.IfExp() | ast.While():
            negated = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            yield Fault(node.lineno, function, "negate condition", _put(node, "test", negated))
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            nothing = ast.copy_location(ast.Constant(None), value)
            yield Fault(node.lineno, function, "return None", _put(node, "value", nothing))
        case ast.Constant(value=bool() as truth):
            yield Fault(node.lineno, function, f"{truth} -> {not truth}", _put(node, "value", not truth))
        case ast.Constant(value=int() as number):
            step = -1 if number % 2 else 1
            yield Fault(node.lineno, function, f"{number} -> {number + step}", _put(node, "value", number + step))


def _text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _put(node: ast.AST, name: str, value: object) -> Edit:
    return lambda: setattr(node, name, value)


def _set(values: list[Any], index: int, value: object) -> Edit:
    return lambda: values.__setitem__(index, value)


# --- Importing core with a change -------------------------------------------------------------------------------


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the module from a changed tree, and caches nothing."""

    change: Callable[[str, ast.Module], None]

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(Path(path).read_bytes(), path)
        self.change(fullname, tree)
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, change: Callable[[str, ast.Module], None]) -> None:
        self._change = change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith("ledgerlb.core"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
            spec.loader.change = self._change
        return spec


# --- Which tests reach which function ---------------------------------------------------------------------------


@dataclass
class Reach:
    """By function (``module:line``; line 0 is the module) the tests that reach it, and the seconds of each test."""

    tests: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def quickest(self, function: str, limit: float) -> list[str]:
        """Tests of the function, quickest first, as many as fit into ``limit`` seconds, and at least one."""
        chosen: list[str] = []
        total = 0.0
        for test in sorted(self.tests.get(function, ()), key=lambda name: self.seconds[name]):
            total += self.seconds[test]
            if chosen and total > limit:
                break
            chosen.append(test)
        return chosen


class _Recorder:
    """A plugin of pytest: notes the functions that each test reaches."""

    def __init__(self) -> None:
        self.hits: set[str] = set()
        self.by_function: dict[str, set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.hits.clear()
        began = time.perf_counter()
        yield
        self.seconds[item.nodeid] = time.perf_counter() - began
        for hit in self.hits:
            self.by_function[hit].add(item.nodeid)
            self.by_function[f"{hit.partition(':')[0]}:0"].add(item.nodeid)


def _count_functions(fullname: str, tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            hit = ast.parse(f"__reached__('{fullname}:{node.lineno}')").body[0]
            node.body.insert(1 if ast.get_docstring(node) is not None and len(node.body) > 1 else 0, hit)


def _state() -> str:
    """A digest of everything that the reach depends on."""
    digest = hashlib.sha256()
    for folder in (CORE, ROOT / "services", ROOT / "tests"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def reach_of_tests() -> Reach:
    """Measured by one run of the tests, or as kept from an earlier one."""
    state = _state()
    if CACHE.is_file():
        kept = json.loads(CACHE.read_text("utf-8"))
        if kept["state"] == state:
            return Reach(kept["tests"], kept["seconds"])
    print("mutate: which tests reach which functions (some minutes)", flush=True)
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    status = _wait(_fork(lambda: _measure(state)), 3600.0)
    if status != 0:
        raise SystemExit(f"mutate: the tests fail without a fault (status {status}): run make test-unit")
    kept = json.loads(CACHE.read_text("utf-8"))
    for name in kept["failed"]:
        print(f"mutate: left out, since it fails without a fault: {name}", flush=True)
    return Reach(kept["tests"], kept["seconds"])


def _measure(state: str) -> int:
    recorder = _Recorder()
    builtins.__reached__ = recorder.hits.add  # type: ignore[attr-defined]
    sys.meta_path.insert(0, _Finder(_count_functions))
    suites = [name for name in SUITES if (ROOT / name).is_dir()]
    left_out = [f"--ignore={name}" for name in LEFT_OUT]
    selected = [*suites, *left_out, "-m", "not integration and not dataplane"]
    status = int(pytest.main([*_OPTIONS[1:], *selected], plugins=[recorder]))
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return status
    # A test that fails by itself (a deadline missed on a busy machine) says nothing about a fault.
    tests = {function: sorted(names - recorder.failed) for function, names in sorted(recorder.by_function.items())}
    kept = {"state": state, "tests": tests, "seconds": recorder.seconds, "failed": sorted(recorder.failed)}
    CACHE.write_text(json.dumps(kept), "utf-8")
    return 0


# --- Trying faults ----------------------------------------------------------------------------------------------

_OPTIONS: Final = ("-x", "-q", "-o", "cache_dir=.cache/mutation/pytest", "-p", "no:xdist")


@dataclass(frozen=True)
class Mutant:
    """One fault to try: number ``index`` of the faults of ``module``."""

    module: str
    path: Path
    index: int
    line: int
    function: int
    operator: str

    @property
    def name(self) -> str:
        """The fault as people read it: ``file:line operator``."""
        return f"{self.path.relative_to(ROOT)}:{self.line} {self.operator}"


def mutants(only: str) -> list[Mutant]:
    """Every fault of every module whose path contains ``only``."""
    found = []
    for path in sorted(CORE.rglob("*.py")):
        if only in str(path.relative_to(CORE)):
            parts = path.relative_to(CORE).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            for index, fault in enumerate(faults(ast.parse(path.read_bytes()))):
                found.append(Mutant(module, path, index, fault.line, fault.function, fault.operator))
    return found


def verdict(mutant: Mutant, reach: Reach) -> str:
    """``killed``, ``hung``, ``survived``, or ``unreached`` where no test runs the function."""
    function = f"{mutant.module}:{mutant.function}"
    before = 0
    for limit in (FIRST_SECONDS, SECOND_SECONDS):
        tests = reach.quickest(function, limit)
        if not tests:
            return "unreached"
        if len(tests) == before:
            break
        seconds = sum(reach.seconds[name] for name in tests[before:])
        status = _wait(_fork(functools.partial(_try, mutant, tests[before:])), START_SECONDS + SLOWDOWN * seconds)
        if status is None:
            return "hung"
        if status != 0:
            return "killed"
        before = len(tests)
    return "survived"


def _try(mutant: Mutant | None, tests: Sequence[str]) -> int:
    def change(fullname: str, tree: ast.Module) -> None:
        if mutant is not None and fullname == mutant.module:
            faults(tree)[mutant.index].make()

    sys.meta_path.insert(0, _Finder(change))
    return int(pytest.main([*_OPTIONS, *tests]))


def _check_without_fault(some: Sequence[Mutant], reach: Reach) -> None:
    """A child in which nothing is broken must pass, or every verdict would be wrong."""
    tests = {test for mutant in some for test in reach.quickest(f"{mutant.module}:{mutant.function}", 1.0)}
    status = _wait(_fork(functools.partial(_try, None, sorted(tests))), 600.0)
    if status != 0:
        raise SystemExit(f"mutate: tests fail in a child without a fault (status {status}): nothing can be measured")


def _fork(work: Callable[[], int]) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(silence, number)
        status = work()
    finally:
        os._exit(status)


def _wait(pid: int, seconds: float) -> int | None:
    """The exit status of a child; None when it had to be ended after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _import_what_is_not_ours() -> None:
    """Import what every child needs, once; never a module of ours, which the child imports with its fault."""
    for name in (
        "hypothesis",
        "pydantic",
        "pydantic_settings",
        "msgspec",
        "netaddr",
        "yaml",
        "aiohttp",
        "structlog",
        "typer",
        "rich.table",
    ):
        __import__(name)


def main() -> None:
    """See module."""
    options = argparse.ArgumentParser(
        description="Measure the tests: break libs/core on purpose and count what they notice."
    )
    options.add_argument("--count", type=int, default=200, help="faults to try (default 200)")
    options.add_argument("--seed", type=int, default=1, help="which faults (default 1)")
    options.add_argument("--only", default="", metavar="TEXT", help="modules whose path contains TEXT")
    given = options.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.dont_write_bytecode = True
    _import_what_is_not_ours()
    reach = reach_of_tests()
    everything = mutants(given.only)
    chosen = random.Random(given.seed).sample(everything, min(given.count, len(everything)))  # noqa: S311 - repeatable
    _check_without_fault(chosen[:5], reach)
    outcome: dict[str, int] = defaultdict(int)
    for mutant in chosen:
        found = verdict(mutant, reach)
        outcome[found] += 1
        if found not in {"killed", "hung"}:
            print(f"{found}: {mutant.name}", flush=True)
    noticed = outcome["killed"] + outcome["hung"]
    print(
        f"mutate: {noticed} of {len(chosen)} faults noticed ({noticed / max(1, len(chosen)):.0%}), {outcome['hung']} of"
        f" them by time; {outcome['survived']} survived, {outcome['unreached']} in code that no test reaches;"
        f" {len(everything)} faults possible, seed {given.seed}"
    )


if __name__ == "__main__":
    main()
