"""The other methods, the registry, and the parameter models."""

import dataclasses
import inspect
import itertools
import subprocess
import sys
import threading
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from segmentation.scenes import PIXEL_UM, bright_discs, ellipses, phase

import fovflow.plugins
from fovflow.accuracy import seg_score
from fovflow.config import section as sections
from fovflow.config.methods import (
    SEGMENTERS,
    CellposeSegment,
    ClassicSegment,
    LogStdSegment,
)
from fovflow.errors import ConfigError, FovflowError
from fovflow.segmentation import get_segmenter, segment_frames, segment_stack
from fovflow.segmentation.cellpose import CellposeSegmenter
from fovflow.segmentation.frames import Frame, FrameSegmenter, FrameStats
from fovflow.segmentation.stack import takes_many
from fovflow.segmentation.threshold import li_threshold, otsu_threshold

NUCLEI = [(30, 30, 9, 9), (30, 47, 9, 9), (100, 60, 10, 12), (120, 150, 9, 11)]


@pytest.mark.parametrize("rule", ["otsu", "li"])
def test_bright_nuclei_are_found_and_split(rule):
    truth = ellipses(NUCLEI)
    labels, stats = get_segmenter("threshold", pixel_um=PIXEL_UM, rule=rule)(bright_discs(truth))
    assert labels.max() == 4
    assert stats.n_split == 2
    assert 230 < stats.threshold < 900
    assert stats.mode == pytest.approx(200, abs=5)
    assert seg_score(truth, labels) > {"otsu": 0.85, "li": 0.7}[rule]


def test_fixed_threshold_by_hand():
    image = np.zeros((9, 9), np.uint16)
    image[1:4, 1:4] = 50
    image[6:8, 5:9] = 51
    segmenter = get_segmenter(
        "threshold", pixel_um=1.0, rule="fixed", level=50.0, smooth_um=0.0, min_area_um2=1.0
    )
    labels, stats = segmenter(image)
    assert stats.threshold == 50.0
    assert np.argwhere(labels).tolist() == [[r, c] for r in (6, 7) for c in (5, 6, 7, 8)]
    dark = get_segmenter(
        "threshold",
        pixel_um=1.0,
        rule="fixed",
        level=50.5,
        dark=True,
        smooth_um=0.0,
        min_area_um2=1.0,
        max_hole_um2=0.0,
    )
    labels, stats = dark(image)
    assert stats.threshold == 50.5
    assert np.array_equal(labels > 0, image < 50.5)


def test_noise_alone_is_no_signal():
    image = np.random.default_rng(0).normal(200, 9, (128, 128)).astype(np.uint16)
    labels, stats = get_segmenter("threshold", pixel_um=PIXEL_UM)(image)
    assert labels.max() == 0
    assert stats.flag == "no signal"


def test_a_threshold_within_four_spreads_of_the_background_is_no_signal():
    rng = np.random.default_rng(0)
    noise = rng.normal(200, 10, (128, 128))
    noise[:, 100:] += 30
    for added, flag in ((0, "no signal"), (200, "")):
        noise[:, 100:] += added
        segmenter = get_segmenter("threshold", pixel_um=PIXEL_UM, smooth_um=0.0)
        _, stats = segmenter(noise.astype(np.uint16))
        assert (stats.flag, stats.threshold > stats.mode + stats.sigma) == (flag, True)


def test_a_frame_is_smoothed_as_if_mirrored_with_its_border():
    image = np.zeros((30, 30), np.uint16)
    image[0] = 100  # 0.64 of it stays with the border mirrored, 0.40 if it stood once
    params = {"pixel_um": 1.0, "rule": "fixed", "min_area_um2": 1.0}
    for smooth, level, found in ((1.0, 55.0, 30), (1.0, 70.0, 0), (0.6, 80.0, 30), (0.6, 95.0, 0)):
        labels, _ = get_segmenter("threshold", smooth_um=smooth, level=level, **params)(image)
        assert np.count_nonzero(labels) == found


@pytest.mark.parametrize(
    ("counts", "edge"), [([5, 4, 0, 1], 2.0), ([1, 0, 4, 5], 1.0), ([4, 4, 0, 0, 2, 2], 2.0)]
)
def test_otsu_by_hand(counts, edge):
    """A class may hold one pixel."""
    assert otsu_threshold(np.array(counts)) == edge


def test_li_is_where_its_definition_stands_still():
    rng = np.random.default_rng(5)
    counts = np.bincount(
        np.concatenate([rng.normal(60, 9, 3000), rng.normal(170, 20, 1000)]).astype(int)
    )
    found, centres = li_threshold(counts), np.arange(counts.size) + 0.5
    low, high = (np.average(centres[part], weights=counts[part])
                 for part in (centres <= found, centres > found))  # fmt: skip
    assert found == pytest.approx((high - low) / np.log(high / low), abs=2e-3)
    assert li_threshold(np.array([0, 0, 7])) == 2.5


def test_holes_are_filled_up_to_their_limit():
    image = np.zeros((40, 40), np.uint8)
    image[5:30, 5:30] = 200
    image[10:14, 10:14] = 0
    image[18:26, 18:26] = 0
    params = {"pixel_um": 1.0, "smooth_um": 0.0, "rule": "fixed", "level": 100.0}
    labels, _ = get_segmenter("threshold", max_hole_um2=20.0, **params)(image)
    assert labels[12, 12] == 1
    assert labels[20, 20] == 0


def test_otsu_against_scikit_image():
    from skimage.filters import threshold_otsu

    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(60, 9, 3000), rng.normal(170, 20, 1000)])
    counts, edges = np.histogram(values, 256, (0, 256))
    expected = threshold_otsu(hist=(counts, (edges[:-1] + edges[1:]) / 2))
    assert otsu_threshold(counts) == pytest.approx(expected + 0.5)


def test_li_against_scikit_image():
    from skimage.filters import threshold_li

    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(60, 9, 3000), rng.normal(170, 20, 1000)])
    counts, edges = np.histogram(values, 1024)
    threshold = edges[0] + (edges[1] - edges[0]) * li_threshold(counts)
    assert threshold == pytest.approx(threshold_li(values), abs=1.0)


class Network:
    """Stands for a Cellpose model."""

    def __init__(self, labels):
        self.labels = labels
        self.options = None

    def eval(self, image, **options):
        self.options = options
        return self.labels, [], np.zeros(3)


def test_cellpose_labels_are_limited_and_numbered():
    found = np.zeros((60, 60), np.int32)
    found[40:55, 5:20] = 1
    found[5:20, 30:45] = 9
    found[30, 30] = 4
    network = Network(found)
    settings = CellposeSegment(diameter_um=10.0, min_area_um2=20.0)
    segmenter = CellposeSegmenter(settings, pixel_um=0.5, network=network)
    labels, stats = segmenter(bright_discs(ellipses([(10, 10, 5, 5)], (60, 60))))
    assert np.array_equal(labels, np.select([found == 9, found == 1], [1, 2]))
    assert stats.n_objects == 2
    assert stats.foreground_fraction == 450 / 3600
    assert network.options["diameter"] == 20.0


def test_cellpose_with_labels_of_another_shape():
    segmenter = CellposeSegmenter(
        CellposeSegment(), pixel_um=0.5, network=Network(np.zeros((3, 60, 60), int))
    )
    with pytest.raises(FovflowError, match="do not fit the frame"):
        segmenter(bright_discs(ellipses([(10, 10, 5, 5)], (60, 60))))


def test_cellpose_with_too_many_objects():
    found = np.arange(300 * 300).reshape(300, 300)
    segmenter = CellposeSegmenter(
        CellposeSegment(min_area_um2=0.0), pixel_um=1.0, network=Network(found)
    )
    with pytest.raises(FovflowError, match="more objects than the 65535"):
        segmenter(np.arange(90_000, dtype=np.float32).reshape(300, 300))


def test_cellpose_never_downloads_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="not on this machine") as caught:
        get_segmenter("cellpose", pixel_um=0.5)
    assert "allow_download: true" in str(caught.value)


def test_cellpose_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cellpose", None)
    monkeypatch.setitem(sys.modules, "cellpose.models", None)
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    (tmp_path / "cyto3").write_bytes(b"weights")
    for params in ({}, {"model": str(tmp_path / "cyto3")}, {"model": "x", "allow_download": True}):
        with pytest.raises(ConfigError, match="needs the package cellpose") as caught:
            get_segmenter("cellpose", pixel_um=0.5, **params)
        assert 'pip install "fovflow[cellpose]"' in str(caught.value)


def test_cellpose_is_loaded_from_the_weights_on_this_machine(tmp_path, monkeypatch):
    import types

    loaded = {}

    class CellposeModel:
        def __init__(self, **options):
            loaded.update(options)

        def eval(self, image, **options):
            return np.ones(image.shape, np.int32), [], []

    stub = types.ModuleType("cellpose.models")
    stub.CellposeModel = CellposeModel
    monkeypatch.setitem(sys.modules, "cellpose", types.ModuleType("cellpose"))
    monkeypatch.setitem(sys.modules, "cellpose.models", stub)
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    (tmp_path / "cyto3").write_bytes(b"weights")
    labels, stats = get_segmenter("cellpose", pixel_um=1.0)(
        np.arange(400, dtype=np.uint16).reshape(20, 20)
    )
    assert loaded == {"gpu": False, "pretrained_model": str(tmp_path / "cyto3")}
    assert labels.min() == 1
    assert stats.flag == "all foreground"


def test_a_plug_in_that_returns_no_labels(monkeypatch):
    def factory(*, pixel_um, answer):
        return lambda image: (answer, None)

    monkeypatch.setattr(EntryPoint, "load", lambda self: factory)
    entry = EntryPoint("mine", "mine:factory", "fovflow.segmenters")
    monkeypatch.setattr(fovflow.plugins, "entry_points", lambda group: [entry])
    image = np.zeros((4, 4), np.uint16)
    for answer in (np.zeros((4, 4)), np.zeros((3, 4), int), np.full((4, 4), -1)):
        with pytest.raises(FovflowError, match="plug-in segmenter mine did not return labels"):
            get_segmenter("mine", pixel_um=None, answer=answer)(image)
    truth = np.eye(4, dtype=bool)
    labels, _ = get_segmenter("mine", pixel_um=None, answer=truth)(image)
    assert np.array_equal(labels, truth)


@pytest.mark.parametrize("method", [m for m in SEGMENTERS if SEGMENTERS[m].needs_pixel_size])
@pytest.mark.parametrize("pixel_um", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_methods_that_need_the_pixel_size(method, pixel_um):
    with pytest.raises(ConfigError, match=f"{method} needs the pixel size"):
        get_segmenter(method, pixel_um=pixel_um)


def test_wrong_parameters_are_named():
    with pytest.raises(ConfigError, match="classic has no parameter sigmas"):
        get_segmenter("classic", pixel_um=None, sigmas=3)
    with pytest.raises(ConfigError, match="no parameter close, open") as caught:
        get_segmenter("logstd", pixel_um=1.0, open=3, close=3)
    assert "close_um" in str(caught.value)
    with pytest.raises(ConfigError, match="n_sigma, open_um must be 0 or more"):
        get_segmenter("logstd", pixel_um=1.0, open_um=-3, n_sigma=float("nan"))
    with pytest.raises(ConfigError, match="'watershed' among the segmenters") as caught:
        get_segmenter("watershed", pixel_um=1.0)
    assert "cellpose, classic, logstd, threshold" in str(caught.value)
    for params in ({"rule": "fixed"}, {"level": 3.0}, {"rule": "yen"}):
        with pytest.raises(ConfigError, match="rule is otsu, li or fixed"):
            get_segmenter("threshold", pixel_um=1.0, **params)


def test_a_stack_names_the_frame_that_is_at_fault():
    with pytest.raises(FovflowError, match=r"\(T, Y, X\)"):
        segment_stack(np.zeros((8, 8), np.uint16), method="classic")
    stack = np.zeros((3, 514, 514), np.uint8)
    stack[2, ::2, ::2] = 200
    with pytest.raises(FovflowError, match="frame 2: a frame gives more objects than the 65535"):
        segment_stack(
            stack,
            method="threshold",
            pixel_um=1.0,
            rule="fixed",
            level=100.0,
            smooth_um=0.0,
            min_area_um2=0.0,
            max_hole_um2=0.0,
        )


def movie(method):
    """Return frames of cells that touch and part; one is constant, one much darker."""
    draw = phase if method != "threshold" else bright_discs
    cells = [[(30, 30, 9, 9), (30, 42 + 2 * t, 9, 9), (100, 60, 14, 12)] for t in range(9)]
    frames = [draw(ellipses(each), seed=t) for t, each in enumerate(cells)]
    frames[4] = np.full_like(frames[4], 700)
    frames[6] = frames[6] // 3
    return frames


@pytest.mark.parametrize("method", ["classic", "logstd", "threshold"])
def test_frames_side_by_side_give_what_they_give_one_by_one(method):
    frames, missing = movie(method), [t == 2 for t in range(9)]

    def result(threads):
        segmenter = get_segmenter(method, pixel_um=PIXEL_UM)
        found = segment_frames(segmenter, iter(frames), missing, threads)
        return [(labels.tobytes(), stats) for labels, stats in found]

    one_by_one = result(1)
    assert one_by_one[2][1] is None
    assert "constant" in one_by_one[4][1].flag
    assert len({stats.n_objects for _, stats in one_by_one if stats}) > 1
    for threads in (2, 4, 16):
        for _ in range(3):
            assert repr(result(threads)) == repr(one_by_one)  # NaN is no number that equals itself
    stack, given = np.stack(frames), {"method": method, "pixel_um": PIXEL_UM, "missing": [2]}
    for labels in (segment_stack(stack, **given), segment_stack(stack, threads=3, **given)):
        assert [frame.tobytes() for frame in labels] == [labels for labels, _ in one_by_one]


@pytest.mark.parametrize("threads", [0, -3, 2.5, "2", None])
def test_threads_that_are_no_number_of_threads_are_refused(threads):
    with pytest.raises(ConfigError, match="threads must be a whole number above 0; found: "):
        segment_stack(np.zeros((2, 8, 8), np.uint16), method="classic", threads=threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_after_the_frames_before_it(threads):
    frames = movie("logstd")
    frames[5] = frames[5].astype(np.complex64)
    segmenter = get_segmenter("logstd", pixel_um=PIXEL_UM)
    found = segment_frames(segmenter, frames, [False] * 9, threads)
    assert [labels.shape for labels, _ in itertools.islice(found, 5)] == [frames[0].shape] * 5
    with pytest.raises(FovflowError, match="a frame to segment"):
        next(found)


def test_a_segmenter_that_takes_one_frame_at_a_time_gets_one():
    threads = set()

    class Mine:
        def __call__(self, image, *, missing=False):
            threads.add(threading.current_thread())
            return np.zeros(image.shape, np.uint16), FrameStats()

    assert len(list(segment_frames(Mine(), movie("logstd"), [False] * 9, 4))) == 9
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize("method", SEGMENTERS)
def test_every_parameter_is_described_and_reaches_the_kernel(method):
    settings = SEGMENTERS[method].settings
    fields = {field.name: field for field in dataclasses.fields(settings)}
    assert fields["method"].default == method
    assert SEGMENTERS[method].parameters == [name for name in fields if name != "method"]
    assert all(field.metadata["description"] for field in fields.values())
    taken = list(inspect.signature(fovflow.plugins.load(SEGMENTERS[method].kernel)).parameters)
    assert taken == ["settings", "pixel_um", *SEGMENTERS[method].data]


def test_methods_say_whether_they_take_many_frames_at_once():
    taken = {name: takes_many(get_segmenter(name, pixel_um=1.0))
             for name in ("classic", "logstd", "threshold", "unet")}  # fmt: skip
    assert taken == {"classic": True, "logstd": True, "threshold": True, "unet": False}


def test_models_choose_by_method():
    config = TypeAdapter(sections.SegmentConfig)
    assert config.validate_python({}) == LogStdSegment()
    assert config.validate_python({"method": "classic"}) == ClassicSegment()
    fixed = config.validate_python({"method": "threshold", "rule": "fixed", "level": 90})
    assert fixed.level == 90.0
    assert config.validate_python({"method": "mine", "options": {"a": 1}}).options == {"a": 1}
    for wrong in ({"method": "classic", "n_sigma": 3}, {"n_sigma": -1}, {"rule": "fixed"}):
        with pytest.raises(ValidationError):
            config.validate_python(wrong)
    with pytest.raises(ValidationError, match="needs level"):
        config.validate_python({"method": "threshold", "rule": "fixed"})


def test_a_job_pays_for_no_heavy_imports():
    code = (
        "import sys, numpy as np; from fovflow.segmentation import segment_stack;"
        "s = np.random.default_rng(0).poisson(100, (1, 64, 64)).astype(np.uint16);"
        "[segment_stack(s, method=m, pixel_um=0.5) for m in ('classic', 'logstd', 'threshold')];"
        "print([m for m in ('scipy', 'skimage', 'pandas', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class _Everything(FrameSegmenter):
    """Takes all pixels but `left` for one object."""

    def __init__(self, left: int):
        self._left = left

    def _segment(self, frame: Frame) -> tuple[np.ndarray, FrameStats]:
        labels = np.ones(frame.image.shape, np.uint16)
        labels.flat[: self._left] = 0
        return labels, FrameStats(flag="its own")


@pytest.mark.parametrize(
    ("left", "flag"), [(0, "saturated; its own; all foreground"), (1, "saturated; its own")]
)
def test_a_frame_that_is_all_foreground_is_flagged(left, flag):
    image = np.full((20, 30), 255, np.uint8)
    image[0] = 1
    labels, stats = _Everything(left)(image)
    assert stats.flag == flag
    assert stats.n_objects == 1
    assert stats.foreground_fraction == (600 - left) / 600
    assert np.count_nonzero(labels) == 600 - left
    assert _Everything(0)(image, missing=True)[1] == FrameStats(flag="missing")
    assert FrameStats(flag="missing").foreground_fraction == 0.0
    assert _Everything(0)(np.ones((4, 4), np.uint8))[1] == FrameStats(flag="constant")
