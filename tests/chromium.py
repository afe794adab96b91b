"""Pages in a real browser: headless Chromium, which reads from disk and asks for nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium; skip the test where it, or playwright, is absent."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with playwright.sync_playwright() as started:
        # Root may not start its sandbox; the pages are our own.
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Seen:
    """A page from disk, and all that went wrong in it."""

    def __init__(self, browser: Any, path: Path, **options: Any):
        self.context = browser.new_context(accept_downloads=True, **options)
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.url = path.absolute().as_uri()
        self.folder = path.absolute().parent.as_uri()
        self.wrong: list[str] = []
        self.page.on("console", self._say)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._look)
        self.page.goto(self.url)

    def _say(self, message: Any) -> None:
        if message.type in ("error", "warning") and "getImageData" not in message.text:
            self.wrong.append(message.text)

    def _look(self, request: Any) -> None:
        if not request.url.startswith((self.folder, "data:", "blob:")):
            self.wrong.append(f"asks for {request.url}")

    def go(self, place: str, there: str) -> None:
        """Go to a place of the page, and wait until this can be seen there."""
        self.page.goto(f"{self.url}#{place}")
        self.page.wait_for_selector(there)

    def said(self) -> str:
        """Return what the page said last."""
        return self.page.inner_text("#said")

    def barriers(self) -> list[tuple[str, str]]:
        """Return what axe-core finds that keeps people out; the policy must be bypassed."""
        axe = os.environ.get("FOVFLOW_AXE", "")
        if not Path(axe).is_file():
            pytest.skip(
                "there is no axe.min.js here: npm install axe-core, and name it in FOVFLOW_AXE"
            )
        self.page.evaluate(Path(axe).read_text("utf-8"))
        return [
            (each["id"], each["nodes"][0]["html"][:200])
            for each in self.page.evaluate("axe.run()")["violations"]
            if each["impact"] in ("serious", "critical")
        ]


def centre(seen: Seen, cell: int, row: int = 6) -> dict[str, float]:
    """Return where the middle of a cell of `report.conftest.Folder` is in the viewer, in pixels."""
    box = seen.page.locator(".stage").bounding_box()
    assert box is not None
    scale = box["width"] / 64
    return {"x": (4.5 + 3 * cell) * scale, "y": (row + 0.5) * scale}
