"""Reference of the method ``logstd``: threshold, outline and objects of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from reference.contrast import Frame, SteadyOffset, log_mode_sigma, odd_side, smooth_log_std
from reference.morphology import (
    CROSS,
    FULL,
    closed,
    dilate,
    disc,
    fill_small_holes,
    grow,
    opened,
)
from reference.splitting import split


@dataclass(frozen=True)
class LogStd:
    """Parameters in µm, as the definition names them."""

    pixel_um: float
    window_um: float = 2.0
    n_sigma: float = 4.0
    memory: int = 5
    close_um: float = 2.0
    open_um: float = 1.5
    max_hole_um2: float = 200.0
    background_um: float = 5.0
    halo_fraction: float = 0.3
    bright_um: float = 10.0
    halo_um: float = 3.0
    outline_um: float = 2.0
    min_area_um2: float = 50.0
    min_cut_area_um2: float = 12.0
    max_area_um2: float | None = None
    faint_area_um2: float = 500.0
    min_contrast: float = 2.0
    split: bool = True
    neck_ratio: float = 0.55
    kept_neck_ratio: float = 0.9
    new_neck_ratio: float = 0.3
    min_radius_um: float = 6.0
    max_solidity: float = 0.92

    def px(self, length_um: float) -> float:
        """Length in pixels, not rounded."""
        return length_um / self.pixel_um

    def px2(self, area_um2: float) -> float:
        """Area in pixels, not rounded."""
        return area_um2 / self.pixel_um**2

    def steps(self, length_um: float) -> int:
        """Length in whole pixels, halves to even."""
        return int(np.rint(self.px(length_um)))


def foreground(
    frame: Frame, p: LogStd, offset: SteadyOffset
) -> tuple[np.ndarray, dict[str, float]]:
    """Cells with their halos (A), and the numbers of the threshold."""
    smooth = smooth_log_std(frame, p.px(p.window_um))
    mode, sigma = log_mode_sigma(smooth[frame.finite])
    threshold = mode + offset(p.n_sigma * sigma)
    mask = smooth > threshold
    if not frame.finite.all():
        side = 2 * (1 + odd_side(p.px(p.window_um)) // 2) + 1
        mask &= ~dilate(~frame.finite, np.ones((side, side), dtype=bool))
    mask = closed(mask, disc(p.px(p.close_um)))
    mask = fill_small_holes(mask, p.px2(p.max_hole_um2))
    mask = opened(mask, disc(p.px(p.open_um)))
    return mask, {"mode": mode, "sigma": sigma, "threshold": threshold}


def surroundings(image: np.ndarray, mask: np.ndarray, block: int) -> np.ndarray:
    """Brightness around the cells, from blocks of free pixels."""
    free = ~dilate(mask, FULL)
    counts = [-(-n // block) for n in image.shape]
    pad = [(0, c * block - n) for c, n in zip(counts, image.shape, strict=True)]
    shape = (counts[0], block, counts[1], block)
    s = np.pad(np.where(free, image, 0), pad).reshape(shape).mean(axis=(1, 3))
    n = np.pad(free.astype(float), pad).reshape(shape).mean(axis=(1, 3))
    middle = s.sum() / n.sum() if free.any() else image.mean()
    kernel = np.full((5, 5), 1 / 25)
    s = ndimage.convolve(s, kernel, mode="constant")
    n = ndimage.convolve(n, kernel, mode="constant")
    level = (s + 1e-3 * middle) / (n + 1e-3)
    across = np.array([on_pixels(row, image.shape[1], block) for row in level])
    return np.array([on_pixels(column, image.shape[0], block) for column in across.T]).T


def on_pixels(values: np.ndarray, n: int, block: int) -> np.ndarray:
    """Linear between block centres, constant beyond the outermost."""
    return np.interp(np.arange(n), (np.arange(len(values)) + 0.5) * block - 0.5, values)


def ranked(values: np.ndarray, share: float) -> float:
    """Value of rank floor(share (N - 1)), ascending from 0."""
    return float(np.sort(values)[int(np.floor(share * (values.size - 1)))])


def halo_brightness(relief: np.ndarray, mask: np.ndarray, floor: float, fraction: float) -> float:
    """Brightness over the surroundings from which on a pixel belongs to a halo."""
    sample = relief[::2, ::2][mask[::2, ::2]]
    return max(floor, fraction * ranked(sample, 0.95)) if sample.size else floor


def even_halos(relief: np.ndarray, mask: np.ndarray, least: float) -> np.ndarray:
    """The relief, divided by how bright the halo of each component is among all."""
    component, n = ndimage.label(mask, FULL)
    sampled = np.zeros_like(mask)
    sampled[::2, ::2] = mask[::2, ::2] & (relief[::2, ::2] > 0)
    if not sampled.any():
        return relief
    usual = relief[sampled].mean()
    even = relief.copy()
    for k in range(1, n + 1):
        own = relief[sampled & (component == k)]
        if own.size >= 8:
            even[component == k] /= np.clip((own.mean() / usual) ** 0.7, max(least, 0.3), 1)
    return even


def outlines(mask: np.ndarray, relief: np.ndarray, limit: float, p: LogStd) -> np.ndarray:
    """Cells without their halos (C)."""
    halo = (relief > limit) & mask
    side = odd_side(p.px(p.bright_um))
    halo &= ~opened(halo, np.ones((side, side), dtype=bool))
    foot = grow(halo, (relief > 0.3 * limit) & mask, p.steps(p.halo_um))
    cells = fill_small_holes(mask & ~foot, p.px2(p.max_hole_um2))
    cells = opened(cells, disc(p.px(p.open_um)))
    allowed = mask & ~halo
    for _ in range(p.steps(p.outline_um)):
        cells = dilate(cells, CROSS) & allowed
    return cells


def window(component: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Box of a component with a margin, cut at the frame."""
    (box,) = ndimage.find_objects(component.astype(np.int8))
    return tuple(
        slice(max(s.start - margin, 0), min(s.stop + margin, n))
        for s, n in zip(box, component.shape, strict=True)
    )


def smoothed(component: np.ndarray, mask: np.ndarray, cells: np.ndarray, p: LogStd) -> np.ndarray:
    """Component with its outline closed, where the cells' surroundings allow it."""
    near = window(component, int(np.ceil(p.px(p.outline_um))) + 1)
    result = component.copy()
    added = closed(component[near], disc(p.px(p.outline_um))) & mask[near] & ~cells[near]
    result[near] = fill_small_holes(component[near] | added, p.px2(p.max_hole_um2))
    return result


def objects(
    cells: np.ndarray,
    mask: np.ndarray,
    relief: np.ndarray,
    limit: float,
    p: LogStd,
    before: np.ndarray,
) -> np.ndarray:
    """Labels of the components, one after the other, split where they have necks."""
    components, n = ndimage.label(cells, structure=FULL)
    labels = np.zeros(cells.shape, dtype=np.int64)
    number = 0
    first = [int(np.argmax(components.ravel() == k)) for k in range(1, n + 1)]
    for k in np.argsort(first) + 1:
        component = components == k
        area = int(component.sum())
        if too_small(component, p):
            continue
        faint = area < p.px2(p.faint_area_um2)
        if faint and ranked(np.abs(relief[component]), 0.9) < p.min_contrast * limit:
            continue
        component = smoothed(component, mask, cells, p) & (labels == 0)
        most = np.inf if p.max_area_um2 is None else p.px2(p.max_area_um2)
        for part in parts(component, p, before):
            if not too_small(part, p) and part.sum() <= most:
                number += 1
                labels[part] = number
    return labels


def too_small(component: np.ndarray, p: LogStd) -> bool:
    """Whether an object is too small, less being asked of one that the border cuts."""
    least = p.min_area_um2
    if component[[0, -1]].any() or component[:, [0, -1]].any():
        least = min(least, p.min_cut_area_um2)
    return bool(component.sum() < max(1, p.px2(least)))


def parts(component: np.ndarray, p: LogStd, before: np.ndarray) -> list[np.ndarray]:
    """The component, or what it is split into."""
    if not p.split or not component.any():
        return [component]
    near = window(component, int(np.ceil(p.px(p.outline_um))) + 1)
    pieces = split(
        component[near],
        before[near],
        neck_ratio=p.neck_ratio,
        kept_neck_ratio=p.kept_neck_ratio,
        new_neck_ratio=p.new_neck_ratio,
        min_radius=p.px(p.min_radius_um),
        max_solidity=p.max_solidity,
    )
    result = []
    for piece in pieces:
        part = np.zeros_like(component)
        part[near] = piece
        result.append(part)
    if any(too_small(part, p) for part in result):
        return [component]
    return result


def segment_frame(
    image: np.ndarray, p: LogStd, offset: SteadyOffset, before: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """Labels of one frame, not yet in raster order, and its threshold.

    ``before`` are the labels of the frame before.
    """
    frame = Frame.of(image)
    if frame.constant:
        return np.zeros(image.shape, dtype=np.int64), {}
    mask, stats = foreground(frame, p, offset)
    block = max(4, p.steps(p.background_um))
    relief = frame.image - surroundings(frame.image, mask, block)
    floor = 3 * frame.unit * float(np.exp(stats["mode"]))
    limit = halo_brightness(relief, mask, floor, p.halo_fraction)
    cells = outlines(mask, even_halos(relief, mask, floor / limit), limit, p)
    return objects(cells, mask, relief, limit, p, before), stats
