"""Results of versions that had fewer steps are complete: nothing is made again for that."""

from __future__ import annotations

import pytest

import fovflow
from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_cells_are_not_drawn_where_that_would_need_everything_again(project: Project):
    project.config["keep"] = []
    for fov in (0, 1):
        for path in (project.results / f"fov_{fov:03}").iterdir():
            if path.suffix in (".npy", ".js"):
                path.unlink()
        (project.results / "logs" / f"fov_{fov:03}" / "browse.json").unlink()
    done = project.run("--dry-run")
    assert "browse" not in done.jobs
    assert not {"copy", "segment", "track", "extract"} & {*done.jobs}
    words = "the report cannot show single cells of it"
    assert f"FOVs 0, 1: {words}" in done.text or f"FOVs 0-1: {words}" in done.text
    done = project.run()
    assert done.status == 0, done.text
    states = fovflow.load_results(project.results).fovs
    assert {state.status for state in states.values()} == {"complete"}

    project.config["keep"] = ["pc", "fl", "seg_labeled"]  # they are asked for: all is made again
    assert project.run("--dry-run").jobs["browse"] >= 2
