"""The configuration: every key, its meaning, unit and bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fovflow.config.analysis import FitConfig, MergeConfig, Samples, StatisticsConfig
from fovflow.config.extract import ExtractConfig, QcConfig
from fovflow.config.methods import IouTrack, LogStdSegment, TilesCorrect
from fovflow.config.run import RunConfig
from fovflow.config.section import (
    CorrectConfig,
    Fovs,
    Section,
    SegmentConfig,
    TrackConfig,
    as_list,
)
from fovflow.config.usersteps import StepConfig, check_steps
from fovflow.layout import dataset_name_problem
from fovflow.stages import STACKS
from fovflow.units import TimeUnit, parse_axes
from fovflow.userfiles import user_path

_FRAMES = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*(?::\s*(\d{1,18})\s*)?)?")


ChannelRef = Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)]


class ChannelsConfig(Section):
    """Which channels of the raw file are used, by name or by index from 0."""

    pc: ChannelRef | None = Field(
        0, description="Phase-contrast channel, by name or index; null where there is none."
    )
    fl: Annotated[
        Literal["all"] | tuple[ChannelRef, ...],
        BeforeValidator(as_list, json_schema_input_type=ChannelRef | tuple[ChannelRef, ...]),
    ] = Field(
        "all",
        description="Fluorescence channels, by name or index; all means every channel but pc; "
        "[] means none.",
    )
    seg: ChannelRef | None = Field(
        None,
        description="Channel in which cells are found: null is the phase-contrast channel; else "
        "one of fl, such as a nuclear marker.",
    )


class FramesConfig(Section):
    """A range of frames with a step."""

    range: str = Field("all", description='Inclusive range such as "0-99", or all.')
    step: int = Field(1, ge=1, description="Every step-th frame of the range is used.")

    @field_validator("range")
    @classmethod
    def _check_range(cls, value: str) -> str:
        if value != "all" and not re.fullmatch(r"\s*\d+\s*(-\s*\d+\s*)?", value):
            raise ValueError('a range such as "0-99", or all')
        return value


def _as_frames(value: Any) -> Any:
    """Accept ``all``, ``7``, ``"0-99"`` and ``"0-99:2"``."""
    if isinstance(value, Mapping | FramesConfig):
        return value
    if value == "all":
        return {}
    match = None if isinstance(value, bool) else _FRAMES.fullmatch(str(value))
    if not match:
        raise ValueError('all, a range such as "0-99", or a range with a step such as "0-99:2"')
    first, last, step = match.groups()
    if last is not None and int(last) < int(first):
        raise ValueError(f"the range {value!r} is reversed; write the smaller frame first")
    return {"range": f"{first}-{last or first}", "step": int(step or 1)}


Frames = Annotated[
    FramesConfig, BeforeValidator(_as_frames, json_schema_input_type=int | str | FramesConfig)
]


def check_axes(axes: str | dict[str, str] | None) -> str | dict[str, str] | None:
    """Raise ValueError for axes that are none."""
    if axes is not None:
        parse_axes(axes)
    return axes


class DatasetConfig(Section):
    """One raw file or series, and what the file does not say itself."""

    path: str = Field(
        min_length=1,
        description="Raw file, OME-Zarr folder, or a glob pattern of a TIFF series; relative to "
        "the working directory.",
    )
    pattern: str | tuple[str, ...] | None = Field(
        None,
        description="For a TIFF series: file-name pattern with {position}, {well}, {site}, {time}, "
        "{channel}, {z}, or a list of patterns, of which each name takes the first that fits; null "
        "recognises common names.",
    )
    axes: Annotated[str | dict[str, str] | None, AfterValidator(check_axes)] = Field(
        None,
        description="What the axes of the file are, where it does not say so or says it wrongly: "
        'letters of all that are longer than one, outermost first, such as "TCYX" (P position, T '
        "time, C channel, Z z plane), or which axis is what, such as {z: time}.",
    )
    pixel_um: float | None = Field(
        None, gt=0, description="Edge length of a pixel in µm; overrides the file."
    )
    interval_s: float | None = Field(
        None, gt=0, description="Time between frames in seconds; overrides the file."
    )
    channels: ChannelsConfig | None = Field(
        None, description="Channels of this dataset, where they differ from the others'."
    )
    fovs: Fovs | None = Field(
        None, description="FOVs of this dataset, where they differ from the others'."
    )
    frames: Frames | None = Field(
        None, description="Frames of this dataset, where they differ from the others'."
    )


ZChoice = Literal["middle", "max", "mean"] | Annotated[int, Field(ge=0)]


class CropConfig(Section):
    """A rectangle in pixels; the end is not included."""

    y0: int = Field(0, ge=0, description="First row, in pixels.")
    y1: int = Field(ge=1, description="Row after the last one, in pixels.")
    x0: int = Field(0, ge=0, description="First column, in pixels.")
    x1: int = Field(ge=1, description="Column after the last one, in pixels.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.y1 <= self.y0 or self.x1 <= self.x0:
            raise ValueError("an area: y1 greater than y0 and x1 greater than x0")
        return self


class BrowseConfig(Section):
    """Step 6: what the report holds of each FOV, so that one can look at single cells."""

    pictures: int = Field(
        20,
        ge=0,
        le=10_000,
        description="Frames, spread evenly over the movie, that the report has pictures of; each "
        "takes up to 0.06 MB per FOV and channel. 0: none.",
    )
    size_px: int = Field(
        768, ge=64, le=4096, description="Greatest width or height of a picture, in pixels."
    )


class CopyConfig(Section):
    """Step 1: raw file to npy stacks."""

    z: ZChoice | dict[str, ZChoice] = Field(
        "middle",
        description="Which z plane of a z stack: its index, middle, max or mean (projections); or "
        "a mapping of channel name or index to one of these.",
    )
    crop: CropConfig | None = Field(
        None, description="Rectangle {y0, y1, x0, x1} in pixels that is kept; null keeps all."
    )


if TYPE_CHECKING:
    Stack = str
else:
    Stack = Literal[STACKS]
Keep = Annotated[
    Literal["all"] | tuple[Stack, ...],
    BeforeValidator(as_list, json_schema_input_type=str | tuple[Stack, ...]),
]


def _as_folder(value: str) -> str:
    """Expand ``~``; refuse what Snakemake would take for something else."""
    found = user_path(value)
    if "{" in found or "}" in found:
        raise ValueError(
            "a folder without { and } in its path, which Snakemake takes for a wildcard"
        )
    if Path(found).parts[:1] == ("default",):
        raise ValueError("another folder than 'default', which Snakemake takes for a profile")
    return found


OutputFolder = Annotated[str, AfterValidator(_as_folder)]


class Config(Section):
    """The whole configuration."""

    outdir: OutputFolder = Field("results", min_length=1, description="Output folder.")
    datasets: dict[str, DatasetConfig] | str = Field(
        description="Mapping of dataset names to raw files, or the path of a TSV with the same "
        "columns."
    )
    channels: ChannelsConfig = Field(ChannelsConfig(), description="Channels of all datasets.")
    fovs: Fovs = Field("all", description='all, or inclusive ranges such as "0-5, 7, 9-11".')
    frames: Frames = Field(
        FramesConfig(), description='all, "0-99", "0-99:2", or {range: "0-99", step: 2}.'
    )
    time_units: TimeUnit = Field("min", description="Unit of times in tables: s, min or h.")
    keep: Keep = Field(
        ("pc", "fl", "seg_labeled"),
        description="Which bulky stacks stay after the run: all, or a list of "
        f"{', '.join(STACKS)}; others are not made, or removed as soon as nothing needs them.",
    )
    container: Annotated[str, AfterValidator(user_path)] | None = Field(
        None,
        min_length=1,
        description="Image in which jobs run with --sdm apptainer: the path of a .sif file, or the "
        "address of a registry; null is none. docs/environments.md tells how one is made.",
    )
    copy_: CopyConfig = Field(CopyConfig(), alias="copy", description="Step 1: raw file to npy.")
    segment: SegmentConfig = Field(LogStdSegment(), description="Step 2: cells of each frame.")
    correct: CorrectConfig = Field(TilesCorrect(), description="Step 3: background correction.")
    track: TrackConfig = Field(IouTrack(), description="Step 4: cells over time.")
    extract: ExtractConfig = Field(ExtractConfig(), description="Step 5: traces.")
    qc: QcConfig = Field(QcConfig(), description="Rules that decide which cells are good.")
    browse: BrowseConfig = Field(
        BrowseConfig(), description="Step 6: cells, for looking at them in the report."
    )
    corrections: Annotated[str, AfterValidator(user_path)] | None = Field(
        None,
        min_length=1,
        description="What people say of cells: the corrections.csv that the report saves; null is "
        "none. docs/report.md tells more.",
    )
    samples: Samples = Field(
        (),
        description="Samples that are merged into analysis/: the path of a TSV with the columns "
        "sample, dataset, fovs (or wells, positions), condition, replicate and any others; or a "
        'list of the same keys: [{name: a, fovs: "0-5, 7"}]. None by default.',
    )
    merge: MergeConfig = Field(MergeConfig(), description="Tables of the samples.")
    fit: FitConfig | None = Field(
        None,
        description="Kinetic model that is fitted to each cell of the samples, such as "
        "{model: trivial}; null fits none.",
    )
    statistics: StatisticsConfig | None = Field(
        None,
        description="How the conditions of the samples are compared, such as "
        "{reference: control}, or {}; null compares none.",
    )
    steps: Annotated[tuple[StepConfig, ...], AfterValidator(check_steps)] = Field(
        (), description="Steps of your own, one rule each: {name, script, function, outputs, …}."
    )
    run: RunConfig = Field(RunConfig(), description="Record of the run, progress and alerts.")

    @field_validator("datasets", mode="after")
    @classmethod
    def _check_names(cls, value: dict[str, DatasetConfig] | str) -> dict[str, DatasetConfig] | str:
        if isinstance(value, str):
            return value
        if not value:
            raise ValueError("at least one dataset")
        for name in value:
            if problem := dataset_name_problem(name):
                raise ValueError(problem)
        folded: dict[str, str] = {}
        for name in value:
            other = folded.setdefault(name.casefold(), name)
            if other != name:
                raise ValueError(f"names that differ by more than case ({other!r}, {name!r})")
        return value

    @field_validator("fit")
    @classmethod
    def _check_fit(cls, value: FitConfig | None, info: ValidationInfo) -> FitConfig | None:
        if value is not None and info.data.get("samples") == ():
            raise ValueError("a model only together with samples, whose cells it is fitted to")
        return value

    @field_validator("statistics")
    @classmethod
    def _check_statistics(
        cls, value: StatisticsConfig | None, info: ValidationInfo
    ) -> StatisticsConfig | None:
        if value is None or "samples" not in info.data:
            return value
        conditions = list(dict.fromkeys(sample.condition for sample in info.data["samples"]))
        if value.reference is not None and value.reference not in conditions:
            raise ValueError(
                f"one of the samples' conditions as reference ({', '.join(conditions) or 'none'}), "
                f"not {value.reference}"
            )
        if not conditions:
            raise ValueError("statistics only together with samples, which they compare")
        return value

    def dataset(self, name: str) -> DatasetConfig:
        """Return the keys of one dataset."""
        assert not isinstance(self.datasets, str)  # a table of datasets was read when it was parsed
        return self.datasets[name]

    def kept(self) -> frozenset[str]:
        """Return the kinds of stacks that stay after the run."""
        return frozenset(STACKS if self.keep == "all" else self.keep)
