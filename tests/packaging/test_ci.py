"""With ``CI=true`` nothing is left out in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT

READS = "tests/readers/test_tiff_reader.py"


def pytest_says(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_example_files_that_are_absent(ci: str, status: int, tmp_path: Path):
    done = pytest_says([READS, "-k", "nis_elements"], FOVFLOW_TEST_DATA=str(tmp_path), CI=ci)
    assert done.returncode == status, done.stdout
    assert "example file t98g" in done.stdout
    assert ("with CI=true this may not be absent" in done.stdout) is bool(status)


@pytest.mark.parametrize(("ci", "status"), [("true", 2), ("", 5)])
def test_packages_that_are_absent(ci: str, status: int, tmp_path: Path):
    (tmp_path / "pylibCZIrw").mkdir()
    (tmp_path / "pylibCZIrw" / "__init__.py").write_text("raise ModuleNotFoundError('pylibCZIrw')")
    done = pytest_says(["tests/readers/test_czi_reader.py"], PYTHONPATH=str(tmp_path), CI=ci)
    assert done.returncode == status, done.stdout
    assert ("with CI=true this may not be absent" in done.stdout) is (ci == "true")


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0), ("false", 0)])
def test_slurm_that_is_absent(ci: str, status: int, tmp_path: Path):
    for name in ("bash", "dirname", "id"):  # neither SLURM nor apt-get
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    environment = {"PATH": str(tmp_path), "PYTHON": sys.executable, "CI": ci}
    done = subprocess.run(
        [ROOT / "tests" / "slurm" / "run.sh"], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "skipped: tests on a SLURM cluster need" in done.stdout
    assert ("failed: with CI=true" in done.stderr) is bool(status)
