"""``fovflow simulate``: a movie with known truth."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

EXAMPLE = "fovflow simulate movie.nd2 --positions 3 --frames 24 --cells 30"

_OPTIONS = {
    "seed": (int, "seed: the same seed gives the same file"),
    "positions": (int, "number of fields of view"),
    "frames": (int, "number of frames"),
    "height": (int, "rows, in pixels"),
    "width": (int, "columns, in pixels"),
    "cells": (int, "cells per field of view"),
    "touching": (float, "share of the cells that touch a neighbour, 0 to 1"),
    "births": (int, "cells per field of view that appear"),
    "deaths": (int, "cells per field of view that disappear"),
    "divisions": (int, "divisions per field of view"),
    "shading": (float, "fall of the illumination towards the corners, 0 to 1"),
    "bleaching": (float, "share of the cells' light lost with each frame, 0 to 1"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    from fovflow.simulation import MovieParams

    defaults = MovieParams()
    parser.add_argument(
        "file",
        help="file to write: .nd2, .ome.tif, .tif, .ome.zarr or .czi; without a suffix a series",
    )
    parser.add_argument("--format", help="format, where the name does not tell it")
    for name, (kind, text) in _OPTIONS.items():
        default = getattr(defaults, name)
        parser.add_argument(
            f"--{name}", type=kind, default=default, help=f"{text} (default: {default})"
        )
    parser.add_argument("--truth", help="folder for masks, tracks and kinetics as simulated")


def main(arguments: argparse.Namespace) -> int:
    """Write the movie and its truth."""
    from fovflow.cli.simulating import write_simulation
    from fovflow.simulation import MovieParams

    params = dataclasses.replace(
        MovieParams(), **{name: getattr(arguments, name) for name in _OPTIONS}
    )
    truth = Path(arguments.truth) if arguments.truth else None
    written = write_simulation(params, Path(arguments.file), truth, arguments.format)
    more = f" and {len(written) - 1} more" if len(written) > 1 else ""
    print(f"movie: {written[0]}{more}")
    if truth is not None:
        print(f"truth: {truth}")
    return 0
