"""From outlines to pixels: exact masks, the shares of light, and the optical thickness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.simulation.params import MovieParams
from fovflow.simulation.population import Snapshot
from fovflow.simulation.shape import Shape, gauge
from fovflow.simulation.streams import stream

Image = NDArray[np.float32]
Labels = NDArray[np.uint16]
Box = tuple[slice, slice]

LEAST_VISIBLE_PX = 30
"""A cell with fewer pixels in view counts as out of view."""
TILE = 256
"""Edge of the periodic texture tile (px)."""
_SPLIT_PX = 5
"""Edge of the square window around a cell in which only cells in contact with it may lie."""


@dataclass
class Scene:
    """One frame before optics, on a canvas that sticks out of the view on all sides.

    Attributes
    ----------
    labels : numpy.ndarray
        (Y + 2m, X + 2m) uint16 cell ids.
    share : numpy.ndarray
        The same shape, float32: share of a cell's light in each pixel; sums to 1 per cell.
    thickness : numpy.ndarray
        The same shape, float32: optical thickness (rad).
    margin : int
        m (px).
    """

    labels: Labels
    share: Image
    thickness: Image
    margin: int

    def view(self, canvas: NDArray[Any]) -> NDArray[Any]:
        """Cut the view out of a canvas."""
        m = self.margin
        return canvas[m : canvas.shape[0] - m, m : canvas.shape[1] - m]

    def masks(self) -> Labels:
        """Return the ids in view; slivers of cells at the border are left out."""
        seen = np.ascontiguousarray(self.view(self.labels))
        counts = np.bincount(seen.ravel())
        keep = np.arange(counts.size, dtype=np.uint16)
        keep[counts < LEAST_VISIBLE_PX] = 0
        seen = keep[seen]
        for cell in np.unique(keep[keep > 0]):
            if self._cut(seen, cell):
                _keep_largest(seen, (slice(None), slice(None)), int(cell))
        return np.asarray(seen)

    @staticmethod
    def _cut(seen: Labels, cell: int) -> bool:
        """Whether the cell lies at the border, where the view may cut it in two."""
        edges = (seen[0], seen[-1], seen[:, 0], seen[:, -1])
        return any((edge == cell).any() for edge in edges)


def texture_tile(seed: int) -> Image:
    """Return a periodic tile of cytoplasm texture, mean 0, standard deviation 1."""
    rng = stream(seed, "texture")
    tile = np.zeros((TILE, TILE), np.float32)
    for sigma, weight in ((1.0, 0.45), (2.2, 0.7), (6.0, 0.55)):
        noise = rng.standard_normal((TILE, TILE), dtype=np.float32)
        pad = 32
        soft = cv2.GaussianBlur(np.pad(noise, pad, mode="wrap"), (0, 0), sigma)[pad:-pad, pad:-pad]
        tile += weight * soft / soft.std()
    return np.asarray((tile - tile.mean()) / tile.std(), np.float32)


def draw_scene(
    params: MovieParams,
    snapshot: Snapshot,
    shapes: dict[int, Shape],
    origin: NDArray[np.float64],
    tile: Image,
) -> Scene:
    """Draw one frame.

    A pixel belongs to the cell whose gauge is smallest there; of each cell the largest
    4-connected part stays.

    Parameters
    ----------
    params : MovieParams
    snapshot : Snapshot
        Cells of the frame, in world coordinates.
    shapes : dict
        Shape of each id.
    origin : numpy.ndarray
        (2,) x and y of the view's first pixel in the world (whole px).
    tile : numpy.ndarray
        From `texture_tile`.
    """
    poses = snapshot.poses
    size = np.array([params.width, params.height])
    extent = poses.extent if len(poses.extent) else np.zeros(1)
    margin = int(np.ceil(2 * extent.max(initial=0.0))) + 12
    xy = poses.xy - origin + margin
    canvas = (params.height + 2 * margin, params.width + 2 * margin)
    scene = Scene(
        np.zeros(canvas, np.uint16), np.zeros(canvas, np.float32), np.zeros(canvas, np.float32),
        margin,
    )  # fmt: skip
    seen = [
        k
        for k in range(len(snapshot.ids))
        if (xy[k] + extent[k] > 0).all() and (xy[k] - extent[k] < size + 2 * margin).all()
    ]
    best = np.ones(canvas, np.float32)
    patches = {k: _patch(snapshot, k, xy[k], canvas) for k in seen}
    for k in seen:
        box, rho = patches[k][:2]
        mine = rho < best[box]
        best[box][mine] = rho[mine]
        scene.labels[box][mine] = snapshot.ids[k]
    _split(scene.labels, snapshot.bonds)
    for k in seen:
        _keep_largest(scene.labels, patches[k][0], snapshot.ids[k])
    edge = _edge_distance(scene.labels)
    for k in seen:
        _fill(
            scene, shapes[snapshot.ids[k]], patches[k], snapshot=snapshot, k=k, edge=edge, tile=tile
        )
    return scene


Patch = tuple[Box, Image, Image, Image]


def _patch(snapshot: Snapshot, k: int, xy: NDArray[np.float64], canvas: tuple[int, int]) -> Patch:
    """Return a cell's box on the canvas, and ρ, u and v of its pixels."""
    poses = snapshot.poses
    reach = poses.extent[k] + 2.0
    x0, y0 = (int(max(0, np.floor(c - reach))) for c in xy)
    x1 = int(min(canvas[1], np.ceil(xy[0] + reach) + 1))
    y1 = int(min(canvas[0], np.ceil(xy[1] + reach) + 1))
    dx = np.arange(x0, x1, dtype=np.float64)[None, :] - xy[0]
    dy = np.arange(y0, y1, dtype=np.float64)[:, None] - xy[1]
    cos, sin = np.cos(poses.angle[k]), np.sin(poses.angle[k])
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    rho, _ = gauge(
        u.reshape(1, -1), v.reshape(1, -1), poses.table[k : k + 1], poses.kappa[k], poses.u0[k]
    )
    single = np.float32
    return (
        (slice(y0, y1), slice(x0, x1)),
        rho.reshape(u.shape).astype(single),
        u.astype(single),
        v.astype(single),
    )


def _split(labels: Labels, bonds: frozenset[tuple[int, int]]) -> None:
    """Clear, in place, pixels that lie too close to another cell that is not in contact."""
    window = np.ones((_SPLIT_PX, _SPLIT_PX), np.uint8)
    high = cv2.dilate(labels, window)
    flipped = np.where(labels > 0, np.uint16(65535) - labels, np.uint16(0)).astype(np.uint16)
    low = np.uint16(65535) - cv2.dilate(flipped, window)
    tied = np.array([a * 65536 + b for pair in bonds for a, b in (pair, pair[::-1])], np.int64)
    for other in (high, low):
        rows, cols = np.nonzero((labels > 0) & (other != labels) & (other > 0) & (other < 65535))
        pairs = labels[rows, cols].astype(np.int64) * 65536 + other[rows, cols]
        wrong = ~np.isin(pairs, tied)
        labels[rows[wrong], cols[wrong]] = 0


def _keep_largest(labels: Labels, box: Box, cell: int) -> None:
    """Clear, in place, all 4-connected parts of a cell but the largest."""
    region = labels[box]
    mine = (region == cell).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mine, connectivity=4)
    if count > 2:
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        region[(parts != largest) & (mine > 0)] = 0


def _edge_distance(labels: Labels) -> Image:
    """Return each cell pixel's distance to its cell's edge, seams between cells included (px)."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = (labels > 0) & (cv2.dilate(labels, cross) == labels)
    inner &= cv2.erode(labels, cross) == labels
    inner |= (labels > 0) & (cv2.erode(labels, cross) == 0) & (cv2.dilate(labels, cross) == labels)
    return np.asarray(cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _fill(
    scene: Scene,
    shape: Shape,
    patch: Patch,
    *,
    snapshot: Snapshot,
    k: int,
    edge: Image,
    tile: Image,
) -> None:
    """Add one cell's light and optical thickness to the canvas."""
    box, rho, u, v = patch
    mine = scene.labels[box] == snapshot.ids[k]
    if not mine.any():
        return
    radius = np.float32(shape.radius * snapshot.size[k])
    spread = np.float32(1.0 - snapshot.roundness[k])
    grain = cv2.remap(
        tile,
        u + np.float32(shape.texture[0]),
        v + np.float32(shape.texture[1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    nucleus_u, nucleus_v, half_u, half_v, glow = shape.nucleus
    inside = np.hypot((u / radius - nucleus_u) / half_u, (v / radius - nucleus_v) / half_v)
    core = 1.0 / (1.0 + np.exp(np.clip((inside - 1.0) * 9.0, -30, 30)))
    dome = np.sqrt(np.maximum(1.0 - rho * rho, 0.0))
    light = (0.03 + dome * dome * (1.0 + (glow - 1.0) * core)) * np.maximum(1.0 + 0.12 * grain, 0.1)
    light = np.where(mine, light, 0.0)
    scene.share[box] += (light / light.sum(dtype=np.float64)).astype(np.float32)

    tall = shape.height * (1.0 + 5.0 * (1.0 - spread))
    direction, thin = shape.lean
    lean = (u * np.cos(direction) + v * np.sin(direction)) / np.maximum(np.hypot(u, v), 1.0)
    slope = 0.07 + spread * thin * (0.5 - 0.5 * lean) ** 2 * 0.55
    rise = 1.0 - np.exp(-edge[box] / (slope * radius))
    body = tall * rise * (0.7 + 0.3 * dome)
    rim = np.exp(-(((inside - 1.0) / 0.13) ** 2))
    detail = 0.07 * grain + 0.06 * rim - 0.08 * core
    spots = _granules(shape, u, v, snapshot, k)
    texture = (detail + spots) * (2.0 - spread) * np.minimum(edge[box] / 3.0, 1.0)
    scene.thickness[box] += np.where(mine, body + texture, 0.0).astype(np.float32)


def _granules(shape: Shape, u: Image, v: Image, snapshot: Snapshot, k: int) -> Image:
    """Return the optical thickness of a cell's granules over its patch (rad)."""
    image = np.zeros(u.shape, np.float32)
    table = snapshot.poses.table[k]
    poses = snapshot.poses
    cos, sin = np.cos(poses.angle[k]), np.sin(poses.angle[k])
    u_first, v_first = float(u[0, 0]), float(v[0, 0])
    rows, cols = u.shape[0], u.shape[1]
    for depth, angle, size, strength in shape.granules:
        r = depth * table[int(angle * len(table) / (2 * np.pi)) % len(table)]
        gu, gv = r * np.cos(angle), r * np.sin(angle)
        du, dv = gu - u_first, gv - v_first
        x, y = du * cos - dv * sin, du * sin + dv * cos
        half = int(3 * size) + 1
        x0, y0 = max(0, int(x) - half), max(0, int(y) - half)
        x1, y1 = min(cols, int(x) + half + 2), min(rows, int(y) + half + 2)
        if x0 >= x1 or y0 >= y1:
            continue
        column = np.exp(-((np.arange(x0, x1) - x) ** 2) / (2 * size * size))
        row = np.exp(-((np.arange(y0, y1) - y) ** 2) / (2 * size * size))
        image[y0:y1, x0:x1] += (strength * row[:, None] * column).astype(np.float32)
    return image
