"""Correctors: what they take and give, the frame of every built-in method, the plain ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fovflow.background.preparation import (
    MAD_TO_SIGMA,
    Image,
    Preparation,
    WorkingFrame,
    subtract,
)
from fovflow.background.tilegrid import median_in_place, sample_median
from fovflow.config.methods import ConstantCorrect, NoCorrect
from fovflow.parallel import one_blas_thread

Surface = NDArray[np.float32]
Numbers = NDArray[np.float64]
Indices = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class BackgroundStats:
    """Numbers about the background of one frame, for quality control.

    Attributes
    ----------
    background_level : float
        Median of the background surface, in counts.
    gradient : float
        Largest minus smallest tile value, in counts; 0 for methods without tiles.
    noise_sigma : float
        1.4826 × median absolute deviation of the corrected free pixels, in counts; NaN where no
        pixel is free.
    excluded_fraction : float
        Share of the pixels (0 to 1) that are a cell's, near a cell, or not finite.
    n_empty_tiles : int
        Tiles without a value of their own.
    flag : str
        Empty for a good frame, else some of ``all covered``, ``crowded``, ``nan``, ``saturated``,
        joined by commas.
    """

    background_level: float
    gradient: float
    noise_sigma: float
    excluded_fraction: float
    n_empty_tiles: int
    flag: str


class Corrector(Protocol):
    """A background corrector for the frames of one FOV and channel, called in frame order.

    A plug-in registers a factory ``factory(*, shape, pixel_um, **params) -> Corrector`` under the
    entry point group ``fovflow.correctors``. Where it has the members of `ModelledCorrector`, too,
    the pipeline keeps a few numbers of each frame; of others it keeps the corrected frames.
    """

    def __call__(
        self, image: Image, labels: Image | None = None, *, out: Surface | None = None
    ) -> tuple[Surface, BackgroundStats]:
        """Return the corrected frame, (Y, X) float32, and its statistics.

        `image`: (Y, X) frame in camera counts, of an integer or floating dtype; it is not altered.
        `labels`: (Y, X) integer or bool, 0 = background; None means that there are no cells. `out`:
        (Y, X) float32 array to fill and return; a new array is made where it is left out. Reusing
        one saves the cost of fresh memory for every frame.
        """
        ...

    @property
    def background(self) -> Surface:
        """Background surface of the last frame, (Y, X) float32, read-only.

        It is valid until the next frame is corrected; copy it to keep it.
        """
        ...


class ModelledCorrector(Corrector, Protocol):
    """A corrector whose frames are made again from the raw ones and a few numbers."""

    @property
    def model(self) -> Numbers:
        """(n,) float64: what the background of the last frame is made of; n is always the same."""
        ...

    def remake(
        self, image: Image, model: Numbers, *, at: Indices | None = None, out: Surface | None = None
    ) -> Surface:
        """Return a corrected frame with the values of its first time, whatever came between.

        `image`: (Y, X) frame in camera counts. `model`: what `model` was for it. `at`: indices in
        the flattened frame; with it `image` holds the counts of these pixels, and theirs are
        returned. `out`: see `Corrector`.
        """
        ...


ALL_COVERED = "all covered"
CROWDED = "crowded"
NOT_FINITE = "nan"
SATURATED = "saturated"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A background surface and what is known about it; see also `BackgroundStats`."""

    surface: Surface
    """(Y, X) float32, in counts; the method may overwrite it in the next frame."""
    gradient: float = 0.0
    n_empty_tiles: int = 0
    flag: str = ""
    """Empty, or how the estimate had to be made."""
    model: Numbers = field(default_factory=lambda: np.empty(0))
    """(n,) numbers that `ModelledSurface.surface_of` makes the surface of."""


class SurfaceCorrector(ABC):
    """Subtract a background surface that a subclass estimates."""

    def __init__(self, preparation: Preparation):
        self._prepare = preparation
        self._background: Surface = np.zeros(preparation.shape, np.float32)
        self._model: Numbers = np.empty(0)

    @abstractmethod
    def _estimate(self, frame: WorkingFrame) -> Estimate:
        """Estimate the background of one prepared frame."""

    @property
    def background(self) -> Surface:
        """Background surface of the last frame; see `Corrector.background`."""
        view = self._background.view()
        view.flags.writeable = False
        return view

    def __call__(
        self, image: Image, labels: Image | None = None, *, out: Surface | None = None
    ) -> tuple[Surface, BackgroundStats]:
        """Correct one frame; see `Corrector`."""
        frame, stats = self._measured(image, labels)
        return subtract(frame.values, self._background, out), stats

    def measure(self, image: Image, labels: Image | None = None) -> BackgroundStats:
        """Return what a call would, without the corrected frame, which costs more."""
        return self._measured(image, labels)[1]

    @one_blas_thread
    def _measured(self, image: Image, labels: Image | None) -> tuple[WorkingFrame, BackgroundStats]:
        frame = self._prepare(image, labels)
        estimate = self._estimate(frame)
        self._background, self._model = estimate.surface, estimate.model
        lattice = self._prepare.lattice
        surface = estimate.surface[lattice]
        corrected = subtract(frame.values[lattice], surface)
        flags = [estimate.flag] if estimate.flag else []
        if frame.finite is not None:
            flags.append(NOT_FINITE)
        if frame.saturated:
            flags.append(SATURATED)
        free = int(np.count_nonzero(frame.free))
        return frame, BackgroundStats(
            background_level=float(sample_median(surface.flatten())),
            gradient=estimate.gradient,
            noise_sigma=_spread(corrected[frame.free[lattice].view(np.bool_)]),
            excluded_fraction=1 - free / frame.free.size,
            n_empty_tiles=estimate.n_empty_tiles,
            flag=",".join(flags),
        )


class ModelledSurface(SurfaceCorrector):
    """Subtract a background surface that a few numbers describe; see `ModelledCorrector`."""

    @abstractmethod
    def surface_of(self, model: Numbers) -> Surface:
        """Return the surface of these numbers; the next call may overwrite it."""

    @property
    def model(self) -> Numbers:
        """The numbers of the last frame; see `ModelledCorrector.model`."""
        return self._model

    @one_blas_thread
    def remake(
        self, image: Image, model: Numbers, *, at: Indices | None = None, out: Surface | None = None
    ) -> Surface:
        """Correct a frame, or some of its pixels, again; see `ModelledCorrector.remake`."""
        values, surface = self._prepare.working_values(image, at), self.surface_of(model)
        if at is None:
            return subtract(values, surface, out)
        taken = surface.reshape(-1).take(at)
        return np.subtract(values, taken, out=taken, dtype=np.float32, casting="same_kind")


def _spread(residual: NDArray[np.float32]) -> float:
    if residual.size == 0:
        return float("nan")
    middle = sample_median(residual.copy())
    return float(MAD_TO_SIGMA * sample_median(np.abs(residual - middle)))


class NoCorrection(ModelledSurface):
    """Leave the background as it is: float32 of the frame, after dark and flat-field if given.

    `frames`: see `Preparation`; the excluded pixels matter for the statistics only.
    """

    def __init__(self, settings: NoCorrect, **frames: Any):
        super().__init__(Preparation(dilation_um=settings.dilation_um, **frames))

    def _estimate(self, frame: WorkingFrame) -> Estimate:
        return Estimate(self._background)

    def surface_of(self, model: Numbers) -> Surface:
        """Return zeros."""
        return self._background


class ConstantCorrection(ModelledSurface):
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
        model, flag = np.array([level]), ALL_COVERED if covered else ""
        return Estimate(self.surface_of(model), flag=flag, model=model)

    def surface_of(self, model: Numbers) -> Surface:
        """Return the level, everywhere."""
        return np.full(self._prepare.shape, model[0], np.float32)


def low_value(sample: NDArray[Any]) -> float:
    """Return the value below which 5 % of the sample lie; 0 for an empty sample."""
    if sample.size == 0:
        return 0.0
    rank = int(0.05 * (sample.size - 1))
    return float(np.partition(sample, rank)[rank])
