"""Positions that are not like the others, in every format: each costs itself, and is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import fovflow
from fovflow.errors import FovflowError
from fovflow.readers.fingerprint import raw_files
from fovflow.simulation.nd2 import write_nd2

FRAMES = 4
SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def planes(n_frames: int, shape: tuple[int, int], p: int, channels: int = 1) -> np.ndarray:
    """Return planes (T, C, Y, X) whose values tell position, frame and channel."""
    values = [[1000 * p + 10 * t + c + 1 for c in range(channels)] for t in range(n_frames)]
    return np.broadcast_to(
        np.array(values, np.uint16)[:, :, None, None], (n_frames, channels, *shape)
    ).copy()


def series(path: Path, parts: list[np.ndarray]) -> Path:
    """One ImageJ movie per position."""
    path.mkdir()
    for p, part in enumerate(parts):
        name = path / f"pos{p}.tif"
        tifffile.imwrite(name, part, imagej=True, metadata={"axes": "TCYX", "finterval": 60})
    return path


def pages(path: Path, parts: list[np.ndarray]) -> Path:
    """One file per position, frame and channel."""
    path.mkdir()
    for p, part in enumerate(parts):
        for t, c in np.ndindex(part.shape[:2]):
            tifffile.imwrite(path / f"pos{p}_t{t}_c{c}.tif", part[t, c], metadata=None)
    return path


def ome_tiff(path: Path, parts: list[np.ndarray]) -> Path:
    """All positions in one file."""
    images, first = "", 0
    for p, part in enumerate(parts):
        t, c, y, x = part.shape
        named = "".join(f'<Channel ID="Channel:{p}:{i}" Name="c{i}"/>' for i in range(c))
        images += (
            f'<Image ID="Image:{p}" Name="P{p}"><Pixels DimensionOrder="XYCZT" Type="{part.dtype}" '
            f'SizeX="{x}" SizeY="{y}" SizeZ="1" SizeC="{c}" SizeT="{t}" TimeIncrement="60" '
            f'ID="Pixels:{p}">{named}<TiffData IFD="{first}" PlaneCount="{t * c}"/></Pixels>'
            "</Image>"
        )
        first += t * c
    description = f'<OME xmlns="{SCHEMA}">{images}</OME>'.encode()
    name = path.with_suffix(".ome.tif")
    with tifffile.TiffWriter(name) as out:
        for i, plane in enumerate(plane for part in parts for frame in part for plane in frame):
            text = None if i else description
            out.write(plane, photometric="minisblack", metadata=None, description=text)
    return name


def ome_zarr(path: Path, parts: list[np.ndarray]) -> Path:
    """A folder of images."""
    name = path.with_suffix(".ome.zarr")
    root = zarr.open_group(str(name), mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    axes = [
        {"name": n, "type": k}
        for n, k in zip("tcyx", ("time", "channel", "space", "space"), strict=True)
    ]
    scale = [{"type": "scale", "scale": [60, 1, 0.65, 0.65]}]
    for p, part in enumerate(parts):
        group = root.create_group(str(p))
        datasets = [{"path": "0", "coordinateTransformations": scale}]
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
        chunks = (1, 1, *part.shape[-2:])
        group.create_array("0", shape=part.shape, chunks=chunks, dtype=part.dtype)[...] = part
    return name


def czi(path: Path, parts: list[np.ndarray]) -> Path:
    """A scene per position."""
    pytest.importorskip("pylibCZIrw")
    from pylibCZIrw import czi as library

    name = path.with_suffix(".czi")
    with library.create_czi(str(name)) as out:
        for p, part in enumerate(parts):
            for t, c in np.ndindex(part.shape[:2]):
                at = {"T": t, "C": c}
                pixels = part[t, c][..., np.newaxis]
                out.write(data=pixels, location=(0, 500 * p), plane=at, scene=p)
        out.write_metadata(document_name="x", channel_names={0: "a", 1: "b"}, scale_x=0.65e-6)
    return name


def nd2(path: Path, parts: list[np.ndarray]) -> Path:
    """A loop over positions; only lengths may differ."""
    frames = np.zeros((FRAMES, len(parts), *parts[0].shape[1:]), np.uint16)
    missing = []
    for p, part in enumerate(parts):
        frames[: len(part), p] = part
        missing += [(p, t) for t in range(len(part), FRAMES)]
    name = path.with_suffix(".nd2")
    write_nd2(name, frames, channels=["a", "b"][: frames.shape[2]], pixel_um=0.65,
              missing=missing, period_s=60)  # fmt: skip
    return name


def _rename_in_ome(path: Path, p: int) -> None:
    text = tifffile.tiffcomment(path)
    old = f'ID="Channel:{p}:1" Name='
    tifffile.tiffcomment(path, text.replace(f'{old}"c1"', f'{old}"RFP"').encode())


def _rename_in_zarr(path: Path, p: int) -> None:
    root = zarr.open_group(str(path), mode="r+")
    for i, (_, group) in enumerate(sorted(root.groups())):
        labels = [{"label": name} for name in ("c0", "RFP" if i == p else "c1")]
        group.attrs["omero"] = {"channels": labels}


@pytest.mark.parametrize("write", ["image", "file", "zarr"])
@pytest.mark.parametrize("odd", [1, 2])
def test_a_position_with_a_channel_of_another_name_is_told(
    tmp_path: Path, write: str, odd: int
) -> None:
    parts = [planes(FRAMES, (24, 32), p, 2) for p in range(3)]
    if write == "image":
        path = ome_tiff(tmp_path / "a", parts)
        _rename_in_ome(path, odd)
    elif write == "zarr":
        path = ome_zarr(tmp_path / "a", parts)
        _rename_in_zarr(path, odd)
    else:
        path = tmp_path
        for p, part in enumerate(parts):
            each = ome_tiff(tmp_path / f"pos{p}", [part])
            if p == odd:
                _rename_in_ome(each, 0)
    with fovflow.open_raw(path) as raw:
        assert [channel.name for channel in raw.info.channels] == ["c0", "c1"]
        assert any(f"Position {odd} has channels c0, RFP" in text for text in raw.info.warnings)
        others = "0-1" if odd == 2 else "0, 2"
        assert any(f'fovs: "{others}"' in text for text in raw.info.warnings)


FORMATS = [series, pages, ome_tiff, ome_zarr, czi]


@pytest.mark.parametrize("write", [*FORMATS, nd2])
@pytest.mark.parametrize("short", [0, 1, 2])
def test_a_position_that_was_stopped_early_misses_its_last_frames(
    tmp_path: Path, write: Any, short: int
) -> None:
    parts = [planes(FRAMES - 2 * (p == short), (24, 32), p, 2) for p in range(3)]
    with fovflow.open_raw(write(tmp_path / "a", parts)) as raw:
        assert (len(raw.info.positions), raw.info.n_frames) == (3, FRAMES)
        assert len(raw.info.channels) == 2
        assert raw.info.missing == ((short, 2), (short, 3))
        for p, part in enumerate(parts):
            for t, c in np.ndindex(part.shape[:2]):
                assert (raw.read(p, t, c) == part[t, c]).all()
            assert len(raw.times(p).seconds) == FRAMES


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("odd", [0, 1, 2])
def test_a_position_of_another_size_is_told_with_the_fovs_that_work(
    tmp_path: Path, write: Any, odd: int
) -> None:
    parts = [planes(FRAMES, (24, 20 if p == odd else 32), p) for p in range(3)]
    rest = [p for p in range(3) if p != odd]
    chosen = "0-1" if odd == 2 else ", ".join(map(str, rest)) if odd == 1 else "1-2"
    with fovflow.open_raw(write(tmp_path / "a", parts)) as raw:
        assert (raw.info.height, raw.info.width, len(raw.info.positions)) == (24, 32, 3)
        assert any(f'fovs: "{chosen}"' in text for text in raw.info.warnings)
        for p in rest:
            assert (raw.read(p, 3, 0) == parts[p][3, 0]).all()
        with pytest.raises(FovflowError, match=r"position|not like"):
            raw.read(odd, 0, 0)


@pytest.mark.parametrize("write", [series, ome_tiff, ome_zarr])
@pytest.mark.parametrize("kind", ["channels", "type"])
def test_a_position_of_another_kind_is_left_out_and_told(
    tmp_path: Path, write: Any, kind: str
) -> None:
    parts = [planes(FRAMES, (24, 32), p, 2) for p in range(3)]
    parts[1] = parts[1][:, :1] if kind == "channels" else parts[1].astype(np.uint8)
    with fovflow.open_raw(write(tmp_path / "a", parts)) as raw:
        assert (len(raw.info.positions), raw.info.dtype) == (3, "uint16")
        assert any('fovs: "0, 2"' in text for text in raw.info.warnings)
        assert (raw.read(2, 3, 1) == parts[2][3, 1]).all()


def test_an_image_of_several_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    name = ome_zarr(tmp_path / "a", [planes(FRAMES, (24, 32), p) for p in range(3)])
    (name / "1" / ".zattrs").write_text(json.dumps({"multiscales": [{"version": "9.9"}]}))
    with fovflow.open_raw(name) as raw:
        assert raw.info.missing == ()
        assert any("Position 1 cannot be read" in text for text in raw.info.warnings)
        assert any('fovs: "0, 2"' in text for text in raw.info.warnings)
        with pytest.raises(FovflowError, match=r"9\.9"):
            raw.read(1, 0, 0)
        assert (raw.read(2, 0, 0) == 2001).all()


def test_files_of_half_the_series_that_differ_are_a_choice(tmp_path: Path) -> None:
    parts = [planes(FRAMES, (24, 20 if p % 2 else 32), p) for p in range(4)]
    with pytest.raises(FovflowError, match="not like the other files"):
        fovflow.open_raw(pages(tmp_path / "a", parts))


def test_a_channel_of_other_size_is_refused(tmp_path: Path) -> None:
    path = pages(tmp_path / "a", [planes(FRAMES, (24, 32), 0, 3)])
    for t in range(FRAMES):
        tifffile.imwrite(path / f"pos0_t{t}_c2.tif", np.ones((12, 16), np.uint16), metadata=None)
    with pytest.raises(FovflowError, match="not like the other files"):
        fovflow.open_raw(path)


@pytest.mark.parametrize(("p", "t"), [(0, 0), (1, 0), (2, 0), (1, 2), (2, 3)])
@pytest.mark.parametrize("content", ["cut", "zeros", "text"])
def test_a_damaged_file_of_a_series_costs_itself(
    tmp_path: Path, p: int, t: int, content: str
) -> None:
    path = pages(tmp_path / "a", [planes(FRAMES, (24, 32), p) for p in range(3)])
    file = path / f"pos{p}_t{t}_c0.tif"
    same_size = bytes(file.stat().st_size)
    kinds = {"cut": b"II*\0\xff\xff\xff\x7f", "zeros": same_size, "text": b"<html>"}
    file.write_bytes(kinds[content])
    assert len(raw_files(path)) == 3 * FRAMES
    with fovflow.open_raw(path) as raw:
        seen = t == 0 or content != "zeros"  # of the usual size, only the first files are opened
        assert any(file.name in text for text in raw.info.warnings) is seen
        assert (raw.read(1, 1, 0) == 1011).all()
        with pytest.raises(FovflowError, match=rf"pos{p}_t{t}_c0\.tif"):
            raw.read(p, t, 0)


def test_frames_missing_inside_of_a_file_of_a_series_are_missing(tmp_path: Path) -> None:
    """An OME-TIFF per position, one of which announces frames that it does not hold."""
    (tmp_path / "a").mkdir()
    for p in range(3):
        part = planes(FRAMES, (24, 32), p)
        name = ome_tiff(tmp_path / "a" / f"pos{p}", [part])
        if p == 2:
            text = tifffile.tiffcomment(name)
            with tifffile.TiffWriter(name) as out:
                for t in range(2):
                    out.write(part[t, 0], photometric="minisblack", metadata=None,
                              description=None if t else text.encode())  # fmt: skip
    with fovflow.open_raw(tmp_path / "a") as raw:
        assert raw.info.missing == ((2, 2), (2, 3))
        assert (raw.read(2, 1, 0) == 2011).all()
