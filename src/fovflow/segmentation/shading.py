"""Grey level of the surroundings, from the pixels outside a mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_BLOCKS = 5
_LEAST = 1e-3


def surroundings(image: NDArray[Any], mask: NDArray[np.uint8], block: int) -> NDArray[np.float32]:
    """Return the mean of the unmasked pixels near each pixel, (Y, X) float32.

    The frame is cut into blocks of `block` × `block` px from its first pixel on; the last ones may
    be partly outside. For each block the sum of the unmasked values and the number of unmasked
    pixels are added up over 5 × 5 blocks (nothing beyond the ends). Sums and numbers, each over
    5² · block², with 10⁻³ of the mean of all unmasked pixels (of all pixels where none is
    unmasked) added, give the block's level, and levels are interpolated bilinearly between block
    centres and held beyond the outermost.
    """
    height, width = image.shape
    bottom, right = -height % block, -width % block
    grid = ((width + right) // block, (height + bottom) // block)

    def block_means(part: NDArray[np.float32]) -> NDArray[np.float64]:
        if bottom or right:
            part = cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0)
        return np.asarray(cv2.resize(part, grid, interpolation=cv2.INTER_AREA), np.float64)

    free = cv2.compare(cv2.dilate(mask, np.ones((3, 3), np.uint8)), 0, cv2.CMP_EQ)
    numbers = block_means(cv2.convertScaleAbs(free, alpha=1 / 255).astype(np.float32))
    sums = block_means(cv2.bitwise_and(image, image, mask=free).astype(np.float32))
    total = float(numbers.sum())
    mean = float(sums.sum()) / total if total > 0 else float(cv2.mean(image)[0])
    levels = (_near(sums) + _LEAST * mean) / (_near(numbers) + _LEAST)
    full = cv2.resize(
        levels.astype(np.float32),
        (width + right, height + bottom),
        interpolation=cv2.INTER_LINEAR,
    )
    return np.asarray(full[:height, :width])


def _near(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    size = (_BLOCKS, _BLOCKS)
    return np.asarray(cv2.boxFilter(blocks, cv2.CV_64F, size, borderType=cv2.BORDER_CONSTANT))
