"""How right a result can be for one experiment: movies simulated like it, and measured."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.accuracy.measuring import Followed, Known, Options, follow, measure, summed
from fovflow.accuracy.realism import looks, pixel_noise
from fovflow.errors import ConfigError, FovflowError
from fovflow.simulation import PRESETS, MovieParams, simulate

_FRAMES, _SIDE = 12, 1024
"""Frames that are looked at, and the edge of the square in the middle of them (px)."""
_SIMULATED, _SIMULATED_SIDE = 16, 640
_ROUNDS = 4
"""Rounds in which the looks of simulated frames are brought near those of real ones."""
_LEAST_CELLS = 3


@dataclass(frozen=True)
class Sample:
    """Some frames of a user's movie."""

    frames: list[NDArray[Any]]
    """(C, Y, X), phase contrast first, at most one fluorescence channel."""
    pixel_um: float
    interval_s: float


def read_sample(
    path: str | os.PathLike[str],
    *,
    fov: int = 0,
    channel: str | int = 0,
    pixel_um: float | None = None,
    interval_s: float | None = None,
) -> Sample:
    """Read consecutive frames of one FOV, at most 1024 × 1024 px of their middle.

    Parameters
    ----------
    path : path-like
        Raw data.
    fov : int
    channel : str or int
        Name or index of the phase-contrast channel.
    pixel_um, interval_s : float, optional
        What the file does not tell.

    Raises
    ------
    ConfigError
        If FOV or channel are not there, or the size of a pixel or the interval is not known.
    """
    from fovflow.readers import open_raw

    with open_raw(path) as raw:
        info = raw.info
        names = [each.name for each in info.channels]
        by_name = {name: c for c, name in enumerate(names)} | {str(c): c for c in range(len(names))}
        phase = by_name.get(str(channel), -1)
        if not (0 <= fov < len(info.positions) and 0 <= phase < len(names)):
            raise ConfigError(
                f"{path}: no FOV {fov} with a channel {channel}",
                found=f"{len(info.positions)} FOVs, channels {', '.join(map(repr, names))}",
            )
        seconds = raw.times(fov).seconds
        steps = np.diff(seconds[np.isfinite(seconds)])
        interval_s = interval_s or (float(np.median(steps)) if steps.size else 0.0)
        pixel_um = pixel_um or info.pixel_um
        for value, what, option in (
            (pixel_um, "size of a pixel", "--pixel-um"),
            (interval_s, "interval of the frames", "--interval-s"),
        ):
            if not value or not value > 0:
                raise ConfigError(f"{path} does not tell the {what}", remedy=f"give {option}")
        absent = {t for p, t in info.missing if p == fov}
        held = [t for t in range(info.n_frames) if t not in absent][:_FRAMES]
        used = [phase, *[c for c in range(len(names)) if c != phase][:1]]
        rows, cols = (
            slice((size - min(size, _SIDE)) // 2, (size + min(size, _SIDE)) // 2)
            for size in (info.height, info.width)
        )
        z = info.n_z // 2
        frames = [np.stack([raw.read(fov, t, c, z)[rows, cols] for c in used]) for t in held]
    return Sample(frames, float(pixel_um or 0), interval_s)


def certify(sample: Sample, options: Options, movies: int = 2) -> dict[str, Any]:
    """Simulate movies like a sample, and measure how right their results are.

    Returns
    -------
    dict
        ``cells``: what was measured of the sample's cells; ``looks``: what its frames and the
        simulated ones look like (see `looks`); ``settings``: of the simulated movies;
        ``figures``: how right results on them are (see `summed`).

    Raises
    ------
    FovflowError
        If there are too few cells to measure.
    """
    followed = follow(sample.frames, sample.pixel_um, options)
    mine = looks((f[0] for f in sample.frames), followed.labeled, sample.pixel_um)
    if not all(map(math.isfinite, mine.values())):
        raise FovflowError(
            "movies like this one cannot be simulated",
            found="no cell with background around it, or no background 12 µm away from cells",
            remedy="try another --method or --fov",
        )
    params, theirs = _brought_near(params_like(sample, followed, mine), mine)
    seeds = range(1, movies + 1)
    known = (Known.simulated(simulate(replace(params, seed=seed))) for seed in seeds)
    counted = {
        "per frame": len(followed.rows["cell"]) / len(sample.frames),
        "radius (µm)": params.cell_radius_um,
        "long over short axis": params.elongation,
        "touching another": params.touching,
        "speed (µm/h)": params.speed_um_h,
    }
    return {
        "cells": counted,
        "looks": {"measured": mine, "simulated": theirs},
        "settings": params.to_dict(),
        "figures": summed([measure(each, options) for each in known]),
    }


def format_certificate(found: Mapping[str, Any]) -> list[str]:
    """Return what `certify` found as lines of text."""
    f, q = found["figures"], found["settings"]
    where = "{of}, FOV {fov}: cells found by {method}:"
    lines = [where.format_map(found) if "of" in found else "cells found:"]
    lines += [f"  {name:<22}{value:8.3g}" for name, value in found["cells"].items()]
    lines += ["", f"  {'what frames look like':<22}{'measured':>10}{'simulated':>11}"]
    mine, theirs = found["looks"]["measured"], found["looks"]["simulated"]
    lines += [f"  {name:<22}{value:10.3f}{theirs[name]:11.3f}" for name, value in mine.items()]
    each = f"{f['frames']:.0f} frames in movies of {q['frames']}"
    lines += ["", f"how right results are on simulated movies like this one ({each}):"]
    told = {
        "SEG": f"{f['SEG']:.3f}",
        "F1": f"{f['F1']:.3f}",
        "TRA": f"{f['TRA']:.3f}",
        "complete tracks": f"{f['tracks complete']:.0f} of {f['tracks']:.0f}",
        "divisions": f"{f['divisions matched']:.0f} of {f['divisions']:.0f}, "
        f"{f['divisions found']:.0f} found",
        "good rows": f"{f['good rows %']:.1f} %",
        "wrong among good rows": f"{f.get('wrong among good %', math.nan):.1f} %",
        "frames flagged": f"{f['frames flagged']:.0f} of {f['frames']:.0f}, "
        f"{f.get('frames noted', 0):.0f} noted",
    }
    if "intensity bias" in f:
        told["intensity, median error"] = f"{f['intensity error']:.1%}"
        told["intensity, bias"] = f"{f['intensity bias']:+.1%}"
    return [*lines, *(f"  {name:<26}{text}" for name, text in told.items())]


def params_like(sample: Sample, followed: Followed, target: Mapping[str, float]) -> MovieParams:
    """Return settings of movies like the sample: what is counted and measured of its cells.

    Raises
    ------
    FovflowError
        If there are too few cells to measure.
    """
    labeled, um, rows = followed.labeled, sample.pixel_um, followed.rows
    sides = np.array(labeled.shape[1:])
    whole = (rows["bbox_x0"] > 0) & (rows["bbox_y0"] > 0)
    whole &= (rows["bbox_x1"] < sides[1] - 1) & (rows["bbox_y1"] < sides[0] - 1)
    if whole.sum() < _LEAST_CELLS * len(labeled):
        raise FovflowError(
            "too few cells were found to simulate movies like this one",
            found=f"{whole.sum()} in {len(labeled)} frames",
            remedy="try another --method or --fov; `fovflow inspect` shows what the file holds",
        )
    radius = np.sqrt(rows["area_ch_0"][whole] / np.pi)
    height, width = (int(side) for side in np.minimum(sides, _SIMULATED_SIDE))
    share = height * width / np.prod(sides)
    room = 0.6 * height * width / (np.pi * np.median(radius) ** 2)
    cells = int(np.clip(len(rows["cell"]) / len(labeled) * share, 2, max(room, 2)))
    touching, colonies = _contacts(labeled)
    speed, persistence, drift = _motion(rows)
    light = _light(sample, rows)
    ragged = 1.0 - float(np.median(rows["solidity_ch_0"][whole]))
    cells_like = {
        "cells": cells,
        "cell_radius_um": float(np.median(radius)) * um,
        "size_spread": float(np.clip(np.std(np.log(radius)), 0.05, 0.5)),
        "elongation": float(max(1.0, np.median(rows["aspect_ratio_ch_0"][whole]))),
        "roughness": float(np.clip(1.4 * (ragged - 0.02), 0.05, 0.2)),
        "processes": float(np.clip(17.5 * (ragged - 0.05), 0.0, 2.5)),
        "touching": touching,
        "colonies": colonies,
        "divisions": 1 + cells // 20,
        "speed_um_h": speed * um * 3600.0 / sample.interval_s,
        "persistence": persistence,
        "drift_px": drift,
    }
    frames_like = {
        "frames": _SIMULATED,
        "height": height,
        "width": width,
        "pixel_um": um,
        "interval_s": sample.interval_s,
        "unevenness": target["unevenness"],
        "vignetting": 0.0,
        "defocus_px": 0.0,
        "scratches": 0.0,
        "grain": 0.25 * target["background SD"],
        "phase_level": light["read_noise"] / max(target["noise"], 1e-3),
        "shot_noise": False,
        "bit_depth": 16,
        "camera_offset": 0.0,
    }
    return MovieParams(**PRESETS["realistic"] | light | cells_like | frames_like)


def _contacts(labeled: NDArray[Any]) -> tuple[float, int]:
    """Return the share of cells within 2 px of others, and their groups' mean size beyond two."""
    import cv2

    alone = grouped = groups = 0
    for frame in labeled[:: max(1, len(labeled) // 3)]:
        near = cv2.dilate((frame > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
        _, parts = cv2.connectedComponents(near)
        pairs = np.unique(np.stack([parts[frame > 0], frame[frame > 0]]), axis=1)
        members = np.unique(pairs[0], return_counts=True)[1]
        alone += int((members == 1).sum())
        groups += int((members > 1).sum())
        grouped += int(members[members > 1].sum())
    size = grouped / groups if groups else 2.0
    return grouped / max(alone + grouped, 1), max(0, round(size - 2))


def _motion(rows: Mapping[str, NDArray[Any]]) -> tuple[float, float, tuple[float, float]]:
    """Return rms speed (px per frame), its persistence, and the drift of the stage (px)."""
    place = np.stack([rows["position_x"], rows["position_y"]], axis=1)
    follows = (np.diff(rows["cell"]) == 0) & (np.diff(rows["frame"]) == 1)
    steps = np.diff(place, axis=0)
    if not follows.any():
        return 0.0, 0.8, (0.0, 0.0)
    drift = np.median(steps[follows], axis=0)
    steps = steps - drift
    length = np.hypot(*steps.T)
    usual = follows & (length <= np.quantile(length[follows], 0.95))  # the rest are mostly errors
    twice = usual[1:] & usual[:-1]
    speed = float(np.sqrt(np.mean(length[usual] ** 2)))
    along = float((steps[1:] * steps[:-1]).sum(1)[twice].mean()) if twice.any() else 0.0
    persistence = float(np.clip(along / max(speed**2, 1e-9), 0.0, 0.95))
    return speed, persistence, (float(-drift[0]), float(-drift[1]))


def _light(sample: Sample, rows: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the settings of the fluorescence and of the camera's noise."""
    if len(sample.frames[0]) < 2:
        return {"channels": ("Phase",), "read_noise": 10.0}
    total = rows["intensity_total_ch_1"]
    lit = total[total > 0.1 * np.percentile(total, 95)]
    noise = [pixel_noise(frame[1], np.ones(frame[1].shape, bool)) for frame in sample.frames]
    return {
        "channels": ("Phase", "Fluorescence"),
        "brightness": float(max(np.median(lit) if lit.size else 0.0, 100.0)),
        "brightness_spread": float(np.clip(np.std(np.log(lit[lit > 0])), 0.1, 1.5)),
        "expressing": float(lit.size / max(total.size, 1)),
        "onset_h": (-24.0, -8.0),
        "background_level": float(np.median(rows["background_mean_ch_1"])),
        "read_noise": float(max(np.median(noise), 0.3)),
    }


def _brought_near(
    params: MovieParams, target: Mapping[str, float]
) -> tuple[MovieParams, dict[str, float]]:
    """Change contrast, halo and dirt until simulated frames look like the sample's."""
    best, error = (params, dict[str, float]()), math.inf
    for _ in range(_ROUNDS):
        movie = simulate(replace(params, frames=1, divisions=0))
        found = looks([movie.frame(0, 0)[0]], [movie.masks(0, 0)], params.pixel_um)
        ratio = {name: _ratio(target, found, name) for name in target}
        off = sum(abs(math.log(ratio[n])) for n in ("halo", "texture", "background SD"))
        off += 5 * abs(target["inside"] - found["inside"])
        if off < error:
            best, error = (params, found), off
        stronger = float(np.clip(math.sqrt(ratio["halo"] * ratio["texture"]), 0.5, 2.0))
        dirtier = float(np.clip(ratio["background SD"] ** 2, 0.1, 4.0))
        shade = params.shade_off + (target["inside"] - found["inside"]) / 2
        params = replace(
            params,
            phase_contrast=min(params.phase_contrast * stronger, 4.0),
            shade_off=float(np.clip(shade, 0.7, 1.1)),
            dirt=min(params.dirt * dirtier, 100.0),
            debris=min(params.debris * dirtier, 100.0),
        )
    return best


def _ratio(target: Mapping[str, float], found: Mapping[str, float], name: str) -> float:
    """Return how much stronger an effect is in the target: its part beyond what is always there."""
    values = []
    for each in (target, found):
        if name == "halo":
            values.append(each["halo"] - 1.0)
        elif name == "background SD":
            values.append(math.sqrt(max(each[name] ** 2 - each["noise"] ** 2, 0.0)))
        else:
            values.append(each[name])
    return max(values[0], 1e-3) / max(values[1], 1e-3)
