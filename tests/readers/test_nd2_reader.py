"""ND2: the traps of the format, one by one."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import nd2
import numpy as np
import pytest
from readers.nd2_files import STAGE, patch, rewrite, save

import fovflow
from fovflow.errors import FovflowError
from fovflow.readers.nd2 import Nd2Reader
from paths import shared_data


@pytest.mark.parametrize("order", ["TP", "PT"])
def test_both_orders_of_loops(order: Any, frames: np.ndarray, tmp_path: Path) -> None:
    times = np.arange(12.0).reshape(4, 3) * 10 + 0.5
    path = save(tmp_path, frames, positions=STAGE, times_s=times, order=order)
    with Nd2Reader(path) as raw:
        assert raw.info.axes == order + "CYX"
        for p in range(3):
            np.testing.assert_array_equal(raw.times(p).seconds, times[:, p])
            for t in range(4):
                np.testing.assert_array_equal(raw.read(p, t, 1), frames[t, p, 1])


def test_a_single_position_has_no_loop(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames[:, :1], period_s=60.0)
    with Nd2Reader(path) as raw:
        assert raw.info.axes == "TCYX"
        assert len(raw.info.positions) == 1
        assert raw.info.positions[0].name is None
        np.testing.assert_array_equal(raw.read(0, 3, 1), frames[3, 0, 1])


def test_a_single_frame_of_one_position(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames[:1, :1])
    with Nd2Reader(path) as raw:
        assert (raw.info.n_frames, raw.times(0).source) == (1, "nominal")
        np.testing.assert_array_equal(raw.read(0, 0, 0), frames[0, 0, 0])


def test_positions_without_names(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, positions=STAGE)
    with Nd2Reader(path) as raw:
        assert [each.name for each in raw.info.positions] == ["A1", None, None]
        assert [each.x_um for each in raw.info.positions] == [10.0, 20.0, 30.0]


def test_times_that_are_absent(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, period_s=60.0)
    with Nd2Reader(path) as raw:
        assert raw.info.time_source == "nominal"
        assert raw.times(2).seconds.tolist() == [0, 60, 120, 180]
        assert any("nominal" in text for text in raw.info.warnings)


def test_times_that_are_all_zero(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, period_s=60.0, times_s=np.zeros((4, 3)))
    with Nd2Reader(path) as raw:
        assert raw.times(0).source == "nominal"
        assert raw.times(0).seconds.tolist() == [0, 60, 120, 180]


def test_neither_times_nor_period(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, times_s=np.zeros((4, 3)))
    with Nd2Reader(path) as raw:
        assert raw.info.time_source == "unknown"
        assert np.isnan(raw.times(1).seconds).all()
        assert any("interval_s" in text for text in raw.info.warnings)


def test_times_that_do_not_rise_are_not_measurements(frames: np.ndarray, tmp_path: Path) -> None:
    times = np.tile(np.array([[1.0], [2.0], [0.0], [4.0]]), (1, 3))
    times[:, 1] = [1, 2, 3, 4]
    path = save(tmp_path, frames, times_s=times, period_s=60.0)
    with Nd2Reader(path) as raw:
        assert [raw.times(p).source for p in range(3)] == ["nominal", "measured", "nominal"]
        assert raw.info.time_source == "nominal"


def test_phases_with_periods_of_their_own(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, phases=[(2, 60.0), (2, 600.0)])
    with Nd2Reader(path) as raw:
        assert raw.times(0).source == "nominal"
        assert raw.times(0).seconds.tolist() == [0, 60, 120, 720]


def test_a_phase_without_period(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, phases=[(2, 60.0), (2, 0.0)])
    with Nd2Reader(path) as raw:
        assert raw.times(0).source == "unknown"


@pytest.mark.parametrize(
    ("order", "missing"),
    [
        ("TP", {(1, 2), (2, 2), (0, 3), (1, 3), (2, 3)}),
        ("PT", {(1, 3), (2, 0), (2, 1), (2, 2), (2, 3)}),
    ],
)
def test_an_aborted_acquisition(
    order: Any, missing: set[tuple[int, int]], frames: np.ndarray, tmp_path: Path
) -> None:
    times = np.arange(12.0).reshape(4, 3) + 1
    path = save(tmp_path, frames, order=order, n_written=7, times_s=times, positions=STAGE)
    with Nd2Reader(path) as raw:
        assert set(raw.info.missing) == missing
        assert any("5 frames are missing" in text for text in raw.info.warnings)
        for p in range(3):
            for t in range(4):
                expected = np.zeros((12, 10)) if (p, t) in missing else frames[t, p, 0]
                np.testing.assert_array_equal(raw.read(p, t, 0), expected)
        assert np.isnan(raw.times(0).seconds[3]) == ((0, 3) in missing)


def test_an_acquisition_without_any_frame(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, n_written=0)
    with pytest.raises(FovflowError, match="holds no frame"):
        Nd2Reader(path)


def test_rgb_is_refused(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames[:, :, :1])
    patch(path, "uiComp", 3)
    with pytest.raises(FovflowError, match=r"colour \(RGB\)") as caught:
        fovflow.open_raw(path)
    assert "3 colour samples" in str(caught.value)


def test_z_of_a_stack(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, positions=STAGE)
    patch(path, "eType", 4)  # the loop over times becomes one over z
    with Nd2Reader(path) as raw:
        assert (raw.info.axes, raw.info.n_z, raw.info.n_frames) == ("ZPCYX", 4, 1)
        np.testing.assert_array_equal(raw.read(2, 0, 1, z=3), frames[3, 2, 1])


def test_a_frame_without_all_its_z_planes_keeps_the_others(
    frames: np.ndarray, tmp_path: Path
) -> None:
    path = save(tmp_path, frames, positions=STAGE, missing=[(1, 2)])
    patch(path, "eType", 4)
    with Nd2Reader(path) as raw:
        assert raw.info.missing == ()
        assert {(p, t) for p, t, _, _ in raw.info.missing_planes} == {(1, 0)}
        (z,) = {z for *_, z in raw.info.missing_planes}
        assert not raw.read(1, 0, 0, z=z).any()
        assert all(raw.read(1, 0, 0, z=other).any() for other in range(4) if other != z)
        assert any("lacks 1 planes" in text for text in raw.info.warnings)


def test_an_unknown_loop_is_refused(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames)
    patch(path, "eType", 7)
    with pytest.raises(FovflowError, match="loop that is not understood"):
        fovflow.open_raw(path)


def test_the_last_frame_is_kept(
    frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    original = Nd2Reader._frame
    monkeypatch.setattr(Nd2Reader, "_frame", lambda self, i: decoded.append(i) or original(self, i))
    with Nd2Reader(save(tmp_path, frames)) as raw:
        for t in range(4):
            for c in range(2):
                raw.read(1, t, c)
    assert decoded == [1, 4, 7, 10]


def test_lossless_compression(frames: np.ndarray, tmp_path: Path) -> None:
    plain = save(tmp_path, frames)
    packed = tmp_path / "packed.nd2"

    def compress(name: bytes, data: bytes) -> bytes:
        if name.startswith(b"ImageDataSeq"):
            return data[:8] + zlib.compress(data[8:])
        label = "eCompression\0".encode("utf-16-le")
        if (at := data.find(label)) >= 0:
            at += len(label)
            return data[:at] + struct.pack("<i", 0) + data[at + 4 :]
        return data

    rewrite(plain, packed, compress)
    with nd2.ND2File(packed) as check:
        assert check.attributes.compressionType == "lossless"
    with Nd2Reader(packed) as raw:
        np.testing.assert_array_equal(raw.read(2, 3, 1), frames[3, 2, 1])

    def bomb(name: bytes, data: bytes) -> bytes:
        if name == b"ImageDataSeq|4!":
            return data[:8] + zlib.compress(bytes(50_000_000))
        return compress(name, data)

    rewrite(plain, packed, bomb)
    with Nd2Reader(packed) as raw:
        assert raw.read(1, 1, 0).max() == 0  # only what the frame needs was unpacked


def test_rows_with_padding(frames: np.ndarray, tmp_path: Path) -> None:
    plain, padded = save(tmp_path, frames[..., :9]), tmp_path / "padded.nd2"

    def pad(name: bytes, data: bytes) -> bytes:
        if not name.startswith(b"ImageDataSeq"):
            return data
        rows = np.frombuffer(data[8:], np.uint8)[: 12 * 36].reshape(12, 36)
        return data[:8] + np.pad(rows, ((0, 0), (0, 4)), constant_values=255).tobytes()

    rewrite(plain, padded, pad)
    patch(padded, "uiWidthBytes", 40)
    with Nd2Reader(padded) as raw:
        np.testing.assert_array_equal(raw.read(1, 2, 1), frames[2, 1, 1, :, :9])


def test_images_beyond_the_loops_are_told(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, positions=STAGE)
    patch(path, "uiCount", 2)  # the loop over times
    with Nd2Reader(path) as raw:
        assert raw.info.n_frames == 2
        assert any("6 images more" in text for text in raw.info.warnings)


def test_images_without_any_loop_are_frames(frames: np.ndarray, tmp_path: Path) -> None:
    plain, bare = save(tmp_path, frames[:, :1]), tmp_path / "bare.nd2"
    rewrite(plain, bare, lambda n, d: None if n == b"ImageMetadataLV!" else d)
    with Nd2Reader(bare) as raw:
        assert (raw.info.n_frames, raw.info.time_source) == (4, "unknown")
        assert any("taken as frames" in text for text in raw.info.warnings)
        np.testing.assert_array_equal(raw.read(0, 3, 1), frames[3, 0, 1])


def test_files_of_the_old_kind(tmp_path: Path) -> None:
    path = tmp_path / "old.nd2"
    path.write_bytes(b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(100))
    with pytest.raises(FovflowError, match="old kind"):
        fovflow.open_raw(path)


@pytest.mark.data
def test_a_real_z_stack_over_time() -> None:
    path = shared_data("nd2/cluster.nd2")
    expected = nd2.imread(path)
    with fovflow.open_raw(path) as raw:
        info = raw.info
        assert (info.axes, info.n_frames, info.n_z, info.height, info.width) == (
            "TZCYX",
            3,
            10,
            31,
            38,
        )
        assert [each.name for each in info.channels] == ["5-FAM/pH 9.0", "FM 4-64/2% CHAPS"]
        assert info.pixel_um == pytest.approx(0.167809, abs=1e-6)
        assert info.z_um == 0.5
        assert raw.times(0).source == "measured"
        assert raw.times(0).seconds == pytest.approx([0.445083, 11.08618, 21.740178], abs=1e-5)
        for t, z, c in np.ndindex(3, 10, 2):
            np.testing.assert_array_equal(raw.read(0, t, c, z), expected[t, z, c])


@pytest.mark.data
def test_a_real_file_whose_times_are_all_zero() -> None:
    path = shared_data("nd2/timelapse_no_times.nd2")
    expected = nd2.imread(path)
    with fovflow.open_raw(path) as raw:
        assert raw.info.time_source == "unknown"
        assert raw.info.pixel_um is None
        assert raw.info.dtype == "uint8"
        for t in range(2):
            np.testing.assert_array_equal(raw.read(0, t, 0), expected[t])


@pytest.mark.data
def test_real_pixels_in_two_positions() -> None:
    path = shared_data("nd2/incucyte_2fov_pgr.nd2")
    with fovflow.open_raw(path) as raw, nd2.ND2File(path) as check:
        assert [each.name for each in raw.info.positions] == ["B2-left", "B2-right"]
        assert [each.name for each in raw.info.channels] == ["Phase", "GFP", "RFP"]
        assert raw.info.pixel_um == 1.24
        assert raw.times(1).seconds[:2].tolist() == [2.5, 1802.5]
        frame = check.read_frame(5)
        for c in range(3):
            np.testing.assert_array_equal(raw.read(1, 2, c), frame[c])
