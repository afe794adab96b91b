"""Jobs of a SLURM cluster: their states, the steps in them, and jobs that nobody waits for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fovflow.errors import FovflowError, complain
from fovflow.events import FINAL
from fovflow.runs.store import RunFolder, list_runs

TIMEOUT_S = 10.0
"""Longest time, in seconds, that SLURM may take to answer."""

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED"})
WORKING = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING"})

_OUT_OF_MEMORY = re.compile(
    r"oom[-_ ]kill|out of memory|exceeded (?:job |step |its )?memory limit", re.IGNORECASE
)
_LOG_TAIL = 20_000


@dataclass(frozen=True, slots=True)
class SlurmState:
    """What SLURM knows of a job: its state, why it waits, where it runs, and what it may take.

    All as SLURM writes it, such as ``RUNNING``, ``TIMEOUT``; the state is empty where SLURM does
    not know the job any more, the others may be.
    """

    state: str = ""
    reason: str = ""
    node: str = ""
    limit: str = ""
    memory: str = ""

    @property
    def over(self) -> bool:
        """Whether the job has ended, or is not known any more."""
        return self.state not in WAITING | WORKING


def job_state(ident: str) -> SlurmState | None:
    """Return what SLURM knows of the job with this number; None where it cannot be asked."""
    if not ident.isdecimal():
        return None
    done = _ask("scontrol", "--oneliner", "show", "job", ident)
    if done is None:
        return None
    if done.returncode == 0:
        found = dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", done.stdout))
        known = {key: "" if value in ("None", "(null)") else value for key, value in found.items()}
        keys = ("JobState", "Reason", "NodeList", "TimeLimit", "MinMemoryNode")
        return SlurmState(*(known.get(key, "") for key in keys))
    if "invalid job id" not in done.stderr.lower():
        return None
    accounted = _ask("sacct", "-X", "-n", "-P", "-j", ident, "-o", "State,NodeList")
    if accounted is not None and accounted.returncode == 0 and accounted.stdout.strip():
        state, _, node = accounted.stdout.splitlines()[-1].partition("|")
        return SlurmState(state.split()[0], node=node)
    return SlurmState()


def jobs_of(name: str) -> list[str] | None:
    """Return the numbers of the jobs of a name that wait or run; None where nobody can be asked."""
    done = _ask("squeue", "-h", "--name", name, "-o", "%i")
    return None if done is None or done.returncode else done.stdout.split()


def why_it_ended(ident: str, state: SlurmState | None, log: str = "") -> str:
    """Return in one sentence how a job ended that did not tell itself.

    SLURM's `log` of the job names memory where the state does not.

    Examples
    --------
    >>> why_it_ended("12", SlurmState("TIMEOUT", limit="00:02:00"))
    'SLURM job 12 ran over its time limit (00:02:00)'
    """
    job = f"SLURM job {ident}"
    word = "" if state is None else state.state
    if word == "OUT_OF_MEMORY" or _names_memory(log):
        memory = _in_brackets(state.memory if state else "")
        return f"{job} took more memory than it asked for{memory}"
    if state is None or not word:
        return f"{job} ended without a word, and SLURM does not tell why"
    known = {
        "TIMEOUT": f"ran over its time limit{_in_brackets(state.limit)}",
        "NODE_FAIL": f"lost its node{_in_brackets(state.node)}",
        "BOOT_FAIL": f"lost its node{_in_brackets(state.node)}",
        "CANCELLED": "was cancelled",
        "PREEMPTED": "had to give way to a job of higher priority",
    }
    return f"{job} {known.get(word, f'ended without a word; SLURM says {word}')}"


def _names_memory(log: str) -> bool:
    with suppress(OSError), Path(log).open("rb") as file:
        file.seek(max(0, Path(log).stat().st_size - _LOG_TAIL))
        return bool(_OUT_OF_MEMORY.search(file.read().decode("utf-8", "replace")))
    return False


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _ask(*words: str) -> subprocess.CompletedProcess[str] | None:
    if shutil.which(words[0]) is None:
        return None
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return None


SLURM = "slurm"
GENERIC = "generic"


@dataclass(slots=True)
class ClusterJob:
    """Jobs of the engine that were handed in to a cluster as one, with the cluster's number."""

    idents: tuple[int, ...]
    """The engine's numbers of them; `jobs` are their names."""
    scheduler: str
    """``slurm`` or ``generic``."""
    number: str
    log: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    """``mem_mb`` and ``runtime`` (minutes), where known."""
    jobs: tuple[str, ...] = ()
    label: str = ""
    """The job in words."""
    alive: float = 0.0
    """Seconds since the epoch of the last sign of life; the hand-in is the first."""
    warnings: int = 0
    """How often people were told that it is silent."""

    @property
    def words(self) -> str:
        """The job in words: ``SLURM job 12 (plate1, FOV 3)``."""
        kind = "SLURM job" if self.scheduler == SLURM else "the cluster's job"
        return f"{kind} {self.number} ({self.label})"


class ClusterJobs:
    """The jobs of a run that are with the cluster.

    `silent_after_s`: time without a sign of life after which people are told; 0 never tells. `say`:
    tells people a sentence, and records it. `stop`: ends the run, and gets the reason; called where
    the cluster itself says that a job is over for which the engine still waits.
    """

    def __init__(
        self,
        silent_after_s: float,
        say: Callable[[str], None],
        stop: Callable[[str], None] | None = None,
    ):
        self._silent_after_s = silent_after_s
        self._say, self._stop = say, stop
        self._open: dict[str, ClusterJob] = {}
        self._by_name: dict[str, ClusterJob] = {}

    def begin(self, name: str) -> None:
        """Note that an engine's job is about to be handed in, perhaps for another attempt."""
        self._by_name.pop(name, None)

    def submitted(self, job: ClusterJob) -> None:
        """Take a job that was handed in."""
        self._open[job.number] = job
        for name in job.jobs:
            self._by_name[name] = job

    def of(self, name: str) -> ClusterJob | None:
        """Return the cluster's job that an engine's job was last handed in with."""
        return self._by_name.get(name)

    def show_life(self, name: str, at: float) -> None:
        """Note a sign of life of one of the engine's jobs."""
        job = self._by_name.get(name)
        if job is not None:
            job.alive, job.warnings = max(job.alive, at), 0

    def ended(self, names: Iterable[str]) -> None:
        """Note that the engine waits no longer for these jobs."""
        waited_for = {job.number for job in map(self._by_name.get, names) if job is not None}
        for ident in waited_for:
            self._open.pop(ident, None)

    def why(self, name: str) -> str:
        """Return why the job's cluster job ended, as the cluster tells it; empty without one."""
        job = self._by_name.get(name)
        if job is None:
            return ""
        if job.scheduler == SLURM:
            return why_it_ended(job.number, job_state(job.number), job.log)
        return f"the cluster's job {job.number} ended without a word"

    def look(self, at: float) -> None:
        """Tell people of jobs that have been silent for long: after the time, twice it, four times.

        `at`: seconds since the epoch.
        """
        if self._silent_after_s <= 0:
            return
        for job in list(self._open.values()):
            if at - job.alive >= self._silent_after_s * 2**job.warnings:
                job.warnings += 1
                self._tell(job, (at - job.alive) / 60)

    def _tell(self, job: ClusterJob, minutes: float) -> None:
        silent = f"{job.words} has shown no sign of life for {minutes:.0f} min"
        again = "end this run with Ctrl-C and run the same command again"
        if job.scheduler != SLURM:
            self._say(f"{silent}; to do: ask the cluster for it; if it is gone, {again}")
            return
        state = job_state(job.number)
        if state is None:
            self._say(f"{silent}, and SLURM does not answer; look with: squeue -j {job.number}")
        elif state.over:
            known = f"says {state.state}" if state.state else "does not know it any more"
            reason = f"{silent}; SLURM {known}, but Snakemake still waits for it"
            if self._stop is not None:
                self._stop(reason)
            else:
                look = f"look with: scontrol show job {job.number}"
                self._say(f"{reason}; {look}; to do: {again}")
        elif state.state in ("PENDING", "CONFIGURING"):
            reason = state.reason or "no reason given"
            self._say(
                f"{job.words} has waited for {minutes:.0f} min ({reason}); look with: "
                f"squeue -j {job.number} --start"
            )
        else:
            self._say(
                f"{silent}; SLURM says {state.state} on {state.node}; look at {job.log} and with: "
                f"scontrol show job {job.number}; if it hangs, have it tried again with: "
                f"scancel {job.number}"
            )


def slurm_orphans(outdir: str | os.PathLike[str]) -> FovflowError | None:
    """Return the error that stands against a new run: jobs of a killed one are with SLURM yet.

    It has the jobs' numbers and the command that cancels them. None where there are no such jobs.
    """
    return next(filter(None, map(_orphans_of, list_runs(outdir))), None)


def _orphans_of(run: RunFolder) -> FovflowError | None:
    record = run.known()
    cluster = record.get("cluster") or {}
    if record.get("status") in FINAL or cluster.get("scheduler") != SLURM:
        return None
    name = str(cluster.get("name"))
    left = jobs_of(name)
    if left is None:
        complain(
            f"warning: cannot ask SLURM whether jobs of the run {run.id}, which was killed, are "
            f"still at work; look with: squeue --name {name}"
        )
    if not left:
        return None
    return FovflowError(
        f"jobs of the run {run.id}, which was killed, are still with SLURM and write into this "
        "folder",
        found=f"SLURM jobs {', '.join(left)}",
        remedy=f"cancel them with: scancel --name {name} (or wait until they have ended: squeue "
        f"--name {name}), then run again",
    )
