"""The wheel carries the workflow and the command, and works outside the clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fovflow
from fovflow.simulation import MovieParams, simulate, write_movie
from paths import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


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
    ):
        assert f"fovflow/workflow/{part}" in names
    assert "fovflow/py.typed" in names
    assert "snakemake_logger_plugin_fovflow/__init__.py" in names
    assert "fovflow = fovflow.cli:main" in text
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_the_unpacked_wheel_runs_a_project_outside_the_clone(wheel, tmp_path):
    place = tmp_path / "site packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    project = tmp_path / "project"
    raw = project / "raw.ome.tif"
    project.mkdir()
    write_movie(simulate(MovieParams(frames=3, height=96, width=96, cells=2)), raw)
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        "import fovflow.cli; assert 'site packages' in fovflow.__file__, fovflow.__file__; "
        "sys.exit(fovflow.cli.main())"
    )

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, str(place), *arguments],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(place)},
            capture_output=True,
            text=True,
            check=False,
        )

    made = command("init", ".", "--raw", "raw.ome.tif")
    assert made.returncode == 0, made.stderr
    done = command("run", "--cores", "2")
    assert done.returncode == 0, done.stderr
    assert str(place) in done.stderr, "the workflow inside the wheel was run"
    listed = command("runs", "list", "--json")
    assert [run["status"] for run in json.loads(listed.stdout)] == ["completed"], listed.stderr
    shown = command("status")
    assert shown.returncode == 0, shown.stderr
    assert "1 of 1 FOVs complete" in shown.stdout
