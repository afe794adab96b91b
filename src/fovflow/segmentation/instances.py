"""Objects one by one, each inside its own box: sizes, outlines smoothed, touching cells split."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovflow.segmentation.objects import (
    Components,
    Labels,
    Mask,
    components,
    fill_small_holes,
    number_objects,
)
from fovflow.segmentation.pixels import close_mask, disc
from fovflow.segmentation.split import split_component

Window = tuple[slice, slice]
Judge = Callable[[Window, Mask], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an object must be like, in pixels.

    Attributes
    ----------
    least, most : float
        Smallest and greatest area; objects outside are dropped.
    hole : float
        Greatest hole that is filled.
    smoothing : float
        Radius by which outlines are closed, each object for itself.
    split : bool
        Whether touching cells are split.
    ratio, radius, solidity : float
        See `fovflow.segmentation.split.split_component`.
    """

    least: float
    most: float
    hole: float
    smoothing: float
    split: bool
    ratio: float
    radius: float
    solidity: float


def make_objects(
    mask: Mask, room: Mask, limits: Limits, judge: Judge | None = None
) -> tuple[Labels, int]:
    """Turn a mask into labels.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 or 1.
    room : numpy.ndarray
        (Y, X) uint8, 0 or 1: where outlines may grow to when they are smoothed.
    limits : Limits
    judge : callable, optional
        Is given each component's window and mask, before smoothing; False drops it.

    Returns
    -------
    labels : numpy.ndarray
        (Y, X) uint16.
    n_split : int
        Objects that come from splitting.
    """
    n, labels = components(mask)
    boxes, areas = measure(labels, n)
    out = np.zeros(mask.shape, np.int32)
    element = disc(limits.smoothing)
    reach = math.ceil(limits.smoothing) + 1
    made, n_split = 0, 0
    for index in np.flatnonzero(areas >= limits.least):
        window = _window(boxes[index], reach, mask.shape)
        part_of = labels[window]
        own = (part_of == index + 1).view(np.uint8)
        if judge is not None and not judge(window, own):
            continue
        target = out[window]
        free = ((part_of == 0) & (target == 0)).view(np.uint8) & room[window]
        whole = fill_small_holes(close_mask(own, element) & (own | free), limits.hole)
        whole &= (target == 0).view(np.uint8)
        parts = _split(whole, limits)
        if parts is None:
            made += 1
            target[whole > 0] = made
        else:
            target[whole > 0] = parts[whole > 0] + made
            made += int(parts.max())
            n_split += int(parts.max())
    sizes = np.bincount(out.ravel(), minlength=made + 1)
    return number_objects(out, (sizes >= limits.least) & (sizes <= limits.most)), n_split


def measure(labels: Components, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return boxes (n, 4) as first row, last row + 1, first column, last column + 1; and areas.

    Works on the horizontal runs of equal ids, of which there are few.
    """
    height, width = labels.shape
    padded = np.zeros((height, width + 1), labels.dtype)
    padded[:, :width] = labels
    flat = padded.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        changes = np.concatenate([[0], changes])
    starts = changes[flat[changes] > 0]
    ends = np.append(changes, flat.size)[np.searchsorted(changes, starts) + 1]
    ids = flat[starts] - 1
    rows, columns = np.divmod(starts, width + 1)
    boxes = np.empty((n, 4), np.int64)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = height, 0, width, 0
    np.minimum.at(boxes[:, 0], ids, rows)
    np.maximum.at(boxes[:, 1], ids, rows + 1)
    np.minimum.at(boxes[:, 2], ids, columns)
    np.maximum.at(boxes[:, 3], ids, columns + ends - starts)
    areas = np.bincount(ids, weights=ends - starts, minlength=n).astype(np.int64)
    return boxes, areas


def _window(box: NDArray[np.int64], reach: int, shape: tuple[int, ...]) -> Window:
    top, bottom, left, right = (int(value) for value in box)
    return (
        slice(max(top - reach, 0), min(bottom + reach, shape[0])),
        slice(max(left - reach, 0), min(right + reach, shape[1])),
    )


def _split(mask: Mask, limits: Limits) -> NDArray[np.int32] | None:
    if not limits.split:
        return None
    parts = split_component(
        mask, ratio=limits.ratio, min_radius=limits.radius, max_solidity=limits.solidity
    )
    if parts is None or np.bincount(parts.ravel())[1:].min() < limits.least:
        return None
    return parts
