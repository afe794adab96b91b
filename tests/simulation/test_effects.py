"""Effects that make movies harder: flat and round cells, dirt, compression, lost focus."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fovflow.accuracy.realism import looks
from fovflow.errors import ConfigError
from fovflow.simulation import PRESETS, MovieParams, simulate
from fovflow.simulation.optics import defocus

SMALL = {"seed": 3, "frames": 1, "height": 256, "width": 256, "cells": 8}
CLEAN = {"shot_noise": False, "read_noise": 0.0, "debris": 0.0, "grain": 0.0}


def phase(**settings):
    return simulate(MovieParams(**(SMALL | settings))).frame(0, 0)[0]


def test_settings_at_their_defaults_are_written_as_they_always_were():
    plain = MovieParams().to_dict()
    assert not {"flat", "dirt", "halo_um", "phase_jpeg", "conditions"} & plain.keys()
    harder = MovieParams(dirt=2.0, phase_jpeg=40)
    assert harder.to_dict().keys() - plain.keys() == {"dirt", "phase_jpeg"}
    assert MovieParams.from_dict(harder.to_dict()) == harder


def test_the_realistic_movie_looks_like_real_cells():
    movie = simulate(MovieParams(**PRESETS["realistic"], seed=1, frames=2))
    found = looks([movie.frame(0, 1)[0]], [movie.masks(0, 1)], movie.params.pixel_um)
    # T98G cells: inside 0.98, texture 0.27, halo 1.56, background 0.05, noise 0.008
    assert found["inside"] == pytest.approx(0.96, abs=0.06)
    assert found["texture"] == pytest.approx(0.24, abs=0.06)
    assert found["halo"] == pytest.approx(1.5, abs=0.12)
    assert found["background SD"] == pytest.approx(0.05, abs=0.015)
    plain = simulate(MovieParams(seed=1, frames=1))
    usual = looks([plain.frame(0, 0)[0]], [plain.masks(0, 0)], plain.params.pixel_um)
    assert usual["inside"] < 0.8
    assert usual["halo"] < 1.3


def test_flat_cells_are_faint_and_wide():
    figures = []
    for flat in (0.0, 1.0):
        movie = simulate(MovieParams(**SMALL, **CLEAN, flat=flat))
        masks, image = movie.masks(0, 0), movie.frame(0, 0)[0]
        figures.append((np.count_nonzero(masks), image[masks > 0].std()))
    assert figures[1][0] > 1.25 * figures[0][0]
    assert figures[1][1] < 0.6 * figures[0][1]


def test_rounded_cells_are_small_round_and_have_a_bright_rim():
    movie = simulate(MovieParams(**SMALL, **CLEAN, rounded=1.0))
    masks, image = movie.masks(0, 0), movie.frame(0, 0)[0]
    areas = np.bincount(masks.ravel())[1:]
    assert areas[areas > 0].mean() < 0.4 * np.pi * movie.params.cell_radius_px**2
    assert image.max() > 1.6 * np.median(image)


def test_long_processes_leave_the_area_as_it_is():
    areas, widths = [], []
    for length in (0.0, 2.0):
        movie = simulate(MovieParams(**SMALL, processes=length, size_spread=0.0))
        masks = movie.masks(0, 0)
        inner = np.zeros_like(masks)
        inner[2:-2, 2:-2] = masks[2:-2, 2:-2]
        whole = [i for i in np.unique(masks)[1:] if (masks == i).sum() == (inner == i).sum()]
        areas.append(np.mean([(masks == i).sum() for i in whole]))
        boxes = [np.ptp(np.nonzero(masks == i), axis=1) for i in whole]
        widths.append(np.max(boxes))
    assert areas[1] == pytest.approx(areas[0], rel=0.15)
    assert widths[1] > 1.2 * widths[0]


def test_dirt_and_scratches_stay_on_the_dish():
    settings = {**SMALL, **CLEAN, "cells": 0, "vignetting": 0.0, "frames": 2, "drift_px": (5, 3)}
    movie = simulate(MovieParams(**settings, dirt=20.0, scratches=5.0))
    first, second = (movie.frame(0, t)[0].astype(int) for t in (0, 1))
    assert first.std() > 10
    np.testing.assert_array_equal(first[3:, 5:], second[:-3, :-5])


def test_colonies_hold_as_many_cells_as_asked():
    movie = simulate(
        MovieParams(seed=2, frames=1, cells=30, touching=1.0, colonies=6, height=700, width=700)
    )
    masks = movie.masks(0, 0)
    together = cv2.dilate((masks > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    _, groups = cv2.connectedComponents(together)
    members = [
        np.unique(masks[(groups == g) & (masks > 0)]).size for g in range(1, groups.max() + 1)
    ]
    assert max(members) >= 6


def test_phase_frames_keep_the_bits_that_were_asked_for():
    whole, eight = phase(), phase(phase_bits=8)
    np.testing.assert_array_equal(eight, whole >> 4)
    assert eight.max() <= 255
    lossy = phase(phase_jpeg=40)
    assert lossy.max() <= 255
    assert 0.5 < np.abs(lossy.astype(int) - eight).mean() < 10
    full = simulate(MovieParams(**SMALL, phase_jpeg=40)).frame(0, 0)[1]
    np.testing.assert_array_equal(full, simulate(MovieParams(**SMALL)).frame(0, 0)[1])


def test_focus_is_lost_frame_by_frame():
    params = MovieParams(focus_drift_px=0.2)
    assert [defocus(params, 0, t) for t in (0, 5, 10)] == pytest.approx([0.0, 1.0, 2.0])


def test_uneven_light_has_the_spread_that_was_asked_for():
    even = {**SMALL, **CLEAN, "cells": 0, "vignetting": 0.0}
    image = phase(**even, unevenness=0.1) - 100.0
    assert image.std() / image.mean() == pytest.approx(0.1, rel=0.1)


def test_settings_out_of_bounds_are_told():
    with pytest.raises(ConfigError, match=r"phase_bits.*phase_jpeg"):
        MovieParams(phase_bits=13, phase_jpeg=101)
    with pytest.raises(ConfigError, match="rounding is not below 1"):
        MovieParams(rounding=1.0)
