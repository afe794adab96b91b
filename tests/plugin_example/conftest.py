"""The example's package is on the path, with its entry points, as after its installation."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE))


def register(folder: Path, name: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Write into `folder` what an installation leaves of a package."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, parts in entry_points.items():
        lines += [f"[{group}]", *(f"{part} = {value}" for part, value in parts.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture(autouse=True)
def _installed(tmp_path_factory, monkeypatch):
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    folder = tmp_path_factory.mktemp("site")
    register(folder, "fovflow_example", project["entry-points"])
    monkeypatch.syspath_prepend(str(folder))
