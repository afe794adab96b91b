"""The frame of every job: progress, log, records of success and failure, retries."""

from __future__ import annotations

import errno
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.adapter.given import Given, attempt_of_engine
from fovflow.adapter.interrupts import interrupts_unblocked
from fovflow.atomic import Digest, collect_digests, digest_of, sha256_or_none, write_text
from fovflow.errors import FORBIDDEN, IN_THE_WAY, FovflowError, complain, sentence_of_system
from fovflow.events import (
    STOPPED,
    Clock,
    EventFile,
    Status,
    keep_secret,
    make_event,
    read_events,
    to_line,
    writable,
)
from fovflow.jobrecord import (
    BEFORE,
    JobRecord,
    in_words,
    job_name,
    logged_metrics,
    read_record,
    record_text,
)
from fovflow.layout import LOGS, parse
from fovflow.records import read_json_object
from fovflow.runs.claim import join
from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS, STOP_SUFFIX, RunFolder, run_at_work
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


def peak_memory_mib() -> float:
    """Return this process's peak resident memory in MiB; NaN where the system does not tell.

    Linux's own account of the process is read: `resource.getrusage` would count the parent's
    memory at the fork, too.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return math.nan


RESOURCES_AFTER_S = 3.0
"""Age of a job, in seconds, from which it measures what it uses; shorter ones are not slowed."""


class AttemptRecorder:
    """Writes the events of one attempt of one job, where there is a run that it belongs to.

    `rule`: the engine's name of the rule. `outdir`: output folder, for jobs on machines that have
    not inherited the run's environment variable. `resources_every_s`: seconds between two
    measurements of what the job uses; 0 measures nothing.

    `run` is the run's id, empty where the job is not recorded; `begun` is the first event.
    """

    def __init__(
        self,
        rule: str,
        wildcards: Mapping[str, str],
        outdir: str | os.PathLike[str],
        *,
        resources_every_s: float = 10.0,
    ):
        self.run, self.attempt = "", 1
        self.begun: dict[str, Any] = {}
        self._clock = Clock()
        self._started = time.perf_counter()
        self._events: EventFile | None = None
        self._closed = threading.Event()
        self._sums: dict[str, tuple[float, int]] = {}
        self._monitor: Any = None
        self._resources_every_s = resources_every_s
        self._stop_file: Path | None = None
        os.environ[JOB_EVENTS] = ""  # inside a job that is not recorded: log nowhere
        named = os.environ.get(ENVIRONMENT)
        join(Path(named).parent if named else Path(outdir) / "runs")
        name = job_name(rule, wildcards)
        try:
            run = run_of_job(outdir)
            if run is not None:
                self.attempt, path = run.new_attempt(name, attempt_of_engine())
                self.run, about = run.id, run.known()
                if about.get("host") == socket.gethostname():  # else clocks differ
                    self._clock.now(about.get("started"))
                self._events = EventFile(path)
                os.environ[JOB_EVENTS] = str(path.absolute())
                self._stop_file = path.with_suffix(STOP_SUFFIX)
        except Exception as error:
            self._give_up(error)
        self._about: dict[str, Any] = {
            "job": name,
            "rule": rule,
            "wildcards": dict(wildcards),
            "attempt": self.attempt,
            "host": socket.gethostname(),
        }

    def start(self, **facts: Any) -> None:
        """Record that the job began; a long one is measured from then on."""
        self.begun = make_event(
            "job_started", time=self._clock.now(), **self._about, run=self.run, pid=os.getpid(),
            **facts, **_cluster(),
        )  # fmt: skip
        self._append(self.begun)
        if self._events is not None and self._resources_every_s > 0:
            timer = threading.Timer(RESOURCES_AFTER_S, self._measure_resources)
            timer.daemon = True
            timer.start()

    def measure(self, values: Mapping[str, float]) -> None:
        """Take numbers of one frame; their means are recorded by the next `progress`."""
        for name, value in values.items():
            number = float(value)
            if math.isfinite(number):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + number, count + 1)

    def progress(self, done: int, total: int, **keys: Any) -> None:
        """Record that `done` of `total` frames are done, and the means of what was measured.

        Raises KeyboardInterrupt if the run asks this job to stop.
        """
        self._write("progress", t=done, T=total, **keys)
        self._flush_metrics(done - 1)
        if self.stop_reason():
            raise KeyboardInterrupt

    def stop_reason(self) -> str:
        """Return why the run asks this job to stop; empty where it does not."""
        try:
            return "" if self._stop_file is None else self._stop_file.read_text("utf-8")
        except OSError:
            return ""

    def _flush_metrics(self, step: int) -> None:
        """Record the means of what was measured since the last time; `step` is the last frame."""
        if self._sums:
            means = {name: total / count for name, (total, count) in self._sums.items()}
            self._sums.clear()
            self._write("metrics", metrics=means, step=step)

    def ending(self, status: Status, **facts: Any) -> dict[str, Any]:
        """Return the last event: how the job ended, and what it used. `end` writes it."""
        if status == "completed":
            self._flush_metrics(0)
        if self._monitor is not None:
            self._monitor.stop()
        return make_event(
            "job_finished" if status == "completed" else "job_failed",
            time=self._clock.now(),
            **self._about,
            status=status,
            seconds=round(time.perf_counter() - self._started, 3),
            cpu_s=round(time.process_time(), 3),
            peak_mib=round(peak_memory_mib(), 1) if sys.platform == "linux" else None,
            **logged_metrics(read_events(self._events.path) if self._events else ()),
            **facts,
        )

    def end(self, event: Mapping[str, Any]) -> None:
        """Write the last event and close the file; later calls do nothing."""
        self._append(event)
        self._close()

    def _measure_resources(self) -> None:
        if not self._closed.is_set():
            from fovflow.runs.resources import ResourceMonitor

            self._monitor = ResourceMonitor(self._write, interval_s=self._resources_every_s)
            self._monitor.start()

    def _write(self, kind: str, /, **keys: Any) -> None:
        self._append(make_event(kind, **keys))

    def _append(self, event: Mapping[str, Any]) -> None:
        if self._events is None or self._closed.is_set():
            return
        try:
            self._events.append(to_line(event))
        except Exception as error:
            self._give_up(error)

    def _close(self) -> None:
        self._closed.set()
        if self._events is not None:
            self._events.close()

    def _give_up(self, error: BaseException) -> None:
        if not self._closed.is_set():
            complain(f"fovflow: this job is not recorded further: {error}")
            self._close()


def run_of_job(outdir: str | os.PathLike[str]) -> RunFolder | None:
    """Return the run that this job belongs to.

    It is the one that the environment names, where that variable is set (empty means none), else
    the one at work in `outdir`.
    """
    named = os.environ.get(ENVIRONMENT)
    if named == "":
        return None
    known = named is not None and (Path(named) / "run.json").exists()
    run = RunFolder(named or "") if known else run_at_work(outdir)
    if run is None:
        return None
    # What the run itself says counts where the job was told of it: clocks of machines may differ.
    status = run.status() if named is None else str(run.read_record()["status"])
    return run if status in ("created", "running") else None


def _cluster() -> dict[str, Any]:
    """Return ``cluster``: which job of SLURM this one is part of, and what that one may use."""
    ident = os.environ.get("SLURM_JOB_ID")
    if not ident:
        return {}
    found: dict[str, Any] = {"id": ident, "node": os.environ.get("SLURMD_NODENAME", "")}
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return {"cluster": found | ({"cpus": int(cpus)} if cpus.isdecimal() else {})}


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
            self._end(status, error=str(error), exit=1 if error.own else STOPPED)
            return f"{self.where}: {self.step} {error}"
        sentence = sentence_of(error)
        at = "" if self.frame is None else f" at frame {self.frame}"
        event = self.recorder.ending(
            "failed", error=sentence, kind=type(error).__name__, transient=is_transient(error),
            frame=self.frame, exit=1, log=str(self.log), **self._complete_before(),
        )  # fmt: skip
        with suppress(OSError):
            self._write_record(event)
        self.recorder.end(event)
        what = f"{self.step} failed{at}"
        if self.step == "problem":
            partly = getattr(self.params, "partly", False)
            what = "cannot be processed" + " as it is asked for" * bool(partly)
        return f"{self.where}: {what}: {sentence}\n  log: {self.log}"

    def _stop(self) -> str:
        """Record that the job was told to stop: no failure of its FOV, which is just not made."""
        reason, before = self.recorder.stop_reason(), self._complete_before()
        sentence = f"stopped: {reason}" if reason else "stopped"
        event = self.recorder.ending(
            "terminated",
            error=sentence,
            frame=self.frame,
            exit=STOPPED,
            log=str(self.log),
            **before,
        )
        with suppress(OSError):
            if before:
                self._write_record(event)
            else:
                self.record.unlink()
        self.recorder.end(event)
        return f"{self.where}: {self.step} {sentence}"

    def _complete_before(self) -> dict[str, Any]:
        """Return the last complete record, which the next one keeps unless it is complete."""
        if self._before is None or self._before.complete is None:
            return {}
        content = read_json_object(self.record)
        return {BEFORE: content if self._before.status == "completed" else content.get(BEFORE)}

    def _end(self, status: Status, **facts: Any) -> None:
        self.recorder.end(self.recorder.ending(status, log=str(self.log), **facts))

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
        script = {"script": self.options["script"]} if "sha256" in self.options else {}
        files = {self.folder / name: sha256 for name, sha256 in self._given().items()}
        files |= {Path(path): self.options["sha256"] for path in script.values()}
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
