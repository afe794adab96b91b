"""Quality rules that hold a row against the rest of its movie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.config.findings import FRAME_FINDINGS
from fovflow.features.cells import Groups
from fovflow.labels import BoolArray, FloatArray, IntArray
from fovflow.quality.rules import Rows, by_parts, rows_named, running_median

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

_SOME = 1 << 15
"""Rows of some frames that are looked at together, at least."""

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
    cells = np.bincount(rows.frame)
    there = np.flatnonzero(cells)
    for name in rows.of_feature("area"):
        total = np.zeros(cells.size)
        for _, part in rows.parts():
            area = part.column(name).astype(np.float64)
            total += np.bincount(part.frame, area, minlength=total.size)
        usual = np.full(total.size, np.nan)
        usual[there] = running_median(total[there], Groups(np.array([there.size])), JUMP_WINDOW)
        jumps = (total > jump * usual) | (total * jump < usual)
        flagged |= rows.of_frames((cells >= FEWEST_CELLS) & jumps)
    return flagged


def out_of_focus(rows: Rows, ratio: float) -> BoolArray:
    """Flag all rows of frames whose sharpness is below a share of that of the sharpest frames.

    A frame's sharpness is the median over its cells.
    """
    flagged = np.zeros(len(rows), bool)
    for name in rows.of_feature("sharpness"):
        typical = frame_medians(rows.frame, rows.column(name))
        if not np.isnan(typical).all():
            flagged |= rows.of_frames(typical < ratio * np.nanquantile(typical, SHARPEST))
    return flagged


def unusual_size(rows: Rows, ratio: float) -> BoolArray:
    """Flag rows whose area is a number of times more or less than the median of the movie."""
    flagged = np.zeros(len(rows), bool)
    if rows.cells.size.size < FEWEST_CELLS:
        return flagged
    for name in rows.of_feature("area"):
        area = rows.column(name)
        usual = float(np.median(area))
        flagged |= (area > ratio * usual) | (area * ratio < usual)
    return flagged


def at_rest(rows: Rows, share: float) -> BoolArray:
    """Flag all rows of objects that neither move nor change, unlike the movie's cells: debris.

    How far an object comes is the root mean square of its distance from a straight way at a steady
    pace (so that a drift of the stage does not count), over the root of its number of rows, as in a
    random walk. It is at rest below a `share` of the median over the objects.
    """
    areas, long = rows.of_feature("area"), rows.cells.size >= FEWEST_FRAMES
    if not areas or np.count_nonzero(long) < FEWEST_CELLS:
        return np.zeros(len(rows), bool)

    def way_of(part: Rows) -> FloatArray:
        x, y = (_from_line(part, part.column(f"position_{axis}")) for axis in "xy")
        return np.asarray(np.hypot(x, y) / np.sqrt(part.cells.size))

    def change_of(part: Rows) -> FloatArray:
        area = part.column(areas[0]).astype(np.float64)
        mean = part.cells.sum(area) / part.cells.size
        return np.asarray(part.cells.std(area, mean) / np.maximum(mean, 1))

    way, change = rows.gather(way_of, np.float64), rows.gather(change_of, np.float64)
    still = long & (way < share * np.median(way[long])) & (change < STILL_AREA)
    return np.asarray(rows.cells.spread(still))


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
    areas = rows.of_feature("area")
    if not areas or np.count_nonzero(_linked(rows)) < FEWEST_FRAMES:
        return np.zeros(len(rows), bool)
    drift = common_motion(rows)

    def radii_of(part: Rows) -> FloatArray:
        dx, dy = (
            _motion(part, axis) - each[_places(part)]
            for axis, each in zip("xy", drift, strict=True)
        )
        radius = np.sqrt(part.column(areas[0])[part.step == 1] / np.pi)
        return np.asarray(np.hypot(dx, dy) / radius)

    typical = np.median(rows.gather(radii_of, np.float64), overwrite_input=True)
    return np.full(len(rows), bool(typical > radii))


def crowded(rows: Rows) -> BoolArray:
    """Flag all rows where most cells nearly touch another, so that outlines between are uncertain.

    That is where the median over rows of the distance to the nearest centroid of the frame, over
    the sum of the radii of both cells' areas, is below `CROWDED`.
    """
    areas = rows.of_feature("area")
    if not areas or rows.cells.size.size < FEWEST_CELLS:
        return np.zeros(len(rows), bool)
    x, y, area = (rows.column(name) for name in ("position_x", "position_y", areas[0]))
    near = np.full(len(rows), np.inf)
    for some, groups in _of_frames(rows.frame):
        place, radius = x[some] + 1j * y[some], np.sqrt(area[some] / np.pi)
        for of_frame in groups.slices():
            frame = np.arange(of_frame.start, of_frame.stop)
            for part in np.array_split(frame, -(-frame.size // _TOGETHER) or 1):
                together = radius[part, None] + radius[of_frame]
                apart = np.abs(place[part, None] - place[of_frame]) / together
                apart[part[:, None] == frame] = np.inf
                near[some[part]] = apart.min(axis=1, initial=np.inf)
    return np.full(len(rows), bool(np.median(near, overwrite_input=True) < CROWDED))


def common_motion(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Return the median step in x and y of all cells from the acquired frame before, per frame."""
    place = rows.gather(_places, np.int32)
    size = np.bincount(place, minlength=rows.acquired.size)
    x, y = (
        frame_medians(place, rows.gather(_motion, np.float64, axis), size.size) for axis in "xy"
    )
    return np.where(size >= FEWEST_CELLS, x, 0.0), np.where(size >= FEWEST_CELLS, y, 0.0)


def _linked(rows: Rows) -> BoolArray:
    """Tell of each row whether its cell is found in the next acquired frame, too."""
    return rows.gather(lambda part: part.step == 1, bool)


def _places(part: Rows) -> IntArray:
    """Return where the next rows of linked ones lie among the acquired frames."""
    return np.asarray(np.searchsorted(part.acquired, part.frame[1:][part.step[:-1] == 1]))


def _motion(part: Rows, axis: str) -> FloatArray:
    """Return by how much linked rows move until the next one."""
    moves = np.diff(part.column(f"position_{axis}").astype(np.float64))
    return np.asarray(moves[part.step[:-1] == 1])


def drift_of(rows: Rows) -> float | None:
    """Return how far all cells together come from where they were, in pixels; None for few cells.

    The farthest place of the movie counts, as the sums of `common_motion` tell it.
    """
    if rows.cells.size.size < FEWEST_CELLS or not _linked(rows).any():
        return None
    return float(np.hypot(*(np.cumsum(step) for step in common_motion(rows))).max())


@by_parts
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
    cut = rows_named(rows, cell, frame)
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
    frames = np.flatnonzero(np.bincount(rows.frame))
    for name in rows.of_feature("background_mean"):
        level = frame_medians(rows.frame, rows.column(name))[frames]
        known = np.flatnonzero(level > 0)
        if known.size < FEWEST_FRAMES:
            continue
        rate, start = np.polyfit(frames[known].astype(np.float64), np.log(level[known]), 1)
        left = np.log(level[known]) - (rate * frames[known] + start)
        if -rate * (frames[-1] - frames[0]) > 5 * left.std():
            flagged |= rate * (rows.frame - frames[0]) < np.log(FADED)
    return flagged


def decaying(rows: Rows) -> BoolArray:
    """Flag rows of frames by which the light of most cells has fallen by a tenth at one rate.

    A cell's rate is the slope of ln `intensity_total` over its rows. Bleaching does this where it
    leaves the background as it is, and so does any decay that all cells have in common.
    """
    flagged = np.zeros(len(rows), bool)
    for name in rows.of_feature("intensity_total"):
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = rows.gather(_rate, np.float64, name)
        rate = rate[rows.cells.size >= FEWEST_FRAMES]
        rate = rate[np.isfinite(rate)]
        if rate.size < FEWEST_CELLS:
            continue
        low, usual, high = np.quantile(rate, (0.25, 0.5, 0.75))
        if high - low < -COMMON * usual:
            flagged |= usual * (rows.frame - rows.frame.min()) < np.log(FADED)
    return flagged


def _rate(part: Rows, name: str) -> FloatArray:
    return _line(part, np.log(part.column(name)))[0]


@by_parts
def dim(rows: Rows) -> BoolArray:
    """Flag rows around which the fluorescence of any channel is little more than noise.

    That is where the median, over `AREA_WINDOW` rows around, of the distance of `intensity_total`
    from its median over `JUMP_WINDOW` rows, as a share of that median, is above `DIM`.
    """
    flagged = np.zeros(len(rows), bool)
    for name in rows.of_feature("intensity_total"):
        total = rows.column(name)
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
    half, frames = BESIDE // 2, int(rows.frame.max(initial=0)) + 1
    for name in rows.of_feature("intensity_total"):
        found = np.zeros((3, frames))
        for _, part in rows.parts():
            total = part.column(name).astype(np.float64)
            beside = [running_median(total, part.cells, BESIDE, at) for at in (-half, half + 1)]
            low, high = np.minimum(*beside), np.maximum(*beside)
            judged = (low > 0) & np.isfinite(total)
            jumps = judged, judged & (total > LIGHT * high), judged & (LIGHT * total < low)
            found += [np.bincount(part.frame, flags, minlength=frames) for flags in jumps]
        count, up, down = found
        together = np.maximum(up, down) >= MOST * np.maximum(count, 1)
        flagged |= rows.of_frames((count >= FEWEST_CELLS) & together)
    return flagged


def uneven_background(rows: Rows, most: float) -> BoolArray:
    """Flag all rows where a channel's background changes from the centre to the corners.

    To `background_mean` over the median of its frame a surface a + b·x + c·y + d·r² is fitted, r
    being 1 at the corners. It is uneven where |d| exceeds `most`. A slope alone may be stray light.
    """
    flagged = np.zeros(len(rows), bool)
    for name in rows.of_feature("background_mean"):
        level = frame_medians(rows.frame, rows.column(name))
        level[~(level > 0)] = np.nan
        used, squares, products = 0, np.zeros((4, 4)), np.zeros(4)  # of the normal equations
        for _, part in rows.parts():
            share = part.column(name) / level[part.frame]
            use = np.isfinite(share)
            x, y = (
                part.column(f"position_{axis}")[use] / ((side - 1) / 2 or 1) - 1
                for axis, side in zip("xy", rows.shape[:0:-1], strict=True)
            )
            terms = np.stack([np.ones(x.size), x, y, (x * x + y * y) / 2])
            used, squares = used + x.size, squares + terms @ terms.T
            products += terms @ share[use]
        if used >= FEWEST_CELLS * FEWEST_FRAMES:
            flagged |= abs(np.linalg.lstsq(squares, products, rcond=None)[0][3]) > most
    return flagged


def pale_and_ragged(rows: Rows, sharpness: float, solidity: float) -> BoolArray:
    """Flag rows of objects that are found in part, or with something beside them.

    Their sharpness is below a share of the movie's median, their solidity below `solidity`, and
    their area changes more from row to row than is usual (`STEADY`): flat cells with long
    processes are pale and of low solidity, too, but found alike in every frame.
    """
    flagged = np.zeros(len(rows), bool)
    steady = np.zeros(len(rows), bool)
    for change, usual in _area_changes(rows):
        steady |= change <= STEADY * usual
    for name in rows.of_feature("sharpness"):
        shape, values = name.replace("sharpness", "solidity"), rows.column(name)
        if shape in rows.of_feature("solidity") and not np.isnan(values).all():
            pale = values < sharpness * np.nanmedian(values)
            del values
            flagged |= pale & (rows.column(shape) < solidity)
    return flagged & ~steady


def _area_changes(rows: Rows) -> Iterator[tuple[FloatArray, float]]:
    """Yield the median change of ln(area) from row to row around each, and what is usual of it.

    NaN for single rows. Around are `AREA_WINDOW` rows of the cell, usual is the movie's median.
    """
    for name in rows.of_feature("area"):
        change = rows.gather(_area_change, np.float64, name)
        if not np.isnan(change).all():
            yield change, float(np.nanmedian(change))


def _area_change(part: Rows, name: str) -> FloatArray:
    change = np.abs(np.diff(np.log(part.column(name).astype(np.float64)), prepend=np.nan))
    change[part.cells.start] = np.nan
    return running_median(change, part.cells, AREA_WINDOW)


def chains(rows: Rows, gap: int) -> IntArray:
    """Return one number per cell: that of the chain of broken ids that it belongs to.

    An id that ends amid field and movie, and the nearest one that begins so within a cell's
    diameter and after at most `gap` missed frames, are one chain.
    """
    chain = np.arange(rows.cells.size.size)
    areas = rows.of_feature("area")
    if not areas:
        return chain
    began, ended = amid(rows)
    frame, x, y, area = (
        _at_ends(rows, name) for name in ("frame", "position_x", "position_y", areas[0])
    )
    born, last = np.searchsorted(rows.acquired, frame)
    diameter = 2 * np.sqrt(area[1] / np.pi)
    taken = np.zeros(chain.size, bool)
    ending = np.flatnonzero(ended)
    ending = ending[np.argsort(last[ending], kind="stable")]
    when = last[ending]
    for cell in np.flatnonzero(began).tolist():
        low, high = np.searchsorted(when, [born[cell] - gap - 1, born[cell]])
        others = ending[low:high]
        others = others[~taken[others]]
        if not others.size:
            continue
        far = np.hypot(x[1][others] - x[0][cell], y[1][others] - y[0][cell])
        best = int(far.argmin())
        if far[best] <= diameter[others[best]]:
            taken[others[best]] = True
            chain[cell] = chain[others[best]]
    return chain


def amid(rows: Rows) -> tuple[BoolArray, BoolArray]:
    """Tell of each cell whether its id begins, and whether it ends, amid field and movie.

    That is, not in the first or last acquired frame, and the centroid no nearer to the frame's
    border than the diameter of a circle of the cell's area.
    """
    _, height, width = rows.shape
    x, y, frame = (_at_ends(rows, name) for name in ("position_x", "position_y", "frame"))
    area = next((_at_ends(rows, name) for name in rows.of_feature("area")), np.zeros(x.shape))
    near = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    inner = near > 2 * np.sqrt(area / np.pi)
    acquired = rows.acquired if rows.acquired.size else np.zeros(1, np.int64)
    return inner[0] & (frame[0] > acquired[0]), inner[1] & (frame[1] < acquired[-1])


def _at_ends(rows: Rows, name: str) -> NDArray[Any]:
    """Return (2, cells): a column's values in the first and in the last row of each cell."""
    ends = []
    for _, part in rows.parts():
        values = part.column(name)
        ends.append(np.stack([values[part.cells.start], values[part.cells.stop - 1]]))
    return np.concatenate(ends or [np.zeros((2, 0))], axis=1)


def frame_medians(frame: IntArray, values: NDArray[Any], frames: int | None = None) -> FloatArray:
    """Return the median of the values of each frame, NaN where there is none; NaNs do not count.

    `frame`: (n,) frame of each of the values, in any order. `frames`: how many medians are
    returned; by default, up to the last frame.
    """
    size = int(frame.max(initial=-1)) + 1 if frames is None else frames
    medians = np.full(size, np.nan)
    for some, _ in _of_frames(frame, size):
        known = ~np.isnan(values[some])
        at = frame[some]
        first = int(at[0])
        count = np.bincount(at[known] - first)
        medians[first : first + count.size] = Groups(count).median(
            values[some[known]].astype(np.float64)
        )
    return medians


def _of_frames(frame: IntArray, size: int | None = None) -> Iterator[tuple[IntArray, Groups]]:
    """Yield rows of some frames at a time, in order of frames, and which are of the same one.

    Sixteen times at most, so that memory holds no second order of a long table.
    """
    frames = int(frame.max(initial=-1)) + 1 if size is None else size
    several = max(1, -(-frames // max(1, min(16, frame.size // _SOME))))
    for first in range(0, frames, several):
        some = np.flatnonzero((frame >= first) & (frame < first + several))
        if some.size:
            some = some[np.argsort(frame[some], kind="stable")]
            yield some, Groups(np.bincount(frame[some] - first))
