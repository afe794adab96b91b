"""`fovflow.Run`: track a script or a job while it runs, in files and without a server."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import traceback
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fovflow.errors import ConfigError, FovflowError
from fovflow.events import FINAL
from fovflow.runs.arguments import (
    check_choice,
    check_metadata,
    check_pid,
    check_positive,
    check_tags,
    check_text,
    in_seconds,
)
from fovflow.runs.claim import stop_process
from fovflow.runs.periodic import Periodic
from fovflow.runs.resources import ResourceMonitor
from fovflow.runs.runlog import (
    RunLog,
    Settings,
    claim,
    inside_job,
    join_job,
    join_run,
    new_session,
    recorded,
    take_over,
)
from fovflow.runs.store import BEAT_S

if TYPE_CHECKING:
    from fovflow.config.alerts import Alert
    from fovflow.runs.alerts import AlertWatcher, Firing

ALERTS_S = 1.0
"""Seconds between two looks at what was logged, for alerts."""


class RunWatch(RunLog):
    """Watch over the process while it works."""

    def __init__(self) -> None:
        super().__init__()
        self._pid = os.getpid()
        self._alerts: dict[str, Alert] = {}
        self._watcher: AlertWatcher | None = None
        self._monitor: ResourceMonitor | None = None
        self._periodic = Periodic("fovflow-run")

    @recorded
    def set_pid(self, pid: int) -> None:
        """Measure another process than this one, and stop that one where an alert asks for it."""
        self._pid = check_pid(pid)
        self._measure()

    def add_alert(  # noqa: PLR0917  (the order that other trackers have)
        self,
        name: str,
        source: str = "metrics",
        frequency: float | None = None,
        window: float | None = None,
        rule: str | None = None,
        metric: str | None = None,
        threshold: float | None = None,
        range_low: float | None = None,
        range_high: float | None = None,
        notification: str | Iterable[str] = "none",
        pattern: str | None = None,
        *,
        frequency_s: float | None = None,
        window_s: float | None = None,
        on_alert: str = "notify",
        file: str | os.PathLike[str] | None = None,
        command: Iterable[str] | None = None,
    ) -> bool:
        """Define an alert, before or after `init`; one that is defined twice is one alert.

        Parameters
        ----------
        name : str
        source : {"metrics", "events", "resources"}
        frequency, frequency_s : float, optional
            Time between two evaluations, in minutes or in seconds; 10 s by default.
        window, window_s : float, optional
            Time over which values are averaged, in minutes or in seconds; by default every value
            is looked at.
        rule : {"is above", "is below", "is outside range", "is inside range"}
        metric : str
            Name of the metric, or one of `fovflow.config.alerts.RESOURCES`.
        threshold, range_low, range_high : float
            Limits of the rule; 0 is one like any other.
        notification : str or list of str
            ``none`` or ``log`` (the run's records only), ``file``, ``command``, ``email``.
        pattern : str
            Regular expression, for events.
        on_alert : {"notify", "stop_job", "stop_run"}
        file : path-like, optional
        command : list of str, optional

        Returns
        -------
        bool
            Whether the alert is new.

        Raises
        ------
        ConfigError
            If the parts do not fit together, or there is another alert of that name.
        """
        from fovflow.config.alerts import Alert

        asked = [notification] if isinstance(notification, str) else list(notification)
        given = {
            "name": check_text("name", name, empty=False),
            "source": source,
            "metric": metric,
            "rule": rule,
            "threshold": threshold,
            "range_low": range_low,
            "range_high": range_high,
            "pattern": pattern,
            "window_s": in_seconds("window", window_s, window),
            "frequency_s": in_seconds("frequency", frequency_s, frequency),
            "on_alert": on_alert,
            "notification": asked,
            "file": None if file is None else os.fspath(file),
            "command": None if command is None else [str(part) for part in command],
        }
        alert = Alert.of({key: value for key, value in given.items() if value is not None})
        if "email" in alert.notification and self._settings.smtp is None:
            raise ConfigError(
                f"alert {name!r}: there is no mail server", remedy="give one with config(smtp={…})"
            )
        known = self._alerts.get(alert.name)
        if known is not None and known != alert:
            raise ConfigError(f"there is another alert {name!r} already", remedy="rename one")
        self._alerts[alert.name] = alert
        if known is None and self._is_active():
            self._watch_for(alert)
        return known is None

    def _begin_watch(self) -> None:
        """Start what an owner does while the run goes on."""
        folder = self._open_session().folder
        folder.beat()
        self._periodic.add(BEAT_S, folder.beat)
        self._measure()

    def _watch_for(self, alert: Alert) -> None:
        session = self._open_session()
        self._write("alert_defined", alert=alert.plain())
        if self._watcher is None:
            from fovflow.runs.alerts import AlertWatcher

            place: dict[str, Any] = {}
            if not session.owner:
                place = {"record": self._write, "only": session.journal.path}
            self._watcher = AlertWatcher(
                session.folder, on_action=self._act, smtp=self._settings.smtp, **place
            )
            self._periodic.add(ALERTS_S, self._look_at_alerts)
        self._watcher.add(alert)

    def _look_at_alerts(self) -> None:
        if self._watcher is not None:
            self._note(self._watcher.poll())

    def _note(self, fired: list[Firing]) -> None:
        """Say in the run's events what fired; a job's file has it already."""
        for firing in fired:
            if self._open_session().owner:
                text = f"alert {firing.name}: {firing.message}"
                self._write("message", message=text, level="alert")

    def _act(self, action: str, firing: Firing) -> None:
        """Stop what is watched: cleanly, with all records written."""
        session = self._open_session()
        if session.owner:
            with self._lock:
                session.folder.set_status("terminated", f"alert {firing.name}: {firing.message}")
        elif action == "stop_run":
            return  # the record of it is what the run's own watcher acts on
        stop_process(self._pid)

    def _measure(self) -> None:
        """Measure the process that is set, in place of the one before."""
        session = self._open_session()
        own_job = not session.owner and self._pid == os.getpid()  # the job is measured already
        if self._settings.disable_resources_metrics or own_job:
            return
        if self._monitor is not None:
            self._monitor.stop()
        self._monitor = ResourceMonitor(
            self._write, interval_s=self._settings.resources_metrics_interval, pid=self._pid
        )
        self._monitor.start()

    def _end_watch(self) -> None:
        """Look once more, and stop everything that goes on beside."""
        if self._monitor is not None:
            self._monitor.stop()
        self._periodic.stop()
        if self._watcher is not None:
            self._note(self._watcher.finish())


SETTABLE = ("running", "completed", "failed", "terminated")
_TRACEBACK_LINES = 30


class Run(RunWatch):
    """Track a piece of work: metrics, events, files, resources, alerts, and how it ended.

    Alone, it makes a run of its own in ``{outdir}/runs``. Inside a job of the pipeline it writes
    to that job's records. Where there is no run, every call is silently without effect.

    Parameters
    ----------
    mode : {"offline", "disabled"}
        ``offline`` records in files; ``disabled`` does nothing. ``online`` is refused: fovflow
        talks to no tracking server while a run goes on.
    outdir : path-like
        Output folder.

    Examples
    --------
    >>> import tempfile
    >>> with Run(outdir=tempfile.mkdtemp()) as run:
    ...     run.init("demo", tags=["docs"])
    ...     run.log_metrics({"loss": 0.5})
    True
    True
    >>> run.status
    'completed'
    """

    def __init__(self, mode: str = "offline", *, outdir: str | os.PathLike[str] = "results"):
        super().__init__()
        if mode == "online":
            raise ConfigError(
                "mode 'online' needs a tracking server, and fovflow talks to none while a run goes "
                "on",
                remedy="use mode='offline', which records everything in files",
            )
        self._enabled = check_choice("mode", mode, ("offline", "disabled")) == "offline"
        self._outdir = outdir
        self._process = os.getpid()
        self._content: dict[str, Any] = {"kind": "script"}

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

    def config(
        self,
        suppress_errors: bool = True,
        queue_blocking: bool = False,
        queue_size: int = 10_000,
        disable_resources_metrics: bool = False,
        resources_metrics_interval: float = 30,
        *,
        smtp: Mapping[str, Any] | None = None,
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
        if not self._enabled:
            return False
        if self._closed or (self._session is not None and self._session.owner):
            raise ConfigError("init() is called once for each Run")
        self._tags = chosen
        queue = self._settings.queue()
        try:
            if self._joins:
                self._session = self._session or join_job(queue) or join_run(queue)
            if self._session is None and not (self._joins and inside_job()):
                keys = {**self._content, **given, "metadata": about, "tags": chosen}
                self._session = new_session(
                    self._outdir, keys.pop("name"), queue, **keys,
                    **({} if running else {"waiting": True}),
                )  # fmt: skip
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
        self._session = take_over(self._outdir, name, self._settings.queue())
        record = self._session.folder.update(
            waiting=False, host=socket.gethostname(), pid=os.getpid()
        )
        self._tags = list(record.get("tags") or [])
        events = self._session.folder.events()
        self._steps = sum(event["type"] == "metrics" for event in events)
        self._begin(running=True)
        return True

    @recorded
    def set_status(self, status: str) -> None:
        """Set the status: running, completed, failed or terminated; the last three stay."""
        check_choice("status", status, SETTABLE)
        session = self._open_session()
        if not session.owner:
            self._write("message", message=f"status: {status}", level="info")
            return
        now = self.status
        if now in FINAL and now != status:
            raise FovflowError(f"the run has ended already: {now}")
        if status == "running" and now == "created":
            if not claim(session.folder):
                raise FovflowError("another process has taken this run over")
            with self._lock:
                session.folder.update(waiting=False)
            self._begin(running=True)
            return
        with self._lock:
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
        check_choice("status", status, SETTABLE[1:])
        if self._session is None or self._closed or self._process != os.getpid():
            self._closed = True
            return
        session = self._session
        atexit.unregister(self._close_at_exit)
        try:
            self._end_watch()
            if session.owner and self.status != "created":
                with self._lock:
                    session.folder.set_status(status, message)
        except (OSError, FovflowError) as error:
            self._report("close", error)
        finally:
            self._closed = True
            lost = session.journal.close()
        if lost:
            print(f"fovflow.Run: {lost} events could not be written", file=sys.stderr)

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
        status = "terminated" if isinstance(error, KeyboardInterrupt) else "failed"
        summary = f"{type(error).__name__}: {error}".removesuffix(": ")
        if self._is_active() and not self._closed:
            lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
            text = "\n".join([summary, *lines[-_TRACEBACK_LINES:]])
            try:
                self._write("message", message=text, level="error")
            except (FovflowError, OSError, ValueError) as problem:
                print(f"fovflow.Run: {problem}", file=sys.stderr)
        self.close(status, summary)

    def _begin(self, *, running: bool) -> None:
        session = self._open_session()
        if running:
            with self._lock:
                session.folder.set_status("running")
            self._begin_watch()
        atexit.register(self._close_at_exit)
        for alert in self._alerts.values():
            self._watch_for(alert)

    def _introduce(self, about: dict[str, Any]) -> None:
        """Say in the job's records who joined."""
        if about:
            self._write("metadata", metadata=about)
        if self._tags:
            self._write("tags", tags=self._tags)
        for alert in self._alerts.values():
            self._watch_for(alert)

    def _record(self) -> dict[str, Any]:
        return self._session.folder.read_record() if self._session else {}

    def _close_at_exit(self) -> None:
        """Close a run that nobody closed: as failed after an exception that ended the program."""
        kind = getattr(sys, "last_type", None)
        if kind is None:
            self.close(message="closed when the program ended")
        elif issubclass(kind, KeyboardInterrupt):
            self.close("terminated", kind.__name__)
        else:
            self.close("failed", f"{kind.__name__}: {getattr(sys, 'last_value', '')}")
