"""Segmentation by a network trained on cells that people outlined.

How far a frame lies from what the network knows is told by how sure and how steady its answers are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import UnetSegment
from fovflow.errors import ConfigError
from fovflow.segmentation.frames import Frame, FrameSegmenter, FrameStats, coarse_levels
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

UNSURE = 1.5
"""Logit within which a pixel is neither clearly a cell nor clearly background: 18 to 82 %."""

ROUGH = 0.42
"""Share of such pixels, of those of cells, above which many areas are more than 20 % off."""

BOUND = 1.0
"""Sum of both measures that makes the score 1: see docs/algorithms/segmentation.md."""

STEADINESS = 2.0
"""Weight of the disagreement of the mirrored patch."""

PATCH = 256
"""Side of the patch that is shown a second time, mirrored (pixels of the network)."""

EDGE = 40
"""Margin of that patch where the answers are not compared."""

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class UnetStats(FrameStats):
    """What the network found in a frame.

    Attributes
    ----------
    domain : float
        How far the frame lies from what the network knows, above 1 too far; NaN where it recognises
        nothing. See `domain_score`.
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


def unsure_share(logit: Image) -> float:
    """Return the number of pixels of which the network is unsure, over that of pixels of cells.

    `logit`: (Y, X), the network's logit of a cell. NaN where no pixel is clearly one of a cell.
    """
    if not np.any(logit > UNSURE):
        return math.nan
    unsure = cv2.countNonZero(cv2.inRange(logit, -UNSURE, UNSURE))
    return unsure / cv2.countNonZero((logit > 0).view(np.uint8))


def domain_score(
    network: Callable[[Image], Image], contrast: Image, logit: Image, unsure: float
) -> float:
    """Return how far a frame lies from what the network knows: above 1 too far.

    `unsure`, which is what `unsure_share` says of the `logit`, and twice the share by which the
    cells of a patch differ when it is shown mirrored. `contrast`: (Y, X), the normalised frame. NaN
    where `unsure` is.
    """
    if math.isnan(unsure):
        return math.nan
    return (unsure + STEADINESS * _disagreement(network, contrast, logit)) / BOUND


def _disagreement(network: Callable[[Image], Image], contrast: Image, logit: Image) -> float:
    """Return which share of the pixels of cells are so in one of a patch and its mirror image only.

    The patch is the one with most pixels of cells.
    """
    rows, columns = (min(PATCH, side) for side in logit.shape)
    inside = cv2.boxFilter(
        (logit > 0).astype(np.float32)[::8, ::8],
        cv2.CV_32F,
        (max(1, columns // 8), max(1, rows // 8)),
        borderType=cv2.BORDER_CONSTANT,
    )
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    top, left = (
        min(max(8 * int(middle) - side // 2, 0), whole - side)
        for middle, side, whole in zip((y, x), (rows, columns), logit.shape, strict=True)
    )
    patch = slice(top, top + rows), slice(left, left + columns)
    mirrored = network(np.ascontiguousarray(contrast[patch][:, ::-1]))[0][:, ::-1] > 0
    edge = [min(EDGE, side // 4) for side in (rows, columns)]
    inner = slice(edge[0], rows - edge[0]), slice(edge[1], columns - edge[1])
    one, other = logit[patch][inner] > 0, mirrored[inner]
    either = np.count_nonzero(one | other)
    return float(np.count_nonzero(one ^ other) / either) if either else 1.0
