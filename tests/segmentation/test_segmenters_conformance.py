"""One suite over all segmenters: built-in, stubbed and plugged in."""

from importlib.metadata import EntryPoint

import cv2
import numpy as np
import pytest
from segmentation.scenes import PIXEL_UM, bright_discs, ellipses, noise, phase, raster_order

import fovflow.plugins
from fovflow.config.methods import SEGMENTERS
from fovflow.errors import FovflowError
from fovflow.segmentation import (
    FrameStats,
    get_segmenter,
    segment_stack,
)

CELLS = [(30, 35, 14, 17), (40, 120, 16, 13), (110, 60, 15, 22), (118, 150, 20, 15)]


class StubNetwork:
    """Finds what is dark; ids in no order, with holes in the numbering."""

    def eval(self, image, **options):
        level = np.median(image) - 0.1 * (float(image.max()) - float(image.min()))
        _, ids = cv2.connectedComponents((image < level).astype(np.uint8))
        return np.where(ids > 0, 3 * (ids.max() + 1 - ids), 0).astype(np.int32), None, None


class PluggedIn:
    """A third party's segmenter: whatever is dark, as one object of id 7."""

    def __init__(self, *, pixel_um, factor=1.0):
        self.factor = factor

    def __call__(self, image):
        found = image < self.factor * 0.85 * np.median(image)
        return found.astype(np.int64) * 7, FrameStats(n_objects=1)


METHODS = {
    "classic": {},
    "logstd": {},
    "threshold": {"dark": True},
    "threshold-li": {"dark": True, "rule": "li"},
    "threshold-fixed": {"dark": True, "rule": "fixed", "level": 900.0},
    "cellpose": {"network": StubNetwork()},
    "plugged-in": {},
}


@pytest.fixture(params=METHODS, autouse=True)
def method(request, monkeypatch):
    entry = EntryPoint("plugged-in", f"{__name__}:PluggedIn", "fovflow.segmenters")
    monkeypatch.setattr(EntryPoint, "load", lambda self: PluggedIn)
    monkeypatch.setattr(fovflow.plugins, "entry_points", lambda group: [entry])
    return request.param


@pytest.fixture
def make(method):
    return lambda: get_segmenter(
        method.split("-l")[0].split("-f")[0], pixel_um=PIXEL_UM, **METHODS[method]
    )


def check(labels, stats, image):
    assert labels.dtype == np.uint16
    assert labels.shape == image.shape
    n = int(labels.max())
    assert raster_order(labels) == list(range(1, n + 1))
    assert stats.foreground_fraction <= 1
    assert isinstance(stats.flag, str)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_labels_are_numbered_in_raster_order(make, dtype, method):
    scale = 0.1 if dtype == np.uint8 else 1.0
    if method == "threshold-fixed" and dtype == np.uint8:
        pytest.skip("its level is given in counts of the other dtypes")
    image = phase(ellipses(CELLS), contrast=400.0, dtype=dtype)
    labels, stats = make()(image)
    check(labels, stats, image)
    assert labels.max() >= 1
    assert scale * labels.max() <= 20


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_frame_has_no_objects(make, dtype, value, method):
    image = np.full((40, 50), value, dtype)
    labels, stats = make()(image)
    check(labels, stats, image)
    assert labels.max() == 0
    if method != "plugged-in":
        assert stats.flag == "constant"


def test_background_alone_gives_hardly_anything(make, method):
    if method in ("threshold-fixed", "cellpose"):
        pytest.skip("a fixed level and the stub know no noise")
    image = np.rint(noise((256, 256))).astype(np.uint16)
    labels, stats = make()(image)
    check(labels, stats, image)
    assert np.count_nonzero(labels) < 0.002 * labels.size


@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (1, 1), (1, 40), (33, 2), (127, 65)])
def test_tiny_and_odd_sizes(make, shape):
    image = np.rint(noise(shape, seed=3)).astype(np.uint16)
    image[: shape[0] // 2, : shape[1] // 2] -= 300
    labels, stats = make()(image)
    check(labels, stats, image)


def test_nan_is_flagged_and_no_obstacle(make, method):
    image = phase(ellipses(CELLS), contrast=400.0, dtype=np.float32)
    expected = make()(image)[0]
    image[5, 5], image[80, 100], image[110, 60] = np.nan, np.inf, -np.inf
    labels, stats = make()(image)
    check(labels, stats, image)
    if method != "plugged-in":
        assert "nan" in stats.flag
        assert np.mean((labels > 0) != (expected > 0)) < 0.02


def test_a_frame_without_finite_pixels(make, method):
    if method == "plugged-in":
        pytest.skip("its own affair")
    image = np.full((20, 20), np.nan, np.float32)
    labels, stats = make()(image)
    check(labels, stats, image)
    assert labels.max() == 0
    assert stats.flag == "nan; constant"


def test_a_saturated_frame_is_flagged(make, method):
    image = phase(ellipses(CELLS), contrast=400.0)
    image[:, 100:] = 65535
    labels, stats = make()(image)
    check(labels, stats, image)
    if method != "plugged-in":
        assert "saturated" in stats.flag


def test_a_missing_frame_has_no_objects(make):
    image = phase(ellipses(CELLS), contrast=400.0)
    labels, stats = make()(image, missing=True)
    check(labels, stats, image)
    assert labels.max() == 0
    assert stats.flag == "missing"


def test_same_input_same_labels_whatever_the_threads(make):
    image = phase(ellipses(CELLS), contrast=400.0)
    before = cv2.getNumThreads()
    found = []
    try:
        for threads in (1, 2, 7):
            cv2.setNumThreads(threads)
            labels, stats = make()(image)
            found.append((labels.tobytes(), stats))
    finally:
        cv2.setNumThreads(before)
    assert found[0] == found[1] == found[2]


def test_the_frame_is_not_altered_and_may_be_read_only(make):
    image = phase(ellipses(CELLS), contrast=400.0, dtype=np.float32)
    image[4, 4] = np.nan
    before = image.tobytes()
    image.flags.writeable = False
    make()(image)
    assert image.tobytes() == before


def test_a_frame_that_is_not_contiguous(make):
    image = phase(ellipses(CELLS), contrast=400.0)
    twice = np.repeat(image, 2, axis=1)
    assert np.array_equal(make()(twice[:, ::2])[0], make()(image)[0])


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.int64), np.zeros((2, 4, 4), np.uint16), np.zeros((0, 4), np.uint16)],
)
def test_what_is_no_frame_is_refused(make, image, method):
    if method == "plugged-in":
        pytest.skip("its own affair")
    with pytest.raises(FovflowError, match="uint8, uint16 or float32"):
        make()(image)


def test_every_method_has_a_revision_and_says_whether_it_needs_the_pixel_size():
    revisions = {name: SEGMENTERS[name].revision for name in SEGMENTERS}
    assert revisions == {"classic": 1, "logstd": 3, "threshold": 1, "cellpose": 1}
    needing = [name for name in SEGMENTERS if SEGMENTERS[name].needs_pixel_size]
    assert needing == ["logstd", "threshold", "cellpose"]


def test_stacks_frame_by_frame(method, make):
    image = phase(ellipses(CELLS), contrast=400.0)
    stack = np.stack([image, image, image])
    name = method.split("-l")[0].split("-f")[0]
    labels = segment_stack(stack, method=name, pixel_um=PIXEL_UM, missing=[1], **METHODS[method])
    assert labels.shape == stack.shape
    assert labels.dtype == np.uint16
    assert np.array_equal(labels[0], make()(image)[0])
    assert labels[1].max() == 0


def test_bright_discs_are_no_trouble(make):
    image = bright_discs(ellipses(CELLS))
    check(*make()(image), image)
