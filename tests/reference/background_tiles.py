"""Reference of the penalised B-spline surface (method ``tiles``), frame after frame."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MAD = 1.4826
LAMBDAS = (1e-7, 1e-6, 1e-5)
CROWDED_LAMBDAS = (0.1, 1e-6, 1e-5)


def cubic_bspline(s: np.ndarray) -> np.ndarray:
    """Cardinal cubic B-spline around 0."""
    a = np.abs(s)
    inner = 2 / 3 - a**2 + a**3 / 2
    outer = (2 - a) ** 3 / 6
    return np.where(a < 1, inner, np.where(a < 2, outer, 0.0))


@dataclass(frozen=True)
class Axis:
    """Tiles, patches and basis along one axis, of which every e-th pixel is looked at."""

    edges: np.ndarray  # (M + 1,) patch edges, counted in pixels that are looked at
    patches: int  # per tile
    basis: np.ndarray  # (n, p) at all pixels
    means: np.ndarray  # (M, p) over the pixels of each patch that are looked at

    @classmethod
    def of(cls, n: int, tile_px: int, every: int = 1) -> Axis:
        """Lay the grid of the definition."""
        least = 1 if n < 128 else 2
        intervals = max(least, min(32, int(np.floor(n / tile_px + 0.5))))
        tiles = min(max(2 * intervals, 4), n)
        patches = max(1, min(8, n // tiles))
        count = tiles * patches
        edges = np.array([(2 * k * n + count) // (2 * count) for k in range(count + 1)])
        edges = -(-edges // every)
        y, j = np.mgrid[0:n, 0 : intervals + 3]
        basis = cubic_bspline((y + 0.5) * intervals / n - (j - 1))
        means = [basis[::every][a:b].mean(axis=0) for a, b in pairwise(edges)]
        return cls(edges, patches, basis, np.array(means))

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.basis.shape[1]

    @property
    def tiles(self) -> list[slice]:
        """Pixels of each tile."""
        return [slice(a, b) for a, b in pairwise(self.edges[:: self.patches])]


class Grid:
    """Patches and tiles of a frame."""

    def __init__(self, y: Axis, x: Axis):
        self.y, self.x = y, x
        self.design = np.kron(y.means, x.means)
        self.boxes = [
            (i, j, (rows, columns))
            for i, rows in enumerate(y.tiles)
            for j, columns in enumerate(x.tiles)
        ]

    def patch_sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of a frame over each patch, (M_y, M_x)."""
        rows = np.add.reduceat(values, self.y.edges[:-1], axis=0)
        return np.add.reduceat(rows, self.x.edges[:-1], axis=1)

    def tile_sums(self, patches: np.ndarray) -> np.ndarray:
        """Sum of the patches of each tile; further axes stay."""
        shape = (-1, self.y.patches, len(self.x.tiles), self.x.patches)
        return patches.reshape(shape + patches.shape[2:]).sum(axis=(1, 3))

    def to_patches(self, tiles: np.ndarray) -> np.ndarray:
        """Give each patch the value of its tile."""
        return tiles.repeat(self.y.patches, axis=0).repeat(self.x.patches, axis=1)

    def areas(self) -> np.ndarray:
        """Pixels of each patch."""
        return np.outer(np.diff(self.y.edges), np.diff(self.x.edges)).astype(float)


@dataclass(frozen=True)
class TileData:
    """What the tiles of one frame hold."""

    free: np.ndarray  # number of free pixels per tile
    area: np.ndarray
    own: np.ndarray  # usable by the rule of 5 %
    usable: np.ndarray
    median: np.ndarray


def tile_data(grid: Grid, frame: np.ndarray, free: np.ndarray) -> TileData:
    """Counts and medians of the free pixels per tile."""
    count = grid.tile_sums(grid.patch_sums(free.astype(float)))
    area = grid.tile_sums(grid.areas())
    own = (count >= 1) & (count >= 0.05 * area)
    median = np.zeros(count.shape)
    for i, j, box in grid.boxes:
        if count[i, j]:
            median[i, j] = np.median(frame[box][free[box]])
    return TileData(count, area, own, own if own.any() else count >= 1, median)


def roughness(size: int, lambdas: tuple[float, ...]) -> np.ndarray:
    """Sum of lambda_d D_d^T D_d for d = 1, 2, 3."""
    total = np.zeros((size, size))
    for order, weight in enumerate(lambdas, start=1):
        difference = np.diff(np.eye(size), n=order, axis=0)
        total += weight * difference.T @ difference
    return total


class TilesReference:
    """The method ``tiles`` for frames of one shape, fed in order of time.

    ``unit`` is the slack of a clean pixel: 1 count for integers, None for floats.
    """

    def __init__(self, shape: tuple[int, int], tile_px: int = 256, unit: float | None = 1.0):
        self.shape = shape
        self.unit = unit
        self.every = max(1, min(4, shape[0] // 512))
        self.y, self.x = (Axis.of(n, tile_px) for n in shape)
        self.whole = Grid(self.y, self.x)
        self.thin = Grid(Axis.of(shape[0], tile_px, self.every), self.x)
        self.steps = tuple(max(1, n // 256) for n in shape)
        self.last: tuple[np.ndarray, float] | None = None

    def __call__(self, frame: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, str]:
        """Surface of one frame, and its flag."""
        finite = np.isfinite(frame)
        if not finite.any():
            zero = np.zeros(self.y.size * self.x.size)
            return self.surface(zero if self.last is None else self.last[0]), ""
        if not free[:: self.every].any():
            return self.covered(frame, finite), "all covered"
        data = tile_data(self.thin, frame[:: self.every], free[:: self.every])
        crowded = free.mean() < 0.1 or data.own.mean() < 0.25
        start = np.zeros(self.y.size * self.x.size)
        if crowded and self.last is not None:
            start = self.last[0]
        penalty = self.penalty(CROWDED_LAMBDAS if crowded else LAMBDAS)
        coefficients, trust = self.first_estimate(frame, free, data, start, penalty)
        slack = 1e-6 * np.abs(data.median[data.usable]).max() if self.unit is None else self.unit
        for grid, every in ((self.thin, self.every), (self.whole, 1)):
            rest = np.where(free, frame, np.inf) - self.surface(coefficients)
            sigma = self.dark_noise(rest, free)
            clean = free & (np.abs(rest) <= 3 * sigma + slack)
            change = refinement(grid, rest[::every], clean[::every], trust, penalty)
            coefficients = coefficients + change
        if not crowded:
            self.last = coefficients, sigma
        return self.surface(coefficients), "crowded" if crowded else ""

    def surface(self, coefficients: np.ndarray) -> np.ndarray:
        """Evaluate at every pixel."""
        return self.y.basis @ coefficients.reshape(self.y.size, self.x.size) @ self.x.basis.T

    def penalty(self, lambdas: tuple[float, ...]) -> np.ndarray:
        """Matrix P of R(c) = c^T P c."""
        tiles = len(self.y.tiles) * len(self.x.tiles)
        kappa = max(1.0, 64**2 * tiles / (self.shape[0] * self.shape[1]))
        along_y = np.kron(roughness(self.y.size, lambdas), np.eye(self.x.size))
        along_x = np.kron(np.eye(self.y.size), roughness(self.x.size, lambdas))
        return kappa * (along_y + along_x)

    def lattice(self, values: np.ndarray) -> np.ndarray:
        """Every s-th row and column."""
        return values[:: self.steps[0], :: self.steps[1]]

    def pixel_noise(self, frame: np.ndarray, free: np.ndarray) -> float:
        """Noise from differences to the right neighbour, on the sub-lattice."""
        known = np.where(free, frame, 0)
        steps = np.abs(self.lattice(known[:, 1:] - known[:, :-1]))
        steps = steps[self.lattice(free[:, 1:] & free[:, :-1])]
        return float(MAD * np.median(steps) / np.sqrt(2)) if steps.size else 0.0

    def dark_noise(self, rest: np.ndarray, free: np.ndarray) -> float:
        """Noise from the free pixels of the sub-lattice that lie below the surface."""
        sample = self.lattice(rest)
        sample = sample[self.lattice(free) & (sample <= 0)]
        return float(MAD * np.median(-sample)) if sample.size else 0.0

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
        pixels = self.thin.patch_sums(free[:: self.every].astype(float))
        per_patch = self.thin.design.reshape(*pixels.shape, -1) * pixels[..., None]
        design = self.thin.tile_sums(per_patch).reshape(used.size, -1)[used]
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

    def covered(self, frame: np.ndarray, finite: np.ndarray) -> np.ndarray:
        """Surface of a frame without free pixels, from the last good one or the darkest pixels."""
        if self.last is None:
            return np.full(self.shape, dark_pixel(frame[finite]))
        last, sigma = self.last
        surface = self.surface(last)
        ratios = [
            (dark_pixel(frame[box][finite[box]]) + 1.645 * sigma) / surface[box].mean()
            for _, _, box in self.whole.boxes
            if finite[box].any() and surface[box].mean() > 0
        ]
        return min(1.0, float(np.median(ratios)) if ratios else 1.0) * surface


def refinement(
    grid: Grid, rest: np.ndarray, clean: np.ndarray, trust: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Change of the coefficients that fits what remains at the clean pixels."""
    share = grid.to_patches(trust / grid.tile_sums(grid.areas()))
    weight = (share * grid.patch_sums(clean.astype(float))).ravel()
    total = (share * grid.patch_sums(np.where(clean, rest, 0))).ravel()
    if not weight.sum():
        return np.zeros(grid.design.shape[1])
    normal = grid.design.T @ (weight[:, None] * grid.design) + penalty
    return np.linalg.solve(normal, grid.design.T @ total)


def dark_pixel(values: np.ndarray) -> float:
    """The floor(0.05 (N - 1))-th smallest value, counted from 0."""
    return float(np.sort(values)[int(np.floor(0.05 * (values.size - 1)))])
