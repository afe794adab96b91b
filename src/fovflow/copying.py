"""Planes of the raw file as frames: chosen along z, projected, cropped; and their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.stages import FLAT_FIELD_FRAMES

if TYPE_CHECKING:
    from fovflow.readers.base import RawReader

OF_TIMES = frozenset({"interval_s"})
"""Parameters of copying that change the table of times, and no pixels."""


def choose_z(choice: int | str | dict[str, int | str], index: int, name: str) -> int | str:
    """Return the z choice of one channel.

    `choice`: a choice for all channels, or choices by channel name or index; channels that a
    mapping does not name take ``"middle"``. `index`, `name`: the channel.
    """
    if not isinstance(choice, dict):
        return choice
    folded = {key.casefold(): value for key, value in choice.items()}
    return folded.get(name.casefold() or str(index), folded.get(str(index), "middle"))


def read_plane(raw: RawReader, p: int, t: int, c: int, z: int | str = "middle") -> NDArray[Any]:
    """Read one (Y, X) plane, projected along z where asked for.

    `p`, `t`, `c`: Position, frame and channel. `z`: plane index, the middle plane (index n // 2 of
    the n planes that are there), or a projection. Means of integer types are rounded half to even.

    Returns
    -------
    numpy.ndarray
        (Y, X), the source's dtype.
    """
    if isinstance(z, int):
        return raw.read(p, t, c, z)
    lacking = absent_planes(raw)
    planes = [i for i in range(raw.info.n_z) if (p, t, c, i) not in lacking] or [0]
    if z == "middle" or len(planes) == 1:
        return raw.read(p, t, c, planes[len(planes) // 2])
    first = raw.read(p, t, c, planes[0])
    if z == "max":
        highest = first.copy()
        for plane in planes[1:]:
            np.maximum(highest, raw.read(p, t, c, plane), out=highest)
        return highest
    total = first.astype(np.float64)
    for plane in planes[1:]:
        total += raw.read(p, t, c, plane)
    total /= len(planes)
    if first.dtype.kind in "iu":
        np.rint(total, out=total)
    return total.astype(first.dtype)


_absent: tuple[tuple[Any, ...], frozenset[tuple[int, ...]]] = (), frozenset()


def absent_planes(raw: RawReader) -> frozenset[tuple[int, ...]]:
    """Return (position, frame, channel, z) of the planes that single frames lack."""
    global _absent  # noqa: PLW0603  (of the file at work; asked for every plane)
    missing = raw.info.missing_planes
    if _absent[0] is not missing:
        _absent = missing, frozenset(missing)
    return _absent[1]


def lacks_channel(raw: RawReader, p: int, t: int, c: int, z: int | str = "middle") -> bool:
    """Tell whether a frame is there, but not what the z choice `z` takes of channel `c`."""
    wanted = [z] if isinstance(z, int) else range(raw.info.n_z)
    lacking = absent_planes(raw)
    return bool(lacking) and all((p, t, c, i) in lacking for i in wanted)


def crop_plane(plane: NDArray[Any], crop: dict[str, int] | None) -> NDArray[Any]:
    """Return the rectangle ``{y0, y1, x0, x1}`` of a plane; all of it for None."""
    if crop is None:
        return plane
    return np.ascontiguousarray(plane[crop["y0"] : crop["y1"], crop["x0"] : crop["x1"]])


def read_frame(raw: RawReader, p: int, t: int, c: int, options: Mapping[str, Any]) -> NDArray[Any]:
    """Return a frame as the copied stack has it: chosen along z, projected, cropped.

    `p`, `t`, `c`: position, frame and channel. `options`: the step's parameters ``z`` and ``crop``.
    """
    z = choose_z(options["z"], c, raw.info.channels[c].name)
    return crop_plane(read_plane(raw, p, t, c, z), options["crop"])


def frame_table(
    raw: RawReader,
    p: int,
    frames: tuple[int, int, int],
    interval_s: float | None,
    planes: Mapping[int, int | str] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return the table of one FOV's frames.

    `p`: position. `frames`: (first, last, step) in the raw file, last included. `interval_s`: the
    user's time between frames, in seconds, which wins over the file's. `planes`: the channels and
    their z choices.

    Returns
    -------
    dict of numpy.ndarray
        Columns ``frame``, ``source_frame``, ``time_s``, ``time_source`` (measured, nominal,
        config, unknown) and ``missing`` (announced by the file, but not in it). Where frames lack
        single channels, ``missing_channels`` names them (``ch_1``), joined by ``;``.
    """
    first, last, step = frames
    source = np.arange(first, last + 1, step)
    times = raw.times(p)
    if times.source == "unknown" != raw.info.time_source and interval_s is None:
        raise FovflowError(
            f"the frames of position {p} have no usable times",
            found="time stamps that do not rise from frame to frame, or a file without one",
            remedy="add interval_s (seconds between frames) to the dataset",
        )
    missing = {t for q, t in raw.info.missing if q == p}
    table: dict[str, NDArray[Any]] = {
        "frame": np.arange(len(source)),
        "source_frame": source,
        "time_s": np.asarray(times.seconds[source], dtype=np.float64),
        "time_source": np.full(len(source), times.source),
        "missing": np.array([int(t) in missing for t in source], dtype=bool),
    }
    lacking = [
        ";".join(
            f"ch_{c}" for c, z in (planes or {}).items() if lacks_channel(raw, p, int(t), c, z)
        )
        for t in source
    ]
    if any(lacking):
        table["missing_channels"] = np.array(lacking, dtype=object)
    return table if interval_s is None else retimed(table, interval_s)


def retimed(table: Mapping[str, NDArray[Any]], interval_s: float) -> dict[str, NDArray[Any]]:
    """Return a `frame_table` with another time between frames, in seconds, of the user's."""
    seconds = np.asarray(table["source_frame"] * float(interval_s), dtype=np.float64)
    return {**table, "time_s": seconds, "time_source": np.full(len(seconds), "config")}


def missing_frames(times: Mapping[str, NDArray[Any]], channel: int) -> NDArray[np.bool_]:
    """Return which frames of an FOV a channel lacks, from the `frame_table`."""
    lacking: NDArray[np.bool_] = np.asarray(times["missing"], bool)
    texts = times.get("missing_channels")
    if texts is None:
        return lacking
    listed = [f"ch_{channel}" in str(text).split(";") for text in texts]
    return np.asarray(lacking | np.array(listed, bool))


def sampled_frames(
    raw: RawReader, channel: int, options: Mapping[str, Any], note: Callable[[str], None]
) -> Iterator[NDArray[Any]]:
    """Yield at most `FLAT_FIELD_FRAMES` frames of a channel, spread evenly over FOVs and time.

    Missing frames and frames that cannot be read are left out; `note` is told of the latter.
    """
    first, last, step = options["frames"]
    positions = range(len(raw.info.positions))
    per_fov = max(1, FLAT_FIELD_FRAMES // len(positions))
    source = range(first, last + 1, step)
    chosen = sorted({round(i) for i in np.linspace(0, len(source) - 1, min(per_fov, len(source)))})
    stride = -(-len(positions) * len(chosen) // FLAT_FIELD_FRAMES)
    pairs = [(p, source[i]) for p in positions for i in chosen][::stride]
    missing = set(raw.info.missing)
    z = choose_z(options["z"], channel, raw.info.channels[channel].name)
    for p, t in pairs:
        if (p, t) in missing or lacks_channel(raw, p, t, channel, z):
            continue
        try:
            frame = read_frame(raw, p, t, channel, options)
        except FovflowError as error:
            note(f"left out: {error}")
            continue
        yield frame
