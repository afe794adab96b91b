"""What a feature is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.features.cells import BoolArray, FloatArray, IntArray
from fovflow.features.views import FluorescenceCells, PhaseCells

Kind = Literal["pc", "fl"]


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One cell in one frame and one channel, for features that are computed cell by cell.

    Attributes
    ----------
    id : int
    box : tuple of int
        x0, y0, x1, y1 in pixels; the ends are not included.
    mask : numpy.ndarray
        (y1 - y0, x1 - x0) bool, the cell's pixels in its box.
    y, x : numpy.ndarray
        (n,) int64, row and column of the pixels in raster order: for the phase channel all of the
        cell, for a fluorescence channel those that are left after erosion and finite.
    values : numpy.ndarray
        (n,) float64, the phase channel's counts (which may be NaN), or the background-corrected
        intensity, at these pixels.
    raw : numpy.ndarray
        (n,) float64, the raw counts at these pixels.
    """

    id: int
    box: tuple[int, int, int, int]
    mask: BoolArray
    y: IntArray
    x: IntArray
    values: FloatArray
    raw: FloatArray


@dataclass(frozen=True, slots=True)
class Feature:
    """A named quantity of each cell in each frame.

    Attributes
    ----------
    name : str
        Its column is ``{name}_ch_{channel}``.
    kind : {"pc", "fl"}
        Whether it belongs to the phase-contrast channel (shapes too) or to each fluorescence
        channel.
    unit : str
        ``px``, ``counts``, ``degrees``, … and ``1`` for a pure number.
    description : str
        One line.
    function : callable
        Takes all cells of a frame, `PhaseCells` or `FluorescenceCells`, and returns (n,)
        numbers; or, with `per_cell`, takes one `Cell` and returns a number. Fluorescence
        functions per cell are not called for cells without a pixel that counts: these have NaN.
    per_cell : bool
    integer : bool
        Whether the column holds exact integers. A feature per cell with integers has 0 where it
        is not called.

    Examples
    --------
    >>> import numpy as np
    >>> Feature(
    ...     name="intensity_p90", kind="fl", unit="counts",
    ...     description="90th percentile of the intensity",
    ...     function=lambda cell: np.percentile(cell.values, 90), per_cell=True,
    ... ).name
    'intensity_p90'
    """

    name: str
    kind: Kind
    unit: str
    description: str
    function: Callable[[Any], Any]
    per_cell: bool = False
    integer: bool = False

    @property
    def dtype(self) -> type[np.int64] | type[np.float64]:
        """Type of the column."""
        return np.int64 if self.integer else np.float64


def evaluate(feature: Feature, cells: PhaseCells | FluorescenceCells) -> NDArray[Any]:
    """Return a feature's value for each cell of a frame.

    Raises FovflowError if the feature's function fails, or does not return one number per cell.
    """
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            if feature.per_cell:
                result = _one_by_one(feature, cells)
            else:
                result = np.asarray(feature.function(cells))
        _check(feature, result, len(cells.cells))
    except FovflowError:
        raise
    except Exception as error:
        raise FovflowError(
            f"the feature {feature.name!r} failed",
            found=f"{type(error).__name__}: {error}",
            remedy="leave it out of extract: features, or mend the plug-in that brings it",
        ) from error
    return result.astype(feature.dtype, copy=False)


def _check(feature: Feature, result: NDArray[Any], n: int) -> None:
    wanted = "iu" if feature.integer else "iuf"
    if result.shape != (n,) or result.dtype.kind not in wanted:
        raise TypeError(
            f"shape {result.shape} of {result.dtype} for {n} cells, where "
            f"{'integers' if feature.integer else 'numbers'}, one per cell, are needed"
        )


def _one_by_one(feature: Feature, cells: PhaseCells | FluorescenceCells) -> NDArray[Any]:
    result = np.full(len(cells.cells), 0 if feature.integer else np.nan, feature.dtype)
    if isinstance(cells, PhaseCells):
        flat, groups, values, raw = cells.cells.flat, cells.cells.pixels, cells.counts, cells.counts
    else:
        flat, groups, values, raw = cells.flat, cells.groups, cells.values, cells.raw
    row, column = np.divmod(flat, cells.cells.shape[1])
    edges = zip(*(edge.tolist() for edge in cells.cells.box), strict=True)
    for i, (place, box) in enumerate(zip(groups.slices(), edges, strict=True)):
        if place.stop > place.start or feature.kind == "pc":
            cell = Cell(
                id=int(cells.cells.ids[i]),
                box=box,
                mask=cells.cells.mask(i)[0],
                y=row[place],
                x=column[place],
                values=values[place],
                raw=raw[place],
            )
            result[i] = feature.function(cell)
    return result
