"""The run's own record: its name, type and tags, and the alerts that are watched for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fovflow.config.alerts import Alert, SmtpConfig, Terms
from fovflow.config.section import NotNegative, Number, Section, Text
from fovflow.errors import did_you_mean

WORKFLOW_TYPES = (
    "processing", "preprocessing", "segmentation", "tracking", "quantification", "analysis",
    "simulation", "benchmark", "annotation", "training", "inference", "evaluation", "publication",
)  # fmt: skip
"""The controlled vocabulary of workflow types; ``vocabulary`` adds terms of one's own."""


class Labels(Section):
    """What a run or an execution is called, and what it is for."""

    name: str | None = Field(
        None, min_length=1, description="Name of the run; null makes one of adjective and noun."
    )
    vocabulary: Terms | dict[Text, str] = Field(
        (),
        description="Further terms that workflow_type may take: a list, or a mapping of terms to "
        "what they mean.",
    )
    workflow_type: str = Field(
        "processing",
        description=f"What kind of work this is: {', '.join(WORKFLOW_TYPES)}, or a term of "
        "vocabulary.",
    )
    description: str = Field("", description="What the run is for, in words.")
    tags: Terms = Field((), description="Tags to find the run by.")
    metadata: dict[str, str | int | Number | bool | None] = Field(
        default={}, description="Names and values of one's own to find the run by."
    )

    secret: Terms = Field(
        (),
        description="Keys, wherever they stand, whose values are in no record, such as a plug-in's "
        "api_key; the password of mail and arguments of alerts' commands never are.",
    )

    @field_validator("workflow_type")
    @classmethod
    def _check_type(cls, value: str, info: ValidationInfo) -> str:
        known = list(dict.fromkeys([*WORKFLOW_TYPES, *info.data.get("vocabulary", ())]))
        if value not in known:
            hint = did_you_mean(value, known)
            raise ValueError(f"{', '.join(known)}, or a term of vocabulary{hint}")
        return value


class RunConfig(Labels):
    """Name, type and tags of a run, progress, and alerts."""

    progress_every: int = Field(
        30, ge=1, description="Frames between two progress events of a job."
    )
    resources_interval_s: NotNegative = Field(
        10.0,
        description="Time in seconds between two measurements of a job's CPU, memory and disk; 0 "
        "measures nothing.",
    )
    check_disk: bool = Field(
        True,
        description="Whether a run whose stacks do not fit on the disk ends before it begins.",
    )
    silent_after_min: NotNegative = Field(
        15.0,
        description="Time in minutes after which a cluster's job that shows no sign of life is "
        "told of, with the commands that tell more; 0 never tells.",
    )
    on_lost: Literal["notify", "stop_run"] = Field(
        "notify",
        description="What happens where SLURM says that such a job is over, and Snakemake still "
        "waits for it: notify only, or stop the run cleanly, so that the same command goes on.",
    )
    alerts: tuple[Alert, ...] = Field(
        (), description="What is watched for while the run goes on; keys in config/README.md."
    )
    smtp: SmtpConfig | None = Field(
        None, description="Mail server for notification email; keys in config/README.md."
    )
    apprise_env: str | None = Field(
        None,
        min_length=1,
        description="Name of the environment variable that holds the addresses for notification "
        "apprise, such as slack://…, separated by spaces; needs fovflow[notify].",
    )

    @field_validator("alerts")
    @classmethod
    def _check_names(cls, value: tuple[Alert, ...]) -> tuple[Alert, ...]:
        names = [alert.name for alert in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each name of an alert once ({twice[0]!r} stands twice)")
        return value

    @model_validator(mode="after")
    def _check_ways(self) -> Self:
        ways = {way for alert in self.alerts for way in alert.notification}
        if "email" in ways and self.smtp is None:
            raise ValueError("notification email only together with the mail server smtp")
        if "apprise" in ways and self.apprise_env is None:
            raise ValueError("notification apprise only together with apprise_env")
        return self
