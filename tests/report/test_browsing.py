"""What the report loads of an FOV: the numbers, pictures and outlines are those of the files."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from base64 import b64decode

import cv2
import numpy as np
import pytest

from fovflow.browsing import (
    Channel,
    numbers_script,
    picture_size,
    pictures_script,
    shown_frames,
)
from fovflow.stacks import StackReader


def told(script: str, kind: str):
    """Return dataset, FOV and content of a script, as a browser would take them."""
    assert script.isascii()
    assert "</" not in script
    assert script.endswith(");\n")
    text = script.removeprefix(f"fovflow.{kind}(").removesuffix(");\n")
    return json.loads(f"[{text}]")


class Unpacked:
    """The numbers of a script, unpacked as docs/report.md describes them."""

    def __init__(self, script: str):
        self.dataset, self.fov, self.about = told(script, "numbers")
        self._data = zlib.decompress(b64decode(self.about["data"]))
        m, n = self.about["cells"], self.about["rows"]
        self.cell = self._take("<u4", m)
        counts = self._take("<u2", m).astype(int)
        self.parent = self._take("<u4", m)
        begin = np.concatenate([[0], np.cumsum(counts)])
        self.of = np.repeat(np.arange(m), counts)
        self.frame = self._changes(begin[:-1], n)
        placed = np.isin(self.frame, self.about["shown"])
        placed[begin[:-1]] = placed[begin[1:] - 1] = True
        first = np.concatenate([[0], np.cumsum(placed)])[begin[:-1]]
        self.placed = placed
        self.x, self.y = (self._changes(first, int(placed.sum())) for _ in range(2))
        self.verdict = [self.about["verdicts"][k] for k in self._changes(begin[:-1], n)]
        self.confidence = self._take("u1", n)
        self.values = {}
        for name in self.about["columns"]:
            low, high = self._take("<f4", m), self._take("<f4", m)
            steps = self._changes(begin[:-1], n)
            value = low[self.of] + (high - low)[self.of] * (steps - 1) / 254
            self.values[name] = np.where(steps > 0, value, np.nan)
        assert not self._data

    def _take(self, kind: str, count: int) -> np.ndarray:
        size = np.dtype(kind).itemsize * count
        part, self._data = self._data[:size], self._data[size:]
        return np.frombuffer(part, kind)

    def _changes(self, first: np.ndarray, n: int) -> np.ndarray:
        low, high = self._take("u1", n).astype(int), self._take("u1", n).astype(int)
        code = low | high << 8
        change = np.where(code & 1, -(code + 1) // 2, code // 2)
        parts = np.split(change, first[1:]) if first.size else []
        return np.concatenate([np.cumsum(each) for each in parts]) if parts else np.zeros(0, int)


def tables(cells: int = 7, frames: int = 30, seed: int = 0):
    """Return traces in another order than by cell, with gaps and NaN, and links."""
    rng = np.random.default_rng(seed)
    cell, frame = (each.ravel() for each in np.meshgrid(np.arange(3, 3 + cells), np.arange(frames)))
    keep = rng.random(cell.size) > 0.2
    cell, frame = cell[keep] * 1000, frame[keep]
    value = rng.lognormal(5, 1, cell.size)
    value[rng.random(cell.size) < 0.1] = np.nan
    value[cell == 4000] = np.nan
    traces = {
        "cell": cell, "frame": frame, "good": rng.random(cell.size) > 0.3,
        "position_x": rng.uniform(0, 2000, cell.size), "position_y": rng.uniform(0, 9, cell.size),
        "flags": np.where(rng.random(cell.size) > 0.5, "gap;border", "").astype(object),
        "intensity_total_ch_1": value, "area_um2": np.full(cell.size, 12.5),
    }  # fmt: skip
    links = {
        "cell": cell, "frame": frame, "parent": np.where(cell == 5000, 3000, 0),
        "confidence": np.where(frame == 0, np.nan, rng.random(cell.size)),
    }  # fmt: skip
    return traces, links


def test_how_far_a_cell_reaches_is_told():
    traces, links = tables()
    for axis, sides in (("x", (4, 9.5)), ("y", (3, 2))):
        for end, side in enumerate(sides):
            place = traces[f"position_{axis}"]
            traces[f"bbox_{axis}{end}"] = place + (2 * end - 1) * side
    traces["bbox_y1"] += np.where((traces["cell"] == 4000) & (traces["frame"] == 7), 40, 0)
    about = {"scale": 0.5, "shown": [0]}
    got = Unpacked(numbers_script("a", 0, traces, links, columns=[], about=about))
    assert dict(zip(got.cell.tolist(), got.about["reach"], strict=True)) == {
        cell: 42 if cell == 4000 else 10 for cell in got.cell.tolist()
    }


def test_numbers_come_back_as_they_are_in_the_tables():
    traces, links = tables()
    columns = ["area_um2", "intensity_total_ch_1", "absent"]
    about = {"scale": 0.5, "shown": [0, 7, 29]}
    got = Unpacked(numbers_script("a b", 4, traces, links, columns=columns, about=about))
    order = np.lexsort((traces["frame"], traces["cell"]))
    cell = traces["cell"][order]
    assert (got.dataset, got.fov) == ("a b", 4)
    assert got.about["columns"] == columns[:2]
    assert got.cell[got.of].tolist() == cell.tolist()
    assert got.frame.tolist() == traces["frame"][order].tolist()
    assert got.parent[got.cell == 5000].tolist() == [3000]
    assert np.count_nonzero(got.parent) == 1
    assert got.about["reach"] == []
    for name, known in (("x", got.x), ("y", got.y)):
        place = traces[f"position_{name}"][order][got.placed]
        np.testing.assert_allclose(known, place * 0.5, atol=0.5)
    flags = traces["flags"][order].tolist()
    assert got.verdict == [[bool(g), f] for g, f in zip(traces["good"][order], flags, strict=True)]
    confidence = links["confidence"][order]
    known = got.confidence != 255
    assert known.tolist() == np.isfinite(confidence).tolist()
    np.testing.assert_allclose(got.confidence[known] / 20, confidence[known], atol=0.026)
    values = traces["intensity_total_ch_1"][order]
    found = got.values["intensity_total_ch_1"]
    assert np.isnan(found).tolist() == np.isnan(values).tolist()
    for each in np.unique(cell):
        own = values[cell == each]
        if np.isfinite(own).any():
            step = (np.nanmax(own) - np.nanmin(own)) / 254
            np.testing.assert_allclose(found[cell == each], own, atol=0.51 * step + 1e-3)
    assert (got.values["area_um2"] == 12.5).all()


def test_an_fov_without_cells_and_hostile_names_are_no_trouble():
    traces, links = tables()
    none = [{name: column[:0] for name, column in table.items()} for table in (traces, links)]
    about = {"scale": 1.0, "shown": []}
    script = numbers_script("</script>ä\u2028", 0, *none, columns=["area_um2"], about=about)
    got = Unpacked(script)
    assert got.dataset == "</script>ä\u2028"
    assert got.cell.size == got.frame.size == 0


def test_the_same_tables_give_the_same_bytes():
    made = [
        numbers_script("d", 0, *tables(), columns=["area_um2"], about={"scale": 1.0, "shown": [1]})
        for _ in range(2)
    ]
    assert made[0] == made[1]


def test_memory_of_numbers_is_a_few_columns_of_long_tables():
    cell, frame = np.divmod(np.arange(40_000), 400)
    flags = np.array(["", "min_frames;border;low_confidence;shading;crowded"], object)[frame % 2]
    place = {f"position_{axis}": cell + frame / 400 for axis in "xy"}
    traces = {"cell": cell, "frame": frame, "good": frame % 2 == 0, "flags": flags, **place}
    links = {"cell": cell, "frame": frame, "parent": 0 * cell, "confidence": place["position_x"]}
    tracemalloc.start()
    try:
        about = {"scale": 1.0, "shown": [0]}
        got = Unpacked(numbers_script("d", 0, traces, links, columns=["position_x"], about=about))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got.verdict[:2] == [[True, flags[0]], [False, flags[1]]]
    assert peak < 100 * cell.size, "bytes per row"


def test_frames_are_spread_evenly_and_the_last_is_among_them():
    assert shown_frames(range(100), 4) == [0, 25, 50, 99]
    assert shown_frames([2, 3, 9], 20) == [2, 3, 9]
    assert shown_frames([2, 3, 9], 1) == [9]
    assert shown_frames([], 5) == shown_frames(range(9), 0) == []


@pytest.mark.parametrize("shape", [(100, 140), (700, 90), (8, 8)])
def test_pictures_and_outlines_are_those_of_the_stacks(tmp_path, shape):
    height, width = shape
    ramp = np.linspace(500, 4000, width).astype(np.uint16)
    phase = np.tile(ramp, (3, height, 1))
    labels = np.zeros((3, height, width), np.uint32)
    labels[1, height // 4 : height // 2, width // 4 : width // 2] = 70_000
    labels[1, height // 2 :, : width // 2] = 3
    labels[1, -2:, -2:] = 3  # a second piece
    np.save(tmp_path / "phase.npy", phase)
    np.save(tmp_path / "labels.npy", labels)
    with (
        StackReader(tmp_path / "phase.npy") as images,
        StackReader(tmp_path / "labels.npy") as of_cells,
    ):
        channels = [Channel(0, "Phase <1>", "pc", images), Channel(1, "", "fl", images)]
        script = pictures_script("d", 3, channels, of_cells, frames=[1, 2], size_px=64)
    dataset, fov, got = told(script, "pictures")
    size = picture_size(shape, 64)
    assert (dataset, fov) == ("d", 3)
    assert (got["height"], got["width"]) == size
    assert max(size) <= 64
    assert got["frames"] == [1, 2]
    assert [each["name"] for each in got["channels"]] == ["Phase <1>", ""]
    for images_of in got["images"]:
        assert len(images_of) == 2
        picture = cv2.imdecode(np.frombuffer(b64decode(images_of[0]), np.uint8), -1)
        assert picture.shape == size
        across = picture.mean(axis=0)
        assert across[0] < 12
        assert across[-1] > 235
        assert (np.diff(across) > -6).all()
    drawn = np.zeros(size, np.int32)
    for label, points in outlines(got["outlines"][0]):
        cv2.fillPoly(drawn, [points], label)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, shape, strict=True)
    )
    expected = labels[1][np.ix_(rows, columns)]
    assert (drawn != expected).mean() < 0.02
    assert set(np.unique(drawn)) == set(np.unique(expected))
    assert list(outlines(got["outlines"][1])) == []


def test_a_long_straight_outline_keeps_its_form(tmp_path):
    labels = np.zeros((1, 400, 400), np.uint16)
    labels[0, 5:395, 5:395] = 1
    np.save(tmp_path / "labels.npy", labels)
    with StackReader(tmp_path / "labels.npy") as stack:
        script = pictures_script("d", 0, [], stack, frames=[0], size_px=4096)
    ((label, points),) = outlines(told(script, "pictures")[2]["outlines"][0])
    assert label == 1
    assert (np.abs(np.diff(points, axis=0)) <= 127).all()
    assert points.min(axis=0).tolist() == [5, 5]
    assert points.max(axis=0).tolist() == [394, 394]


def outlines(text: str):
    """Yield label and points of each outline of a frame."""
    data = zlib.decompress(b64decode(text))
    while data:
        low, high, count, x, y = np.frombuffer(data[:10], "<u2").astype(int).tolist()
        steps = np.frombuffer(data[10 : 8 + 2 * count], np.int8).reshape(-1, 2).astype(np.int32)
        yield low | high << 16, np.cumsum([[x, y], *steps.tolist()], axis=0).astype(np.int32)
        data = data[8 + 2 * count :]


def test_frames_that_a_channel_lacks_do_not_set_its_contrast(tmp_path):
    shade = np.linspace(100, 1100, 64 * 64).reshape(64, 64).astype(np.uint16)
    light = np.zeros((12, 64, 64), np.uint16)
    light[1::6] = shade
    np.save(tmp_path / "light.npy", light)
    np.save(tmp_path / "labels.npy", np.zeros((12, 64, 64), np.uint16))
    lacking = frozenset(t for t in range(12) if t % 6 != 1)
    with StackReader(tmp_path / "light.npy") as images, StackReader(tmp_path / "labels.npy") as of:
        channels = [Channel(0, "a", "pc", images, lacking), Channel(1, "b", "fl", images, lacking)]
        frames = [0, 1, 4, 7, 11]
        got = told(pictures_script("d", 0, channels, of, frames=frames, size_px=64), "pictures")[2]
    assert [each["missing"] for each in got["channels"]] == [[0, 4, 11]] * 2
    for images_of, middle in zip(got["images"], (128, 0), strict=True):
        picture = cv2.imdecode(np.frombuffer(b64decode(images_of[1]), np.uint8), -1)
        assert abs(int(np.median(picture)) - middle) < 12
        assert picture[-1, -1] > 235
