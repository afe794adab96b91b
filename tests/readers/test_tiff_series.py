"""TIFF series: what names say, holes, and files that do not fit together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow.errors import ConfigError, FovflowError
from fovflow.simulation.containers import write_ome_tiff
from paths import shared_data


def save(folder: Path, names: Iterable[str], shape: tuple[int, int] = (8, 8)) -> dict[str, int]:
    """Write one small file per name, each filled with a value of its own."""
    values = {}
    for value, name in enumerate(names, start=1):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.full(shape, value, np.uint16), metadata=None)
        values[name] = value
    return values


def test_natural_order(tmp_path: Path) -> None:
    values = save(tmp_path, [f"cell_{i}.tif" for i in (10, 9, 8, 11)])
    with fovflow.open_raw(tmp_path) as raw:
        order = [int(raw.read(0, t, 0)[0, 0]) for t in range(4)]
    assert order == [values[f"cell_{i}.tif"] for i in (8, 9, 10, 11)]


def test_an_explicit_pattern(tmp_path: Path) -> None:
    names = [f"{p}/{c}_{t}.tif" for p in ("w 1", "w 2") for c in ("ph", "red") for t in range(3)]
    values = save(tmp_path, [*names, "notes/overview.tif"])
    with fovflow.open_raw(tmp_path, pattern="{position}/{channel}_{time}.tif") as raw:
        assert [each.name for each in raw.info.positions] == ["w 1", "w 2"]
        assert [each.name for each in raw.info.channels] == ["ph", "red"]
        assert raw.info.n_frames == 3
        assert int(raw.read(1, 2, 0)[0, 0]) == values["w 2/ph_2.tif"]
        assert any("1 files do not match" in text for text in raw.info.warnings)


@pytest.mark.parametrize("pattern", ["{pos}_{time}.tif", "*.tif", "{}.tif"])
def test_wrong_patterns(pattern: str, tmp_path: Path) -> None:
    save(tmp_path, ["t1.tif", "t2.tif"])
    with pytest.raises(ConfigError, match="pattern"):
        fovflow.open_raw(tmp_path, pattern=pattern)


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    save(tmp_path, ["t1.tif", "t2.tif"])
    with pytest.raises(FovflowError, match="no file below") as caught:
        fovflow.open_raw(tmp_path, pattern="p{position}_{time}.tif")
    assert "'t1.tif'" in str(caught.value)


def test_times_in_other_forms(tmp_path: Path) -> None:
    values = save(tmp_path, ["v_00d02h00m.tif", "v_00d00h30m.tif", "v_01d00h00m.tif"])
    with fovflow.open_raw(tmp_path, pattern="v_{time}.tif") as raw:
        found = [int(raw.read(0, t, 0)[0, 0]) for t in range(3)]
    assert found == [values[f"v_{t}.tif"] for t in ("00d00h30m", "00d02h00m", "01d00h00m")]


def test_holes_are_missing_frames(tmp_path: Path) -> None:
    names = [f"s{p}_t{t:03d}_c{c}.tif" for p in (1, 2) for t in range(4) for c in (1, 2)]
    values = save(tmp_path, names)
    for name in ("s2_t002_c1.tif", "s2_t002_c2.tif"):
        (tmp_path / name).unlink()
    with fovflow.open_raw(tmp_path) as raw:
        assert raw.info.missing == ((1, 2),)
        assert not raw.read(1, 2, 0).any()
        assert int(raw.read(1, 3, 1)[0, 0]) == values["s2_t003_c2.tif"]


def test_a_frame_that_no_position_has(tmp_path: Path) -> None:
    save(tmp_path, [f"t{t}.tif" for t in (1, 2, 4, 5)])
    with fovflow.open_raw(tmp_path, interval_s=60) as raw:
        assert raw.info.n_frames == 5
        assert raw.info.missing == ((0, 2),)
        assert raw.times(0).seconds.tolist() == [0, 60, 120, 180, 240]


def test_numbers_in_steps(tmp_path: Path) -> None:
    save(tmp_path, [f"t{t:03d}.tif" for t in (0, 10, 20, 40)])
    with fovflow.open_raw(tmp_path) as raw:
        assert raw.info.n_frames == 5
        assert raw.info.missing == ((0, 3),)


def test_numbers_with_huge_gaps_are_labels(tmp_path: Path) -> None:
    save(tmp_path, [f"t{t}.tif" for t in (1, 1000, 2001)])
    with fovflow.open_raw(tmp_path) as raw:
        assert raw.info.n_frames == 3
        assert raw.info.missing == ()
        assert any("large gaps" in text for text in raw.info.warnings)


def test_a_frame_that_lacks_a_channel(tmp_path: Path) -> None:
    save(tmp_path, [f"t{t}_c{c}.tif" for t in range(3) for c in range(2)])
    (tmp_path / "t1_c1.tif").unlink()
    with fovflow.open_raw(tmp_path) as raw:
        assert (raw.info.missing, raw.info.missing_planes) == ((), ((0, 1, 1, 0),))
        assert not raw.read(0, 1, 1).any()


def test_frames_that_lack_channels_here_and_there(tmp_path: Path) -> None:
    save(tmp_path, [f"t{t}_c{c}.tif" for t in range(3) for c in range(2)])
    (tmp_path / "t1_c1.tif").unlink()
    (tmp_path / "t2_c0.tif").unlink()
    with pytest.raises(FovflowError, match=r"2 frames .* lack some of their channels") as caught:
        fovflow.open_raw(tmp_path)
    assert "t1_c0.tif" in str(caught.value)


def test_z_in_names(tmp_path: Path) -> None:
    values = save(tmp_path, [f"t{t}_z{z}.tif" for t in range(2) for z in range(3)])
    with fovflow.open_raw(tmp_path) as raw:
        assert (raw.info.n_frames, raw.info.n_z) == (2, 3)
        assert int(raw.read(0, 1, 0, z=2)[0, 0]) == values["t1_z2.tif"]


def test_two_files_of_the_same_place(tmp_path: Path) -> None:
    save(tmp_path, ["GFP1.tif", "RFP1.tif"])
    with pytest.raises(FovflowError, match="same place") as caught:
        fovflow.open_raw(tmp_path, pattern="*P{time}.tif")
    assert "GFP1.tif and RFP1.tif" in str(caught.value)


def test_files_of_different_shapes(tmp_path: Path) -> None:
    save(tmp_path, ["t1.tif", "t2.tif"])
    save(tmp_path, ["t3.tif"], shape=(8, 16))
    with fovflow.open_raw(tmp_path) as raw:  # one of three costs itself, and is told
        assert any("t3.tif is not like the other files" in text for text in raw.info.warnings)
        raw.read(0, 1, 0)
        with pytest.raises(FovflowError, match=r"t3\.tif is not like the other files") as caught:
            raw.read(0, 2, 0)
    assert "8 x 16" in str(caught.value)
    save(tmp_path, ["t2.tif"], shape=(8, 16))
    (tmp_path / "t1.tif").unlink()
    save(tmp_path, ["t1.tif"], shape=(4, 4))
    with pytest.raises(FovflowError, match="not like the other files"):  # a choice
        save(tmp_path, ["t4.tif"], shape=(4, 4))
        fovflow.open_raw(tmp_path)


def test_files_of_equal_size_and_different_shape(tmp_path: Path) -> None:
    """Only noticed when read: not every header is opened beforehand."""
    save(tmp_path, ["t1.tif", "t2.tif"])
    save(tmp_path, ["t3.tif"], shape=(4, 16))
    with fovflow.open_raw(tmp_path) as raw:
        raw.read(0, 1, 0)
        with pytest.raises(FovflowError, match=r"t3\.tif is not like"):
            raw.read(0, 2, 0)
        raw.read(0, 0, 0)


def test_an_empty_file(tmp_path: Path) -> None:
    save(tmp_path, ["t1.tif", "t2.tif"])
    (tmp_path / "t3.tif").touch()
    with pytest.raises(FovflowError, match=r"t3\.tif is empty"):
        fovflow.open_raw(tmp_path)


def test_a_file_that_vanishes(tmp_path: Path) -> None:
    save(tmp_path, ["t1.tif", "t2.tif", "t3.tif"])
    with fovflow.open_raw(tmp_path) as raw:
        (tmp_path / "t2.tif").unlink()
        with pytest.raises(FovflowError, match="frame 1"):
            raw.read(0, 1, 0)
        raw.read(0, 2, 0)


def test_a_single_file_by_pattern(tmp_path: Path) -> None:
    save(tmp_path, ["only_t5.tif"])
    with fovflow.open_raw(tmp_path / "*.tif") as raw:
        assert (raw.info.n_frames, raw.info.format) == (1, "tiff-series")
        assert raw.times(0).source == "nominal"


def test_stacks_over_time_one_file_per_position(tmp_path: Path) -> None:
    for p in range(2):
        pixels = np.arange(5 * 64, dtype=np.uint16).reshape(5, 8, 8) + 1000 * p
        tifffile.imwrite(
            tmp_path / f"pos{p}.tif",
            pixels,
            imagej=True,
            metadata={"axes": "TYX", "finterval": 30.0},
        )
    with fovflow.open_raw(tmp_path) as raw:
        assert [each.name for each in raw.info.positions] == ["pos0", "pos1"]
        assert raw.info.n_frames == 5
        assert int(raw.read(1, 4, 0)[7, 7]) == 1319
        assert raw.times(1).source == "nominal"
        assert raw.times(1).seconds.tolist() == [0, 30, 60, 90, 120]


def test_pages_are_z_where_names_tell_the_time(tmp_path: Path) -> None:
    for t in range(3):
        with tifffile.TiffWriter(tmp_path / f"t{t}.tif") as writer:
            for z in range(2):
                writer.write(np.full((8, 8), 10 * t + z, np.uint16), metadata=None)
    with fovflow.open_raw(tmp_path) as raw:
        assert (raw.info.n_frames, raw.info.n_z) == (3, 2)
        assert int(raw.read(0, 2, 0, z=1)[0, 0]) == 21


def test_names_and_pages_over_the_same_axis(tmp_path: Path) -> None:
    for t in range(2):
        tifffile.imwrite(
            tmp_path / f"t{t}.tif",
            np.zeros((3, 8, 8), np.uint16),
            imagej=True,
            metadata={"axes": "TYX"},
        )
    with pytest.raises(FovflowError, match="same axis"):
        fovflow.open_raw(tmp_path)


def test_an_ome_file_per_position(tmp_path: Path) -> None:
    frames = np.arange(3 * 2 * 2 * 64, dtype=np.uint16).reshape(3, 2, 2, 8, 8)
    times = np.array([[1.0, 2.0], [11.0, 12.5], [21.0, 22.0]])
    written = write_ome_tiff(
        tmp_path / "movie.ome.tif",
        frames,
        channels=["Phase", "GFP"],
        pixel_um=0.65,
        positions=[(0, 0, "A1"), (1, 0, "A2")],
        times_s=times,
        split=True,
    )
    assert len(written) == 2
    with fovflow.open_raw(tmp_path / "*.ome.tif") as raw:
        assert (len(raw.info.positions), raw.info.n_frames) == (2, 3)
        assert [each.name for each in raw.info.channels] == ["Phase", "GFP"]
        assert raw.info.pixel_um == 0.65
        assert raw.info.time_source == "measured"
        assert raw.times(1).seconds.tolist() == [2.0, 12.5, 22.0]
        np.testing.assert_array_equal(raw.read(1, 2, 1), frames[2, 1, 1])


def test_hidden_files_and_other_kinds_are_left_out(tmp_path: Path) -> None:
    save(tmp_path, ["t1.tif", "t2.TIF", ".t3.tif", ".cache/t4.tif"])
    (tmp_path / "notes.txt").write_text("x")
    with fovflow.open_raw(tmp_path) as raw:
        assert raw.info.n_frames == 2


@pytest.mark.parametrize("folder", ["plain", "with space", "größe", "exp[1]", "a*b?"])
@pytest.mark.parametrize("stem", ["t", "ä t", "img[2]_t", "what?_t"])
def test_odd_names(folder: str, stem: str, tmp_path: Path) -> None:
    where = tmp_path / folder
    save(where, [f"{stem}{t}.tif" for t in range(3)])
    paths: list[Any] = [where, str(where), where / "*.tif", where / f"{stem}*.tif"]
    for path in paths:
        with fovflow.open_raw(path) as raw:
            assert raw.info.n_frames == 3
            assert int(raw.read(0, 2, 0)[0, 0]) == 3
    with fovflow.open_raw(where / f"{stem}1.tif") as raw:
        assert raw.info.n_frames == 1
        assert int(raw.read(0, 0, 0)[0, 0]) == 2


@pytest.mark.data
def test_a_real_series() -> None:
    folder = shared_data("t98g/phase")
    with fovflow.open_raw(folder / "*.tif") as raw:
        info = raw.info
        assert (info.n_frames, info.height, info.width, info.dtype) == (37, 1022, 1024, "uint16")
        assert [(each.name, each.x_um) for each in info.positions] == [("xy01", 12140.1)]
        assert info.pixel_um == 0.8707951277094507
        assert info.time_source == "measured"
        seconds = raw.times(0).seconds
        assert seconds[[0, 36]] == pytest.approx([12.966796, 21612.68496], abs=1e-5)
        assert np.abs(np.diff(seconds) - 600).max() < 2
        for t in (0, 9, 36):
            expected = tifffile.imread(folder / f"20180101ef002xy01t{t + 1:02d}.tif")
            np.testing.assert_array_equal(raw.read(0, t, 0), expected)


@pytest.mark.parametrize(
    "names",
    [
        [*(f"s1_t{t}" for t in range(8, 12)), *(f"s2_t{t:02d}" for t in range(8, 12))],
        [*(f"Pos1/img_{t}" for t in (1, 2, 3)), *(f"pos1/img_{t}" for t in (4, 5, 6))],
        [*(f"phase_xy01_t{t}" for t in range(3)), *(f"gfp_xy1_t{t:03d}" for t in range(3))],
        [*(f"GFP_{t}" for t in range(3)), *(f"gfp_{t}" for t in range(3, 6))],
        [*(f"Z\u00fc_phase_{t}" for t in range(3)), *(f"Zu\u0308_gfp_{t}" for t in range(3))],
    ],
)
def test_names_that_are_spelled_in_two_ways(names: list[str], tmp_path: Path) -> None:
    values = save(tmp_path, [f"{name}.tif" for name in names])
    with fovflow.open_raw(tmp_path) as raw:
        sizes = len(raw.info.positions), len(raw.info.channels), raw.info.n_frames
        assert sizes in ((2, 1, 4), (1, 1, 6), (1, 2, 3))
        assert np.prod(sizes) == len(values)
        assert raw.info.missing == raw.info.missing_planes == ()


def test_names_that_differ_in_capitals_stay_apart_where_they_must(tmp_path: Path) -> None:
    """Their order is that of all processes, whatever the seed of hashes."""
    save(tmp_path, [f"{name}/t{t}.tif" for name in ("a", "A", "b", "B") for t in range(3)])
    with fovflow.open_raw(tmp_path) as raw:
        assert [each.name for each in raw.info.positions] == ["A", "a", "B", "b"]


def clock(seconds: int) -> str:
    return f"{10 + seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"


@pytest.mark.parametrize("lost", [False, True])
def test_files_that_each_have_a_time_of_their_own(lost: bool, tmp_path: Path) -> None:
    frames = [(s, t) for s in range(3) for t in range(8) if not lost or (s, t) != (1, 4)]
    names = {(s, t): f"s{s}_20240131_{clock(600 * t + 190 * s + t % 3)}.tif" for s, t in frames}
    values = save(tmp_path, names.values())
    with fovflow.open_raw(tmp_path) as raw:
        assert (len(raw.info.positions), raw.info.n_frames) == (3, 8)
        assert raw.info.missing == (((1, 4),) if lost else ())
        assert int(raw.read(2, 5, 0)[0, 0]) == values[names[2, 5]]
        seconds = [600 * t + 380 + t % 3 for t in range(8)]
        assert (raw.times(2).source, raw.times(2).seconds.tolist()) == ("measured", seconds)


def test_a_channel_with_times_of_its_own_in_every_third_frame(tmp_path: Path) -> None:
    names = [f"phase_20240131_{clock(600 * t)}.tif" for t in range(7)]
    values = save(tmp_path, names + [f"gfp_20240131_{clock(600 * t + 5)}.tif" for t in (0, 3, 6)])
    with fovflow.open_raw(tmp_path) as raw:
        assert (raw.info.n_frames, len(raw.info.missing_planes)) == (7, 4)
        assert int(raw.read(0, 3, 0)[0, 0]) == values["gfp_20240131_103005.tif"]


def test_uneven_times_of_their_own_are_taken_in_order(tmp_path: Path) -> None:
    names = [
        f"s{s}_20240131_{clock(t + 40 * s)}.tif" for s in (1, 2) for t in (0, 600, 900, 2000, 2100)
    ]
    values = save(tmp_path, names)
    with fovflow.open_raw(tmp_path) as raw:
        assert (len(raw.info.positions), raw.info.n_frames, raw.info.missing) == (2, 5, ())
        assert int(raw.read(1, 3, 0)[0, 0]) == values[names[8]]
        assert raw.times(1).seconds.tolist() == [40, 640, 940, 2040, 2140]


def stacks(folder: Path, lengths: dict[str, int]) -> Path:
    for name, n in lengths.items():
        with tifffile.TiffWriter(folder / f"{name}.tif") as out:
            for value in range(n):
                out.write(np.full((8, 8), value, np.uint16), metadata=None, contiguous=False)
    return folder


def test_a_channel_with_fewer_images_than_others_is_asked_about(tmp_path: Path) -> None:
    names = {f"s{p}_{c}": n for p in (1, 2) for c, n in (("phase", 12), ("gfp", 4))}
    with pytest.raises(FovflowError, match="4 images of gfp, 12 images of phase"):
        fovflow.open_raw(stacks(tmp_path, names))


def test_a_channel_that_lacks_the_last_image(tmp_path: Path) -> None:
    with fovflow.open_raw(stacks(tmp_path, {"phase": 5, "gfp": 4})) as raw:
        assert raw.info.missing_planes == ((0, 4, 0, 0),)


def test_pages_that_are_taken_for_z_planes_are_told(tmp_path: Path) -> None:
    stacks(tmp_path, {f"t{t}": 2 for t in range(3)})
    with fovflow.open_raw(tmp_path) as raw:
        assert any("axes: {z: channel}" in text for text in raw.info.warnings)
    with fovflow.open_raw(tmp_path, axes={"z": "channel"}) as raw:
        assert (raw.info.n_frames, len(raw.info.channels), raw.info.n_z) == (3, 2, 1)


def test_a_pattern_in_another_form_of_accents(tmp_path: Path) -> None:
    save(tmp_path, [f"Zu\u0308_{t}.tif" for t in range(3)])
    for path, pattern in ((tmp_path, "Z\u00fc_{time}.tif"), (tmp_path / "Z\u00fc_*.tif", None)):
        with fovflow.open_raw(path, pattern=pattern) as raw:
            assert raw.info.n_frames == 3
        from fovflow.readers.fingerprint import raw_files

        assert len(raw_files(path, pattern)) == 3
