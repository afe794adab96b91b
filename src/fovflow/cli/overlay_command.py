"""``fovflow overlay``: pictures of the cells that were found."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.errors import ConfigError, FovflowError
from fovflow.units import parse_ranges

if TYPE_CHECKING:
    from fovflow.results import FovResult

EXAMPLE = "fovflow overlay results/plate1 --fovs 0,3 --frames 0,10,20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument("folder", help="result folder of a dataset")
    parser.add_argument("--fovs", default="0", help='FOVs, such as "0-3" (default: 0)')
    parser.add_argument("--frames", help='frames, such as "0,10" (default: first, middle, last)')
    parser.add_argument("--channel", type=int, help="channel to draw on (default: phase contrast)")
    parser.add_argument("--out", help="folder for the pictures (default: FOLDER/overlays)")


def main(arguments: argparse.Namespace) -> int:
    """Write one PNG per FOV and frame."""
    from fovflow.overlay import draw_overlay, first_middle_last, write_png
    from fovflow.results import load_results

    results = load_results(arguments.folder)
    out = Path(arguments.out) if arguments.out else results.folder / "overlays"
    for index in parse_ranges(arguments.fovs, "--fovs"):
        fov = results.fovs.get(index)
        if fov is None:
            raise ConfigError(
                f"--fovs: there is no FOV {index}", found=", ".join(map(str, results.fovs))
            )
        kind = "seg_labeled" if "seg_labeled" in fov.stacks else "seg"
        labels = fov.stack(kind)
        images = _images(fov, arguments.channel)
        frames = (
            parse_ranges(arguments.frames, "--frames")
            if arguments.frames
            else first_middle_last(range(len(labels)))
        )
        for t in frames:
            if t >= len(labels):
                raise ConfigError(f"--frames: no frame {t}", found=f"{len(labels)} frames")
            path = out / f"{results.dataset}_fov_{index:03d}_frame_{t:04d}.png"
            write_png(path, draw_overlay(images[t], labels[t]))
            print(path)
    return 0


def _images(fov: FovResult, channel: int | None) -> Any:
    """Return the stack to draw on: the phase contrast, or the channel that was asked for."""
    if channel is None and fov.stacks.get("pc"):
        return fov.stack("pc")
    for kind in ("pc", "fl"):
        if channel in fov.stacks.get(kind, {}) or (channel is None and fov.stacks.get(kind)):
            first = next(iter(fov.stacks[kind])) if channel is None else channel
            return fov.stack(kind, first)
    raise FovflowError(
        f"FOV {fov.index} has no image stack{'' if channel is None else f' of channel {channel}'}",
        remedy="keep the pc or fl stacks (config: keep), or choose another --channel",
    )
