"""Bleaching: an exponential through per-frame levels, and the factors that undo it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.errors import FovflowError

_FEWEST_LEVELS = 3
_MOST_PAIRED = 1024


@dataclass(frozen=True, slots=True)
class BleachFit:
    """An exponential decay ``amplitude * exp(-rate * time) + offset`` of per-frame levels.

    Attributes
    ----------
    rate : float
        Decay per unit of time, at least 0.
    amplitude : float
        Level above the offset at time 0, in counts.
    offset : float
        Part of the level that does not bleach, in counts.
    r_squared : float
        Share of the variance of the logarithms that the decay explains.
    n_used : int
        Levels that entered the fit.
    flag : str
        Empty, or why no decay was found; the rate is 0 then.
    """

    rate: float
    amplitude: float
    offset: float
    r_squared: float
    n_used: int
    flag: str

    def factors(self, times: ArrayLike) -> NDArray[np.float64]:
        """Return the factors, 1 at the first time, by which corrected frames are multiplied.

        Times that are not known (NaN) are taken to lie between the known ones around them.
        """
        at = np.asarray(times, np.float64)
        known = np.flatnonzero(np.isfinite(at))
        if known.size:
            at = np.interp(np.arange(at.size), known, at[known])
        return np.exp(self.rate * (at - at[0]) if at.size else at)


def fit_bleaching(
    levels: ArrayLike, times: ArrayLike | None = None, *, offset: float = 0.0
) -> BleachFit:
    """Fit an exponential decay to per-frame levels.

    The rate is the median of the slopes of the logarithm between all pairs of frames
    (Theil and Sen), so that single bright or dark frames do not matter.

    Parameters
    ----------
    levels : array-like
        (T,) sum of the cells' light or background level per frame, in counts; NaN for missing
        frames.
    times : array-like, optional
        (T,) increasing times in any unit; default is the frame number.
    offset : float
        Constant part of the levels, such as the camera's dark level, in counts.

    Raises
    ------
    FovflowError
        If fewer than three levels are finite and above the offset.

    Notes
    -----
    Valid only if the true amount of fluorophore behind the levels is constant: a constitutive
    label in a population whose size is known to be constant, a reference dye, or the background
    light of a medium. Levels of a reporter whose expression changes confound expression and
    bleaching; then leave bleaching to the kinetic model.
    """
    light = np.asarray(levels, np.float64) - offset
    at = np.arange(light.size, dtype=np.float64) if times is None else np.asarray(times, np.float64)
    if light.ndim != 1 or at.shape != light.shape:
        raise FovflowError(
            "levels and times must be two rows of equal length",
            found=f"{light.shape} and {at.shape}",
        )
    used = np.isfinite(light) & (light > 0) & np.isfinite(at)
    if np.count_nonzero(used) < _FEWEST_LEVELS:
        raise FovflowError(
            "too few levels for a bleaching curve",
            found=f"{int(np.count_nonzero(used))} above the offset {offset:g}",
            remedy="set correct.bleach: none, or check the dark level",
        )
    logarithm, at = np.log(light[used]), at[used]
    slope = _median_slope(at, logarithm)
    rate = max(0.0, -slope)
    height = float(np.median(logarithm + rate * at))
    total = float(((logarithm - logarithm.mean()) ** 2).sum())
    rest = float(((logarithm - height + rate * at) ** 2).sum())
    return BleachFit(
        rate=rate,
        amplitude=float(np.exp(height)),
        offset=offset,
        r_squared=1 - rest / total if total > 0 else 1.0,
        n_used=int(at.size),
        flag="" if slope < 0 else "levels do not fall",
    )


def bleaching_factors(
    levels: ArrayLike, times: ArrayLike | None = None, *, offset: float = 0.0
) -> NDArray[np.float64]:
    """Return per-frame factors, (T,) float64 and 1 at the first frame, that undo bleaching.

    Parameters, errors and the conditions under which this is valid are those of `fit_bleaching`.
    Levels that rise give factors of 1. Multiply background-corrected frames, or sums of cells, by
    the factor of their frame.

    Examples
    --------
    >>> import numpy as np
    >>> factors = bleaching_factors(1000 * np.exp(-0.01 * np.arange(50)))
    >>> round(float(factors[10]), 6)
    1.105171
    """
    fit = fit_bleaching(levels, times, offset=offset)
    at = np.arange(np.asarray(levels).size) if times is None else np.asarray(times)
    return fit.factors(at)


def _median_slope(at: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the Theil–Sen slope; of a long series, pairs of evenly spread points."""
    step = -(-at.size // _MOST_PAIRED)
    at, values = at[::step], values[::step]
    first, second = np.triu_indices(at.size, 1)
    span = at[second] - at[first]
    rise: NDArray[Any] = (values[second] - values[first])[span > 0] / span[span > 0]
    if rise.size == 0:
        raise FovflowError("all levels have the same time", remedy="give increasing times")
    return float(np.median(rise))
