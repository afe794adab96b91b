"""An undisturbed run of a tiny project, made once for all tests that disturb one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workflow_project import Project, make_project


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project after an undisturbed run; not to be changed."""
    project = make_project(
        tmp_path_factory.mktemp("quiet"), positions=2, frames=3, height=56, width=64, cells=2
    )
    done = project.run()
    assert done.status == 0, done.text
    return project


@pytest.fixture
def fresh(quiet: Project, tmp_path: Path) -> Project:
    """The same raw data, and no results."""
    project = Project(tmp_path / "fresh", **quiet.config)
    shutil.copytree(quiet.folder / "raw", project.folder / "raw")
    return project
