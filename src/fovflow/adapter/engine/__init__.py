"""Everything of Snakemake that is private or patched, and how it is started.

Nothing else of the package touches Snakemake below its documented interface. `names` lists what is
touched, each with the reason; `patches` replaces methods, `deciding` which jobs run, `shortcuts`
saves time; `cluster` hears of jobs on nodes; `alone` makes one job without a run.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from fovflow.errors import ConfigError, FovflowError
from fovflow.terminal import SafeStream, printable, safe

OF_JOBS = "fovflow.adapter.job"
"""What scripts import that are jobs of this package; others are left to themselves."""


def workflow_folder() -> Path:
    """Return the folder of the Snakefile: inside the installed package, or the clone's top."""
    package = Path(__file__).resolve().parents[2]
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
        form, remedy = _PAIRS.get(option, ("", ""))
        if form and not re.fullmatch(re.sub(r"\w+", ".+", form), word):
            remedy = remedy.format(word)
            raise ConfigError(f"{option} takes {form}", found=word, remedy=remedy)
    for place, word in enumerate(given):
        option, equals, value = word.partition("=")
        if option == "--workflow-profile" and equals:
            given[place] = f"{option}={_profile(value)}"
        elif place and given[place - 1] == "--workflow-profile":
            given[place] = _profile(word)
    chooses = ("--cores", "-c", "--jobs", "-j", "--profile", "--workflow-profile", "--unlock")
    if not any(item.split("=")[0] in chooses or item[:2] in ("-c", "-j") for item in given):
        given = ["--cores", "all", *given]
    snakefile = workflow_folder() / "Snakefile"
    return [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *given]


def _profile(name: str) -> str:
    """Return a workflow profile as the engine finds it: one that is not there it passes over."""
    own = workflow_folder()
    places = Path(name), Path("profiles", name), own / "profiles" / name
    if name == "none" or any(place.exists() for place in places):
        return name
    if (own / name).exists():  # profiles/slurm, in a project that has none of that name
        return str(own / name)
    there = sorted(place.name for place in (own / "profiles").glob("*"))
    raise ConfigError(
        f"there is no workflow profile {name}",
        found=f"profiles of this package: {', '.join(there)}",
        remedy="name a folder with a config.yaml, or one of these",
    )


_OF_CONFIG = "key=value", "give a file with --configfile {}, a key as --config outdir=elsewhere"
_PAIRS = {
    "--config": _OF_CONFIG,
    "-C": _OF_CONFIG,
    "--set-threads": ("rule=number", "write --set-threads segment=4"),
    "--set-resources": ("rule:name=value", "write --set-resources segment:mem_mb=8000"),
}
"""Options whose first word is of a form, and what is to be written where it is not."""


class Engine:
    """A workflow of Snakemake, as far as the adapter asks it anything.

    `workflow`: the workflow that the pipeline is part of, its own or another's; `is_module` tells
    whether the Snakefile that is read now is a module of another one.
    """

    def __init__(self, workflow: Any):
        self.workflow = workflow
        self.is_module = not workflow.modifier.is_main_snakefile()

    @property
    def is_main(self) -> bool:
        """Whether this process plans and schedules: it is no job's."""
        return not (self.workflow.subprocess_exec or self.workflow.remote_exec)

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is going to be made."""
        return bool(self.workflow.output_settings.dryrun)

    @property
    def makes_files(self) -> bool:
        """Whether files are going to be made: no dry run, and not only new dates of files."""
        return not (self.workflow.touch or self.workflow.dryrun)

    @property
    def keeps_stacks(self) -> bool:
        """Whether stacks stay that would be removed once nothing needs them."""
        return bool(self.workflow.storage_settings.notemp)

    @property
    def runs_hooks(self) -> bool:
        """Whether ``onstart``, ``onsuccess`` and ``onerror`` are wanted."""
        return not self.workflow.execution_settings.no_hooks

    @property
    def runs_jobs_here(self) -> bool:
        """Whether jobs run on this machine, and not on a cluster."""
        return bool(self.workflow.local_exec)

    @property
    def has_no_cores(self) -> bool:
        """Whether jobs that run here would wait for ever: ``--cores 0``."""
        return self.runs_jobs_here and self.workflow.resource_settings.cores == 0

    @property
    def set_threads(self) -> dict[str, str]:
        """What ``--set-threads`` or a profile says, by rule."""
        given = self.workflow.resource_settings.overwrite_threads
        return {rule: str(getattr(threads, "raw", threads)) for rule, threads in given.items()}

    @property
    def rules_set(self) -> list[str]:
        """Rules that options or a profile say something of; empty where others' rules are used."""
        settings = self.workflow.resource_settings
        own = Path(self.main_snakefile).resolve().parent == workflow_folder()
        return [*settings.overwrite_threads, *settings.overwrite_resources] if own else []

    @property
    def main_snakefile(self) -> str:
        """Path of the Snakefile that was started."""
        return str(self.workflow.main_snakefile)

    @property
    def configfiles(self) -> list[str]:
        """Configuration files as they were given."""
        return [str(name) for name in self.workflow.configfiles]

    @property
    def output_settings(self) -> Any:
        """How much the engine says; what its logger plugins are made with."""
        return self.workflow.output_settings

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
        return str(self.workflow.modifier.path_modifier.replace_prefix(name))

    def plugin_handler(self, module: str) -> Any:
        """Return the handler of a logger plugin, taken off the engine's queue; None without.

        Its records come on the engine's own threads instead: the run must stand before the first
        job.
        """
        manager = self.workflow.logger_manager
        for handler in manager.plugin_handlers:
            if type(handler).__module__ == module:
                listener = manager.queue_listener
                listener.handlers = tuple(item for item in listener.handlers if item is not handler)
                return handler
        return None


def cores_for_each(workflow: Any, step: str) -> int:
    """Return how many cores each job of a step may take so that none lies idle: 1 on a cluster.

    `workflow`: the engine's, whose jobs are known. `step`: as its script is called.
    """
    engine = Engine(workflow)
    if not (engine.is_main and engine.runs_jobs_here):
        return 1
    jobs = Counter(job.rule for job in workflow.dag.needrun_jobs(exclude_finished=False))
    of_step = sum(
        n for rule, n in jobs.items() if is_our_rule(rule) and Path(str(rule.script)).stem == step
    )
    return max(1, (workflow.resource_settings.cores or 1) // max(1, of_step))


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


def is_own(script: Any) -> bool:
    """Tell whether a script of the engine is one of this package."""
    return OF_JOBS in str(script.source)


def is_ours(job: Any) -> bool:
    """Tell whether a job of the engine is of a rule of this package."""
    return is_our_rule(job.rule)


@cache
def is_our_rule(rule: Any) -> bool:
    """Tell whether a rule of the engine is of this package."""
    script, base = rule.script, rule.basedir
    if not script or base is None:
        return False
    folder = Path(str(base.get_path_or_uri(secret_free=True)))
    return (folder / str(script)).resolve().parent == workflow_folder() / "scripts"
