"""The wheel carries the workflow and the command, and works outside the clone."""

from __future__ import annotations

import json
import zipfile

import pytest

import fovflow
from fovflow.simulation import MovieParams, simulate, write_movie

pytestmark = pytest.mark.slow


def test_the_wheel_carries_the_workflow_and_nothing_of_the_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (name for name in names if name.endswith("entry_points.txt"))
        text = archive.read(points).decode()
    assert wheel.name.startswith(f"fovflow-{fovflow.__version__}-")
    for part in (
        "Snakefile",
        "rules/copy.smk",
        "scripts/segment.py",
        "config/config.yaml",
        "profiles/default/config.yaml",
        "envs/fovflow.yaml",
        "benchmarks/__main__.py",
    ):
        assert f"fovflow/workflow/{part}" in names
    assert "fovflow/py.typed" in names
    for part in ("page.html.j2", "dataset.html.j2", "fovs.html.j2", "charts.html.j2", "style.css"):
        assert f"fovflow/report/templates/{part}" in names
    assert "snakemake_logger_plugin_fovflow/__init__.py" in names
    assert "fovflow = fovflow.cli:main" in text
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]
    assert len(names) == len(set(names))


def test_the_installed_wheel_runs_a_project_outside_the_clone(installed, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    movie = simulate(MovieParams(frames=3, height=96, width=96, cells=2))
    write_movie(movie, project / "raw.ome.tif")

    version = installed.run("--version", cwd=project)
    assert version.stdout == f"fovflow {fovflow.__version__}\n"
    made = installed.run("init", ".", "--raw", "raw.ome.tif", cwd=project)
    assert made.returncode == 0, made.stderr
    done = installed.run("run", "--cores", "2", cwd=project)
    assert done.returncode == 0, done.stderr
    (record,) = (project / "results" / "runs").glob("*/run.json")
    assert str(installed.folder) in record.read_text(), "the workflow inside the wheel was run"
    listed = installed.run("runs", "list", "--json", cwd=project)
    assert [run["status"] for run in json.loads(listed.stdout)] == ["completed"], listed.stderr
    shown = installed.run("status", cwd=project)
    assert shown.returncode == 0, shown.stderr
    assert "1 of 1 FOVs complete" in shown.stdout
    checked = installed.run("verify", "results", cwd=project)
    assert checked.returncode == 0, checked.stdout
    again = installed.run("run", "--cores", "2", cwd=project)
    assert "Nothing to be done" in again.stderr
    tables = installed.run("bench", "--plan", "tiny", "--only", "arrays", cwd=project)
    assert tables.returncode == 0, tables.stderr
    assert "| segment | logstd |" in tables.stdout
    assert "against its plain version" not in tables.stdout, "those are in the clone alone"
