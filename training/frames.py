"""Frames of cells with outlines drawn by people: what the network sees, and what it shall say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from fovflow.segmentation.masks import odd_side
from fovflow.segmentation.network import normalise

PIXEL_UM = 1.3
"""Edge length of a pixel in what the network sees (µm)."""

SURROUNDINGS_UM = 133.0
"""Side of the box over which the surroundings are averaged (µm)."""

SIDE = odd_side(SURROUNDINGS_UM / PIXEL_UM)


@dataclass(frozen=True)
class Outlined:
    """A frame and what people outlined in it."""

    name: str
    image: NDArray[np.generic]
    """(Y, X)."""
    labels: NDArray[np.int32]
    """(Y, X), a number per cell, 0 = background."""


def read_outlined(folder: Path) -> list[Outlined]:
    """Read all `phase/NAME.tif` with their `masks/NAME.png`, in the order of their names."""
    frames = []
    for path in sorted((folder / "phase").glob("*.tif")):
        image = tifffile.imread(path)
        mask = cv2.imread(str(folder / "masks" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        if mask is None or mask.shape != image.shape:
            found = "none" if mask is None else f"{mask.shape} for a frame of {image.shape}"
            raise SystemExit(f"{path}: a mask of one channel and the same size is needed: {found}")
        frames.append(Outlined(path.stem, image, mask.astype(np.int32)))
    if not any(frame.labels.any() for frame in frames):
        raise SystemExit(f"{folder}: no frame with a cell; needed: phase/NAME.tif, masks/NAME.png")
    return frames


def lessons(frame: Outlined, pixel_um: float) -> NDArray[np.float32]:
    """Return (5, Y, X) in the network's pixels: contrast, cell, contact, flow y, flow x."""
    factor = pixel_um / PIXEL_UM
    height, width = (round(n * factor) for n in frame.image.shape)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(frame.image.astype(np.float32), (width, height), interpolation=how)
    names = frame.labels.astype(np.float32)
    labels = cv2.resize(names, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.int32)
    truth = [labels > 0, contacts(labels), *flow(labels)]
    return np.stack([normalise(image, SIDE), *truth]).astype(np.float32)


def flow(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return (2, Y, X): unit vectors (y, x) that lead each pixel of a cell to its middle.

    They are the gradient of heat that spreads from the middle and stays within the cell
    (Stringer et al. 2021).
    """
    field = np.zeros((2, *labels.shape), np.float32)
    for cell in np.unique(labels[labels > 0]):
        ys, xs = np.nonzero(labels == cell)
        y0, x0 = ys.min() - 1, xs.min() - 1
        ys, xs = ys - y0, xs - x0
        inside = np.zeros((ys.max() + 2, xs.max() + 2), np.float32)
        inside[ys, xs] = 1
        middle = np.argmin((ys - np.median(ys)) ** 2 + (xs - np.median(xs)) ** 2)
        heat = np.zeros_like(inside)
        for _ in range(2 * sum(inside.shape)):
            heat[ys[middle], xs[middle]] += 1
            heat = cv2.blur(heat, (3, 3), borderType=cv2.BORDER_CONSTANT) * inside
        slope = np.stack(np.gradient(np.log1p(heat)))
        slope /= np.linalg.norm(slope, axis=0) + 1e-12
        field[:, ys + y0, xs + x0] = slope[:, ys, xs]
    return field


def contacts(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return which pixels of cells are within two pixels of another cell."""
    square = np.ones((5, 5), np.uint8)
    high = cv2.dilate(labels.astype(np.float32), square)
    low = cv2.erode(np.where(labels > 0, labels, 1 << 20).astype(np.float32), square)
    return ((labels > 0) & ((high != labels) | (low != labels))).astype(np.float32)


class Crops:
    """Random crops of frames: turned, mirrored, sheared, scaled, blurred, noisy, unevenly lit."""

    SIDE, BATCH = 256, 8

    def __init__(self, frames: list[NDArray[np.float32]], seed: int):
        self._frames, self._rng = frames, np.random.default_rng(seed)

    def batch(self) -> NDArray[np.float32]:
        """Return (N, 6, Y, X): what `lessons` has, and which pixels lie in the frame."""
        return np.stack([self._crop() for _ in range(self.BATCH)])

    def _crop(self) -> NDArray[np.float32]:
        rng, side = self._rng, self.SIDE
        frame = self._frames[rng.integers(len(self._frames))]
        height, width = frame.shape[1:]
        for _ in range(6):  # three in four of them around a pixel of a cell
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            if frame[1, int(y), int(x)] or rng.random() < 0.25:
                break
        scale, angle = np.exp(rng.uniform(np.log(0.65), np.log(1.5))), rng.uniform(0, 2 * np.pi)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]]) / scale @ np.diag([rng.choice([-1, 1]), 1])
        turn = turn @ (np.eye(2) + rng.normal(0, 0.08, (2, 2)))
        move = np.c_[turn, np.array([x, y]) - turn @ np.full(2, side / 2)]

        def cut(plane: NDArray[np.float32], how: int, beyond: int) -> NDArray[np.float32]:
            flags = how | cv2.WARP_INVERSE_MAP
            return cv2.warpAffine(plane, move, (side, side), flags=flags, borderMode=beyond)

        known = cut(np.ones((height, width), np.float32), cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
        image = cut(frame[0], cv2.INTER_LINEAR, cv2.BORDER_REFLECT)
        truth = [cut(plane, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT) for plane in frame[1:3]]
        way = [cut(plane, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT) for plane in frame[3:]]
        back = np.linalg.inv(turn)[::-1, ::-1]  # of (y, x)
        way = np.tensordot(back, np.stack(way), 1)
        way /= np.linalg.norm(way, axis=0) + 1e-6
        return np.stack([self._spoil(image), *truth, *way, known]).astype(np.float32)

    def _spoil(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        rng = self._rng
        if rng.random() < 0.3:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
        image = image * np.exp(rng.uniform(-0.4, 0.4)) + rng.uniform(-0.1, 0.1)
        image = image + rng.normal(0, rng.uniform(0, 0.1), image.shape)
        if rng.random() < 0.3:
            coarse = rng.normal(0, 0.2, (4, 4)).astype(np.float32)
            image = image + cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
        return np.clip(image, -3, 3)
