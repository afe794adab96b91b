"""The rules that tell whether an alert fires; they know no files, threads or clocks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fovflow.alertform import Alert, is_number


@dataclass(slots=True)
class Firing:
    """That an alert fired: for which job (empty for the run itself), when, at which value."""

    alert: Alert
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
    matches : callable
        ``matches(pattern, text)`` tells whether a pattern is found in a text.
    """

    alert: Alert
    matches: Callable[[str, str], bool]
    firing: bool = False
    _new: list[tuple[float, str, float, str]] = field(default_factory=list)
    _window: deque[tuple[float, float]] = field(default_factory=deque)
    _due: float = -math.inf

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take note of an event, if it is of the alert's kind."""
        found = self._value(event)
        if found is not None:
            when = str(event["time"])
            self._new.append((_seconds(when), when, *found))

    def evaluate(self, now: float) -> list[tuple[str, float | None, str]]:
        """Return (time, value, message) of each crossing; nothing before the next one is due.

        Parameters
        ----------
        now : float
            Seconds since the epoch, at which a window ends.
        """
        if now < self._due:
            return []
        self._due = now + self.alert.frequency_s
        new, self._new = self._new, []
        if self.alert.window_s is None:
            return [
                (when, None if self.alert.pattern else value, text)
                for _, when, value, text in new
                if self._crosses(bool(value) if self.alert.pattern else self.alert.holds(value))
            ]
        self._window.extend((seconds, value) for seconds, _, value, _ in new)
        while self._window and self._window[0][0] < now - self.alert.window_s:
            self._window.popleft()
        return self._of_window(new)

    def _of_window(
        self, new: list[tuple[float, str, float, str]]
    ) -> list[tuple[str, float | None, str]]:
        """Return what the window's content means; an empty one is no data and changes nothing."""
        inside = [value for _, value in self._window]
        if not inside:
            return []
        when = new[-1][1] if new else ""
        if self.alert.pattern:
            texts = [text for _, _, value, text in new if value]
            return [(when, None, texts[-1] if texts else "")] if self._crosses(any(inside)) else []
        mean = math.fsum(inside) / len(inside)
        text = f"{self.alert.metric} {self.alert.rule} on average: {mean:g}"
        return [(when, mean, text)] if self._crosses(self.alert.holds(mean)) else []

    def _crosses(self, holds: bool) -> bool:
        fires = holds and not self.firing
        self.firing = holds
        return fires

    def _value(self, event: Mapping[str, Any]) -> tuple[float, str] | None:
        """Return the number of an event that the alert looks at, and a text for people."""
        alert, kind = self.alert, event.get("type")
        if alert.pattern is not None:
            text = event_text(event)
            return None if text is None else (float(self.matches(alert.pattern, text)), text)
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
    text = event.get(key) if key else None
    return text if isinstance(text, str) and text else None


def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        return 0.0
