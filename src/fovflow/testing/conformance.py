"""Conformance suites of readers, segmenters, correctors, trackers and features.

They hold what depends on the part itself. Each check is named by the sentence that it shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

import fovflow
from fovflow.background import BackgroundStats, Corrector, get_corrector
from fovflow.errors import FovflowError
from fovflow.features import Feature, find_features, get_extractor
from fovflow.readers import RawReader
from fovflow.segmentation import FrameStats, get_segmenter
from fovflow.simulation import Movie, MovieParams, simulate
from fovflow.tracking import COLUMNS, Tracker, get_tracker

Array = NDArray[Any]


@cache
def _movie(frames: int, height: int, width: int, cells: int) -> Movie:
    """Return a movie: dark cells on a bright channel 0, bright ones on channel 1."""
    return simulate(MovieParams(seed=3, frames=frames, height=height, width=width, cells=cells))


def digest(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's bytes: where they differ, the report stays short."""
    return hashlib.sha256(array.tobytes()).hexdigest()


class ReaderConformance:
    """A reader, tried on a file of known content; a subclass brings `make_file`."""

    pixels: Array
    """(T, P, C, Y, X), what is in the file."""
    seconds: Array
    """(T, P) times, NaN where unknown."""
    facts: Mapping[str, Any]
    """``format``, ``pixel_um``, ``time_source``, ``channels`` (list of names) and ``positions``
    (list of x in µm, y in µm, name), as the file has them."""

    def make_file(self, folder: Path) -> Path:
        """Return the path of a file or folder of these pixels, made in `folder` or kept."""
        raise NotImplementedError

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Return such a file."""
        return self.make_file(tmp_path)

    def test_pixels_are_the_same_bytes_in_any_order(self, path: Path) -> None:
        every = list(np.ndindex(self.pixels.shape[:3]))
        shuffled = np.random.default_rng(0).permutation(every).tolist()
        with fovflow.open_raw(path) as raw:
            for t, p, c in (*every, *shuffled):
                plane, expected = raw.read(p, t, c), self.pixels[t, p, c]
                assert (plane.dtype, plane.shape) == (expected.dtype, expected.shape)
                assert digest(plane) == digest(expected)

    def test_threads_may_read_at_once(self, path: Path) -> None:
        every = list(np.ndindex(self.pixels.shape[:3])) * 3
        with fovflow.open_raw(path) as raw, ThreadPoolExecutor(8) as pool:
            planes = pool.map(lambda place: raw.read(place[1], place[0], place[2]), every)
            for (t, p, c), plane in zip(every, planes, strict=True):
                assert digest(plane) == digest(self.pixels[t, p, c])

    def test_planes_are_plain_arrays_of_their_own(self, path: Path) -> None:
        last: Any = np.int64(len(self.pixels) - 1)
        with fovflow.open_raw(path) as raw:
            plane = raw.read(0, last, 0)
            assert plane.flags.c_contiguous
            assert plane.flags.writeable
            assert plane.dtype.isnative
            before = plane.copy()
            plane[:] = 0
            np.testing.assert_array_equal(raw.read(0, last, 0), before)

    def test_what_the_file_says(self, path: Path) -> None:
        with fovflow.open_raw(path) as raw:
            info = raw.info
            times = [raw.times(p) for p in range(len(info.positions))]
        t, p, c, height, width = self.pixels.shape
        assert (info.n_frames, len(info.positions), len(info.channels), info.n_z) == (t, p, c, 1)
        assert (info.height, info.width, info.dtype) == (height, width, self.pixels.dtype.name)
        assert [channel.index for channel in info.channels] == list(range(c))
        assert [position.index for position in info.positions] == list(range(p))
        assert set("TCYX") <= set(info.axes)
        assert info.missing == ()
        assert info.pixel_um == pytest.approx(self.facts["pixel_um"], rel=1e-6)
        assert {
            "format": info.format,
            "pixel_um": self.facts["pixel_um"],
            "time_source": info.time_source,
            "channels": [channel.name for channel in info.channels],
            "positions": [(each.x_um, each.y_um, each.name) for each in info.positions],
        } == self.facts
        assert {each.source for each in times} == {info.time_source}
        assert {each.seconds.dtype for each in times} == {np.dtype(np.float64)}
        seconds = np.stack([each.seconds for each in times], axis=1)
        np.testing.assert_allclose(seconds, self.seconds, rtol=0, atol=1e-9)

    def test_what_the_user_says_wins(self, path: Path) -> None:
        with fovflow.open_raw(path, pixel_um=1.25, interval_s=60) as raw:
            assert (raw.info.pixel_um, raw.info.time_source) == (1.25, "config")
            for p in range(len(raw.info.positions)):
                times = raw.times(p)
                assert times.source == "config"
                np.testing.assert_array_equal(times.seconds, 60 * np.arange(len(self.pixels)))
            assert not any("times" in text for text in raw.info.warnings)

    def test_indices_outside_the_file(self, path: Path) -> None:
        t, p, c = self.pixels.shape[:3]
        half: Any = 0.5
        outside = ((p, 0, 0), (-1, 0, 0), (0, t, 0), (0, -1, 0), (0, 0, c), (0, 0, -1))
        with fovflow.open_raw(path) as raw:
            for bad in (*outside, (0, 0, 0, raw.info.n_z)):
                with pytest.raises(IndexError):
                    raw.read(*bad)
            for position in (-1, p):
                with pytest.raises(IndexError):
                    raw.times(position)
            with pytest.raises(TypeError):
                raw.read(half, 0, 0)

    def test_closing(self, path: Path) -> None:
        before = _open_files()
        raw = fovflow.open_raw(path)
        assert isinstance(raw, RawReader)
        raw.read(0, 0, 0)
        raw.close()
        raw.close()
        assert raw.info.n_frames == len(self.pixels)
        for use, indices in ((raw.read, (0, 0, 0)), (raw.times, (0,))):
            with pytest.raises(ValueError, match="closed"):
                use(*indices)
        with pytest.raises(IndexError), fovflow.open_raw(path) as raw:
            raw.read(0, len(self.pixels), 0)
        assert _open_files() == before


def _open_files() -> list[tuple[str, int]]:
    return [(file.path, file.fd) for file in psutil.Process().open_files()]


class SegmenterConformance:
    """A segmenter by its name in ``segment: method``, with the parameters that it is given."""

    method: str
    parameters: Mapping[str, Any] = {}

    @property
    def frame(self) -> Array:
        """A phase-contrast frame of five cells, darker than the background, uint16."""
        return np.asarray(_movie(1, 160, 200, 5).frame(0, 0)[0])

    def segment(self, image: Array, **options: Any) -> tuple[Array, FrameStats]:
        """Segment one frame, 0.65 µm per pixel, and check what holds for any."""
        segmenter = get_segmenter(self.method, pixel_um=0.65, **self.parameters)
        labels, stats = segmenter(image, **options)
        assert labels.dtype == np.uint16
        assert labels.shape == image.shape
        ids, first = np.unique(labels, return_index=True)
        in_order = ids[np.argsort(first)]
        assert in_order[in_order > 0].tolist() == list(range(1, int(labels.max()) + 1))
        assert stats.foreground_fraction <= 1
        assert isinstance(stats.flag, str)
        return labels, stats

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_cells_are_found_in_frames_of_any_type(self, dtype: Any) -> None:
        image = self.frame // 16 if dtype == np.uint8 else self.frame
        assert 1 <= self.segment(image.astype(dtype))[0].max() <= 20

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    @pytest.mark.parametrize("value", [0, 7, 255])
    def test_a_constant_frame_has_no_objects(self, dtype: Any, value: int) -> None:
        assert self.segment(np.full((40, 50), value, dtype))[0].max() == 0

    def test_background_alone_gives_hardly_anything(self) -> None:
        noise = np.random.default_rng(0).normal(1000, 10, (256, 256))
        labels, _ = self.segment(np.rint(noise).astype(np.uint16))
        assert np.count_nonzero(labels) < 0.002 * labels.size

    @pytest.mark.parametrize("shape", [(8, 8), (9, 31), (1, 1), (1, 40), (33, 2), (127, 65)])
    def test_tiny_and_odd_sizes(self, shape: tuple[int, int]) -> None:
        image = np.rint(np.random.default_rng(3).normal(1000, 10, shape)).astype(np.uint16)
        image[: shape[0] // 2, : shape[1] // 2] -= 300
        self.segment(image)

    def test_bright_saturated_and_missing_frames(self) -> None:
        self.segment(_movie(1, 160, 200, 5).frame(0, 0)[1])
        labels, stats = self.segment(self.frame, missing=True)
        assert (labels.max(), stats.flag) == (0, "missing")
        image = self.frame
        image[:, 100:] = 65535
        self.segment(image)

    def test_pixels_that_are_not_finite(self) -> None:
        image = self.frame.astype(np.float32)
        image[5, 5], image[80, 100], image[110, 60] = np.nan, np.inf, -np.inf
        self.segment(image)
        assert self.segment(np.full((20, 20), np.nan, np.float32))[0].max() == 0

    def test_same_input_same_labels_whatever_the_threads(self) -> None:
        before, found = cv2.getNumThreads(), []
        try:
            for threads in (1, 2, 7):
                cv2.setNumThreads(threads)
                labels, stats = self.segment(self.frame)
                found.append((digest(labels), stats))
        finally:
            cv2.setNumThreads(before)
        assert found[0] == found[1] == found[2]

    def test_frames_are_not_altered_and_may_be_read_only_or_views(self) -> None:
        image = self.frame.astype(np.float32)
        image[4, 4] = np.nan
        before = digest(image)
        image.flags.writeable = False
        labels, _ = self.segment(image)
        assert digest(image) == before
        assert np.array_equal(self.segment(np.repeat(image, 2, axis=1)[:, ::2])[0], labels)


class CorrectorConformance:
    """A background corrector by its name in ``correct: method``, with its parameters."""

    method: str
    parameters: Mapping[str, Any] = {}
    shape = (300, 340)

    def make(self) -> Corrector:
        """Return a fresh corrector."""
        return get_corrector(self.method, shape=self.shape, **self.parameters)

    @property
    def image(self) -> Array:
        """A frame of twelve cells on an uneven background."""
        return np.asarray(_movie(1, *self.shape, 12).frame(0, 0)[1])

    @property
    def labels(self) -> Array:
        """The masks of these cells."""
        return _movie(1, *self.shape, 12).masks(0, 0)

    def test_a_frame_is_corrected_plus_background(self) -> None:
        image, labels, corrector = self.image, self.labels, self.make()
        corrected, stats = corrector(image, labels)
        for array in (corrected, corrector.background):
            assert array.dtype == np.float32
            assert array.shape == self.shape
            assert np.isfinite(array).all()
        np.testing.assert_allclose(corrected + corrector.background, image, atol=1e-3)
        with pytest.raises(ValueError, match="read-only"):
            corrector.background[0, 0] = 1
        assert np.array_equal(image, self.image)
        assert np.array_equal(labels, self.labels)
        assert isinstance(stats, BackgroundStats)

    def test_same_input_gives_same_bytes_and_later_frames_change_nothing(self) -> None:
        image, labels, first = self.image, self.labels, self.make()
        early, _ = first(image, labels)
        kept = digest(early)
        first(image // 2, np.ones_like(labels) * (np.arange(self.shape[1]) < 200))
        assert digest(early) == kept
        out = np.empty(self.shape, np.float32)
        assert self.make()(image, labels, out=out)[0] is out
        assert digest(out) == kept

    def test_a_model_makes_the_frame_again_byte_for_byte(self) -> None:
        image, labels, corrector, other = self.image, self.labels, *self._two()
        expected = corrector(image, labels)[0].copy()
        if not hasattr(corrector, "remake"):
            pytest.skip(f"{self.method} gives no model: the pipeline keeps its corrected frames")
        model = np.array(corrector.model)
        assert model.ndim == 1
        assert model.dtype == np.float64
        corrector(image // 2, labels)
        assert np.array(corrector.model).shape == model.shape
        out = np.empty(self.shape, np.float32)
        assert other.remake(image, model, out=out) is out
        assert digest(out) == digest(expected)
        at = np.flatnonzero(labels)
        found = other.remake(image.reshape(-1)[at], model, at=at)
        assert digest(found) == digest(expected.flat[at])

    def _two(self) -> tuple[Any, Any]:
        return self.make(), self.make()

    def test_types_and_layouts_of_frames_and_labels_agree(self) -> None:
        image, labels = np.minimum(self.image // 4, 255), self.labels
        expected, _ = self.make()(image, labels > 0)
        for dtype in (np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64):
            corrected, _ = self.make()(image.astype(dtype), labels)
            np.testing.assert_allclose(corrected, expected, atol=0.2)
        for kind in (np.uint8, np.uint16, np.uint32, np.int64, np.bool_):
            columns_first = np.asfortranarray(labels.astype(kind))
            assert np.array_equal(self.make()(image, columns_first)[0], expected)
        view = np.repeat(image, 2, axis=1)[:, ::2]
        assert np.array_equal(self.make()(view, labels)[0], expected)

    def test_no_labels_means_no_cells(self) -> None:
        expected, stats = self.make()(self.image, np.zeros(self.shape, np.uint16))
        assert np.array_equal(self.make()(self.image)[0], expected)
        assert stats.excluded_fraction == 0

    def test_only_pixels_that_were_not_finite_stay_so(self) -> None:
        whole, _ = self.make()(self.image.astype(np.float32), self.labels)
        holes = self.image.astype(np.float32)
        holes[40:60, 70:75] = np.nan
        holes[100, 100], holes[101, 100] = np.inf, -np.inf
        corrected, stats = self.make()(holes, self.labels)
        assert stats.flag == "nan"
        seen = np.isfinite(holes)
        assert np.array_equal(np.isfinite(corrected), seen)
        assert np.abs(corrected[seen] - whole[seen]).max() < 1.5

    def test_statistics(self) -> None:
        corrector = self.make()
        corrected, stats = corrector(self.image, self.labels)
        near = cv2.dilate((self.labels > 0).astype(np.uint8), np.ones((21, 21), np.uint8))
        rest = corrected[near == 0]
        spread = 1.4826 * np.median(np.abs(rest - np.median(rest)))
        assert stats.noise_sigma == pytest.approx(spread, rel=0.05)
        assert stats.background_level == pytest.approx(np.median(corrector.background), abs=0.5)
        assert 0 < stats.excluded_fraction < 0.5
        assert (stats.n_empty_tiles, stats.flag) == (0, "")

    def test_frames_and_labels_of_another_shape_are_refused(self) -> None:
        for pair in ((self.image[1:], self.labels), (self.image, self.labels[1:])):
            with pytest.raises(FovflowError, match="another shape"):
                self.make()(*pair)


def check_lineage(stack: Array, labeled: Array, links: Mapping[str, Array]) -> None:
    """Assert what holds for the cells that any tracker makes of a (T, Y, X) stack of labels.

    `labeled` and `links` are what `fovflow.track_stack` returns.
    """
    assert labeled.shape == stack.shape
    assert labeled.dtype == np.uint16
    assert list(links) == list(COLUMNS)
    assert all(links[name].dtype == kind for name, kind in COLUMNS.items())
    assert len({column.size for column in links.values()}) == 1
    cell, frame, previous = links["cell"], links["frame"], links["previous_frame"]
    np.testing.assert_array_equal(np.lexsort((frame, cell)), np.arange(cell.size))
    ids = set(range(1, int(cell.max(initial=0)) + 1))
    assert set(cell.tolist()) == set(np.unique(labeled).tolist()) - {0} == ids
    rows = list(zip(frame.tolist(), links["label"].tolist(), cell.tolist(), strict=True))
    own = {(t, label): c for t, label, c in rows}
    whole = {(t, c) for t, _, c in rows}
    assert len(own) == len(whole) == cell.size
    for t, plane in enumerate(stack):
        assert not labeled[t][plane == 0].any()
        for label in np.unique(plane[plane > 0]).tolist():
            (c,) = np.unique(labeled[t][plane == label]).tolist()
            # An object without a row is a piece of a cell that has one in this frame, or no cell.
            assert own.get((t, label), c) == c
            assert c == 0 or (t, c) in whole
    first = np.r_[True, cell[1:] != cell[:-1]] if cell.size else np.zeros(0, bool)
    assert (links["parent"][~first] == 0).all()
    assert (links["parent"] < cell).all()
    np.testing.assert_array_equal(previous[~first], frame[:-1][~first[1:]])
    births = previous < 0
    np.testing.assert_array_equal(births, first & (links["parent"] == 0))
    np.testing.assert_array_equal(links["gap"], np.where(births, 0, frame - previous - 1))
    for name in ("iou", "confidence"):
        known = links[name][~np.isnan(links[name])]
        assert ((known >= 0) & (known <= 1)).all()
    starts = [
        (int(t), int(np.flatnonzero(stack[t].ravel() == label)[0]))
        for label, t in zip(links["label"][first], frame[first], strict=True)
    ]
    assert starts == sorted(starts)


class TrackerConformance:
    """A tracker by its name in ``track: method``, with the parameters that it is given."""

    method: str
    parameters: Mapping[str, Any] = {}

    def make(self) -> Tracker:
        """Return a fresh tracker for 1 µm per pixel."""
        return get_tracker(self.method, pixel_um=1.0, **self.parameters)

    def track(self, stack: Array) -> tuple[Array, dict[str, Array]]:
        """Track a stack and check what holds for any."""
        options: dict[str, Any] = {"method": self.method, "pixel_um": 1.0, **self.parameters}
        labeled, links = fovflow.track_stack(stack, **options)
        check_lineage(stack, labeled, links)
        return labeled, links

    @property
    def stack(self) -> Array:
        """Masks of sixteen cells in ten frames, each missed in one frame out of twenty."""
        stack = np.stack([_movie(10, 256, 256, 16).masks(0, t) for t in range(10)])
        rng = np.random.default_rng(0)
        for plane in stack:
            plane[np.isin(plane, np.flatnonzero(rng.random(17) < 0.05))] = 0
        return stack

    @pytest.mark.parametrize("seed", range(20))
    def test_any_stack_gives_a_consistent_lineage(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers((0, 1, 1), (6, 7, 9)))
        self.track(rng.choice(np.array([0, 0, 0, 1, 2, 5], np.uint16), shape))

    def test_the_same_stack_gives_the_same_bytes_and_permuted_labels_the_same_cells(self) -> None:
        stack, rng = self.stack, np.random.default_rng(1)
        labeled, links = self.track(stack)
        np.testing.assert_array_equal(stack, self.stack)
        again, links_again = self.track(stack)
        tables = [np.r_[0, 1 + rng.permutation(50)].astype(np.uint16) for _ in stack]
        permuted = np.stack([table[plane] for table, plane in zip(tables, stack, strict=True)])
        other, links_other = self.track(permuted)
        assert digest(labeled) == digest(again) == digest(other)
        for name in COLUMNS:
            assert digest(links_again[name]) == digest(links[name])
            if name != "label":
                np.testing.assert_array_equal(links_other[name], links[name])

    def test_one_frame_frames_without_cells_and_no_frame(self) -> None:
        stack = np.zeros((1, 80, 80), np.uint16)
        stack[0, 40:45, 3:8], stack[0, 2:7, 30:35] = 7, 3
        labeled, links = self.track(stack)
        assert (labeled[0, 3, 31], labeled[0, 41, 4]) == (1, 2)
        assert links["label"].tolist() == [3, 7]
        for frames in (0, 1, 5):
            labeled, links = self.track(np.zeros((frames, 8, 8), np.uint16))
            assert not labeled.any()
            assert all(column.size == 0 for column in links.values())
        lineage = self.make().finish()
        assert (lineage.n_cells, lineage.lut(0).tolist()) == (0, [0])
        assert all(column.size == 0 for column in lineage.links.values())

    def test_a_missing_acquisition_is_left_out(self) -> None:
        tracker, frame = self.make(), np.zeros((80, 80), np.uint16)
        frame[5:14, 5:14] = 1
        tracker.add(3, frame)
        tracker.add(6, 2 * np.roll(frame, 1, axis=0))
        lineage = tracker.finish()
        found = {name: column.tolist() for name, column in lineage.links.items()}
        assert (found["cell"], found["frame"]) == ([1, 1], [3, 6])
        assert (found["previous_frame"], found["gap"]) == ([-1, 3], [0, 0])
        assert lineage.lut(6).tolist() == [0, 0, 1]

    def test_mistakes_are_told(self) -> None:
        tracker, frame = self.make(), np.zeros((4, 4), np.uint16)
        tracker.add(2, frame)
        for t, wrong, message in (
            (2, frame, "was added after frame 2"),
            (1, frame, "was added after frame 2"),
            (3, frame[:, 1:], "another shape"),
            (3, frame.astype(np.float32), "label frames"),
        ):
            with pytest.raises(FovflowError, match=message):
                tracker.add(t, wrong)


class FeatureConformance:
    """A feature by its name under ``extract: features``, on the cases where features go wrong."""

    kind: Any
    """``pc`` or ``fl``: where the configuration names it."""
    name: str
    needs_contrast: bool = False
    """Whether it is NaN where a cell has no contrast, as in a single pixel at the edge."""
    shape = (24, 31)

    @property
    def feature(self) -> Feature:
        """The feature itself."""
        return find_features(self.kind, [self.name])[0]

    def measure(self, labels: Array, image: Array | None = None, **options: Any) -> Array:
        """Return the feature of each cell of a frame."""
        if image is None:
            image = np.random.default_rng(1).integers(50, 90, self.shape).astype(np.uint16)
        features = {"pc": [], "fl": [], self.kind: [self.name]}
        extractor = get_extractor(fov=0, pc=0, fl=[1], time=[0], features=features, **options)
        extractor.add(0, labels, image, {1: (image, image.astype(np.float32) - 20)})
        table = extractor.finish()
        assert table["cell"].tolist() == np.unique(labels[labels > 0]).tolist()
        values: Array = table[f"{self.name}_ch_{0 if self.kind == 'pc' else 1}"]
        assert values.dtype == self.feature.dtype
        return values

    def disk(self, y: int, x: int, radius: float, cell: int = 1) -> Array:
        """Return a frame with a round cell, which the edge may cut; one pixel for radius 0."""
        rows, columns = np.ogrid[: self.shape[0], : self.shape[1]]
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        return np.asarray(np.where(inside, cell, 0), np.uint16)

    @property
    def pair(self) -> Array:
        """A frame with the cells 1 and 2."""
        return np.maximum(self.disk(7, 7, 4), self.disk(16, 20, 5, 2))

    def test_it_says_what_it_is(self) -> None:
        feature = self.feature
        assert feature.name.isidentifier()
        assert feature.name == feature.name.lower()
        assert feature.unit in {"px", "counts", "1", "degrees"}
        assert feature.description.endswith(".")
        assert "\n" not in feature.description

    def test_cells_at_the_edge_have_a_finite_number(self) -> None:
        for place in ((0, 0), (0, 15), (23, 30), (12, 0), (12, 30), (23, 4), (23, 15)):
            assert np.isfinite(self.measure(self.disk(*place, 6, 5))).all(), place
            (pixel,) = self.measure(self.disk(*place, 0))
            without_neighbour = self.needs_contrast and place == (23, 30)
            assert np.isfinite(pixel) or without_neighbour, place

    def test_frames_without_cells_and_without_background(self) -> None:
        assert self.measure(np.zeros(self.shape, np.uint16)).size == 0
        assert np.isfinite(self.measure(np.ones(self.shape, np.uint16))).all()

    def test_ids_and_other_cells_do_not_change_values(self) -> None:
        values = self.measure(self.pair)
        assert digest(values) == digest(self.measure(self.pair))
        assert values[0] == self.measure(self.disk(7, 7, 4))[0]
        for dtype, last in ((np.uint16, 65001), (np.uint32, 70001), (np.int64, 70001)):
            ids: Array = np.array([0, 41, last], dtype)
            assert digest(self.measure(ids[self.pair])) == digest(values)

    def test_constant_frames_are_no_trouble(self) -> None:
        for value in (0, 7, 65535):
            image = np.full(self.shape, value, np.uint16)
            (found,) = self.measure(self.disk(12, 12, 6, 3), image)
            assert np.isfinite(found) or self.needs_contrast

    def with_invalid_pixels(self) -> tuple[Array, Array]:
        """Return usual values, and those where cell 1 is all NaN and cell 2 has an infinity."""
        image = np.random.default_rng(1).integers(50, 90, self.shape).astype(np.float32)
        usual = self.measure(self.pair, image)
        image[self.pair == 1] = np.nan
        image[16, 20], image[0, 0] = np.inf, -np.inf
        return usual, self.measure(self.pair, image)

    def test_invalid_pixels_do_not_spread(self) -> None:
        assert np.isfinite(self.with_invalid_pixels()[1][1])

    def test_a_cell_without_valid_pixels_has_no_number(self) -> None:
        usual, values = self.with_invalid_pixels()
        assert np.isnan(values[0]) or values[0] == usual[0]
