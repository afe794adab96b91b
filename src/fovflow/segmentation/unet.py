"""Segmentation by a network trained on cells that people outlined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import UnetSegment
from fovflow.errors import ConfigError
from fovflow.segmentation.domain import ROUGH, domain_score, unsure_share
from fovflow.segmentation.frames import Frame, FrameSegmenter, FrameStats
from fovflow.segmentation.greylevels import coarse_levels
from fovflow.segmentation.masks import (
    MAX_OBJECTS,
    Labels,
    check_pixel_um,
    number_objects,
    odd_side,
)
from fovflow.segmentation.network import BUILT_IN, Network, find_instances, normalise

COARSEST = 8.0
"""Pixels of a frame may be so many times as large as those of the network."""


@dataclass(frozen=True, slots=True)
class UnetStats(FrameStats):
    """What the network found in a frame.

    Attributes
    ----------
    domain : float
        How far the frame lies from what the network knows, above 1 too far; NaN where it recognises
        nothing. See `fovflow.segmentation.domain`.
    """

    domain: float = math.nan


class UnetSegmenter(FrameSegmenter):
    """Cells as a network sees them.

    `pixel_um`: edge length of a pixel (µm).
    """

    stats = UnetStats

    def __init__(self, settings: UnetSegment, pixel_um: float | None):
        self._px = check_pixel_um(pixel_um, "unet")
        self._network = Network(Path(settings.model) if settings.model else BUILT_IN)
        self._settings = settings
        about = self._network.description
        self._factor = self._px / about.pixel_um
        if self._factor > COARSEST:
            raise ConfigError(
                "segment: unet: the pixels are too large for the network to see cells in them",
                found=f"{self._px:g} µm, where it was trained with {about.pixel_um:g} µm",
                remedy="correct pixel_um of the dataset, or choose another method",
            )
        self._side = odd_side(about.surroundings_um / about.pixel_um)

    def _segment(self, frame: Frame) -> tuple[Labels, UnetStats]:
        shape = frame.image.shape
        size = [max(1, round(n * self._factor)) for n in shape]
        how = cv2.INTER_AREA if self._factor < 1 else cv2.INTER_LINEAR
        image = cv2.resize(frame.image.astype(np.float32), size[::-1], interpolation=how)
        contrast = normalise(image, self._side)
        said = self._network(contrast)
        level = math.log(self._settings.probability / (1 - self._settings.probability))
        found = find_instances(said, level)
        labels = self._at_full_size(found, said[0], level, shape)
        if frame.invalid is not None:
            labels[frame.invalid > 0] = 0
        unsure = unsure_share(said[0])
        domain = domain_score(self._network, contrast, said[0], unsure)
        doubts = {
            "nothing recognised": math.isnan(domain),
            "unfamiliar": domain > 1,
            "rough outlines": unsure > ROUGH,
        }
        flags = coarse_levels(frame.image) + [word for word, holds in doubts.items() if holds]
        stats = UnetStats(domain=domain, flag="; ".join(flags))
        return number_objects(labels, self._kept(labels)), stats

    def _at_full_size(
        self,
        found: NDArray[np.int32],
        logit: NDArray[np.float32],
        level: float,
        shape: tuple[int, ...],
    ) -> NDArray[Any]:
        """Return the cells in the frame's own pixels, with the outline of the enlarged logit."""
        names = found.astype(np.uint16 if found.max() <= MAX_OBJECTS else np.float32)
        wide = np.where(found > 0, names, cv2.dilate(names, np.ones((3, 3), np.uint8)))
        large = cv2.resize(wide, shape[::-1], interpolation=cv2.INTER_NEAREST)
        cell = cv2.resize(logit, shape[::-1], interpolation=cv2.INTER_LINEAR) > level
        shown = cv2.copyTo(large, cell.view(np.uint8))
        return np.asarray(shown, np.uint16 if large.dtype == np.uint16 else np.int32)

    def _kept(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell of each number whether its object is of an allowed size."""
        area = _sizes(labels) * self._px**2
        edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
        cut = np.zeros(area.size, bool)
        cut[np.unique(np.concatenate(edges))] = True
        s = self._settings
        least = np.where(cut, min(s.min_cut_area_um2, s.min_area_um2), s.min_area_um2)
        most = math.inf if s.max_area_um2 is None else s.max_area_um2
        return np.asarray((area >= least) & (area <= most))


def _sizes(labels: NDArray[Any]) -> NDArray[Any]:
    """Return the number of pixels of each number; that of 0 may be rounded."""
    if labels.dtype != np.uint16:
        return np.bincount(labels.ravel())
    n = int(labels.max()) + 1
    return np.asarray(cv2.calcHist([labels], [0], None, [n], [0, n]).ravel(), np.float64)
