"""Grey level of the surroundings, from the pixels outside a mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

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
