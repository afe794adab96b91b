"""How a tracked run begins, what it belongs to, and how it ends; `fovflow.Run` records."""

from __future__ import annotations

import atexit
import functools
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from fovflow.errors import ConfigError, FovflowError, complain
from fovflow.events import ENDED, FINAL, after_fork
from fovflow.runs.arguments import (
    check_choice,
    check_metadata,
    check_positive,
    check_tags,
    check_text,
)
from fovflow.runs.session import (
    Session,
    Settings,
    Terminated,
    Watch,
    WatchedProcess,
    claim,
    end_all,
    inside_job,
    join_job,
    join_run,
    open_session,
    raise_terminated,
    take_over,
)
from fovflow.runs.store import RunFolder

if TYPE_CHECKING:
    from fovflow.config.alerts import Alert

P = ParamSpec("P")
Open = TypeVar("Open", bound="OpenRun")

_TRACEBACK_LINES = 30


def recorded(
    method: Callable[Concatenate[Open, P], object],
) -> Callable[Concatenate[Open, P], bool]:
    """Turn a method into one that does nothing without an active run, and honours the settings.

    It returns whether something was recorded.
    """

    def call(self: Open, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        if not self._is_active():
            self._tell_of_early_call(method.__name__)
            return False
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # a mistake in a call must not end the work
            self._report(method.__name__, error)
            return False
        return True

    functools.update_wrapper(call, method)
    return call


class OpenRun:
    """A run that is at work: where it writes, its settings, and its status."""

    def __init__(self, mode: str = "offline", *, outdir: str | os.PathLike[str] = "results"):
        if mode == "online":
            raise ConfigError(
                "mode 'online' needs a tracking server, and fovflow talks to none while a run goes "
                "on",
                remedy="use mode='offline', which records everything in files",
            )
        self._enabled = check_choice("mode", mode, ("offline", "disabled")) == "offline"
        self._outdir = Path(outdir).expanduser().absolute()  # the script may change its folder
        self._process = os.getpid()
        self._settings = Settings()
        self._session: Session | None = None
        self._watch: Watch | None = None
        self._alerts: dict[str, Alert] = {}
        self._tags: list[str] = []
        self._units: dict[str, str] = {}
        self._processes: dict[str, WatchedProcess] = {}
        self._was_begun = False
        self._steps = 0
        self._closed = False
        self._undo: Callable[[], None] = lambda: None
        self._said: set[str] = set()
        after_fork(self, OpenRun._unlock)
        self.content: dict[str, Any] = {"kind": "script"}
        self.joins = True

    def _unlock(self) -> None:
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """Name of the run; empty without an active run."""
        return str(self._record().get("name", ""))

    @property
    def id(self) -> str:
        """Id of the run, the name of its folder; empty without an active run."""
        return self._session.folder.id if self._session else ""

    @property
    def path(self) -> str:
        """The run's folder; empty without an active run."""
        return str(self._session.folder.path) if self._session else ""

    @property
    def status(self) -> str:
        """Status of the run; empty without an active run."""
        return str(self._record().get("status", ""))

    def _repr_html_(self) -> str:
        from fovflow.notebook import card
        from fovflow.runs.history import recorded_run

        known = self._session
        return recorded_run(known.folder)._repr_html_() if known else card("no run", (), ())

    def config(
        self,
        suppress_errors: bool = True,
        queue_blocking: bool = False,
        queue_size: int = 10_000,
        disable_resources_metrics: bool = False,
        resources_metrics_interval: float = 30,
        *,
        smtp: Mapping[str, Any] | None = None,
        apprise_env: str | None = None,
    ) -> None:
        """Set how the run behaves; call it before `init`.

        Parameters
        ----------
        suppress_errors : bool
            Say errors of logging once on the error stream and go on, rather than raise them.
        queue_blocking : bool
            What happens when the disk cannot be written and the queue is full: wait, or drop and
            count; the count is recorded.
        queue_size : int
            Events that are kept in memory while they cannot be written.
        disable_resources_metrics : bool
            Do not measure CPU, memory and disk.
        resources_metrics_interval : float
            Seconds between two measurements.
        smtp : mapping, optional
            Mail server for e-mails, as ``run: smtp:`` in the configuration.
        apprise_env : str, optional
            Name of the environment variable that holds addresses for apprise.
        """
        if self._session is not None or self._closed:
            raise ConfigError("config() comes before init()")
        check_positive("queue_size", queue_size, whole=True)
        check_positive("resources_metrics_interval", resources_metrics_interval)
        if smtp is not None:
            from fovflow.config.alerts import SmtpConfig

            smtp = SmtpConfig.of(smtp).model_dump()
        self._settings = Settings(
            bool(suppress_errors), bool(queue_blocking), queue_size,
            bool(disable_resources_metrics), float(resources_metrics_interval), smtp,
            None if apprise_env is None else check_text("apprise_env", apprise_env, empty=False),
        )  # fmt: skip

    def init(  # noqa: PLR0917  (the order that other trackers have)
        self,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
        folder: str | None = None,
        running: bool = True,
    ) -> bool:
        """Begin; return whether there is an active run now.

        Parameters
        ----------
        name : str, optional
            Name of the run; by default an adjective and a noun.
        metadata : mapping, optional
            Names and values to find the run by.
        tags : list of str, optional
        description : str, optional
        folder : str, optional
            Name of a group of runs.
        running : bool
            Whether work begins now; otherwise the run waits as ``created`` for `reconnect`.
        """
        given = {
            "name": None if name is None else check_text("name", name, empty=False),
            "description": None if description is None else check_text("description", description),
            "folder": None if folder is None else check_text("folder", folder, empty=False),
        }
        about, chosen = check_metadata(metadata), check_tags(tags)
        self._was_begun = True
        if not self._enabled:
            return False
        if self._closed or (self._session is not None and self._session.owner):
            raise ConfigError("init() is called once for each Run")
        self._tags = chosen
        queue = self._settings.queue()
        try:
            if self.joins and self._session is None:
                self._open(join_job(queue) or join_run(queue))
            if self._session is None and not (self.joins and inside_job()):
                keys = {**self.content, **given, "metadata": about, "tags": chosen}
                if not running:
                    keys["waiting"] = True
                self._open(open_session(RunFolder.create(self._outdir, **keys), queue))
                self._begin(running=running)
            elif self._session is not None:
                self._introduce({**about, **{k: v for k, v in given.items() if v}})
        except (OSError, FovflowError) as error:
            self._report("init", error)
        return self._session is not None

    def reconnect(self, name: str) -> bool:
        """Take over a run that waits as ``created``, by its name or id, and set it running."""
        if not self._enabled:
            return False
        if self._session is not None or self._closed:
            raise ConfigError("reconnect() comes in place of init()")
        session = take_over(self._outdir, name, self._settings.queue())
        self._open(session)
        record = session.folder.update(waiting=False, host=socket.gethostname(), pid=os.getpid())
        self._go_on(record)
        return True

    def reopen(self, folder: RunFolder) -> None:
        """Go on with a run that has ended; FovflowError where it is at work."""

        def change(before: dict[str, Any]) -> dict[str, Any]:
            if folder.status() not in FINAL:
                raise FovflowError(f"the run {folder.id} is at work", remedy="wait for its end")
            at = folder.clock.now(*(past["time"] for past in before["history"]))
            entry = {"status": "running", "time": at, "message": "resumed"}
            about = {"status": "running", "host": socket.gethostname(), "pid": os.getpid()}
            return {**about, "ended": None, "history": [*before["history"], entry]}

        record = folder.change(change)
        self._open(open_session(folder, self._settings.queue()))
        self._go_on(record)

    @recorded
    def set_status(self, status: str) -> None:
        """Set the status: running, completed, failed or terminated; the last three stay."""
        check_choice("status", status, ("running", *ENDED))
        session = self.session
        if not session.owner:
            self.session.write("message", message=f"status: {status}", level="info")
            return
        before = self.status
        if before in FINAL and before != status:
            raise FovflowError(f"the run has ended already: {before}")
        if status == "running" and before == "created":
            if not claim(session.folder):
                raise FovflowError("another process has taken this run over")
            session.folder.update(waiting=False)
            self._begin(running=True)
            return
        session.folder.set_status(status)

    def close(self, status: str = "completed", message: str | None = None) -> None:
        """End the run and close its files; safe to call twice.

        Parameters
        ----------
        status : {"completed", "failed", "terminated"}
            How it ended, where no such status is set yet. A run that never ran stays ``created``.
        message : str, optional
            Why.
        """
        check_choice("status", status, ENDED)
        if self._session is None or self._closed or self.is_forked:
            self._closed = True
            return
        session = self._session
        atexit.unregister(self._close_at_exit)
        try:
            if self._processes:
                problem = end_all(self._processes, at_once=status != "completed")
                if problem and status == "completed":
                    status, message = "failed", problem
            if self._watch is not None:
                known = self.status
                told = known if known in FINAL else f"{status}: {message}" if message else status
                self._watch.end("" if known == "created" else told)
            if session.owner and self.status != "created":
                session.folder.set_status(status, message)
        except (OSError, FovflowError) as error:
            self._report("close", error)
        finally:
            self._closed = True
            self._undo()
            lost = session.journal.close()
        if lost:
            complain(f"fovflow.Run: {lost} events could not be written")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended_well = error is None or (isinstance(error, SystemExit) and not error.code)
        if ended_well:
            self.close()
            return
        stopped = isinstance(error, KeyboardInterrupt | Terminated)
        status = "terminated" if stopped else "failed"
        said = ""
        with suppress(Exception):  # an error whose text cannot be made
            said = f": {error}" if str(error) else ""
        summary = f"{type(error).__name__}{said}"
        summary = error.reason if isinstance(error, Terminated) else summary
        if self._is_active() and not (self._closed or self.is_forked):
            lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
            text = "\n".join([summary, *lines[-_TRACEBACK_LINES:]])
            try:
                self.session.write("message", message=text, level="error")
            except (FovflowError, OSError, ValueError) as problem:
                complain(f"fovflow.Run: {problem}")
        self.close(status, summary)

    @property
    def is_forked(self) -> bool:
        """Whether this process is a fork of the one that opened the run, which ends it."""
        return self._process != os.getpid()

    @property
    def session(self) -> Session:
        """The open session; FovflowError where the run is closed or has not begun."""
        if self._session is None or self._closed:
            raise FovflowError("the run is closed", remedy="log before close()")
        return self._session

    def _open(self, session: Session | None) -> None:
        self._session, self._process = session, os.getpid()
        self._watch = Watch(session, self._settings) if session else None

    def _is_active(self) -> bool:
        """Tell whether there is a run to write to; inside a job that is the job's."""
        if self._session is None and self._enabled and self.joins and not self._closed:
            with self._lock, suppress(OSError):
                self._open(self._session or join_job(self._settings.queue()))
        return self._session is not None

    def _tell_of_early_call(self, what: str) -> None:
        """Say once that a call before `init` records nothing, where it could."""
        early = self._enabled and not (self._was_begun or self._closed)
        if early and not (self.joins and inside_job()):
            self._was_begun = True
            complain(f"fovflow.Run: {what}() before init() records nothing")

    def _annotate(self, key: str, change: Callable[[Any], Any], **told: Any) -> None:
        """Change a part of our own run's record; inside a job, tell it in the job's events."""
        session = self.session
        if session.owner:
            session.folder.change(lambda before: {key: change(before.get(key) or {})})
        else:
            (kind,) = told
            session.write(kind, **told)

    def _report(self, what: str, error: Exception) -> None:
        """Raise an error, or say and record it, once for each."""
        if not self._settings.suppress_errors:
            raise error
        text = f"{what}: {error}"
        if text in self._said:
            return
        self._said.add(text)
        complain(f"fovflow.Run: {text}")
        if self._session is not None and not self._closed:
            with suppress(OSError, ValueError):
                self._session.write("message", message=text, level="error")

    def _begin(self, *, running: bool) -> None:
        session, watch = self.session, self._watch
        assert watch is not None
        if running:
            session.folder.set_status("running")
            watch.begin()
            self._undo = raise_terminated()
        atexit.register(self._close_at_exit)
        watch.watch_for(*self._alerts.values())

    def _go_on(self, record: Mapping[str, Any]) -> None:
        """Go on with a run that was begun before, after its tags and steps."""
        self._tags = list(record.get("tags") or [])
        self._steps = sum(event["type"] == "metrics" for event in self.session.folder.events())
        self._begin(running=True)

    def _introduce(self, about: dict[str, Any]) -> None:
        """Say in the job's records who joined."""
        if about:
            self.session.write("metadata", metadata=about)
        if self._tags:
            self.session.write("tags", tags=self._tags)
        if self._watch is not None:
            self._watch.watch_for(*self._alerts.values())

    def _record(self) -> dict[str, Any]:
        return self._session.folder.known() if self._session else {}

    def _close_at_exit(self) -> None:
        """Close a run that nobody closed: as failed after an exception that ended the program."""
        at_a_prompt = hasattr(sys, "ps1")  # there an exception does not end the program
        kind = None if at_a_prompt else getattr(sys, "last_type", None)
        if kind is None and Terminated.last:
            self.close("terminated", Terminated.last)
        elif kind is None:
            self.close(message="closed when the program ended")
        elif issubclass(kind, KeyboardInterrupt):
            self.close("terminated", kind.__name__)
        else:
            self.close("failed", f"{kind.__name__}: {getattr(sys, 'last_value', '')}")
