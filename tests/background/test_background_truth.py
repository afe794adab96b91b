"""Background-corrected totals against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.background import get_corrector
from fovflow.simulation import MovieParams, simulate

BORDER_PX = 64
BRIGHT = 10_000  # counts: a total above the detection limit


def relative_errors(movie, frames, method, shape):
    """Errors of the totals of cells, in the middle and at the border, relative to the truth."""
    corrector = get_corrector(method, shape=shape)
    middle, border = [], []
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for t in frames:
        labels = movie.masks(0, t)
        corrected, _ = corrector(movie.frame(0, t)[1], labels)

        def totals(image, labels=labels):
            return np.bincount(labels.ravel(), image.ravel().astype(float))[1:]

        area, truth = totals(np.ones(shape)), totals(movie.signal(0, t, 1))
        y, x = (totals(index) / np.maximum(area, 1) for index in (rows, columns))
        margin = np.minimum.reduce([y, x, shape[0] - y, shape[1] - x])
        errors = np.abs(totals(corrected) / np.where(truth > 0, truth, np.nan) - 1)
        seen = (area > 0) & (truth > BRIGHT)
        middle.extend(errors[seen & (margin >= BORDER_PX)])
        border.extend(errors[seen & (margin < BORDER_PX)])
    return np.array(middle), np.array(border)


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 1},
        {"seed": 2, "shading": 0.4},
        {"seed": 3, "touching": 0.5, "cells": 60, "background_gradient": 0.5},
    ],
    ids=["default", "shaded", "touching"],
)
def test_totals_are_right_in_the_middle_and_at_the_border(settings):
    shape = (640, 640)
    movie = simulate(MovieParams(**{"frames": 20, "cells": 40, **settings}, height=640, width=640))
    middle, border = relative_errors(movie, [8, 13, 19], "tiles", shape)
    assert min(middle.size, border.size) >= 10
    assert np.median(middle) < 0.01  # reach: 0.03
    assert np.median(border) < 0.015  # reach: 0.05
    classic_middle, classic_border = relative_errors(movie, [8, 13, 19], "classic", shape)
    assert np.median(classic_middle) > np.median(middle)
    assert np.median(classic_border) > 4 * np.median(border)
