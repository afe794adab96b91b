"""The records of a run are taken away while it is at work: the run itself goes on."""

from __future__ import annotations

import pytest
from faults.killing import Running

from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_a_run_whose_recorder_is_broken_goes_on_and_says_so_once(quiet: Project, fresh: Project):
    running = Running(fresh)
    try:
        assert running.wait_until(lambda: running.started() >= 2)
        runs = fresh.folder / "results" / "runs"
        runs.rename(fresh.folder / "aside")
        runs.write_text("in the way")
        status, text = running.end()
    finally:
        running.clear()
    assert status == 0, text
    assert "Traceback" not in text, text
    assert text.count("the run is not recorded further, and goes on") <= 1
    assert fresh.outputs() == quiet.outputs()
