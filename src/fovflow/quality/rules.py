"""The rules: each takes the rows and its parameters and returns one flag per row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fovflow.features.groups import Groups
from fovflow.quality.rows import BoolArray, Rows, running_median

BorderMeasure = Literal["box", "centroid"]


def frames_needed(acquired: int, min_frames: int, fraction: float | None) -> int:
    """Return how many frames a cell needs in a movie of `acquired` frames."""
    if fraction is None:
        return min_frames
    return min(min_frames, max(1, math.ceil(fraction * acquired)))


def too_few_frames(rows: Rows, counted: BoolArray, needed: int) -> BoolArray:
    """Flag all rows of cells with fewer than `needed` rows among those that are `counted`."""
    return np.asarray(rows.cells.spread(rows.cells.count(counted) < needed))


def near_border(rows: Rows, distance_px: float, measure: BorderMeasure) -> BoolArray:
    """Flag rows whose box, or centroid, is less than a distance from the frame's border.

    A box that touches the border has the distance 0; so has a centroid on the centre of a pixel
    of the outermost row or column.
    """
    _, height, width = rows.shape
    if measure == "box":
        left, top = rows.column("bbox_x0"), rows.column("bbox_y0")
        right, bottom = width - rows.column("bbox_x1"), height - rows.column("bbox_y1")
    else:
        left, top = rows.column("position_x"), rows.column("position_y")
        right, bottom = width - 1 - left, height - 1 - top
    nearest = np.minimum(np.minimum(left, right), np.minimum(top, bottom))
    return np.asarray(nearest < distance_px)


def saturated(rows: Rows, max_fraction: float) -> BoolArray:
    """Flag rows with more than a share of saturated pixels in any channel."""
    flags = np.zeros(len(rows), bool)
    for fraction in rows.of_feature("saturated_fraction"):
        flags |= fraction > max_fraction
    return flags


def invalid(rows: Rows, max_fraction: float) -> BoolArray:
    """Flag rows with more than a share of invalid pixels, or none left to measure."""
    flags = np.zeros(len(rows), bool)
    for fraction in rows.of_feature("invalid_fraction"):
        flags |= ~(fraction <= max_fraction)
    return flags


def area_jump(rows: Rows, ratio: float, window: int) -> BoolArray:
    """Flag rows whose area differs by more than a ratio from the median of the rows around."""
    flags = np.zeros(len(rows), bool)
    for area in rows.of_feature("area"):
        values = area.astype(np.float64)
        usual = running_median(values, rows.cells, window)
        flags |= (values > ratio * usual) | (values * ratio < usual)
    return flags


def out_of_focus(rows: Rows, ratio: float, window: int) -> BoolArray:
    """Flag all rows of frames whose sharpness is below a share of that of the frames around."""
    flags = np.zeros(len(rows), bool)
    if not len(rows):
        return flags
    by_frame = np.argsort(rows.frame, kind="stable")
    frames, size = np.unique(rows.frame, return_counts=True)
    for sharpness in rows.of_feature("sharpness"):
        typical = _medians(sharpness[by_frame], Groups(size))
        usual = running_median(typical, Groups(np.array([frames.size])), window)
        flags |= (typical < ratio * usual)[np.searchsorted(frames, rows.frame)]
    return flags


def _medians(values: np.ndarray, groups: Groups) -> np.ndarray:
    """Return the median of each group, without NaNs."""
    known = ~np.isnan(values)
    return Groups(groups.count(known)).median(values[known].astype(np.float64))


def after_gap(rows: Rows) -> BoolArray:
    """Flag rows whose cell was found earlier, but not in the acquired frame before."""
    flags = np.zeros(len(rows), bool)
    flags[1:] = rows.step[:-1] > 1
    return flags


def in_lineage(rows: Rows, links: Mapping[str, ArrayLike]) -> BoolArray:
    """Flag all rows of cells that have a parent or a daughter; the parent 0 means none."""
    parent = np.asarray(links.get("parent", []), np.int64)
    daughter = np.asarray(links.get("cell", []), np.int64)[: parent.size]
    related = np.concatenate([parent[parent > 0], daughter[parent > 0]])
    return np.isin(rows.cell, related)
