"""Differences of decaying exponentials that stay exact where their rates meet.

The curves of chains of first-order reactions are divided differences of exp(−x·t) in the rates x:
``E1(a, b) = (exp(−a·t) − exp(−b·t)) / (b − a)`` and so on. Where rates meet, the quotients turn
into derivatives; there they are taken from their Taylor series.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray

Array = NDArray[np.float64]

_NEAR = 0.06
"""Spread of rates × time below which the series are used; the quotients lose 1e-13 there."""
_TERMS = 8
_PAIR = np.array(
    [
        [1 / factorial(n + 1), 1 / factorial(n + 2), (n + 1) / factorial(n + 2)]
        for n in range(_TERMS)
    ]
)
"""Series of (1 − e^−x)/x and of its slopes in the lower and the higher rate, in powers of −x."""
_TINY = 1e-150
"""Least difference of rates in a quotient; where it counts, the series are used."""


def series(spreads: Sequence[Array]) -> Array:
    """Return the divided difference of exp(−x) at 0 and at `spreads`, all near 0, without its sign.

    That is Σₙ (−1)ⁿ hₙ / (n + k)! for k spreads, with the complete homogeneous polynomials hₙ.
    """
    k = len(spreads)
    powers = [np.ones_like(spreads[0]), *[np.zeros_like(spreads[0])] * (_TERMS - 1)]
    for spread in spreads:
        for n in range(1, _TERMS):
            powers[n] = powers[n] + spread * powers[n - 1]
    terms = (powers[n] * ((-1) ** n / factorial(n + k)) for n in range(_TERMS))
    return np.asarray(sum(terms, np.zeros_like(spreads[0])))


def two_rates(t: Array, a: Array, b: Array) -> tuple[Array, Array, Array, Array]:
    """Return E1 of the rates `a` and `b`, ∂E1/∂a, ∂E1/∂b and ∂E1/∂t.

    `t`: (cells, points) times of zero or more. `a`, `b`: (cells, 1) rates in any order.
    """
    low, span = np.minimum(a, b), np.abs(b - a)
    inverse = 1 / np.maximum(span, _TINY)
    spread = -span * t
    slow = -low * t
    np.exp(slow, out=slow)
    fast = np.exp(spread)
    fast *= slow
    value = slow - fast
    value *= inverse
    by_low = t * slow
    np.subtract(value, by_low, out=by_low)
    by_low *= inverse
    fast *= t
    fast -= value
    by_high = fast
    by_high *= inverse
    index = np.flatnonzero((spread > -_NEAR) & (t > 0))
    if index.size:
        near = t.ravel()[index]
        scaled = near * slow.ravel()[index]
        first, second, third = polyval(spread.ravel()[index], _PAIR)
        value.flat[index] = scaled * first
        scaled *= -near
        by_low.flat[index], by_high.flat[index] = scaled * second, scaled * third
    slow -= (low + span) * value
    swap = a > b
    if swap.all():
        by_low, by_high = by_high, by_low
    elif swap.any():
        by_low, by_high = np.where(swap, by_high, by_low), np.where(swap, by_low, by_high)
    return value, by_low, by_high, slow


def three_rates(t: Array, rates: Array) -> tuple[Array, list[Array], Array]:
    """Return E2 of three rates, ∂E2/∂rate for each and ∂E2/∂t.

    `t`: (cells, points) times of zero or more. `rates`: (cells, 3) in any order.
    """
    order = np.argsort(rates, axis=1)
    x = np.take_along_axis(rates, order, axis=1)
    a, b, c = x[:, :1], x[:, 1:2], x[:, 2:]
    e_ab, ab_a, ab_b, _ = two_rates(t, a, b)
    e_bc, bc_b, bc_c, _ = two_rates(t, b, c)
    inverse = 1 / np.maximum(c - a, _TINY)
    value = (e_ab - e_bc) * inverse
    slopes = [(ab_a + value) * inverse, (ab_b - bc_b) * inverse, (bc_c + value) * -inverse]
    rows, columns = np.nonzero(((c - a) * t < _NEAR) & (t > 0))
    if rows.size:
        near = t[rows, columns]
        y, z = (b - a)[rows, 0] * near, (c - a)[rows, 0] * near
        scaled = near**2 * np.exp(-a[rows, 0] * near)
        value[rows, columns] = scaled * series([y, z])
        for slope, again in zip(slopes, (np.zeros_like(y), y, z), strict=True):
            slope[rows, columns] = -scaled * near * series([y, z, again])
    unsorted = np.argsort(order, axis=1)
    stacked = np.stack(slopes)
    cells = np.arange(len(rates))
    return value, [stacked[unsorted[:, i], cells] for i in range(3)], e_ab - c * value
