"""Alerts: what is watched for while a run goes on, and who is told; one definition for all.

The configuration, `fovflow.Run.add_alert` and the watcher take `Alert`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cache
from math import fsum
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from fovflow.config.section import Number, Positive, Section, Text
from fovflow.errors import ConfigError
from fovflow.userfiles import user_file

RESOURCES = ("cpu_percent", "rss_mib", "read_mib", "written_mib", "gpu_percent", "gpu_mib")
"""Names of values of the source ``resources``."""

Rule = Literal["is above", "is below", "is outside range", "is inside range"]
RULES: tuple[Rule, ...] = get_args(Rule)

Aggregation = Literal["average", "sum", "at least one", "all"]
_HOW = {"average": "on average ", "sum": "in sum ", "at least one": "once ", "all": "always "}

_LIMITS = ("threshold", "range_low", "range_high")

PATTERN_LENGTH = 500
"""Longest pattern, in characters."""

PATTERN_SIZE = 3000
"""Most steps of a compiled pattern: each may cost time for every letter of a text."""

TEXT_LENGTH = 10_000
"""Characters of a text in which a pattern is looked for."""


def _as_tuple(value: Any) -> Any:
    """Accept one term, or several separated by commas, where a list is meant."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


_LISTED = BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[Text, ...])
Terms = Annotated[tuple[Text, ...], _LISTED]


class Alert(Section):
    """An alert, evaluated while the run goes on, for every job by itself."""

    name: str = Field(min_length=1, description="Name of the alert; each name once.")
    source: Literal["metrics", "events", "resources", "user", "end"] = Field(
        "metrics",
        description="What is watched: logged metrics, messages and errors (events), resources, "
        "what a script says itself by log_alert (user), or how the run ends (end).",
    )
    metric: str | None = Field(
        None,
        description="Name of the metric; of resources: cpu_percent, rss_mib, read_mib, "
        "written_mib, gpu_percent or gpu_mib.",
    )
    rule: Rule | None = Field(None, description="When the alert fires, for metrics and resources.")
    threshold: Number | None = Field(
        None, description="Limit of is above and is below, in the metric's unit; may be 0."
    )
    range_low: Number | None = Field(
        None, description="Lower limit of the ranges, in the metric's unit."
    )
    range_high: Number | None = Field(
        None, description="Upper limit of the ranges, in the metric's unit."
    )
    pattern: str | None = Field(
        None,
        max_length=PATTERN_LENGTH,
        description="Regular expression (RE2) looked for in messages and errors, for events; in "
        "the status and its reason, for end, where null is any end.",
    )
    window_s: Positive | None = Field(
        None,
        description="Time in seconds over which values count together; null looks at every value.",
    )
    aggregation: Aggregation | None = Field(
        None,
        description="How the values of window_s count: their average (the default) or sum, or "
        "whether the rule holds for at least one, or for all.",
    )
    frequency_s: Positive = Field(10.0, description="Time in seconds between two evaluations.")
    on_alert: Literal["notify", "stop_job", "stop_run"] = Field(
        "notify", description="What happens: notify only, or stop the job or the run cleanly, too."
    )
    notification: Annotated[
        tuple[Literal["none", "log", "file", "command", "email", "apprise"], ...], _LISTED
    ] = Field(
        ("log",),
        description="Who is told, besides alerts.jsonl of the run: file, command, email, apprise.",
    )
    file: Annotated[str, AfterValidator(user_file)] | None = Field(
        None, min_length=1, description="File to which notification file appends one line of JSON."
    )
    command: tuple[Text, ...] | None = Field(
        None,
        min_length=1,
        description="Program and arguments of notification command, run without a shell; {name}, "
        "{message}, {value}, {job} and {run} are filled in.",
    )

    @classmethod
    def of(cls, given: Any) -> Alert:
        """Return an alert from one, or from a mapping.

        Raises ConfigError in one sentence, if a part is wrong or the parts do not fit together.
        """
        if isinstance(given, cls):
            return given
        content = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in dict(given).items()
        }
        try:
            return cls.model_validate(content, strict=True)
        except ValidationError as error:
            about = f"alert {content.get('name')!r}: "
            raise ConfigError(about + _sentence(error).removeprefix(about)) from error

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problem := next(_problems(self), ""):
            raise ValueError(f"alert {self.name!r}: {problem}")
        return self

    def plain(self) -> dict[str, Any]:
        """Return what is given, as a mapping for records; a command's arguments stay private."""
        given = self.model_dump(exclude_none=True)
        return {**given, "command": [self.command[0]]} if self.command else given

    def holds(self, value: float) -> bool:
        """Tell whether the rule holds for a value.

        Limits themselves are neither above, below nor outside; they are inside. NaN is outside of
        every range, and neither above nor below anything.
        """
        if self.rule in RULES[:2]:
            assert self.threshold is not None
            return value > self.threshold if self.rule == "is above" else value < self.threshold
        assert self.range_low is not None
        assert self.range_high is not None
        inside = self.range_low <= value <= self.range_high
        return inside if self.rule == "is inside range" else not inside

    def summary(self, values: Sequence[float]) -> float:
        """Return what values of a window are together, for `holds` to be asked of.

        Of infinities of both signs it is NaN. For ``at least one`` and ``all`` it is the value
        that decides.
        """
        if self.aggregation in ("at least one", "all"):
            wanted = self.aggregation == "at least one"
            return next((v for v in values if self.holds(v) == wanted), values[-1])
        count = 1 if self.aggregation == "sum" else len(values)
        with suppress(ValueError, OverflowError):
            return fsum(values) / count
        with suppress(OverflowError):  # of the sum, perhaps not of the average
            return float(sum(map(Fraction, values)) / count)
        return sum(values) / count

    def words(self, value: float, *, of_window: bool = False) -> str:
        """Return in words that the rule holds for a value, with the limit.

        Examples
        --------
        >>> Alert(name="a", metric="loss", rule="is above", threshold=5).words(9)
        'loss = 9 is above 5'
        """
        limits = (
            [self.threshold] if self.threshold is not None else [self.range_low, self.range_high]
        )
        how = _HOW[self.aggregation or "average"] if of_window else ""
        return f"{self.metric} = {value:g} {how}{self.rule} {' to '.join(f'{x:g}' for x in limits)}"

    def found_in(self, text: str) -> bool:
        """Tell whether the pattern is found in the first `TEXT_LENGTH` characters of a text.

        Examples
        --------
        >>> Alert(name="a", source="events", pattern="lost|gone").found_in("frame 3 is lost")
        True
        """
        assert self.pattern is not None
        data = text[:TEXT_LENGTH].encode(errors="replace")
        return _compiled(self.pattern).search(data) is not None


class SmtpConfig(Section):
    """The user's own mail server, for notification email."""

    host: str = Field(min_length=1, description="Name of the mail server.")
    port: int = Field(587, ge=1, le=65535, description="Port of the mail server.")
    security: Literal["starttls", "ssl", "none"] = Field(
        "starttls", description="How the connection is protected."
    )
    user: str | None = Field(None, description="Account; null sends without a login.")
    password_env: str | None = Field(
        None, description="Name of the environment variable that holds the account's password."
    )
    sender: str = Field(min_length=3, description="Address from which mail is sent.")
    to: Terms = Field(min_length=1, description="Addresses to which mail is sent.")

    @classmethod
    def of(cls, given: Any) -> SmtpConfig:
        """Return the settings of a mail server from such, or from a mapping.

        Raises ConfigError if a key is wrong.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ConfigError(f"smtp.{key}: {first['msg']}") from error

    @model_validator(mode="after")
    def _one_line_each(self) -> Self:
        if any(c in text for text in (self.sender, *self.to) for c in "\r\n"):
            raise ValueError("addresses of one line each")
        return self


@cache
def _compiled(pattern: str) -> Any:
    """Return a pattern for RE2, whose time grows linearly with the text whatever the pattern."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(pattern.encode(), options)


def _sentence(error: ValidationError) -> str:
    """Return the first thing that is wrong, in the words that a call's arguments have."""
    first = error.errors(include_url=False)[0]
    key, kind, given = str(next(iter(first["loc"]), "")), first["type"], first["input"]
    if kind == "value_error":
        return str(first["ctx"]["error"])
    if kind == "extra_forbidden":
        return f"unknown key {key}; known: {', '.join(Alert.model_fields)}"
    if kind == "literal_error":
        allowed = str(first["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
        return f"{key} is {given!r}; allowed: {allowed}"
    if key in ("frequency_s", "window_s"):
        return "frequency_s and window_s are positive numbers of seconds"
    if kind in ("finite_number", "float_type"):
        return f"{key} is {given!r}, which is no finite number"
    return f"{key}: {first['msg']}"


def _problems(alert: Alert) -> Iterator[str]:
    """Yield what does not fit together in a definition, in words."""
    for name in ("file", "command"):
        if (name in alert.notification) != bool(getattr(alert, name)):
            yield f"notification {name} and the key {name} go together"
    if not alert.name.strip():
        yield "it needs a name"
    if alert.aggregation and (
        alert.window_s is None or alert.source not in ("metrics", "resources")
    ):
        yield "an aggregation needs window_s, and the source metrics or resources"
    if alert.source in ("events", "user", "end"):
        yield from _event_problems(alert)
        return
    if alert.pattern is not None:
        yield "a pattern goes with the sources events and end only"
    if not alert.metric:
        yield "metric must name the value that is watched"
    if alert.source == "resources" and alert.metric not in RESOURCES:
        yield f"metric is {alert.metric!r}; resources are {', '.join(RESOURCES)}"
    if alert.rule is None:
        yield f"rule is None; allowed: {', '.join(RULES)}"
    needed = _LIMITS[:1] if alert.rule in RULES[:2] else _LIMITS[1:]
    for name in _LIMITS:
        if (name in needed) != (getattr(alert, name) is not None):
            yield f"the rule {alert.rule!r} {'needs' if name in needed else 'has no'} {name}"
    low, high = alert.range_low, alert.range_high
    if low is not None and high is not None and low > high:
        yield "range_low is greater than range_high"


def _event_problems(alert: Alert) -> Iterator[str]:
    for name in ("metric", "rule", *_LIMITS):
        if getattr(alert, name) is not None:
            yield f"{name} does not go with the source {alert.source}"
    if alert.source != "events" and alert.window_s is not None:
        yield f"window_s does not go with the source {alert.source}"
    if alert.source == "end" and alert.on_alert != "notify":
        yield "at the end of a run there is nothing to stop"
    if alert.source == "user" and alert.pattern is not None:
        yield "a pattern goes with the sources events and end only"
    if not alert.pattern:
        if alert.source == "events":
            yield "the source events needs a pattern"
        return
    import re2

    try:
        size = _compiled(alert.pattern).programsize
        if size > PATTERN_SIZE:
            yield (
                f"the pattern {alert.pattern!r} is too large, so that it would be slow: {size} "
                f"steps, not {PATTERN_SIZE} at most; repeat less"
            )
    except re2.error as error:
        yield (
            f"the pattern {alert.pattern!r} is no regular expression of RE2: "
            f"{error.args[0].decode()}; write it "
            r"without look-around, back references, \Z, and repetitions above 1000"
        )
