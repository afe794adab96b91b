"""What traces say without a model, against simulated cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fovflow.analysis.summaries import summaries
from fovflow.errors import FovflowError
from fovflow.simulation import MovieParams, simulate_traces


def trace(time: np.ndarray, value: np.ndarray, cell: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"time": time, "fov": 0, "cell": cell, "value": value})


def found(traces: pd.DataFrame) -> dict[str, tuple[float, str]]:
    rows = summaries(traces)
    return {r.quantity: (r.value, r.verdict) for r in rows.itertuples()}


def test_area_and_mean_do_not_depend_on_where_frames_lie_close() -> None:
    even = np.linspace(0, 10, 101)
    uneven = np.sort(np.concatenate([even, np.linspace(0, 1, 200)[1:-1]]))
    for time in (even, uneven):
        each = found(trace(time, 3 * time))
        assert each["area_under_curve"][0] == pytest.approx(150)
        assert each["mean"][0] == pytest.approx(15)


def test_a_cell_that_was_seen_for_part_of_the_movie_has_no_area() -> None:
    time = np.linspace(0, 10, 101)
    own = [time, time[time > 0.9], time[time < 6]]
    rows = summaries(pd.concat([trace(t, 3 * t, cell) for cell, t in enumerate(own)]))
    areas = rows[rows["quantity"] == "area_under_curve"]
    assert areas["verdict"].tolist() == ["ok", "ok", "part of the movie"]
    assert np.isfinite(areas["value"]).tolist() == [True, True, False]
    assert areas["hours"].to_numpy() == pytest.approx([10, 9, 5.9])
    assert (rows["verdict"][rows["quantity"] == "mean"] == "ok").all()


def test_half_life_of_a_decay() -> None:
    time = np.linspace(0, 30, 300)
    each = found(trace(time, 100 * np.exp(-0.1 * time)))
    assert each["half_life"][0] == pytest.approx(np.log(2) / 0.1, rel=0.02)
    assert found(trace(time, 100 * np.exp(-0.01 * time)))["half_life"][1] == "half not reached"


def test_onsets_of_simulated_cells() -> None:
    params = MovieParams(
        seed=3, positions=2, frames=90, interval_s=1200, cells=100, onset_h=(1.0, 8.0)
    )
    traces = pd.DataFrame(simulate_traces(params, noise=0.02))
    onset = summaries(traces, ["onset"])
    error = onset["value"].to_numpy() - traces.drop_duplicates(["fov", "cell"])["t0_h"].to_numpy()
    assert (onset["verdict"] == "ok").mean() > 0.98
    assert abs(np.nanmedian(error)) < 0.15
    assert np.nanpercentile(np.abs(error), 90) < 0.5


def test_what_cannot_be_told_has_a_reason() -> None:
    time = np.arange(20.0)
    rng = np.random.default_rng(1)
    assert found(trace(time, rng.standard_normal(20)))["onset"][1] == "no rise"
    assert found(trace(time, time))["onset"][1] == "onset not seen"
    assert found(trace(time, np.full(20, 5.0)))["half_life"][1] == "half not reached"
    assert found(trace(time, np.full(20, np.nan)))["mean"] == (pytest.approx(np.nan, nan_ok=True),
                                                              "no valid values")  # fmt: skip
    one = found(trace(time[:1], np.array([4.0])))
    assert one["mean"] == (4.0, "ok")
    assert one["area_under_curve"][1] == "too few points"
    gap = found(trace(time, np.where((time > 5) & (time < 9), np.nan, time)))
    assert gap["area_under_curve"][0] == pytest.approx(19**2 / 2)
    assert summaries(trace(time[:0], time[:0])).empty
    with pytest.raises(FovflowError, match="lacks fov"):
        summaries(trace(time, time).drop(columns="fov"))
