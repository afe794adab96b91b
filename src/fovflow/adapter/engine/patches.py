"""Methods of the engine that are replaced for the whole of a process, each once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fovflow.adapter.engine import Engine, is_ours, is_own
from fovflow.adapter.interrupts import interrupts_blocked
from fovflow.errors import FORBIDDEN

_PATCHED = "_fovflow_patched"


def patch_all(occupied: Collection[str]) -> None:
    """Patch what planning and running need, in each process that reads the workflow.

    `occupied`: outputs in whose place there are folders; they count as missing.
    """
    _leave_obstacles_to_jobs(occupied)
    _keep_what_was_made()
    keep_times_of_outputs()


def patch_main(engine: Engine) -> None:
    """Patch what the process that schedules needs besides."""
    _block_interrupts_at_start()
    _hear_of_ended_jobs()
    limit_scheduler_rounds(engine.workflow)
    if engine.is_dry_run:
        _ask_without_permission()


def replaces(
    owner: Any, name: str, *, anew: bool = False
) -> Callable[[Callable[..., Any]], object]:
    """Let a function take the place of a method, unless one does already.

    The function gets the method as its first argument, and returns what the method would. `anew`:
    whether it takes the place of another function, too, such as that of a run before.
    """

    def replace(function: Callable[..., Any]) -> object:
        method = getattr(owner, name)
        if getattr(method, _PATCHED, False):
            if not anew:
                return method
            method = method.__wrapped__

        @wraps(method)
        def replaced(*words: Any, **keys: Any) -> Any:
            return function(method, *words, **keys)

        setattr(replaced, _PATCHED, True)
        setattr(owner, name, replaced)
        return replaced

    return replace


def _ask_without_permission() -> None:
    """Let a dry run keep the engine's notes elsewhere where it may not write into the folder.

    A dry run needs none: it is asked also of a folder of somebody else, or of an archive.
    """
    from snakemake.persistence.file import FilePersistence

    @replaces(FilePersistence, "__init__")
    def _(make: Any, notes: Any, *words: Any, **keys: Any) -> None:
        try:
            make(notes, *words, **keys)
        except OSError as error:
            if error.errno not in FORBIDDEN:
                raise
            notes.folder_of_dry_run = TemporaryDirectory(prefix="fovflow-")  # goes with the notes
            make(notes, *words, **{**keys, "path": Path(notes.folder_of_dry_run.name)})


def _block_interrupts_at_start() -> None:
    """Let the engine start this package's scripts with Ctrl-C blocked.

    A script that is told to stop while it still imports would end with a traceback; it unblocks
    Ctrl-C when it can end with a sentence.
    """
    from snakemake.script import PythonScript

    @replaces(PythonScript, "_execute_cmd")
    def _(execute: Any, script: Any, *words: Any, **keys: Any) -> Any:
        if not is_own(script):
            return execute(script, *words, **keys)
        with interrupts_blocked():
            return execute(script, *words, **keys)


def limit_scheduler_rounds(workflow: Any) -> None:
    """Let one timer at a time begin a round of the scheduler, and none where jobs run here.

    The engine starts a timer for each job that ends while its limit on jobs per time is reached,
    and each timer looks at all jobs that are left. The limit keeps queues of clusters from being
    flooded; it is taken off where it is the default and jobs run on this machine.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    settings = workflow.scheduling_settings
    limit = getattr(settings, "max_jobs_per_timespan", None)
    if workflow.local_exec and limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None
    if hasattr(JobScheduler, "_schedule_reevalutation"):
        JobScheduler._schedule_reevalutation = _begin_round_later


def claim_before_deleting(claim: Callable[[], object]) -> None:
    """Let ``--delete-all-output`` and ``--delete-temp-output`` ask for the folder, as runs do.

    The engine only warns of its lock there.
    """
    from snakemake.dag import DAG

    @replaces(DAG, "clean")
    async def _(clean: Any, dag: Any, *words: Any, **keys: Any) -> None:
        claim()
        await clean(dag, *words, **keys)


_WAITS = "_fovflow_waits"


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


def _hear_of_ended_jobs() -> None:
    """Let the engine say to its loggers that a job ended, also with ``--quiet``.

    The screen's own handler keeps it back then, as it does with other progress.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    JobScheduler.print_progress = property(  # the engine sets it; what it sets is left aside
        lambda scheduler: not scheduler.dryrun, lambda _scheduler, _value: None
    )


def _leave_obstacles_to_jobs(occupied: Collection[str]) -> None:
    """Let a job of this package itself meet what keeps it from writing, and fail alone.

    Where a file is write-protected or cannot be removed, or something else has its name, the engine
    would end, and with it all other jobs.
    """
    from snakemake.dag import DAG
    from snakemake.exceptions import WorkflowError
    from snakemake.io import _IOFile
    from snakemake.jobs import Job

    @replaces(Job, "check_protected_output")
    async def _(check: Any, job: Any) -> None:
        if not is_ours(job):
            await check(job)

    @replaces(Job, "prepare")
    async def _(prepare: Any, job: Any) -> None:
        try:
            await prepare(job)
        except (OSError, WorkflowError):  # the latter of a folder that it cannot make
            if not is_ours(job):
                raise

    @replaces(Job, "postprocess")
    async def _(finish: Any, job: Any, *words: Any, error: bool = False, **keys: Any) -> None:
        if is_ours(job):
            keys["check_output_mtime"] = False  # a clock that was ahead costs nothing
        try:
            await finish(job, *words, error=error, **keys)
        except OSError:
            if not error or not is_ours(job):
                raise
            with suppress(OSError):  # the next run shall make them, though they are there
                job.dag.workflow.persistence.started(job)

    @replaces(DAG, "cleanup_workdir")
    def _(clean: Any, dag: Any) -> None:
        with suppress(OSError):
            clean(dag)

    @replaces(_IOFile, "_local_inventory")
    async def _(look: Any, file: Any, cache: Any) -> None:
        try:
            await look(file, cache)
        except NotADirectoryError:
            cache.exists_local[file] = False
        cache.exists_local.update(dict.fromkeys(occupied, False))


def _keep_what_was_made() -> None:
    """Let the outputs of our jobs stay until they are made again; that may be impossible."""
    from snakemake.jobs import Job

    kept = set[str]()

    @replaces(Job, "remove_existing_output")
    async def _(remove: Any, job: Any) -> None:
        if not is_ours(job):
            await remove(job)
            return
        kept.update(file for file in job.output if os.path.isfile(file))  # noqa: PTH113
        for file in (*job.output, *job.log):
            if file not in kept:
                await file.remove(remove_non_empty_dir=False)

    @replaces(Job, "cleanup")
    async def _(clean_up: Any, job: Any, skip_outputs: Collection[str]) -> None:
        await clean_up(job, {*skip_outputs, *kept})


_MANY = 1000
"""Inputs whose times are not looked at one by one after a job."""


def keep_times_of_outputs() -> None:
    """Let the outputs of our jobs have the times that their records tell.

    The engine sets them anew after each job. Where clocks differ, so that an output would be older
    than an input, it still does.
    """
    from snakemake.dag import DAG

    @replaces(DAG, "check_and_touch_output")
    async def _(check: Any, dag: Any, job: Any, **keys: Any) -> None:
        if is_ours(job) and len(job.input) < _MANY and not dag.workflow.touch:
            made, read = ([_mtime_ns(f) for f in files] for files in (job.output, job.input))
            keys["no_touch"] = min(made, default=0) >= max(read, default=0)
        await check(dag, job, **keys)


def _mtime_ns(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def report_group_failures(take: Callable[[tuple[int, ...], str], None]) -> None:
    """Have `take` told which jobs failed as a group, and the executor's message."""
    from snakemake.jobs import GroupJob

    @replaces(GroupJob, "log_error", anew=True)
    def _(tell: Any, group: Any, msg: str | None = None, *words: Any, **keys: Any) -> None:
        with suppress(Exception):
            take(tuple(int(job.jobid) for job in group.jobs), msg or "")
        tell(group, msg, *words, **keys)
