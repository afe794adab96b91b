"""Bleaching factors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovflow.background import bleaching_factors, fit_bleaching
from fovflow.errors import FovflowError


@given(st.floats(1e-4, 0.1), st.floats(10, 1e6), st.integers(3, 200))
def test_an_exact_decay_is_undone(rate, amplitude, frames):
    t = np.arange(frames)
    levels = amplitude * np.exp(-rate * t)
    np.testing.assert_allclose(levels * bleaching_factors(levels), amplitude, rtol=1e-9)


def test_noise_outliers_and_missing_frames():
    t = np.arange(300)
    rng = np.random.default_rng(0)
    levels = 5000 * np.exp(-0.004 * t) * rng.normal(1, 0.02, t.size)
    levels[::17] *= 3
    levels[50:60] = np.nan
    fit = fit_bleaching(levels)
    assert fit.rate == pytest.approx(0.004, rel=0.02)
    assert fit.amplitude == pytest.approx(5000, rel=0.02)
    assert fit.n_used == 290
    assert fit.flag == ""
    factors = bleaching_factors(levels)
    assert np.isfinite(factors).all()
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(np.exp(0.004 * 299), rel=0.03)


def test_offset_and_times():
    hours = np.array([0, 1, 2, 5, 9.0])
    levels = 100 + 400 * np.exp(-0.2 * hours)
    fit = fit_bleaching(levels, hours, offset=100)
    assert fit.rate == pytest.approx(0.2)
    assert fit.r_squared == pytest.approx(1)
    np.testing.assert_allclose(fit.factors(hours), np.exp(0.2 * hours))


@pytest.mark.parametrize("absent", [[0], [7], [0, 1, 11, 12, 39]])
def test_frames_without_a_time_leave_the_others_their_factors(absent):
    seconds = 60.0 * np.arange(40)
    levels = 1000 * np.exp(-1e-4 * seconds)
    given = seconds.copy()
    given[absent] = np.nan
    factors = bleaching_factors(levels, given)
    there = np.setdiff1d(np.arange(40), absent)
    expected = np.exp(1e-4 * (seconds - seconds[there[0]]))
    np.testing.assert_allclose(factors[there], expected[there], rtol=1e-9)
    assert (np.diff(factors) >= 0).all()
    assert factors[0] == 1


def test_levels_that_rise_are_left_alone():
    levels = np.linspace(100, 200, 20)
    assert np.array_equal(bleaching_factors(levels), np.ones(20))
    assert fit_bleaching(levels).flag == "levels do not fall"
    assert fit_bleaching(np.full(20, 5.0)).r_squared == 1


def test_a_long_series_is_thinned():
    levels = np.exp(-1e-4 * np.arange(5000))
    assert fit_bleaching(levels).rate == pytest.approx(1e-4)


@pytest.mark.parametrize("levels", [[], [1, 2], [np.nan] * 9, [-5.0] * 9])
def test_too_few_levels_are_told(levels):
    with pytest.raises(FovflowError, match="too few levels"):
        fit_bleaching(levels)


def test_rows_that_do_not_fit_are_told():
    with pytest.raises(FovflowError, match="equal length"):
        fit_bleaching([1, 2, 3], [1, 2])
    with pytest.raises(FovflowError, match="same time"):
        fit_bleaching([1, 2, 3], [1, 1, 1])
