"""A pipeline that is killed at random moments, and what a user does after each kill."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fovflow.jobrecord import JobRecord
from fovflow.runs.state import read_run
from fovflow.runs.store import RunFolder, list_runs
from paths import ROOT
from workflow_project import Project

HANGS_S = 900.0
"""Time, in seconds, after which something hangs, also on a slow and busy machine."""

STEP_S = 0.3
"""Longest time, in seconds, that a kill waits after the start of the job that it waits for."""

BEFORE_JOBS = 0.15
"""Share of the kills that come at any time of the start, before the first job or soon after."""


class Running:
    """The pipeline at work in a process group of its own."""

    def __init__(self, project: Project, *options: str):
        project.write_config()
        self.outdir = project.folder / project.config["outdir"]
        self._known = {run.id for run in list_runs(self.outdir)}
        self._log = project.folder / "screen.txt"
        with self._log.open("w") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
                 "--cores", "2", "--nocolor", *options],
                cwd=project.folder, stdout=screen, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @property
    def run(self) -> RunFolder | None:
        """This run's records, once they are there."""
        new = [run for run in list_runs(self.outdir) if run.id not in self._known]
        return new[0] if new else None

    @property
    def jobs(self) -> list[JobRecord]:
        """Jobs at work, from their own records."""
        run = self.run
        return [] if run is None else [job for job in read_run(run).running if job.pid]

    def started(self) -> int:
        """Return how many jobs have begun so far."""
        run = self.run
        return 0 if run is None else len(list((run.path / "jobs").glob("*/attempt-*.jsonl")))

    def planned(self) -> int:
        """Return how many jobs the run is going to do."""
        run = self.run
        return 1 if run is None else sum(run.read_record()["jobs"].values()) - 1

    def wait_until(self, holds: Callable[[], object]) -> bool:
        """Wait until something holds; False where the run ended before."""
        while not holds():
            if self.process.poll() is not None:
                return False
            time.sleep(0.03)
        return True

    def kill_group(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to Snakemake and all its jobs, as Ctrl-C or a dying machine does."""
        os.killpg(self.process.pid, number)

    def end(self, timeout: float = HANGS_S) -> tuple[int, str]:
        """Return exit status and screen after the end of the process."""
        status = self.process.wait(timeout)
        return status, self._log.read_text(encoding="utf-8", errors="replace")

    def clear(self) -> None:
        """End whatever is left of the group."""
        if self.process.poll() is None:
            self.kill_group()
            self.process.wait(10)


def locked(project: Project) -> bool:
    """Tell whether Snakemake's lock is on the folder."""
    return any((project.folder / ".snakemake" / "locks").glob("*.lock"))


class Killer:
    """Kills runs of one project until it has had enough; all chance is from one seed.

    Attributes
    ----------
    kills : Counter of str
        Kills by what was killed: ``group``, ``engine``, ``job``.
    steps : Counter of str
        How often each step was at work when a kill came.
    history : list of str
        What was done, for the message of a failed test.
    """

    def __init__(self, project: Project, seed: int, *, real_unlocks: int):
        self.project, self.seed = project, seed
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.history = [f"seed {seed}"]
        self._real_unlocks = real_unlocks

    def told(self) -> str:
        """Return the seed and what was done."""
        return "\n".join(self.history)

    def round(self, how: str, most: int) -> int:
        """Start the pipeline and kill it, or up to `most` of its jobs; return the exit status.

        Killed jobs are tried again by the same run where it has retries left.
        """
        running = Running(self.project, *(["--retries", "2"] if how == "job" else []))
        try:
            for _ in range(most if how == "job" else 1):
                self._wait(running, how)
                if running.process.poll() is not None:
                    break
                self._kill(running, how)
            status, text = running.end()
        finally:
            running.clear()
        assert "Traceback" not in text, f"{self.told()}\n{text}"
        if how == "engine":
            self._wait_for_orphans(running)
        return status

    def _wait(self, running: Running, how: str) -> None:
        """Wait for the start of a random job, or for nothing; then for a random time.

        Of jobs that are killed one by one, up to three are let through each time.
        """
        if how == "job":
            wanted = running.started() + self.random.randint(1, 4)
            running.wait_until(lambda: running.started() >= wanted)
        elif self.random.random() < BEFORE_JOBS:
            time.sleep(self.random.uniform(0, 2.5))
            return
        elif running.wait_until(lambda: running.run is not None):
            wanted = self.random.randint(1, running.planned())
            running.wait_until(lambda: running.started() >= wanted)
        time.sleep(self.random.uniform(0, STEP_S))

    def _kill(self, running: Running, how: str) -> None:
        jobs = running.jobs
        if how == "job":
            if not jobs:
                return
            jobs = [self.random.choice(jobs)]
            try:
                os.kill(int(jobs[0].pid or 0), signal.SIGKILL)
            except ProcessLookupError:
                return
        elif how == "engine":
            running.process.kill()
        else:
            running.kill_group()
        self.kills[how] += 1
        self.steps.update({job.rule for job in jobs} or {"between jobs"})
        print(f"kill {self.kills.total()}: {how} {','.join(j.rule for j in jobs)}", flush=True)
        self.history.append(f"{how}: {', '.join(job.job for job in jobs) or 'no job at work'}")

    def _wait_for_orphans(self, running: Running) -> None:
        """Wait for jobs that outlived the engine: fovflow refuses to run beside them."""
        pids = [job.pid for job in running.jobs]
        until = time.monotonic() + HANGS_S
        while time.monotonic() < until:
            if not any(Path(f"/proc/{pid}").exists() for pid in pids):
                return
            time.sleep(0.02)

    def unlock(self) -> None:
        """Do what the message after a kill says, where the lock was left behind."""
        if not locked(self.project):
            return
        if self._real_unlocks <= 0:  # the same, without starting Snakemake for it
            for lock in (self.project.folder / ".snakemake" / "locks").glob("*.lock"):
                lock.unlink()
            return
        self._real_unlocks -= 1
        refused = self.project.run()
        assert refused.status == 1, self.told()
        assert "this folder is still locked by" in refused.text, refused.text
        assert "nothing is at work in it now" in refused.text
        assert "the same command with --unlock added, then the same command again" in refused.text
        done = self.project.run("--unlock")
        assert done.status == 0, done.text

    def has_all_traces(self) -> bool:
        """Tell whether only results and report are left to do, if anything."""
        folders = list(self.project.results.glob("fov_*"))
        done = [folder for folder in folders if any(folder.glob("*_traces.csv"))]
        return len(folders) > 0 and len(done) == len(folders)

    def lose_something(self) -> None:
        """Delete everything, or outputs of a random step, so that there is something to do."""
        if self.random.random() < 0.7:
            for folder in self.project.results.glob("fov_*"):
                shutil.rmtree(folder)
            return
        folder = self.random.choice(sorted(self.project.results.glob("fov_*")))
        kinds = ("_pc_ch_", "_seg_ch_", "_fl_corrected_", "_seg_labeled_", "_traces")
        for path in folder.glob(f"*{self.random.choice(kinds)}*"):
            path.unlink()
