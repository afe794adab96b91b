"""The image of the configuration reaches the rules, and is used where it is asked for only."""

from __future__ import annotations

import shutil

import pytest

from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_an_image_reruns_nothing_without_the_flag(project: Project):
    done = project.run("-n", "--config", "container=image.sif")
    assert done.status == 0, done.text
    assert done.jobs == {}


def test_with_the_flag_jobs_ask_for_the_image_and_for_none_without_one(project: Project):
    if shutil.which("apptainer") or shutil.which("singularity"):
        pytest.skip("the image would be looked for")
    project.file(0, "traces.csv").unlink()
    without = project.run("-n", "--sdm", "apptainer")
    assert without.status == 0, without.text
    assert without.jobs["extract"] == 1
    done = project.run("-n", "--sdm", "apptainer", "--config", "container=image.sif")
    assert done.status == 1
    assert "apptainer or singularity command has to be available" in done.text
