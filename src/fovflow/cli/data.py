"""Commands on raw data and on results for other programs: inspect, simulate, export."""

from __future__ import annotations

import argparse
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.cli.common import JSON, argument, command, flag, print_result
from fovflow.errors import ConfigError

if TYPE_CHECKING:
    from fovflow.simulation import MovieParams


@command(
    "fovflow inspect data/plate1.nd2",
    argument("file", nargs="+", help="raw file, OME-Zarr folder, or files of a TIFF series"),
    argument(
        "--pattern",
        action="append",
        help="for a series: such as '{position}/{channel}_{time}.tif'; several, if repeated",
    ),
    argument("--axes", help="what the axes of the file are, such as TCYX or z=time"),
    flag("--estimate", help="tell the memory, disk and files of a whole run"),
    JSON,
)
def inspect(
    file: list[str], pattern: list[str] | None, axes: str | None, estimate: bool, json: bool
) -> int:
    """Print what a raw file holds, and how the names of a series were read."""
    from fovflow.planning import resources
    from fovflow.readers import open_raw
    from fovflow.readers.describe import describe, format_description
    from fovflow.readers.locate import one_path

    path = one_path(file)
    patterns = pattern[0] if pattern and len(pattern) == 1 else pattern
    named = dict(each.split("=", 1) for each in axes.split(",")) if axes and "=" in axes else axes
    with open_raw(path, pattern=patterns, axes=named) as raw:
        description = describe(raw, path, patterns)
        info = raw.info
    found = resources.estimate(
        len(info.positions), info.n_frames, info.height, info.width, len(info.channels)
    )
    print_result(
        json,
        description | ({"estimate": found} if estimate else {}),
        lambda: [
            format_description(description),
            *(["", resources.format_estimate(found)] * estimate),
        ],
    )
    return 0


_OPTIONS = {
    "pixel_um": "edge length of a pixel, in µm",
    "seed": "seed: the same seed gives the same file",
    "positions": "number of fields of view",
    "frames": "number of frames",
    "height": "rows, in pixels",
    "width": "columns, in pixels",
    "cells": "cells per field of view",
    "touching": "share of the cells that touch a neighbour, 0 to 1",
    "births": "cells per field of view that appear",
    "deaths": "cells per field of view that disappear",
    "divisions": "divisions per field of view",
    "flat": "share of the cells that are thin and faint, 0 to 1",
    "rounded": "share of the cells that are round and bright, 0 to 1",
    "dirt": "flakes and rings of dirt per 100 µm × 100 µm",
    "scratches": "scratches per 100 µm × 100 µm",
    "focus_drift_px": "blur that each frame adds, in pixels",
    "phase_bits": "bits that are kept of phase frames; 0: all",
    "phase_jpeg": "quality of the JPEG compression of phase frames, 1 to 100; 0: none",
    "shading": "fall of the illumination towards the corners, 0 to 1",
    "bleaching": "share of the cells' light lost with each frame, 0 to 1",
    "replicates": "days on which each condition is seen",
    "day_spread": "logarithmic spread of kinetic parameters over the days",
    "fov_spread": "the same over fields of view",
}


def _movie_options(parser: argparse.ArgumentParser) -> None:
    from fovflow.simulation import PRESETS, MovieParams

    parser.add_argument("--preset", choices=PRESETS, help="settings in place of the defaults")
    defaults = MovieParams()
    for name, text in _OPTIONS.items():
        default = getattr(defaults, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=argparse.SUPPRESS,
            help=f"{text} (default: {default})",
        )


@command(
    "fovflow simulate movie.nd2 --positions 3 --frames 24 --cells 30",
    argument(
        "file",
        nargs="?",
        help="file to write: .nd2, .ome.tif, .tif, .ome.zarr or .czi; without a suffix a series",
    ),
    argument("--format", help="format, where the name does not tell it"),
    _movie_options,
    argument(
        "--conditions", nargs="+", default=[], metavar="NAME", help="conditions, side by side"
    ),
    argument(
        "--effect",
        dest="effects",
        action="append",
        default=[],
        metavar="CONDITION:NAME=FACTOR",
        help="what a condition does to a kinetic parameter: drug:ktl=0.6",
    ),
    argument(
        "--samples", metavar="FILE", help="table of the samples to write, such as samples.tsv"
    ),
    argument("--truth", help="folder for masks, tracks and kinetics as simulated"),
    argument("--like", metavar="RAW", help="measure this movie, and simulate movies like it"),
    argument("--fov", type=int, default=0, help="with --like: its FOV (default: 0)"),
    argument("--channel", default="0", help="with --like: its phase-contrast channel (default: 0)"),
    argument("--interval-s", type=float, help="with --like: seconds between frames, if unknown"),
    argument("--method", default="unet", help="with --like: of segmentation (default: unet)"),
    argument("--certificate", metavar="FILE", help="with --like: JSON file of what it found"),
    description="Write a simulated movie and its truth. With --like, frames of a movie of your own "
    "are measured, and how right results are is told from simulated movies that look like it.",
)
def simulate(
    file: str | None,
    *,
    like: str | None,
    fov: int,
    channel: str,
    interval_s: float | None,
    method: str,
    certificate: str | None,
    format: str | None,
    truth: str | None,
    samples: str | None,
    effects: list[str],
    preset: str | None,
    **settings: Any,
) -> int:
    """Write a simulated movie and its truth."""
    from fovflow.simulation import PRESETS, MovieParams, write_samples

    if like is not None:
        about = {"fov": fov, "channel": channel, "interval_s": interval_s}
        found = _certified(
            like, method, certificate, about | {"pixel_um": settings.get("pixel_um")}
        )
        settings = found["settings"] | settings
        if file is None:
            return 0
    elif file is None:
        raise ConfigError("which file to write is not told", remedy="fovflow simulate movie.nd2")
    settings = PRESETS.get(preset or "", {}) | settings
    params = MovieParams(**settings, effects=_effects(effects))
    written = write_simulation(params, Path(file), Path(truth) if truth else None, format)
    if samples:
        write_samples(params, samples)
        print(f"samples: {samples}")
    more = f" and {len(written) - 1} more" if len(written) > 1 else ""
    print(f"movie: {written[0]}{more}")
    if truth:
        print(f"truth: {Path(truth)}")
    return 0


def _certified(
    like: str, method: str, certificate: str | None, about: dict[str, Any]
) -> dict[str, Any]:
    """Measure a movie and movies simulated like it, print what was found, and write it."""
    from fovflow.accuracy.certificate import certify, format_certificate, read_sample
    from fovflow.records import write_json

    sample = read_sample(like, **about)
    found = {"of": Path(like).name, "fov": about["fov"], "method": method}
    found |= certify(sample, {"segment": {"method": method}})
    print("\n".join(format_certificate(found)))
    if certificate:
        write_json(certificate, found)
        print(f"\nwritten: {certificate}")
    return found


def _effects(given: list[str]) -> dict[str, dict[str, float]]:
    """Return factors by condition and parameter."""
    found: dict[str, dict[str, float]] = {}
    for text in given:
        match = re.fullmatch(r"(.+):(\w+)=([0-9.eE+-]+)", text)
        try:
            if match:
                found.setdefault(match[1], {})[match[2]] = float(match[3])
                continue
        except ValueError:
            pass
        raise ConfigError(f"--effect {text}: not understood", remedy="write drug:ktl=0.6")
    return found


def write_simulation(
    params: MovieParams, path: Path, truth: Path | None, format: str | None = None
) -> list[Path]:
    """Simulate a movie; write its raw file and, if a folder is given, its truth.

    How far that is shows on the terminal. The truth is written beside the movie, by a process of
    its own: both draw every frame's cells. Returns what the raw file consists of.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from fovflow.progress import Progress
    from fovflow.simulation import simulate, write_movie, write_truth
    from fovflow.simulation.containers import format_of

    movie, kind = simulate(params), format or format_of(path)  # before anything is written
    with ExitStack() as ends:
        beside = None
        if truth is not None:
            pool = ends.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            beside = pool.submit(write_truth, movie, truth)
        with Progress(params.positions * params.frames, "movie", unit="frame") as progress:
            written = write_movie(movie, path, kind, progress.count)
        if beside is not None:
            beside.result()
    return written
