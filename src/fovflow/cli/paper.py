"""The folder of a paper: a project with what others need to do the analysis again."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import fovflow
from fovflow.atomic import write_text

TEMPLATE = Path(fovflow.__file__).resolve().parent / "paper"
_NAMES = {"gitignore": ".gitignore"}


def lay_out_paper(folder: Path) -> None:
    """Add Makefile, figures, README and pinned versions; files that are there are left alone."""
    for source in sorted(path for path in TEMPLATE.rglob("*") if path.is_file()):
        inner = source.relative_to(TEMPLATE)
        if "__pycache__" in inner.parts:
            continue
        target = folder / inner.with_name(_NAMES.get(inner.name, inner.name))
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            write_text(target, text.replace("@VERSION@", fovflow.__version__))
    pins = folder / "constraints.txt"
    if not pins.exists():
        write_text(pins, "".join(f"{line}\n" for line in pinned_versions()))


def pinned_versions(package: str = "fovflow") -> list[str]:
    """Return ``name==version`` of everything that a package needs, as it is installed here.

    Optional dependencies are left out. What is not installed (for another system, say) is, too.
    """
    found: dict[str, str] = {}
    waiting = [package]
    while waiting:
        for line in _requirements(waiting.pop()):
            name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
            key = re.sub(r"[-_.]+", "-", name).lower()
            if key in found or key == package or re.search(r";.*\bextra\b", line):
                continue
            try:
                found[key] = version(name)
            except PackageNotFoundError:
                continue
            waiting.append(name)
    return [f"{name}=={number}" for name, number in sorted(found.items())]


def _requirements(package: str) -> list[str]:
    try:
        return requires(package) or []
    except PackageNotFoundError:
        return []
