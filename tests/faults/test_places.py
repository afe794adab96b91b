"""A full disk and a folder that cannot be written, with real file systems of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults.killing import HANGS_S

from paths import ROOT
from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

ISOLATE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
"""Gives a process mounts of its own, which are gone when it ends."""

FULL_KIB = 192
"""Size of the full disk: enough for the first steps of a run that needs about 800 KiB."""


def in_private_mounts(folder: Path, script: str) -> dict[str, str]:
    """Run a shell script with mounts of its own; return the text files that it wrote to ``out``.

    The script calls ``pipeline NAME``, which writes the screen and the exit status to
    ``out/NAME.txt`` and ``out/NAME.status``.
    """
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare command")
    probe = "mount -t tmpfs none /mnt"
    if subprocess.run([*ISOLATE, "sh", "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    (folder / "out").mkdir()
    command = f'"{sys.executable}" -m snakemake --snakefile "{ROOT}/Snakefile" --cores 2 --nocolor'
    run = f"{command} > out/$1.txt 2>&1 && s=0 || s=$?"
    define = f"pipeline() {{ {run}; echo $s > out/$1.status; }}\n"
    subprocess.run(
        [*ISOLATE, "sh", "-e", "-c", define + script], cwd=folder, check=True, timeout=HANGS_S
    )
    files = sorted((folder / "out").glob("*.*"))
    return {path.name: path.read_text(encoding="utf-8") for path in files if path.is_file()}


def test_a_full_disk_is_named_and_costs_nothing_that_was_complete(quiet: Project, fresh: Project):
    fresh.config["run"] = {"check_disk": False}  # otherwise nothing would begin
    fresh.write_config()
    told = in_private_mounts(
        fresh.folder,
        f"""
        mkdir results
        mount -t tmpfs -o size={FULL_KIB}k none results
        pipeline full
        cp -a results out/at_first
        mount -o remount,size=64m results
        pipeline again
        cp -a results out/at_last
        """,
    )
    assert told["full.status"] == "1\n"
    assert "No space left on device" in told["full.txt"]
    assert "Traceback" not in told["full.txt"], told["full.txt"]
    first = Project(fresh.folder / "out", **{**fresh.config, "outdir": "at_first"}).outputs()
    whole = quiet.outputs()
    steps = {name: content for name, content in first.items() if name in whole}
    assert any(name.endswith("_pc_ch_0.npy") for name in steps)
    assert not any(name.endswith(".part") for name in first), sorted(first)
    changed = {name for name, content in steps.items() if content != whole[name]}
    assert changed <= {"processing_results.yaml"}
    assert told["again.status"] == "0\n", told["again.txt"]
    last = Project(fresh.folder / "out", **{**fresh.config, "outdir": "at_last"})
    assert last.outputs() == whole


def test_a_folder_that_is_mounted_read_only_is_named_and_left_alone(fresh: Project):
    fresh.write_config()
    told = in_private_mounts(
        fresh.folder,
        """
        mkdir results
        echo kept > results/kept
        mount --bind results results
        mount -o remount,ro,bind results
        pipeline blocked
        ls -A results > out/left.txt
        """,
    )
    assert told["blocked.status"] == "1\n"
    assert "cannot write into the output folder results" in told["blocked.txt"]
    assert "Traceback" not in told["blocked.txt"]
    assert told["left.txt"] == "kept\n"


def test_an_archive_that_is_mounted_read_only_answers_questions(quiet: Project, tmp_path: Path):
    archive = quiet.copy_to(tmp_path / "archive")
    archive.write_config()
    shutil.rmtree(archive.folder / ".snakemake")
    fovflow = f'"{sys.executable}" -m fovflow'
    told = in_private_mounts(
        archive.folder,
        f"""
        mkdir ../read_only
        mount --bind . ../read_only
        mount -o remount,ro,bind ../read_only
        mount --bind out ../read_only/out
        cd ../read_only
        {fovflow} why > out/why.txt 2>&1 || true
        {fovflow} status > out/status.txt 2>&1 || true
        {fovflow} verify > out/verify.txt 2>&1 || true
        {fovflow} report > out/report.txt 2>&1 || true
        {fovflow} report --out out/page.html > out/elsewhere.txt 2>&1 || true
        """,
    )
    assert told["why.txt"] == "Nothing to be done: everything is complete and up to date.\n"
    assert told["status.txt"].startswith("sim: 2 of 2 FOVs complete\n")
    assert "everything holds" in told["verify.txt"]
    assert told["report.txt"] == (
        "fovflow: Read-only file system (results/report.html); to do: allow writing there, and run "
        "the same command again, or write elsewhere with --out\n"
    )
    assert "page.html" in told
