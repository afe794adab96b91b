"""How far a frame lies from what a network knows, by how sure and how steady its answers are."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

UNSURE = 1.5
"""Logit within which a pixel is neither clearly a cell nor clearly background: 18 to 82 %."""

ROUGH = 0.42
"""Share of such pixels, of those of cells, above which many areas are more than 20 % off."""

BOUND = 1.0
"""Sum of both measures that makes the score 1: see docs/algorithms/segmentation.md."""

STEADINESS = 2.0
"""Weight of the disagreement of the mirrored patch."""

PATCH = 256
"""Side of the patch that is shown a second time, mirrored (pixels of the network)."""

EDGE = 40
"""Margin of that patch where the answers are not compared."""

Image = NDArray[np.float32]


def unsure_share(logit: Image) -> float:
    """Return the number of pixels of which the network is unsure, over that of pixels of cells.

    `logit`: (Y, X), the network's logit of a cell. NaN where no pixel is clearly one of a cell.
    """
    if not np.any(logit > UNSURE):
        return math.nan
    unsure = cv2.countNonZero(cv2.inRange(logit, -UNSURE, UNSURE))
    return unsure / cv2.countNonZero((logit > 0).view(np.uint8))


def domain_score(
    network: Callable[[Image], Image], contrast: Image, logit: Image, unsure: float
) -> float:
    """Return how far a frame lies from what the network knows: above 1 too far.

    `unsure`, which is what `unsure_share` says of the `logit`, and twice the share by which the
    cells of a patch differ when it is shown mirrored. `contrast`: (Y, X), the normalised frame. NaN
    where `unsure` is.
    """
    if math.isnan(unsure):
        return math.nan
    return (unsure + STEADINESS * _disagreement(network, contrast, logit)) / BOUND


def _disagreement(network: Callable[[Image], Image], contrast: Image, logit: Image) -> float:
    """Return which share of the pixels of cells are so in one of a patch and its mirror image only.

    The patch is the one with most pixels of cells.
    """
    rows, columns = (min(PATCH, side) for side in logit.shape)
    inside = cv2.boxFilter(
        (logit > 0).astype(np.float32)[::8, ::8],
        cv2.CV_32F,
        (max(1, columns // 8), max(1, rows // 8)),
        borderType=cv2.BORDER_CONSTANT,
    )
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    top, left = (
        min(max(8 * int(middle) - side // 2, 0), whole - side)
        for middle, side, whole in zip((y, x), (rows, columns), logit.shape, strict=True)
    )
    patch = slice(top, top + rows), slice(left, left + columns)
    mirrored = network(np.ascontiguousarray(contrast[patch][:, ::-1]))[0][:, ::-1] > 0
    edge = [min(EDGE, side // 4) for side in (rows, columns)]
    inner = slice(edge[0], rows - edge[0]), slice(edge[1], columns - edge[1])
    one, other = logit[patch][inner] > 0, mirrored[inner]
    either = np.count_nonzero(one | other)
    return float(np.count_nonzero(one ^ other) / either) if either else 1.0
