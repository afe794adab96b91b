"""Every feature, built-in or plug-in, on the cases where features go wrong."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.features import FEATURES, Feature
from fovflow.testing import FeatureConformance

PER_CELL = {
    "example_p90": Feature(
        "example_p90", "fl", "counts", "90th percentile.",
        lambda cell: np.percentile(cell.values, 90), per_cell=True,
    ),
    "example_width": Feature(
        "example_width", "pc", "px", "Width of the mask.",
        lambda cell: cell.mask.shape[1], per_cell=True, integer=True,
    ),
    "example_count": Feature(
        "example_count", "fl", "px", "Pixels.",
        lambda cell: cell.raw.size, per_cell=True, integer=True,
    ),
    "example_row": Feature(
        "example_row", "pc", "px", "Mean row.", lambda cell: float(np.mean(cell.y)), per_cell=True
    ),
}  # fmt: skip
ALL = {**FEATURES, **PER_CELL}


class TestFeatures(FeatureConformance):
    @pytest.fixture(params=sorted(ALL), autouse=True)
    def _feature(self, request, monkeypatch):
        for name, feature in PER_CELL.items():
            monkeypatch.setitem(FEATURES, name, feature)
        self.name, self.kind = request.param, ALL[request.param].kind
        self.needs_contrast = self.name == "sharpness"

    def test_invalid_pixels_do_not_spread(self):
        if self.name == "saturated_fraction":
            pytest.skip("it is of the pixels that are invalid")
        super().test_invalid_pixels_do_not_spread()

    def test_a_cell_without_valid_pixels_has_no_number(self):
        if self.name in {"invalid_fraction", "intensity_px", "example_count"}:
            pytest.skip("it counts pixels")
        super().test_a_cell_without_valid_pixels_has_no_number()

    def test_erosion_of_everything_gives_no_number(self):
        small = self.disk(12, 12, 3, 3)
        values = self.measure(small, erosion_px=20)
        if self.kind == "fl":
            assert values.tolist() == [0] if self.feature.integer else np.isnan(values).all()
        else:
            assert values.tolist() == self.measure(small).tolist()
