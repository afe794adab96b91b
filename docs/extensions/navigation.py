"""Pages that no table of contents names are listed where ``<!-- all other pages -->`` stands.

So a new page is in the navigation from the start, if not yet in the right place.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_MARK = "<!-- all other pages -->"
_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def named_pages(folder: Path) -> set[str]:
    """Return the pages that tables of contents name, relative to `folder` and without suffix."""
    named = {"index"}
    for page in folder.glob("*.md"):
        for block in _TOCTREE.findall(page.read_text(encoding="utf-8")):
            named |= {line.strip() for line in block.splitlines() if not line.startswith(":")}
    return named


def list_others(app: Any, name: str, source: list[str]) -> None:
    """Put a table of contents of the pages that are left over in place of the mark."""
    if _MARK in source[0]:
        others = sorted(set(app.env.found_docs) - named_pages(Path(app.srcdir)))
        listed = "\n".join(others)
        tree = f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```" if others else ""
        source[0] = source[0].replace(_MARK, tree)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", list_others)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
