"""`fovflow.run`: success, results, failures, problems, and a clean stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fovflow
from fovflow.adapter.engine import snakemake_command, workflow_folder
from fovflow.runs.state import RunReader
from fovflow.runs.store import list_runs
from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

STEP = {"name": "own", "script": "own.py", "function": "own", "outputs": ["own.txt"]}
SCRIPT = """
import fovflow
try:
    fovflow.run("config/config.yaml", cores=1)
except KeyboardInterrupt:
    print("interrupted")
    raise
"""


def test_failures_and_problems_are_told(project: Project, monkeypatch):
    monkeypatch.chdir(project.folder)
    (project.folder / "own.py").write_text(
        "def own(fov, outputs):\n"
        "    if fov.index:\n        raise ValueError('not this one')\n"
        "    outputs['own.txt'].touch()\n"
    )
    project.config["steps"] = [STEP]
    project.config["datasets"]["lost"] = {"path": "raw/absent.nd2"}
    outcome = fovflow.run(project.config, fovs=[0, 2], cores=2, quiet=True)
    assert not outcome
    assert (outcome.success, outcome.returncode) == (False, 1)
    (bad,) = outcome.failures["sim"]
    assert (bad.name, bad.status, bad.step) == ("sim/fov_002", "failed", "own")
    assert "own of own.py raised ValueError: not this one (line 3)" in bad.error
    assert list(outcome.results) == ["sim"]
    assert outcome.results["sim"].fovs[0].status == "complete"
    assert list(outcome.problems) == ["lost"]
    assert "raw/absent.nd2" in outcome.problems["lost"][0]


@pytest.mark.parametrize("quiet", [["--quiet"], ["--quiet", "progress"], ["--quiet", "all"]])
def test_a_quiet_run_is_recorded_as_any_other(project: Project, quiet):
    done = project.run(*quiet)
    assert done.status == 0, done.text
    run = project.only_run()
    jobs = RunReader(run).poll().jobs.values()
    assert {job.status for job in jobs} | {run.status()} == {"completed"}
    assert "Finished jobid" not in done.text


@pytest.mark.parametrize("cores", [0, -1, "none", "0", 1.5])
def test_wrong_cores_are_refused(project: Project, cores):
    with pytest.raises(fovflow.ConfigError, match="cores is"):
        fovflow.run(project.config, cores=cores)


def test_no_cores_are_refused_in_the_terminal(project: Project):
    done = project.run(cores=0)
    assert done.status == 1
    assert "no job can run with --cores 0" in done.text


def test_what_is_set_for_rules_is_checked(project: Project):
    for option, word, told in (
        ("--set-threads", "segment=x", "set-threads: segment gets no number of cores; found: x"),
        ("--set-threads", "sgment=2", "no rule sgment (did you mean segment?)"),
        ("--set-resources", "trak:mem_mb=9", "no rule trak (did you mean track?)"),
    ):
        done = project.run("-n", option, word)
        assert done.status == 1
        assert told in done.text
    for words in (["track_ch_0=1"], ["segment=attempt*2"], ["fit=1", "merge_1=1"]):
        assert project.run("-n", "--set-threads", *words).status == 0, words
    for option, word in (("--set-threads", "segment"), ("--set-resources", "segment=2")):
        with pytest.raises(fovflow.ConfigError, match=f"{option} takes rule"):
            snakemake_command(["-n", option, word])


def test_a_workflow_profile_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("slurn", "profiles/slurn"):
        for words in (["--workflow-profile", name], [f"--workflow-profile={name}"]):
            with pytest.raises(fovflow.ConfigError, match=f"no workflow profile {name}; found: p"):
                snakemake_command(words)
    own = str(workflow_folder() / "profiles" / "slurm")
    assert snakemake_command(["--workflow-profile", "profiles/slurm"])[-1] == own
    assert snakemake_command(["--workflow-profile=profiles/slurm"])[-1].endswith(f"={own}")
    for name in ("slurm", "none", "mine"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        assert snakemake_command(["--workflow-profile", name])[-1] == name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_snakemake_and_its_jobs_and_the_next_run_goes_on(
    project: Project, number, tmp_path
):
    project.config |= {"fovs": "1", "steps": [STEP]}
    own = project.folder / "own.py"
    own.write_text(
        "import os, time\nfrom pathlib import Path\n\n\ndef own(fov, outputs):\n"
        "    Path('pid.new').write_text(str(os.getpid()))\n"
        "    Path('pid.new').rename('pid')\n    time.sleep(60)\n"
    )
    project.write_config()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=project.folder,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what is killed leaves files behind
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid = project.folder / "pid"
    until = time.monotonic() + 600
    while not pid.exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid, number)
    out, error = process.communicate(timeout=600)
    assert out == ("interrupted\n" if number == signal.SIGINT else ""), error
    assert process.returncode == (128 + number if number == signal.SIGTERM else -number)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    record = list_runs(project.results.parent)[-1].read_record()
    assert (record["status"], record["counts"]["failed"]) == ("terminated", 0)
    if number == signal.SIGKILL:
        told = "stopped: the process that called fovflow.run is gone"
        assert record["history"][-1]["message"].startswith(told)
    assert not list(Path(project.results).rglob("*.part"))
    own.write_text("def own(fov, outputs):\n    outputs['own.txt'].touch()\n")
    again = project.run()
    assert again.status == 0, again.text
    assert project.file(1, "own.txt").exists()
