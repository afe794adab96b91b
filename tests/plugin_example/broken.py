"""Parts with one fault each, under the suites; `test_broken.py` runs this file."""

import numpy as np
import test_example
from fovflow_example import (
    INTENSITY_P90,
    DarkSegmenter,
    LowestCorrector,
    NearestTracker,
    PlainReader,
)

from fovflow.features import Feature
from fovflow.testing import (
    CorrectorConformance,
    FeatureConformance,
    SegmenterConformance,
    TrackerConformance,
)
from fovflow.tracking.overlaps import encode


class LeakingReader(PlainReader):
    MAGIC = b"LEAKINGREADR\n"

    def close(self):
        self._closed = True


class SharingReader(PlainReader):
    MAGIC = b"SHARINGREADR\n"

    def read(self, p, t, c, z=0):
        self._kept = getattr(self, "_kept", {})
        plane = super().read(p, t, c, z)
        return self._kept.setdefault((p, t, c), plane)


class TurnedReader(PlainReader):
    MAGIC = b"TURNEDREADER\n"

    def _plane(self, p, t, c, z):
        return super()._plane(p, t, c, z)[::-1]


class HastyReader(PlainReader):
    MAGIC = b"HASTYREADER!\n"

    def times(self, p):
        return super().times(0)


class EagerSegmenter(DarkSegmenter):
    def __call__(self, image):
        _, stats = super().__call__(image)
        return (image <= np.median(image)).astype(np.uint8), stats


class AlteringSegmenter(DarkSegmenter):
    def __call__(self, image):
        image[0, 0] = image[-1, -1]
        return super().__call__(image)


class CountingSegmenter(DarkSegmenter):
    calls = 0

    def __call__(self, image):
        CountingSegmenter.calls += 1
        labels, stats = super().__call__(image)
        labels[:: 2 + self.calls % 5, 0] = 1
        return labels, stats


class DoubleCorrector(LowestCorrector):
    def __call__(self, image, labels=None, *, out=None):
        corrected, stats = super().__call__(image, labels, out=out)
        return corrected.astype(float), stats


class ReusingCorrector(LowestCorrector):
    def __call__(self, image, labels=None, *, out=None):
        corrected, stats = super().__call__(image, labels, out=out)
        self._kept = getattr(self, "_kept", np.empty_like(corrected)) if out is None else out
        self._kept[:] = corrected
        return self._kept, stats


class FillingCorrector(LowestCorrector):
    def __call__(self, image, labels=None, *, out=None):
        return super().__call__(np.nan_to_num(image.astype(np.float32)), labels, out=out)


class BlindCorrector(LowestCorrector):
    def __call__(self, image, labels=None, *, out=None):
        return super().__call__(image, None, out=out)


class GappyTracker(NearestTracker):
    def finish(self):
        lineage = super().finish()
        lineage.links["gap"][:] = 1
        return lineage


class LabelTracker(NearestTracker):
    def add(self, t, labels):
        super().add(t, labels)
        self._distance[-1] = self._distance[-1] + encode(labels).label


class PatientTracker(NearestTracker):
    def add(self, t, labels):
        super().add(max(t, self._frames.last + 1), labels)


def _feature(name, function, **changes):
    about = {"kind": "fl", "unit": "counts", "description": "A fault.", "per_cell": True}
    return Feature(name=name, function=function, **(about | changes))


OF_IDS = _feature("of_ids", lambda cell: float(cell.id))
OF_CONTRAST = _feature("of_contrast", lambda cell: np.ptp(cell.values) or np.nan)
SAYS_LITTLE = _feature("says_little", INTENSITY_P90.function, description="90th percentile")
OF_THE_FRAME = _feature(
    "of_the_frame",
    lambda cells: np.full(len(cells.cells), float(len(cells.cells))),
    per_cell=False,
)


class TestLeakingReader(test_example.TestPlainReader):
    reader = LeakingReader


class TestSharingReader(test_example.TestPlainReader):
    reader = SharingReader


class TestTurnedReader(test_example.TestPlainReader):
    reader = TurnedReader


class TestHastyReader(test_example.TestPlainReader):
    reader = HastyReader


class TestEagerSegmenter(SegmenterConformance):
    method = "EagerSegmenter"


class TestAlteringSegmenter(SegmenterConformance):
    method = "AlteringSegmenter"


class TestCountingSegmenter(SegmenterConformance):
    method = "CountingSegmenter"


class TestDoubleCorrector(CorrectorConformance):
    method = "DoubleCorrector"


class TestReusingCorrector(CorrectorConformance):
    method = "ReusingCorrector"


class TestFillingCorrector(CorrectorConformance):
    method = "FillingCorrector"


class TestBlindCorrector(CorrectorConformance):
    method = "BlindCorrector"


class TestGappyTracker(TrackerConformance):
    method = "GappyTracker"


class TestLabelTracker(TrackerConformance):
    method = "LabelTracker"


class TestPatientTracker(TrackerConformance):
    method = "PatientTracker"


class TestOfIds(FeatureConformance):
    kind, name = "fl", "of_ids"


class TestOfContrast(FeatureConformance):
    kind, name = "fl", "of_contrast"


class TestSaysLittle(FeatureConformance):
    kind, name = "fl", "says_little"


class TestOfTheFrame(FeatureConformance):
    kind, name = "fl", "of_the_frame"
