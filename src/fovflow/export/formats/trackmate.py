"""TrackMate XML: spots with outlines, edges and tracks, for Fiji.

A track of TrackMate is a whole lineage. The file names the image that the format ``ome-tiff``
writes: where both lie in one folder, TrackMate opens it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.export.fov import ExportedFov, Format
from fovflow.labels import boxes

_SPOT = {
    "QUALITY": ("Quality", "QUALITY", False),
    "POSITION_X": ("X", "POSITION", False),
    "POSITION_Y": ("Y", "POSITION", False),
    "POSITION_Z": ("Z", "POSITION", False),
    "POSITION_T": ("T", "TIME", False),
    "FRAME": ("Frame", "NONE", True),
    "RADIUS": ("Radius", "LENGTH", False),
    "VISIBILITY": ("Visibility", "NONE", True),
    "CELL": ("Cell", "NONE", True),
    "GOOD": ("Good", "NONE", True),
}
_EDGE = {
    "SPOT_SOURCE_ID": ("Source spot ID", "NONE", True),
    "SPOT_TARGET_ID": ("Target spot ID", "NONE", True),
    "LINK_COST": ("Link cost", "COST", False),
}
_TRACK = {
    "TRACK_ID": ("Track ID", "NONE", True),
    "TRACK_INDEX": ("Track index", "NONE", True),
    "NUMBER_SPOTS": ("Number of spots in track", "NONE", True),
}
_TOLERANCE_PX = 0.3
"""Distance (px) that an outline may lie off the edges of the pixels."""


_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class _Xml:
    """Elements whose values are written as TrackMate reads them."""

    def __init__(self, file: Any):
        self._to = XMLGenerator(file, "UTF-8", short_empty_elements=True)
        self._to.startDocument()

    @contextmanager
    def element(self, name: str, /, text: str = "", **attributes: Any) -> Iterator[None]:
        """Write an element around what is written inside the block."""
        texts = {key: _text(value) for key, value in attributes.items()}
        self._to.startElement(name, AttributesImpl(texts))
        self._to.characters(text)
        yield
        self._to.endElement(name)
        self._to.ignorableWhitespace("\n")

    def leaf(self, name: str, /, text: str = "", **attributes: Any) -> None:
        """Write an element with nothing but text inside."""
        with self.element(name, text, **attributes):
            pass


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _NO_NUMBERS.get(str(value), str(value))


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    for fov in fovs:
        with (folder / f"{fov.base}.xml").open("w", encoding="utf-8", newline="\n") as file:
            xml = _Xml(file)
            with xml.element("TrackMate", version="7.11.1"):
                with xml.element("Model", spatialunits="µm", timeunits="s"):
                    _declare(xml, fov)
                    _spots(xml, fov)
                    _tracks(xml, fov)
                _settings(xml, fov)
                xml.leaf("GUIState", state="ConfigureViews")


def _declare(xml: _Xml, fov: ExportedFov) -> None:
    own = {
        each.name.upper(): (f"{each.feature} {each.channel_name}".strip(), "NONE", False)
        for each in fov.features()
    }
    kinds = {"SpotFeatures": _SPOT | own, "EdgeFeatures": _EDGE, "TrackFeatures": _TRACK}
    with xml.element("FeatureDeclarations"):
        for kind, features in kinds.items():
            with xml.element(kind):
                for key, (name, dimension, whole) in features.items():
                    xml.leaf("Feature", feature=key, name=name, shortname=name,
                             dimension=dimension, isint=whole)  # fmt: skip


def _spots(xml: _Xml, fov: ExportedFov) -> None:
    rows, features, px = fov.rows, fov.features(), fov.pixel_um
    stack = fov.labels() if "seg_labeled" in fov.fov.stacks else nullcontext()
    with stack as labels, xml.element("AllSpots", nspots=len(rows)):
        for t, part in rows.groupby("frame"):
            outlines = _outlines(labels(0, int(t))[0]) if labels else {}
            with xml.element("SpotsInFrame", frame=int(t)):
                for i, row in zip(part.index, part.to_dict("records"), strict=True):
                    x, y = row["position_x"], row["position_y"]
                    outline = (outlines.get(row["cell"], np.empty((0, 2))) - (x, y)) * px
                    area = cv2.contourArea(outline.astype(np.float32)) if len(outline) else 0.0
                    spot = {
                        "ID": i,
                        "name": f"{row['cell']} {row.get('flags', '')}".strip(),
                        "QUALITY": float(row["good"]),
                        "POSITION_X": x * px,
                        "POSITION_Y": y * px,
                        "POSITION_Z": 0.0,
                        "POSITION_T": row["time_s"],
                        "FRAME": int(t),
                        "RADIUS": max(math.sqrt(area / math.pi), px),
                        "VISIBILITY": 1,
                        "CELL": row["cell"],
                        "GOOD": int(row["good"]),
                        **{each.name.upper(): float(row[each.name]) for each in features},
                        **({"ROI_N_POINTS": len(outline)} if labels else {}),
                    }
                    xml.leaf("Spot", " ".join(f"{v:.5g}" for v in outline.ravel()), **spot)


def _outlines(frame: NDArray[Any]) -> dict[int, NDArray[np.float64]]:
    """Return the outline of each cell of a (Y, X) frame as x and y (px) of its corners."""
    found = {}
    for cell, box in boxes(frame):
        # Contours run through the middles of pixels: of a mask of twice the size, a quarter of a
        # pixel inside the edges.
        mask = (frame[box] == cell).astype(np.uint8).repeat(2, 0).repeat(2, 1)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        largest = max(contours, key=cv2.contourArea)
        corners = cv2.approxPolyDP(largest, 2 * _TOLERANCE_PX, closed=True)[:, 0]
        if len(corners) < 3:
            corners = largest[:, 0]
        found[cell] = corners / 2 - 0.25 + (box[1].start, box[0].start)
    return found


def _tracks(xml: _Xml, fov: ExportedFov) -> None:
    links = fov.links
    lineage = fov.lineages[links["source"]]
    with xml.element("AllTracks"):
        for track in np.unique(lineage).tolist():
            spots = int((fov.lineages == track).sum())
            with xml.element("Track", name=f"Track_{track}", TRACK_ID=track, TRACK_INDEX=track,
                             NUMBER_SPOTS=spots):  # fmt: skip
                for link in links[lineage == track].to_dict("records"):
                    xml.leaf("Edge", SPOT_SOURCE_ID=link["source"], SPOT_TARGET_ID=link["target"],
                             LINK_COST=1.0 - link.get("iou", math.nan))  # fmt: skip
    with xml.element("FilteredTracks"):
        for track in np.unique(lineage).tolist():
            xml.leaf("TrackID", TRACK_ID=track)


def _settings(xml: _Xml, fov: ExportedFov) -> None:
    size, frames = fov.fov.metadata.get("size") or {}, fov.fov.metadata.get("frames") or {}
    with xml.element("Settings"):
        xml.leaf(
            "ImageData",
            filename=f"{fov.base}.ome.tif",
            folder="",
            width=size.get("width", 0),
            height=size.get("height", 0),
            nslices=1,
            nframes=frames.get("count", 0),
            pixelwidth=fov.pixel_um,
            pixelheight=fov.pixel_um,
            voxeldepth=1.0,
            timeinterval=fov.interval_s or 1.0,
        )
        ends = {"xend": "width", "yend": "height", "tend": "count"}
        known = {**size, **frames}
        xml.leaf("BasicSettings", xstart=0, ystart=0, zstart=0, zend=0, tstart=0,
                 **{end: max(known.get(name, 1) - 1, 0) for end, name in ends.items()})  # fmt: skip
        xml.leaf("DetectorSettings", DETECTOR_NAME="MANUAL_DETECTOR", RADIUS=fov.pixel_um)
        xml.leaf("TrackerSettings", TRACKER_NAME="MANUAL_TRACKER")
        xml.leaf("InitialSpotFilter", feature="QUALITY", value=0.0, above=True)
        for empty in ("SpotFilterCollection", "TrackFilterCollection"):
            xml.leaf(empty)
        with xml.element("AnalyzerCollection"):
            for kind in ("SpotAnalyzers", "EdgeAnalyzers", "TrackAnalyzers"):
                xml.leaf(kind)


FORMAT = Format(
    "TrackMate XML of spots with outlines and tracks (Fiji)",
    _write,
    (".xml",),
    needs=("traces", "tracks", "pixel_um"),
    wants=("labels",),
)
