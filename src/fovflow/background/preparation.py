"""From a raw frame and its labels to the working frame, its free pixels and its tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, FovflowError

Image = NDArray[Any]

DILATION_PX = 10
"""Default distance around cells that is excluded, in pixels."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""

_LATTICE = 256
_SCALAR = 4  # OpenCV takes an array of up to four numbers for one constant
_NATIVE = (np.uint8, np.uint16, np.int16, np.float32)


@dataclass(frozen=True, slots=True)
class WorkingFrame:
    """A frame after dark and flat-field, with the pixels that show background."""

    values: NDArray[Any]
    """(Y, X) in counts; the input itself where dark and flat-field change nothing."""
    filled: NDArray[Any]
    """`values` with 0 in place of what is not finite; the same array where all is finite."""
    free: NDArray[np.uint8]
    """(Y, X) uint8, 1 where a pixel is finite and away from cells, else 0."""
    finite: NDArray[np.bool_] | None
    """(Y, X) bool; None means that every pixel is finite."""
    integer: bool
    """Whether the input held integers."""
    saturated: bool
    """Whether most of the free pixels hold the largest number of an integer dtype."""

    def finite_values(self, place: Any = slice(None)) -> NDArray[Any]:
        """Return the finite values of a part of the frame, one-dimensional."""
        values: NDArray[Any] = self.values[place]
        return np.asarray(values.ravel() if self.finite is None else values[self.finite[place]])

    def thinned(self, row_step: int) -> WorkingFrame:
        """Return a view of every `row_step`-th row."""
        rows = slice(None, None, row_step)
        return replace(
            self,
            values=self.values[rows],
            filled=self.filled[rows],
            free=self.free[rows],
            finite=None if self.finite is None else self.finite[rows],
        )


class Preparation:
    """Apply dark frame and flat-field, and exclude the surroundings of cells.

    `shape`: (Y, X) of every frame. `pixel_um`: edge length of a pixel, needed for `dilation_um`
    only: the distance around cells that is excluded; None means 10 pixels. `dark`: in counts, one
    number or (Y, X). `flat_field`: (Y, X), positive; divided by its mean before use.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pixel_um: float | None = None,
        *,
        dilation_um: float | None = None,
        dark: float | NDArray[Any] = 0.0,
        flat_field: NDArray[Any] | None = None,
    ):
        self.shape = (int(shape[0]), int(shape[1]))
        self.pixel_um = pixel_um
        if min(self.shape) < 1:
            raise ConfigError("a frame without pixels cannot be corrected", found=f"shape {shape}")
        self._dark = _checked_dark(dark, self.shape)
        self._gain = None if flat_field is None else _checked_gain(flat_field, self.shape)
        self.dilation_px = (
            DILATION_PX if dilation_um is None else to_pixels(dilation_um, pixel_um, "dilation_um")
        )
        edge = 2 * self.dilation_px + 1
        self._square = np.ones((edge, edge), np.uint8)
        self.lattice = tuple(slice(0, None, max(1, length // _LATTICE)) for length in self.shape)

    def __call__(self, image: Image, labels: Image | None) -> WorkingFrame:
        """Prepare one frame."""
        for name, array in (("frame", image), ("label image", labels)):
            if array is not None and array.shape != self.shape:
                raise FovflowError(
                    f"the {name} has another shape than the corrector was made for",
                    found=f"{array.shape} in place of {self.shape}",
                    remedy="give frames and labels of the same field of view and crop",
                )
        integer = not np.issubdtype(image.dtype, np.floating)
        values = self.working_values(image)
        free = self._away_from_cells(labels)
        finite = np.isfinite(values) if values.dtype.kind == "f" else None
        if finite is None or finite.all():
            finite, filled = None, values
        else:
            filled = np.where(finite, values, values.dtype.type(0))
            free &= finite.view(np.uint8)
        saturated = self._is_saturated(image, free)
        return WorkingFrame(values, filled, free, finite, integer, saturated)

    def _is_saturated(self, image: Image, free: NDArray[np.uint8]) -> bool:
        if image.dtype.kind not in "iu":
            return False
        sample = image[self.lattice][free[self.lattice].view(np.bool_)]
        full = np.count_nonzero(sample == np.iinfo(image.dtype).max)
        return bool(2 * full > sample.size)

    def working_values(self, image: Image, at: NDArray[np.integer[Any]] | None = None) -> Image:
        """Return counts after dark and flat-field: of a frame, or of its pixels `at`.

        With `at`, indices in the flattened frame, `image` holds the counts of these pixels.
        """
        if self._dark is None and self._gain is None:
            return image if image.dtype in _NATIVE else image.astype(np.float32)

        def of(array: Any) -> Any:
            return array if at is None or array.shape == () else array.reshape(-1).take(at)

        values = image.astype(np.float32)
        if self._dark is not None:
            values -= of(self._dark)
        if self._gain is not None:
            values *= of(self._gain)
        return values

    def _away_from_cells(self, labels: Image | None) -> NDArray[np.uint8]:
        if labels is None:
            return np.ones(self.shape, np.uint8)
        covered = np.not_equal(labels, 0).view(np.uint8)
        if self.dilation_px:
            covered = cv2.dilate(covered, self._square)
        return np.bitwise_xor(covered, 1, out=covered)


def to_pixels(length_um: float, pixel_um: float | None, name: str) -> int:
    """Turn a length in µm into whole pixels, halves upwards."""
    if pixel_um is None:
        raise ConfigError(
            f"correct.{name} is a length in µm, but the pixel size is not known",
            remedy="give pixel_um for the dataset, or leave the key out",
        )
    if not 0 < pixel_um < np.inf:
        raise ConfigError("pixel_um must be a positive number", found=str(pixel_um))
    if not 0 <= length_um < np.inf:
        raise ConfigError(f"correct.{name} must not be negative", found=str(length_um))
    return int(length_um / pixel_um + 0.5)


def subtract(
    values: NDArray[Any],
    surface: NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return ``values - surface`` as float32, in `out` where it is given."""
    if min(values.shape) <= _SCALAR:
        small: NDArray[np.float32] = np.subtract(values, surface, out=out, dtype=np.float32)
        return small
    difference: NDArray[np.float32] = cv2.subtract(values, surface, out, dtype=cv2.CV_32F)
    return difference


def _checked_dark(
    dark: float | NDArray[Any], shape: tuple[int, int]
) -> np.float32 | NDArray[np.float32] | None:
    level = np.asarray(dark, np.float32)
    if level.shape not in ((), shape):
        raise FovflowError(
            "the dark frame does not fit the frames",
            found=f"{level.shape} in place of {shape}",
            remedy="give one number, or a dark frame of the same camera region",
        )
    if not np.isfinite(level).all():
        raise FovflowError("the dark frame holds NaN or infinite values")
    if not level.any():
        return None
    return np.float32(level) if level.shape == () else level


def _checked_gain(flat_field: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    flat = np.asarray(flat_field, np.float64)
    if flat.shape != shape:
        raise FovflowError(
            "the flat-field does not fit the frames",
            found=f"{flat.shape} in place of {shape}",
            remedy="give a flat-field of the same camera region, or flat_field: null",
        )
    if not (np.isfinite(flat).all() and (flat > 0).all()):
        raise FovflowError(
            "the flat-field must be positive and finite everywhere",
            found=f"{int((~(flat > 0)).sum())} pixels that are not",
            remedy="use a flat-field without dead pixels, or flat_field: estimate",
        )
    gain: NDArray[np.float32] = (flat.mean() / flat).astype(np.float32)
    return gain


SMALLEST_TILE_PX = 8


def tile_pixels(tile_px: int, tile_um: float | None, pixel_um: float | None) -> int:
    """Return the tile size in pixels; `tile_um` goes before `tile_px`.

    Raises ConfigError if the tile is smaller than 8 px, or in µm without a pixel size.
    """
    name, size = "tile_px", int(tile_px)
    if tile_um is not None:
        name, size = "tile_um", to_pixels(tile_um, pixel_um, "tile_um")
    if size < SMALLEST_TILE_PX:
        raise ConfigError(
            f"correct.{name} gives a tile that is too small",
            found=f"{size} px",
            remedy=f"choose at least {SMALLEST_TILE_PX} px; 256 px is usual",
        )
    return size
