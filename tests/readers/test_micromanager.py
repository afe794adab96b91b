"""Micro-Manager's layouts without OME-XML: NDTiff folders and MMStack files."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovflow
from fovflow.errors import FovflowError
from fovflow.readers.fingerprint import raw_files

SHAPE = (24, 32)
_SUMMARY = 2355492


def write_pages(path: Path, head: bytes, values: Sequence[int], metas: Sequence[dict[str, Any]]):
    """Write a TIFF of planes of one value after a header; return where page and pixels start."""
    data = bytearray(b"II*\0\0\0\0\0" + head)
    link, offsets = 4, []
    for value, meta in zip(values, metas, strict=True):
        pixels_at = len(data)
        data += np.full(SHAPE, value, "<u2").tobytes()
        text = json.dumps(meta).encode() + b"\0"
        text_at = len(data)
        data += text
        page = len(data)
        tags = [
            (256, 4, 1, SHAPE[1]), (257, 4, 1, SHAPE[0]), (258, 3, 1, 16), (259, 3, 1, 1),
            (262, 3, 1, 1), (273, 4, 1, pixels_at), (277, 3, 1, 1), (278, 4, 1, SHAPE[0]),
            (279, 4, 1, SHAPE[0] * SHAPE[1] * 2), (51123, 2, len(text), text_at),
        ]  # fmt: skip
        data += struct.pack("<H", len(tags))
        for tag in tags:
            data += struct.pack("<HHII", *tag)
        struct.pack_into("<I", data, link, page)
        link = len(data)
        data += bytes(4)
        offsets.append((page, pixels_at, text_at, len(text) - 1))
    path.write_bytes(data)
    return offsets


def write_ndtiff(
    folder: Path, files: dict[str, list[tuple[dict[str, Any], int]]], summary: dict[str, Any]
) -> Path:
    """Write an NDTiff folder: axes and value of each plane, by file."""
    folder.mkdir(parents=True)
    text = json.dumps(summary).encode()
    head = struct.pack("<5I", 483729, 3, 0, _SUMMARY, len(text)) + text
    index = b""
    for name, planes in files.items():
        metas = [{"ElapsedTime-ms": 1000 * value, "PixelSizeUm": 0.65} for _, value in planes]
        placed = write_pages(folder / name, head, [value for _, value in planes], metas)
        for (axes, _), (_, pixels, meta, length) in zip(planes, placed, strict=True):
            said = json.dumps(axes).encode()
            index += struct.pack("<I", len(said)) + said
            index += struct.pack("<I", len(name)) + name.encode()
            index += struct.pack("<IiiiiIii", pixels, SHAPE[1], SHAPE[0], 1, 0, meta, length, 0)
    (folder / "NDTiff.index").write_bytes(index)
    return folder


def write_mmstack(path: Path, planes: dict[tuple[int, int, int, int], int], summary: Any) -> Path:
    """Write an MMStack without OME-XML: value by channel, slice, frame and position."""
    text = json.dumps(summary).encode()
    head = struct.pack("<8I", 54773648, 0, 483765892, 0, 99384722, 0, _SUMMARY, len(text)) + text
    metas = [{"ElapsedTime-ms": 1000 * value} for value in planes.values()]
    placed = write_pages(path, head, [*planes.values()], metas)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 12, len(data))
    data += struct.pack("<II", 3453623, len(planes))
    for at, (page, *_) in zip(planes, placed, strict=True):
        data += struct.pack("<5I", *at, page)
    path.write_bytes(data)
    return path


def axes(position: Any, time: int, channel: Any) -> dict[str, Any]:
    return {"position": position, "time": time, "channel": channel}


@pytest.mark.parametrize("ask", ["folder", "file"])
def test_an_ndtiff_folder(tmp_path: Path, ask: str) -> None:
    """Two files; the second position was stopped early, GFP recorded in every second frame."""
    planes = [
        (axes(p, t, c), 100 * p + 10 * t + k)
        for t in range(3)
        for p in range(2)
        for k, c in enumerate(("Phase", "GFP"))
        if not (p and t == 2) and not (k and t == 1)
    ]
    folder = write_ndtiff(
        tmp_path / "a", {"NDTiffStack.tif": planes[:4], "NDTiffStack_1.tif": planes[4:]}, {}
    )
    path = folder if ask == "folder" else folder / "NDTiffStack.tif"
    with fovflow.open_raw(path) as raw:
        info = raw.info
        assert (info.format, info.axes, info.n_frames) == ("ndtiff", "PTCYX", 3)
        assert [each.name for each in info.channels] == ["Phase", "GFP"]
        assert info.missing == ((1, 2),)
        assert info.missing_planes == ((0, 1, 1, 0), (1, 1, 1, 0))
        assert info.pixel_um == 0.65
        assert raw.times(0).seconds.tolist() == [0, 10, 20]
        assert raw.times(0).source == "measured"
        for at, value in planes:
            c = ["Phase", "GFP"].index(at["channel"])
            assert (raw.read(at["position"], at["time"], c) == value).all()
    assert [file.name for file in raw_files(path)] == [
        "NDTiff.index", "NDTiffStack.tif", "NDTiffStack_1.tif",
    ]  # fmt: skip


def test_an_ndtiff_index_that_leads_out_or_names_other_axes_is_refused(tmp_path: Path) -> None:
    folder = write_ndtiff(tmp_path / "a", {"NDTiffStack.tif": [(axes(0, 0, 0), 1)]}, {})
    index = (folder / "NDTiff.index").read_bytes()
    bad = index.replace(b"NDTiffStack.tif", b"../Stack123.tif")
    (folder / "NDTiff.index").write_bytes(bad)
    with pytest.raises(FovflowError, match="outside its own folder"):
        fovflow.open_raw(folder)
    (folder / "NDTiff.index").write_bytes(
        index.replace(b"channel", b"polariz").replace(b": 0}", b": 1}")
    )
    with pytest.raises(FovflowError, match="polariz"):
        fovflow.open_raw(folder)


def test_an_ndtiff_folder_of_which_a_file_is_lost(tmp_path: Path) -> None:
    planes = [(axes(0, t, 0), t + 1) for t in range(4)]
    files = {"NDTiffStack.tif": planes[:2], "NDTiffStack_1.tif": planes[2:3]}
    folder = write_ndtiff(tmp_path / "a", files | {"NDTiffStack_2.tif": planes[3:]}, {})
    (folder / "NDTiffStack_1.tif").unlink()
    with fovflow.open_raw(folder) as raw:
        assert (raw.info.n_frames, raw.info.missing) == (4, ((0, 2),))
        assert (raw.read(0, 3, 0) == 4).all()


def test_an_mmstack_without_ome(tmp_path: Path) -> None:
    """Channels run fastest, positions slowest: what the pages' order alone does not tell."""
    planes = {
        (c, 0, t, p): 1 + 100 * p + 10 * t + c for p in range(2) for t in range(3) for c in range(2)
    }
    summary = {
        "ChNames": ["Phase", "GFP"], "PixelSize_um": 0.5, "Interval_ms": 60000,
        "StagePositions": [{"Label": "A"}, {"Label": "B"}],
    }  # fmt: skip
    path = write_mmstack(tmp_path / "x_MMStack.tif", planes, summary)
    with fovflow.open_raw(path) as raw:
        info = raw.info
        assert (info.format, info.axes, info.n_frames) == ("mmstack", "PTCYX", 3)
        assert [each.name for each in info.positions] == ["A", "B"]
        assert [each.name for each in info.channels] == ["Phase", "GFP"]
        assert info.pixel_um == 0.5
        assert info.axes_from[0] == "index of Micro-Manager"
        for (c, _, t, p), value in planes.items():
            assert (raw.read(p, t, c) == value).all()
        assert raw.times(1).seconds.tolist() == [101, 111, 121]


def test_files_of_one_mmstack_belong_together(tmp_path: Path) -> None:
    for k in range(2):
        planes = {(0, 0, 2 * k + t, 0): 10 * k + t + 1 for t in range(2)}
        ending = f"_{k}" if k else ""
        write_mmstack(tmp_path / f"x_MMStack_Pos0{ending}.ome.tif", planes, {"ChNames": ["Phase"]})
    for path in (tmp_path / "x_MMStack_Pos0.ome.tif", tmp_path):
        with fovflow.open_raw(path) as raw:
            assert [int(raw.read(0, t, 0)[0, 0]) for t in range(4)] == [1, 2, 11, 12]


def test_an_mmstack_whose_acquisition_crashed_is_refused_by_name(tmp_path: Path) -> None:
    path = write_mmstack(tmp_path / "x_MMStack.tif", {(0, 0, t, 0): t + 1 for t in range(3)}, {})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 12, 0)
    path.write_bytes(data)
    with pytest.raises(FovflowError, match="layout of Micro-Manager") as caught:
        fovflow.open_raw(path)
    assert "axes" in str(caught.value)
    with fovflow.open_raw(path, axes="TYX") as raw:
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(3)] == [1, 2, 3]


def test_positions_that_were_never_recorded_keep_their_numbers(tmp_path: Path) -> None:
    planes = [({"position": p, "time": t}, 10 * p + t + 1) for p in (1, 3) for t in (0, 1)]
    with fovflow.open_raw(write_ndtiff(tmp_path / "a", {"s.tif": planes}, {})) as raw:
        assert (len(raw.info.positions), raw.info.n_frames) == (4, 2)
        assert {p for p, _ in raw.info.missing} == {0, 2}
        assert int(raw.read(3, 1, 0)[0, 0]) == 32
