"""Planes, projections and the table of frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow import FovflowError
from fovflow.copying import choose_z, crop_plane, frame_table, missing_frames, read_plane
from fovflow.readers.base import Channel, Position, RawInfo
from fovflow.readers.times import FrameTimes


class FakeRaw:
    """A z stack of 4 planes in memory; frame 2 of position 1 is missing."""

    def __init__(self, dtype=np.uint16):
        self.data = np.random.default_rng(0).integers(0, 65535, (4, 5, 6)).astype(dtype)
        self.info = RawInfo(
            format="fake",
            axes="PTZYX",
            n_frames=5,
            n_z=4,
            height=5,
            width=6,
            dtype=self.data.dtype.name,
            positions=(Position(0), Position(1)),
            channels=(Channel(0, "Phase"),),
            missing=((1, 2),),
        )

    def read(self, p, t, c, z=0):
        return self.data[z]

    def times(self, p):
        return FrameTimes(np.arange(5) * 10.0 + p, "measured")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_projections_along_z(dtype):
    raw = FakeRaw(dtype)
    np.testing.assert_array_equal(read_plane(raw, 0, 0, 0, 1), raw.data[1])
    np.testing.assert_array_equal(read_plane(raw, 0, 0, 0, "middle"), raw.data[2])
    np.testing.assert_array_equal(read_plane(raw, 0, 0, 0, "max"), raw.data.max(0))
    mean = read_plane(raw, 0, 0, 0, "mean")
    expected = raw.data.astype(float).mean(0)
    assert mean.dtype == dtype
    np.testing.assert_allclose(mean, expected if dtype == np.float32 else np.rint(expected))


def test_a_projection_leaves_the_reader_s_own_array_alone():
    raw = FakeRaw()
    before = raw.data.copy()
    read_plane(raw, 0, 0, 0, "max")
    np.testing.assert_array_equal(raw.data, before)


def test_z_is_chosen_by_channel_name_or_index():
    choice = {"phase": 1, "1": "max"}
    assert choose_z("mean", 0, "Phase") == "mean"
    assert choose_z(choice, 0, "Phase") == 1
    assert choose_z(choice, 1, "GFP") == "max"
    assert choose_z(choice, 2, "") == "middle"


@pytest.mark.parametrize("odd", [0.0, None])
def test_times_that_only_the_files_in_between_lack_are_asked_for(tmp_path, odd):
    """Of a series the first and last file are looked at when it is opened."""
    for p in range(2):
        for t in range(5):
            seconds = odd if (p, t) == (1, 2) else 60.0 * (t + 1)
            stamp = {} if seconds is None else {"Plane": {"DeltaT": [seconds]}}
            name = tmp_path / f"pos{p}_t{t}.ome.tif"
            tifffile.imwrite(name, np.ones((8, 9), np.uint16), metadata={"axes": "YX", **stamp})
    with fovflow.open_raw(tmp_path) as raw:
        assert frame_table(raw, 0, (0, 4, 1), None)["time_s"].tolist() == [60, 120, 180, 240, 300]
        with pytest.raises(FovflowError, match="position 1 have no usable times") as caught:
            frame_table(raw, 1, (0, 4, 1), None)
        assert "interval_s" in str(caught.value.remedy)
        assert frame_table(raw, 1, (0, 4, 1), 60.0)["time_s"].tolist() == [0, 60, 120, 180, 240]


def test_the_frame_table_tells_times_their_source_and_gaps():
    table = frame_table(FakeRaw(), 1, (0, 4, 2), None)
    assert table["source_frame"].tolist() == [0, 2, 4]
    assert table["time_s"].tolist() == [1.0, 21.0, 41.0]
    assert table["missing"].tolist() == [False, True, False]
    assert set(table["time_source"].tolist()) == {"measured"}
    given = frame_table(FakeRaw(), 0, (1, 3, 1), 60.0)
    assert given["time_s"].tolist() == [60.0, 120.0, 180.0]
    assert set(given["time_source"].tolist()) == {"config"}


def test_a_crop_is_contiguous():
    plane = np.arange(30).reshape(5, 6)
    part = crop_plane(plane, {"y0": 1, "y1": 4, "x0": 2, "x1": 5})
    np.testing.assert_array_equal(part, plane[1:4, 2:5])
    assert part.flags["C_CONTIGUOUS"]
    assert crop_plane(plane, None) is plane


def test_a_z_choice_takes_the_planes_that_are_there():
    raw = FakeRaw()
    raw.info = replace(raw.info, missing_planes=((0, 1, 0, 0), (0, 1, 0, 2), (0, 1, 0, 3)))
    for choice in ("middle", "max", "mean"):
        assert np.array_equal(read_plane(raw, 0, 1, 0, choice), raw.data[1])
    assert np.array_equal(read_plane(raw, 0, 0, 0, "max"), raw.data.max(axis=0))


def test_the_table_of_frames_names_channels_that_frames_lack():
    raw = FakeRaw()
    lacking = tuple((0, t, 0, z) for t in (1, 3) for z in range(4))
    raw.info = replace(raw.info, missing_planes=(*lacking, (0, 4, 0, 2)))
    table = frame_table(raw, 0, (0, 4, 1), None, {0: "middle"})
    assert table["missing_channels"].tolist() == ["", "ch_0", "", "ch_0", ""]
    assert missing_frames(table, 0).tolist() == [False, True, False, True, False]
    assert not missing_frames(table, 1).any()
    fixed = frame_table(raw, 0, (0, 4, 1), None, {0: 2})
    assert missing_frames(fixed, 0).tolist() == [False, True, False, True, True]
    assert "missing_channels" not in frame_table(raw, 1, (0, 4, 1), None, {0: "middle"})
