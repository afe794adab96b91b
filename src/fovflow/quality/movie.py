"""Quality rules that hold a row against the rest of its movie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.config.findings import FRAME_FINDINGS
from fovflow.features.cells import Groups
from fovflow.labels import BoolArray, FloatArray, IntArray
from fovflow.quality.rules import Rows, running_median

FEWEST_CELLS = 5
"""Fewer cells than these say nothing about what is usual in a frame or a movie."""

FEWEST_FRAMES = 10
"""Fewer frames than these do not tell what moves and what does not."""

JUMP_WINDOW = 9
"""Frames around that the foreground of a frame is compared with."""

SHARPEST = 0.9
"""Quantile of the frames' sharpness that stands for a frame in focus."""

STILL_AREA = 0.1
"""Variation of the area (SD over mean) below which an object does not change."""

AREA_WINDOW = 15
"""Rows around over which the changes of a cell's area, and of its light, are looked at."""

DIM = 0.05
"""Typical distance of a cell's light from its median over the frames around, as a share of it."""

STEADY = 1.25
"""Change of an area, in that which is usual, up to which an outline is steady, though ragged."""

CROWDED = 1.25
"""Distance of nearest neighbours, in the sum of their radii, that is typical where cells touch."""

LIGHT, BESIDE, MOST = 1.5, 4, 0.75
"""Ratio of a cell's light to that of the rows beside it that is a jump, rows that are looked at on
each side, and share of a frame's cells that jump together."""

_TOGETHER = 256
"""Cells of a frame whose distances to all others are held in memory at a time."""

FADED = 0.9
"""Share of its first level below which the background, or the cells' light, has faded."""

COMMON = 0.5
"""Distance of the quartiles of the cells' rates, in their median, up to which it is common."""


def unreliable_frame(rows: Rows, flags: Mapping[int, str], jump: float) -> BoolArray:
    """Flag rows of frames that the segmentation flagged, or whose foreground jumps.

    `flags`: words of `FRAME_FINDINGS` and others, joined by ``; ``, by frame. `jump`: ratio of the
    area of all cells to its median over the frames around; only where there are enough cells.
    """
    words = {t: set(text.split("; ")) for t, text in flags.items() if text}
    named = [t for t, found in words.items() if found & set(FRAME_FINDINGS)]
    flagged = np.isin(rows.frame, named)
    for area in rows.of_feature("area").values():
        _, at = np.unique(rows.frame, return_inverse=True)
        total = np.bincount(at, area.astype(np.float64)).astype(np.float64)
        usual = running_median(total, Groups(np.array([total.size])), JUMP_WINDOW)
        many = np.bincount(at) >= FEWEST_CELLS
        flagged |= (many & ((total > jump * usual) | (total * jump < usual)))[at]
    return flagged


def out_of_focus(rows: Rows, ratio: float) -> BoolArray:
    """Flag all rows of frames whose sharpness is below a share of that of the sharpest frames.

    A frame's sharpness is the median over its cells.
    """
    flagged = np.zeros(len(rows), bool)
    for values in rows.of_feature("sharpness").values():
        typical, at = _by_frame(rows, values)
        if not np.isnan(typical).all():
            flagged |= (typical < ratio * np.nanquantile(typical, SHARPEST))[at]
    return flagged


def unusual_size(rows: Rows, ratio: float) -> BoolArray:
    """Flag rows whose area is a number of times more or less than the median of the movie."""
    flagged = np.zeros(len(rows), bool)
    if rows.cells.size.size < FEWEST_CELLS:
        return flagged
    for area in rows.of_feature("area").values():
        usual = float(np.median(area))
        flagged |= (area > ratio * usual) | (area * ratio < usual)
    return flagged


def at_rest(rows: Rows, share: float) -> BoolArray:
    """Flag all rows of objects that neither move nor change, unlike the movie's cells: debris.

    How far an object comes is the root mean square of its distance from a straight way at a steady
    pace (so that a drift of the stage does not count), over the root of its number of rows, as in a
    random walk. It is at rest below a `share` of the median over the objects.
    """
    area = next(iter(rows.of_feature("area").values()), None)
    cells = rows.cells
    long = cells.size >= FEWEST_FRAMES
    if area is None or np.count_nonzero(long) < FEWEST_CELLS:
        return np.zeros(len(rows), bool)
    way = np.hypot(*(_from_line(rows, rows.column(f"position_{axis}")) for axis in "xy"))
    way /= np.sqrt(cells.size)
    values = area.astype(np.float64)
    mean = cells.sum(values) / cells.size
    change = cells.std(values, mean) / np.maximum(mean, 1)
    still = long & (way < share * np.median(way[long])) & (change < STILL_AREA)
    return np.asarray(cells.spread(still))


def _from_line(rows: Rows, values: NDArray[Any]) -> FloatArray:
    """Return per cell the SD of values about their regression line over time."""
    slope, value, time = _line(rows, values)
    left = value - rows.cells.spread(slope) * time
    return np.sqrt(rows.cells.sum(left * left) / rows.cells.size)


def _line(rows: Rows, values: NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return per cell the slope of values over frames; per row value and frame less their means."""
    cells = rows.cells
    centred = []
    for each in (values.astype(np.float64), rows.frame.astype(np.float64)):
        centred.append(each - cells.spread(cells.sum(each) / cells.size))
    value, time = centred
    return cells.sum(value * time) / np.maximum(cells.sum(time * time), 1), value, time


def too_fast(rows: Rows, radii: float) -> BoolArray:
    """Flag all rows where cells typically move by more than so many radii from frame to frame.

    What all cells do together is taken off. A radius is that of the circle of the cell's area.
    """
    area = next(iter(rows.of_feature("area").values()), None)
    linked = np.flatnonzero(rows.step == 1)
    if area is None or linked.size < FEWEST_FRAMES:
        return np.zeros(len(rows), bool)
    drift = common_motion(rows)
    place = np.searchsorted(rows.acquired, rows.frame[linked + 1])
    dx, dy = (
        np.diff(rows.column(f"position_{axis}").astype(np.float64))[linked] - each[place]
        for axis, each in zip("xy", drift, strict=True)
    )
    radius = np.sqrt(area[linked] / np.pi)
    return np.full(len(rows), float(np.median(np.hypot(dx, dy) / radius)) > radii)


def crowded(rows: Rows) -> BoolArray:
    """Flag all rows where most cells nearly touch another, so that outlines between are uncertain.

    That is where the median over rows of the distance to the nearest centroid of the frame, over
    the sum of the radii of both cells' areas, is below `CROWDED`.
    """
    area = next(iter(rows.of_feature("area").values()), None)
    flagged = np.zeros(len(rows), bool)
    if area is None or rows.cells.size.size < FEWEST_CELLS:
        return flagged
    place = rows.column("position_x") + 1j * rows.column("position_y")
    radius = np.sqrt(area / np.pi)
    near = np.full(len(rows), np.inf)
    order = np.argsort(rows.frame, kind="stable")
    for frame in np.split(order, np.flatnonzero(np.diff(rows.frame[order])) + 1):
        for part in np.array_split(frame, -(-frame.size // _TOGETHER)):
            apart = np.abs(place[part, None] - place[frame]) / (radius[part, None] + radius[frame])
            apart[part[:, None] == frame] = np.inf
            near[part] = apart.min(axis=1)
    return np.full(len(rows), bool(np.median(near) < CROWDED))


def common_motion(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Return the median step in x and y of all cells from the acquired frame before, per frame."""
    linked = np.flatnonzero(rows.step == 1)
    place = np.searchsorted(rows.acquired, rows.frame[linked + 1])
    order = np.argsort(place, kind="stable")
    size = np.bincount(place, minlength=rows.acquired.size)
    steps = []
    for axis in "xy":
        step = np.diff(rows.column(f"position_{axis}").astype(np.float64))[linked]
        median = Groups(size).median(step[order])
        steps.append(np.where(size >= FEWEST_CELLS, median, 0.0))
    return steps[0], steps[1]


def drift_of(rows: Rows) -> float | None:
    """Return how far all cells together come from where they were, in pixels; None for few cells.

    The farthest place of the movie counts, as the sums of `common_motion` tell it.
    """
    if rows.cells.size.size < FEWEST_CELLS or not np.any(rows.step == 1):
        return None
    return float(np.hypot(*(np.cumsum(step) for step in common_motion(rows))).max())


def doubtful_links(rows: Rows, links: Mapping[str, ArrayLike], least: float) -> BoolArray:
    """Flag rows of a cell that hang on its other rows by a link of low confidence.

    Such links cut a cell's rows into pieces. Which pieces are of one cell is not known, so that the
    longest (of several the first) stays, and the others are flagged.
    """
    flagged = np.zeros(len(rows), bool)
    if "confidence" not in links:
        return flagged
    weak = np.asarray(links["confidence"], np.float64) < least
    cell, frame = (np.asarray(links[name], np.int64)[weak] for name in ("cell", "frame"))
    frames = rows.shape[0] + 1
    cut = np.isin(rows.cell * frames + rows.frame, cell * frames + frame)
    cut[rows.cells.start] = True
    begins = np.flatnonzero(cut)
    size = np.diff(begins, append=len(rows))
    owner = np.searchsorted(rows.cells.start, begins, side="right") - 1
    order = np.lexsort((begins, -size, owner))
    first = np.append(True, owner[order][1:] != owner[order][:-1])[: order.size]
    others = np.ones(begins.size, bool)
    others[order[first]] = False
    return np.repeat(others, size)


def fading(rows: Rows) -> BoolArray:
    """Flag rows of frames in which a channel's background has faded by a tenth or more.

    An exponential is fitted to the medians of `background_mean` over the frames' cells. It counts
    where its fall over the movie is more than five standard deviations of what is left.
    """
    flagged = np.zeros(len(rows), bool)
    for values in rows.of_feature("background_mean").values():
        level, at = _by_frame(rows, values)
        known = np.flatnonzero(level > 0)
        if known.size < FEWEST_FRAMES:
            continue
        frames = np.unique(rows.frame).astype(np.float64)
        rate, start = np.polyfit(frames[known], np.log(level[known]), 1)
        left = np.log(level[known]) - (rate * frames[known] + start)
        fall = rate * (frames - frames[0])
        if -fall[-1] > 5 * left.std():
            flagged |= (fall < np.log(FADED))[at]
    return flagged


def decaying(rows: Rows) -> BoolArray:
    """Flag rows of frames by which the light of most cells has fallen by a tenth at one rate.

    A cell's rate is the slope of ln `intensity_total` over its rows. Bleaching does this where it
    leaves the background as it is, and so does any decay that all cells have in common.
    """
    flagged = np.zeros(len(rows), bool)
    for total in rows.of_feature("intensity_total").values():
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = _line(rows, np.log(total))[0][rows.cells.size >= FEWEST_FRAMES]
        rate = rate[np.isfinite(rate)]
        if rate.size < FEWEST_CELLS:
            continue
        low, usual, high = np.quantile(rate, (0.25, 0.5, 0.75))
        if high - low < -COMMON * usual:
            flagged |= usual * (rows.frame - rows.frame.min()) < np.log(FADED)
    return flagged


def dim(rows: Rows) -> BoolArray:
    """Flag rows around which the fluorescence of any channel is little more than noise.

    That is where the median, over `AREA_WINDOW` rows around, of the distance of `intensity_total`
    from its median over `JUMP_WINDOW` rows, as a share of that median, is above `DIM`.
    """
    flagged = np.zeros(len(rows), bool)
    for total in rows.of_feature("intensity_total").values():
        level = running_median(total.astype(np.float64), rows.cells, JUMP_WINDOW)
        with np.errstate(divide="ignore", invalid="ignore"):
            noise = np.abs(total - level) / np.abs(level)
        flagged |= running_median(noise, rows.cells, AREA_WINDOW) > DIM
    return flagged


def light_jumps(rows: Rows) -> BoolArray:
    """Flag rows of frames in which most cells' light jumps alike, and is back soon.

    A cell's light jumps where `intensity_total` is more than `LIGHT` times as much, or as little,
    as the medians of the `BESIDE` rows before and of those after it, both above 0.
    """
    flagged = np.zeros(len(rows), bool)
    _, at = np.unique(rows.frame, return_inverse=True)
    for total in rows.of_feature("intensity_total").values():
        half = BESIDE // 2
        beside = [
            running_median(total.astype(np.float64), rows.cells, BESIDE, ahead)
            for ahead in (-half, half + 1)
        ]
        low, high = np.minimum(*beside), np.maximum(*beside)
        judged = (low > 0) & np.isfinite(total)
        count = np.bincount(at, judged)
        for jumps in (total > LIGHT * high, LIGHT * total < low):
            share = np.bincount(at, judged & jumps) / np.maximum(count, 1)
            flagged |= ((count >= FEWEST_CELLS) & (share >= MOST))[at]
    return flagged


def uneven_background(rows: Rows, most: float) -> BoolArray:
    """Flag all rows where a channel's background changes from the centre to the corners.

    To `background_mean` over the median of its frame a surface a + b·x + c·y + d·r² is fitted, r
    being 1 at the corners. It is uneven where |d| exceeds `most`. A slope alone may be stray light.
    """
    flagged = np.zeros(len(rows), bool)
    for values in rows.of_feature("background_mean").values():
        level, at = _by_frame(rows, values)
        share = values / np.where(level > 0, level, np.nan)[at]
        use = np.isfinite(share)
        if np.count_nonzero(use) >= FEWEST_CELLS * FEWEST_FRAMES:
            terms = np.ones((np.count_nonzero(use), 4))  # filled in place: the table may be long
            for k, (axis, side) in enumerate(zip("xy", rows.shape[:0:-1], strict=True), 1):
                terms[:, k] = (rows.column(f"position_{axis}") / ((side - 1) / 2 or 1) - 1)[use]
            terms[:, 3] = (terms[:, 1] ** 2 + terms[:, 2] ** 2) / 2
            flagged |= abs(np.linalg.lstsq(terms, share[use], rcond=None)[0][3]) > most
    return flagged


def pale_and_ragged(rows: Rows, sharpness: float, solidity: float) -> BoolArray:
    """Flag rows of objects that are found in part, or with something beside them.

    Their sharpness is below a share of the movie's median, their solidity below `solidity`, and
    their area changes more from row to row than is usual (`STEADY`): flat cells with long
    processes are pale and of low solidity, too, but found alike in every frame.
    """
    flagged = np.zeros(len(rows), bool)
    filled = rows.of_feature("solidity")
    steady = np.zeros(len(rows), bool)
    for change, usual in _area_changes(rows):
        steady |= change <= STEADY * usual
    for name, values in rows.of_feature("sharpness").items():
        shape = filled.get(name.replace("sharpness", "solidity"))
        if shape is not None and not np.isnan(values).all():
            flagged |= (values < sharpness * np.nanmedian(values)) & (shape < solidity)
    return flagged & ~steady


def _area_changes(rows: Rows) -> Iterator[tuple[FloatArray, float]]:
    """Yield the median change of ln(area) from row to row around each, and what is usual of it.

    NaN for single rows. Around are `AREA_WINDOW` rows of the cell, usual is the movie's median.
    """
    for area in rows.of_feature("area").values():
        change = np.abs(np.diff(np.log(area.astype(np.float64)), prepend=np.nan))
        change[rows.cells.start] = np.nan
        change = running_median(change, rows.cells, AREA_WINDOW)
        if not np.isnan(change).all():
            yield change, float(np.nanmedian(change))


def chains(rows: Rows, gap: int) -> IntArray:
    """Return one number per cell: that of the chain of broken ids that it belongs to.

    An id that ends amid field and movie, and the nearest one that begins so within a cell's
    diameter and after at most `gap` missed frames, are one chain.
    """
    chain = np.arange(rows.cells.size.size)
    area = next(iter(rows.of_feature("area").values()), None)
    if area is None:
        return chain
    begins, ends = rows.cells.start, rows.cells.stop - 1
    began, ended = amid(rows)
    place = np.searchsorted(rows.acquired, rows.frame)
    x, y = rows.column("position_x"), rows.column("position_y")
    diameter = 2 * np.sqrt(area / np.pi)
    taken = np.zeros(chain.size, bool)
    ending = np.flatnonzero(ended)
    ending = ending[np.argsort(place[ends[ending]], kind="stable")]
    when = place[ends[ending]]
    for cell in np.flatnonzero(began).tolist():
        row = begins[cell]
        low, high = np.searchsorted(when, [place[row] - gap - 1, place[row]])
        others = ending[low:high]
        others = others[~taken[others]]
        if not others.size:
            continue
        at = ends[others]
        far = np.hypot(x[at] - x[row], y[at] - y[row])
        best = int(far.argmin())
        if far[best] <= diameter[at[best]]:
            taken[others[best]] = True
            chain[cell] = chain[others[best]]
    return chain


def amid(rows: Rows) -> tuple[BoolArray, BoolArray]:
    """Tell of each cell whether its id begins, and whether it ends, amid field and movie.

    That is, not in the first or last acquired frame, and the centroid no nearer to the frame's
    border than the diameter of a circle of the cell's area.
    """
    _, height, width = rows.shape
    x, y = rows.column("position_x"), rows.column("position_y")
    area = next(iter(rows.of_feature("area").values()), np.zeros(len(rows)))
    near = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    inner = near > 2 * np.sqrt(area / np.pi)
    first, last = rows.cells.start, rows.cells.stop - 1
    acquired = rows.acquired if rows.acquired.size else np.zeros(1, np.int64)
    began = inner[first] & (rows.frame[first] > acquired[0])
    return began, inner[last] & (rows.frame[last] < acquired[-1])


def _by_frame(rows: Rows, values: NDArray[np.floating]) -> tuple[FloatArray, IntArray]:
    """Return the median per frame that has rows, NaNs left out, and each row's frame among them."""
    _, at = np.unique(rows.frame, return_inverse=True)
    order = np.argsort(at, kind="stable")
    known = order[~np.isnan(values[order])]
    size = np.bincount(at[known], minlength=int(at.max(initial=-1)) + 1)
    return Groups(size).median(values[known].astype(np.float64)), at
