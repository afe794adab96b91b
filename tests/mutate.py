"""Make small changes in a file, one at a time, and tell which of them no test notices.

``python tests/mutate.py src/fovflow/results.py tests/results tests/core`` tries all changes;
``--count 30 --seed 1`` chooses among them. The tests are run once to learn which of them reach
which line; each change is then tried on the quickest of those that reach its lines, in a fork that
has the libraries imported already. The file itself stays as it is.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "cv2", "hypothesis", "hypothesis.extra.numpy", "jinja2", "pandas", "pydantic", "pytest", "rich",
    "scipy.ndimage", "scipy.optimize", "scipy.stats", "skimage.measure", "skimage.segmentation",
    "tifffile", "yaml", "zarr",
)  # fmt: skip
MARKS = "not workflow and not slow and not slow_kills and not slow_sequences and not slow_injection"

_COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OPERATIONS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


def places(node: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Yield what can be changed below a node, without messages and annotations."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.arguments):
        return
    if isinstance(node, ast.Compare):
        yield from ((node, i) for i, op in enumerate(node.ops) if type(op) in _COMPARISONS)
    elif (
        (isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATIONS)
        or isinstance(
            node, ast.BoolOp | ast.UnaryOp | ast.IfExp | ast.If | ast.Break | ast.Continue
        )
        or (isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    ):
        yield node, 0
    elif isinstance(node, ast.Call):
        yield from ((node, i) for i, key in enumerate(node.keywords) if key.arg)
    for name, child in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for each in child if isinstance(child, list) else [child]:
                if isinstance(each, ast.AST):
                    yield from places(each)


def changed(node: ast.AST, at: int) -> ast.AST:
    """Return a node with one small change."""
    if isinstance(node, ast.Compare):
        node.ops[at] = _COMPARISONS[type(node.ops[at])]()
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        node.op = _OPERATIONS[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp):
        return node.operand
    elif isinstance(node, ast.IfExp):
        node.body, node.orelse = node.orelse, node.body
    elif isinstance(node, ast.If):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.Call):
        del node.keywords[at]
    else:
        return ast.Pass()
    return node


class _Change(ast.NodeTransformer):
    def __init__(self, tree: ast.AST, number: int, at: int):
        self.at = at
        self.tree = copy.deepcopy(tree)
        self.target: Any = list(ast.walk(self.tree))[number]
        self.told = ast.unparse(self.target)[:100]
        heads = [self.target.test] if isinstance(self.target, ast.If) else [self.target]
        self.lines = {
            line for head in heads for line in range(head.lineno, (head.end_lineno or 0) + 1)
        }

    def apply(self) -> ast.AST:
        return ast.fix_missing_locations(self.visit(self.tree))

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.target:
            node = changed(node, self.at)
            self.told = f"{self.told} → {ast.unparse(node)}"
            return node
        return self.generic_visit(node)


def module_of(path: Path) -> str:
    """Return the name of a file's module."""
    parts = path.resolve().relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The file's module is made of other code."""

    def __init__(self, path: Path, tree: ast.AST):
        self.name, self.path = module_of(path), path
        self.code = compile(tree, str(path.resolve()), "exec")

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        places = [str(self.path.parent)] if self.path.stem == "__init__" else None
        return importlib.util.spec_from_file_location(
            name, self.path, loader=self, submodule_search_locations=places
        )

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


class _Durations:
    """A plug-in of pytest that notes how long each test took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration


def _pytest(words: Sequence[str], *plugins: object) -> int:
    import pytest

    words = ["-q", "-p", "no:cacheprovider", "-m", MARKS, *words]
    words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # imported already
    return int(pytest.main(words, plugins=plugins))


def _in_fork(
    work: Callable[[], int], seconds: float, screen: str | os.PathLike[str] = os.devnull
) -> int | None:
    """Return the exit status of work in a fork; None if it takes longer."""
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.setsid()
            for number in (1, 2):
                os.dup2(os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
            status = work()
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def reached(file: Path, tests: Sequence[str]) -> tuple[dict[int, set[str]], dict[str, float]]:
    """Run the tests; return those that reach a line of the file, and how long each took (s).

    Line 0 has all of them. What a line does in a fixture may be looked at by any test of that file.
    """
    import coverage

    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVERAGE_FILE"] = str(Path(folder, "data"))
        times = Path(folder, "times")

        def run() -> int:
            durations = _Durations()
            words = [
                "-p",
                "pytest_cov",
                f"--cov={module_of(file)}",
                "--cov-context=test",
                "--cov-report=",
                *tests,
            ]
            status = _pytest(words, durations)
            times.write_text(json.dumps(durations.seconds))
            return status

        screen = Path(folder, "screen")
        if _in_fork(run, 3600, screen):
            raise SystemExit(f"{screen.read_text()[-3000:]}\nthe tests fail without any change")
        seconds = json.loads(times.read_text())
        data = coverage.CoverageData(os.environ.pop("COVERAGE_FILE"))
        data.read()
        contexts = data.contexts_by_lineno(str(file.resolve()))
    found: dict[int, set[str]] = defaultdict(set)
    for line, names in contexts.items():
        for test, _, phase in (name.rpartition("|") for name in names if name):
            place = test.partition("::")[0]
            alike = [x for x in seconds if x.partition("::")[0] == place]
            found[line].update([test] if phase == "run" else alike)
    found[0] = set().union(*found.values())
    return found, seconds


def quickest(tests: Iterable[str], seconds: dict[str, float], most: float) -> list[str]:
    """Return the quickest tests that take `most` seconds together, and one at least."""
    chosen = sorted(tests, key=lambda test: seconds.get(test, 0))
    ends = accumulate(seconds.get(test, 0) for test in chosen)
    return [test for test, end in zip(chosen, ends, strict=True) if end <= most] or chosen[:1]


def main() -> None:
    """Try changes; print those that survive, and how many were noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="of tests that a change gets")
    given = parser.parse_args()
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    os.environ |= {"PYTHONPATH": str(ROOT / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name in LIBRARIES:
        importlib.import_module(name)
    tree = ast.parse(given.file.read_text(encoding="utf-8"))
    number = {id(node): i for i, node in enumerate(ast.walk(tree))}
    found = [(number[id(node)], at) for node, at in places(tree) if id(node) in number]
    random.Random(given.seed).shuffle(found)
    lines, seconds = reached(given.file, given.tests)
    changes = [_Change(tree, *place) for place in found[: given.count]]
    survived = 0
    for change in sorted(changes, key=lambda change: min(change.lines)):
        tests = set().union(*(lines.get(line, set()) for line in change.lines))
        tests = quickest(tests or lines[0], seconds, given.seconds)  # lines[0]: done on import
        instead = _Instead(given.file, change.apply())

        def try_it(tests: list[str] = tests, instead: _Instead = instead) -> int:
            sys.meta_path.insert(0, instead)
            return _pytest(["-x", *tests])

        if _in_fork(try_it, 60 + 10 * given.seconds) == 0:
            survived += 1
            print(f"{given.file}:{min(change.lines)}: {change.told[:220]}", flush=True)
    print(
        f"{given.file}: {len(changes)} of {len(found)} changes, {len(changes) - survived} noticed"
    )


if __name__ == "__main__":
    main()
