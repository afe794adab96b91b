"""The run's own record: its name, type and tags, and the alerts that are watched for."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fovflow.alertform import Alert
from fovflow.config.section import Section
from fovflow.errors import ConfigError

WORKFLOW_TYPES = (
    "processing", "preprocessing", "segmentation", "tracking", "quantification", "analysis",
    "simulation", "benchmark", "annotation", "training", "inference", "evaluation", "publication",
)  # fmt: skip
"""The controlled vocabulary of workflow types; ``vocabulary`` adds terms of one's own."""

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]


def _as_tuple(value: Any) -> Any:
    """Accept one term, or several separated by commas, where a list is meant."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Terms = Annotated[
    tuple[Text, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[Text, ...])
]


class AlertConfig(Section):
    """An alert, evaluated while the run goes on, for every job by itself."""

    name: str = Field(min_length=1, description="Name of the alert; each name once.")
    source: Literal["metrics", "events", "resources"] = Field(
        "metrics", description="What is watched: logged metrics, messages and errors, or resources."
    )
    metric: str | None = Field(
        None,
        description="Name of the metric; of resources: cpu_percent, rss_mib, read_mib, "
        "written_mib, gpu_percent or gpu_mib.",
    )
    rule: Literal["is above", "is below", "is outside range", "is inside range"] | None = Field(
        None, description="When the alert fires, for metrics and resources."
    )
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
        max_length=500,
        description="Regular expression (RE2) looked for in messages and errors, for events.",
    )
    window_s: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Time in seconds over which values are averaged; null looks at every value.",
    )
    frequency_s: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="Time in seconds between two evaluations."
    )
    on_alert: Literal["notify", "stop_job", "stop_run"] = Field(
        "notify", description="What happens: notify only, or stop the job or the run cleanly, too."
    )
    notification: Annotated[
        tuple[Literal["none", "log", "file", "command", "email"], ...],
        BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[Text, ...]),
    ] = Field(
        ("log",),
        description="Who is told, besides alerts.jsonl of the run: a file, a command, email.",
    )
    file: str | None = Field(
        None, min_length=1, description="File to which notification file appends one line of JSON."
    )
    command: tuple[Text, ...] | None = Field(
        None,
        min_length=1,
        description="Program and arguments of notification command, run without a shell; {name}, "
        "{message}, {value}, {job} and {run} are filled in.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        try:
            Alert(**{item.name: getattr(self, item.name) for item in fields(Alert)})
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self


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

    @model_validator(mode="after")
    def _one_line_each(self) -> Self:
        if any(c in text for text in (self.sender, *self.to) for c in "\r\n"):
            raise ValueError("addresses of one line each")
        return self


class RunConfig(Section):
    """Name, type and tags of a run, progress, and alerts."""

    name: str | None = Field(
        None, min_length=1, description="Name of the run; null makes one of adjective and noun."
    )
    vocabulary: Terms = Field((), description="Further terms that workflow_type may take.")
    workflow_type: str = Field(
        "processing",
        description=f"What kind of work this is: {', '.join(WORKFLOW_TYPES)}, or a term of "
        "vocabulary.",
    )
    description: str = Field("", description="What the run is for, in words.")
    tags: Terms = Field((), description="Tags to find the run by.")
    metadata: dict[str, str | int | float | bool | None] = Field(
        default={}, description="Names and values of one's own to find the run by."
    )
    progress_every: int = Field(
        30, ge=1, description="Frames between two progress events of a job."
    )
    resources_interval_s: float = Field(
        10.0,
        ge=0,
        allow_inf_nan=False,
        description="Time in seconds between two measurements of a job's CPU, memory and disk; 0 "
        "measures nothing.",
    )
    silent_after_min: float = Field(
        15.0,
        ge=0,
        allow_inf_nan=False,
        description="Time in minutes after which a cluster's job that shows no sign of life is "
        "told of, with the commands that tell more; 0 never tells.",
    )
    on_lost: Literal["notify", "stop_run"] = Field(
        "notify",
        description="What happens where SLURM says that such a job is over, and Snakemake still "
        "waits for it: notify only, or stop the run cleanly, so that the same command goes on.",
    )
    alerts: tuple[AlertConfig, ...] = Field(
        (), description="What is watched for while the run goes on; keys in config/README.md."
    )
    smtp: SmtpConfig | None = Field(
        None, description="Mail server for notification email; keys in config/README.md."
    )

    @field_validator("workflow_type")
    @classmethod
    def _check_type(cls, value: str, info: ValidationInfo) -> str:
        return check_workflow_type(value, info.data.get("vocabulary", ()))

    @field_validator("alerts")
    @classmethod
    def _check_names(cls, value: tuple[AlertConfig, ...]) -> tuple[AlertConfig, ...]:
        names = [alert.name for alert in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each name of an alert once ({twice[0]!r} stands twice)")
        return value

    @model_validator(mode="after")
    def _check_mail(self) -> Self:
        if self.smtp is None and any("email" in alert.notification for alert in self.alerts):
            raise ValueError("notification email only together with the mail server smtp")
        return self


def check_workflow_type(term: str, vocabulary: tuple[str, ...] = ()) -> str:
    """Return a workflow type that is known.

    Raises
    ------
    ValueError
        For an unknown term; lists the known ones.
    """
    known = list(dict.fromkeys([*WORKFLOW_TYPES, *vocabulary]))
    if term not in known:
        near = difflib.get_close_matches(term, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"{', '.join(known)}, or a term of vocabulary{hint}")
    return term
