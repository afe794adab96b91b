"""What goes on beside the code of a `fovflow.Run`: heartbeat, resources, alerts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from fovflow.alertform import Alert
from fovflow.errors import ConfigError
from fovflow.runs.alertrules import Firing
from fovflow.runs.alerts import AlertWatcher
from fovflow.runs.arguments import check_pid, check_text, in_seconds
from fovflow.runs.interrupt import stop_process
from fovflow.runs.periodic import Periodic
from fovflow.runs.resources import ResourceMonitor
from fovflow.runs.runlog import RunLog, recorded
from fovflow.runs.store import BEAT_S

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
            Name of the metric, or one of `fovflow.alertform.RESOURCES`.
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
        asked = [notification] if isinstance(notification, str) else list(notification)
        every = in_seconds("frequency", frequency_s, frequency)
        alert = Alert(
            name=check_text("name", name, empty=False),
            source=source,
            metric=metric,
            rule=rule,
            threshold=threshold,
            range_low=range_low,
            range_high=range_high,
            pattern=pattern,
            window_s=in_seconds("window", window_s, window),
            on_alert=on_alert,
            notification=tuple(asked),
            file=None if file is None else os.fspath(file),
            command=None if command is None else tuple(map(str, command)),
            **({} if every is None else {"frequency_s": every}),
        )
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


def checked_mail(smtp: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the settings of a mail server, checked."""
    if smtp is None:
        return None
    from pydantic import ValidationError

    from fovflow.config.run import SmtpConfig

    with suppress(AttributeError):
        smtp = smtp.model_dump()  # type: ignore[attr-defined]
    try:
        return SmtpConfig.model_validate(smtp).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"smtp.{key}: {first['msg']}") from error
