"""`fovflow.Run`: track a script or a job while it runs, in files and without a server."""

from __future__ import annotations

import os
import time as clock
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fovflow.errors import ConfigError, FovflowError
from fovflow.events import LEVELS, recorded_number
from fovflow.runs.arguments import (
    as_python,
    check_choice,
    check_finite,
    check_metadata,
    check_metrics,
    check_pid,
    check_tags,
    check_text,
    check_timestamp,
    check_units,
    in_seconds,
    safe_name,
)
from fovflow.runs.assets import (
    check_file,
    check_kind,
    files_below,
    stored_name,
)
from fovflow.runs.lifecycle import OpenRun, recorded
from fovflow.runs.session import WatchedProcess


class Run(OpenRun):
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

    @recorded
    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        time: float | None = None,
        timestamp: Any = None,
        *,
        units: Mapping[str, str] | None = None,
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
        units : mapping of str to str, optional
            Units by name of metrics, such as ``{"area": "µm²"}``; each once is enough.
        """
        numbers = check_metrics(metrics)
        at = check_timestamp(timestamp)
        given = None if step is None else check_finite("step", step)
        elapsed: float = round(clock.monotonic() - self.session.started, 6)
        if time is not None:
            elapsed = check_finite("time", time)
        told = check_units(units)
        with self._lock:
            count, self._steps = self._steps, self._steps + 1
            new = {name: unit for name, unit in told.items() if self._units.get(name) != unit}
            self._units |= new
        self.session.write(
            "metrics",
            time=at,
            metrics={name: recorded_number(value) for name, value in numbers.items()},
            step=count if given is None else given,
            elapsed_s=elapsed,
            **({"units": new} if new else {}),
        )

    @recorded
    def log_event(self, message: str, timestamp: Any = None, *, level: str = "info") -> None:
        """Record something that a person should read.

        `timestamp`: as for `log_metrics`. `level`: ``debug``, ``info``, ``warning`` or ``error``.
        """
        text = check_text("message", message)
        kept = {} if check_choice("level", level, LEVELS) == "info" else {"level": level}
        self.session.write("message", time=check_timestamp(timestamp), message=text, **kept)

    @recorded
    def log_alert(self, name: str, critical: bool = True, message: str = "") -> None:
        """Say how it is with an alert of the source ``user``; it fires when it becomes critical.

        One that is not defined yet is, with no notification. In a job of the pipeline the alerts of
        the configuration count, too.
        """
        check_text("name", name, empty=False)
        if name not in self._alerts and self.session.owner:
            self.add_alert(name, source="user")
        if name in self._alerts and self._alerts[name].source != "user":
            raise ConfigError(f"the alert {name!r} is not of the source user")
        text = check_text("message", message) or name
        self.session.write("user_alert", name=name, critical=bool(critical), message=text)

    @recorded
    def add_process(
        self,
        name: str,
        command: Iterable[str | os.PathLike[str]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start a command, and watch it.

        What it prints is kept with the run, what it uses is measured with this process, and how it
        ended is an event; where that is not 0, the run is ``failed``. `close` waits for it. After
        an exception, or where the run is told to end, it is ended, too.

        Parameters
        ----------
        name : str
            Each name once.
        command : list of str
            Program and arguments; there is no shell.
        cwd : path-like, optional
            Its working directory.
        env : mapping, optional
            Environment variables besides those of this process.
        """
        if isinstance(command, str | os.PathLike):
            raise ConfigError("a command is a list: the program and its arguments")
        if "/" in safe_name("name", name) or name in self._processes:
            raise ConfigError(f"the name {name!r} of a process holds /, or is taken")
        words = [os.fspath(word) for word in command]
        self._processes[name] = WatchedProcess(self.session, name, words, cwd, env)

    def wait_for_process(self, name: str, timeout_s: float | None = None) -> int | None:
        """Return the exit status of a process of `add_process`; None where there is none yet."""
        process = self._processes.get(name)
        return None if process is None else process.wait(timeout_s)

    @recorded
    def kill_process(self, name: str) -> None:
        """End a process of `add_process`; the run is not failed by that."""
        if name not in self._processes:
            raise ConfigError(f"there is no process {name!r}", found=", ".join(self._processes))
        self._processes[name].stop()

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
        from fovflow.runs.history import joined

        self._annotate(
            "folders",
            lambda known: {**known, key: joined(known.get(key) or {}, given)},
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
        aggregation: str | None = None,
        on_alert: str = "notify",
        file: str | os.PathLike[str] | None = None,
        command: Iterable[str] | None = None,
    ) -> bool:
        """Define an alert, before or after `init`; one that is defined twice is one alert.

        Parameters
        ----------
        name : str
        source : {"metrics", "events", "resources", "user", "end"}
            ``user``: what `log_alert` says; ``end``: how the run ends.
        frequency, frequency_s : float, optional
            Time between two evaluations, in minutes or in seconds; 10 s by default.
        window, window_s : float, optional
            Time over which values count together, in minutes or in seconds; by default every value
            is looked at.
        aggregation : {"average", "sum", "at least one", "all"}, optional
            How they do.
        rule : {"is above", "is below", "is outside range", "is inside range"}
        metric : str
            Name of the metric, or one of `fovflow.config.alerts.RESOURCES`.
        threshold, range_low, range_high : float
            Limits of the rule; 0 is one like any other.
        notification : str or list of str
            ``none`` or ``log`` (the run's records only), ``file``, ``command``, ``email``,
            ``apprise``.
        pattern : str
            Regular expression, for events, and for the status and its reason at the end.
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
            "aggregation": aggregation,
            "frequency_s": in_seconds("frequency", frequency_s, frequency),
            "on_alert": on_alert,
            "notification": asked,
            "file": None if file is None else os.fspath(file),
            "command": None if command is None else [str(part) for part in command],
        }
        alert = Alert.of(
            {key: as_python(value) for key, value in given.items() if value is not None}
        )
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

    def _keep_file(self, path: Path, category: str, filetype: str | None, name: str) -> None:
        with self._lock:
            about = self.session.kept.keep_file(path, category, filetype=filetype, name=name)
        self.session.write("artifact", **about)
