"""Make small changes in a file, one at a time, and tell which of them no test notices.

``python tests/mutate.py src/fovflow/results.py 30 1 tests/results tests/core`` tries 30 changes,
chosen by the seed 1. Work in a copy of the checkout (``git worktree``): the file is changed in it.
"""

from __future__ import annotations

import ast
import copy
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
        for each in child if isinstance(child, list) else [child]:
            if isinstance(each, ast.AST) and name not in ("annotation", "returns"):
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
    def __init__(self, number: int, at: int):
        self.number, self.at, self.before = number, at, ""

    def apply(self, tree: ast.AST) -> ast.AST:
        self.target = list(ast.walk(tree))[self.number]
        self.before = ast.unparse(self.target)
        return ast.fix_missing_locations(self.visit(tree))

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.target:
            return changed(node, self.at)
        return self.generic_visit(node)


def main(file: str, count: str, seed: str, *tests: str) -> None:
    """Try changes; print those that survive, and how many were killed."""
    path = Path(file)
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    number = {id(node): i for i, node in enumerate(ast.walk(tree))}
    found = [(node, at) for node, at in places(tree) if id(node) in number]
    random.Random(int(seed)).shuffle(found)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-m", "not workflow and not slow and not slow_kills", *tests]
    environment = {**os.environ, "PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"}
    survived = 0
    try:
        for node, at in found[: int(count)]:
            change = _Change(number[id(node)], at)
            path.write_text(ast.unparse(change.apply(copy.deepcopy(tree))), encoding="utf-8")
            try:
                done = subprocess.run(
                    command, env=environment, capture_output=True, check=False, timeout=120
                )
            except subprocess.TimeoutExpired:
                continue
            if done.returncode == 0:
                survived += 1
                print(f"{file}:{getattr(node, 'lineno', 0)}: {change.before[:120]}", flush=True)
    finally:
        path.write_text(source, encoding="utf-8")
    tried = min(int(count), len(found))
    print(f"{file}: {tried} of {len(found)} changes, {tried - survived} noticed")


if __name__ == "__main__":
    main(*sys.argv[1:])
