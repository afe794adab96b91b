"""An open run: where its records are written, and what goes on beside the work.

These are its heartbeat, what it uses, its alerts, signals, and commands that it has started.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.errors import FovflowError, complain, words_of
from fovflow.events import Journal
from fovflow.runs.assets import KeptFiles, content_of
from fovflow.runs.resources import Background, ResourceMonitor
from fovflow.runs.store import BEAT_S, ENVIRONMENT, JOB_EVENTS, RunFolder, list_runs

if TYPE_CHECKING:
    from fovflow.config.alerts import Alert
    from fovflow.runs.alerts import AlertWatcher
    from fovflow.runs.notify import Firing

ALERTS_S = 1.0
"""Seconds between two looks at what was logged, for alerts."""

CLAIM = ".owner"
"""File that the process which takes a waiting run makes, so that only one does."""


@dataclass(slots=True)
class Session:
    """An open run."""

    folder: RunFolder
    journal: Journal
    kept: KeptFiles
    owner: bool
    """Whether the run is ours; else we write into the file of a job of it."""
    started: float = field(default_factory=time.monotonic)

    def write(self, kind: str, **keys: Any) -> None:
        """Append an event."""
        self.journal.write(kind, **keys)


def open_session(
    folder: RunFolder, queue: Mapping[str, Any], attempt: Path | None = None
) -> Session:
    """Open a run as its owner or, where a file of events is given, as an attempt of a job of it."""
    events = attempt or folder.path / "events.jsonl"
    kept = attempt.with_suffix("") if attempt else folder.path / "artifacts"
    journal = Journal(events, **queue)
    return Session(folder, journal, KeptFiles(kept, folder.path), owner=attempt is None)


def inside_job() -> bool:
    """Tell whether this process belongs to a job or run of the pipeline, recorded or not."""
    return JOB_EVENTS in os.environ or ENVIRONMENT in os.environ


def join_job(queue: dict[str, Any]) -> Session | None:
    """Open the file of the job that this process belongs to; None where there is none."""
    named = os.environ.get(JOB_EVENTS)
    if not named:
        return None
    path = Path(named)
    if not path.parent.is_dir():
        return None
    return open_session(RunFolder(path.parents[2]), queue, path)


def join_run(queue: dict[str, Any]) -> Session | None:
    """Open a file of our own in the run that the environment names; None where none is at work."""
    named = os.environ.get(ENVIRONMENT)
    if not named:
        return None
    folder = RunFolder(named)
    if folder.status() not in ("created", "running"):
        return None
    script = Path(sys.argv[0] if sys.argv else "").stem or "python"
    _, path = folder.new_attempt(f"script.{script}")
    return open_session(folder, queue, path)


def take_over(outdir: str | os.PathLike[str], name: str, queue: dict[str, Any]) -> Session:
    """Open a run that waits in the state ``created``, by its name or id, the newest one.

    Raises FovflowError if there is none of that name, it is in another state, or someone else has
    it.
    """
    runs = list_runs(outdir)
    named = [run for run in reversed(runs) if name in (run.id, run.known().get("name"))]
    if not named:
        raise FovflowError(
            f"there is no run {name!r} in {Path(outdir) / 'runs'}",
            found=", ".join(run.id for run in runs[-5:]) or "no runs",
            remedy="give the name or id of a run that was made with init(running=False)",
        )
    folder = max(named, key=lambda run: run.known().get("status") == "created")
    status = folder.known().get("status", "lost")
    if status != "created" or not claim(folder):
        raise FovflowError(
            f"the run {folder.id} does not wait for a process to take it over",
            found=f"status {status}" if status != "created" else "another process has it",
            remedy="only runs that were made with init(running=False) can be taken, once",
        )
    return open_session(folder, queue)


def claim(folder: RunFolder) -> bool:
    """Take a waiting run; False where another process did."""
    try:
        (folder.path / CLAIM).open("x").close()
    except FileExistsError:
        return False
    return True


@dataclass(slots=True)
class Settings:
    """How a run behaves; see `fovflow.Run.config`."""

    suppress_errors: bool = True
    queue_blocking: bool = False
    queue_size: int = 10_000
    disable_resources_metrics: bool = False
    resources_metrics_interval: float = 30.0
    smtp: Mapping[str, Any] | None = None
    apprise_env: str | None = None

    def queue(self) -> dict[str, Any]:
        """Return what a `Journal` is made with."""
        return {"size": self.queue_size, "blocking": self.queue_blocking}


class Watch:
    """Beside the work of an open run: its heartbeat, what its process uses, and its alerts."""

    def __init__(self, session: Session, settings: Settings):
        self._session, self._settings = session, settings
        self._pid = os.getpid()
        self._watcher: AlertWatcher | None = None
        self._monitor: ResourceMonitor | None = None
        self._threads: list[Background] = []

    def begin(self) -> None:
        """Start what the owner of a run does while it goes on."""
        folder = self._session.folder
        folder.beat()
        self._repeat(BEAT_S, folder.beat)
        self.measure(self._pid)

    def _repeat(self, interval_s: float, function: Callable[[], object]) -> None:
        def work(end: threading.Event) -> None:
            while not end.wait(interval_s):
                function()

        self._threads.append(Background("fovflow-run", work, "the run is watched no further"))
        self._threads[-1].start()

    def measure(self, pid: int) -> None:
        """Measure this process, in place of the one before."""
        self._pid = pid
        own_job = not self._session.owner and pid == os.getpid()  # the job is measured already
        if self._settings.disable_resources_metrics or own_job:
            return
        if self._monitor is not None:
            self._monitor.stop()
        interval_s = self._settings.resources_metrics_interval
        self._monitor = ResourceMonitor(self._session.write, interval_s=interval_s, pid=pid)
        self._monitor.start()

    def watch_for(self, *alerts: Alert) -> None:
        """Record alerts' definitions, and look for them from now on."""
        session = self._session
        for alert in alerts:
            session.write("alert_defined", alert=alert.plain())
            if self._watcher is None:
                from fovflow.runs.alerts import AlertWatcher

                place: dict[str, Any] = {}
                if not session.owner:
                    place = {"record": session.write, "only": session.journal.path}
                self._watcher = AlertWatcher(
                    session.folder,
                    on_action=self._act,
                    smtp=self._settings.smtp,
                    apprise_env=self._settings.apprise_env,
                    **place,
                )
                self._repeat(ALERTS_S, partial(self._note, self._watcher.poll))
            self._watcher.add(alert)

    def end(self, told: str) -> None:
        """Look once more, and stop everything; `told`: how the run ends."""
        if self._monitor is not None:
            self._monitor.stop()
        for thread in self._threads:
            thread.stop()
        if self._watcher is not None:
            ending = told if self._session.owner else ""  # the job's end is not the run's
            self._note(partial(self._watcher.finish, lambda: ending))

    def _note(self, look: Callable[[], list[Firing]]) -> None:
        """Say in the run's events which alerts fire; a job's file has it already."""
        for firing in look():
            if self._session.owner:
                text = f"alert {firing.name}: {firing.message}"
                self._session.write("message", message=text, level="alert")

    def _act(self, action: str, firing: Firing) -> None:
        """Stop what is watched: cleanly, with all records written."""
        if self._session.owner:
            told = f"alert {firing.name}: {firing.message}"
            self._session.folder.set_status("terminated", told)
        elif action == "stop_run":
            return  # the record of it is what the run's own watcher acts on
        stop_process(self._pid)


_TOLD = {signal.SIGTERM: "stopped by SIGTERM", signal.SIGHUP: "stopped: the terminal was closed"}


class Terminated(SystemExit):
    """A signal told the process to end; its exit status is that of shells."""

    last = ""
    """What told it so; empty where nothing did."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.reason = Terminated.last = _TOLD[signal.Signals(number)]


def raise_terminated() -> Callable[[], None]:
    """Have SIGTERM, as of a cluster at its time limit, and SIGHUP raise `Terminated` from now on.

    Where someone handles or ignores them already, or this is not the main thread, they are left
    alone. Children that are forked end as they would. Returns what takes it back.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    owner = os.getpid()

    def handle(number: int, _: object) -> None:
        if os.getpid() == owner:
            raise Terminated(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    mine = [number for number in _TOLD if signal.getsignal(number) == signal.SIG_DFL]
    for number in mine:
        signal.signal(number, handle)

    def undo() -> None:
        with suppress(ValueError):  # in another thread
            for number in mine:
                if signal.getsignal(number) is handle:
                    signal.signal(number, signal.SIG_DFL)

    return undo


def stop_process(pid: int) -> None:
    """Ask a process to end: this one as Ctrl-C would, another one, with its children, to terminate.

    Where this process ignores Ctrl-C, as in the background of some shells, it is terminated.
    """
    if pid == os.getpid():
        ignored = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL, None)
        os.kill(pid, signal.SIGTERM if ignored else signal.SIGINT)
        return
    import psutil

    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                process.terminate()


PATIENCE_S = 10.0
"""Seconds that a command has to end after it was told to."""


class WatchedProcess:
    """A command at work beside a run.

    What it prints goes to ``processes/{name}.out`` and ``.err`` in the run's records, which list
    these files, and how it ended, as soon as it has.

    Raises FileExistsError if the run has had a process of that name, OSError if the command cannot
    be started.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        command: Sequence[str],
        cwd: str | os.PathLike[str] | None,
        env: Mapping[str, str] | None,
    ):
        self.name, self._session, self._told = name, session, False
        folder = session.kept.folder / "processes"
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [folder / f"{name}{suffix}" for suffix in (".out", ".err")]
        with self._files[0].open("xb") as out, self._files[1].open("xb") as err:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd,
                env={**os.environ, **(env or {})},
            )  # fmt: skip
        for file in self._files:
            session.write("announced", path=file.relative_to(session.kept.base).as_posix())
        session.write("message", message=f"process {name} began: {shlex.join(command)}")
        self._thread = threading.Thread(target=self._watch, name=f"fovflow-{name}", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether it has ended badly, and not because it was stopped."""
        return not self._told and bool(self._process.poll())

    def words(self) -> str:
        """Return how it ended."""
        status = self._process.returncode
        return f"process {self.name} " + ("was stopped" if self._told else f"ended with {status}")

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return its exit status once its end is recorded; None where it has not ended in time."""
        self._thread.join(timeout_s)
        return None if self._thread.is_alive() else self._process.returncode

    def stop(self) -> None:
        """End it and its children, by force where it does not obey."""
        if self._process.poll() is None:
            self._told = True
            stop_process(self._process.pid)
            if self.wait(PATIENCE_S) is None:
                self._process.kill()
        self.wait()

    def _watch(self) -> None:
        self._process.wait()
        level = {"level": "error"} if self.failed else {}
        try:
            for file in self._files:
                about = content_of(file, self._session.kept.base)
                self._session.write(
                    "artifact", category="output", name=file.name, filetype="text/plain", **about
                )
            self._session.write("message", message=self.words(), **level)
        except (OSError, ValueError) as error:
            told = words_of(error)
            complain(f"fovflow.Run: the end of the process {self.name} is not recorded: {told}")


def end_all(processes: Mapping[str, WatchedProcess], *, at_once: bool) -> str:
    """Wait for processes, or stop them; return in words which failed."""
    for process in processes.values():
        with suppress(OSError):
            process.stop() if at_once else process.wait()
    return "; ".join(process.words() for process in processes.values() if process.failed)
