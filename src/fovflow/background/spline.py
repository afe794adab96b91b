"""Cubic splines as small matrices: a surface is two matrix products, whatever its size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def not_a_knot_matrix(sites: Matrix, points: Matrix) -> Matrix:
    """Return the matrix of cubic interpolation with not-a-knot ends.

    Parameters
    ----------
    sites : numpy.ndarray
        At least four increasing positions of the values.
    points : numpy.ndarray
        Positions of evaluation; the spline is held constant beyond the outer sites.

    Returns
    -------
    numpy.ndarray
        (points, sites) float64; times the values it gives the spline at the points.

    Notes
    -----
    Written with the second derivatives M at the sites (C. de Boor, A Practical Guide to Splines,
    1978, chapter IV); not-a-knot: the third derivative is continuous at the second and the
    second last site.
    """
    count = len(sites)
    step = np.diff(sites)
    curvature = np.zeros((count, count))
    slopes = np.zeros((count, count))
    for i in range(1, count - 1):
        curvature[i, i - 1 : i + 2] = step[i - 1], 2 * (step[i - 1] + step[i]), step[i]
        slopes[i, i - 1 : i + 2] = (
            6 / step[i - 1],
            -6 / step[i - 1] - 6 / step[i],
            6 / step[i],
        )
    curvature[0, :3] = -step[1], step[0] + step[1], -step[0]
    curvature[-1, -3:] = -step[-1], step[-2] + step[-1], -step[-2]
    second = np.linalg.solve(curvature, slopes)

    at = np.clip(points, sites[0], sites[-1])
    interval = np.clip(np.searchsorted(sites, at, side="right") - 1, 0, count - 2)
    width = step[interval]
    right = (at - sites[interval]) / width
    left = 1 - right
    identity = np.eye(count)
    bend_left = ((left**3 - left) * width**2 / 6)[:, None]
    bend_right = ((right**3 - right) * width**2 / 6)[:, None]
    matrix: Matrix = (
        left[:, None] * identity[interval]
        + right[:, None] * identity[interval + 1]
        + bend_left * second[interval]
        + bend_right * second[interval + 1]
    )
    return matrix


def bspline_basis(length: int, intervals: int) -> Matrix:
    """Return uniform cubic B-splines at the centres of `length` pixels.

    Returns
    -------
    numpy.ndarray
        (length, intervals + 3) float64; each row sums to 1.
    """
    position = (np.arange(length) + 0.5) * intervals / length
    distance = np.abs(position[:, None] - (np.arange(intervals + 3) - 1))
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, inner, outer)


def difference_penalty(count: int, weights: dict[int, float]) -> Matrix:
    """Return ``sum(weight * D.T @ D)`` over differences D of the given orders.

    Parameters
    ----------
    count : int
        Number of coefficients.
    weights : dict of int to float
        Weight of each order of difference.
    """
    total = np.zeros((count, count))
    for order, weight in weights.items():
        difference = np.diff(np.eye(count), order, axis=0)
        total += weight * difference.T @ difference
    return total


class SplineSurface:
    """Evaluate ``left @ coefficients @ right.T`` in float32 into a buffer of its own.

    Parameters
    ----------
    left, right : numpy.ndarray
        (Y, p) and (X, q) float64.
    """

    def __init__(self, left: Matrix, right: Matrix):
        self._left = left
        self._right = np.ascontiguousarray(right.T, np.float32)
        self._values = np.empty((left.shape[0], right.shape[0]), np.float32)

    def __call__(self, coefficients: Matrix) -> NDArray[np.float32]:
        """Return the (Y, X) surface; the array is overwritten by the next call."""
        rows = (self._left @ coefficients).astype(np.float32)
        return np.matmul(rows, self._right, out=self._values)
