"""Watch a run's events for alerts while the run goes on.

`AlertWatcher` has no thread and no clock of its own: whoever has one calls `AlertWatcher.poll` now
and then, in the process that runs a script as well as in one that looks after many jobs.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

from fovflow.config.alerts import Alert, SmtpConfig
from fovflow.errors import ConfigError, complain, words_of
from fovflow.events import EventFile, EventTail, moment, number_of, writable
from fovflow.events import now as utc_now
from fovflow.jobrecord import ENDS
from fovflow.records import mapping_of
from fovflow.runs.notify import Firing, Notifier
from fovflow.runs.state import Attempt, JobFiles
from fovflow.runs.store import RunFolder

ALERTS_FILE = "alerts.jsonl"


@dataclass(slots=True)
class AlertState:
    """One alert in one file of events: fires at each crossing, again only after recovering."""

    alert: Alert
    firing: bool = False
    _new: list[tuple[float, float, str]] = field(default_factory=list)
    _window: deque[tuple[float, float, str]] = field(default_factory=deque)
    _looked: float = -inf

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take note of an event, if it is of the alert's kind."""
        found = self._value(event)
        if found is not None:
            at = moment(event.get("time"))
            self._new.append((at.timestamp() if at else 0.0, *found))

    def evaluate(self, now: float, *, last: bool = False) -> list[tuple[float | None, str]]:
        """Return value and message of each crossing; nothing before the next one is due.

        `now`: seconds since the epoch, at which a window ends. `last`: whether nothing follows:
        evaluate in any case.
        """
        waits = 0 <= now - self._looked < self.alert.frequency_s  # a clock may be set back
        if waits and not last and self.alert.source != "user":
            return []
        self._looked = now
        new, self._new = self._new, []
        if self.alert.window_s is not None:
            self._window.extend(new)
            while self._window and abs(now - self._window[0][0]) > self.alert.window_s:
                self._window.popleft()
            new = [self._summary()] if self._window else []  # an empty window is no data
        text_only = self.alert.rule is None
        return [
            (None if text_only else value, text)
            for _, value, text in new
            if self._crosses(value > 0 if text_only else self.alert.holds(value))
        ]

    def _summary(self) -> tuple[float, float, str]:
        """Return what the window is together; of a pattern, whether and where it was found last."""
        if self.alert.pattern is not None:
            return max(reversed(self._window), key=lambda item: item[1])
        value = self.alert.summary([value for _, value, _ in self._window])
        return self._window[-1][0], value, self.alert.words(value, of_window=True)

    def _crosses(self, holds: bool) -> bool:
        before, self.firing = self.firing, holds
        return holds and not before

    def _value(self, event: Mapping[str, Any]) -> tuple[float, str] | None:
        """Return the number of an event that the alert looks at, and a text for people."""
        alert, kind = self.alert, event.get("type")
        if alert.source == "user":
            mine = kind == "user_alert" and event.get("name") == alert.name
            return (float(event["critical"] is True), str(event["message"])) if mine else None
        if alert.source == "events":
            text = event_text(event)
            return None if text is None else (float(alert.found_in(text)), text)
        if kind != alert.source:
            return None
        values = event.get("metrics") if kind == "metrics" else event
        number = number_of(mapping_of(values).get(str(alert.metric)))
        return None if number is None else (number, alert.words(number))


def event_text(event: Mapping[str, Any]) -> str | None:
    """Return the text of an event that patterns are looked for in; None where it has none."""
    key = {"message": "message", "status": "message", "job_failed": "error"}.get(
        str(event.get("type"))
    )
    if key is None or event.get("level") == "alert":  # alerts do not set off others
        return None
    text = event.get(key)
    return text if isinstance(text, str) and text else None


class AlertWatcher:
    """Evaluate alerts over all events of a run, for the run itself and every job by itself.

    `on_action`: ``on_action(action, firing)`` with ``"stop_job"`` or ``"stop_run"``; jobs' own
    alerts that ask for ``stop_run`` come here, too. `smtp`: mail server for notifications.
    `apprise_env`: name of the environment variable with addresses for notifications through
    apprise. `record`: ``record("alert", **keys)`` takes what fired; by default it goes to
    ``alerts.jsonl``. `only`: watch this one file of events; by default all of the run are watched.
    """

    def __init__(
        self,
        run_folder: str | os.PathLike[str] | RunFolder,
        alerts: Iterable[Any] = (),
        *,
        on_action: Callable[[str, Firing], object] | None = None,
        smtp: Any = None,
        apprise_env: str | None = None,
        record: Callable[..., object] | None = None,
        only: str | os.PathLike[str] | None = None,
    ):
        self.folder = run_folder if isinstance(run_folder, RunFolder) else RunFolder(run_folder)
        self.alerts: dict[str, Alert] = {}
        self._on_action = on_action
        self._record = record
        self._file: EventFile | None = None
        mail = None if smtp is None else SmtpConfig.of(smtp)
        self._notifier = Notifier(self.folder.id, mail, apprise_env)
        self._finds_jobs = only is None
        self._files = JobFiles(self.folder)
        self._files.tails["", 0] = EventTail(only or self.folder.path / "events.jsonl")
        self._states: dict[Attempt, dict[str, AlertState]] = {}
        self._said: set[str] = set()
        self._finished = False
        for alert in alerts:
            self.add(alert)

    def add(self, alert: Any) -> bool:
        """Watch for one more alert; return False where it is watched for already.

        Raises ConfigError if there is another alert of the same name, or the definition is wrong.
        """
        new = Alert.of(alert)
        known = self.alerts.get(new.name)
        if known == new:
            return False
        if known is not None:
            raise ConfigError(
                f"there is another alert {new.name!r} already", remedy="give each a name of its own"
            )
        self.alerts = {**self.alerts, new.name: new}
        return True

    def poll(self, now: float | None = None) -> list[Firing]:
        """Look at what is new; record, notify and act on what fires, and return it.

        `now`: seconds since the epoch; windows end there.
        """
        fired = self._look(time.time() if now is None else now)
        self._notifier.tend()
        return fired

    def finish(self, ending: Callable[[], str] = str) -> list[Firing]:
        """Look once more, whatever is due, and end; return what fires. Safe to call twice.

        `ending`: returns, after that look, how the run ends, for alerts of the source ``end``.
        """
        if self._finished:
            return []
        self._finished = True
        self._files.settled.clear()
        fired = self._look(time.time(), last=True)
        told = writable(ending())
        for alert in self.alerts.values():
            wanted = alert.source == "end" and (alert.pattern is None or alert.found_in(told))
            if told and wanted:
                about = alert.name, alert.source, alert.on_alert, "", utc_now()
                fired.append(Firing(*about, None, told))
                self._tell(fired[-1])
        self._notifier.finish()
        if self._file is not None:
            self._file.close()
        return fired

    def _look(self, now: float, *, last: bool = False) -> list[Firing]:
        """Look at what is new of all files; `last`: nothing follows."""
        if self._finds_jobs:
            self._files.find()
        fired: list[Firing] = []
        for key, _, events in self._files.read():
            ended = any(event["type"] in ENDS for event in events)
            fired += self._evaluate(key, events, now, last=ended or last)
            if ended:
                self._files.end(key)
                self._states.pop(key, None)
        return fired

    def _evaluate(
        self, key: Attempt, events: list[dict[str, Any]], now: float, *, last: bool
    ) -> list[Firing]:
        job, _ = key
        if job:
            self._pass_on(job, events)
        fired = []
        for name, alert in self.alerts.items():
            state = self._states.setdefault(key, {}).setdefault(name, AlertState(alert))
            about = alert.name, alert.source, alert.on_alert, job, utc_now()
            try:
                for event in events:
                    state.feed(event)
                fired += [Firing(*about, *crossing) for crossing in state.evaluate(now, last=last)]
            except Exception as error:  # other alerts are watched for all the same
                self._say(f"the alert {name!r} could not be evaluated: {error!r}")
        for firing in fired:
            self._tell(firing)
        return fired

    def _tell(self, firing: Firing) -> None:
        keys = {key: value for key, value in asdict(firing).items() if value not in (None, "")}
        try:
            if self._record is None:
                self._file = self._file or EventFile(self.folder.path / ALERTS_FILE)
                self._file.write("alert", **keys)
            else:
                self._record("alert", **keys)
        except (OSError, ValueError) as error:
            self._say(f"the alert {firing.name!r} is not recorded: {words_of(error)}")
        self._notifier.send(self.alerts[firing.name], firing)
        if firing.action != "notify":
            self._act(firing)

    def _pass_on(self, job: str, events: list[dict[str, Any]]) -> None:
        """Act on alerts that a job has evaluated and recorded itself, where they concern all."""
        for event in events:
            if event["type"] == "alert" and event.get("action") == "stop_run":
                name, source, told = (str(event.get(k, "")) for k in ("name", "source", "message"))
                self._act(Firing(name, source, "stop_run", job, event["time"], None, told))

    def _act(self, firing: Firing) -> None:
        if self._on_action is None:
            return
        try:
            self._on_action(firing.action, firing)
        except Exception as error:
            self._say(f"the alert {firing.name!r} could not {firing.action}: {error}")

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            complain(f"fovflow: {text}")
