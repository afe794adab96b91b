"""Medians of the free pixels in blocks of a frame."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

BlockValues = list[list[NDArray[Any]]]


def block_values(
    values: NDArray[Any],
    free: NDArray[np.uint8],
    edges_y: NDArray[np.int64],
    edges_x: NDArray[np.int64],
) -> BlockValues:
    """Gather the free pixels of each block.

    Parameters
    ----------
    values : numpy.ndarray
        (Y, X) frame.
    free : numpy.ndarray
        (Y, X) uint8, 1 for the pixels that count.
    edges_y, edges_x : numpy.ndarray
        Block i spans ``edges[i] <= index < edges[i + 1]``.

    Returns
    -------
    list of lists of numpy.ndarray
        ``[i][j]`` holds the free pixels of block (i, j), one-dimensional, own memory.
    """
    selected = free.view(np.bool_)
    rows = pairwise(edges_y.tolist())
    columns = list(pairwise(edges_x.tolist()))
    return [
        [
            values[top:bottom, left:right][selected[top:bottom, left:right]]
            for left, right in columns
        ]
        for top, bottom in rows
    ]


def median_in_place(sample: NDArray[Any]) -> float:
    """Return the exact median of a one-dimensional sample, which is reordered.

    The mean of the two middle values for an even count, NaN for none.
    """
    count = sample.size
    if count == 0:
        return float("nan")
    middle = count // 2
    sample.partition(middle)
    upper = float(sample[middle])
    if count % 2:
        return upper
    return (float(sample[:middle].max()) + upper) / 2


def sample_median(sample: NDArray[np.float32]) -> np.float32:
    """Return what `numpy.median` returns for a one-dimensional sample of finite values.

    It is several times faster, and reorders the sample.
    """
    middle = sample.size // 2
    sample.partition(middle)
    if sample.size % 2:
        return np.float32(sample[middle])
    return np.float32((sample[:middle].max() + sample[middle]) / 2)


def block_medians(blocks: BlockValues) -> NDArray[np.float64]:
    """Return the median of each block, NaN for blocks without values."""
    return np.array([[median_in_place(block) for block in row] for row in blocks])


def overlapping_medians(blocks: BlockValues) -> NDArray[np.float64]:
    """Return the medians of all squares of 2 x 2 neighbouring blocks, NaN for empty ones."""
    return np.array(
        [
            [
                median_in_place(np.concatenate((*upper[j : j + 2], *lower[j : j + 2])))
                for j in range(len(upper) - 1)
            ]
            for upper, lower in pairwise(blocks)
        ]
    )


def overall_median(blocks: BlockValues) -> float:
    """Return the median of the values of all blocks."""
    return median_in_place(np.concatenate([block for row in blocks for block in row]))


def patch_counts(
    free: NDArray[np.uint8], edges_y: NDArray[np.int64], edges_x: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Count the free pixels of each block.

    Rows are added band by band: a plain sum over few rows is many times faster than
    `numpy.add.reduceat` on the full frame.
    """
    bands = np.empty((len(edges_y) - 1, free.shape[1]), np.uint32)
    for band, (top, bottom) in zip(bands, pairwise(edges_y.tolist()), strict=True):
        np.add.reduce(free[top:bottom], axis=0, dtype=np.uint32, out=band)
    return column_sums(bands, edges_x)


def column_sums(bands: NDArray[Any], edges_x: NDArray[np.int64]) -> NDArray[np.float64]:
    """Add up the columns of each block, in float64."""
    sums: NDArray[np.float64] = np.add.reduceat(bands, edges_x[:-1], axis=1, dtype=np.float64)
    return sums
