"""The page of what other manuals describe: every row names a test, and each of these is there."""

from __future__ import annotations

import ast
import re
from functools import cache

from paths import ROOT

PAGE = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_names_a_test_that_is_there():
    tables = re.findall(r"^\| described there .*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows = [line for table in tables for line in table.splitlines()]
    assert len(tables) == 4
    assert len(rows) == len(set(rows)) > 70
    for row in rows:
        *_, named = (cell.strip() for cell in row.strip("|").split("|"))
        found = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", named)
        assert found, row
        assert found[2] in names_in(found[1]), row
