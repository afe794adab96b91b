"""Everything of Snakemake's that is patched or private, and how it is started and interrupted."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from fovflow.errors import FovflowError
from fovflow.runs.slurm import GENERIC, SLURM, HandedIn


def workflow_folder() -> Path:
    """Return the folder of the Snakefile: inside the installed package, or the clone's top."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "workflow", package.parents[1]):
        if (folder / "Snakefile").is_file():
            return folder
    raise FovflowError(
        "the workflow is not installed with the package",
        found=f"no Snakefile in {package / 'workflow'}",
        remedy="install fovflow from its wheel, or work in a clone",
    )


def snakemake_command(arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs Snakemake on this package's workflow.

    Parameters
    ----------
    arguments : sequence of str
        Options and targets for Snakemake. Without ``--cores`` or a profile that says otherwise
        all cores are used.
    """
    given = list(arguments)
    chooses = ("--cores", "-c", "--jobs", "-j", "--profile", "--workflow-profile", "--unlock")
    if not any(item.split("=")[0] in chooses or item[:2] in ("-c", "-j") for item in given):
        given = ["--cores", "all", *given]
    snakefile = workflow_folder() / "Snakefile"
    return [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *given]


OF_JOBS = "fovflow.adapter.job"
"""What scripts import that are jobs of this package; others are left to themselves."""

_HOLDS = "_fovflow_holds"

NAMES = {
    signal.SIGINT: "stopped by the user (Ctrl-C)",
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGHUP: "stopped: the terminal was closed",
}


class Interruptions:
    """Signal handlers in front of the engine's own; to be installed in the main thread.

    The engine's handler of SIGTERM takes a lock that the main thread may hold at that moment, so
    that it is called in a thread of its own. A closed terminal ends the engine like Ctrl-C.

    Parameters
    ----------
    note : callable
        Gets the reason in words.
    """

    def __init__(self, note: Callable[[str], None]):
        self._note = note
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Put the handlers in place, where signals are not ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in NAMES:
            previous = signal.getsignal(number)
            if previous not in (signal.SIG_IGN, None):
                self._previous[number] = previous
                signal.signal(number, self._handle)

    def remove(self) -> None:
        """Put the previous handlers back."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._note(NAMES[signal.Signals(number)])
        previous = self._previous.get(number, signal.SIG_DFL)
        if number == signal.SIGTERM and callable(previous):
            threading.Thread(target=previous, args=(number, frame), daemon=True).start()
        elif callable(previous):
            previous(number, frame)
        else:
            raise KeyboardInterrupt


def meet_interrupts() -> None:
    """Say in one sentence that planning was stopped; hear Ctrl-C from now on (see `held`).

    Raises
    ------
    KeyboardInterrupt
        At once, where Ctrl-C was held back before.
    """
    shown = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print(f"{NAMES[signal.SIGINT]} before the first job", file=sys.stderr, flush=True)
        else:
            shown(kind, error, trace)

    sys.excepthook = show
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def hold_interrupts() -> None:
    """Let the engine start this package's scripts with Ctrl-C held back; see `heard`."""
    from snakemake.script import PythonScript

    execute = PythonScript._execute_cmd
    if getattr(execute, _HOLDS, False):
        return

    def execute_held(script: Any, *words: Any, **keys: Any) -> Any:
        if OF_JOBS not in str(script.source):
            return execute(script, *words, **keys)
        with held():
            return execute(script, *words, **keys)

    setattr(execute_held, _HOLDS, True)
    PythonScript._execute_cmd = execute_held


@contextmanager
def held() -> Iterator[None]:
    """Hold Ctrl-C back from this thread in the body, and from processes that it starts there."""
    with _mask(signal.SIG_BLOCK):
        yield


@contextmanager
def heard() -> Iterator[None]:
    """Hear Ctrl-C in the body, also one that was held back until now.

    Raises
    ------
    KeyboardInterrupt
        At once, if there was one.
    """
    with _mask(signal.SIG_UNBLOCK):
        yield


@contextmanager
def _mask(change: int) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(change, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_WAITS = "_fovflow_waits"


def calm_scheduler(workflow: Any) -> None:
    """Let one timer at a time begin rounds of the scheduler, and none where jobs run here.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        Its limit on jobs per time is taken off where it is the default and jobs run on this
        machine: it keeps queues of clusters from being flooded.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    settings = workflow.scheduling_settings
    limit = getattr(settings, "max_jobs_per_timespan", None)
    if workflow.local_exec and limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None
    if hasattr(JobScheduler, "_schedule_reevalutation"):  # the engine's own spelling
        JobScheduler._schedule_reevalutation = _begin_round_later


def _begin_round_later(scheduler: Any, delay: float) -> None:
    """Begin a round after `delay` seconds, unless one is due already."""
    if getattr(scheduler, _WAITS, False):
        return
    setattr(scheduler, _WAITS, True)

    def begin() -> None:
        setattr(scheduler, _WAITS, False)
        scheduler._open_jobs.release()

    timer = threading.Timer(delay, begin)
    timer.daemon = True  # the end of a run does not wait for it
    timer.start()


FOV_STEP = "fov_step"
"""Resource that every step of a field of view takes one of."""

AT_ONCE = "FOVFLOW_FOV_STEPS"
"""Environment variable: how many steps of a field of view may run at once in its job."""

ATTEMPT = "FOVFLOW_ATTEMPT"
"""Environment variable: which attempt of its job this is, counted by the engine from 1."""


def pass_to_nodes(workflow: Any) -> None:
    """Pass on to processes on nodes what they need to know, or take it from there.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
    """
    if workflow.is_main_process:
        os.environ.pop(ATTEMPT, None)
        limit = workflow.global_resources.get(FOV_STEP)
        value = getattr(limit, "value", limit)
        os.environ[AT_ONCE] = str(value) if isinstance(value, int) else ""
    elif workflow.remote_exec:
        os.environ[ATTEMPT] = _option("--attempt")
        at_once = os.environ.get(AT_ONCE, "1")
        if at_once:  # else the job would ask for more cores than its allocation has
            workflow.register_resource(FOV_STEP, int(at_once))


def attempt_of_engine() -> int:
    """Return which attempt of its job this process is part of; 1 where the engine has not said."""
    text = os.environ.get(ATTEMPT, "")
    return int(text) if text.isdecimal() else 1


def _option(name: str) -> str:
    """Return the value of an option of this process; its settings do not stand yet."""
    words = iter(sys.argv)
    return next((next(words, "") for word in words if word == name), "")


_REFUSED = re.compile(r"sbatch failed\. The error message was '(.*?)'\.\n", re.DOTALL)
_RUN_NAME = re.compile(r"SLURM run ID: (\S+)")
_HANDED_IN = (
    (SLURM, re.compile(r"Job (\S+) has been submitted with SLURM jobid (\S+) \(log: (.+)\)\.")),
    (GENERIC, re.compile(r"Submitted (?:group job|job) (\S+) with external jobid '([^']+)'()\.")),
)

ASKED = ("mem_mb", "runtime")
"""Resources that are recorded of a cluster's job: MB, and minutes."""


class Submissions:
    """Follows the engine's records."""

    def __init__(self) -> None:
        self._groups: dict[str, tuple[int, ...]] = {}
        self._asked: dict[str, dict[str, int]] = {}

    def take_group(self, record: Any) -> None:
        """Note the members of a group; the engine calls it by the name of any one of them."""
        with suppress(Exception):
            jobs = list(record.jobs)
            members = tuple(sorted(int(job.jobid) for job in jobs))
            self._groups.update({str(job.uuid()): members for job in jobs})
            resources = jobs[0].dag.get_job_group(jobs[0]).resources
            asked = {name: int(resources[name]) for name in ASKED if name in dict(resources)}
            self._asked.update({str(job.uuid()): asked for job in jobs})

    def handed_in(self, sentence: str) -> HandedIn | None:
        """Return what a sentence says of a job that was handed in; None for any other."""
        for scheduler, form in _HANDED_IN:
            match = form.match(sentence)
            if match:
                key, number, log = match.groups()
                idents = (int(key),) if key.isdecimal() else self._groups.get(key, ())
                return HandedIn(idents, scheduler, number, log, self._asked.get(key, {}))
        return None


def run_name(sentence: str) -> str:
    """Return the name that all SLURM jobs of this run have, where a sentence tells it."""
    match = _RUN_NAME.match(sentence)
    return match[1] if match else ""


def refusal(message: str) -> str:
    """Return why a cluster did not take a job, where a message of the engine tells it."""
    match = _REFUSED.search(message)
    return f"SLURM did not take the job: {' '.join(match[1].split())}" if match else ""


def hear_groups(take: Callable[[tuple[int, ...], str], None]) -> None:
    """Have `take` told which jobs failed as a group, and the executor's message.

    Snakemake drops the message of a group before its logger sees it, and with it the only word of a
    job that the cluster did not take.
    """
    from snakemake.jobs import GroupJob

    tell = getattr(GroupJob.log_error, "__wrapped__", GroupJob.log_error)

    def log_error(self: Any, msg: str | None = None, *arguments: Any, **keys: Any) -> None:
        with suppress(Exception):
            take(tuple(int(job.jobid) for job in self.jobs), msg or "")
        tell(self, msg, *arguments, **keys)

    log_error.__wrapped__ = tell  # type: ignore[attr-defined]
    GroupJob.log_error = log_error


def forget(file: Path, workflow: Any, inputs: list[Path]) -> None:
    """Date a file before its inputs, and let Snakemake forget that it was ever made.

    Parameters
    ----------
    file : pathlib.Path
    workflow : snakemake.workflow.Workflow
    inputs : list of pathlib.Path
        Those that do not exist are left out.
    """
    from snakemake.io import IOFile

    before = min([path.stat().st_mtime for path in inputs if path.exists()], default=1.0) - 1
    os.utime(file, (before, before))
    workflow.persistence.cleanup_metadata(IOFile(str(file), rule=None))
