"""From the region of high local contrast to the cells' own outlines: take the halos off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.segmentation.objects import Mask, fill_small_holes
from fovflow.segmentation.pixels import disc, grow_within, odd_side
from fovflow.segmentation.sheet import Sheet

LEAST_NOISE = 3.0
"""A halo is at least so many noise standard deviations brighter than its surroundings."""

FOOT = 0.3
"""A halo's foot reaches down to this part of the brightness from which it is one."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Lengths (px, px²) of the halo removal.

    Attributes
    ----------
    fraction : float
        Brightness of a halo relative to the 95th percentile within the mask.
    halo : float
        Greatest width of a halo's foot.
    bright : float
        Bright regions in which a square of this side fits are cells and no halos.
    opening : float
        Radius below which what is left is no part of a cell.
    regrow : float
        Distance by which cells grow back towards their halos.
    hole : float
        Greatest hole that is filled.
    """

    fraction: float
    halo: float
    bright: float
    opening: float
    regrow: float
    hole: float

    @property
    def reach(self) -> int:
        """Distance in pixels over which the removal's filters reach."""
        return max(odd_side(self.bright) // 2, int(self.opening), 1)


def halo_brightness(
    relief: NDArray[np.float32], mask: Mask, noise: float, fraction: float
) -> float:
    """Return the brightness above the surroundings from which on a pixel of the mask is halo.

    It is `fraction` of the 95th percentile (the value of rank ⌊0.95·(n − 1)⌋ from 0) of the
    relief over the mask's pixels of even row and even column, and at least 3 times the noise.
    """
    values = relief[::2, ::2][mask[::2, ::2] > 0]
    least = LEAST_NOISE * noise
    if values.size == 0:
        return least
    rank = math.floor(0.95 * (values.size - 1))
    return max(least, fraction * float(np.partition(values, rank)[rank]))


def remove_halos(
    mask: Mask,
    relief: NDArray[np.float32],
    brightness: float,
    size: Outline,
    sheet: Sheet | None = None,
) -> Mask:
    """Take halos off a mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 or 1: cells with their halos.
    relief : numpy.ndarray
        (Y, X) float32, image minus its surroundings' level.
    brightness : float
        Relief above which a pixel is halo.
    sheet : Sheet, optional
        On which both lie, with a reach of at least `size.reach`; without it they are frames.
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
