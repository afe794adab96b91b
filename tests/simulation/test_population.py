"""The cells' lives: births, deaths, divisions, motion, drift, times."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.errors import ConfigError
from fovflow.simulation import Movie, MovieParams, simulate
from fovflow.simulation.population import amount


def presence(movie: Movie, p: int = 0) -> dict[int, list[int]]:
    """Return the frames in which each cell has a mask."""
    found: dict[int, list[int]] = {}
    for t in range(movie.params.frames):
        for cell in np.unique(movie.masks(p, t))[1:]:
            found.setdefault(int(cell), []).append(t)
    return found


@pytest.fixture(scope="module")
def lively() -> Movie:
    return simulate(
        MovieParams(seed=12, frames=24, cells=14, births=4, deaths=3, divisions=4, positions=1)
    )


def test_the_lineage_has_the_events_that_were_asked_for(lively: Movie) -> None:
    lineage = lively.lineage(0)
    assert (lineage["end"] == "died").sum() == 3
    assert (lineage["end"] == "divided").sum() == 4
    assert np.isin(lineage["origin"], ["entered", "settled"]).sum() == 4
    assert (lineage["origin"] == "divided").sum() == 8
    assert (lineage["origin"] == "start").sum() == 14
    assert (lineage["last_frame"][lineage["end"] == "end"] == 23).all()


def test_masks_agree_with_the_lineage(lively: Movie) -> None:
    lineage, seen = lively.lineage(0), presence(lively)
    assert set(seen) <= set(lineage["cell"].tolist())
    for cell, first, last, end, origin in zip(
        *(lineage[n] for n in ("cell", "first_frame", "last_frame", "end", "origin")), strict=True
    ):
        frames = seen.get(int(cell), [])
        assert all(first <= t <= last for t in frames)
        if end in ("died", "divided"):
            assert frames[-1] == last
        if origin in ("divided", "settled", "start"):
            assert frames[0] == first


def test_daughters_follow_their_mother_at_once_and_touch(lively: Movie) -> None:
    lineage = lively.lineage(0)
    mothers = np.unique(lineage["parent"][lineage["parent"] > 0])
    assert mothers.size == 4
    for mother in mothers:
        born = lineage["parent"] == mother
        daughters, first = lineage["cell"][born], lineage["first_frame"][born]
        assert daughters.size == 2
        last = int(lineage["last_frame"][lineage["cell"] == mother][0])
        assert set(first.tolist()) == {last + 1}
        masks = lively.masks(0, last + 1)
        before = lively.masks(0, last) == mother
        one, two = (masks == d for d in daughters)
        rows, cols = np.nonzero(one)
        near = any(
            two[min(r + dr, 511), min(c + dc, 511)] or two[max(r - dr, 0), max(c - dc, 0)]
            for r, c in zip(rows, cols, strict=True)
            for dr, dc in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
        )
        assert near
        assert (one | two).sum() == pytest.approx(before.sum(), rel=0.35)
        assert np.hypot(*(np.argwhere(one | two).mean(0) - np.argwhere(before).mean(0))) < 8


def test_daughters_share_the_light_of_their_mother(lively: Movie) -> None:
    kinetics, lineage = lively.kinetics(0), lively.lineage(0)
    mothers = np.unique(lineage["parent"][lineage["parent"] > 0])
    assert mothers.size == 4
    for mother in mothers:
        daughters = lineage["cell"][lineage["parent"] == mother]
        shares = [float(kinetics["share"][kinetics["cell"] == d][0]) for d in daughters]
        whole = float(kinetics["share"][kinetics["cell"] == mother][0])
        assert sum(shares) == pytest.approx(whole)
        assert all(0.39 < share / whole < 0.61 for share in shares)
        one = kinetics["ktl"][np.isin(kinetics["cell"], [mother, *daughters])]
        assert np.ptp(one) == 0.0


def test_rows_of_cells_agree_with_the_masks(lively: Movie) -> None:
    cells = lively.cells(0)
    order = np.lexsort((cells["frame"], cells["cell"]))
    assert (order == np.arange(order.size)).all()
    t = 13
    masks = lively.masks(0, t)
    at = cells["frame"] == t
    assert set(cells["cell"][at].tolist()) == set(np.unique(masks)[1:].tolist())
    for cell, x, y, area in zip(*(cells[n][at] for n in ("cell", "x", "y", "area")), strict=True):
        where = np.argwhere(masks == cell)
        assert area == len(where)
        assert (y, x) == pytest.approx(tuple(where.mean(0)))
    assert (cells["visible"] <= 1).all()
    assert (cells["visible"] > 0).all()
    assert (cells["time_s"] == lively.times(0)[cells["frame"]]).all()


def test_entering_cells_come_from_the_border() -> None:
    movie = simulate(MovieParams(seed=3, frames=30, cells=0, births=10))
    lineage, seen = movie.lineage(0), presence(movie)
    entered = lineage["cell"][lineage["origin"] == "entered"]
    assert 2 <= entered.size <= 8
    for cell in entered.tolist():
        masks = movie.masks(0, seen[cell][0]) == cell
        assert masks[0].any() or masks[-1].any() or masks[:, 0].any() or masks[:, -1].any()


def test_speed_is_as_asked_and_persistent() -> None:
    movie = simulate(
        MovieParams(
            seed=1, frames=40, height=1024, width=1024, cells=25, speed_um_h=7.8, cell_radius_um=4.0
        )
    )
    path = np.stack([path.xy for path in movie._population(0).paths])
    steps = np.diff(path, axis=0)
    assert np.sqrt((steps**2).sum(2).mean()) == pytest.approx(2.0, rel=0.15)  # 7.8/0.65/6 px
    along = (steps[1:] * steps[:-1]).sum(2).mean() / (steps**2).sum(2).mean()
    assert along == pytest.approx(0.8, abs=0.1)
    still = simulate(MovieParams(seed=1, frames=5, cells=5, speed_um_h=0.0, roughness=0.0))
    moved = still._population(0).paths
    assert np.abs(moved[4].xy - moved[0].xy).max() < 0.5


def test_drift_shifts_the_view_by_whole_pixels() -> None:
    base = MovieParams(seed=2, frames=6, cells=10, shot_noise=False, read_noise=0.0)
    still = simulate(base)
    moving = simulate(MovieParams.from_dict({**base.to_dict(), "drift_px": [1.6, -0.7]}))
    assert moving.drift(0).tolist() == [[0, 0], [2, -1], [3, -1], [5, -2], [6, -3], [8, -4]]
    for t in (2, 5):
        dx, dy = moving.drift(0)[t]
        here, there = still.masks(0, t), moving.masks(0, t)
        assert dy < 0
        a, b = here[60 + dy : 400 + dy, 60 + dx : 400 + dx], there[60:400, 60:400]
        np.testing.assert_array_equal(a, b)
        # Debris and grain stay on the dish, illumination stays with the camera.
        a, b = (
            (movie.signal(0, t, 0) / (movie.background(0, t, 0) - 100)) for movie in (still, moving)
        )
        np.testing.assert_allclose(
            a[60 + dy : 400 + dy, 60 + dx : 400 + dx], b[60:400, 60:400], atol=5e-3
        )


def test_missing_frames_are_empty_and_leave_no_rows() -> None:
    base = MovieParams(seed=2, positions=2, frames=4, height=128, width=128, cells=4)
    whole = simulate(base)
    holed = simulate(MovieParams.from_dict({**base.to_dict(), "missing": [[1, 2]]}))
    assert not holed.frame(1, 2).any()
    assert not holed.masks(1, 2).any()
    assert 2 not in holed.cells(1)["frame"]
    np.testing.assert_array_equal(holed.frame(0, 2), whole.frame(0, 2))
    np.testing.assert_array_equal(holed.frame(1, 3), whole.frame(1, 3))


def test_times_jitter_about_their_plan() -> None:
    plan = simulate(MovieParams(positions=2, frames=50))
    np.testing.assert_allclose(plan.times(1), 600.0 * np.arange(50) + 2.0)
    jittered = simulate(MovieParams(positions=2, frames=500, cells=0, time_jitter_s=10.0))
    off = jittered.times(1) - 600.0 * np.arange(500) - 2.0
    assert off.std() == pytest.approx(10.0, rel=0.1)
    assert off[0] >= 0
    assert (np.diff(jittered.times(1)) > 0).all()


def test_positions_lie_on_a_grid_with_names() -> None:
    positions = simulate(MovieParams(positions=5)).positions()
    assert [name for _, _, name in positions] == ["A1", "A2", "A3", "B3", "B2"]
    assert len({(x, y) for x, y, _ in positions}) == 5


def test_the_brightest_moment_is_as_asked() -> None:
    movie = simulate(
        MovieParams(
            seed=1, frames=60, interval_s=3600, height=800, width=800, cells=40, speed_um_h=0
        )
    )
    cells = movie.kinetics(0)
    hours = np.linspace(0, 60, 1200)
    curves = np.stack(
        [
            amount(
                "trivial", hours, **{n: np.asarray(cells[n][k]) for n in
                                     ("t0_h", "ktl", "delta", "beta", "km")}
            )
            for k in range(40)
        ]
    )  # fmt: skip
    assert np.median(curves.max(1)) == pytest.approx(150_000, rel=0.2)
    assert np.log(curves.max(1)).std() == pytest.approx(0.4, rel=0.3)
    onset = cells["t0_h"]
    assert onset.min() >= 0.2
    assert onset.max() <= 2.0


def test_models_at_equal_rates_have_their_limits() -> None:
    t = np.array([-1.0, 0.0, 1.0, 5.0])
    flat = {"t0_h": np.zeros(1), "ktl": np.ones(1), "km": np.ones(1)}
    rate = np.full(1, 0.3)
    equal = amount("trivial", t, **flat, delta=rate, beta=rate)
    np.testing.assert_allclose(equal, np.where(t > 0, t * np.exp(-0.3 * t), 0.0))
    near = amount("trivial", t, **flat, delta=rate + 1e-7, beta=rate)
    np.testing.assert_allclose(near, equal, rtol=1e-6)
    beta = np.full(1, 0.2)
    singular = amount("maturation", t, **flat, delta=beta + 1.0, beta=beta)
    beside = amount("maturation", t, **flat, delta=beta + 1.0 + 1e-4, beta=beta)
    np.testing.assert_allclose(singular, beside, rtol=1e-3)


def test_maturation_solves_its_equations() -> None:
    delta, beta, km, ktl, t0 = 0.2, 0.07, 1.3, 50.0, 0.5
    hours, step = np.linspace(0, 12, 120_001, retstep=True)
    given = {n: np.array([v]) for n, v in
             {"t0_h": t0, "ktl": ktl, "delta": delta, "beta": beta, "km": km}.items()}  # fmt: skip
    mature = amount("maturation", hours, **given)
    late = hours > t0
    rna = np.exp(-delta * (hours - t0))
    unripe = np.zeros_like(hours)
    unripe[late] = (
        ktl * (rna[late] - np.exp(-(beta + km) * (hours[late] - t0))) / (beta + km - delta)
    )
    slope = np.gradient(mature, step)
    np.testing.assert_allclose(
        slope[late][10:-10], (km * unripe - beta * mature)[late][10:-10], rtol=1e-4, atol=1e-3
    )


def test_cells_that_do_not_express_are_dark() -> None:
    movie = simulate(
        MovieParams(seed=1, frames=12, cells=40, expressing=0.5, height=700, width=700)
    )
    rows = movie.cell_rows(0, 11)
    dark = rows["total_ch_1"] == 0
    assert 10 <= dark.sum() <= 30


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"frames": 1, "births": 1}, "2 frames"),
        ({"cells": 3, "deaths": 2, "divisions": 2}, "exceed"),
        ({"channels": ()}, "channels"),
    ],
)
def test_impossible_lives_are_refused(change: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        MovieParams(**change)
