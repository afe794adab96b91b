"""Movies to measure with: simulated frames, shown back and forth for as long as it takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.simulation import MovieParams, simulate
from fovflow.simulation.containers import write_nd2

CHANNELS = ("Phase", "GFP")
RENDERED = 8
"""Frames that are rendered at most; a longer movie shows them forwards and backwards."""

Image = NDArray[np.uint16]


@dataclass(frozen=True)
class Scene:
    """How large a movie is.

    Attributes
    ----------
    size : int
        Rows and columns of a frame (px).
    cells : int
        Cells per frame.
    frames, fovs : int
    """

    size: int
    cells: int
    frames: int
    fovs: int = 1

    @property
    def raw_bytes(self) -> int:
        """Pixels of the raw file."""
        return self.size * self.size * 2 * len(CHANNELS) * self.frames * self.fovs

    @property
    def result_bytes(self) -> int:
        """Pixels of all stacks: raw, labels twice, float32."""
        return self.raw_bytes * 3


def cells_of(size: int) -> int:
    """Return the number of cells of a frame as crowded as 2048 x 2048 with 200 cells."""
    return max(3, round(200 * (size / 2048) ** 2))


@lru_cache(maxsize=1)
def rendered(size: int, cells: int, frames: int) -> list[Image]:
    """Return (C, Y, X) frames of one FOV."""
    divisions = min(4, cells // 20)
    params = MovieParams(
        seed=1, frames=frames, height=size, width=size, cells=cells, divisions=divisions
    )
    movie = simulate(params)
    return [movie.frame(0, t) for t in range(frames)]


def back_and_forth(t: int, length: int) -> int:
    """Return which of `length` frames is shown at time `t`.

    Examples
    --------
    >>> [back_and_forth(t, 3) for t in range(8)]
    [0, 1, 2, 1, 0, 1, 2, 1]
    """
    if length == 1:
        return 0
    return length - 1 - abs(length - 1 - t % (2 * (length - 1)))


def write_raw(scene: Scene, path: Path) -> None:
    """Write an ND2 file; each FOV is the same scene, moved by some pixels."""
    images = rendered(scene.size, scene.cells, min(scene.frames, RENDERED))

    def frame(p: int, t: int) -> Image:
        image = images[back_and_forth(t, len(images))]
        return np.ascontiguousarray(np.roll(image, 7 * p, axis=-1)) if p else image

    path.parent.mkdir(parents=True, exist_ok=True)
    times = 600.0 * np.arange(scene.frames)[:, None] + 2.0 * np.arange(scene.fovs)
    positions = [(1000.0 * p, 0.0, f"A{p + 1}") for p in range(scene.fovs)]
    write_nd2(
        path,
        frame,
        channels=CHANNELS,
        pixel_um=MovieParams().pixel_um,
        shape=(scene.frames, scene.fovs, len(CHANNELS), scene.size, scene.size),
        positions=positions,
        times_s=times,
        period_s=600.0,
    )


def stacks(scene: Scene) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return phase contrast and fluorescence of one FOV, each (T, Y, X) uint16."""
    images = rendered(scene.size, scene.cells, min(scene.frames, RENDERED))
    chosen = [images[back_and_forth(t, len(images))] for t in range(scene.frames)]
    return np.stack([i[0] for i in chosen]), np.stack([i[1] for i in chosen])
