"""Pictures of frames with the outlines of their cells, within the size that a report may have."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.drawing import colour_of, draw_overlay
from fovflow.errors import FovflowError, words_of
from fovflow.labels import boxes, resampled
from fovflow.results import FovResult
from fovflow.stacks import StackReader
from fovflow.units import first_middle_last, format_ranges, spread

FOVS_PER_DATASET = 12
FOVS_PER_REPORT = 48
BYTES_PER_REPORT = 10_000_000
"""Bytes of all PNG files together; a third more as text in the report."""

WIDTH = 480
"""Greatest width, and height, of a picture in pixels."""

_GREYS = 64


@dataclass(frozen=True, slots=True)
class CellLabel:
    """An id to write into a picture: place in pixels of the frame, verdict, reasons."""

    cell: int
    x: float
    y: float
    good: bool
    flags: str
    box: tuple[slice, slice] | None = None
    """Rows and columns of the cell in the PNG."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame with the outlines of its cells; `width` and `height` are those of the PNG."""

    frame: int
    png: bytes
    width: int
    height: int
    scale: float
    """Pixels of the PNG per pixel of the frame."""
    labels: tuple[CellLabel, ...]

    @property
    def base64(self) -> str:
        """The PNG as text, for a ``data:`` address."""
        return base64.b64encode(self.png).decode("ascii")

    @property
    def font_size(self) -> float:
        """Height of the ids in pixels of the PNG: smaller where there are many."""
        return min(14.0, max(8.0, 66.0 / math.sqrt(max(len(self.labels), 1))))

    def place(self, label: CellLabel) -> tuple[float, float]:
        """Return the middle of an id's base line in pixels of the PNG, so that it lies inside.

        It stands above its cell, and below one at the upper edge.
        """
        size = self.font_size
        half = size * 0.3 * len(str(label.cell))
        x, y = ((at + 0.5) * self.scale for at in (label.x, label.y))
        if label.box is not None:
            rows = label.box[0]
            y = rows.start - 0.6 * size if rows.start > size else rows.stop + 0.6 * size
        x = min(max(x, half), self.width - half)
        y = min(max(y, size * 0.5), self.height - size * 0.5)
        return x, y + size * 0.35


class PictureBudget:
    """How many FOVs of each dataset have pictures, and how many bytes are left for them."""

    def __init__(self, datasets: int):
        self.fovs = max(1, min(FOVS_PER_DATASET, FOVS_PER_REPORT // max(datasets, 1)))
        self.bytes = BYTES_PER_REPORT

    def choose(self, fovs: Mapping[int, FovResult]) -> tuple[set[int], str]:
        """Return the FOVs of a dataset to show, spread evenly, and a note on what is left out."""
        complete = [fov for fov in fovs.values() if fov.status == "complete"]
        able = [fov.index for fov in complete if fov.to_draw]
        if complete and not able:
            return set(), (
                "No pictures: the stacks were not kept after the run. To see the outlines of the "
                "cells, let the configuration's key keep name pc and seg_labeled, and run again."
            )
        if len(able) <= self.fovs:
            return set(able), ""
        able = spread(able, self.fovs)
        return set(able), (
            f"{len(able)} of {len(complete)} complete FOVs are shown, spread evenly: "
            f"{format_ranges(able)}."
        )

    def pictures(
        self,
        fov: FovResult,
        flags: Mapping[int, str],
        table: Mapping[str, NDArray[Any]] | None,
        notes: list[str],
    ) -> list[Picture]:
        """Return pictures of the first, the middle and the last frame that were acquired.

        `fov`: one of those that `choose` chose. `flags`: those of each flagged frame. `table`: the
        traces, where they can be read. `notes`: why there are no pictures, or no more, is added.
        """
        named = table if "seg_labeled" in fov.stacks else None
        image, label = fov.to_draw
        made: list[Picture] = []
        try:
            with StackReader(image) as images, StackReader(label) as labels:
                if images.shape != labels.shape:
                    notes.append("no pictures: image and labels differ in shape")
                    return []
                acquired = [t for t in range(len(images)) if "missing" not in flags.get(t, "")]
                for t in first_middle_last(acquired):
                    if self.bytes <= 0:
                        notes.append("no more pictures: the report would be too large")
                        break
                    made.append(picture(t, images.frame(t), labels.frame(t), named))
                    self.bytes -= len(made[-1].png)
        except (FovflowError, OSError) as error:
            notes.append(f"no pictures: {words_of(error)}")
        return made


def picture(
    frame: int,
    image: NDArray[Any],
    labels: NDArray[Any],
    table: Mapping[str, NDArray[Any]] | None,
) -> Picture:
    """Return a frame made small, with outlines; ids and verdicts are those of the traces.

    `image`: (Y, X), any numeric dtype; values that are not finite are shown black. `labels`:
    (Y, X). `table`: the FOV's traces, where the labels are the ids of its cells.
    """
    scale = min(1.0, WIDTH / max(image.shape))
    height, width = (max(1, round(n * scale)) for n in image.shape)
    small = np.nan_to_num(np.asarray(image, np.float32), posinf=0.0, neginf=0.0)
    if scale < 1:
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)
    outlined = resampled(labels, height, width)
    drawn = draw_overlay(small, outlined)
    return Picture(
        frame=frame,
        png=indexed_png(drawn, np.unique(outlined)),
        width=width,
        height=height,
        scale=scale,
        labels=() if table is None else _cell_labels(frame, table, dict(boxes(outlined))),
    )


def _cell_labels(
    frame: int, table: Mapping[str, NDArray[Any]], boxes: Mapping[int, tuple[slice, slice]]
) -> tuple[CellLabel, ...]:
    here = np.flatnonzero(table["frame"] == frame)
    names = ("cell", "position_x", "position_y", "good", "flags")
    columns = [table[name][here].tolist() for name in names]
    return tuple(
        CellLabel(int(cell), float(x), float(y), bool(good), str(flags), boxes.get(int(cell)))
        for cell, x, y, good, flags in zip(*columns, strict=True)
    )


def indexed_png(drawn: NDArray[np.uint8], labels: NDArray[Any]) -> bytes:
    """Encode a picture of grey levels and few colours: a third of the bytes of a colour PNG.

    `drawn`: (Y, X, 3) uint8, blue, green, red: greys, and the colours of `labels`. `labels`: the
    labels whose colours may occur, at most 180 different ones.
    """
    grey = np.arange(_GREYS) * 255 // (_GREYS - 1)
    colours = sorted({colour_of(int(label)) for label in labels if label})[: 256 - _GREYS]
    palette = np.concatenate(
        [np.repeat(grey[:, None], 3, axis=1), np.array(colours, np.int64).reshape(-1, 3)[:, ::-1]]
    ).astype(np.uint8)
    index = ((drawn[..., 0].astype(np.int64) * (_GREYS - 1) + 127) // 255).astype(np.uint8)
    weights = np.array([1, 256, 65536])
    codes = drawn.astype(np.int64) @ weights
    coloured = (drawn[..., 0] != drawn[..., 1]) | (drawn[..., 1] != drawn[..., 2])
    if colours and coloured.any():
        known = np.array(colours, np.int64) @ weights
        order = np.argsort(known)
        found = np.searchsorted(known[order], codes[coloured]).clip(0, len(known) - 1)
        index[coloured] = (_GREYS + order[found]).astype(np.uint8)
    return _png(index, palette)


def _png(index: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Return an 8-bit indexed PNG (PNG specification, sections 5 and 11)."""
    height, width = index.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = index

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
    colours = chunk(b"PLTE", palette.tobytes())
    pixels = chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
    return b"\x89PNG\r\n\x1a\n" + head + colours + pixels + chunk(b"IEND", b"")
