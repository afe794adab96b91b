"""The table of cells against motion whose figures are known."""

import numpy as np
import pytest

import fovflow
from fovflow.errors import FovflowError
from fovflow.features import cell_table
from fovflow.features.tracks import mean_squared_displacements, nearest
from paths import ROOT

HOURS = 1 / 60
UM = 0.5


def traces(*paths, frames=None, minutes=5.0, area=100.0):
    """Return the table of cells 1, 2, … on paths (n, 2) of (x, y) in pixels."""
    frames = frames or [np.arange(len(path)) for path in paths]
    cell = np.concatenate([np.full(len(path), c) for c, path in enumerate(paths, start=1)])
    frame, (x, y) = np.concatenate(frames), np.concatenate(paths).T
    return {
        "fov": 0 * cell, "cell": cell, "frame": frame, "time": frame * minutes,
        "good": np.ones(cell.size, bool), "position_x": x, "position_y": y,
        "bbox_x0": x.astype(int) - 4, "bbox_y0": y.astype(int) - 4,
        "bbox_x1": x.astype(int) + 5, "bbox_y1": y.astype(int) + 5,
        "area_um2": np.full(cell.size, area),
    }  # fmt: skip


def one(table, shape=(200, 300), pixel_um=UM, **options):
    """Return the row of the only cell."""
    found = cell_table(table, shape=shape, pixel_um=pixel_um, **options)
    return {name: column[0] for name, column in found.items()}


def line(n=21, step=(3.0, 4.0), start=(20.0, 30.0)):
    return np.array(start) + np.arange(n)[:, None] * step


def test_a_straight_line():
    row = one(traces(line()))
    assert row["path_px"] == row["displacement_px"] == pytest.approx(100)
    assert row["path_um"] == row["displacement_um"] == pytest.approx(50)
    assert row["directionality"] == row["persistence"] == pytest.approx(1)
    assert row["turning_angle_deg"] == pytest.approx(0, abs=1e-5)
    assert [row["speed_um_h"], row["speed_max_um_h"]] == pytest.approx([30, 30])
    assert row["msd_exponent"] == pytest.approx(2)
    assert (row["first_frame"], row["last_frame"], row["frames"], row["missed_frames"]) == (
        0, 20, 21, 0,
    )  # fmt: skip
    assert row["duration_h"] == pytest.approx(100 * HOURS)
    assert row["edge_distance_px"] == 16


def test_a_circle():
    angle = np.arange(37) * np.pi / 18
    row = one(traces(np.stack([100 + 40 * np.cos(angle), 90 + 40 * np.sin(angle)], axis=1)))
    assert row["path_px"] == pytest.approx(36 * 80 * np.sin(np.pi / 36))
    assert row["displacement_px"] == pytest.approx(0, abs=1e-9)
    assert row["directionality"] == pytest.approx(0, abs=1e-9)
    assert row["turning_angle_deg"] == pytest.approx(10)
    assert row["persistence"] == pytest.approx(np.cos(np.pi / 18))


def test_a_random_walk_has_its_diffusion_coefficient():
    rng, d, interval = np.random.default_rng(3), 40.0, 5 * HOURS
    paths = [
        np.cumsum(rng.normal(0, np.sqrt(2 * d * interval) / UM, (150, 2)), axis=0)
        for _ in range(150)
    ]
    found = cell_table(traces(*paths), pixel_um=UM)
    assert found["diffusion_um2_h"].mean() == pytest.approx(d, rel=0.05)
    assert found["msd_exponent"].mean() == pytest.approx(1, abs=0.05)
    assert found["persistence"].mean() == pytest.approx(0, abs=0.02)
    assert found["turning_angle_deg"].mean() == pytest.approx(90, abs=2)
    assert np.isnan(found["edge_distance_px"]).all()


def test_frames_missing_inside_a_track():
    """The path goes on over the gap; speed is over the time that passed; lags are of frames."""
    keep = np.delete(np.arange(21), [5, 6, 12])
    row = one(traces(line()[keep], frames=[keep]))
    assert row["missed_frames"] == 3
    assert row["path_px"] == pytest.approx(100)
    assert [row["speed_um_h"], row["speed_max_um_h"]] == pytest.approx([30, 30])
    assert row["msd_exponent"] == pytest.approx(2)
    cells = cell_table(traces(line()[keep], frames=[keep]))
    assert cells["frames"].tolist() == [18]


def test_times_that_are_unknown():
    table = traces(line())
    table["time"] = np.where(table["frame"] == 7, np.nan, table["time"])
    row = one(table)
    assert row["speed_um_h"] == pytest.approx(30)
    assert row["path_px"] == pytest.approx(100)
    assert row["msd_exponent"] == pytest.approx(2)
    table["time"] = np.full(21, np.nan)
    row = one(table)
    names = ("speed_um_h", "speed_max_um_h", "duration_h", "diffusion_um2_h", "growth_per_h")
    assert np.isnan([row[name] for name in names]).all()
    assert row["path_um"] == pytest.approx(50)


def test_without_the_size_of_a_pixel_what_needs_none_is_there():
    table = traces(line())
    table["area_um2"] = np.full(21, np.nan)
    row = one(table, pixel_um=None)
    assert row["path_px"] == pytest.approx(100)
    assert row["directionality"] == row["persistence"] == pytest.approx(1)
    assert row["msd_exponent"] == pytest.approx(2)
    names = ("path_um", "displacement_um", "speed_um_h", "diffusion_um2_h", "area_mean_um2")
    assert np.isnan([row[name] for name in names]).all()


def test_a_cell_in_one_frame_and_no_cell():
    row = one(traces(np.array([[20.0, 30.0]])))
    assert (row["frames"], row["missed_frames"], row["duration_h"]) == (1, 0, 0)
    names = ("path_px", "displacement_um", "directionality", "speed_um_h", "speed_max_um_h",
             "turning_angle_deg", "persistence", "diffusion_um2_h", "msd_exponent",
             "growth_per_h", "neighbor_distance_um")  # fmt: skip
    assert np.isnan([row[name] for name in names]).all()
    empty = {name: column[:0] for name, column in traces(line()).items()}
    none = cell_table(empty, shape=(10, 10), pixel_um=1.0)
    assert list(none) == list(cell_table(traces(line())))
    assert {column.size for column in none.values()} == {0}


def test_a_cell_that_rests_has_no_direction():
    row = one(traces(np.full((9, 2), 50.0)))
    assert row["path_px"] == row["speed_um_h"] == 0
    assert np.isnan([row[n] for n in ("directionality", "persistence", "msd_exponent")]).all()


def test_growth_is_the_rate_of_the_logarithm_of_the_area():
    table = traces(line(), area=1.0)
    table["area_um2"] = 80 * np.exp(0.04 * table["time"] * HOURS)
    assert one(table)["growth_per_h"] == pytest.approx(0.04)
    assert one({**table, "time": table["time"] * 60}, time_units="s")["growth_per_h"] == (
        pytest.approx(0.04)
    )


def test_the_nearest_neighbour():
    rng = np.random.default_rng(0)
    for n in (2, 3, 40):
        place = rng.uniform(0, 100, (2, n))
        apart = np.hypot(*(place[:, :, None] - place[:, None]))
        np.fill_diagonal(apart, np.inf)
        np.testing.assert_allclose(nearest(place), apart.min(axis=1))
    found = cell_table(traces(line(), line(11, start=(20.0, 42.0))), pixel_um=UM)
    # In eleven of its frames the first cell has the other one 12 px beside it.
    np.testing.assert_allclose(found["neighbor_distance_um"], [6, 6])


def test_motion_is_freed_of_the_drift_that_the_tracker_found_and_parents_are_told():
    rng = np.random.default_rng(5)
    paths = [
        rng.uniform(0, 200, 2) + np.cumsum(rng.normal(0, 2, (12, 2)), axis=0) for _ in range(5)
    ]
    still = traces(*paths)
    shift = np.cumsum(np.r_[0, rng.integers(-9, 10, 11)])
    moved = {**still, "position_x": still["position_x"] + shift[still["frame"]]}
    steps = [np.hypot(*np.diff(path, axis=0).T) for path in paths]
    links = {
        "cell": still["cell"], "frame": still["frame"],
        "previous_frame": np.where(still["frame"] > 0, still["frame"] - 1, -1),
        "parent": np.where((still["cell"] == 5) & (still["frame"] == 0), 2, 0),
        "distance_px": np.concatenate([np.r_[np.nan, step] for step in steps]),
    }  # fmt: skip
    expected = cell_table(still, pixel_um=UM)
    found = cell_table(moved, pixel_um=UM, links=links)
    for name in ("path_px", "displacement_px", "persistence", "diffusion_um2_h"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, err_msg=name)
    assert found["parent"].tolist() == [0, 0, 0, 0, 2]


def drifting(n: int, absent: int = -1):
    """Return traces of `n` cells, the same in a frame that drifts, and the tracker's links."""
    rng = np.random.default_rng(7)
    paths = [
        rng.uniform(0, 200, 2) + np.cumsum(rng.normal(0, 2, (12, 2)), axis=0) for _ in range(n)
    ]
    still = traces(*paths)
    still = {name: values[still["frame"] != absent] for name, values in still.items()}
    shift = np.cumsum(np.r_[0, rng.integers(5, 10, 11)])
    moved = {**still, "position_x": still["position_x"] + shift[still["frame"]]}
    first = np.diff(still["cell"], prepend=0) != 0
    step = np.hypot(*(np.diff(still[f"position_{axis}"], prepend=0) for axis in "xy"))
    links = {
        "cell": still["cell"], "frame": still["frame"], "parent": 0 * still["cell"],
        "previous_frame": np.where(first, -1, np.r_[-1, still["frame"][:-1]]),
        "distance_px": np.where(first, np.nan, step),
    }  # fmt: skip
    return still, moved, links


@pytest.mark.parametrize("absent", [-1, 6], ids=["all frames", "one never acquired"])
def test_drift_is_taken_off_where_frames_are_missing_and_a_person_has_linked_cells(absent):
    still, moved, links = drifting(6, absent)
    links["distance_px"][(links["cell"] == 2) & (links["frame"] == 4)] = np.nan
    expected = cell_table(still, pixel_um=UM)
    found = cell_table(moved, pixel_um=UM, links=links)
    for name in ("path_px", "displacement_px", "speed_um_h"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("n", [5, 40])
def test_drift_is_found_though_a_few_middles_are_not_the_trackers(n):
    still, moved, links = drifting(n)
    for table in (still, moved):
        table["position_y"][(table["cell"] % 5 == 3) & (table["frame"] % 4 == 2)] += 3.0
    expected = cell_table(still, pixel_um=UM)
    found = cell_table(moved, pixel_um=UM, links=links)
    np.testing.assert_allclose(found["path_px"], expected["path_px"], rtol=1e-6)


def test_links_without_rows_tell_no_drift():
    none = {name: np.zeros(0) for name in ("cell", "frame", "previous_frame", "parent")}
    found = cell_table(traces(line()), pixel_um=UM, links={**none, "distance_px": np.zeros(0)})
    assert found["path_px"].tolist() == cell_table(traces(line()), pixel_um=UM)["path_px"].tolist()


def test_mean_squared_displacements_by_their_definition():
    from fovflow.features.cells import Groups

    rng = np.random.default_rng(2)
    frame = np.array([0, 1, 2, 4, 5, 6, 8, 9, 12])
    place = rng.normal(0, 3, (2, frame.size))
    tau, value = mean_squared_displacements(Groups(np.array([9])), frame, place, frame * 0.25, 3)
    for lag in (1, 2, 3):
        pairs = [(i, j) for i in range(9) for j in range(9) if frame[j] - frame[i] == lag]
        squares = [((place[:, j] - place[:, i]) ** 2).sum() for i, j in pairs]
        assert value[lag - 1, 0] == pytest.approx(np.mean(squares))
        assert tau[lag - 1, 0] == pytest.approx(lag * 0.25)


def test_a_table_that_lacks_a_column_is_told():
    table = traces(line())
    del table["bbox_x1"]
    with pytest.raises(FovflowError, match="bbox_x1"):
        cell_table(table)


def test_results_have_the_table_of_their_cells():
    results = fovflow.load_results(ROOT / "tests" / "runs" / "version1" / "results" / "sim")
    cells, rows = results.cells(), results.traces()
    assert cells[["fov", "cell"]].drop_duplicates().shape[0] == len(cells)
    assert cells["frames"].sum() == len(rows)
    assert cells["good_frames"].sum() == rows["good"].sum()
    assert (cells["edge_distance_px"] >= 0).all()
    moved = cells[cells["frames"] > 1]
    assert (moved["path_um"] > 0).all()
    assert (moved["speed_um_h"] > 0).all()
