"""The frame of every job: progress, log, records of success and failure, retries."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.adapter.attempt import AttemptRecorder, peak_memory_mib, run_of_job
from fovflow.adapter.given import Given
from fovflow.adapter.interrupts import interrupts_unblocked
from fovflow.atomic import Digest, collect_digests, digest_of, sha256_or_none, write_text
from fovflow.errors import FORBIDDEN, IN_THE_WAY, FovflowError, complain, sentence_of_system
from fovflow.events import (
    STOPPED,
    Status,
    keep_secret,
    writable,
)
from fovflow.jobrecord import (
    BEFORE,
    JobRecord,
    in_words,
    read_record,
    record_text,
)
from fovflow.layout import LOGS, parse
from fovflow.records import read_json_object
from fovflow.stages import STAGES
from fovflow.states import CONTENT, differs_only_in
from fovflow.terminal import printable

if TYPE_CHECKING:
    from fovflow.planning.pipeline import Pipeline

PLANS = "plans.json"
"""In a run's folder: the raw files that it was planned with; see `Pipeline.plans`."""


def pipeline_of_job(config: Mapping[str, Any]) -> Pipeline:
    """Return the pipeline of a process of a job: with the raw files that its run began with."""
    from fovflow.planning.pipeline import Pipeline

    run = run_of_job(Path(str(config.get("outdir") or "results")).expanduser())
    planned = read_json_object(run.path / PLANS) if run else {}
    return Pipeline(config, is_main=False, planned=planned)


LIVE = "FOVFLOW_LIVE"
"""Environment variable that tells jobs that the screen shows the run live."""


class _Log(logging.FileHandler):
    """A log that says once, and without a traceback, that it cannot be written."""

    told = False

    def handleError(self, record: logging.LogRecord | None) -> None:  # noqa: N802  (library's name)
        if not self.told:
            self.told = True
            complain(f"fovflow: the log {self.baseFilename} has gaps: {sys.exc_info()[1]}")

    def close(self) -> None:
        try:
            super().close()
        except OSError:
            self.handleError(None)


def check_outputs(names: Iterable[str]) -> None:
    """Raise OSError where an earlier output is in the way, or is not to be written.

    The engine has removed all that can be: what is still there is a folder, or write-protected.
    """
    for name in names:
        if os.path.isdir(name):  # noqa: PTH112
            raise IsADirectoryError(errno.EISDIR, "there is a folder of that name", name)
        if os.path.exists(name) and not os.access(name, os.W_OK):  # noqa: PTH110
            raise PermissionError(errno.EACCES, "the file is write-protected", name)


def open_log(path: Path) -> None:
    """Send what is logged and warned about to the job's log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # a link would lead elsewhere
    handler = _Log(path, mode="w", encoding="utf-8")
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")


class _Formatter(logging.Formatter):
    """Writes neither secrets nor control characters of messages into a log."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        return printable(writable(super().format(record)))


def sentence_of(error: BaseException) -> str:
    """Return what a person is told of an error."""
    if isinstance(error, FovflowError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; to do: fewer --cores, or a machine with more memory"
    if isinstance(error, OSError):
        return sentence_of_system(error)
    return f"unexpected {type(error).__name__}: {error}; to do: report it, with the log"


def is_transient(error: BaseException) -> bool:
    """Tell whether another attempt may succeed: memory, disk, network, file system.

    What is forbidden, or has something else in its place, stays so until a person changes it.
    """
    lasting = isinstance(error, OSError) and error.errno in (*FORBIDDEN, *IN_THE_WAY)
    return isinstance(error, MemoryError | OSError) and not lasting


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

    `input`, `output`, `params`, `wildcards` and `config` are as Snakemake gives them to the script,
    `options` are the step's parameters, and `frame` is the frame at work, for error messages.
    """

    def __init__(self, snakemake: Any):
        wildcards = snakemake.wildcards
        self.step = str(snakemake.params.get("step", snakemake.rule))
        self.dataset = str(wildcards.get("dataset", snakemake.params.get("dataset", "")))
        self.fov = wildcards.get("fov")
        self.channel = wildcards.get("channel")
        self.frame: int | None = None
        self._read: dict[str, Digest] = {}
        self._others: dict[Path, JobRecord] = {}
        self.threads = int(snakemake.threads)
        self.log = Path(snakemake.log[0])
        self.record = self.log.with_suffix(".json")
        self._before = read_record(self.record)
        self.input, self.output = getattr(snakemake, "input", ()), snakemake.output
        self.params, self.wildcards = snakemake.params, wildcards
        self.config = getattr(snakemake, "config", {})
        self.options = snakemake.params.get("options", {})
        section = self.config.get("run")
        secret = section.get("secret") if isinstance(section, Mapping) else None
        keep_secret(secret or (), [self.config, self.options])
        self._logger = logging.getLogger("fovflow")
        self._found: dict[str, Any] = {}
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
        place = {"dataset": self.dataset} if self.dataset else {}
        return in_words({**place, **self.wildcards}) or "all datasets"

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
        """Take numbers of the frame at work, by name; the means of finite ones are recorded."""
        self.recorder.measure(values)

    def tell(self, **found: Any) -> None:
        """Keep what was found, as plain values, in the job's record."""
        self._found |= found

    def note(self, message: str) -> None:
        """Write a line to the log."""
        self._logger.info(message)

    def was_done_but_for(self, keys: Collection[str]) -> bool:
        """Tell whether these options alone differ from those that its outputs were made with.

        The outputs are read and compared with what was recorded of them.
        """
        known = self._before and self._before.complete
        if known is None or not differs_only_in(keys, known, self.options):
            return False
        outputs = map(os.path.abspath, map(str, self.output))
        self._read = {name: digest_of(name) for name in outputs if os.path.isfile(name)}  # noqa: PTH113
        found = self.outputs({})
        return {name: Digest(**made) for name, made in found.items()} == known.outputs

    def start(self) -> None:
        """Record that the job began, with its options and inputs."""
        inputs = self.inputs()
        facts = {} if inputs is None else {"inputs": inputs, "made_from": self._made_from(inputs)}
        self.recorder.start(step=self.step, threads=self.threads, options=self.options, **facts)

    def fail(self, error: BaseException) -> str:
        """Record an error; return the sentence for the screen."""
        if isinstance(error, KeyboardInterrupt):
            return self._stop()
        if isinstance(error, RetryRefusedError):  # what failed before stays in its own record
            status: Status = "failed" if error.own else "terminated"
            exit_status = 1 if error.own else STOPPED
            self._end(status, log=str(self.log), error=str(error), exit=exit_status)
            return f"{self.where}: {self.step} {error}"
        sentence = sentence_of(error)
        at = "" if self.frame is None else f" at frame {self.frame}"
        self._end(
            "failed", record=True, error=sentence, kind=type(error).__name__,
            transient=is_transient(error), frame=self.frame, exit=1, log=str(self.log),
            **self._complete_before(),
        )  # fmt: skip
        what = f"{self.step} failed{at}"
        if self.step == "problem":
            partly = getattr(self.params, "partly", False)
            what = "cannot be processed" + " as it is asked for" * bool(partly)
        return f"{self.where}: {what}: {sentence}\n  log: {self.log}"

    def _stop(self) -> str:
        """Record that the job was told to stop: no failure of its FOV, which is just not made."""
        reason, before = self.recorder.stop_reason(), self._complete_before()
        sentence = f"stopped: {reason}" if reason else "stopped"
        if not before:
            with suppress(OSError):
                self.record.unlink()
        about = {"frame": self.frame, "exit": STOPPED, "log": str(self.log), **before}
        self._end("terminated", record=bool(before), error=sentence, **about)
        return f"{self.where}: {self.step} {sentence}"

    def _complete_before(self) -> dict[str, Any]:
        """Return the last complete record, which the next one keeps unless it is complete."""
        if self._before is None or self._before.complete is None:
            return {}
        content = read_json_object(self.record)
        return {BEFORE: content if self._before.status == "completed" else content.get(BEFORE)}

    def _end(self, status: Status, *, record: bool = False, **facts: Any) -> None:
        """Tell the run how the job ended; `record`: whether that stands beside its log, too."""
        event = self.recorder.ending(status, **facts)
        if record:
            with suppress(OSError):
                self._write_record(event)
        self.recorder.end(event)

    def succeed(self, digests: Mapping[str, Digest]) -> None:
        """Record that the job is complete, and what it made.

        The record beside its log comes first: where that cannot be written, the job fails.

        `digests`: of the files that this process wrote, by absolute name; outputs that something
        else wrote are read.
        """
        self._check_given()
        found = {"found": self._found} if self._found else {}
        outputs = self.outputs(digests)
        with suppress(OSError):
            self._remove_contradictions(outputs)
        times = {name: os.stat(self.folder / name).st_mtime_ns for name in outputs}  # noqa: PTH116
        event = self.recorder.ending("completed", outputs=outputs, times=times, **found)
        self._write_record(event)
        self.recorder.end(event)

    def _remove_contradictions(self, outputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Remove what was true before these outputs were made.

        Those are files that the step made of other channels or by other names, and records of jobs,
        such as of a step that had another name, that tell of another content of these files.
        """
        kinds = {file.kind for file in STAGES[self.step].files} if self.step in STAGES else {None}
        folders = {Path(name).parent for name in outputs}
        others = {name for record in self._others.values() for name in record.outputs}
        known = self._before and self._before.complete
        for name in {*known.outputs} - {*outputs} - others if known else ():
            kind = found.kind if (found := parse(name)) else None
            if kind in kinds and Path(name).parent in folders:
                (self.folder / name).unlink(missing_ok=True)
        for path, record in self._others.items():
            told = {name: digest for name, digest in record.outputs.items() if name in outputs}
            if any(digest and digest.sha256 != outputs[n]["sha256"] for n, digest in told.items()):
                path.unlink(missing_ok=True)

    def _made_from(self, inputs: list[str]) -> dict[str, str]:
        """Return the SHA-256 of the inputs in the dataset's folder: what their makers recorded."""
        logs = [*self.log.parent.glob("*.json"), *(self.folder / LOGS).glob("*.json")]
        known: dict[str, Digest | None] = {}
        given = self._given()
        for path in {path for path in logs if path != self.record}:
            record = read_record(path)
            if record is not None and record.status == "completed":
                known |= record.outputs
                self._others[path] = record
        found = {}
        for name in inputs:
            if not name.startswith("..") and name not in given:
                digest = known.get(name)
                found[name] = digest.sha256 if digest else sha256_or_none(self.folder / name)
        return {name: sha256 for name, sha256 in found.items() if sha256 is not None}

    def _given(self) -> dict[str, str]:
        """Return the digests of users' files among the inputs, by name relative to the dataset."""
        content = self.options.get(CONTENT) or {}
        folder = self.folder.absolute()
        return {
            os.path.relpath(str(self.input.get(name)), folder): sha256
            for name, sha256 in content.items()
            if self.input and self.input.get(name)
        }

    def _check_given(self) -> None:
        """Raise if a file of a user's is no longer what it was when the run was planned."""
        files = {self.folder / name: sha256 for name, sha256 in self._given().items()}
        if "sha256" in self.options:
            files[Path(self.options["script"])] = self.options["sha256"]
        for path, sha256 in files.items():
            if sha256_or_none(path) != sha256:
                raise FovflowError(
                    f"{os.path.relpath(path)} has changed since this run began",
                    remedy="run again: everything that it concerns is made anew",
                )

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
            digest = digests.get(absolute) or self._read.get(absolute) or digest_of(absolute)
            relative = os.path.relpath(absolute, self.folder.absolute())
            made[relative] = asdict(digest)
        return made

    @property
    def folder(self) -> Path:
        """The folder of the dataset, or of whatever has a folder ``logs``."""
        for parent in self.log.parents:
            if parent.name == LOGS:
                return parent.parent
        return self.log.parent

    def _write_record(self, event: Mapping[str, Any]) -> None:
        write_text(self.record, record_text(self.recorder.begun, event))


def run(snakemake: Any, work: Callable[[Job], None]) -> None:
    """Do the work of a script, a function such as those in `fovflow.processing`, as a job."""
    with job(snakemake) as this:
        work(this)
    if isinstance(snakemake, Given) and "function" not in this.options:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # taking the process to pieces would cost a tenth of a short job


@contextmanager
def job(snakemake: Any) -> Iterator[Job]:
    """Run the body of a script as a job, with the object that Snakemake gives to scripts."""
    this: Job | None = None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # a clean stop, as by Ctrl-C
        threads = int(snakemake.threads)  # OpenCV takes as many; Snakemake tells BLAS itself
        if cv2 := sys.modules.get("cv2"):
            cv2.setNumThreads(threads)
        else:
            os.environ["OPENCV_FOR_THREADS_NUM"] = str(threads)
        this = Job(snakemake)
        open_log(this.log)
        this.note(f"{this.step}: {this.where}")
        this.start()
        with interrupts_unblocked(), collect_digests() as digests:
            check_retry(this.record, this.recorder.run, this.recorder.attempt)
            check_outputs(map(str, this.output))
            yield this
        this.note(f"CPU {time.process_time():.2f} s, peak memory {peak_memory_mib():.0f} MiB")
        this.succeed(digests)
    except (Exception, KeyboardInterrupt) as error:
        if this is not None and logging.root.handlers:  # else the log could not be opened
            logging.getLogger("fovflow").exception("failed")
        if this is None and isinstance(error, Exception):
            raise
        sentence = "stopped" if this is None else writable(this.fail(error))
        live = os.environ.get(LIVE) and sys.stderr.isatty()
        complain(f"\n{sentence}\n", before="\r\x1b[J" if live else "")
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
