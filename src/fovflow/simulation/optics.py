"""From cells to images: exact masks, phase contrast, fluorescence, backgrounds, camera noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.simulation.cells import Float, gauge
from fovflow.simulation.params import MovieParams, stream
from fovflow.simulation.population import Snapshot

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
    """One frame before optics, on a canvas that sticks out of the view by m on all sides."""

    labels: Labels
    """(Y + 2m, X + 2m) cell ids."""
    share: Image
    """The same shape: share of a cell's light in each pixel; sums to 1 per cell."""
    thickness: Image
    """The same shape: optical thickness (rad)."""
    margin: int
    """m (px)."""

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
        edges = np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])
        for cell in np.unique(edges[edges > 0]):  # at the border the view may cut a cell in two
            _keep_largest(seen, (slice(None), slice(None)), int(cell))
        return np.asarray(seen)


def texture_tile(seed: int) -> Image:
    """Return a periodic tile of cytoplasm texture, mean 0, standard deviation 1."""
    rng = stream(seed, "texture")
    tile = np.zeros((TILE, TILE), np.float32)
    for sigma, weight in ((1.0, 0.45), (2.2, 0.7), (6.0, 0.55)):
        noise = rng.standard_normal((TILE, TILE), dtype=np.float32)
        soft = _wrapped_blur(noise, sigma, 32)
        tile += weight * soft / soft.std()
    return np.asarray((tile - tile.mean()) / tile.std(), np.float32)


def _wrapped_blur(tile: Image, sigma: float, pad: int) -> Image:
    """Return the Gaussian blur of a periodic tile."""
    wide = cv2.GaussianBlur(np.pad(tile, pad, mode="wrap"), (0, 0), sigma)
    return np.asarray(wide[pad:-pad, pad:-pad])


def draw_scene(params: MovieParams, snapshot: Snapshot, origin: Float, tile: Image) -> Scene:
    """Draw the cells of one frame, which are given in world coordinates.

    A pixel belongs to the cell whose gauge is smallest there; of each cell the largest
    4-connected part stays. `origin`: (2,) x and y of the view's first pixel in the world (whole
    px). `tile`: from `texture_tile`.
    """
    poses = snapshot.poses
    size = np.array([params.width, params.height])
    extent = poses.extent
    margin = int(np.ceil(2 * extent.max(initial=0.0))) + 12
    xy = poses.xy - origin + margin
    canvas = (params.height + 2 * margin, params.width + 2 * margin)
    labels, share, thickness = (np.zeros(canvas, kind) for kind in ("u2", "f4", "f4"))
    scene = Scene(labels, share, thickness, margin)
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
        _fill(scene, patches[k], snapshot, k, edge=edge, tile=tile)
    return scene


Patch = tuple[Box, Image, Image, Image]


def _patch(snapshot: Snapshot, k: int, xy: Float, canvas: tuple[int, int]) -> Patch:
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
    images = [np.asarray(values.reshape(u.shape), np.float32) for values in (rho, u, v)]
    return (slice(y0, y1), slice(x0, x1)), images[0], images[1], images[2]


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
    scene: Scene, patch: Patch, snapshot: Snapshot, k: int, *, edge: Image, tile: Image
) -> None:
    """Add one cell's light and optical thickness to the canvas."""
    box, rho, u, v = patch
    shape = snapshot.shapes[k]
    mine = scene.labels[box] == snapshot.ids[k]
    if not mine.any():
        return
    radius = np.float32(shape.radius * snapshot.size[k])
    spread = np.float32(1.0 - snapshot.roundness[k])
    at = (u + np.float32(shape.texture[0]), v + np.float32(shape.texture[1]))
    grain = cv2.remap(tile, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
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
    spots = _granules(u, v, snapshot, k)
    texture = (detail + spots) * (2.0 - spread) * np.minimum(edge[box] / 3.0, 1.0)
    scene.thickness[box] += np.where(mine, body + texture, 0.0).astype(np.float32)


def _granules(u: Image, v: Image, snapshot: Snapshot, k: int) -> Image:
    """Return the optical thickness of a cell's granules over its patch (rad)."""
    image = np.zeros(u.shape, np.float32)
    poses, table = snapshot.poses, snapshot.poses.table[k]
    cos, sin = np.cos(poses.angle[k]), np.sin(poses.angle[k])
    rows, cols = u.shape
    for depth, angle, size, strength in snapshot.shapes[k].granules:
        r = depth * table[int(angle * len(table) / (2 * np.pi)) % len(table)]
        du, dv = r * np.cos(angle) - float(u[0, 0]), r * np.sin(angle) - float(v[0, 0])
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


_HALO = ((0.62, 0.22), (0.34, 0.6))
"""Weights of the low-passed parts that the phase ring shifts too, and the widths of the passes
in mean cell radii."""
_PHASES = (-0.4, 2.0)
"""Range of ψ, beyond which the picture of a thin object makes no sense (rad)."""


def coordinates(params: MovieParams) -> tuple[Float, Float]:
    """Return x (1, X) and y (Y, 1), from -1 to 1 across the view."""
    x, y = (np.linspace(-1, 1, count) for count in (params.width, params.height))
    return x[None, :], y[:, None]


def defocus(params: MovieParams, p: int, t: int) -> float:
    """Return the additional blur of a frame (px)."""
    lost = params.focus_drift_px * t
    if params.defocus_px == 0:
        return lost
    phase = stream(params.seed, "focus", p).uniform(0, 2 * np.pi)
    return float(params.defocus_px * np.sin(phase + 0.13 * t) ** 2) + lost


def illumination(params: MovieParams, c: int) -> Float:
    """Return the multiplicative illumination profile of a channel, (Y, X) float64.

    Phase: 1 in the middle, falling with the square of the distance by `vignetting` to the
    corners, times a smooth random field where there is `unevenness`. Fluorescence: a profile of
    the same kind as the former whose brightest point lies off the middle,
    falling by `shading` to the farthest corner.
    """
    x, y = coordinates(params)
    if c == 0:
        falling = np.asarray(1.0 - params.vignetting * (x * x + y * y) / 2.0)
        return falling * _uneven(params) if params.unevenness else falling
    cx, cy = stream(params.seed, "shading", c).uniform(-0.35, 0.35, 2)
    far = (1 + abs(cx)) ** 2 + (1 + abs(cy)) ** 2
    return np.asarray(1.0 - params.shading * ((x - cx) ** 2 + (y - cy) ** 2) / far)


def _uneven(params: MovieParams) -> Float:
    """Return a smooth random factor about 1 over the view, (Y, X)."""
    coarse = stream(params.seed, "unevenness").standard_normal((6, 6)).astype(np.float32)
    field = cv2.resize(coarse, (params.width, params.height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.maximum(1.0 + params.unevenness * field / field.std(), 0.1), np.float64)


def background(params: MovieParams, p: int, t: int, c: int) -> Float:
    """Return what the camera would show without cells, noise-free, (Y, X) float64 counts.

    Fluorescence: offset + illumination · level · (1 + drift(t)) · (1 + gradient · g), where g is
    a tilted, slightly curved plane within about ±1 whose direction turns slowly. Phase:
    offset + illumination · phase_level.
    """
    light = illumination(params, c)
    if c == 0:
        return np.asarray(params.camera_offset + params.phase_level * light)
    rng = stream(params.seed, "background", p, c)
    turn, slow, phase = rng.uniform(0, 2 * np.pi), rng.uniform(0.015, 0.05), rng.uniform(0, 6.2832)
    wave = np.sin(phase + slow * t) - np.sin(phase)
    x, y = coordinates(params)
    turn = turn + params.background_drift * wave
    tilt = (x * np.cos(turn) + y * np.sin(turn)) / np.sqrt(2)
    bow = (x * np.sin(turn) - y * np.cos(turn)) / np.sqrt(2)
    g = 0.8 * tilt + 0.4 * (bow * bow - 1 / 3)
    level = params.background_level * (1.0 + 0.5 * params.background_drift * wave)
    return np.asarray(params.camera_offset + light * level * (1.0 + params.background_gradient * g))


def fluorescence(params: MovieParams, p: int, t: int, scene: Scene, amounts: Float) -> Image:
    """Return the cells' light in the view before shading and bleaching, (Y, X) float32 counts.

    `amounts`: total intensity by cell id (index 0 is the background's, 0).
    """
    light = scene.share * amounts.astype(np.float32)[scene.labels]
    sigma = float(np.hypot(params.psf_px, defocus(params, p, t)))
    if sigma > 0:
        light = cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(scene.view(light), np.float32)


def phase_contrast(params: MovieParams, p: int, t: int, scene: Scene, origin: Float) -> Image:
    """Return the phase image of the view relative to its background, (Y, X) float32.

    Zernike's phase contrast: the phase ring shifts the direct light by a quarter wave, and,
    being of finite width, also the low spatial frequencies of the phase φ. With
    ψ = φ - low-passed φ the image is |exp(iψ) - 1 + i|² / |i|² = 3 - 2 cos ψ - 2 sin ψ, which is
    1 - 2ψ for thin objects; the low-passed part makes halos and shade-off, and thick, rounded
    cells turn bright.
    """
    phi = scene.thickness
    if params.debris > 0:
        corner = (int(origin[0]) - scene.margin, int(origin[1]) - scene.margin)
        phi = phi + _debris(params, p, phi.shape, corner)
    psi = phi.copy()
    near = params.halo_um / params.pixel_um or _HALO[0][1] * params.cell_radius_px
    strength = params.shade_off / 0.96
    for weight, width in _HALO:
        psi -= weight * strength * _blur(phi, width / _HALO[0][1] * near)
    psi = cv2.GaussianBlur(psi, (0, 0), float(np.hypot(0.7, defocus(params, p, t))))
    view = scene.view(psi) * np.float32(params.phase_contrast)
    view = np.clip(view, *_PHASES)
    image = 3.0 - 2.0 * np.cos(view) - 2.0 * np.sin(view)
    if params.dirt > 0 or params.scratches > 0:
        image += _on_view(_dirt_tile(params, p), params, origin)
    if params.grain > 0:
        image += np.float32(params.grain) * _on_view(_dish_tile(params.seed, p), params, origin)
    return np.asarray(np.maximum(image, 0.02), np.float32)


def _blur(image: Image, sigma: float) -> Image:
    """Gaussian blur; wide ones on a reduced image."""
    if sigma < 6:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    step = int(sigma // 2.5)
    size = (-(-image.shape[1] // step), -(-image.shape[0] // step))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return np.asarray(
        cv2.resize(soft, image.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32
    )


_PLOT = 128
"""Edge of the squares of the dish that have debris of their own (px)."""


@lru_cache(maxsize=4096)
def _specks(seed: int, p: int, column: int, row: int, density: float) -> Float:
    """Return x, y, sizes along and across, angle and strength of one plot's debris, (N, 6)."""
    rng = stream(seed, "debris", p, column + 100_000, row + 100_000)
    count = int(rng.poisson(density))
    return np.stack(
        [
            column * _PLOT + rng.uniform(0, _PLOT, count),
            row * _PLOT + rng.uniform(0, _PLOT, count),
            rng.uniform(0.8, 2.6, count),
            rng.uniform(0.6, 1.1, count),
            rng.uniform(0, np.pi, count),
            rng.choice([0.25, 0.5, -0.25], count, p=[0.6, 0.25, 0.15])
            * rng.uniform(0.4, 1.3, count),
        ],
        axis=1,
    )


def _debris(params: MovieParams, p: int, canvas: tuple[int, ...], corner: tuple[int, int]) -> Image:
    """Return the optical thickness of debris on the canvas; it stays put on the dish."""
    density = params.debris * (_PLOT * params.pixel_um / 100.0) ** 2
    image = np.zeros(canvas, np.float32)
    for column in range(corner[0] // _PLOT, (corner[0] + canvas[1]) // _PLOT + 1):
        for row in range(corner[1] // _PLOT, (corner[1] + canvas[0]) // _PLOT + 1):
            for speck in _specks(params.seed, p, column, row, density):
                _add_speck(image, speck, corner)
    return image


def _add_speck(image: Image, speck: Float, corner: tuple[int, int]) -> None:
    x, y, along, across, angle, strength = speck
    x, y = x - corner[0], y - corner[1]
    half = int(3 * along) + 1
    x0, y0 = max(0, int(x) - half), max(0, int(y) - half)
    x1, y1 = min(image.shape[1], int(x) + half + 1), min(image.shape[0], int(y) + half + 1)
    if x0 >= x1 or y0 >= y1:
        return
    dx, dy = np.arange(x0, x1)[None, :] - x, np.arange(y0, y1)[:, None] - y
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / along
    v = (dy * np.cos(angle) - dx * np.sin(angle)) / across
    image[y0:y1, x0:x1] += (strength * np.exp(-0.5 * (u * u + v * v))).astype(np.float32)


@lru_cache(maxsize=2)
def _dish_tile(seed: int, p: int) -> Image:
    """Return the dish's unevenness, which stays put on the dish."""
    rng = stream(seed, "dish", p)
    noise = rng.standard_normal((512, 512), dtype=np.float32)
    tile = np.zeros_like(noise)
    for sigma, weight in ((0.8, 0.8), (2.5, 0.5), (18.0, 0.9)):
        soft = _wrapped_blur(noise, sigma, 96)
        tile += weight * soft / soft.std()
    return tile


def _on_view(tile: Image, params: MovieParams, origin: Float) -> Image:
    """Return what the view shows of a periodic tile of the dish."""
    rows = (np.arange(params.height) + int(origin[1])) % tile.shape[0]
    cols = (np.arange(params.width) + int(origin[0])) % tile.shape[1]
    return np.asarray(tile[rows[:, None], cols[None, :]], np.float32)


_DIRT = 1024
"""Edge of the tile of dirt and scratches (px)."""


@lru_cache(maxsize=2)
def _dirt_tile(params: MovieParams, p: int) -> Image:
    """Return dirt and scratches as what they add to a relative phase image."""
    rng = stream(params.seed, "dirt", p)
    um = 1.0 / params.pixel_um
    tile = np.zeros((_DIRT, _DIRT), np.float32)
    squares = (_DIRT * params.pixel_um / 100.0) ** 2
    for _ in range(int(rng.poisson(params.dirt * squares))):
        if rng.random() < 0.25:
            size = rng.uniform(4, 30) * um
            ring = np.hypot(*_grid(int(3 * size))) / size
            wave = np.cos(4.0 * ring) * np.exp(-(ring**2)) * rng.choice([-1, 1])
            _add(tile, rng.uniform(0.02, 0.08) * wave, rng)
        else:  # a flake: clotted grains under a soft cover
            size = rng.uniform(1.5, 7.0) * um
            y, x = _grid(int(2.5 * size))
            cover = np.exp(
                -0.5 * ((x / size) ** 2 + (y / (size * rng.uniform(0.5, 1.0))) ** 2) ** 2
            )
            clots = cv2.GaussianBlur(rng.standard_normal(cover.shape), (0, 0), 1.2 * um)
            _add(tile, rng.uniform(0.06, 0.3) * cover * clots / max(clots.std(), 1e-6), rng)
    for _ in range(int(rng.poisson(params.scratches * squares))):
        length, turn = rng.uniform(30, 200) * um, rng.uniform(0, np.pi)
        y, x = _grid(int(min(length, _DIRT / 2 - 1)))
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        across = across - rng.uniform(-0.3, 0.3) * along**2 / length
        line = (1.0 - (across / um) ** 2) * np.exp(-0.5 * (across / um) ** 2)
        _add(tile, rng.uniform(-0.3, 0.3) * line * (np.abs(along) < length / 2), rng)
    return tile


def _grid(half: int) -> tuple[Image, Image]:
    """Return y (N, 1) and x (1, N) from -half to half."""
    steps = np.arange(-half, half + 1, dtype=np.float32)
    return steps[:, None], steps[None, :]


def _add(tile: Image, patch: NDArray[np.floating], rng: np.random.Generator) -> None:
    """Add a patch at a random place of a periodic tile."""
    rows, cols = (
        (np.arange(count) + int(rng.integers(size))) % size
        for count, size in zip(patch.shape, tile.shape, strict=True)
    )
    tile[rows[:, None], cols[None, :]] += patch.astype(np.float32)


def stored(params: MovieParams, image: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return a phase frame as it is after fewer bits and compression; (Y, X) uint16."""
    bits = 8 if params.phase_jpeg else params.phase_bits
    if bits:
        image = image >> np.uint16(params.bit_depth - bits)
    if params.phase_jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, params.phase_jpeg]
        _, file = cv2.imencode(".jpg", image.astype(np.uint8), quality)
        image = np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED)).astype(np.uint16)
    return image


_ROWS = 256


def expose(
    params: MovieParams, expected: NDArray[np.floating], rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Take a picture of an expected image, (Y, X) mean counts with the offset.

    Counts are offset + N/g + read noise, N ~ Poisson(g · (expected - offset)), with g the
    electrons per count; so their variance is (expected - offset)/g + read_noise². They are
    rounded and clipped to the camera's range. `rng`: of this frame and channel.
    """
    image = np.empty(expected.shape, np.uint16)
    top = float(2**params.bit_depth - 1)
    for start in range(0, expected.shape[0], _ROWS):
        counts = expected[start : start + _ROWS].astype(np.float64)
        if params.shot_noise:
            light = np.maximum(counts - params.camera_offset, 0.0) * params.electrons_per_count
            counts = rng.poisson(light) / params.electrons_per_count + params.camera_offset
        if params.read_noise > 0:
            counts += params.read_noise * rng.standard_normal(counts.shape)
        image[start : start + _ROWS] = np.clip(np.rint(counts), 0.0, top)
    return image
