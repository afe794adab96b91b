"""What is to be made of one dataset: FOVs and frames, checked against its header."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from fovflow.config.model import Config, CropConfig, DatasetConfig
from fovflow.errors import ConfigError, FovflowError
from fovflow.planning.channels import find_channel, resolve_channels
from fovflow.planning.header import RawHeader
from fovflow.stages import Role
from fovflow.units import format_ranges, parse_ranges


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """One dataset, resolved.

    Attributes
    ----------
    name : str
    header : RawHeader or None
        None where the raw file cannot be read.
    pc : int or None
        Index of the phase-contrast channel.
    fl : tuple of int
        Indices of the fluorescence channels.
    seg : int
        Index of the channel in which cells are found.
    fovs : tuple of int
        FOVs to process.
    frames : tuple of int
        (first, last, step) in the raw file, last included.
    height, width : int
        Size after cropping, in pixels.
    pixel_um : float or None
        Edge length of a pixel in µm.
    problems : tuple of str
        Why the dataset, or FOVs that were asked for, cannot be processed.
    """

    name: str
    header: RawHeader | None = None
    pc: int | None = None
    fl: tuple[int, ...] = ()
    seg: int = 0
    fovs: tuple[int, ...] = ()
    frames: tuple[int, int, int] = (0, 0, 1)
    height: int = 0
    width: int = 0
    pixel_um: float | None = None
    problems: tuple[str, ...] = field(default=())

    @property
    def channels(self) -> tuple[tuple[str, int], ...]:
        """(kind, index) of every copied channel; kind is ``pc`` or ``fl``."""
        first = () if self.pc is None else (("pc", self.pc),)
        return (*first, *(("fl", channel) for channel in self.fl))

    def indices(self, role: Role) -> tuple[int, ...] | tuple[str]:
        """Return the indices of the channels of a role; one empty text for no role."""
        if role == "fl":
            return self.fl
        if role == "pc":
            return () if self.pc is None else (self.pc,)
        return (self.seg,) if role == "seg" else ("",)

    @property
    def n_frames(self) -> int:
        """Number of frames to process."""
        first, last, step = self.frames
        return (last - first) // step + 1

    def metadata(self, time_units: str) -> dict[str, Any]:
        """Return what custom code and the results file are told of the dataset."""
        assert self.header is not None
        first, last, step = self.frames
        return {
            "channels": {"pc": self.pc, "fl": list(self.fl)},
            "channel_names": {index: self.header.channels[index] for _, index in self.channels},
            "time_units": time_units,
            "pixel_um": self.pixel_um,
            "frames": {"count": self.n_frames, "first": first, "last": last, "step": step},
            "size": {"height": self.height, "width": self.width, "dtype": self.header.dtype},
            "raw": {"format": self.header.format, "fingerprint": self.header.fingerprint},
        }

    def kind(self, channel: int) -> Literal["pc", "fl"]:
        """Return whether `channel` is copied as ``pc`` or as ``fl``."""
        return "pc" if channel == self.pc else "fl"


def plan_dataset(
    name: str, config: Config, header: RawHeader, *, needs_pixel_size: bool
) -> DatasetPlan:
    """Check what the configuration wants of a dataset against what its raw file holds.

    Problems do not raise: they are collected in the plan, one sentence each, and the FOVs that
    can be processed are.

    Parameters
    ----------
    name : str
        Name of the dataset in `config`.
    config : Config
    header : RawHeader
    needs_pixel_size : bool
        Whether a chosen method has parameters in µm.
    """
    assert not isinstance(config.datasets, str)
    dataset = config.datasets[name]
    fatal: list[str] = []
    channels = dataset.channels or config.channels
    try:
        pc, fl, seg = resolve_channels(channels, header.channels)
    except ConfigError as error:
        fatal.append(str(error))
        pc, fl, seg = None, (), 0
    try:
        frames = _resolve_frames(dataset, config, header.n_frames)
    except ConfigError as error:
        fatal.append(str(error))
        frames = (0, 0, 1)
    crop = config.copy_.crop
    try:
        height, width = _resolve_size(crop, header)
    except ConfigError as error:
        fatal.append(str(error))
        height, width = header.height, header.width
    pixel_um = dataset.pixel_um or header.pixel_um
    fatal += _missing_units(pixel_um, dataset, header, needs_pixel_size)
    fatal += _wrong_planes(config, header)
    wanted = _wanted_fovs(dataset, config, len(header.positions))
    fovs = tuple(fov for fov in wanted if fov < len(header.positions))
    outside = [fov for fov in wanted if fov >= len(header.positions)]
    problems = fatal + _unknown_fov_arguments(name, config, len(header.positions))
    if outside:
        problems.append(
            str(
                FovflowError(
                    f"fovs: {format_ranges(outside)} asked for",
                    found=f"{len(header.positions)} FOVs in the file, counted from 0",
                    remedy="correct the range fovs",
                )
            )
        )
    return DatasetPlan(
        name=name,
        header=header,
        pc=pc,
        fl=fl,
        seg=seg,
        fovs=() if fatal else fovs,
        frames=frames,
        height=height,
        width=width,
        pixel_um=pixel_um,
        problems=tuple(problems),
    )


def _resolve_frames(dataset: DatasetConfig, config: Config, n_frames: int) -> tuple[int, int, int]:
    frames = dataset.frames or config.frames
    if frames.range == "all":
        first, last = 0, n_frames - 1
    else:
        wanted = parse_ranges(frames.range, "frames")
        first, last = wanted[0], wanted[-1]
    if last >= n_frames or n_frames < 1:
        raise ConfigError(
            f"frames: {frames.range} asked for",
            found=f"{n_frames} frames in the file, counted from 0",
            remedy="correct the range frames",
        )
    return first, last, frames.step


def _resolve_size(crop: CropConfig | None, header: RawHeader) -> tuple[int, int]:
    if crop is None:
        return header.height, header.width
    if crop.y1 > header.height or crop.x1 > header.width:
        raise ConfigError(
            f"copy.crop: y1 {crop.y1}, x1 {crop.x1} asked for",
            found=f"frames of {header.height} rows and {header.width} columns",
            remedy="give a rectangle inside the frame",
        )
    return crop.y1 - crop.y0, crop.x1 - crop.x0


def _missing_units(
    pixel_um: float | None, dataset: DatasetConfig, header: RawHeader, needs_pixel_size: bool
) -> list[str]:
    missing = []
    if needs_pixel_size and pixel_um is None:
        missing.append(
            "the file does not say how large a pixel is, and chosen methods have parameters in "
            "µm; to do: add pixel_um to the dataset"
        )
    if header.time_source == "unknown" and dataset.interval_s is None and header.n_frames > 1:
        missing.append(
            "the file does not say when its frames were taken; to do: add interval_s (seconds "
            "between frames) to the dataset"
        )
    return missing


def _wrong_planes(config: Config, header: RawHeader) -> list[str]:
    z = config.copy_.z
    wrong = []
    for key, choice in z.items() if isinstance(z, dict) else [("", z)]:
        name = f"copy.z.{key}" if key else "copy.z"
        if isinstance(choice, int) and choice >= header.n_z:
            wrong.append(
                f"{name}: plane {choice} asked for; found: {header.n_z} planes, counted from 0; "
                "to do: give a smaller index, middle, max or mean"
            )
        if key:
            try:
                find_channel(key, header.channels, name)
            except ConfigError as error:
                wrong.append(str(error))
    return wrong


def _unknown_fov_arguments(name: str, config: Config, n_positions: int) -> list[str]:
    """Return a sentence for each user step that has arguments for FOVs that do not exist."""
    alone = len(config.datasets) == 1
    found = []
    for step in config.steps:
        named = [fov for dataset, fov in step.named_fovs() if dataset == name or alone]
        outside = [fov for fov in named if fov >= n_positions]
        if outside:
            found.append(
                f"steps.{step.name}.fov_args: {format_ranges(outside)} named; found: "
                f"{n_positions} FOVs in the file, counted from 0; to do: correct fov_args"
            )
    return found


def _wanted_fovs(dataset: DatasetConfig, config: Config, n_positions: int) -> tuple[int, ...]:
    fovs = dataset.fovs or config.fovs
    return tuple(range(n_positions)) if fovs == "all" else parse_ranges(fovs)
