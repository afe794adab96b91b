"""Planes of the raw file as frames: chosen along z, projected, cropped; and their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import RawReader
from fovflow.stages import FLAT_FIELD_FRAMES


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

    `p`, `t`, `c`: Position, frame and channel. `z`: plane index, the middle plane (index n_z // 2),
    or a projection. Means of integer types are rounded half to even.

    Returns
    -------
    numpy.ndarray
        (Y, X), the source's dtype.
    """
    n_z = raw.info.n_z
    if isinstance(z, int):
        return raw.read(p, t, c, z)
    if z == "middle" or n_z == 1:
        return raw.read(p, t, c, n_z // 2)
    first = raw.read(p, t, c, 0)
    if z == "max":
        highest = first.copy()
        for plane in range(1, n_z):
            np.maximum(highest, raw.read(p, t, c, plane), out=highest)
        return highest
    total = first.astype(np.float64)
    for plane in range(1, n_z):
        total += raw.read(p, t, c, plane)
    total /= n_z
    if first.dtype.kind in "iu":
        np.rint(total, out=total)
    return total.astype(first.dtype)


def crop_plane(plane: NDArray[Any], crop: dict[str, int] | None) -> NDArray[Any]:
    """Return the rectangle ``{y0, y1, x0, x1}`` of a plane; all of it for None."""
    if crop is None:
        return plane
    return np.ascontiguousarray(plane[crop["y0"] : crop["y1"], crop["x0"] : crop["x1"]])


def frame_table(
    raw: RawReader, p: int, frames: tuple[int, int, int], interval_s: float | None
) -> dict[str, NDArray[Any]]:
    """Return the table of one FOV's frames.

    `p`: position. `frames`: (first, last, step) in the raw file, last included. `interval_s`: the
    user's time between frames, in seconds, which wins over the file's.

    Returns
    -------
    dict of numpy.ndarray
        Columns ``frame``, ``source_frame``, ``time_s``, ``time_source`` (measured, nominal,
        config, unknown) and ``missing`` (announced by the file, but not in it).
    """
    first, last, step = frames
    source = np.arange(first, last + 1, step)
    times = raw.times(p)
    seconds: NDArray[Any] = times.seconds[source]
    origin = times.source
    if interval_s is not None:
        seconds, origin = source * float(interval_s), "config"
    missing = {t for q, t in raw.info.missing if q == p}
    return {
        "frame": np.arange(len(source)),
        "source_frame": source,
        "time_s": np.asarray(seconds, dtype=np.float64),
        "time_source": np.full(len(source), origin),
        "missing": np.array([int(t) in missing for t in source], dtype=bool),
    }


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
        if (p, t) in missing:
            continue
        try:
            plane = read_plane(raw, p, t, channel, z)
        except FovflowError as error:
            note(f"left out: {error}")
            continue
        yield crop_plane(plane, options["crop"])
