"""The demo and the site, made once for all tests and all processes that run them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from documents.prepared import TOLD

from pages import Reader, blocks
from paths import ROOT


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first process that asks for it has made; not to be changed."""
    base = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what is left of an attempt that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def first_block(page: str, text: str):
    """Return the first block of a page that holds a text."""
    return next(block for block in blocks(page) if text in block.text)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``make demo`` was run, as README.md says."""

    def make(folder: Path) -> None:
        told = Reader(folder).run(first_block("README.md", "make demo"))
        (folder / TOLD).write_text(told, encoding="utf-8")

    return made_once(tmp_path_factory, "demonstration", make)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as docs/README.md says; a warning would have failed it."""

    def build(folder: Path) -> None:
        shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("_build"))
        shutil.copyfile(ROOT / "CHANGELOG.md", folder / "CHANGELOG.md")
        Reader(folder).run(first_block("docs/README.md", "make docs"))

    return made_once(tmp_path_factory, "site", build) / "docs" / "_build"
