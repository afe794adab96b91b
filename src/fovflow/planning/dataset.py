"""What is to be made of one dataset: channels, FOVs and frames, checked against its header."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fovflow.config.model import ChannelsConfig, Config, CropConfig, FramesConfig
from fovflow.errors import ConfigError
from fovflow.planning.header import RawHeader
from fovflow.stages import Role
from fovflow.units import format_ranges, parse_ranges

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """One dataset, resolved."""

    name: str
    header: RawHeader | None = None
    """None where the raw file cannot be read."""
    pc: int | None = None
    """Index of the phase-contrast channel."""
    fl: tuple[int, ...] = ()
    """Indices of the fluorescence channels."""
    seg: int = 0
    """Index of the channel in which cells are found."""
    fovs: tuple[int, ...] = ()
    """FOVs to process."""
    frames: tuple[int, int, int] = (0, 0, 1)
    """(first, last, step) in the raw file, last included."""
    height: int = 0
    """Rows after cropping."""
    width: int = 0
    """Columns after cropping."""
    pixel_um: float | None = None
    """Edge length of a pixel in µm."""
    problems: tuple[str, ...] = ()
    """Why the dataset, or FOVs that were asked for, cannot be processed."""
    held: frozenset[int] = frozenset()
    """FOVs that are left as they are: what they would be made from again is not there."""

    @property
    def ready(self) -> tuple[int, ...]:
        """FOVs to process that can be."""
        return tuple(fov for fov in self.fovs if fov not in self.held)

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
    def phase(self) -> int:
        """Index of the channel in which shapes are measured: the segmented one without a `pc`."""
        return self.seg if self.pc is None else self.pc

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

    `name`: name of the dataset in `config`. `needs_pixel_size`: whether a chosen method has
    parameters in µm.
    """
    dataset, n_positions = config.dataset(name), len(header.positions)
    fatal: list[str] = []

    def checked(default: T, check: Callable[..., T], *arguments: Any) -> T:
        try:
            return check(*arguments)
        except ConfigError as error:
            fatal.append(str(error))
            return default

    none: tuple[int | None, tuple[int, ...], int] = (None, (), 0)
    channels = dataset.channels or config.channels
    pc, fl, seg = checked(none, resolve_channels, channels, header.channels)
    frames = checked((0, 0, 1), _frames, dataset.frames or config.frames, header.n_frames)
    height, width = checked((header.height, header.width), _size, config.copy_.crop, header)
    pixel_um = dataset.pixel_um or header.pixel_um
    if needs_pixel_size and pixel_um is None:
        fatal.append(
            "the file does not say how large a pixel is, and chosen methods have parameters in "
            "µm; to do: add pixel_um to the dataset"
        )
    if header.time_source == "unknown" and dataset.interval_s is None and header.n_frames > 1:
        fatal.append(
            "the file does not say when its frames were taken; to do: add interval_s (seconds "
            "between frames) to the dataset"
        )
    fatal += _wrong_planes(config.copy_.z, header)
    problems = list(fatal)
    for step in config.steps:
        alone = len(config.datasets) == 1
        named = [fov for owner, fov in step.named_fovs() if owner == name or alone]
        problems += _outside(named, n_positions, f"steps.{step.name}.fov_args", "named", "fov_args")
    ranges = dataset.fovs or config.fovs
    wanted = range(n_positions) if ranges == "all" else parse_ranges(ranges)
    problems += _outside(wanted, n_positions, "fovs", "asked for", "the range fovs")
    return DatasetPlan(
        name=name,
        header=header,
        pc=pc,
        fl=fl,
        seg=seg,
        fovs=() if fatal else tuple(fov for fov in wanted if fov < n_positions),
        frames=frames,
        height=height,
        width=width,
        pixel_um=pixel_um,
        problems=tuple(problems),
    )


def _frames(frames: FramesConfig, n_frames: int) -> tuple[int, int, int]:
    wanted = range(n_frames) if frames.range == "all" else parse_ranges(frames.range, "frames")
    if n_frames < 1 or wanted[-1] >= n_frames:
        raise ConfigError(
            f"frames: {frames.range} asked for",
            found=f"{n_frames} frames in the file, counted from 0",
            remedy="correct the range frames",
        )
    return wanted[0], wanted[-1], frames.step


def _size(crop: CropConfig | None, header: RawHeader) -> tuple[int, int]:
    if crop is None:
        return header.height, header.width
    if crop.y1 > header.height or crop.x1 > header.width:
        raise ConfigError(
            f"copy.crop: y1 {crop.y1}, x1 {crop.x1} asked for",
            found=f"frames of {header.height} rows and {header.width} columns",
            remedy="give a rectangle inside the frame",
        )
    return crop.y1 - crop.y0, crop.x1 - crop.x0


def _wrong_planes(z: Any, header: RawHeader) -> Iterator[str]:
    for key, choice in z.items() if isinstance(z, dict) else [("", z)]:
        name = f"copy.z.{key}" if key else "copy.z"
        if isinstance(choice, int) and choice >= header.n_z:
            yield (
                f"{name}: plane {choice} asked for; found: {header.n_z} planes, counted from 0; "
                "to do: give a smaller index, middle, max or mean"
            )
        if key:
            try:
                find_channel(key, header.channels, name)
            except ConfigError as error:
                yield str(error)


def _outside(
    fovs: Iterable[int], n_positions: int, key: str, verb: str, remedy: str
) -> Iterator[str]:
    outside = [fov for fov in fovs if fov >= n_positions]
    if outside:
        yield (
            f"{key}: {format_ranges(outside)} {verb}; found: {n_positions} FOVs in the file, "
            f"counted from 0; to do: correct {remedy}"
        )


def resolve_channels(
    channels: ChannelsConfig, names: tuple[str, ...]
) -> tuple[int | None, tuple[int, ...], int]:
    """Return the indices of the phase, fluorescence and segmented channels.

    A reference is a channel's name first, then, if it is a number, its index.

    Raises ConfigError if a channel does not exist, a name is ambiguous, or a channel has two roles.
    """
    pc = None if channels.pc is None else find_channel(channels.pc, names, "channels.pc")
    if channels.fl == "all":
        fl = tuple(index for index in range(len(names)) if index != pc)
    else:
        fl = tuple(find_channel(ref, names, "channels.fl") for ref in channels.fl)
    if len(set(fl)) < len(fl) or pc in fl:
        raise ConfigError(
            "channels: a channel is named twice",
            found=f"pc {channels.pc}, fl {list(channels.fl)}; in the file: {_listed(names)}",
            remedy="name each channel once",
        )
    if channels.seg is not None:
        seg = find_channel(channels.seg, names, "channels.seg")
        if seg != pc and seg not in fl:
            raise ConfigError(
                f"channels.seg: {channels.seg!r} is neither pc nor one of fl",
                remedy="add it to channels.fl",
            )
    elif pc is not None:
        seg = pc
    else:
        raise ConfigError(
            "channels: no channel to find cells in",
            remedy="give channels.pc, or channels.seg as one of channels.fl",
        )
    return pc, fl, seg


def find_channel(ref: int | str, names: tuple[str, ...], key: str) -> int:
    """Return the index of the channel that `ref` names.

    Raises ConfigError, which names `key`, the channel, and the channels that there are.
    """
    text = str(ref)
    matches = [index for index, name in enumerate(names) if name == text]
    if not matches:
        matches = [i for i, name in enumerate(names) if name.casefold() == text.casefold()]
    if len(matches) == 1:
        return matches[0]
    if not matches and text.isdecimal() and int(text) < len(names):
        return int(text)
    what = "fits several channels" if matches else "is not in the file"
    raise ConfigError(
        f"{key}: the channel {ref!r} {what}",
        found=_listed(names),
        remedy="name one of these, by name or by index",
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"{index} = {name or 'unnamed'}" for index, name in enumerate(names))
