"""Halos of phase contrast: the surroundings' level, how bright halos are, and their removal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.segmentation.masks import Mask, disc, fill_small_holes, grow_within, odd_side
from fovflow.segmentation.sheet import Sheet

LEAST_NOISE = 3.0
"""A halo is at least so many noise standard deviations brighter than its surroundings."""

FOOT = 0.3
"""A halo's foot reaches down to this part of the brightness from which it is one."""


OWN = 0.7
"""Exponent with which a cell's own halo counts, against those of all cells of the frame."""

PALEST = 0.3
"""Least brightness of a cell's halo, in that of all, that is reckoned with."""

FEWEST_PIXELS = 8
"""Of fewer pixels nobody knows how bright a halo is."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Lengths (px, px²) of the halo removal."""

    fraction: float
    """Brightness of a halo relative to the 95th percentile within the mask."""
    halo: float
    """Greatest width of a halo's foot."""
    bright: float
    """Bright regions in which a square of this side fits are cells and no halos."""
    opening: float
    """Radius below which what is left is no part of a cell."""
    regrow: float
    """Distance by which cells grow back towards their halos."""
    hole: float
    """Greatest hole that is filled."""

    @property
    def reach(self) -> int:
        """Distance in pixels over which the removal's filters reach."""
        return max(odd_side(self.bright) // 2, int(self.opening), 1)


def relief_range(relief: NDArray[np.float32], mask: Mask) -> tuple[float, float]:
    """Return how dark cells and how bright halos are: 5th and 95th percentile of the relief.

    The values of rank ⌊0.05·(n − 1)⌋ and ⌊0.95·(n − 1)⌋, from 0, over the mask's pixels of even row
    and even column; both 0 where there are none.
    """
    values = relief[::2, ::2][mask[::2, ::2] > 0]
    if values.size == 0:
        return 0.0, 0.0
    low, high = (math.floor(share * (values.size - 1)) for share in (0.05, 0.95))
    ranked = np.partition(values, (low, high))
    return float(ranked[low]), float(ranked[high])


def even_halos(relief: NDArray[np.float32], mask: Mask, least: float) -> NDArray[np.float32]:
    """Return the relief, divided so that pale cells have about as bright halos as the others.

    Weak halos of pale cells would else stay on, beside dark or round cells with strong ones. A
    component's halo is as bright as the mean of its positive relief, on pixels of even row and even
    column. Where that is below the mean of all components, its relief is divided by the ratio of
    both, raised to `OWN`, at least `least`.
    """
    n, component = cv2.connectedComponents(mask, connectivity=8)
    parts, values = component[::2, ::2], relief[::2, ::2]
    use = (parts > 0) & (values > 0)
    count = np.bincount(parts[use], minlength=n)
    total = np.bincount(parts[use], values[use], minlength=n)
    known = count >= FEWEST_PIXELS
    scale = np.ones(n, np.float32)
    ratio = total[known] / count[known] / (total.sum() / max(1, count.sum()))
    scale[known] = np.clip(ratio**OWN, max(least, PALEST), 1)
    return np.asarray(relief / scale[component])


def remove_halos(
    mask: Mask,
    relief: NDArray[np.float32],
    brightness: float,
    size: Outline,
    sheet: Sheet | None = None,
) -> Mask:
    """Take halos off a mask of cells with their halos.

    `relief`: (Y, X) float32, image minus its surroundings' level; above `brightness` a pixel is
    halo. `sheet`: on which mask and relief lie, with a reach of at least `size.reach`; without it
    they are frames.
    """
    sheet = sheet or Sheet.of_frame(mask.shape)
    halo = _above(relief, brightness, mask)
    square = np.ones((odd_side(size.bright),) * 2, np.uint8)
    core = sheet.erode(halo, square)
    if cv2.countNonZero(core):
        halo &= 1 - np.asarray(cv2.dilate(core, square))
    removed = grow_within(halo, _above(relief, FOOT * brightness, mask), round(size.halo))
    cells = fill_small_holes(mask - removed, size.hole)
    cells = sheet.open(cells, disc(size.opening))
    return grow_within(cells, mask - halo, round(size.regrow))


def _above(relief: NDArray[np.float32], level: float, mask: Mask) -> Mask:
    above = (relief > np.float32(level)).view(np.uint8)
    above &= mask
    return above


_BLOCKS = 5
_LEAST = 1e-3
_STRIP = 8


def surroundings(
    image: NDArray[Any],
    mask: NDArray[np.uint8],
    block: int,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the mean of the unmasked pixels near each pixel, (Y, X) float32.

    The frame is cut into blocks of `block` × `block` px from its first pixel on; the last ones may
    be partly outside. For each block the sum of the unmasked values and the number of unmasked
    pixels are added up over 5 × 5 blocks (nothing beyond the ends). Sums and numbers, each over
    5² · block², with 10⁻³ of the mean of all unmasked pixels (of all pixels where none is
    unmasked) added, give the block's level, and levels are interpolated bilinearly between block
    centres and held beyond the outermost. `out` is a (Y, X) array that may be written to and
    returned.
    """
    height, width = image.shape
    bottom, right = -height % block, -width % block
    grid = ((width + right) // block, (height + bottom) // block)

    numbers, sums = np.empty(grid[::-1]), np.empty(grid[::-1])
    dilated = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    for row in range(0, grid[1], _STRIP):  # strips stay in the processor's cache
        rows = slice(row, min(row + _STRIP, grid[1]))
        strip = slice(row * block, min(rows.stop * block, height))
        free = (1 - dilated[strip]).astype(np.float32)
        values = cv2.multiply(image[strip], free, dtype=cv2.CV_32F)
        for target, part in ((numbers, free), (sums, values)):
            below = rows.stop * block - strip.stop
            whole: Any = part
            if below or right:
                whole = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
            size = (grid[0], rows.stop - rows.start)
            target[rows] = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    total = float(numbers.sum())
    mean = float(sums.sum()) / total if total > 0 else float(cv2.mean(image)[0])
    levels = (_near(sums) + _LEAST * mean) / (_near(numbers) + _LEAST)
    full = cv2.resize(
        levels.astype(np.float32),
        (width + right, height + bottom),
        dst=None if bottom or right else out,
        interpolation=cv2.INTER_LINEAR,
    )
    return np.asarray(full[:height, :width])


def _near(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    size = (_BLOCKS, _BLOCKS)
    return np.asarray(cv2.boxFilter(blocks, cv2.CV_64F, size, borderType=cv2.BORDER_CONSTANT))
