"""Frames, masks, backgrounds: determinism, conservation of light, noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fovflow.errors import ConfigError
from fovflow.simulation import Movie, MovieParams, simulate
from fovflow.simulation.optics import LEAST_VISIBLE_PX

BUSY = MovieParams(
    seed=4,
    positions=2,
    frames=10,
    height=256,
    width=320,
    cells=14,
    channels=("Phase", "GFP", "RFP"),
    touching=0.5,
    births=2,
    deaths=1,
    divisions=2,
    drift_px=(0.7, -0.4),
    drift_jitter_px=0.3,
    defocus_px=0.8,
    shading=0.2,
    bleaching=0.01,
    time_jitter_s=5.0,
)
QUIET = {
    "shot_noise": False,
    "read_noise": 0.0,
    "debris": 0.0,
    "grain": 0.0,
}


def parts(labels: np.ndarray, cell: int) -> int:
    return cv2.connectedComponents((labels == cell).astype(np.uint8), connectivity=4)[0] - 1


@pytest.fixture(scope="module")
def busy() -> Movie:
    return simulate(BUSY)


def test_any_order_gives_the_same_bytes(busy: Movie) -> None:
    again = simulate(BUSY)
    later = again.frame(1, 7), again.masks(1, 7)
    for p, t in ((0, 3), (1, 7), (0, 0)):
        busy.frame(p, t)
    np.testing.assert_array_equal(busy.frame(1, 7), later[0])
    np.testing.assert_array_equal(busy.masks(1, 7), later[1])
    assert not np.array_equal(busy.frame(1, 7), busy.frame(0, 7))


def test_the_number_of_threads_changes_nothing(busy: Movie) -> None:
    before = cv2.getNumThreads()
    images = []
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            images.append(simulate(BUSY).frame(0, 5))
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(*images)


def test_another_seed_gives_another_movie(busy: Movie) -> None:
    other = simulate(MovieParams.from_dict({**BUSY.to_dict(), "seed": 5}))
    assert not np.array_equal(busy.masks(0, 0), other.masks(0, 0))
    assert not np.array_equal(busy.background(0, 0, 1), other.background(0, 0, 1))


def test_settings_survive_a_round_trip() -> None:
    params = MovieParams(missing=frozenset({(0, 3)}), channels=("Phase",))
    assert MovieParams.from_dict(params.to_dict()) == params
    with pytest.raises(ConfigError, match="cels"):
        MovieParams.from_dict({"cels": 3})


def test_masks_are_single_regions_of_some_size(busy: Movie) -> None:
    for t in range(0, 10, 3):
        masks = busy.masks(0, t)
        assert (masks.dtype, masks.shape) == (np.uint16, (256, 320))
        ids, counts = np.unique(masks[masks > 0], return_counts=True)
        assert len(ids) >= 10
        assert counts.min() >= LEAST_VISIBLE_PX
        assert {parts(masks, cell) for cell in ids} == {1}


def test_cells_have_the_size_that_was_asked_for() -> None:
    movie = simulate(
        MovieParams(seed=1, height=700, width=700, cells=40, size_spread=0.0, cell_radius_um=6.5)
    )
    rows = movie.cell_rows(0, 0)
    whole = rows["visible"] > 0.999
    assert whole.sum() > 20
    radius = np.sqrt(rows["area"][whole] / np.pi)
    assert np.median(radius) == pytest.approx(10.0, rel=0.03)
    assert radius.std() < 0.5


def test_as_many_cells_as_asked_for_are_in_view_at_first() -> None:
    for touching in (0.0, 0.6):
        movie = simulate(MovieParams(seed=3, frames=1, cells=35, touching=touching))
        rows = movie.cell_rows(0, 0)
        assert rows["cell"].size == 35
        assert movie.lineage(0)["cell"].size == 35


def gap_to_others(masks: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the least distance of two cells (chessboard, px) and the cells that touch one."""
    for reach in range(1, 12):
        window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        high = cv2.dilate(masks, window)
        close = (masks > 0) & (high != masks)
        if close.any():
            touching = np.union1d(masks[close], high[close])
            return reach, touching
    return 12, np.zeros(0)


def test_cells_do_not_touch_unless_asked_to() -> None:
    movie = simulate(MovieParams(seed=2, frames=12, cells=45, touching=0.0))
    gaps = [gap_to_others(movie.masks(0, t))[0] for t in range(12)]
    assert min(gaps) >= 3


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_the_share_of_touching_cells_is_as_asked(share: float) -> None:
    movie = simulate(MovieParams(seed=6, frames=10, cells=30, touching=share))
    for t in (0, 9):
        reach, together = gap_to_others(movie.masks(0, t))
        assert reach == 1
        assert together.size / 30 == pytest.approx(share, abs=0.07)


def test_light_is_conserved_by_the_blur() -> None:
    movie = simulate(MovieParams(seed=8, frames=12, cells=6, speed_um_h=0.0, psf_px=2.0))
    rows = movie.cell_rows(0, 11)
    true = float((rows["total_ch_1"] / rows["visible"]).sum())
    inside = rows["visible"] > 0.999
    if not inside.all():
        pytest.fail("the case needs cells that lie wholly in view")
    assert movie.signal(0, 11, 1).sum() == pytest.approx(true, rel=1e-4)


def test_totals_are_those_of_the_kinetics() -> None:
    movie = simulate(MovieParams(seed=8, frames=20, cells=4, channels=("Phase", "G", "R")))
    kinetics, rows = movie.kinetics(0), movie.cell_rows(0, 19)
    hours = movie.times(0)[19] / 3600
    for c in (1, 2):
        for k, cell in enumerate(rows["cell"]):
            at = (kinetics["cell"] == cell) & (kinetics["channel"] == c)
            t0, ktl, delta, beta = (
                float(kinetics[n][at][0]) for n in ("t0_h", "ktl", "delta", "beta")
            )
            dt = hours - t0
            whole = ktl / (delta - beta) * (1 - np.exp(-(delta - beta) * dt)) * np.exp(-beta * dt)
            found = rows[f"total_ch_{c}"][k] / rows["visible"][k]
            assert found == pytest.approx(whole, rel=1e-9)


def test_frames_are_background_plus_signal_without_noise() -> None:
    movie = simulate(MovieParams(seed=1, frames=8, height=96, width=96, cells=3, **QUIET))
    for c in (0, 1):
        expected = movie.background(0, 7, c) + movie.signal(0, 7, c)
        np.testing.assert_array_equal(movie.frame(0, 7)[c], np.rint(expected).astype(np.uint16))
    far = movie.signal(0, 7, 1) < 1e-3
    assert far.any()
    assert not movie.signal(0, 0, 1).any()  # before the earliest onset


def test_noise_is_shot_noise_and_read_noise() -> None:
    params = MovieParams(
        seed=1, frames=1, height=400, width=400, cells=0, background_gradient=0.0,
        electrons_per_count=2.0, read_noise=3.0, background_level=500.0, debris=0.0, grain=0.0,
        vignetting=0.0,
    )  # fmt: skip
    frame = simulate(params).frame(0, 0).astype(float)
    for c, level in ((0, 1600.0), (1, 500.0)):
        assert frame[c].mean() == pytest.approx(100 + level, rel=0.002)
        assert frame[c].var() == pytest.approx(level / 2.0 + 9.0 + 1 / 12, rel=0.02)
    residual = frame[1] - frame[1].mean()
    assert abs((residual[:, 1:] * residual[:, :-1]).mean()) < 0.02 * frame[1].var()
    assert abs(np.corrcoef(frame[0].ravel(), frame[1].ravel())[0, 1]) < 0.01


def test_everything_switched_off_is_flat() -> None:
    movie = simulate(
        MovieParams(
            frames=2, height=64, width=80, cells=0, vignetting=0.0, background_gradient=0.0,
            background_drift=0.0, **QUIET,
        )
    )  # fmt: skip
    for t in (0, 1):
        assert (movie.frame(0, t)[0] == 1700).all()
        assert (movie.frame(0, t)[1] == 300).all()
        assert not movie.masks(0, t).any()


def test_phase_contrast_is_dark_inside_and_bright_outside() -> None:
    movie = simulate(MovieParams(seed=5, frames=1, cells=25, **QUIET))
    masks = movie.masks(0, 0) > 0
    relative = movie.signal(0, 0, 0) / 1600.0
    ring = (cv2.dilate(masks.astype(np.uint8), np.ones((9, 9))) > 0) & ~masks
    far = cv2.dilate(masks.astype(np.uint8), np.ones((41, 41))) == 0
    assert -0.25 < relative[masks].mean() < -0.05
    assert 0.05 < relative[ring].mean() < 0.25
    assert abs(relative[far]).mean() < 0.01
    assert relative[masks].std() > 0.1


def test_counts_are_clipped_at_the_bit_depth() -> None:
    bright = {"brightness": 1e9, "frames": 12, "height": 128, "width": 128, "cells": 3, "seed": 1}
    assert simulate(MovieParams(**bright)).frame(0, 11)[1].max() == 4095
    assert simulate(MovieParams(**bright, bit_depth=16)).frame(0, 11)[1].max() == 65535


def test_background_varies_in_space_and_time_as_asked() -> None:
    movie = simulate(MovieParams(frames=60, cells=0, background_gradient=0.4, background_drift=0.3))
    first = movie.background(0, 0, 1) - 100
    assert (first.max() - first.min()) / first.mean() == pytest.approx(0.6, abs=0.25)
    levels = [movie.background(0, t, 1).mean() for t in range(60)]
    assert 0.05 < (max(levels) - min(levels)) / (levels[0] - 100) < 0.7
    still = simulate(MovieParams(frames=60, cells=0, background_drift=0.0))
    np.testing.assert_array_equal(still.background(0, 0, 1), still.background(0, 59, 1))


def test_shading_multiplies_cells_and_background_alike() -> None:
    plain = MovieParams(seed=3, frames=9, cells=8, background_gradient=0.0)
    flat, shaded = (
        simulate(MovieParams.from_dict({**plain.to_dict(), "shading": s})) for s in (0.0, 0.4)
    )
    profile = (shaded.background(0, 8, 1) - 100) / (flat.background(0, 8, 1) - 100)
    assert profile.max() == pytest.approx(1.0, abs=1e-4)
    assert profile.min() == pytest.approx(0.6, abs=1e-6)
    cells = flat.signal(0, 8, 1) > 5
    ratio = shaded.signal(0, 8, 1)[cells] / flat.signal(0, 8, 1)[cells]
    np.testing.assert_allclose(ratio, profile[cells], rtol=1e-6)
    rows = shaded.cell_rows(0, 8)["total_ch_1"]
    np.testing.assert_array_equal(rows, flat.cell_rows(0, 8)["total_ch_1"])


def test_bleaching_takes_the_same_share_each_frame() -> None:
    plain = MovieParams(seed=3, frames=9, cells=5)
    bleached = simulate(MovieParams.from_dict({**plain.to_dict(), "bleaching": 0.1}))
    ratio = bleached.signal(0, 8, 1).sum() / simulate(plain).signal(0, 8, 1).sum()
    assert ratio == pytest.approx(0.9**8)


def test_defocus_blurs_but_keeps_light_and_masks() -> None:
    plain = MovieParams(seed=9, frames=12, cells=5, **QUIET)
    sharp = simulate(plain)
    soft = simulate(MovieParams.from_dict({**plain.to_dict(), "defocus_px": 4.0}))
    np.testing.assert_array_equal(sharp.masks(0, 11), soft.masks(0, 11))
    assert soft.signal(0, 11, 1).sum() == pytest.approx(sharp.signal(0, 11, 1).sum(), rel=1e-2)
    peaks = [max(movie.signal(0, t, 1).max() for t in (9, 10, 11)) for movie in (soft, sharp)]
    assert peaks[0] < 0.98 * peaks[1]


@pytest.mark.parametrize("shape", [(8, 8), (9, 300), (63, 17)])
def test_odd_and_tiny_frames(shape: tuple[int, int]) -> None:
    movie = simulate(MovieParams(height=shape[0], width=shape[1], cells=1, frames=2))
    assert movie.frame(0, 1).shape == (2, *shape)
    assert movie.masks(0, 1).max() <= 1


def test_indices_outside_the_movie_are_refused(busy: Movie) -> None:
    for p, t in ((2, 0), (-1, 0), (0, 10), (0, -1)):
        with pytest.raises(IndexError):
            busy.frame(p, t)
    with pytest.raises(IndexError):
        busy.signal(0, 0, 3)


def test_all_faults_of_the_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        MovieParams(
            frames=0, touching=1.5, kinetics="exotic", bit_depth=20, missing=frozenset({(5, 0)}),
            read_noise=-1.0, cells=5000, onset_h=(3.0, 1.0),
        )  # fmt: skip
    for word in ("frames", "touching", "exotic", "bit_depth", "missing (5, 0)", "read_noise",
                 "do not fit", "onset_h"):  # fmt: skip
        assert word in str(caught.value)


def test_a_pixel_size_of_zero_is_told() -> None:
    with pytest.raises(ConfigError, match="pixel_um is not above 0"):
        MovieParams(pixel_um=0.0)
