"""Everything of Snakemake that is private or patched, and how it is started.

Nothing else of the package touches Snakemake below its documented interface. `TOUCHED` lists each
name with the reason; a test resolves all of them, so that an upgrade which moves one is noticed.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache, wraps
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.adapter.given import ATTEMPT
from fovflow.adapter.interrupts import interrupts_blocked
from fovflow.adapter.shortcuts import take_shortcuts
from fovflow.errors import ConfigError, FovflowError
from fovflow.runs.slurm import GENERIC, SLURM, ClusterJob
from fovflow.stages import STAGES
from fovflow.terminal import SafeStream, printable, safe

OLDEST, NEWEST = "9.20.0", "9.27.1"
"""Versions of Snakemake with which all of this was tried."""

PATCHED = {
    "snakemake.dag.DAG.incomplete_files": (
        "our records, and not marks, times and metadata of the engine, decide which of our jobs run"
    ),
    "snakemake.script.PythonScript.get_preamble": "see shortcuts: a job imports no engine",
    "snakemake.dag.ScriptProcessor.process_job": "see shortcuts: once for each rule",
    "snakemake.rules.Rule.expand_resources": "see shortcuts: once for each rule and dataset",
    "snakemake.jobs.Job.log_info": "see shortcuts: not where nobody sees it",
    "snakemake.common.get_function_params": "see shortcuts: remembered for each function",
    "snakemake.sourcecache.parse_uri": "see shortcuts: remembered for each name",
    "snakemake.script.PythonScript._execute_cmd": "Ctrl-C waits until a script can take it",
    "snakemake.scheduling.job_scheduler.JobScheduler._schedule_reevalutation": (
        "one timer for the next round of the scheduler, not one for every job that ends"
    ),
    "snakemake.jobs.Job.check_protected_output": "see prepare",
    "snakemake.jobs.Job.prepare": "what keeps one job from writing is no reason to end the run",
    "snakemake.jobs.Job.postprocess": (
        "see prepare: what a failed job made cannot be removed; an input that is dated ahead of "
        "what was made from it is no failure"
    ),
    "snakemake.jobs.Job.remove_existing_output": (
        "what was copied stays until the new copy is whole: the raw file may be gone by then"
    ),
    "snakemake.jobs.Job.cleanup": "see remove_existing_output: also where the new copy fails",
    "snakemake.dag.DAG.check_and_touch_output": (
        "outputs keep the times that their job recorded: they are not read again to be believed"
    ),
    "snakemake.dag.DAG.cleanup_workdir": "see prepare: a folder cannot be removed",
    "snakemake.io._IOFile._local_inventory": "see prepare: a file in the place of a folder",
    "snakemake.jobs.GroupJob.log_error": (
        "the message of a group is dropped before a logger sees it, and with it why a cluster "
        "refused the job"
    ),
}
"""Methods that are replaced, and why; the names are the engine's own, with their spelling."""

PRIVATE = {
    "snakemake.api.WorkflowApi._workflow": "the rules, for the script of one job by itself",
    "snakemake.dag.DAG.__init__": "see Job",
    "snakemake.dag.DAG.depending": "see _needrun: jobs that wait for others",
    "snakemake.dag.DAG._needrun": "files that come back as they were are no reason to run",
    "snakemake.dag.DAG.update_needrun": "see _needrun",
    "snakemake.dag.DAG.forcefiles": "see _needrun: what a person has asked for",
    "snakemake.dag.DAG.forcerules": "see forcefiles",
    "snakemake.dag.DAG.reason": "where the engine keeps why a job runs; see Reason",
    "snakemake.jobs.Reason.updated_input": "set by times of files",
    "snakemake.jobs.Reason.clear": "sets what the engine's metadata say",
    "snakemake.iocontainers.Snakemake.__init__": "what the script of one job by itself is given",
    "snakemake.jobs.Job.__init__": "files and parameters of one job by itself",
    "snakemake.scheduling.job_scheduler.JobScheduler._open_jobs": "begins a round",
    "snakemake.scheduling.job_scheduler.JobScheduler.print_progress": (
        "whether the recorder hears of jobs that ended"
    ),
    "snakemake.jobs.Job.dag": "resources that a cluster's job asked for",
    "snakemake.logging.LoggerManager.plugin_handlers": "finds the handler of --logger fovflow",
    "snakemake.logging.LoggerManager.queue_listener": (
        "the run's record must stand before the first job: its handler leaves the queue"
    ),
    "snakemake.modules.WorkflowModifier.path_modifier": "refuses modules with a prefix",
    "snakemake.modules.WorkflowModifier.is_main_snakefile": "is this workflow a module",
    "snakemake.workflow.Workflow.configfiles": "recorded with the run",
    "snakemake.workflow.Workflow.dryrun": "nothing is recorded of a dry run",
    "snakemake.workflow.Workflow.execution_settings": "--no-hooks; --drop-metadata, see decide",
    "snakemake.workflow.Workflow.resource_settings": "--set-resources, which may differ by job",
    "snakemake.common.tbdstring.TBDString": "a resource that is not known yet",
    "snakemake.workflow.Workflow.global_resources": "limit of steps of one FOV on a node",
    "snakemake.workflow.Workflow.is_main_process": "who plans and who only reads the plan",
    "snakemake.workflow.Workflow.local_exec": "whether jobs run on this machine",
    "snakemake.workflow.Workflow.logger_manager": "see LoggerManager",
    "snakemake.workflow.Workflow.main_snakefile": "recorded where this is a module of it",
    "snakemake.workflow.Workflow.modifier": "see WorkflowModifier",
    "snakemake.workflow.Workflow.output_settings": "how much is said",
    "snakemake.workflow.Workflow.persistence": (
        "forgets that a file was made, or knows that it is half made"
    ),
    "snakemake.jobs.Job.rule": "whether a job is of this package",
    "snakemake.workflow.Workflow.register_resource": "limit of steps of one FOV on a node",
    "snakemake.workflow.Workflow.remote_exec": "is this process on a cluster's node",
    "snakemake.workflow.Workflow.scheduling_settings": "takes off the limit of jobs per second",
    "snakemake.workflow.Workflow.subprocess_exec": "is this process a job",
    "snakemake.workflow.Workflow.touch": "nothing is recorded of --touch",
}
"""Names that are used and documented nowhere, and what for."""

OF_JOBS = "fovflow.adapter.job"
"""What scripts import that are jobs of this package; others are left to themselves."""

if TYPE_CHECKING:
    from fovflow.planning.pipeline import Decision

_PATCHED = "_fovflow_patched"


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

    `arguments`: options and targets for Snakemake. Without ``--cores`` or a profile that says
    otherwise all cores are used. Where nothing can be written into the home folder, its cache goes
    below ``.snakemake`` of this one: child processes are told by ``XDG_CACHE_HOME``.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    there = next(place for place in (cache, *cache.absolute().parents) if place.exists())
    if not os.access(there, os.W_OK):
        os.environ["XDG_CACHE_HOME"] = os.path.abspath(".snakemake/cache")  # noqa: PTH100
    given = list(arguments)
    for option, word in pairwise(given):
        if option in ("--config", "-C") and "=" not in word:
            raise ConfigError(
                "--config takes key=value",
                found=word,
                remedy=f"give a file with --configfile {word}, a key as --config outdir=elsewhere",
            )
    chooses = ("--cores", "-c", "--jobs", "-j", "--profile", "--workflow-profile", "--unlock")
    if not any(item.split("=")[0] in chooses or item[:2] in ("-c", "-j") for item in given):
        given = ["--cores", "all", *given]
    snakefile = workflow_folder() / "Snakefile"
    return [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *given]


class Engine:
    """A workflow of Snakemake, as far as the adapter asks it anything.

    `workflow`: the workflow that the pipeline is part of, its own or another's; `is_module` tells
    whether the Snakefile that is read now is a module of another one.
    """

    def __init__(self, workflow: Any):
        self._workflow = workflow
        self.is_module = not workflow.modifier.is_main_snakefile()

    @property
    def is_main(self) -> bool:
        """Whether this process plans and schedules: it is no job's."""
        return not (self._workflow.subprocess_exec or self._workflow.remote_exec)

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is going to be made."""
        return bool(self._workflow.output_settings.dryrun)

    @property
    def makes_files(self) -> bool:
        """Whether files are going to be made: no dry run, and not only new dates of files."""
        return not (self._workflow.touch or self._workflow.dryrun)

    @property
    def runs_hooks(self) -> bool:
        """Whether ``onstart``, ``onsuccess`` and ``onerror`` are wanted."""
        return not self._workflow.execution_settings.no_hooks

    @property
    def runs_jobs_here(self) -> bool:
        """Whether jobs run on this machine, and not on a cluster."""
        return bool(self._workflow.local_exec)

    @property
    def has_no_cores(self) -> bool:
        """Whether jobs that run here would wait for ever: ``--cores 0``."""
        return self.runs_jobs_here and self._workflow.resource_settings.cores == 0

    @property
    def main_snakefile(self) -> str:
        """Path of the Snakefile that was started."""
        return str(self._workflow.main_snakefile)

    @property
    def configfiles(self) -> list[str]:
        """Configuration files as they were given."""
        return [str(name) for name in self._workflow.configfiles]

    @property
    def output_settings(self) -> Any:
        """How much the engine says; what its logger plugins are made with."""
        return self._workflow.output_settings

    def is_quiet(self, what: str) -> bool:
        """Tell whether ``--quiet`` covers `what`, such as ``PROGRESS``, or everything."""
        names = {item.name for item in self.output_settings.quiet or ()}
        return bool(names & {what, "ALL"})

    @property
    def is_chatty(self) -> bool:
        """Whether more than usual is to be said."""
        settings = self.output_settings
        return bool(settings.verbose or settings.debug_dag or settings.printshellcmds)

    def renamed(self, name: str) -> str:
        """Return what a module's ``prefix`` or ``replace_prefix`` makes of a file's name."""
        return str(self._workflow.modifier.path_modifier.replace_prefix(name))

    def plugin_handler(self, module: str) -> Any:
        """Return the handler of a logger plugin, taken off the engine's queue; None without.

        Its records come on the engine's own threads instead: the run must stand before the first
        job.
        """
        manager = self._workflow.logger_manager
        for handler in manager.plugin_handlers:
            if type(handler).__module__ == module:
                listener = manager.queue_listener
                listener.handlers = tuple(item for item in listener.handlers if item is not handler)
                return handler
        return None

    def decide(self, find: Callable[[], tuple[Decision, Mapping[str, str]]]) -> None:
        """Have the engine run those of our jobs that have a reason, and what depends on them.

        Times of files, and what the engine knows of earlier runs, are no reasons for these jobs;
        files that are missing, ``--forcerun`` and the like are.

        `find`: called when the jobs are known; returns what runs, and by the path of a job's first
        output why it must not run.
        """
        from snakemake.dag import DAG

        ask = getattr(DAG.incomplete_files, "__wrapped__", DAG.incomplete_files)

        async def incomplete_files(dag: Any) -> list[str]:
            if dag.workflow is not self._workflow:
                return list(await ask(dag))
            settings = self._workflow.execution_settings  # there are none of what runs no jobs
            if settings and not self.is_module:  # all jobs are ours, its metadata decide nothing
                settings.keep_metadata = False
            (reasons, restored, idle), refused = find()
            ours: set[str] = set()
            for job in dag.jobs:
                first = str(job.output[0]) if job.output else ""
                if first in refused:
                    raise refuse(refused[first])
                if first in reasons:
                    dag._reason[job] = _own_reason(reasons[first])
                    ours.update(map(str, job.output))
            if restored and not (dag.forcefiles or dag.forcerules):
                _leave_idle(dag, restored, idle)
            return [file for file in await ask(dag) if str(file) not in ours]

        incomplete_files.__wrapped__ = ask  # type: ignore[attr-defined]
        DAG.incomplete_files = incomplete_files


def _leave_idle(dag: Any, restored: Collection[str], idle: Collection[str]) -> None:
    """Let jobs that are `idle` not run because those in `restored` do."""

    def are(jobs: Any, files: Collection[str]) -> list[Any]:
        return [job for job in jobs if job.output and str(job.output[0]) in files]

    cut = [
        (maker, user, dag.depending[maker].pop(user))
        for maker in are(list(dag.jobs), restored)
        for user in are(list(dag.depending[maker]), idle)
    ]
    update = dag.update_needrun

    async def update_needrun(**keys: Any) -> None:
        await update(**keys)
        for maker, user, files in cut:
            if user in dag._needrun:  # it runs for a reason of the engine's: it has to wait
                dag.depending[maker][user] = files

    dag.update_needrun = update_needrun


def _own_reason(words: str) -> Any:
    """Return why a job runs as the engine keeps it, deaf to what the engine finds by itself."""
    from snakemake import jobs

    base: Any = jobs.Reason

    class OwnReason(base):  # type: ignore[misc]
        """Why a job of this package runs."""

        updated_input = property(lambda _: set())
        params_changed = input_changed = code_changed = property(lambda _: False, lambda *_: None)
        no_metadata = outdated_metadata = params_changed

        def __bool__(self) -> bool:
            return bool(words and not self.finished) or super().__bool__()

        def __str__(self) -> str:
            return super().__str__() if self.updated_input_run or not words else words

    return OwnReason()


def log_handlers() -> Any:
    """Return the engine's logger and the handler that writes to the screen, if there is one."""
    from snakemake.logging import logger

    screen = next((item for item in logger.handlers if item.name == "DefaultStreamHandler"), None)
    return logger, screen


def refuse(sentence: str) -> Exception:
    """Return the error that ends the engine with a sentence and without a traceback."""
    from snakemake.exceptions import WorkflowError

    return WorkflowError(printable(sentence))  # type: ignore[no-any-return]


def print_safely() -> None:
    """Let what the engine prints steer no terminal, but for the colours that it sets itself."""
    handler = log_handlers()[1]
    if handler is not None and not isinstance(handler.stream, SafeStream):
        shown = handler.stream
        handler.setStream(safe(shown, colours=shown.isatty()))
        if sys.stderr is shown:
            sys.stderr = handler.stream


def block_interrupts_at_start() -> None:
    """Let the engine start this package's scripts with Ctrl-C blocked.

    A script that is told to stop while it still imports would end with a traceback; it unblocks
    Ctrl-C when it can end with a sentence.
    """
    from snakemake.script import PythonScript

    execute = PythonScript._execute_cmd
    if getattr(execute, _PATCHED, False):
        return

    def execute_blocked(script: Any, *words: Any, **keys: Any) -> Any:
        if not _is_own(script):
            return execute(script, *words, **keys)
        with interrupts_blocked():
            return execute(script, *words, **keys)

    setattr(execute_blocked, _PATCHED, True)
    PythonScript._execute_cmd = execute_blocked


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


def hear_of_ended_jobs() -> None:
    """Let the engine say to its loggers that a job ended, also with ``--quiet``.

    The screen's own handler keeps it back then, as it does with other progress.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    JobScheduler.print_progress = property(  # the engine sets it; what it sets is left aside
        lambda scheduler: not scheduler.dryrun, lambda _scheduler, _value: None
    )


def leave_obstacles_to_jobs(occupied: Collection[str]) -> None:
    """Let a job of this package itself meet what keeps it from writing, and fail alone.

    Where a file is write-protected or cannot be removed, or something else has its name, the engine
    would end, and with it all other jobs.

    `occupied`: outputs in whose place there are folders; they count as missing.
    """
    from snakemake.dag import DAG
    from snakemake.exceptions import WorkflowError
    from snakemake.io import _IOFile
    from snakemake.jobs import Job

    check, prepare, finish = Job.check_protected_output, Job.prepare, Job.postprocess
    clean, look = DAG.cleanup_workdir, _IOFile._local_inventory
    if getattr(prepare, _PATCHED, False):
        return

    @wraps(check)
    async def check_others(job: Any) -> None:
        if not _is_ours(job):
            await check(job)

    @wraps(prepare)
    async def prepare_if_possible(job: Any) -> None:
        try:
            await prepare(job)
        except (OSError, WorkflowError):  # the latter of a folder that it cannot make
            if not _is_ours(job):
                raise

    @wraps(finish)
    async def finish_if_possible(job: Any, *words: Any, error: bool = False, **keys: Any) -> None:
        if _is_ours(job):
            keys["check_output_mtime"] = False  # a clock that was ahead costs nothing
        try:
            await finish(job, *words, error=error, **keys)
        except OSError:
            if not error or not _is_ours(job):
                raise
            with suppress(OSError):  # the next run shall make them, though they are there
                job.dag.workflow.persistence.started(job)

    @wraps(clean)
    def clean_if_possible(dag: Any) -> None:
        with suppress(OSError):
            clean(dag)

    @wraps(look)
    async def look_if_possible(file: Any, cache: Any) -> None:
        try:
            await look(file, cache)
        except NotADirectoryError:
            cache.exists_local[file] = False
        cache.exists_local.update(dict.fromkeys(occupied, False))

    setattr(prepare_if_possible, _PATCHED, True)
    Job.check_protected_output, Job.prepare = check_others, prepare_if_possible
    Job.postprocess, DAG.cleanup_workdir = finish_if_possible, clean_if_possible
    _IOFile._local_inventory = look_if_possible


def keep_what_was_copied() -> None:
    """Let what was made of the raw file stay until it is made again; that may be impossible."""
    from snakemake.jobs import Job

    remove, clean_up, kept = Job.remove_existing_output, Job.cleanup, set[str]()
    if getattr(remove, _PATCHED, False):
        return

    @wraps(remove)
    async def remove_what_can_be_made_again(job: Any) -> None:
        stage = STAGES.get(str(job.params.get("step"))) if _is_ours(job) else None
        if stage is None or not stage.reads_raw:
            await remove(job)
            return
        kept.update(file for file in job.output if os.path.isfile(file))  # noqa: PTH113
        for file in (*job.output, *job.log):
            if file not in kept:
                await file.remove(remove_non_empty_dir=False)

    @wraps(clean_up)
    async def clean_up_what_is_new(job: Any, skip_outputs: Collection[str]) -> None:
        await clean_up(job, {*skip_outputs, *kept})

    setattr(remove_what_can_be_made_again, _PATCHED, True)
    Job.remove_existing_output, Job.cleanup = remove_what_can_be_made_again, clean_up_what_is_new


_MANY = 1000
"""Inputs whose times are not looked at one by one after a job."""


def keep_times_of_outputs() -> None:
    """Let the outputs of our jobs have the times that their records tell.

    The engine sets them anew after each job. Where clocks differ, so that an output would be older
    than an input, it still does.
    """
    from snakemake.dag import DAG

    check = DAG.check_and_touch_output
    if getattr(check, _PATCHED, False):
        return

    @wraps(check)
    async def check_output(dag: Any, job: Any, **keys: Any) -> None:
        if _is_ours(job) and len(job.input) < _MANY and not dag.workflow.touch:
            made, read = ([_mtime_ns(f) for f in files] for files in (job.output, job.input))
            keys["no_touch"] = min(made, default=0) >= max(read, default=0)
        await check(dag, job, **keys)

    setattr(check_output, _PATCHED, True)
    DAG.check_and_touch_output = check_output


def _mtime_ns(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def save_time(engine: Engine) -> None:
    """Let the engine do nothing for each job that it could do once; see `take_shortcuts`."""
    silent = engine.is_dry_run and engine.is_quiet("ALL")
    take_shortcuts(_is_our_rule, _is_own, _needs_the_same, silent=silent)


def _needs_the_same(rule: Any) -> bool:
    """Tell whether all jobs of a rule and dataset need the same: a user's settings may differ."""
    settings = rule.workflow.resource_settings
    defaults = getattr(settings.default_resources, "args", ())
    return (
        _is_our_rule(rule)
        and rule.name not in settings.overwrite_resources
        and not any("wildcards" in str(default) for default in defaults)
    )


def _is_own(script: Any) -> bool:
    """Tell whether a script of the engine is one of this package."""
    return OF_JOBS in str(script.source)


def _is_ours(job: Any) -> bool:
    """Tell whether a job of the engine is of a rule of this package."""
    return _is_our_rule(job.rule)


@cache
def _is_our_rule(rule: Any) -> bool:
    script, base = rule.script, rule.basedir
    if not script or base is None:
        return False
    folder = Path(str(base.get_path_or_uri(secret_free=True)))
    return (folder / str(script)).resolve().parent == workflow_folder() / "scripts"


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


def report_group_failures(take: Callable[[tuple[int, ...], str], None]) -> None:
    """Have `take` told which jobs failed as a group, and the executor's message."""
    from snakemake.jobs import GroupJob

    tell = getattr(GroupJob.log_error, "__wrapped__", GroupJob.log_error)

    def log_error(self: Any, msg: str | None = None, *arguments: Any, **keys: Any) -> None:
        with suppress(Exception):
            take(tuple(int(job.jobid) for job in self.jobs), msg or "")
        tell(self, msg, *arguments, **keys)

    log_error.__wrapped__ = tell  # type: ignore[attr-defined]
    GroupJob.log_error = log_error


FOV_STEP = "fov_step"
"""Resource that every step of a field of view takes one of."""

AT_ONCE = "FOVFLOW_FOV_STEPS"
"""Environment variable: how many steps of a field of view may run at once in its job."""


def pass_to_nodes(workflow: Any) -> None:
    """Pass on to processes on nodes what they need to know, or take it from there."""
    if workflow.is_main_process:
        os.environ.pop(ATTEMPT, None)
        limit = workflow.global_resources.get(FOV_STEP)
        value = getattr(limit, "value", limit)
        os.environ[AT_ONCE] = str(value) if isinstance(value, int) else ""
    elif workflow.remote_exec:
        words = iter(sys.argv)  # its settings do not stand yet
        os.environ[ATTEMPT] = next((next(words, "") for word in words if word == "--attempt"), "")
        at_once = os.environ.get(AT_ONCE, "1")
        if at_once:  # else the job would ask for more cores than its allocation has
            workflow.register_resource(FOV_STEP, int(at_once))


_REFUSED = re.compile(r"sbatch failed\. The error message was '(.*?)'\.\n", re.DOTALL)
_RUN_NAME = re.compile(r"SLURM run ID: (\S+)")
_HANDED_IN = (
    (SLURM, re.compile(r"Job (\S+) has been submitted with SLURM jobid (\S+) \(log: (.+)\)\.")),
    (GENERIC, re.compile(r"Submitted (?:group job|job) (\S+) with external jobid '([^']+)'()\.")),
)

ASKED = ("mem_mb", "runtime")
"""Resources that are recorded of a cluster's job: MB, and minutes."""


class Submissions:
    """Jobs that the engine hands in to a cluster, from its log records and sentences."""

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

    def handed_in(self, sentence: str) -> ClusterJob | None:
        """Return what a sentence says of a job that was handed in; None for any other."""
        for scheduler, form in _HANDED_IN:
            match = form.match(sentence)
            if match:
                key, number, log = match.groups()
                idents = (int(key),) if key.isdecimal() else self._groups.get(key, ())
                return ClusterJob(idents, scheduler, number, log, self._asked.get(key, {}))
        return None


def run_name(sentence: str) -> str:
    """Return the name that all SLURM jobs of this run have, where a sentence tells it."""
    match = _RUN_NAME.match(sentence)
    return match[1] if match else ""


def refusal(message: str) -> str:
    """Return why a cluster did not take a job, where a message of the engine tells it."""
    match = _REFUSED.search(message)
    return f"SLURM did not take the job: {' '.join(match[1].split())}" if match else ""


def job_by_itself(step: str, configfile: str | os.PathLike[str], **wildcards: str | None) -> Any:
    """Return the object ``snakemake`` that a job's script is given, with the path ``script``.

    The workflow is read as by a job of the engine: nothing is run or recorded.

    `step`: name of a rule, or of the step that several rules share, such as ``copy``. `configfile`:
    relative to the working directory, as are all paths of the workflow. `wildcards`: values by
    name; those that the rule does not have are left out. Raises FovflowError if the workflow cannot
    be read, or has no such job.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.dag import DAG
    from snakemake.exceptions import WorkflowError
    from snakemake.iocontainers import Snakemake
    from snakemake.jobs import Job
    from snakemake.settings import types

    with SnakemakeApi(types.OutputSettings(quiet={types.Quietness.ALL})) as api:
        opened = api.workflow(
            types.ResourceSettings(cores=1),
            types.ConfigSettings(configfiles=[Path(configfile)]),
            workflow_settings=types.WorkflowSettings(exec_mode=types.ExecMode.SUBPROCESS),
            snakefile=workflow_folder() / "Snakefile",
        )
        try:
            opened.dag()
            workflow = opened._workflow
        except WorkflowError as error:
            raise FovflowError(f"the workflow cannot be read: {error}") from None
        given = {name: value for name, value in wildcards.items() if value is not None}
        for rule in workflow.rules:
            if step not in (rule.name, rule.params.get("step")) or rule.script is None:
                continue
            chosen = {name: given[name] for name in rule.wildcard_names & set(given)}
            forms = {**workflow.wildcard_constraints, **rule.wildcard_constraints}
            fits = (re.fullmatch(forms.get(name, ".*"), value) for name, value in chosen.items())
            if set(chosen) == rule.wildcard_names and all(fits):
                job = Job(rule, DAG(workflow, rules=workflow.rules), chosen)
                parts = (job.input, job.output, job.params, job.wildcards, job.threads)
                made = Snakemake(*parts, job.resources, job.log, workflow.config, rule.name, None)
                script = Path(str(rule.basedir.get_path_or_uri(secret_free=True))) / rule.script
                made.script, made.scriptdir = str(script.resolve()), str(script.parent)
                return made
    raise FovflowError(
        f"the workflow has no job {step} of {', '.join(f'{k} {v}' for k, v in given.items())}",
        found=", ".join(sorted({str(rule.name) for rule in workflow.rules if rule.script})),
        remedy="name one of these rules, and the dataset, FOV and channel of one of its jobs",
    )
