"""The frame of every job: progress, log, records of success and failure, retries."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fovflow.adapter.attempt import AttemptRecorder, one_pool_of_threads, peak_memory_mib
from fovflow.adapter.interrupts import interrupts_unblocked
from fovflow.atomic import Digest, collect_digests, digest_of, write_text
from fovflow.errors import FovflowError, complain
from fovflow.events import STOPPED, Status, plain_values
from fovflow.jobrecord import in_words, job_record, read_record
from fovflow.layout import LOGS

LIVE = "FOVFLOW_LIVE"
"""Environment variable that tells jobs that the screen shows the run live."""


def open_log(path: Path) -> None:
    """Send what is logged and warned about to the job's log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    logging.raiseExceptions = False  # a full disk is told in one sentence, by what it stopped
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")


def clear_screen() -> str:
    """Return what clears the live display off the screen, where there is one."""
    return "\r\x1b[J" if os.environ.get(LIVE) and sys.stderr.isatty() else ""


def sentence_of(error: BaseException) -> str:
    """Return what a person is told of an error."""
    if isinstance(error, FovflowError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; to do: fewer --cores, or a machine with more memory"
    if isinstance(error, OSError):
        name = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{name}"
    return f"unexpected {type(error).__name__}: {error}; to do: report it, with the log"


def is_transient(error: BaseException) -> bool:
    """Tell whether another attempt may succeed: memory, disk, network, file system."""
    return isinstance(error, MemoryError | OSError)


class RetryRefusedError(Exception):
    """An earlier attempt of the same run failed in a way that this one would, too.

    `own`: whether it was this very job that failed, and not another of its field of view.
    """

    def __init__(self, message: str, *, own: bool):
        super().__init__(message)
        self.own = own


def check_retry(own: Path, run: str, attempt: int) -> None:
    """Raise where an earlier attempt of the same run failed with an error that comes again.

    `own`: record of the job; those of the other steps of its field of view lie beside it. `run`: id
    of the run; nothing is known of jobs that are not part of one. `attempt`: number of this
    attempt. Raises RetryRefusedError with the error of that attempt.
    """
    if attempt < 2 or not run:
        return
    for file in sorted(own.parent.glob("*.json")):
        job = read_record(file)
        if job and job.status == "failed" and job.run == run and not job.transient:
            raise RetryRefusedError(
                f"not tried again: {job.step} has failed in this run with an error that comes "
                f"again: {job.error}",
                own=file.name == own.name,
            )


PROGRESS_EVERY = 30
"""Frames between two reports of progress, where the configuration does not say otherwise."""

RESOURCES_EVERY_S = 10.0
"""Seconds between two measurements of what a job uses, where the configuration is silent."""

PROGRESS_AFTER_S = 5.0
"""Seconds after which progress is reported in any case, for slow methods."""

MOST_INPUTS = 1000
"""Longest list of inputs in a job's record; only the post-run rule has more."""


class Job:
    """A running job of one rule.

    Attributes
    ----------
    step : str
        Name of the rule.
    dataset, fov, channel : str or None
        Its wildcards.
    frame : int or None
        The frame at work, for error messages.
    input, output, params, wildcards, config : object
        As Snakemake gives them to the script.
    options : dict
        Parameters of the step.
    """

    def __init__(self, snakemake: Any):
        wildcards = snakemake.wildcards
        self.step = str(snakemake.params.get("step", snakemake.rule))
        self.dataset = str(wildcards.get("dataset", snakemake.params.get("dataset", "")))
        self.fov = wildcards.get("fov")
        self.channel = wildcards.get("channel")
        self.frame: int | None = None
        self.threads = int(snakemake.threads)
        self.log = Path(snakemake.log[0])
        self.record = self.log.with_suffix(".json")
        self.input, self.output = getattr(snakemake, "input", ()), snakemake.output
        self.params, self.wildcards = snakemake.params, wildcards
        self.config = getattr(snakemake, "config", {})
        self.options = snakemake.params.get("options", {})
        self._logger = logging.getLogger("fovflow")
        self._every = max(1, int(_number(snakemake, "progress_every", PROGRESS_EVERY)))
        self.recorder = AttemptRecorder(
            str(snakemake.rule),
            {str(key): str(value) for key, value in wildcards.items()},
            self.folder.parent,
            resources_every_s=_number(snakemake, "resources_interval_s", RESOURCES_EVERY_S),
        )

    @property
    def where(self) -> str:
        """The job in words: ``plate1, FOV 3, channel 1``."""
        place = {"dataset": self.dataset or None, "fov": self.fov, "channel": self.channel}
        return in_words({key: value for key, value in place.items() if value is not None})

    def frames(self, total: int, message: str = "") -> Iterator[int]:
        """Iterate over frame indices 0 to `total` - 1 and report progress.

        `message`: what is done with them, where a job goes through the frames more than once.
        """
        start = reported = time.perf_counter()
        for t in range(total):
            self.frame = t
            yield t
            if (t + 1) % self._every == 0 and t + 1 < total:
                self.note(f"frame {t + 1} of {total}")
                reported = self._progress(t + 1, total, message)
            elif time.perf_counter() - reported > PROGRESS_AFTER_S:
                reported = self._progress(t + 1, total, message)
        self.frame = None
        if total:
            self._progress(total, total, message)
        self.note(f"{total} frames in {time.perf_counter() - start:.2f} s")

    def _progress(self, done: int, total: int, message: str) -> float:
        keys = {"message": message} if message else {}
        fov = None if self.fov is None else int(self.fov)
        self.recorder.progress(done, total, step=self.step, dataset=self.dataset, fov=fov, **keys)
        return time.perf_counter()

    def measure(self, **values: float) -> None:
        """Take numbers of the frame at work for the run's records; they are recorded as means.

        Parameters
        ----------
        **values
            Numbers by name; those that are not finite are left out.
        """
        self.recorder.measure(values)

    def note(self, message: str) -> None:
        """Write a line to the log."""
        self._logger.info(message)

    def start(self) -> None:
        """Record that the job began, with its options and inputs."""
        inputs = self.inputs()
        self.recorder.start(
            step=self.step, threads=self.threads, options=self.options,
            **({} if inputs is None else {"inputs": inputs}),
        )  # fmt: skip

    def fail(self, error: BaseException) -> str:
        """Record an error; return the sentence for the screen."""
        if isinstance(error, KeyboardInterrupt):
            return self._stop()
        if isinstance(error, RetryRefusedError):
            return self._refuse(error)
        sentence = sentence_of(error)
        at = "" if self.frame is None else f" at frame {self.frame}"
        event = self.recorder.ending(
            "failed", error=sentence, kind=type(error).__name__, transient=is_transient(error),
            frame=self.frame, exit=1, log=str(self.log),
        )  # fmt: skip
        with suppress(OSError):
            self._write_record(event)
        self.recorder.end(event)
        what = "cannot be processed" if self.step == "problem" else f"{self.step} failed{at}"
        return f"{self.where}: {what}: {sentence}\n  log: {self.log}"

    def _stop(self) -> str:
        """Record that the job was told to stop: no failure of its FOV, which is just not made."""
        with suppress(OSError):
            self.record.unlink()
        reason = self.recorder.stop_reason()
        sentence = f"stopped: {reason}" if reason else "stopped"
        self._end("terminated", error=sentence, frame=self.frame, exit=STOPPED)
        return f"{self.where}: {self.step} {sentence}"

    def _refuse(self, error: RetryRefusedError) -> str:
        """Record that the job was not done again; what failed before stays in its own record."""
        if error.own:
            self._end("failed", error=str(error), exit=1)
        else:
            self._end("terminated", error=str(error), exit=STOPPED)
        return f"{self.where}: {self.step} {error}"

    def _end(self, status: Status, **facts: Any) -> None:
        self.recorder.end(self.recorder.ending(status, log=str(self.log), **facts))

    def succeed(self, digests: Mapping[str, Digest]) -> None:
        """Record that the job is complete, and what it made.

        The record beside its log comes first: where that cannot be written, the job fails.

        `digests`: of the files that this process wrote, by absolute name; outputs that something
        else wrote are read.
        """
        event = self.recorder.ending("completed", outputs=self.outputs(digests))
        self._write_record(event)
        self.recorder.end(event)

    def inputs(self) -> list[str] | None:
        """Return the inputs' names relative to the dataset; None where they are too many."""
        if len(self.input) > MOST_INPUTS:
            return None
        folder = self.folder.absolute()
        return sorted({os.path.relpath(name, folder) for name in map(str, self.input)})

    def outputs(self, digests: Mapping[str, Digest]) -> dict[str, dict[str, Any]]:
        """Return ``{bytes, sha256}`` of each output, by name relative to the dataset."""
        made: dict[str, dict[str, Any]] = {}
        for name in map(str, self.output):
            absolute = os.path.abspath(name)  # noqa: PTH100  (links are kept)
            if not os.path.isfile(absolute):  # noqa: PTH113
                continue
            digest = digests.get(absolute) or digest_of(absolute)
            relative = os.path.relpath(absolute, self.folder.absolute())
            made[relative] = {"bytes": digest.bytes, "sha256": digest.sha256}
        return made

    @property
    def folder(self) -> Path:
        """The folder of the dataset, or of whatever has a folder ``logs``."""
        for parent in self.log.parents:
            if parent.name == LOGS:
                return parent.parent
        return self.log.parent

    def _write_record(self, event: Mapping[str, Any]) -> None:
        content = plain_values(job_record(self.recorder.begun, event))
        write_text(self.record, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def run(snakemake: Any, work: Callable[[Job], None]) -> None:
    """Do the work of a script as a job.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives to scripts.
    work : callable
        One of the functions in `fovflow.processing`.
    """
    with job(snakemake) as this:
        work(this)


@contextmanager
def job(snakemake: Any) -> Iterator[Job]:
    """Run the body of a script as a job.

    Parameters
    ----------
    snakemake : object
        The object that Snakemake gives to scripts.
    """
    this: Job | None = None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # a clean stop, as by Ctrl-C
        one_pool_of_threads(int(snakemake.threads))
        this = Job(snakemake)
        open_log(this.log)
        this.note(f"{this.step}: {this.where}")
        this.start()
        with interrupts_unblocked(), collect_digests() as digests:
            check_retry(this.record, this.recorder.run, this.recorder.attempt)
            yield this
        this.note(f"CPU {time.process_time():.2f} s, peak memory {peak_memory_mib():.0f} MiB")
        this.succeed(digests)
    except (Exception, KeyboardInterrupt) as error:
        if this is not None:
            logging.getLogger("fovflow").exception("failed")
        if this is None and isinstance(error, Exception):
            raise
        sentence = "stopped" if this is None else this.fail(error)
        complain(f"{clear_screen()}\n{sentence}\n")
        sys.exit(1)


def _number(snakemake: Any, key: str, default: float) -> float:
    """Return a number of the configuration's section ``run``.

    It is read from the configuration itself and not from the rule's parameters: a change of it
    makes no file anew.
    """
    section = getattr(snakemake, "config", {}).get("run") or {}
    try:
        return float(section.get(key, default))
    except (AttributeError, TypeError, ValueError):
        return default
