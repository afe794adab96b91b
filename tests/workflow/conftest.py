"""A finished run, made once for all tests of this folder that change a copy of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_project import Project, make_project


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose run is complete, with all stacks; not to be changed."""
    project = make_project(tmp_path_factory.mktemp("finished"))
    done = project.run_program()
    assert done.status == 0, done.text
    return project


@pytest.fixture
def project(finished_project: Project, tmp_path: Path) -> Project:
    """A copy of the finished project."""
    return finished_project.copy_to(tmp_path / "project")
