"""Links from pages to Markdown files outside ``docs/`` lead to the pages that show these."""

from __future__ import annotations

from typing import Any

PAGES = {
    "](../config/README.md": "](configuration.md",
    "](../CHANGELOG.md": "](changelog.md",
}


def redirect(app: Any, name: str, source: list[str]) -> None:
    """Put the page in place of the file; both have the same headings."""
    for file, page in PAGES.items():
        source[0] = source[0].replace(file, page)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", redirect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
