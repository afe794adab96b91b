"""Reference of the penalised B-spline surface (method ``tiles``), frame after frame."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MAD = 1.4826
CROWDED_LAMBDA = 0.1


def cubic_bspline(s: np.ndarray) -> np.ndarray:
    """Cardinal cubic B-spline around 0."""
    a = np.abs(s)
    inner = 2 / 3 - a**2 + a**3 / 2
    outer = (2 - a) ** 3 / 6
    return np.where(a < 1, inner, np.where(a < 2, outer, 0.0))


@dataclass(frozen=True)
class Axis:
    """Tiles, patches and basis along one axis of n pixels."""

    edges: np.ndarray  # (M + 1,) patch edges
    patches: int  # per tile
    basis: np.ndarray  # (n, p) at the pixels
    means: np.ndarray  # (M, p) over each patch

    @classmethod
    def of(cls, n: int, tile_px: int) -> Axis:
        """Lay the grid of the definition."""
        intervals = max(1, min(32, int(np.floor(n / tile_px + 0.5))))
        tiles = min(max(2 * intervals, 4), n)
        patches = max(1, min(8, n // tiles))
        count = tiles * patches
        edges = np.array([(2 * k * n + count) // (2 * count) for k in range(count + 1)])
        y, j = np.mgrid[0:n, 0 : intervals + 3]
        basis = cubic_bspline((y + 0.5) * intervals / n - (j - 1))
        means = [basis[a:b].mean(axis=0) for a, b in pairwise(edges)]
        return cls(edges, patches, basis, np.array(means))

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.basis.shape[1]


def roughness(size: int, first: float) -> np.ndarray:
    """Sum of lambda_d D_d^T D_d for d = 1, 2, 3."""
    total = np.zeros((size, size))
    for order, weight in ((1, first), (2, 1e-5), (3, 1e-4)):
        difference = np.diff(np.eye(size), n=order, axis=0)
        total += weight * difference.T @ difference
    return total


@dataclass(frozen=True)
class TileData:
    """What the tiles of one frame hold."""

    free: np.ndarray  # number of free pixels per tile
    area: np.ndarray
    own: np.ndarray  # usable by the rule of 5 %
    usable: np.ndarray
    median: np.ndarray


class TilesReference:
    """The method ``tiles`` for frames of one shape, fed in order of time.

    ``unit`` is the slack of a clean pixel: 1 count for integers, None for floats.
    """

    def __init__(self, shape: tuple[int, int], tile_px: int = 256, unit: float | None = 1.0):
        self.shape = shape
        self.unit = unit
        self.y, self.x = (Axis.of(n, tile_px) for n in shape)
        self.design = np.kron(self.y.means, self.x.means)
        self.steps = tuple(max(1, n // 256) for n in shape)
        self.last: tuple[np.ndarray, float] | None = None

    def __call__(self, frame: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, str]:
        """Surface of one frame, and its flag."""
        finite = np.isfinite(frame)
        if not finite.any():
            zero = np.zeros(self.design.shape[1])
            return self.surface(zero if self.last is None else self.last[0]), ""
        if not free.any():
            return self.covered(frame, finite), "all covered"
        data = self.tile_data(frame, free)
        crowded = free.mean() < 0.1 or data.own.mean() < 0.25
        start = np.zeros(self.design.shape[1])
        if crowded and self.last is not None:
            start = self.last[0]
        penalty = self.penalty(CROWDED_LAMBDA if crowded else 1e-6)
        coefficients, trust = self.first_estimate(frame, free, data, start, penalty)
        for _ in range(2):
            coefficients, sigma = self.refine(frame, free, data, coefficients, trust, penalty)
        if not crowded:
            self.last = coefficients, sigma
        return self.surface(coefficients), "crowded" if crowded else ""

    def surface(self, coefficients: np.ndarray) -> np.ndarray:
        """Evaluate at every pixel."""
        return self.y.basis @ coefficients.reshape(self.y.size, self.x.size) @ self.x.basis.T

    def penalty(self, first: float) -> np.ndarray:
        """Matrix P of R(c) = c^T P c."""
        along_y = np.kron(roughness(self.y.size, first), np.eye(self.x.size))
        return along_y + np.kron(np.eye(self.y.size), roughness(self.x.size, first))

    def patch_sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of a frame over each patch, (M_y, M_x)."""
        rows = np.add.reduceat(values, self.y.edges[:-1], axis=0)
        return np.add.reduceat(rows, self.x.edges[:-1], axis=1)

    def tile_sums(self, patches: np.ndarray) -> np.ndarray:
        """Sum of the patches of each tile; further axes stay."""
        shape = (-1, self.y.patches, patches.shape[1] // self.x.patches, self.x.patches)
        return patches.reshape(shape + patches.shape[2:]).sum(axis=(1, 3))

    def to_patches(self, tiles: np.ndarray) -> np.ndarray:
        """Give each patch the value of its tile."""
        return tiles.repeat(self.y.patches, axis=0).repeat(self.x.patches, axis=1)

    def tile_means(self, coefficients: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Mean of the surface over tiles, each patch weighing its number of pixels."""
        patches = (self.design @ coefficients).reshape(pixels.shape) * pixels
        total = self.tile_sums(pixels)
        return self.tile_sums(patches) / np.where(total > 0, total, 1)

    def tile_boxes(self) -> list[tuple[int, int, tuple[slice, slice]]]:
        """Index and pixels of each tile."""
        rows, columns = self.y.edges[:: self.y.patches], self.x.edges[:: self.x.patches]
        return [
            (i, j, np.s_[rows[i] : rows[i + 1], columns[j] : columns[j + 1]])
            for i in range(len(rows) - 1)
            for j in range(len(columns) - 1)
        ]

    def tile_data(self, frame: np.ndarray, free: np.ndarray) -> TileData:
        """Counts and medians of the free pixels per tile."""
        count = self.tile_sums(self.patch_sums(free.astype(float)))
        area = self.tile_sums(self.patch_sums(np.ones(self.shape)))
        own = (count >= 1) & (count >= 0.05 * area)
        median = np.zeros(count.shape)
        for i, j, box in self.tile_boxes():
            if count[i, j]:
                median[i, j] = np.median(frame[box][free[box]])
        return TileData(count, area, own, own if own.any() else count >= 1, median)

    def lattice(self, values: np.ndarray) -> np.ndarray:
        """Every s-th row and column."""
        return values[:: self.steps[0], :: self.steps[1]]

    def pixel_noise(self, frame: np.ndarray, free: np.ndarray) -> float:
        """Noise from differences to the right neighbour, on the sub-lattice."""
        step = np.abs(np.where(free, frame, 0)[:, 1:] - np.where(free, frame, 0)[:, :-1])
        steps = self.lattice(step)[self.lattice(free[:, 1:] & free[:, :-1])]
        return float(MAD * np.median(steps) / np.sqrt(2)) if steps.size else 0.0

    def first_estimate(
        self,
        frame: np.ndarray,
        free: np.ndarray,
        data: TileData,
        start: np.ndarray,
        penalty: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit to the tile medians, bright tiles losing weight; coefficients and omega."""
        used = data.usable.ravel()
        pixels = self.patch_sums(free.astype(float))
        per_patch = self.design.reshape(*pixels.shape, -1) * pixels[..., None]
        design = self.tile_sums(per_patch).reshape(used.size, -1)[used]
        design /= data.free.ravel()[used, None]
        weight = (data.free / data.area).ravel()[used]
        value = data.median.ravel()[used]
        noise = self.pixel_noise(frame, free)
        omega = np.ones(value.size)
        for _ in range(5):
            normal = design.T @ ((omega * weight)[:, None] * design) + penalty
            right = design.T @ (omega * weight * (value - design @ start))
            coefficients = start + np.linalg.solve(normal, right)
            rest = value - design @ coefficients
            scale = max(MAD * np.median(np.abs(rest)), noise)
            excess = np.maximum(rest, 0) / (3 * scale) if scale > 0 else np.zeros(rest.shape)
            omega = (1 + excess**2) ** -2.0
        trust = np.zeros(used.size)
        trust[used] = omega
        return coefficients, trust.reshape(data.free.shape)

    def refine(
        self,
        frame: np.ndarray,
        free: np.ndarray,
        data: TileData,
        coefficients: np.ndarray,
        trust: np.ndarray,
        penalty: np.ndarray,
    ) -> tuple[np.ndarray, float]:
        """One look at what remains at clean pixels; coefficients and the noise sigma."""
        rest = np.where(free, frame, np.inf) - self.surface(coefficients)
        sample = self.lattice(rest)
        sample = sample[self.lattice(free) & (sample <= 0)]
        sigma = float(MAD * np.median(-sample)) if sample.size else 0.0
        unit = self.unit
        if unit is None:
            unit = 1e-6 * np.abs(data.median[data.usable]).max()
        clean = free & (np.abs(rest) <= 3 * sigma + unit)
        share = self.to_patches(trust / data.area)
        weight = (share * self.patch_sums(clean.astype(float))).ravel()
        total = (share * self.patch_sums(np.where(clean, rest, 0))).ravel()
        if not weight.sum():
            return coefficients, sigma
        normal = self.design.T @ (weight[:, None] * self.design) + penalty
        return coefficients + np.linalg.solve(normal, self.design.T @ total), sigma

    def covered(self, frame: np.ndarray, finite: np.ndarray) -> np.ndarray:
        """Surface of a frame without free pixels, from the last good one or the darkest pixels."""
        if self.last is None:
            return np.full(self.shape, dark_pixel(frame[finite]))
        last, sigma = self.last
        expected = self.tile_means(last, self.patch_sums(np.ones(self.shape)))
        ratios = [
            (dark_pixel(frame[box][finite[box]]) + 1.645 * sigma) / expected[i, j]
            for i, j, box in self.tile_boxes()
            if finite[box].any() and expected[i, j] > 0
        ]
        return self.surface(min(1.0, float(np.median(ratios)) if ratios else 1.0) * last)


def dark_pixel(values: np.ndarray) -> float:
    """The floor(0.05 (N - 1))-th smallest value, counted from 0."""
    return float(np.sort(values)[int(np.floor(0.05 * (values.size - 1)))])
