"""Switch the recording of a run on, from inside the Snakefile.

A handler on Snakemake's logger notes what the engine does. It is attached by the pipeline itself:
a ``logger:`` in a profile would break a clone that is not installed. A run begins when Snakemake
tells how many jobs it is going to do; dry runs, ``--lint``, ``--unlock``, ``--touch``, processes of
single jobs and "Nothing to be done" never come to that.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from contextlib import suppress
from typing import Any

from fovflow.adapter.engineplan import run_plan, stop_job, stop_run
from fovflow.adapter.guard import FolderGuard
from fovflow.adapter.joblog import LIVE
from fovflow.adapter.pipeline import Pipeline
from fovflow.adapter.signals import Interruptions
from fovflow.adapter.submissions import Submissions, hear_groups, refusal, run_name
from fovflow.runs.announcer import Announcer
from fovflow.runs.recorder import Recorder
from fovflow.runs.screen import Screen, ScreenStream, live_possible

DISPLAY = "FOVFLOW_DISPLAY"
"""Environment variable that chooses the display: ``live``, ``plain`` or ``auto``."""

_current: EngineListener | None = None


def record_run(pipeline: Pipeline, workflow: Any) -> None:
    """Record the run that this process is going to do, if it does one.

    Parameters
    ----------
    pipeline : Pipeline
    workflow : snakemake.workflow.Workflow
    """
    global _current  # noqa: PLW0603  (a process has one logger)
    try:
        if workflow.output_settings.dryrun:
            return
        from snakemake.logging import logger

        from snakemake_logger_plugin_fovflow import LogHandler, LogHandlerSettings

        for old in [item for item in logger.handlers if isinstance(item, LogHandler)]:
            logger.removeHandler(old)
        handler = _given_handler(workflow.logger_manager)
        if handler is None:
            handler = LogHandler(workflow.output_settings, LogHandlerSettings())
        _current = EngineListener(pipeline, workflow, getattr(handler.settings, "display", None))
        handler.connect(_current.take, _current.end)
        logger.addHandler(handler)
        for earlier in [item for item in logger.filters if isinstance(item, FolderGuard)]:
            logger.removeFilter(earlier)
        logger.addFilter(_current.guard)
        atexit.register(_current.end)
    except Exception as error:
        print(f"fovflow: the run is not recorded: {error!r}", file=sys.stderr)


def say(text: str) -> None:
    """Tell people something, above the live display where there is one."""
    if _current is not None and _current.screen is not None:
        _current.screen.say(text)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _given_handler(manager: Any) -> Any:
    """Return the handler that ``--logger fovflow`` made, taken off Snakemake's queue.

    Its records come on the engine's own threads instead: the run must stand before the first job.
    """
    for handler in manager.plugin_handlers:
        if type(handler).__module__ == "snakemake_logger_plugin_fovflow":
            listener = manager.queue_listener
            listener.handlers = tuple(item for item in listener.handlers if item is not handler)
            return handler
    return None


class EngineListener:
    """Takes Snakemake's log records and tells the recorder.

    Parameters
    ----------
    pipeline : Pipeline
    workflow : snakemake.workflow.Workflow
    display : str or None
        ``live``, ``plain``, ``auto``; the environment's otherwise.
    """

    def __init__(self, pipeline: Pipeline, workflow: Any, display: str | None):
        self._pipeline, self._workflow = pipeline, workflow
        self._display = display or os.environ.get(DISPLAY) or "auto"
        self._recorder: Recorder | None = None
        self._interruptions: Interruptions | None = None
        self.guard = FolderGuard(pipeline.config.outdir, unheard=self._quiet("ALL"))
        self._stream: Any = None
        self._filter = LiveFilter()
        self._is_module = not workflow.modifier.is_main_snakefile()
        self._submissions, self._cluster_name = Submissions(), ""
        self.screen: Screen | None = None

    def take(self, record: logging.LogRecord) -> None:
        """Take one record of the engine; returns at once."""
        event = str(getattr(record, "event", "") or "")
        if event == "workflow_started":
            if not self._workflow.dryrun:
                self.guard.take()
        elif event == "run_info":
            if self._recorder is None and not (self._workflow.touch or self._workflow.dryrun):
                self._begin(dict(getattr(record, "stats", {})))
        elif not event:
            self._take_sentence(str(record.msg))
        elif self._recorder is None:
            return
        elif event == "group_info":
            self._submissions.take_group(record)
        elif event == "job_info":
            log = next(iter(getattr(record, "log", None) or ()), "")
            wildcards = {k: str(v) for k, v in dict(getattr(record, "wildcards", {})).items()}
            self._recorder.job_started(
                int(getattr(record, "jobid", 0)), str(getattr(record, "rule_name", "")),
                wildcards, str(log),
            )  # fmt: skip
        elif event == "job_finished":
            self._recorder.job_ended(int(getattr(record, "job_id", 0)), failed=False)
        elif event == "job_error":
            why = refusal(str(getattr(record, "rule_msg", "")))
            self._recorder.job_ended(int(getattr(record, "jobid", 0)), failed=True, refused=why)

    def _take_group_error(self, idents: tuple[int, ...], message: str) -> None:
        if self._recorder is not None:
            self._recorder.group_failed(idents, refusal(message))

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
        finally:
            self.guard.release()

    def _finish(self, recorder: Recorder) -> None:
        recorder.finish()
        self._leave_screen()
        if self._interruptions is not None:
            self._interruptions.remove()
        from fovflow.adapter.manifest import update_manifests

        if self._stands_in():
            self._conclude(recorder.view.record.get("status") == "completed")
        update_manifests(self._pipeline)

    def _stands_in(self) -> bool:
        """Tell whether the handlers' work is left to this listener."""
        return self._is_module and not self._workflow.execution_settings.no_hooks

    def _conclude(self, success: bool) -> None:
        """Do what the Snakefile's handlers do, which do not run where it is a module."""
        from fovflow.adapter.outcome import describe_outcome, record_failure

        if not success:
            record_failure(self._pipeline, self._workflow)
        say(describe_outcome(self._pipeline))

    def _begin(self, stats: dict[str, int]) -> None:
        stats.pop("total", None)
        remote = not self._workflow.local_exec
        self._take_screen()
        if self._stands_in():
            say(self._pipeline.summary(problems=False))
        recorder = Recorder(
            run_plan(self._pipeline, self._workflow, stats, is_module=self._is_module),
            Announcer(
                say,
                screen=self.screen,
                progress_lines=not self._quiet("PROGRESS"),
                tell_failures="all" if remote else "silent" if self.screen else "none",
            ),
            stop=lambda view: stop_run(view, remote=remote),
            stop_job=stop_job,
        )
        recorder.start()
        self._interruptions = Interruptions(recorder.interrupt)
        self._interruptions.install()
        self._recorder = recorder
        if remote:
            hear_groups(self._take_group_error)

    # ---- the screen

    def _take_screen(self) -> None:
        """Take over the terminal, where there is one that is to be drawn on."""
        stream_handler = self._stream_handler()
        if stream_handler is None or not self._wants_live(stream_handler.stream):
            return
        self.screen = Screen(stream_handler.stream)
        stream_handler.addFilter(self._filter)
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
        stream_handler = self._stream_handler()
        if stream_handler is not None and self._stream is not None:
            with suppress(Exception):
                stream_handler.setStream(self._stream)
                stream_handler.removeFilter(self._filter)
        self._stream = None

    def _wants_live(self, stream: Any) -> bool:
        settings = self._workflow.output_settings
        if self._display != "auto":
            return self._display == "live"
        chatty = settings.verbose or settings.debug_dag or settings.printshellcmds
        return live_possible(stream) and not chatty and not self._quiet("PROGRESS")

    def _quiet(self, what: str) -> bool:
        names = {item.name for item in self._workflow.output_settings.quiet or ()}
        return bool(names & {what, "ALL"})

    @staticmethod
    def _stream_handler() -> Any:
        from snakemake.logging import logger

        found = (item for item in logger.handlers if item.name == "DefaultStreamHandler")
        return next(found, None)


class LiveFilter:
    """Keeps Snakemake's account of single jobs off a screen that shows them already.

    Warnings and errors stay, but for those that say of a job's script what the job's own sentence
    says better.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is shown."""
        if record.levelno < logging.WARNING:
            return False
        event = str(getattr(record, "event", "") or "")
        if event in ("job_error", "group_error"):
            return False
        return "returned non-zero exit status" not in str(record.msg)
