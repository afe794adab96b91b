"""The definition of an alert: what is watched for, and what happens then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any

from fovflow.errors import ConfigError

SOURCES = ("metrics", "events", "resources")
RULES = ("is above", "is below", "is outside range", "is inside range")
ACTIONS = ("notify", "stop_job", "stop_run")
NOTIFICATIONS = ("none", "log", "file", "command", "email")
RESOURCES = ("cpu_percent", "rss_mib", "read_mib", "written_mib", "gpu_percent", "gpu_mib")
"""Names of values of the source ``resources``."""

PATTERN_LENGTH = 500
"""Longest pattern, in characters."""

TEXT_LENGTH = 10_000
"""Characters of a text in which a pattern is looked for."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What is watched for, and what happens then; see `fovflow.config.run.AlertConfig`.

    Raises
    ------
    ConfigError
        If the parts do not fit together.
    """

    name: str
    source: str = "metrics"
    metric: str | None = None
    rule: str | None = None
    threshold: float | None = None
    range_low: float | None = None
    range_high: float | None = None
    pattern: str | None = None
    window_s: float | None = None
    frequency_s: float = 10.0
    on_alert: str = "notify"
    notification: tuple[str, ...] = ("log",)
    file: str | None = None
    command: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ConfigError(f"alert {self.name!r}: {problem}")

    @classmethod
    def of(cls, given: Any) -> Alert:
        """Return an alert from one, from a mapping, or from a model of the configuration."""
        if isinstance(given, cls):
            return given
        content = dict(given if isinstance(given, Mapping) else given.model_dump())
        for name in ("notification", "command"):
            if isinstance(content.get(name), list):
                content[name] = tuple(content[name])
        unknown = sorted(set(content) - {item.name for item in fields(cls)})
        if unknown:
            raise ConfigError(
                f"alert {content.get('name')!r}: unknown key {unknown[0]}",
                remedy=f"known: {', '.join(item.name for item in fields(cls))}",
            )
        return cls(**content)

    def plain(self) -> dict[str, Any]:
        """Return what is given, as a mapping for records; a command's arguments stay private."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        return {**given, "command": [self.command[0]]} if self.command else given

    def holds(self, value: float) -> bool:
        """Tell whether the rule holds for a value.

        Limits themselves are neither above, below nor outside; they are inside.
        """
        if self.rule in ("is above", "is below"):
            assert self.threshold is not None
            return value > self.threshold if self.rule == "is above" else value < self.threshold
        assert self.range_low is not None
        assert self.range_high is not None
        inside = self.range_low <= value <= self.range_high
        return inside if self.rule == "is inside range" else not inside

    def found_in(self, text: str) -> bool:
        """Tell whether the pattern is found in the first `TEXT_LENGTH` characters of a text.

        Examples
        --------
        >>> Alert("a", source="events", pattern="lost|gone").found_in("frame 3 is lost")
        True
        """
        assert self.pattern is not None
        data = text[:TEXT_LENGTH].encode(errors="replace")
        return _compiled(self.pattern).search(data) is not None


@cache
def _compiled(pattern: str) -> Any:
    """Return a pattern for RE2, whose time grows linearly with the text whatever the pattern."""
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern.encode(), options)


def _problem(alert: Alert) -> str | None:
    """Return what is wrong with a definition, in words."""
    for name, allowed in (("source", SOURCES), ("on_alert", ACTIONS)):
        if getattr(alert, name) not in allowed:
            return f"{name} is {getattr(alert, name)!r}; allowed: {', '.join(allowed)}"
    wrong = [item for item in alert.notification if item not in NOTIFICATIONS]
    if wrong:
        return f"notification is {wrong[0]!r}; allowed: {', '.join(NOTIFICATIONS)}"
    for name in ("file", "command"):
        if (name in alert.notification) != bool(getattr(alert, name)):
            return f"notification {name} and the key {name} go together"
    if not alert.name.strip():
        return "it needs a name"
    if not _positive(alert.frequency_s) or not (
        alert.window_s is None or _positive(alert.window_s)
    ):
        return "frequency_s and window_s are positive numbers of seconds"
    return _event_problem(alert) if alert.source == "events" else _value_problem(alert)


def _event_problem(alert: Alert) -> str | None:
    for name in ("metric", "rule", "threshold", "range_low", "range_high"):
        if getattr(alert, name) is not None:
            return f"{name} does not go with the source events"
    if not alert.pattern:
        return "the source events needs a pattern"
    if len(alert.pattern) > PATTERN_LENGTH:
        return f"the pattern is longer than {PATTERN_LENGTH} characters"
    import re2

    try:
        _compiled(alert.pattern)
    except (re2.error, UnicodeEncodeError) as error:
        why = error.args[0].decode() if isinstance(error, re2.error) else str(error)
        return (
            f"the pattern {alert.pattern!r} is no regular expression of RE2: {why}; write it "
            r"without look-around, back references, \Z, and repetitions above 1000"
        )
    return None


def _value_problem(alert: Alert) -> str | None:
    if alert.pattern is not None:
        return "a pattern goes with the source events only"
    if not alert.metric:
        return "metric must name the value that is watched"
    if alert.source == "resources" and alert.metric not in RESOURCES:
        return f"metric is {alert.metric!r}; resources are {', '.join(RESOURCES)}"
    if alert.rule not in RULES:
        return f"rule is {alert.rule!r}; allowed: {', '.join(RULES)}"
    return _limit_problem(alert)


def _limit_problem(alert: Alert) -> str | None:
    needed = ("threshold",) if alert.rule in RULES[:2] else ("range_low", "range_high")
    for name in ("threshold", "range_low", "range_high"):
        value = getattr(alert, name)
        if (name in needed) != (value is not None):
            return f"the rule {alert.rule!r} {'needs' if name in needed else 'has no'} {name}"
        if value is not None and not is_number(value):
            return f"{name} is {value!r}, which is no finite number"
    low, high = alert.range_low, alert.range_high
    if low is not None and high is not None and low > high:
        return "range_low is greater than range_high"
    return None


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number; booleans are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: Any) -> bool:
    return is_number(value) and value > 0
