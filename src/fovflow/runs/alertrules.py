"""The rules that tell whether an alert fires; they know no files, threads or clocks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fovflow.alertform import Alert, is_number
from fovflow.events import seconds_of


@dataclass(frozen=True, slots=True)
class Firing:
    """That an alert fired.

    Attributes
    ----------
    name, source : str
        The alert's.
    action : {"notify", "stop_job", "stop_run"}
    job : str
        In which job; empty for the run itself.
    time : str
        When that was evaluated, in UTC, ISO 8601.
    value : float or None
        The value, or the window's average; None for events.
    message : str
        What happened, in words.
    """

    name: str
    source: str
    action: str
    job: str
    time: str
    value: float | None
    message: str


@dataclass(slots=True)
class AlertState:
    """One alert in one file of events: fires at each crossing, again only after recovering.

    Parameters
    ----------
    alert : Alert
    """

    alert: Alert
    firing: bool = False
    _new: list[tuple[float, float, str]] = field(default_factory=list)
    _window: deque[tuple[float, float, str]] = field(default_factory=deque)
    _due: float = -math.inf

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take note of an event, if it is of the alert's kind."""
        found = self._value(event)
        if found is not None:
            self._new.append((_seconds(str(event.get("time"))), *found))

    def evaluate(self, now: float, *, last: bool = False) -> list[tuple[float | None, str]]:
        """Return value and message of each crossing; nothing before the next one is due.

        Parameters
        ----------
        now : float
            Seconds since the epoch, at which a window ends.
        last : bool
            Whether nothing follows: evaluate in any case.
        """
        if now < self._due and not last:
            return []
        self._due = now + self.alert.frequency_s
        new, self._new = self._new, []
        if self.alert.window_s is not None:
            return self._of_window(new, now - self.alert.window_s)
        return [
            (None, text) if self.alert.pattern else (value, text)
            for _, value, text in new
            if self._crosses(bool(value) if self.alert.pattern else self.alert.holds(value))
        ]

    def _of_window(
        self, new: list[tuple[float, float, str]], begin: float
    ) -> list[tuple[float | None, str]]:
        """Return what the window's content means; an empty one is no data and changes nothing."""
        self._window.extend(new)
        while self._window and self._window[0][0] < begin:
            self._window.popleft()
        inside = [value for _, value, _ in self._window]
        if not inside:
            return []
        if self.alert.pattern:
            texts = [text for _, value, text in self._window if value]
            return [(None, texts[-1])] if self._crosses(bool(texts)) else []
        mean = math.fsum(inside) / len(inside)
        text = f"{self.alert.metric} {self.alert.rule}, on average: {mean:g}"
        return [(mean, text)] if self._crosses(self.alert.holds(mean)) else []

    def _crosses(self, holds: bool) -> bool:
        fires = holds and not self.firing
        self.firing = holds
        return fires

    def _value(self, event: Mapping[str, Any]) -> tuple[float, str] | None:
        """Return the number of an event that the alert looks at, and a text for people."""
        alert, kind = self.alert, event.get("type")
        if alert.pattern is not None:
            text = event_text(event)
            return None if text is None else (float(alert.found_in(text)), text)
        if kind != alert.source:
            return None
        values = event.get("metrics") if kind == "metrics" else event
        value: Any = values.get(str(alert.metric)) if isinstance(values, Mapping) else None
        if not is_number(value):
            return None
        return float(value), f"{alert.metric} {alert.rule}: {float(value):g}"


def event_text(event: Mapping[str, Any]) -> str | None:
    """Return the text of an event that patterns are looked for in; None where it has none."""
    key = {"message": "message", "status": "message", "job_failed": "error"}.get(
        str(event.get("type"))
    )
    if key is None or event.get("level") == "alert":  # alerts do not set off others
        return None
    text = event.get(key)
    return text if isinstance(text, str) and text else None


def _seconds(stamp: str) -> float:
    try:
        return seconds_of(stamp)
    except (ValueError, OverflowError):
        return 0.0
