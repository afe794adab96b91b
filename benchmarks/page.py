"""Bring docs/performance.md and its figure up to date with the figures beside them.

    python -m benchmarks.page [--check]

Tables stand between ``<!-- table: NAME -->`` and ``<!-- end -->``; everything else is written by
hand.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.figure import draw
from benchmarks.tables import TABLES
from fovflow.atomic import write_text

DOCS = Path(__file__).resolve().parents[1] / "docs"
_BLOCK = re.compile(r"<!-- table: (?P<name>\w+) -->\n.*?<!-- end -->", re.DOTALL)


def fill(text: str, found: dict[str, Any]) -> str:
    """Return the page with every table made anew.

    Raises
    ------
    KeyError
        If the page names a table that does not exist.
    """

    def made(block: re.Match[str]) -> str:
        _, make = TABLES[block["name"]]
        return f"<!-- table: {block['name']} -->\n{make(found)}\n<!-- end -->"

    return _BLOCK.sub(made, text)


def main() -> int:
    """Write both files, or say with ``--check`` which of them is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of date")
    given = parser.parse_args()
    found = json.loads((DOCS / "performance.json").read_text(encoding="utf-8"))
    page = DOCS / "performance.md"
    made = {
        page: fill(page.read_text(encoding="utf-8"), found),
        DOCS / "performance.svg": draw(found),
    }
    stale = [
        path
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"docs/{path.name} {'is out of date' if given.check else 'is brought up to date'}")
        if not given.check:
            write_text(path, made[path])
    return int(bool(stale) and given.check)


if __name__ == "__main__":
    raise SystemExit(main())
