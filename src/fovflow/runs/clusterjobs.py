"""Jobs of a cluster: which steps are in them, why they ended, and whether they still live.

A cluster can lose a job in a way that the engine never hears of, and then the run waits for ever.
Whatever the jobs write into the run's folder is a sign of life; where none comes for long, that is
said plainly, with the job's number and the commands that tell more. Nothing is cancelled: a silent
job may be a slow file system, and only a person, or the time limit, can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fovflow.runs.slurm import SlurmState, job_state, why_it_ended

SLURM = "slurm"
GENERIC = "generic"


class HandedIn(NamedTuple):
    """Jobs of the engine that were handed in to a cluster as one.

    Attributes
    ----------
    idents : tuple of int
        The engine's numbers of them.
    scheduler : str
        ``slurm`` or ``generic``.
    number : str
        The cluster's.
    log : str
    asked : dict of str to int
        ``mem_mb`` and ``runtime`` (minutes), where known.
    """

    idents: tuple[int, ...]
    scheduler: str
    number: str
    log: str
    asked: dict[str, int]


@dataclass(slots=True)
class ClusterJob:
    """A job that was handed in to a cluster.

    Attributes
    ----------
    ident : str
        The cluster's number of it.
    scheduler : str
        ``slurm`` or ``generic``.
    jobs : tuple of str
        Names of the engine's jobs in it.
    label : str
        What it is in words.
    log : str
    alive : float
        Seconds since the epoch of the last sign of life; the hand-in is the first.
    told : int
        How often people were told that it is silent.
    """

    ident: str
    scheduler: str
    jobs: tuple[str, ...]
    label: str
    log: str
    alive: float
    told: int = 0

    @property
    def words(self) -> str:
        """The job in words: ``SLURM job 12 (plate1, FOV 3)``."""
        kind = "SLURM job" if self.scheduler == SLURM else "the cluster's job"
        return f"{kind} {self.ident} ({self.label})"


class ClusterJobs:
    """The jobs of a run that are with the cluster.

    Parameters
    ----------
    silent_after_s : float
        Time without a sign of life after which people are told; 0 never tells.
    say : callable
        Tells people a sentence, and records it.
    stop : callable or None
        Ends the run, and gets the reason; called where the cluster itself says that a job is over
        for which the engine still waits.
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
        self._open[job.ident] = job
        for name in job.jobs:
            self._by_name[name] = job

    def of(self, name: str) -> ClusterJob | None:
        """Return the cluster's job that an engine's job was last handed in with."""
        return self._by_name.get(name)

    def heard(self, name: str, at: float) -> None:
        """Note a sign of life of one of the engine's jobs."""
        job = self._by_name.get(name)
        if job is not None:
            job.alive, job.told = max(job.alive, at), 0

    def ended(self, names: Iterable[str]) -> None:
        """Note that the engine waits no longer for these jobs."""
        waited_for = {job.ident for job in map(self._by_name.get, names) if job is not None}
        for ident in waited_for:
            self._open.pop(ident, None)

    def why(self, name: str) -> str:
        """Return why the job's cluster job ended, as the cluster tells it; empty without one."""
        job = self._by_name.get(name)
        if job is None:
            return ""
        if job.scheduler == SLURM:
            return why_it_ended(job.ident, job_state(job.ident), job.log)
        return f"the cluster's job {job.ident} ended without a word"

    def look(self, at: float) -> None:
        """Tell people of jobs that have been silent for long: after the time, twice it, four times.

        Parameters
        ----------
        at : float
            Seconds since the epoch.
        """
        if self._silent_after_s <= 0:
            return
        for job in list(self._open.values()):
            if at - job.alive >= self._silent_after_s * 2**job.told:
                job.told += 1
                self._tell(job, (at - job.alive) / 60)

    def _tell(self, job: ClusterJob, minutes: float) -> None:
        silent = f"{job.words} has shown no sign of life for {minutes:.0f} min"
        if job.scheduler != SLURM:
            self._say(
                f"{silent}; to do: ask the cluster for it; if it is gone, end this run with "
                "Ctrl-C and run the same command again"
            )
            return
        state = job_state(job.ident)
        if state is None:
            self._say(f"{silent}, and SLURM does not answer; look with: squeue -j {job.ident}")
        elif state.over:
            self._tell_over(job, state, silent)
        elif state.state in ("PENDING", "CONFIGURING"):
            reason = state.reason or "no reason given"
            self._say(
                f"{job.words} has waited for {minutes:.0f} min ({reason}); look with: "
                f"squeue -j {job.ident} --start"
            )
        else:
            self._say(
                f"{silent}; SLURM says {state.state} on {state.node}; look at {job.log} and with: "
                f"scontrol show job {job.ident}; if it hangs, have it tried again with: "
                f"scancel {job.ident}"
            )

    def _tell_over(self, job: ClusterJob, state: SlurmState, silent: str) -> None:
        said = f"SLURM says {state.state}" if state.state else "SLURM does not know it any more"
        reason = f"{silent}; {said}, but Snakemake still waits for it"
        if self._stop is not None:
            self._stop(reason)
            return
        self._say(
            f"{reason}; look with: scontrol show job {job.ident}; to do: end this run with Ctrl-C "
            "and run the same command again"
        )
