"""Methods without a surface: nothing, or one level per frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.background.corrector import ALL_COVERED, Estimate, SurfaceCorrector
from fovflow.background.preparation import Preparation, WorkingFrame
from fovflow.background.tilegrid import median_in_place
from fovflow.config.methods import ConstantCorrect, NoCorrect


class NoCorrection(SurfaceCorrector):
    """Leave the background as it is: float32 of the frame, after dark and flat-field if given.

    `frames`: see `Preparation`; the excluded pixels matter for the statistics only.
    """

    def __init__(self, settings: NoCorrect, **frames: Any):
        super().__init__(Preparation(dilation_um=settings.dilation_um, **frames))

    def _estimate(self, frame: WorkingFrame) -> Estimate:
        return Estimate(self._background)


class ConstantCorrection(SurfaceCorrector):
    """Subtract the median of the free pixels.

    A frame without free pixels takes the last level that was measured, or the 5th percentile of
    its finite pixels where there is none yet; it is flagged. `frames`: see `Preparation`.
    """

    def __init__(self, settings: ConstantCorrect, **frames: Any):
        super().__init__(Preparation(dilation_um=settings.dilation_um, **frames))
        self._last_level: float | None = None

    def _estimate(self, frame: WorkingFrame) -> Estimate:
        level = median_in_place(frame.values[frame.free.view(np.bool_)])
        covered = not np.isfinite(level)
        if not covered:
            self._last_level = level
        elif self._last_level is not None:
            level = self._last_level
        else:
            level = low_value(frame.finite_values())
        surface = np.full(self._prepare.shape, level, np.float32)
        return Estimate(surface, flag=ALL_COVERED if covered else "")


def low_value(sample: NDArray[Any]) -> float:
    """Return the value below which 5 % of the sample lie; 0 for an empty sample."""
    if sample.size == 0:
        return 0.0
    rank = int(0.05 * (sample.size - 1))
    return float(np.partition(sample, rank)[rank])
