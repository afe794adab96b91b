"""OME-TIFF as it is found: companions, pointers, renamed sets, odd images, flaws of the XML."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow import FovflowError
from fovflow.readers.fingerprint import raw_files

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def ome(inner: str, uuid: str = "") -> bytes:
    own = f' UUID="urn:uuid:{uuid}"' if uuid else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<OME xmlns="{SCHEMA}"{own}>{inner}</OME>'.encode()
    )


def image(inner: str, t: int = 1, c: int = 1, p: int = 0, more: str = "") -> str:
    channels = "".join(
        f'<Channel ID="Channel:{p}:{i}" Name="ch{i}" SamplesPerPixel="1"/>' for i in range(c)
    )
    return (
        f'<Image ID="Image:{p}" Name="site {p}">{more}<Pixels ID="Pixels:{p}" '
        f'DimensionOrder="XYCZT" Type="uint16" SizeX="32" SizeY="24" SizeZ="1" SizeC="{c}" '
        f'SizeT="{t}" PhysicalSizeX="0.65" PhysicalSizeXUnit="µm">{channels}{inner}</Pixels>'
        "</Image>"
    )


COLOUR = (
    '<Image ID="Image:9" Name="snapshot"><Pixels ID="Pixels:9" DimensionOrder="XYCZT" Type="uint8" '
    'SizeX="16" SizeY="8" SizeZ="1" SizeC="3" SizeT="1"><Channel ID="Channel:9:0" '
    'SamplesPerPixel="3"/><TiffData IFD="{}" PlaneCount="1"/></Pixels></Image>'
)


def write(path: Path, values: Any, description: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as out:
        for i, value in enumerate(values):
            text = description if i == 0 else None
            page = np.full((24, 32), value, np.uint16)
            out.write(page, photometric="minisblack", metadata=None, description=text)
    return path


def planes_in(name: str, t: int, uuid: str, c: int = 0) -> str:
    return "".join(
        f'<TiffData FirstT="{i}" FirstC="{c}" IFD="{i}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{uuid}</UUID></TiffData>'
        for i in range(t)
    )


def companion(folder: Path) -> Path:
    folder.mkdir()
    blocks = "".join(planes_in(f"run_w{c}.ome.tif", 3, f"0{c}", c) for c in (0, 1))
    (folder / "run.companion.ome").write_bytes(ome(image(blocks, t=3, c=2), "0f"))
    pointer = '<BinaryOnly MetadataFile="run.companion.ome" UUID="urn:uuid:0f"/>'
    for c in (0, 1):
        write(folder / f"run_w{c}.ome.tif", [10 * c + t for t in range(3)], ome(pointer, f"0{c}"))
    return folder


@pytest.mark.parametrize("name", ["", "run.companion.ome", "run_w0.ome.tif", "run_w1.ome.tif"])
def test_a_companion_file_describes_the_set(tmp_path: Path, name: str) -> None:
    folder = companion(tmp_path / "set")
    with fovflow.open_raw(folder / name) as raw:
        assert (raw.info.n_frames, raw.info.pixel_um, raw.info.missing) == (3, 0.65, ())
        assert [channel.name for channel in raw.info.channels] == ["ch0", "ch1"]
        assert [int(raw.read(0, t, 1)[0, 0]) for t in range(3)] == [10, 11, 12]
    from fovflow.readers.fingerprint import raw_files

    assert len(raw_files(folder / "run.companion.ome")) == 3


def test_a_companion_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = companion(tmp_path / "set")
    (folder / "run.companion.ome").unlink()
    with pytest.raises(FovflowError, match=r"points to 'run\.companion\.ome', which is not there"):
        fovflow.open_raw(folder / "run_w0.ome.tif")


def test_pointers_in_a_circle_end(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        pointer = f'<BinaryOnly MetadataFile="{other}.ome.tif" UUID="urn:uuid:1"/>'
        write(tmp_path / f"{one}.ome.tif", [1], ome(pointer))
    with pytest.raises(FovflowError, match="description stands in another file"):
        fovflow.open_raw(tmp_path / "a.ome.tif")


def test_a_pointer_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    pointer = '<BinaryOnly MetadataFile="../x.companion.ome" UUID="urn:uuid:1"/>'
    path = write(tmp_path / "in" / "a.ome.tif", [1], ome(pointer))
    with pytest.raises(FovflowError, match="outside its own folder"):
        fovflow.open_raw(path)


def positions(folder: Path, prefix: str = "") -> Path:
    images = "".join(image(planes_in(f"run_Pos{p}.ome.tif", 3, f"0{p}"), t=3, p=p) for p in (0, 1))
    for p in (0, 1):
        write(folder / f"{prefix}run_Pos{p}.ome.tif", [10 * p + t for t in range(3)], ome(images))
    return folder


@pytest.mark.parametrize("prefix", ["control_", "2024-05-01 ", "a[1]"])
def test_a_set_renamed_by_a_prefix_is_read_and_told(tmp_path: Path, prefix: str) -> None:
    with fovflow.open_raw(positions(tmp_path / "set", prefix)) as raw:
        assert (len(raw.info.positions), raw.info.missing) == (2, ())
        assert [int(raw.read(p, 2, 0)[0, 0]) for p in (0, 1)] == [2, 12]
        assert any(f"{prefix}run_Pos1.ome.tif" in text for text in raw.info.warnings)


def test_a_file_with_the_same_ending_of_another_set_is_not_taken(tmp_path: Path) -> None:
    positions(tmp_path / "set", "a_")
    other = ome(image('<TiffData IFD="0" PlaneCount="1"/>'), "77")
    write(tmp_path / "set" / "a_run_Pos1.ome.tif", [99], other)
    with fovflow.open_raw(tmp_path / "set" / "a_run_Pos0.ome.tif") as raw:
        assert raw.info.missing == ((1, 0), (1, 1), (1, 2))


def test_a_set_with_other_names_says_which_files_it_looks_for(tmp_path: Path) -> None:
    positions(tmp_path / "set")
    for p in (0, 1):
        old = tmp_path / "set" / f"run_Pos{p}.ome.tif"
        shutil.move(old, old.with_name(f"well{p}.tif"))
    with pytest.raises(FovflowError, match=r"run_Pos0\.ome\.tif.*renamed"):
        fovflow.open_raw(tmp_path / "set" / "well0.tif")


def numbered_set(folder: Path) -> list[Path]:
    """Write a set of 3 files of a frame each, whose value is its number."""
    blocks = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="t{t}.ome.tif">'
        f"urn:uuid:0{t}</UUID></TiffData>"
        for t in range(3)
    )
    text = image(blocks, t=3)
    return [write(folder / f"t{t}.ome.tif", [t], ome(text, f"0{t}")) for t in range(3)]


def test_files_that_have_one_anothers_names_are_told_and_not_read(tmp_path: Path) -> None:
    first, second, third = numbered_set(tmp_path / "set")
    first.rename(tmp_path / "x")
    second.rename(first)
    (tmp_path / "x").rename(second)
    saved = r"t0\.ome\.tif is the one that was saved as 't1\.ome\.tif'"
    with pytest.raises(FovflowError, match=saved):
        fovflow.open_raw(tmp_path / "set")
    with fovflow.open_raw(third) as raw:
        assert int(raw.read(0, 2, 0)[0, 0]) == 2
        with pytest.raises(FovflowError, match=saved):
            raw.read(0, 0, 0)


def test_single_frames_with_rising_times_begin_at_zero(tmp_path: Path) -> None:
    for t in range(3):
        stamp = f'<TiffData/><Plane TheT="0" TheC="0" TheZ="0" DeltaT="{300 * t}"/>'
        write(tmp_path / f"cells_t{t}.ome.tif", [t], ome(image(stamp)))
    with fovflow.open_raw(tmp_path) as raw:
        times = raw.times(0)
    assert (times.source, times.seconds.tolist()) == ("measured", [0, 300, 600])


def test_times_in_another_unit_than_is_said_are_told(tmp_path: Path) -> None:
    stamps = "".join(
        f'<Plane TheT="{t}" TheC="0" TheZ="0" DeltaT="{300_000 * t}"/>' for t in range(3)
    )
    path = write(tmp_path / "cells.ome.tif", range(3), ome(image(f"<TiffData/>{stamps}", t=3)))
    with fovflow.open_raw(path) as raw:
        assert any("83 h apart" in text for text in raw.info.warnings)
    with fovflow.open_raw(path, interval_s=300) as raw:
        assert not any("apart" in text for text in raw.info.warnings)


def test_two_sets_in_one_folder_are_two_datasets(tmp_path: Path) -> None:
    positions(tmp_path / "set")
    positions(tmp_path / "more")
    for p in (0, 1):
        name = f"run_Pos{p}.ome.tif"
        text = ome(
            image(planes_in("second_0.ome.tif", 1, "5", 0) + planes_in("second_1.ome.tif", 1, "6"))
        )
        write(tmp_path / "set" / f"second_{p}.ome.tif", [p], text)
        assert (tmp_path / "set" / name).is_file()
    with pytest.raises(FovflowError, match="several OME-TIFF sets"):
        fovflow.open_raw(tmp_path / "set")


def test_a_colour_snapshot_costs_itself(tmp_path: Path) -> None:
    frames = [np.full((24, 32), t + 1, np.uint16) for t in range(3)]
    colour = np.zeros((8, 16, 3), np.uint8)
    for name, first in (("last", False), ("first", True)):
        path = tmp_path / f"{name}.ome.tif"
        movie = image(f'<TiffData IFD="{int(first)}" PlaneCount="3"/>', t=3)
        snapshot = COLOUR.format(0 if first else 3)
        text = ome(snapshot + movie if first else movie + snapshot)
        with tifffile.TiffWriter(path) as out:
            for i, page in enumerate([colour, *frames] if first else [*frames, colour]):
                kind: Any = "rgb" if page.ndim == 3 else "minisblack"
                start = text if i == 0 else None
                out.write(page, photometric=kind, metadata=None, description=start)
        with fovflow.open_raw(path) as raw:
            movie_at = int(first)  # positions keep their numbers
            assert len(raw.info.positions) == 1 + movie_at
            assert [int(raw.read(movie_at, t, 0)[0, 0]) for t in range(3)] == [1, 2, 3]
            assert any("snapshot" in text and "colour" in text for text in raw.info.warnings)
            assert raw.info.missing == tuple((0, t) for t in range(3) if first)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\ufeff", ""),
        ("", "<!-- edited -->"),
        ("\n ", "\n<!-- a -->\n<!-- b > c -->\n"),
        ("", "\0\0"),
    ],
)
def test_text_around_the_xml(tmp_path: Path, before: str, after: str) -> None:
    xml = ome(image('<TiffData IFD="0" PlaneCount="6"/>', t=3, c=2)).decode()
    xml = xml if before != "\n " else xml.partition("\n")[2]  # a declaration stands first
    path = write(tmp_path / "a.ome.tif", range(6), (before + xml + after).encode())
    with fovflow.open_raw(path) as raw:
        assert (raw.info.format, raw.info.n_frames, len(raw.info.channels)) == ("ome-tiff", 3, 2)


@pytest.mark.parametrize("flaw", ["&#0;", "&#x1f;", "\x02", "&#xFFFE;"])
def test_characters_that_xml_does_not_allow(tmp_path: Path, flaw: str) -> None:
    body = image(
        '<TiffData IFD="0" PlaneCount="3"/>', t=3, more=f"<Description>w {flaw}</Description>"
    )
    with fovflow.open_raw(write(tmp_path / "a.ome.tif", [1, 2, 3], ome(body))) as raw:
        assert int(raw.read(0, 2, 0)[0, 0]) == 3
        assert any("does not allow" in text for text in raw.info.warnings)


def test_planes_outside_the_sizes_are_left_out_and_told(tmp_path: Path) -> None:
    blocks = '<TiffData IFD="0" PlaneCount="1"/><TiffData FirstC="1" IFD="1" PlaneCount="1"/>'
    with fovflow.open_raw(write(tmp_path / "a.ome.tif", [1, 2], ome(image(blocks)))) as raw:
        assert (len(raw.info.channels), int(raw.read(0, 0, 0)[0, 0])) == (1, 1)
        assert any("outside its announced sizes" in text for text in raw.info.warnings)


def test_planes_on_the_same_page(tmp_path: Path) -> None:
    blocks = "".join(f'<TiffData IFD="0" FirstT="{t}" PlaneCount="1"/>' for t in range(3))
    xml = ome(image(blocks, t=3))
    with fovflow.open_raw(write(tmp_path / "whole.ome.tif", [1, 2, 3], xml)) as raw:
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(3)] == [1, 2, 3]
        assert any("same page" in text for text in raw.info.warnings)
    with pytest.raises(FovflowError, match="same page"):
        fovflow.open_raw(write(tmp_path / "short.ome.tif", [1, 2], xml))


@pytest.mark.parametrize("change", [str.upper, lambda name: name.replace("\u00fc", "u\u0308")])
def test_files_whose_names_changed_in_capitals_or_accents(tmp_path: Path, change: Any) -> None:
    names = [f"\u00fc_{p}.ome.tif" for p in (0, 1)]
    images = "".join(image(planes_in(names[p], 3, f"0{p}"), t=3, p=p) for p in (0, 1))
    for p in (0, 1):
        write(tmp_path / change(names[p]), [10 * p + t for t in range(3)], ome(images))
    with fovflow.open_raw(tmp_path / change(names[0])) as raw:
        assert raw.info.missing == ()
        assert [int(raw.read(p, 2, 0)[0, 0]) for p in (0, 1)] == [2, 12]


def test_channels_of_an_image_in_another_order_are_told_by_their_names(tmp_path: Path) -> None:
    images = [image(f'<TiffData IFD="{4 * p}" PlaneCount="4"/>', t=2, c=2, p=p) for p in range(3)]
    images[1] = images[1].replace("ch0", "??").replace("ch1", "ch0").replace("??", "ch1")
    path = write(tmp_path / "a.ome.tif", range(12), ome("".join(images)))
    with fovflow.open_raw(path) as raw:
        assert [each.name for each in raw.info.channels] == ["ch0", "ch1"]
        found = [[int(raw.read(p, 1, c)[0, 0]) for c in (0, 1)] for p in range(3)]
    assert found == [[2, 3], [7, 6], [10, 11]]


def test_channels_of_a_file_in_another_order_are_told_by_their_names(tmp_path: Path) -> None:
    for p, names in enumerate((("a", "b"), ("b", "a"), ("a", "b"))):
        xml = image('<TiffData IFD="0" PlaneCount="4"/>', t=2, c=2)
        for i, name in enumerate(names):
            xml = xml.replace(f'"ch{i}"', f'"{name}"')
        write(tmp_path / f"pos{p}.ome.tif", range(4), ome(xml, str(p)))
    with fovflow.open_raw(tmp_path) as raw:
        found = [[int(raw.read(p, 1, c)[0, 0]) for c in (0, 1)] for p in range(3)]
    assert found == [[2, 3], [3, 2], [2, 3]]


@pytest.mark.parametrize("lost", [False, True])
def test_planes_without_a_page_or_count_go_on_to_the_next_that_is_named(
    tmp_path: Path, lost: bool
) -> None:
    names = {(c, t): f"run_w{c}_t{t}.ome.tif" for c in (0, 1) for t in range(3)}
    blocks = "".join(
        f'<TiffData FirstT="{t}" FirstC="{c}"><UUID FileName="{name}">urn:uuid:{c}{t}</UUID>'
        "</TiffData>"
        for (c, t), name in names.items()
    )
    (tmp_path / "run.companion.ome").write_bytes(ome(image(blocks, t=3, c=2), "0f"))
    for (c, t), name in names.items():
        if not (lost and (c, t) == (1, 1)):
            write(tmp_path / name, [10 * c + t], b"")
    with fovflow.open_raw(tmp_path / "run.companion.ome") as raw:
        assert raw.info.missing_planes == (((0, 1, 1, 0),) if lost else ())
        found = [[int(raw.read(0, t, c)[0, 0]) for t in range(3)] for c in (0, 1)]
    assert found == [[0, 1, 2], [10, 0 if lost else 11, 12]]


def test_a_description_of_the_planes_of_one_other_file(tmp_path: Path) -> None:
    text = ome(image(planes_in("movie.ome.tif", 3, "02"), t=3), "01")
    path = write(tmp_path / "overview.ome.tif", [7, 8, 9], text)
    write(tmp_path / "movie.ome.tif", [1, 2, 3], b"")
    with fovflow.open_raw(path) as raw:
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(3)] == [1, 2, 3]


def test_a_page_before_the_first_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.tif", [1, 2], ome(image('<TiffData IFD="-1"/>', t=2)))
    with pytest.raises(FovflowError, match="not understood") as caught:
        fovflow.open_raw(path)
    assert "page -1" in str(caught.value.found)


@pytest.mark.parametrize("other", ["dark.tif", "zoom.ome.tif"])
def test_files_beside_a_set_are_left_out_and_told(tmp_path: Path, other: str) -> None:
    folder = companion(tmp_path / "set")
    write(folder / other, [99], ome(image("<TiffData/>"), "0e") if ".ome" in other else b"")
    with fovflow.open_raw(folder) as raw:
        assert (raw.info.format, raw.info.n_frames) == ("ome-tiff", 3)
        assert any(other in text and "left out" in text for text in raw.info.warnings)


def test_a_companion_in_the_folder_describes_files_that_do_not_name_it(tmp_path: Path) -> None:
    folder = companion(tmp_path / "set")
    for c in (0, 1):
        write(folder / f"run_w{c}.ome.tif", [10 * c + t for t in range(3)], b"")
    with fovflow.open_raw(folder) as raw:
        assert raw.info.pixel_um == 0.65
        assert [channel.name for channel in raw.info.channels] == ["ch0", "ch1"]
    assert folder / "run.companion.ome" in raw_files(folder)
    with fovflow.open_raw(folder / "*_w1.ome.tif") as raw:  # some of its files are none of it
        assert raw.info.format == "tiff-series"


@pytest.mark.parametrize("name", ["run.companion.ome", "run.ome.xml", "metadata.OME"])
def test_all_files_of_a_description_of_any_name_belong_to_it(tmp_path: Path, name: str) -> None:
    folder = companion(tmp_path / "set")
    path = (folder / "run.companion.ome").rename(folder / name)
    assert {file.name for file in raw_files(path)} == {name, "run_w0.ome.tif", "run_w1.ome.tif"}


def renamed_at_will(folder: Path) -> Path:
    for c in (0, 1):
        (folder / f"run_w{c}.ome.tif").rename(folder / f"{'ab'[c]} {c}.tif")
    return folder


def test_a_set_renamed_at_will_is_known_by_its_uuids(tmp_path: Path) -> None:
    folder = renamed_at_will(companion(tmp_path / "set"))
    for name in ("", "run.companion.ome", "b 1.tif"):
        with fovflow.open_raw(folder / name) as raw:
            found = [[int(raw.read(0, t, c)[0, 0]) for t in range(3)] for c in (0, 1)]
            assert found == [[0, 1, 2], [10, 11, 12]]
            assert any("now called 'b 1.tif'" in warning for warning in raw.info.warnings)


def test_a_file_with_the_uuid_of_another_one_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = renamed_at_will(companion(tmp_path / "set"))
    shutil.copy(folder / "b 1.tif", folder / "c.tif")
    with fovflow.open_raw(folder / "run.companion.ome") as raw:
        assert {c for _, _, c, _ in raw.info.missing_planes} == {1}
        assert any("'run_w1.ome.tif' of the set is not there" in w for w in raw.info.warnings)


def test_a_description_that_was_renamed_is_known_by_its_uuid(tmp_path: Path) -> None:
    text = ome(image(planes_in("a.ome.tif", 2, "01"), t=2), "01")
    write(tmp_path / "first.tif", [1, 2], text)
    pointer = ome('<BinaryOnly MetadataFile="a.ome.tif" UUID="urn:uuid:01"/>', "02")
    with fovflow.open_raw(write(tmp_path / "second.tif", [3], pointer)) as raw:
        assert (raw.info.n_frames, int(raw.read(0, 1, 0)[0, 0])) == (2, 2)


def test_files_of_a_set_may_be_named_by_their_uuids_alone(tmp_path: Path) -> None:
    blocks = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID>urn:uuid:0{t}</UUID></TiffData>'
        for t in range(2)
    )
    for t in range(2):
        write(tmp_path / f"t{t}.ome.tif", [t + 1], ome(image(blocks, t=2), f"0{t}"))
    with fovflow.open_raw(tmp_path) as raw:
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(2)] == [1, 2]
