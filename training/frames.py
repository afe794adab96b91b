"""Frames of cells with outlines drawn by people, as what the network sees and shall say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

PIXEL_UM = 1.3
"""Edge length of a pixel in what the network sees (µm)."""


@dataclass(frozen=True)
class Outlined:
    """One frame: its name, image, labels, and the edge length of its pixels (µm)."""

    name: str
    image: NDArray[np.generic]
    labels: NDArray[np.int32]
    pixel_um: float


def read_outlined(folder: Path, pixel_um: float) -> list[Outlined]:
    """Read `phase/NAME.tif` and `masks/NAME.png` of a folder."""
    frames = []
    for path in sorted((folder / "phase").glob("*.tif")):
        mask = cv2.imread(str(folder / "masks" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        image = tifffile.imread(path)
        if mask is None or mask.shape != image.shape:
            raise SystemExit(f"{path}: no mask of the same size")
        frames.append(Outlined(path.stem, image, mask.astype(np.int32), pixel_um))
    return frames


def normalise(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Contrast against the surroundings, in units of what is usual in the frame."""
    frame = image.astype(np.float32)
    side = 2 * round(66 / PIXEL_UM) + 1
    level = frame
    for _ in range(2):
        level = cv2.blur(level, (side, side), borderType=cv2.BORDER_REFLECT)
    contrast = frame / np.maximum(level, 1e-3) - 1
    sample = contrast[::4, ::4]
    scale = np.percentile(np.abs(sample - np.median(sample)), 95) + 1e-4
    return np.clip(contrast / (2 * scale), -3, 3)


def rescale(frame: Outlined) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Image and labels with pixels of PIXEL_UM."""
    factor = frame.pixel_um / PIXEL_UM
    height, width = (round(n * factor) for n in frame.image.shape)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(frame.image.astype(np.float32), (width, height), interpolation=how)
    labels = cv2.resize(
        frame.labels.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return image, labels.astype(np.int32)


def flow(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """(2, Y, X): unit vectors (y, x) that lead each pixel of a cell to its middle.

    The gradient of heat that spreads from the middle within the cell (Stringer et al. 2021).
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
    """Pixels of cells within two pixels of another cell."""
    square = np.ones((5, 5), np.uint8)
    high = cv2.dilate(labels.astype(np.float32), square)
    low = cv2.erode(np.where(labels > 0, labels, 1 << 20).astype(np.float32), square)
    return ((labels > 0) & ((high != labels) | (low != labels))).astype(np.float32)


def planes(frame: Outlined) -> NDArray[np.float32]:
    """(5, Y, X): image, cell, contact, flow y, flow x."""
    image, labels = rescale(frame)
    return np.concatenate(
        [np.stack([normalise(image), labels > 0, contacts(labels)]), flow(labels)]
    ).astype(np.float32)
