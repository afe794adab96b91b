"""The sdist holds the whole project, and makes the same wheel."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import fovflow
from building import build
from paths import ROOT

pytestmark = pytest.mark.slow


def contents(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {n: hashlib.sha256(archive.read(n)).hexdigest() for n in archive.namelist()}


def members(sdist: Path) -> dict[str, bytes]:
    """Return the content of each file by its name below the top folder."""
    with tarfile.open(sdist) as archive:
        found = {}
        for member in archive.getmembers():
            assert member.isfile(), member.name
            top, _, name = member.name.partition("/")
            assert top == f"fovflow-{fovflow.__version__}"
            stream = archive.extractfile(member)
            assert stream is not None
            found[name] = stream.read()
        return found


def test_the_sdist_holds_every_file_of_the_project_and_no_other(sdist):
    if not (ROOT / ".git").exists():
        pytest.skip("only a clone can list the project's files")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    present = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    found = set(members(sdist)) - {"PKG-INFO"}
    assert present - found == set()
    untracked = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert found - present <= set(untracked.stdout.split("\0"))


def test_the_sdist_says_nothing_of_the_machine_that_made_it(sdist):
    files = members(sdist)
    assert "tests/packaging/test_sdist.py" in files
    for place in {str(ROOT), sys.prefix}:
        assert [name for name, data in files.items() if place.encode() in data] == []


def test_the_sdist_makes_the_same_wheel_as_the_checkout(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    (tmp_path / "dist").mkdir()
    assert contents(build(source, "wheel", tmp_path / "dist")) == contents(wheel)
