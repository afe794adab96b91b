"""What keeps one FOV from being written costs that FOV, and is told; all others go on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from fovflow.adapter import outcome
from fovflow.adapter.job import check_outputs, sentence_of
from fovflow.config.load import read_config
from fovflow.errors import ConfigError
from fovflow.planning.pipeline import Pipeline
from fovflow.results import load_results
from fovflow.runs.verify import verify
from workflow_project import Project, make_project


@contextmanager
def write_protected(path: Path) -> Iterator[None]:
    """Write-protect a file or folder, also against root."""
    if os.geteuid():
        mode = path.stat().st_mode
        path.chmod(mode & ~0o222)
        try:
            yield
        finally:
            path.chmod(mode)
        return
    set_flag = ["chattr", "+i", str(path)]
    if (
        not shutil.which("chattr")
        or subprocess.run(set_flag, check=False, capture_output=True).returncode
    ):
        pytest.skip("files cannot be protected against root here")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


@contextmanager
def replaced(path: Path, put: Callable[[Path], object]) -> Iterator[None]:
    """Put something else in the place of a file or folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    put(path)
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def full_folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


def obstacles(project: Project) -> list[tuple[int, str, AbstractContextManager[None]]]:
    """Return FOVs with what is said of them, and what puts an obstacle in their way."""
    folder, segmented = project.results / "fov_000", project.file(3, "seg_ch_0.npy")
    folder.mkdir(parents=True, exist_ok=True)
    in_the_way = "there is a folder of that name (results/sim/fov_002/sim_fov_002_traces.csv)"
    found = [
        (0, "to do: allow writing there", write_protected(folder)),
        (1, "File exists (results/sim/fov_001)", replaced(folder.parent / "fov_001", Path.touch)),
        (2, in_the_way, replaced(project.file(2, "traces.csv"), full_folder)),
    ]
    if segmented.exists():
        protected = f"the file is write-protected ({segmented.relative_to(project.folder)})"
        found.append((3, protected, write_protected(segmented)))
    return found


def check_blocked_runs(project: Project, times: int) -> None:
    """Run with obstacles in the way of several FOVs, which fail alone, and then without."""
    blocked = obstacles(project)
    with ExitStack() as stack:
        for _, _, obstacle in blocked:
            stack.enter_context(obstacle)
        for _ in range(times):
            done = project.run()
            assert done.status == 1
            assert "Traceback" not in done.text, done.text
            fovs = load_results(project.results).fovs
            failed = {fov: "failed" for fov, _, _ in blocked}
            status = {fov: result.status for fov, result in fovs.items()}
            assert status == dict.fromkeys(range(5), "complete") | failed, done.text
            assert f"sim: {5 - len(blocked)} of 5 FOVs complete" in done.text
            lines = done.text.splitlines()
            for fov, sentence, _ in blocked:
                assert sentence in fovs[fov].error
                assert len([x for x in lines if f"sim, FOV {fov}" in x and sentence in x]) == 1
    repaired = project.run()
    assert repaired.status == 0, repaired.text
    assert not verify(project.folder / "results").findings
    assert {fov.status for fov in load_results(project.results).fovs.values()} == {"complete"}


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project of five FOVs after an undisturbed run."""
    project = make_project(
        tmp_path_factory.mktemp("five"), positions=5, frames=2, height=48, width=48, cells=2
    )
    done = project.run()
    assert done.status == 0, done.text
    return project


@pytest.mark.workflow
@pytest.mark.slow
def test_fovs_that_cannot_be_written_the_first_time(five: Project, tmp_path: Path):
    project = Project(tmp_path / "first", **five.config)
    shutil.copytree(five.folder / "raw", project.folder / "raw")
    check_blocked_runs(project, times=1)
    assert project.outputs() == five.outputs()


@pytest.mark.workflow
@pytest.mark.slow
def test_fovs_that_cannot_be_made_anew(five: Project, tmp_path: Path):
    project = five.copy_to(tmp_path / "again")
    project.config["segment"] = {"min_area_um2": 7}
    check_blocked_runs(project, times=2)


def test_an_output_that_is_not_to_be_written_is_named(tmp_path, monkeypatch):
    folder, protected, free = (str(tmp_path / name) for name in ("folder", "protected", "free"))
    Path(folder).mkdir()
    for name in (protected, free):
        Path(name).touch()
    monkeypatch.setattr(os, "access", lambda name, mode: name != protected or mode != os.W_OK)
    check_outputs([free, str(tmp_path / "absent")])
    with pytest.raises(PermissionError, match="the file is write-protected") as caught:
        check_outputs([free, protected])
    assert sentence_of(caught.value) == (
        f"the file is write-protected ({protected}); to do: allow writing there, and run the same "
        "command again"
    )
    with pytest.raises(IsADirectoryError, match="there is a folder of that name"):
        check_outputs([free, folder])


def test_a_full_disk_is_told_with_its_folder_and_what_is_needed(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "a.npy"))
    error.add_note("a.npy needs 12.5 MB")
    told = sentence_of(error)
    assert told.startswith(f"No space left on device ({tmp_path}/a.npy); found: ")
    assert f" MB free on the disk of {tmp_path}, a.npy needs 12.5 MB; to do: make room" in told
    assert sentence_of(OSError(errno.EIO, "Input/output error", "x")) == "Input/output error (x)"


def test_a_manifest_that_cannot_be_written_is_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "x"), None, None)

    monkeypatch.setattr(outcome, "write_manifest", fail)
    config = {"datasets": {"m": {"path": "none.nd2"}}, "channels": {"pc": 0}}
    outcome.update_manifest(Pipeline(config), "m")
    told = f"m: cannot write the manifest: Read-only file system ({tmp_path}/x); to do: allow"
    assert capsys.readouterr().err.startswith(told)
    with pytest.raises(ConfigError, match="cannot be read; found: Is a directory; to do"):
        read_config(tmp_path)
