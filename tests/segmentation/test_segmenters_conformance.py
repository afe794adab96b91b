"""One suite over all segmenters: built-in, stubbed and plugged in."""

from importlib.metadata import EntryPoint

import cv2
import numpy as np
import pytest
from segmentation.scenes import PIXEL_UM, ellipses, phase

import fovflow.plugins
from fovflow.config.methods import SEGMENTERS
from fovflow.errors import FovflowError
from fovflow.segmentation import (
    FrameStats,
    segment_stack,
)
from fovflow.testing import SegmenterConformance

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
    "unet": {},
    "cellpose": {"network": StubNetwork()},
    "plugged-in": {},
}


class TestSegmenters(SegmenterConformance):
    @pytest.fixture(params=METHODS, autouse=True)
    def case(self, request, monkeypatch):
        entry = EntryPoint("plugged-in", f"{__name__}:PluggedIn", "fovflow.segmenters")
        monkeypatch.setattr(EntryPoint, "load", lambda self: PluggedIn)
        monkeypatch.setattr(fovflow.plugins, "entry_points", lambda group: [entry])
        self.method = request.param.split("-l")[0].split("-f")[0]
        self.parameters = METHODS[request.param]
        return request.param

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_cells_are_found_in_frames_of_any_type(self, case, dtype):
        if case == "threshold-fixed" and dtype == np.uint8:
            pytest.skip("its level is given in counts of the other dtypes")
        super().test_cells_are_found_in_frames_of_any_type(dtype)

    def test_background_alone_gives_hardly_anything(self, case):
        if case in ("threshold-fixed", "cellpose"):
            pytest.skip("a fixed level and the stub know no noise")
        super().test_background_alone_gives_hardly_anything()

    def test_a_stack_is_its_frames(self):
        stack = np.stack([self.frame] * 3)
        labels = segment_stack(
            stack, method=self.method, pixel_um=PIXEL_UM, missing=[1], **self.parameters
        )
        assert labels.shape == stack.shape
        assert labels.dtype == np.uint16
        assert np.array_equal(labels[0], self.segment(stack[0])[0])
        assert labels[1].max() == 0

    @pytest.mark.parametrize("value", [0, 7, 255])
    def test_a_constant_frame_is_flagged(self, case, value):
        for dtype in (np.uint8, np.uint16, np.float32):
            _, stats = self.segment(np.full((40, 50), value, dtype))
            assert stats.flag == "constant" or case == "plugged-in"

    def test_nan_is_flagged_and_no_obstacle(self, case):
        image = phase(ellipses(CELLS), contrast=400.0, dtype=np.float32)
        expected = self.segment(image)[0]
        image[5, 5], image[80, 100], image[110, 60] = np.nan, np.inf, -np.inf
        labels, stats = self.segment(image)
        if case != "plugged-in":
            assert "nan" in stats.flag
            assert np.mean((labels > 0) != (expected > 0)) < 0.02

    def test_a_frame_without_finite_pixels_is_flagged(self, case):
        _, stats = self.segment(np.full((20, 20), np.nan, np.float32))
        assert stats.flag == "nan; constant" or case == "plugged-in"

    def test_a_saturated_frame_is_flagged(self, case):
        image = phase(ellipses(CELLS), contrast=400.0)
        image[:, 100:] = 65535
        assert "saturated" in self.segment(image)[1].flag or case == "plugged-in"

    @pytest.mark.parametrize(
        "image",
        [np.zeros((4, 4), np.int64), np.zeros((2, 4, 4), np.uint16), np.zeros((0, 4), np.uint16)],
    )
    def test_what_is_no_frame_is_refused(self, case, image):
        if case == "plugged-in":
            pytest.skip("its own affair")
        with pytest.raises(FovflowError, match="uint8, uint16 or float32"):
            self.segment(image)


def test_every_method_has_a_revision_and_says_whether_it_needs_the_pixel_size():
    revisions = {name: SEGMENTERS[name].revision for name in SEGMENTERS}
    assert revisions == {"classic": 1, "logstd": 6, "threshold": 1, "unet": 3, "cellpose": 1}
    needing = [name for name in SEGMENTERS if SEGMENTERS[name].needs_pixel_size]
    assert needing == ["logstd", "threshold", "unet", "cellpose"]
