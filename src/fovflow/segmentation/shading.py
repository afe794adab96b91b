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
    free = (1 - cv2.dilate(mask, np.ones((3, 3), np.uint8))).astype(np.float32)
    bottom, right = -height % block, -width % block
    values = cv2.multiply(image, free, dtype=cv2.CV_32F)
    n = float(cv2.sumElems(free)[0])
    mean = float(cv2.sumElems(values)[0]) / n if n > 0 else float(cv2.mean(image)[0])
    grid = ((width + right) // block, (height + bottom) // block)
    sums, numbers = (
        cv2.boxFilter(
            cv2.resize(
                cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0),
                grid,
                interpolation=cv2.INTER_AREA,
            ),
            cv2.CV_32F,
            (_BLOCKS, _BLOCKS),
            borderType=cv2.BORDER_CONSTANT,
        )
        for part in (values, free)
    )
    levels = (sums + np.float32(_LEAST * mean)) / (numbers + np.float32(_LEAST))
    full = cv2.resize(levels, (width + right, height + bottom), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[:height, :width])
