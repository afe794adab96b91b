"""ND2 files of our own, read back by the `nd2` package."""

from __future__ import annotations

import warnings
from pathlib import Path

import nd2
import numpy as np
import pytest

from fovflow.errors import ConfigError
from fovflow.simulation.nd2 import Signed, encode, write_nd2

SHAPE = (4, 3, 2, 10, 14)
POSITIONS = [(0.0, 0.0, "A1"), (100.5, -50.0, "Ä 2"), (200.0, 50.0, None)]


def movie(shape=SHAPE, dtype=np.uint16) -> np.ndarray:
    top = 255 if np.dtype(dtype) == np.uint8 else 65535
    return np.random.default_rng(1).integers(0, top, shape).astype(dtype)


def times(shape=SHAPE) -> np.ndarray:
    return 300.0 * np.arange(shape[0])[:, None] + 1.5 * np.arange(shape[1])[None, :]


@pytest.mark.parametrize("order", ["TP", "PT"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pixels_times_positions_are_read_back(tmp_path: Path, order: str, dtype: type) -> None:
    frames, path = movie(dtype=dtype), tmp_path / "m.nd2"
    write_nd2(
        path,
        frames,
        channels=["Phase", "GFP"],
        pixel_um=0.65,
        positions=POSITIONS,
        times_s=times(),
        period_s=300.0,
        order=order,
    )
    with nd2.ND2File(path) as file:
        assert file.version == (3, 0)
        expected = frames if order == "TP" else frames.transpose(1, 0, 2, 3, 4)
        assert list(file.sizes) == [*order, "C", "Y", "X"]
        assert file.dtype == dtype
        np.testing.assert_array_equal(file.asarray(), expected)
        assert file.voxel_size()[:2] == (0.65, 0.65)
        assert [c.channel.name for c in file.metadata.channels] == ["Phase", "GFP"]
        assert "phaseContrast" in file.metadata.channels[0].microscope.modalityFlags
        assert (file.metadata.channels[1].channel.color[:3]) == (0, 255, 0)
        loops = {loop.type: loop for loop in file.experiment}
        assert loops["TimeLoop"].parameters.periodMs == 300_000.0
        points = loops["XYPosLoop"].parameters.points
        assert [p.name for p in points] == ["A1", "Ä 2", None]
        for i in range(12):
            t, p = divmod(i, 3) if order == "TP" else divmod(i, 4)[::-1]
            channel = file.frame_metadata(i).channels[0]
            assert channel.time.relativeTimeMs == pytest.approx(1000 * times()[t, p])
            assert channel.position.stagePositionUm[:2] == POSITIONS[p][:2]


def test_a_function_of_frames_is_the_same_as_an_array(tmp_path: Path) -> None:
    frames = movie()
    for name, source in (("a", frames), ("f", lambda p, t: frames[t, p])):
        write_nd2(tmp_path / name, source, shape=SHAPE, channels=["a", "b"], pixel_um=1.0)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "f").read_bytes()


def test_single_position_and_single_frame(tmp_path: Path) -> None:
    frames = movie((1, 1, 1, 8, 8))
    write_nd2(
        tmp_path / "m.nd2", frames, channels=["Phase"], pixel_um=1.0, times_s=np.zeros((1, 1))
    )
    with nd2.ND2File(tmp_path / "m.nd2") as file:
        assert dict(file.sizes) == {"Y": 8, "X": 8}
        np.testing.assert_array_equal(file.asarray(), frames[0, 0, 0])
        assert file.experiment == []


def test_without_times_the_file_holds_none(tmp_path: Path) -> None:
    write_nd2(tmp_path / "m.nd2", movie(), channels=["a", "b"], pixel_um=1.0)
    with nd2.ND2File(tmp_path / "m.nd2") as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        events = file.events(orient="list")
        assert events["P Index"][:4] == [0, 1, 2, 0]
        assert "Time [s]" not in events
    assert "AcqTimesCache" in str(caught[0].message)


@pytest.mark.parametrize("order", ["TP", "PT"])
def test_aborted_acquisition_announces_more_than_it_holds(tmp_path: Path, order: str) -> None:
    frames, path = movie(), tmp_path / "m.nd2"
    write_nd2(
        path, frames, channels=["a", "b"], pixel_um=1.0, times_s=times(), order=order, n_written=7
    )
    with nd2.ND2File(path) as file:
        assert (file.sizes["T"], file.sizes["P"]) == (4, 3)
        assert file.attributes.sequenceCount == 7
        for i in range(7):
            t, p = divmod(i, 3) if order == "TP" else divmod(i, 4)[::-1]
            np.testing.assert_array_equal(file.read_frame(i), frames[t, p])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert not file.read_frame(7).any()


def test_missing_frames_have_no_chunk(tmp_path: Path) -> None:
    frames, path = movie(), tmp_path / "m.nd2"
    write_nd2(
        path, frames, channels=["a", "b"], pixel_um=1.0, times_s=times(), missing={(1, 2), (2, 0)}
    )
    with nd2.ND2File(path) as file:
        held = {int(k[13:-1]) for k in file._rdr.chunkmap if k.startswith(b"ImageDataSeq|")}
        assert held == set(range(12)) - {2 * 3 + 1, 0 * 3 + 2}
        np.testing.assert_array_equal(file.read_frame(8), frames[2, 2])


def test_phases_of_the_time_loop(tmp_path: Path) -> None:
    frames, path = movie((5, 2, 1, 8, 8)), tmp_path / "m.nd2"
    write_nd2(
        path,
        frames,
        channels=["Phase"],
        pixel_um=1.0,
        times_s=times((5, 2)),
        phases=[(2, 60.0), (3, 600.0)],
    )
    with nd2.ND2File(path) as file:
        loop = file.experiment[0]
        assert loop.type == "NETimeLoop"
        assert [(p.count, p.startMs, p.periodMs) for p in loop.parameters.periods] == [
            (2, 0.0, 60_000.0),
            (3, 120_000.0, 600_000.0),
        ]
        np.testing.assert_array_equal(file.asarray(), frames[:, :, 0])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"channels": ["a"]}, "1 channel names"),
        ({"positions": [(0.0, 0.0, None)]}, "positions"),
        ({"times_s": np.zeros((3, 4))}, "times_s"),
        ({"phases": [(1, 1.0)]}, "phases"),
        ({"n_written": 13}, "n_written"),
        ({"order": "XY"}, "order"),
        ({"frames": movie(dtype=np.float64)}, "float64"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path: Path, change: dict, word: str) -> None:
    good = {"frames": movie(), "channels": ["a", "b"], "pixel_um": 1.0}
    with pytest.raises(ConfigError, match=word):
        write_nd2(tmp_path / "m.nd2", **{**good, **change})
    assert list(tmp_path.iterdir()) == []


def test_records_have_the_documented_bytes() -> None:
    assert encode("b", True) == b"\x01\x02b\0\0\0\x01"
    assert encode("i", Signed(-2)) == b"\x02\x02i\0\0\0\xfe\xff\xff\xff"
    level = encode("l", [1])
    assert level[:6] == b"\x0b\x02l\0\0\0"
    assert level[6:18] == b"\x01\0\0\0" + len(level[:-8]).to_bytes(8, "little")
    assert level[-8:] == (18).to_bytes(8, "little")
    with pytest.raises(TypeError):
        encode("x", None)
