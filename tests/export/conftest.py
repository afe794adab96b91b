"""Results to export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.made_results import make_fov, write
from fovflow.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path / "results")
    for fov in (0, 1):
        make_fov(found, fov)
    return found


@pytest.fixture
def folder(layout: Layout) -> Path:
    """The dataset's folder."""
    return write(layout)


@pytest.fixture
def table(folder: Path) -> Any:
    """The traces of FOV 0."""
    import fovflow

    return fovflow.load_results(folder).fovs[0].traces()
