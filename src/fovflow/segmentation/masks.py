"""Operations on masks and labels: opening, closing, growth, holes, components, order of ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, FovflowError

Mask = NDArray[np.uint8]
Labels = NDArray[np.uint16]
Components = NDArray[np.int32]

MAX_OBJECTS = 65535
"""Greatest number of objects that uint16 labels can hold."""


def fill_all_holes(mask: Mask) -> Mask:
    """Fill every 4-connected region of background that does not touch the frame's border.

    `mask`: (Y, X) uint8, 0 or 1.
    """
    padded = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, regions = cv2.connectedComponents(padded, connectivity=4, ltype=cv2.CV_32S)
    inside: NDArray[np.bool_] = regions[1:-1, 1:-1] != regions[0, 0]
    return inside.view(np.uint8)


def fill_small_holes(mask: Mask, max_pixels: float) -> Mask:
    """Fill holes of at most `max_pixels` pixels, together with what lies inside them.

    A hole is a 4-connected region of background that does not touch the frame's border; its
    size counts all that its outline encloses.
    """
    filled = mask.copy()
    fill_and_trace(filled, max_pixels)
    return filled


def fill_and_trace(
    mask: Mask, max_pixels: float
) -> tuple[Sequence[NDArray[np.int32]], NDArray[np.bool_]]:
    """Fill small holes in place; return all contours as they were, and which are holes' edges."""
    found, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return [], np.zeros(0, bool)
    contours = cast("Sequence[NDArray[np.int32]]", found)
    is_hole = tree[0, :, 3] >= 0  # contours inside another one
    filled = [contours[i] for i in np.flatnonzero(is_hole).tolist()]
    filled = [contour for contour in filled if _is_small(contour, max_pixels)]
    if filled:
        cv2.drawContours(mask, filled, -1, 1, cv2.FILLED)
    return contours, np.asarray(is_hole)


def first_pixels(
    contours: Sequence[NDArray[np.int32]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return y and x of the contours' first pixels: the topmost, and of these the leftmost."""
    first = np.array([contour[0, 0] for contour in contours], np.int64).reshape(-1, 2)
    return first[:, 1], first[:, 0]


def _is_small(contour: NDArray[np.int32], max_pixels: float) -> bool:
    if (len(contour) / 2 - 1) ** 2 <= max_pixels:  # n steps reach n / 2 pixels at most, and back
        return True
    _, _, width, height = cv2.boundingRect(contour)
    width, height = width - 2, height - 2  # the contour runs on the pixels around the hole
    if max(width, height) > max_pixels:
        return False
    return bool(width * height <= max_pixels or _enclosed(contour) <= max_pixels)


def _enclosed(contour: NDArray[np.int32]) -> int:
    """Count the pixels inside a contour without those on it."""
    x, y, width, height = cv2.boundingRect(contour)
    canvas = np.zeros((height, width), np.uint8)
    cv2.drawContours(canvas, [contour], -1, 1, cv2.FILLED, offset=(-x, -y))
    canvas[contour[:, 0, 1] - y, contour[:, 0, 0] - x] = 0
    return cv2.countNonZero(canvas)


def check_number(n: int) -> None:
    """Refuse more objects than labels can hold."""
    if n > MAX_OBJECTS:
        raise FovflowError(
            f"a frame gives more objects than the {MAX_OBJECTS} that labels can hold",
            found=f"at least {n}",
            remedy="raise the threshold, the smoothing or min_area_um2",
        )


def number_objects(labels: NDArray[np.integer], keep: NDArray[np.bool_] | None = None) -> Labels:
    """Renumber objects 1..n in raster order of their first pixels.

    `labels`: (Y, X), any integer dtype, 0 = background, other ids in any order, none negative.
    `keep`: one bool per id from 0: the objects that stay. Raises FovflowError if more than 65535
    objects are left.
    """
    flat = labels.ravel()
    pixels = np.flatnonzero(flat)
    ids = flat[pixels]
    first = np.full(int(ids.max(initial=0)) + 1, flat.size, np.int64)
    first[ids[::-1]] = pixels[::-1]  # the last write wins: the earliest pixel
    if keep is not None:
        first[: keep.size][~keep] = flat.size
    order = np.argsort(first, kind="stable")
    n = int(np.count_nonzero(first < flat.size))
    check_number(n)
    lut = np.zeros(first.size, np.uint16)
    lut[order[:n]] = np.arange(1, n + 1, dtype=np.uint16)
    out = np.zeros(flat.size, np.uint16)
    out[pixels] = lut[ids]
    return out.reshape(labels.shape)


CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
"""A pixel and its four neighbours."""


def check_pixel_um(pixel_um: float | None, method: str) -> float:
    """Return the pixel size, which `method` cannot do without.

    Raises ConfigError if it is absent or not above 0.
    """
    if pixel_um is None or not 0 < pixel_um < float("inf"):
        raise ConfigError(
            f"segment: method {method} needs the pixel size, since its lengths are in µm",
            found="none" if pixel_um is None else f"{pixel_um}",
            remedy="give pixel_um of the dataset, or choose method classic",
        )
    return float(pixel_um)


def disc(radius: float) -> NDArray[np.uint8]:
    """Return all offsets with dx² + dy² ≤ radius² (px) as a structuring element.

    Examples
    --------
    >>> disc(1.0).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    reach = int(radius)
    steps = np.arange(-reach, reach + 1)
    return (steps[:, None] ** 2 + steps[None, :] ** 2 <= radius * radius).astype(np.uint8)


def odd_side(length: float) -> int:
    """Return the odd window side nearest to a length (px), at least 1."""
    return 2 * round(length / 2) + 1 if length > 1 else 1


def grow_within(mask: Mask, allowed: Mask, steps: int) -> Mask:
    """Grow a mask by its 4-neighbours inside `allowed`, so many times."""
    grown, wide = mask.copy(), np.empty_like(mask)
    for _ in range(steps):
        cv2.dilate(grown, CROSS, dst=wide)
        cv2.bitwise_and(wide, allowed, dst=grown)
    return grown
