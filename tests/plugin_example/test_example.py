"""The example's own tests, as its author writes them."""

import json
from typing import ClassVar

import numpy as np
import pytest
from fovflow_example import PlainReader

import fovflow
from fovflow.background import get_corrector
from fovflow.config.methods import TRACKERS
from fovflow.errors import ConfigError, FovflowError
from fovflow.testing import (
    CorrectorConformance,
    FeatureConformance,
    ReaderConformance,
    SegmenterConformance,
    TrackerConformance,
)
from fovflow.tracking import get_tracker


class TestPlainReader(ReaderConformance):
    reader = PlainReader
    pixels = np.random.default_rng(0).integers(0, 65536, (3, 2, 2, 10, 12), np.uint16)
    seconds = np.array([[0.0, 2.0], [300.0, 302.5], [601.0, 602.0]])
    facts: ClassVar = {
        "format": "plain",
        "pixel_um": 0.65,
        "time_source": "measured",
        "channels": ["Phase", "GFP"],
        "positions": [(0.0, 0.0, "A1"), (800.0, 0.0, "A2")],
    }

    def make_file(self, folder):
        header = {
            "shape": self.pixels.shape,
            "positions": [["A1", 0.0, 0.0], ["A2", 800.0, 0.0]],
            "channels": ["Phase", "GFP"],
            "pixel_um": 0.65,
            "times_s": self.seconds.T.tolist(),
        }
        path = folder / "cells.plain"
        path.write_bytes(
            self.reader.MAGIC + json.dumps(header).encode() + b"\n" + self.pixels.tobytes()
        )
        return path

    def test_a_file_that_is_cut_off_is_refused(self, path):
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(FovflowError, match=r"cells\.plain is cut off"):
            fovflow.open_raw(path)


class TestDarkSegmenter(SegmenterConformance):
    method = "dark"
    parameters: ClassVar = {"factor": 6.0}


class TestLowestCorrector(CorrectorConformance):
    method = "lowest"
    parameters: ClassVar = {"margin": 2.0}

    def test_a_stack_is_its_frames(self):
        corrected = fovflow.correct_stack(np.stack([self.image] * 2), None, method="lowest")
        assert np.array_equal(
            corrected[1], get_corrector("lowest", shape=self.shape)(self.image)[0]
        )

    def test_mistakes_are_told(self):
        with pytest.raises(ConfigError, match="no parameter 'tyle_px'"):
            get_corrector("lowest", shape=self.shape, tyle_px=3)
        with pytest.raises(ConfigError, match="without pixels"):
            get_corrector("lowest", shape=(0, 5))


class TestNearestTracker(TrackerConformance):
    method = "nearest"
    parameters: ClassVar = {"max_distance_um": 15.0}

    def test_planning_knows_it(self):
        assert TRACKERS.needs_pixel_size("nearest")
        assert TRACKERS.revision("nearest") == 2

    def test_mistakes_in_its_parameters_are_told(self):
        with pytest.raises(ConfigError, match=r"max_distance_um must be above 0 µm"):
            get_tracker("nearest", pixel_um=1.0, max_distance_um=0)
        with pytest.raises(ConfigError, match="'reach'"):
            get_tracker("nearest", pixel_um=1.0, reach=1)


class TestIntensityP90(FeatureConformance):
    kind = "fl"
    name = "intensity_p90"
