"""An example of a package of plug-ins: one part of each kind, each as short as it can be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fovflow.background.corrector import Estimate, SurfaceCorrector
from fovflow.background.preparation import Preparation
from fovflow.errors import FovflowError
from fovflow.features import Feature
from fovflow.plugins import Method, Settings, setting
from fovflow.readers import Channel, FrameTimes, Position, RawInfo
from fovflow.readers.base import PlaneReader
from fovflow.segmentation import FrameStats
from fovflow.tracking.tracks import AddedFrames, Lineage, build, number_cells


class PlainReader(PlaneReader):
    """Reads `MAGIC`, one line of JSON, then uint16 pixels (T, P, C, Y, X), little-endian."""

    MAGIC = b"PLAINPIXELS1\n"

    def __init__(self, location, given, pattern):
        self._file = location.root.open("rb")
        self._file.seek(len(self.MAGIC))
        header = json.loads(self._file.readline())
        self._start, self._shape = self._file.tell(), tuple(header["shape"])
        t, _, _, height, width = self._shape
        if location.root.stat().st_size != self._start + 2 * int(np.prod(self._shape)):
            self._file.close()
            raise FovflowError(f"{location.root} is cut off", remedy="copy it again")
        info = RawInfo(
            format="plain",
            axes="TPCYX",
            n_frames=t,
            n_z=1,
            height=height,
            width=width,
            dtype="uint16",
            positions=tuple(Position(i, *each) for i, each in enumerate(header["positions"])),
            channels=tuple(Channel(i, name) for i, name in enumerate(header["channels"])),
            pixel_um=header["pixel_um"],
        )
        times = [FrameTimes(np.array(each, float), "measured") for each in header["times_s"]]
        super().__init__(location.root, info, times, given)

    @classmethod
    def accepts(cls, path: Path, head: bytes) -> bool:
        """Tell whether a file is of this kind, from its first bytes."""
        return head.startswith(cls.MAGIC)

    def _plane(self, p, t, c, z):
        height, width = self._shape[3:]
        plane = np.ravel_multi_index((t, p, c), self._shape[:3])
        self._file.seek(self._start + 2 * height * width * int(plane))
        pixels = np.frombuffer(self._file.read(2 * height * width), "<u2")
        return pixels.reshape(height, width).copy()

    def close(self):
        """Close the file."""
        super().close()
        self._file.close()


class DarkSegmenter:
    """Takes for cells what is darker than the background by `factor` times its spread."""

    def __init__(self, *, pixel_um, factor=5.0):
        self._factor = factor

    def __call__(self, image):
        """Return the labels of one frame."""
        finite = np.isfinite(image)
        if not finite.any():
            return np.zeros(image.shape, np.uint16), FrameStats()
        level = np.median(image[finite])
        spread = 1.4826 * np.median(np.abs(image[finite] - level))
        threshold = level - self._factor * spread
        _, labels = cv2.connectedComponents((finite & (image < threshold)).astype(np.uint8))
        share = float(np.count_nonzero(labels)) / labels.size
        return labels, FrameStats(foreground_fraction=share, n_objects=int(labels.max()))


class LowestCorrector(SurfaceCorrector):
    """Subtracts the smallest pixel of the background."""

    def __init__(self, *, shape, pixel_um=None, margin=0.0):
        super().__init__(Preparation(shape, pixel_um))
        self._margin = margin

    def _estimate(self, frame):
        level = float(frame.filled[frame.free.view(bool)].min()) - self._margin
        return Estimate(np.full(frame.values.shape, level, np.float32))


@dataclass(frozen=True, kw_only=True)
class NearestSettings(Settings):
    """Parameters of the tracker."""

    max_distance_um: float = setting(20.0, "Largest distance of a link (µm).", gt=0)


class NearestTracker:
    """Links each object to the one before whose centroid is nearest, if that holds both ways."""

    def __init__(self, settings=NearestSettings(), *, pixel_um):
        self._reach = settings.max_distance_um / pixel_um
        self._frames = AddedFrames()
        self._places = [np.zeros((0, 2))]
        self._previous, self._distance = [np.zeros(0, int)], [np.zeros(0)]
        self._seen = 0  # objects in earlier frames

    def add(self, t, labels):
        """Take the labels of frame `t`."""
        objects = self._frames.add(t, labels)
        before, here = self._places[-1], np.column_stack([objects.y, objects.x])
        previous, distance = np.full(len(here), -1), np.full(len(here), np.nan)
        if len(before) and len(here):
            far = np.hypot(*(here[:, None] - before[None]).transpose(2, 0, 1))
            back, forth = far.argmin(1), far.argmin(0)
            nearest = far[np.arange(len(here)), back]
            mutual = (forth[back] == np.arange(len(here))) & (nearest <= self._reach)
            previous[mutual] = self._seen - len(before) + back[mutual]
            distance[mutual] = nearest[mutual]
        self._places.append(here)
        self._previous.append(previous)
        self._distance.append(distance)
        self._seen += len(here)

    def finish(self) -> Lineage:
        """Return all cells."""
        previous, n = np.concatenate(self._previous), self._seen
        cell, n_cells = number_cells(previous, np.ones(n, bool))
        columns = {"previous": previous, "distance_px": np.concatenate(self._distance)}
        return build(self._frames.detections(), cell, n_cells, columns)


NEAREST = Method(NearestTracker, NearestSettings, needs_pixel_size=True, revision=2)

INTENSITY_P90 = Feature(
    name="intensity_p90",
    kind="fl",
    unit="counts",
    description="90th percentile of the background-corrected intensity.",
    function=lambda cell: np.percentile(cell.values, 90),
    per_cell=True,
)
