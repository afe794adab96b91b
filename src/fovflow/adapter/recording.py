"""Switch the recording of a run on, and tell what a run is made with."""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import os
import platform
import re
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import fovflow
from fovflow.adapter.engine import Engine, log_handlers, refuse, workflow_folder
from fovflow.adapter.engine.cluster import Submissions, refusal, run_name
from fovflow.adapter.engine.patches import claim_before_deleting, report_group_failures
from fovflow.adapter.interrupts import Interruptions
from fovflow.adapter.job import LIVE, PLANS
from fovflow.config import parse_config
from fovflow.config.load import merged_config
from fovflow.config.run import RunConfig
from fovflow.errors import FovflowError, complain, sentence_of_system
from fovflow.events import SECRET, spellings_of
from fovflow.jobrecord import JobRecord
from fovflow.planning.pipeline import Pipeline
from fovflow.planning.space import check_space
from fovflow.planning.summary import summary
from fovflow.readers.fingerprint import fingerprint, raw_files
from fovflow.records import public, write_json
from fovflow.runs.claim import Claim, left_locked
from fovflow.runs.provenance import capture_environment, capture_workflow
from fovflow.runs.recorder import Recorder
from fovflow.runs.screen import Announcer, Screen, ScreenStream, live_possible
from fovflow.runs.state import RunState
from fovflow.runs.store import RunFolder
from fovflow.terminal import printable


class FolderGuard:
    """Takes the output folder for one run, and says in one sentence why it cannot be had.

    As a filter of Snakemake's logger it puts that sentence where Snakemake would show its code.

    `errors_hidden`: whether the engine says nothing at all, not even errors (``--quiet all``): the
    sentence then goes to the screen from here.
    """

    def __init__(self, outdir: str | os.PathLike[str], *, errors_hidden: bool):
        self._outdir, self._errors_hidden = outdir, errors_hidden
        self._claim: Claim | None = None
        self._refusal = ""

    @property
    def is_taken(self) -> bool:
        """Whether this run has the folder."""
        return self._claim is not None

    def take(self, begin: Callable[[], object] = lambda: None) -> None:
        """Take the folder, and call `begin` once it is taken.

        Raises WorkflowError if another run is at work on it; the engine then ends before it locks,
        removes or starts anything.
        """
        if self._claim is not None:
            return
        claim = Claim(self._outdir)
        try:
            claim.take()
            begin()
        except FovflowError as error:
            claim.release()
            self._refusal = str(error)
            raise refuse(str(error)) from None
        self._claim = claim

    def release(self) -> None:
        """Give the folder back; safe to call twice."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release()

    def filter(self, record: logging.LogRecord) -> bool:
        """Give Snakemake's error another text, where it is about its lock or the refusal."""
        error = getattr(record, "exception", None)
        if error == "LockException":
            record.msg, record.args = left_locked(self._outdir), ()
        elif error == "WorkflowError" and self._refusal:
            record.msg, record.args = self._refusal, ()
        else:
            return True
        if self._errors_hidden:
            complain(record.msg)
        return True


def about_run(pipeline: Pipeline, engine: Engine) -> dict[str, Any]:
    """Return what the record of a run of the pipeline tells from its beginning.

    Where another workflow takes the pipeline as a module, the configuration files are that
    workflow's own, and are not recorded.
    """
    import snakemake

    config = pipeline.config.model_dump(mode="json", by_alias=True)
    hidden = [part for alert in config["run"]["alerts"] for part in (alert["command"] or [])[1:]]
    text = json.dumps(config, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    settings = pipeline.config.run
    as_module = Path(sys.argv[0]).name == "__main__.py"
    program = [sys.executable, "-m", "snakemake"] if as_module else [sys.argv[0]]
    return {
        "name": settings.name,
        "kind": "pipeline",
        "workflow_type": settings.workflow_type,
        "description": settings.description,
        "tags": list(settings.tags),
        "metadata": dict(settings.metadata),
        "command": _without(hidden, shlex.join([*program, *sys.argv[1:]])),
        "working_directory": str(Path.cwd()),
        "module_of": os.path.relpath(engine.main_snakefile) if engine.is_module else None,
        "configfiles": [] if engine.is_module else engine.configfiles,
        "config": public(config),
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "versions": {
            "fovflow": fovflow.__version__,
            "snakemake": str(snakemake.__version__),
            "python": platform.python_version(),
        },
        "inputs": [_input(pipeline, name) for name in pipeline.datasets],
    }


def _code_and_environment() -> dict[str, Any]:
    """Return what the record tells besides, which takes time to find."""
    workflow = capture_workflow(workflow_folder())
    return {"workflow": workflow, "environment": capture_environment()}


def _without(parts: Iterable[str], text: str) -> str:
    """Return a command line without parts of it that are in no record."""
    spelt = set[str]().union(*map(spellings_of, parts))
    for part in sorted(spelt, key=len, reverse=True):
        text = text.replace(part, SECRET)
    return text


def _input(pipeline: Pipeline, name: str) -> dict[str, Any]:
    raw, plan = pipeline.config.dataset(name), pipeline.datasets[name]
    header = plan.header
    return {
        "dataset": name,
        "path": raw.path,
        "pattern": raw.pattern,
        "format": header and header.format,
        "bytes": header and header.n_bytes,
        "fingerprint": header and header.fingerprint,
        "fovs": list(plan.fovs),
        "frames": plan.n_frames,
        "problems": list(plan.problems),
    }


def _watch(settings: RunConfig, run: RunFolder, on_action: Callable[[str, Any], object]) -> Any:
    """Return the watcher of the configuration's alerts."""
    from fovflow.runs.alerts import AlertWatcher

    return AlertWatcher(
        run,
        settings.alerts,
        on_action=on_action,
        smtp=settings.smtp,
        apprise_env=settings.apprise_env,
    )


def stop_run(state: RunState, *, remote: bool) -> None:
    """End this process's run cleanly: nothing new starts, and jobs at work are told to stop.

    Snakemake removes the outputs of jobs that were stopped.

    `remote`: whether jobs run elsewhere; the engine cancels those itself when it is interrupted.
    """
    if remote:
        os.kill(os.getpid(), signal.SIGINT)
        return
    os.kill(os.getpid(), signal.SIGTERM)
    for job in state.running:
        stop_job(job)


def stop_job(job: JobRecord) -> None:
    """Tell a job on this machine to stop, as by Ctrl-C."""
    if job.pid and job.host == socket.gethostname():
        with suppress(OSError):
            os.kill(job.pid, signal.SIGINT)


DISPLAY = "FOVFLOW_DISPLAY"
"""Environment variable that chooses the display: ``live``, ``plain``, ``brief`` or ``auto``."""
BRIEF = "brief"
"""Of the display: a line for each job that is done, and nothing else of the engine but errors."""

_current: EngineListener | None = None


def record_run(pipeline: Pipeline, workflow: Any) -> None:
    """Record the run that this process is going to do, if it does one."""
    global _current  # noqa: PLW0603  (a process has one logger)
    try:
        engine = Engine(workflow)
        if engine.is_dry_run:
            return
        from snakemake_logger_plugin_fovflow import LogHandler, LogHandlerSettings

        logger, _ = log_handlers()
        for old in [item for item in logger.handlers if isinstance(item, LogHandler)]:
            logger.removeHandler(old)
        handler = engine.plugin_handler(LogHandler.__module__)
        if handler is None:
            handler = LogHandler(engine.output_settings, LogHandlerSettings())
        _current = EngineListener(pipeline, workflow, getattr(handler.settings, "display", None))
        handler.connect(_current.take, _current.end)
        claim_before_deleting(_claim)
        logger.addHandler(handler)
        for earlier in [item for item in logger.filters if isinstance(item, FolderGuard)]:
            logger.removeFilter(earlier)
        logger.addFilter(_current.guard)
        atexit.register(_current.end)
    except Exception as error:
        complain(f"fovflow: the run is not recorded: {error!r}")


def _claim() -> None:
    if _current is not None:
        _current.guard.take()


def say(text: str) -> None:
    """Tell people something, above the live display where there is one."""
    if _current is not None and _current.screen is not None:
        _current.screen.say(text)
    elif text:
        complain(text)


class EngineListener:
    """Takes Snakemake's log records and tells the recorder.

    `display`: ``live``, ``plain``, ``brief``, ``auto``; the environment's otherwise.
    """

    def __init__(self, pipeline: Pipeline, workflow: Any, display: str | None):
        self._pipeline, self._workflow, self._engine = pipeline, workflow, Engine(workflow)
        self._display = display or os.environ.get(DISPLAY) or "auto"
        self._recorder: Recorder | None = None
        self._interruptions: Interruptions | None = None
        self.guard = FolderGuard(pipeline.config.outdir, errors_hidden=self._engine.is_quiet("ALL"))
        self._stream: Any = None
        self._jobs: dict[int, str] = {}
        self._counted = [0, 0]
        if self._display == BRIEF and (handler := log_handlers()[1]) is not None:
            handler.addFilter(beside_live)
        self._submissions, self._cluster_name = Submissions(), ""
        self.screen: Screen | None = None

    def take(self, record: logging.LogRecord) -> None:
        """Take one record of the engine; returns at once."""
        recorder, about = self._recorder, vars(record)
        match str(about.get("event") or ""):
            case "workflow_started" if not self._engine.is_dry_run:
                self.guard.take(self._start)
            case "run_info" if recorder is None and self._engine.makes_files:
                self._begin(dict(about.get("stats") or {}))
            case "":
                self._take_sentence(str(record.msg))
            case "group_info":
                self._submissions.take_group(record)
            case "job_info" if recorder is not None:
                wildcards = {
                    key: str(value) for key, value in dict(about.get("wildcards") or {}).items()
                }
                log = str(next(iter(about.get("log") or ()), ""))
                words = str(about.get("rule_msg") or about["rule_name"])
                self._jobs[int(about["jobid"])] = words
                recorder.job_started(int(about["jobid"]), str(about["rule_name"]), wildcards, log)
            case "job_finished" if recorder is not None:
                recorder.job_ended(int(about["job_id"]), failed=False)
                self._tell_finished(int(about["job_id"]))
            case "job_error" if recorder is not None:
                refused = refusal(str(about.get("rule_msg") or ""))
                recorder.job_ended(int(about["jobid"]), failed=True, refused=refused)

    def _tell_finished(self, job: int) -> None:
        """Tell of a job in one line, where that is the form of the display."""
        self._counted[0] += 1
        if self._display == BRIEF and job in self._jobs:
            say(f"{self._counted[0]} of {self._counted[1]}: {self._jobs[job]}")

    def _take_sentence(self, sentence: str) -> None:
        """Take what the executor plugins say in words only."""
        self._cluster_name = run_name(sentence) or self._cluster_name
        if self._recorder is None:
            return
        handed_in = self._submissions.handed_in(sentence)
        if handed_in is not None:
            if self._cluster_name:
                self._recorder.belongs_to(handed_in.scheduler, self._cluster_name)
                self._cluster_name = ""
            self._recorder.handed_in(handed_in)

    def end(self) -> None:
        """End the recording; later calls do nothing."""
        recorder, self._recorder = self._recorder, None
        try:
            if recorder is not None:
                atexit.unregister(self.end)
                self._finish(recorder)
            elif self.guard.is_taken:  # there was nothing to do
                self._clear_away()
        finally:
            self.guard.release()

    def _clear_away(self) -> None:
        if self._engine.makes_files:
            from fovflow.adapter.outcome import clear_away

            command = shlex.join(sys.argv)
            clear_away(self._pipeline, command, stacks=not self._engine.keeps_stacks)

    def _finish(self, recorder: Recorder) -> None:
        from fovflow.adapter.outcome import bring_up_to_date, describe_outcome, update_manifests

        recorder.finish()
        self._leave_screen()
        if self._interruptions is not None:
            self._interruptions.remove()
        self._clear_away()
        failed = recorder.state.record.get("status") != "completed"
        bring_up_to_date(self._pipeline, failed=failed)
        if self._replaces_hooks():
            say(describe_outcome(self._pipeline))
        update_manifests(self._pipeline)

    def _replaces_hooks(self) -> bool:
        """Tell whether the Snakefile's handlers, which do not run in a module, are wanted."""
        return self._engine.is_module and self._engine.runs_hooks

    def _start(self) -> None:
        check_space(self._pipeline)
        self._pipeline.begin()

    def _begin(self, stats: dict[str, int]) -> None:
        self._counted[1] = stats.pop("total", 0) or sum(stats.values())
        remote = not self._engine.runs_jobs_here
        self._take_screen()
        if self._replaces_hooks():
            say(summary(self._pipeline, problems=False))
        settings = self._pipeline.config.run
        recorder = Recorder(
            self._pipeline.config.outdir,
            Announcer(
                say,
                screen=self.screen,
                progress_lines=not self._engine.is_quiet("PROGRESS"),
                failures="all" if remote else "unrecorded" if self.screen else "none",
            ),
            content=about_run(self._pipeline, self._engine),
            jobs=stats,
            slow=_code_and_environment,
            watch=partial(_watch, settings) if settings.alerts else None,
            silent_after_s=60 * settings.silent_after_min,
            stop_when_lost=settings.on_lost == "stop_run",
            stop=lambda state: stop_run(state, remote=remote),
            stop_job=stop_job,
        )
        recorder.start()
        if recorder.run is not None:
            try:
                write_json(recorder.run.path / PLANS, self._pipeline.plans())
            except OSError as error:
                recorder.warn(
                    "jobs will not notice a raw file that is exchanged during this run, because "
                    f"{PLANS} could not be written: {sentence_of_system(error)}"
                )
        self._interruptions = Interruptions(recorder.interrupt)
        self._interruptions.install()
        self._recorder = recorder
        if remote:
            report_group_failures(
                lambda idents, message: recorder.group_failed(idents, refusal(message))
            )

    # ---- the screen

    def _take_screen(self) -> None:
        """Take over the terminal, where there is one that is to be drawn on."""
        stream_handler = log_handlers()[1]
        if stream_handler is None or not self._wants_live(stream_handler.stream):
            return
        self.screen = Screen(stream_handler.stream)
        stream_handler.addFilter(beside_live)
        self._stream = stream_handler.setStream(ScreenStream(self.screen))
        os.environ[LIVE] = "1"
        if sys.stderr is self._stream:
            sys.stderr = stream_handler.stream

    def _leave_screen(self) -> None:
        self.screen = None
        os.environ.pop(LIVE, None)
        if isinstance(sys.stderr, ScreenStream):
            sys.stderr.flush()
            sys.stderr = self._stream
        stream_handler = log_handlers()[1]
        if stream_handler is not None and self._stream is not None:
            with suppress(Exception):
                stream_handler.setStream(self._stream)
                stream_handler.removeFilter(beside_live)
        self._stream = None

    def _wants_live(self, stream: Any) -> bool:
        if self._display != "auto":
            return self._display == "live"
        return (
            live_possible(stream)
            and not self._engine.is_chatty
            and not self._engine.is_quiet("PROGRESS")
        )


_SAID_BETTER = re.compile(
    "returned non-zero exit status|^Exiting because a job execution failed|"
    "At least one job did not complete successfully"
)


def beside_live(record: logging.LogRecord) -> bool:
    """Keep Snakemake's account of single jobs off a screen that shows them already.

    Warnings and errors stay, but for those that say of a failure what the job's own sentence says
    better.
    """
    if record.levelno < logging.WARNING:
        return str(record.msg).startswith("Nothing to be done")
    of_jobs = getattr(record, "event", None) in ("job_error", "group_error")
    return not of_jobs and not _SAID_BETTER.search(str(record.msg))


_NOTHING_MAKES = re.compile(r"No rule to produce (.*) \(if you use input functions", re.DOTALL)
_IS_STEP = "Target rules may not contain wildcards"


def explain_targets(pipeline: Pipeline) -> Callable[[logging.LogRecord], bool]:
    """Return what puts a sentence where Snakemake's own speaks of rules: of what nothing makes."""
    layout = pipeline.layout

    def sentence(told: str, name: str) -> str:
        near = os.path.relpath(name) if name.startswith("/") else ""
        if near.startswith(layout.outdir):
            remedy = f"give its path from here, {near}"
        else:
            fovs = ((dataset, fov) for dataset, p in pipeline.datasets.items() for fov in p.fovs)
            such = [f", such as {layout.file('traces', *fov)}" for fov in islice(fovs, 1)]
            remedy = f"name a file of the output folder{''.join(such)}, or none for everything"
        return printable(str(FovflowError(told, remedy=remedy)))

    def explain(record: logging.LogRecord) -> bool:
        if getattr(record, "exception", None) in ("MissingRuleException", "WorkflowError"):
            told = str(record.msg)
            if match := _NOTHING_MAKES.search(told):
                record.msg, record.args = sentence(f"nothing makes {match[1]}", match[1]), ()
            elif _IS_STEP in told:
                record.msg, record.args = sentence("a step alone is no target", ""), ()
        return True

    return explain


def describe_now(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``workflow``, ``environment``, ``config`` and ``inputs`` of a run as they are now.

    `record` is the content of its ``run.json``, which tells which files and folders to look at.
    """
    directory = Path(str(record.get("working_directory") or Path.cwd()))
    inputs = [item for item in record.get("inputs") or [] if isinstance(item, Mapping)]
    return {
        **_code_and_environment(),
        "workflow_type": record.get("workflow_type"),  # it stands in the configuration
        "config": _config_now(record, directory),
        "inputs": [_input_now(item, directory) for item in inputs],
    }


def _config_now(record: Mapping[str, Any], directory: Path) -> Any:
    """Return the configuration, resolved; the recorded one where its files are gone."""
    names = [directory / name for name in record.get("configfiles") or []]
    if not names or not all(name.exists() for name in names):
        return record.get("config")
    changes: list[str] = []
    taking = False
    try:
        for word in shlex.split(str(record.get("command") or "")):  # --config key=value …
            if word.startswith("-"):
                taking = word in ("--config", "-C")
            elif taking:
                changes.append(word)
        merged = merged_config(map(str, names), changes)
        return public(parse_config(merged).model_dump(mode="json", by_alias=True))
    except FovflowError as error:
        return {"error": str(error)}


def _input_now(item: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Return an input; a file that is gone has no digest."""
    now = {key: value for key, value in item.items() if key not in ("bytes", "fingerprint")}
    pattern = item.get("pattern")
    with suppress(FovflowError, OSError):
        place = directory / str(item.get("path"))
        now["bytes"] = sum(file.stat().st_size for file in raw_files(place, pattern))
        now["fingerprint"] = fingerprint(place, pattern)
    return now
