"""`fovflow.Run`: track a script or a job while it runs, in files and without a server."""

from __future__ import annotations

import atexit
import functools
import os
import socket
import sys
import threading
import time as clock
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self

from fovflow.errors import ConfigError, FovflowError, complain
from fovflow.events import FINAL, after_fork, now, recorded_number
from fovflow.runs.arguments import (
    check_choice,
    check_metadata,
    check_metrics,
    check_pid,
    check_positive,
    check_tags,
    check_text,
    check_timestamp,
    in_seconds,
    safe_name,
)
from fovflow.runs.artifacts import (
    check_file,
    check_kind,
    files_below,
    stored_name,
)
from fovflow.runs.session import (
    Session,
    Settings,
    Terminated,
    Watch,
    claim,
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

SETTABLE = ("running", "completed", "failed", "terminated")
_TRACEBACK_LINES = 30


def recorded(
    method: Callable[Concatenate[Run, P], object],
) -> Callable[Concatenate[Run, P], bool]:
    """Turn a method into one that does nothing without an active run, and honours the settings.

    It returns whether something was recorded.
    """

    def call(self: Run, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        if not self._is_active():
            return False
        try:
            method(self, *args, **kwargs)
        except (FovflowError, OSError) as error:
            self._report(method.__name__, error)
            return False
        return True

    functools.update_wrapper(call, method)
    return call


class Run:
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

    Attributes
    ----------
    joins : bool
        Whether it writes to the records of the job or run that it is inside of.
    content : dict
        Keys of the record of a run of its own.

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
        if mode == "online":
            raise ConfigError(
                "mode 'online' needs a tracking server, and fovflow talks to none while a run goes "
                "on",
                remedy="use mode='offline', which records everything in files",
            )
        self._enabled = check_choice("mode", mode, ("offline", "disabled")) == "offline"
        self._outdir = Path(outdir).expanduser()
        self._process = os.getpid()
        self._settings = Settings()
        self._session: Session | None = None
        self._watch: Watch | None = None
        self._alerts: dict[str, Alert] = {}
        self._tags: list[str] = []
        self._steps = 0
        self._closed = False
        self._undo: Callable[[], None] = lambda: None
        self._said: set[str] = set()
        after_fork(self, Run._unlock)
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
        self._tags = list(record.get("tags") or [])
        events = session.folder.events()
        self._steps = sum(event["type"] == "metrics" for event in events)
        self._begin(running=True)
        return True

    def reopen(self, folder: RunFolder) -> None:
        """Go on with a run that has ended; FovflowError where it is at work."""

        def change(before: dict[str, Any]) -> dict[str, Any]:
            if folder.status() not in FINAL:
                raise FovflowError(f"the run {folder.id} is at work", remedy="wait for its end")
            entry = {"status": "running", "time": now(), "message": "resumed"}
            about = {"status": "running", "host": socket.gethostname(), "pid": os.getpid()}
            return {**about, "ended": None, "history": [*before["history"], entry]}

        record = folder.change(change)
        self._open(open_session(folder, self._settings.queue()))
        self._tags = list(record.get("tags") or [])
        self._steps = sum(event["type"] == "metrics" for event in folder.events())
        self._begin(running=True)

    @recorded
    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        time: float | None = None,
        timestamp: Any = None,
    ) -> None:
        """Record numbers by name.

        Parameters
        ----------
        metrics : mapping of str to int or float
            Infinities and NaN are numbers, too: ``inf``, ``-inf`` and ``nan`` in the records.
        step : int, optional
            By default the number of earlier calls: 0, 1, 2, ….
        time : float, optional
            Seconds since `init`; measured by default.
        timestamp : str or datetime, optional
            ``YYYY-MM-DD hh:mm:ss.ffffff`` in UTC; now by default.
        """
        numbers = check_metrics(metrics)
        at = check_timestamp(timestamp)
        given = {} if step is None else check_metrics({"step": step})
        elapsed: float = round(clock.monotonic() - self.session.started, 6)
        if time is not None:
            elapsed = check_metrics({"time": time})["time"]
        with self._lock:
            count, self._steps = self._steps, self._steps + 1
        self.session.write(
            "metrics",
            time=at,
            metrics={name: recorded_number(value) for name, value in numbers.items()},
            step=given.get("step", count),
            elapsed_s=elapsed,
        )

    @recorded
    def log_event(self, message: str, timestamp: Any = None) -> None:
        """Record something that a person should read, with a time stamp as for `log_metrics`."""
        text = check_text("message", message)
        self.session.write("message", time=check_timestamp(timestamp), message=text)

    @recorded
    def update_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add or change names and values: text, numbers, booleans or None."""
        checked = check_metadata(metadata)
        self._annotate("metadata", lambda before: {**before, **checked}, metadata=checked)

    @recorded
    def update_tags(self, tags: Iterable[str]) -> None:
        """Add tags; each stands once."""
        new = check_tags(tags)
        with self._lock:
            self._tags = list(dict.fromkeys([*self._tags, *new]))
            # other processes of the run may have added tags, too
            self._annotate("tags", lambda old: list(dict.fromkeys([*old, *new])), tags=self._tags)

    @recorded
    def save(  # noqa: PLR0917  (the order that other trackers have)
        self,
        thing: Any = None,
        category: str = "output",
        filetype: str | None = None,
        preserve_path: bool = False,
        name: str | None = None,
        allow_pickle: bool = False,
        *,
        filename: str | os.PathLike[str] | None = None,
    ) -> None:
        """Keep a file or a Python object with the run.

        Parameters
        ----------
        thing : path-like or object
            Text and paths name a file, which is copied; an input of 256 MiB or more is recorded
            by path and digest only. NumPy arrays become npy, tables csv, dicts, lists and numbers
            json, figures png; anything else is a pickle, if that is allowed.
        category : {"input", "output", "code"}
        filetype : str, optional
            MIME type; told from the name or kind by default.
        preserve_path : bool
            Keep a file under its path as given, made relative, and not under its name alone.
        name : str, optional
            Name to keep it under; objects need one. Other content under a name that is taken gets
            a number: ``loss-2.json``.
        allow_pickle : bool
            Allow pickles to be written; they are never read.
        filename : path-like, optional
            In place of `thing`: the file, as other trackers call it.
        """
        thing = filename if filename is not None else thing
        check_kind(category, filetype)
        if isinstance(thing, str | os.PathLike):
            path = check_file(thing)
            own = stored_name(path, preserve_path=preserve_path)
            self._keep_file(path, category, filetype, safe_name("name", name) if name else own)
            return
        with self._lock:
            about = self.session.kept.keep_object(
                thing, category, filetype=filetype, name=name, allow_pickle=allow_pickle
            )
        self.session.write("artifact", **about)

    @recorded
    def save_directory(
        self,
        directory: str | os.PathLike[str],
        category: str = "output",
        filetype: str | None = None,
        preserve_path: bool = False,
    ) -> None:
        """Keep all files of a folder and its folders, under their names below it; see `save`."""
        check_kind(category, filetype)
        root = Path(directory)
        if not root.is_dir():
            raise FovflowError(f"there is no folder {root}", remedy="save a folder that is there")
        bad = []
        for path in list(files_below(root, self.session.folder.path)):
            name = stored_name(path, preserve_path=preserve_path, root=root)
            try:
                self._keep_file(check_file(path), category, filetype, name)
            except (FovflowError, OSError) as error:  # the others are kept
                bad.append(str(error))
        if bad:
            raise FovflowError(f"{len(bad)} files of {root} are not kept", found="; ".join(bad[:3]))

    @recorded
    def save_all(
        self,
        items: Iterable[str | os.PathLike[str]] = (),
        category: str = "output",
        filetype: str | None = None,
        preserve_path: bool = False,
        *,
        directory: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        """Keep files and folders; see `save` and `save_directory`.

        `directory`: in place of `items`, as other trackers call it.
        """
        items, bad = items or directory, []
        for item in [items] if isinstance(items, str | os.PathLike) else list(items):
            path = Path(item)
            keep = self.save_directory if path.is_dir() else self.save
            if not keep(path, category, filetype, preserve_path):
                bad.append(os.fspath(item))
        if bad:
            raise FovflowError("not all is kept", found=f"{', '.join(bad[:10])} are not")

    @recorded
    def set_folder_details(
        self,
        path: str,
        metadata: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
    ) -> None:
        """Describe a group of runs, as named by ``folder`` of `init`; kept in this run's record."""
        given = {
            "metadata": check_metadata(metadata),
            "tags": check_tags(tags),
            "description": None if description is None else check_text("description", description),
        }
        key = check_text("path", path, empty=False)
        new = {name: value for name, value in given.items() if value}
        self._annotate(
            "folders",
            lambda known: {**known, key: {**known.get(key, {}), **new}},
            metadata={f"folder {key}": given},
        )

    @recorded
    def set_pid(self, pid: int) -> None:
        """Measure another process than this one, and stop that one where an alert asks for it."""
        pid = check_pid(pid)
        if self._watch is not None:
            self._watch.measure(pid)

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
            ``none`` or ``log`` (the run's records only), ``file``, ``command``, ``email``,
            ``apprise``.
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
        if "apprise" in alert.notification and self._settings.apprise_env is None:
            raise ConfigError(
                f"alert {name!r}: there are no addresses for apprise",
                remedy="name an environment variable that holds them with config(apprise_env=…)",
            )
        known = self._alerts.get(alert.name)
        if known is not None and known != alert:
            raise ConfigError(f"there is another alert {name!r} already", remedy="rename one")
        self._alerts[alert.name] = alert
        if known is None and self._is_active() and self._watch is not None:
            self._watch.watch_for(alert)
        return known is None

    @recorded
    def set_status(self, status: str) -> None:
        """Set the status: running, completed, failed or terminated; the last three stay."""
        check_choice("status", status, SETTABLE)
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
        check_choice("status", status, SETTABLE[1:])
        if self._session is None or self._closed or self._process != os.getpid():
            self._closed = True
            return
        session = self._session
        atexit.unregister(self._close_at_exit)
        try:
            if self._watch is not None:
                self._watch.end()
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
        summary = f"{type(error).__name__}: {error}".removesuffix(": ")
        summary = error.reason if isinstance(error, Terminated) else summary
        if self._is_active() and not self._closed:
            lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
            text = "\n".join([summary, *lines[-_TRACEBACK_LINES:]])
            try:
                self.session.write("message", message=text, level="error")
            except (FovflowError, OSError, ValueError) as problem:
                complain(f"fovflow.Run: {problem}")
        self.close(status, summary)

    def _keep_file(self, path: Path, category: str, filetype: str | None, name: str) -> None:
        with self._lock:
            about = self.session.kept.keep_file(path, category, filetype=filetype, name=name)
        self.session.write("artifact", **about)

    @property
    def session(self) -> Session:
        """The open session; FovflowError where the run is closed or has not begun."""
        if self._session is None or self._closed:
            raise FovflowError("the run is closed", remedy="log before close()")
        return self._session

    def _open(self, session: Session | None) -> None:
        self._session = session
        self._watch = Watch(session, self._settings) if session else None

    def _is_active(self) -> bool:
        """Tell whether there is a run to write to; inside a job that is the job's."""
        if self._session is None and self._enabled and self.joins and not self._closed:
            with self._lock, suppress(OSError):
                self._open(self._session or join_job(self._settings.queue()))
        return self._session is not None

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

    def _introduce(self, about: dict[str, Any]) -> None:
        """Say in the job's records who joined."""
        if about:
            self.session.write("metadata", metadata=about)
        if self._tags:
            self.session.write("tags", tags=self._tags)
        if self._watch is not None:
            self._watch.watch_for(*self._alerts.values())

    def _record(self) -> dict[str, Any]:
        return self._session.folder.read_record() if self._session else {}

    def _close_at_exit(self) -> None:
        """Close a run that nobody closed: as failed after an exception that ended the program."""
        kind = getattr(sys, "last_type", None)
        if kind is None and Terminated.last:
            self.close("terminated", Terminated.last)
        elif kind is None:
            self.close(message="closed when the program ended")
        elif issubclass(kind, KeyboardInterrupt):
            self.close("terminated", kind.__name__)
        else:
            self.close("failed", f"{kind.__name__}: {getattr(sys, 'last_value', '')}")
