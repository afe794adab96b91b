"""What `fovflow.execution` may be given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from fovflow.config.load import describe_errors, parse_config, read_config
from fovflow.config.model import Config
from fovflow.config.run import Labels
from fovflow.config.section import Section
from fovflow.errors import ConfigError
from fovflow.events import keep_secret, plain_values, recorded_number
from fovflow.userfiles import user_path


class InputConfig(Section):
    """An input: a file, a folder, or a pattern, and what is known of it."""

    path: Annotated[str, AfterValidator(user_path)] | None = Field(
        None, min_length=1, description="File, folder, or glob pattern of a series."
    )
    dataset: str | None = Field(
        None,
        min_length=1,
        description="In place of path: name of a dataset that an execution in the output folder "
        "has made, with version, else the newest.",
    )
    pattern: str | tuple[str, ...] | None = Field(
        None, description="File-name pattern of a TIFF series, or several."
    )
    name: str | None = Field(None, description="Name of the input.")
    version: str | None = Field(None, description="Version or identifier of the input.")
    type: str | None = Field(None, description="What kind of input it is.")
    materialize: bool = Field(
        False, description="Copy the members of dataset into the execution's folder."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError("an input has either path or dataset")
        if self.materialize and self.dataset is None:
            raise ValueError("materialize goes with dataset only")
        return self


def _as_inputs(value: Any) -> Any:
    """Accept one path, a list of paths and mappings, or a mapping by name."""
    if isinstance(value, str | os.PathLike):
        value = [value]
    if isinstance(value, Mapping):
        value = [
            {**(one if isinstance(one, Mapping) else {"path": one}), "name": name}
            for name, one in value.items()
        ]
    if isinstance(value, list | tuple):
        return [
            {"path": os.fspath(one)} if isinstance(one, str | os.PathLike) else one for one in value
        ]
    return value


Inputs = Annotated[tuple[InputConfig, ...], BeforeValidator(_as_inputs)]


class ExecutionConfig(Labels):
    """Keys of `fovflow.execution`."""

    outdir: Annotated[str, AfterValidator(user_path)] = Field(
        "results", min_length=1, description="Output folder."
    )
    workflow: str | None = Field(
        None, min_length=1, description="Name of the workflow; the script's name by default."
    )
    workflow_version: str | None = Field(None, description="Version of the workflow.")
    workflow_type: str = Field("analysis", description="A term of the controlled vocabulary.")
    parameters: dict[str, Any] = Field(default={}, description="Parameters of the workflow.")
    datasets: Inputs = Field((), description="Input datasets: paths, or mappings with path.")
    assets: Inputs = Field((), description="Further inputs, such as models.")

    @field_validator("parameters")
    @classmethod
    def _as_recorded(cls, value: dict[str, Any]) -> Any:
        try:
            return plain_values(value, recorded_number)
        except RecursionError:
            raise ValueError("plain values, none of which holds itself") from None

    @field_validator("outdir", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value


def parse_execution(config: Any, keys: Mapping[str, Any]) -> ExecutionConfig:
    """Return the checked configuration of an execution.

    `keys`: keys that win. Raises ConfigError, one line for each wrong key
    or value.
    """
    content = {**_content(config), **keys}
    try:
        checked = ExecutionConfig.model_validate(content)
    except ValidationError as error:
        lines = describe_errors(error, ExecutionConfig)
        raise ConfigError(
            "\n  ".join(["the execution has an error in its keys:", *lines])
        ) from error
    keep_secret(checked.secret, content)
    return checked


def _content(config: Any) -> dict[str, Any]:
    if config is None:
        return {}
    if isinstance(config, ExecutionConfig):
        return config.model_dump(exclude_unset=True)
    if isinstance(config, Config):
        return _of_pipeline(config)
    if isinstance(config, str | os.PathLike):
        config = read_config(config)
    if not isinstance(config, Mapping):
        raise ConfigError(
            "the configuration of an execution is no mapping", found=type(config).__name__
        )
    of_pipeline = {spec.alias or name for name, spec in Config.model_fields.items()}
    own = set(ExecutionConfig.model_fields)
    if any(key in of_pipeline - own for key in config):
        return _of_pipeline(parse_config(config))
    return dict(config)


def _of_pipeline(config: Config) -> dict[str, Any]:
    """Return the keys that a configuration of the pipeline gives."""
    assert not isinstance(config.datasets, str)
    return {
        "outdir": config.outdir,
        **{key: getattr(config.run, key) for key in Labels.model_fields},
        "parameters": config.model_dump(
            mode="json", by_alias=True, exclude={"outdir", "datasets", "run"}
        ),
        "datasets": {
            name: {"path": one.path, "pattern": one.pattern}
            for name, one in config.datasets.items()
        },
    }
