"""What goes wrong on a cluster is seen, named, tried again where that helps, and repaired."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fovflow.records import read_yaml
from fovflow.runs.state import read_run
from fovflow.runs.store import RunFolder, list_runs
from slurm.cluster import Cluster
from slurm.conftest import ClusterRun
from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

DATA, MEMORY, TIME, NODE, CANCEL = range(5)
STEPS = ("segment", "correct", "corrected", "track", "extract", "browse", "act")
TWO_MINUTES = ["copy:runtime=2 * attempt", *(f"{step}:runtime=0" for step in STEPS)]


def errors(run: RunFolder, fov: int) -> dict[int, str]:
    """Return the error of each attempt at the step `act` of a field of view."""
    view = read_run(run)
    return {
        attempt: job.error
        for (name, attempt), job in sorted(view.jobs.items())
        if name == f"act.sim.fov_{fov:03d}"
    }


def test_faults_cost_an_attempt_and_a_bad_fov_costs_itself(
    cluster: Cluster,
    start: Callable[..., ClusterRun],
    movie: Project,
    local: dict[str, bytes],
    tmp_path: Path,
):
    project = movie.copy_to(tmp_path / "faults")
    kinds = {DATA: "data", MEMORY: "memory", TIME: "time", NODE: "node", CANCEL: "cancel"}
    for fov, kind in kinds.items():
        (project.folder / "trouble" / str(fov)).write_text(kind)
    run = start(project, "--retries", "1", "--set-resources", *TWO_MINUTES)
    # A job that ends before it has removed its mark would get into the same trouble again.
    run.wait_until(lambda: run.in_trouble(NODE) and run.in_trouble(CANCEL), "trouble")
    lost = run.slurm_job(NODE)
    node = cluster.jobs()[lost]["node"]
    cluster.crash_node(node)
    cancelled = run.slurm_job(CANCEL)
    cluster.command("scancel", cancelled)
    first = {fov: run.slurm_job(fov) for fov in (MEMORY, TIME)}
    try:
        assert run.wait() == 1, run.text
    finally:
        cluster.start_node(node)

    (record,) = list_runs(project.folder / "results")
    assert errors(record, MEMORY) == {
        1: f"SLURM job {first[MEMORY]} took more memory than it asked for (600M)", 2: ""
    }  # fmt: skip
    assert errors(record, TIME) == {
        1: f"SLURM job {first[TIME]} ran over its time limit (00:02:00)", 2: ""
    }  # fmt: skip
    assert errors(record, NODE) == {1: f"SLURM job {lost} lost its node ({node})", 2: ""}
    assert errors(record, CANCEL) == {1: f"SLURM job {cancelled} was cancelled", 2: ""}
    assert list(errors(record, DATA)) == [1], "the error of the data was not met again"
    assert "the data are bad" in errors(record, DATA)[1]
    copies = {attempt: job for (name, attempt), job in read_run(record).jobs.items()
              if name == f"copy.sim.fov_{DATA:03d}"}  # fmt: skip
    assert copies[2].error.startswith("not tried again: act has failed in this run")

    jobs = cluster.jobs()
    again = {fov: jobs[run.slurm_job(fov)] for fov in (MEMORY, TIME)}
    assert again[MEMORY]["memory"] == "900M"
    assert again[TIME]["limit"] == "4:00"

    content = record.read_record()
    assert content["status"] == "failed"
    assert content["counts"]["failed"] == 1
    failed = [failure for failure in content["failures"] if failure["rule"] == "act"]
    assert [failure["wildcards"]["fov"] for failure in failed] == ["000"]
    results = read_yaml(project.results / "processing_results.yaml")
    assert {fov: entry["status"] for fov, entry in results["fovs"].items()} == {
        "0": "failed", "1": "complete", "2": "complete", "3": "complete", "4": "complete"
    }  # fmt: skip
    assert results["fovs"]["0"]["step"] == "act"
    assert "sim: 4 of 5 FOVs complete" in run.text

    (project.folder / "trouble" / str(DATA)).unlink()
    before = set(cluster.jobs())
    repair = start(project, "--set-resources", *TWO_MINUTES)
    assert repair.wait() == 0, repair.text
    (only,) = set(cluster.jobs()) - before
    assert f"fov_{DATA:03d}_" in cluster.jobs()[only]["comment"]
    assert project.outputs() == local


def test_a_job_that_slurm_refuses_is_told_with_its_reason(
    start: Callable[..., ClusterRun], movie: Project, tmp_path: Path
):
    project = movie.copy_to(tmp_path / "refused")
    project.config["fovs"] = "0"
    run = start(project, "--retries", "0", "--set-resources", "copy:mem_mb=90000")
    assert run.wait(120) == 1, run.text
    (record,) = list_runs(project.folder / "results")
    (failure,) = record.read_record()["failures"]
    assert failure["rule"] == "copy"
    assert failure["error"].startswith("SLURM did not take the job: sbatch: error: ")
    assert failure["error"] in run.text
